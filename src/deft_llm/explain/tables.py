"""The table of movements and Action Units; tables on disk: CSV or Parquet by name, written atomically."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.files import atomic_path, check_target, csv_cell

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
WHOLE, REAL, TRUTH, WORDS = "Int64", "float64", "boolean", "str"
COLUMNS: dict[str, str] = {
    "file": WORDS, "person": WORDS, "fps": REAL, "face": WHOLE, "movement": WHOLE, "kind": WORDS,
    "phase": WORDS, "au": WHOLE, "au_name": WORDS, "side": WORDS, "onset": WHOLE, "apex": WHOLE,
    "offset": WHOLE, "onset_s": REAL, "apex_s": REAL, "offset_s": REAL, "duration_ms": REAL,
    "intensity_before": REAL, "intensity_after": REAL, "confidence": REAL, "seen_by": WORDS, "px": REAL,
    "iod_percent": REAL, "z": REAL, "support": REAL, "read": TRUTH, "judged": TRUTH, "reason": WORDS,
    "class": WORDS, "coarse": WORDS, "p_negative": REAL, "p_positive": REAL, "p_surprise": REAL,
    "error": WORDS,
}  # fmt: skip
"""Columns of the table of movements and Action Units, and their types. The same ones for one video and for
many; ``person`` as the list of videos names them, ``error``: why a video could not be analysed."""


def tidy(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of rows of JSON types; what a row lacks is missing."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(COLUMNS)


def check_table(path: Path | None) -> None:
    """Raises: UsageError where a table cannot be written under this name."""
    check_target(path, SUFFIXES, "tables are written as .csv or .parquet")


def write_table(path: Path, parts: Iterable[pd.DataFrame]) -> None:
    """Write a table that comes in parts, of which there is one at least; its name decides on the format."""
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as handle:
                for number, part in enumerate(parts):
                    texts = part.select_dtypes(["object", "str"]).columns
                    safe = {name: part[name].map(csv_cell, na_action="ignore") for name in texts}
                    part.assign(**safe).to_csv(handle, index=False, header=number == 0, lineterminator="\n")
            return
        from pyarrow import Table, parquet

        with ExitStack() as stack:
            writer = None
            for part in parts:
                rows = Table.from_pandas(part, preserve_index=False)
                writer = writer or stack.enter_context(parquet.ParquetWriter(temporary, rows.schema))
                writer.write_table(rows)
