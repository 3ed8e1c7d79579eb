"""Atomic writes, JSON lines and content hashes: how every stage leaves its files."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only when the block succeeds.

    Raises: DeftError where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise DeftError(
            f"{path}: cannot be written ({error.strerror}); choose a writable folder with --out."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise DeftError(
            f"{path}: writing failed ({error.strerror}); free disk space and run the command again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON atomically; NaN is not JSON and raises ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Stream ``rows`` (dicts or pydantic models) to a JSON-lines file atomically; returns their number."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for row in rows:
            handle.write(json_line(row))
            count += 1
    return count


def json_line(row: Any) -> str:
    """One JSON line, newline included, of a dict or a pydantic model."""
    if hasattr(row, "model_dump_json"):
        return row.model_dump_json() + "\n"
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises: DeftError that names the file and the fault."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DeftError(f"{path}: no such file; check the path.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DeftError(f"{path}: is not valid JSON ({error}); make it again.") from error


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Stream the objects of a JSON-lines file. Raises: DeftError naming file and line."""
    path = Path(path)
    if not path.is_file():
        raise DeftError(f"{path}: no such file; check the path.")
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DeftError(
                    f"{path}: line {number} is not valid JSON ({error.msg}); mend or remove that line."
                ) from error
            if not isinstance(row, dict):
                raise DeftError(f"{path}: line {number} is not a JSON object; mend or remove that line.")
            yield row


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: Any, length: int = 16) -> str:
    """Short hex digest of a JSON-able value, stable across runs: names settings and identities."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:length]
