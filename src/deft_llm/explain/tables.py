"""Tables on disk: CSV or Parquet by the file's name, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deft_llm.errors import UsageError
from deft_llm.files import atomic_path, csv_cell

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def check_table(path: Path | None) -> None:
    """Raises: UsageError where a table cannot be written under this name."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: tables are written as .csv or .parquet; give such a name.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder is not there; make it first.")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table; its name decides on the format."""
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            texts = table.select_dtypes(["object", "str"]).columns
            table.assign(**{name: table[name].map(csv_cell) for name in texts}).to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)
