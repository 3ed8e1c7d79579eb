"""A clip's pixels: which files they are, what is in them (as a hash), and how they are streamed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from deft_llm.corpora.base import safe_path
from deft_llm.errors import DeftError
from deft_llm.faces.video import frames, probe
from deft_llm.files import existing_file
from deft_llm.records import Clip


def source_path(root: Path, clip: Clip, path: str | None = None) -> Path:
    """Where a clip's source lies. Raises: DeftError where it leads out of the corpus folder."""
    text = clip.source.path if path is None else path
    found = safe_path(root, text)
    if found is None:
        raise DeftError(f"{clip.clip_id}: path {text!r} leads out of the corpus folder; correct its table.")
    return found


def source_files(root: Path, clip: Clip) -> list[Path]:
    """All files that decide a clip's content. Raises: DeftError where none are there."""
    base = source_path(root, clip)
    if clip.source.kind == "frames":
        return [source_path(base, clip, name) for name in _frame_names(clip)]
    extra = [source_path(root, clip, clip.source.path_offset)] if clip.source.path_offset else []
    return [base, *extra]


def _frame_names(clip: Clip) -> list[str]:
    """File names of the clip's frames. Raises: DeftError where the loader found none."""
    if not clip.source.frames:
        raise DeftError(
            f"{clip.clip_id}: no frames of it were found (looked in {clip.source.path or 'its folder'}); "
            "'deft corpus check' says why."
        )
    return clip.source.frames


@lru_cache(maxsize=256)
def _file_digest(path: str, _size: int, _modified_ns: int) -> bytes:
    """Hash of a file's content; size and time only tell when a cached one is old."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).digest()


def identity(root: Path, clip: Clip) -> str:
    """Hash of a clip's file names and contents, or a word for why it has none: what work is addressed by."""
    try:
        whole = hashlib.blake2b(digest_size=16)
        for path in source_files(root, clip):
            status = existing_file(path).stat()
            whole.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
            whole.update(_file_digest(str(path), status.st_size, status.st_mtime_ns))
        return whole.hexdigest()
    except (OSError, DeftError) as error:
        return f"unreadable: {type(error).__name__}"


def frame_stream(root: Path, clip: Clip) -> Callable[[], Iterator[Any]]:
    """A callable that streams the clip's frames anew at each call (index 0 = first frame of the source)."""

    base = source_path(root, clip)
    names = _frame_names(clip) if clip.source.kind == "frames" else None
    return lambda: frames(base, fps=clip.fps, names=names)


def frame_rate(root: Path, clip: Clip) -> float:
    """Frames a second: as the corpus says, else as the file says.

    Raises: DeftError where neither knows.
    """
    if clip.fps:
        return clip.fps

    found = probe(source_path(root, clip)).fps if clip.source.kind == "video" else None
    if not found:
        raise DeftError(f"{clip.clip_id}: its frame rate is not known; add an fps column to the corpus' CSV.")
    return found
