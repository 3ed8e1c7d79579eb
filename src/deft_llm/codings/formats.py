"""Which format a coding file is of; reading and writing any of them, and the proposals in a result.json."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deft_llm.codings import boris, datavyu, elan, table, textgrid
from deft_llm.codings.events import FASTEST, Coding, FrameClock, reader_of, rows_in
from deft_llm.codings.proposals import coding_of
from deft_llm.corpora.tables import DELIMITERS
from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.faces.video import frame_times, probe
from deft_llm.files import existing_file, read_json, reading

LARGEST = 64 * 2**20
"""Bytes: a coding is text of some kilobytes; more is not one."""


@dataclass(frozen=True)
class Format:
    """One format: its writer, the suffix of its files, and what of an event it does not hold."""

    write: Callable[[Coding, Path], None]
    suffix: str
    lacks: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "csv": Format(table.write, ".csv", ()),
    "elan": Format(elan.write, ".eaf", ()),
    "boris": Format(boris.write, ".boris", ()),
    "textgrid": Format(textgrid.write, ".TextGrid", ("media", "coder", "frame rate")),
    "datavyu": Format(datavyu.write, ".csv", ("media", "coder", "frame rate")),
}


def format_of(path: Path, named: str | None = None) -> str:
    """The format to write ``path`` in: ``named``, or that of its suffix.

    Raises: UsageError for an unknown name or suffix.
    """
    if named is not None:
        if named not in FORMATS:
            raise UsageError(f"--to {named}: unknown; choose one of {', '.join(FORMATS)}.")
        return named
    for name, known in FORMATS.items():
        if known.suffix.lower() == path.suffix.lower():
            return name
    suffixes = ", ".join(dict.fromkeys(known.suffix for known in FORMATS.values()))
    raise UsageError(f"{path}: no format has this suffix; name it {suffixes}, or choose one with --to.")


def clock_of(media: Path | None, fps: float | None) -> FrameClock | None:
    """The clock of a video file (with its frame times) or of a constant rate; None without both.

    Raises: UsageError for a rate that is none.
    """
    if fps is not None and not (math.isfinite(fps) and 0 < fps <= FASTEST):
        raise UsageError(f"--fps {fps:g}: is no frame rate; give frames per second, for example 25.")
    if media is None:
        return None if fps is None else FrameClock(fps)
    rate = fps or probe(media).fps
    if rate is None:
        raise UsageError(f"{media}: does not state a frame rate; give it with --fps.")
    return FrameClock(rate, frame_times(media) if fps is None and media.is_file() else None)


def read_coding(path: Path, clock: FrameClock | None = None) -> Coding:
    """The coding in ``path``, of whichever format it is.

    Raises: DeftError for a file that is of no known format, unreadable, or lacks a frame rate.
    """
    with naming(path):
        return _read(existing_file(path), clock)


def _read(path: Path, clock: FrameClock | None) -> Coding:
    if path.stat().st_size > LARGEST:
        raise DeftError(f"{path}: {path.stat().st_size >> 20} MiB are no coding; give a file of events.")
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        return elan.read(path, clock)
    if suffix == ".textgrid":
        return textgrid.read(path, clock)
    if suffix == ".boris":
        return boris.read(path, clock)
    if suffix == ".json":
        return coding_of(read_json(path, "analyse the video again"), str(path), clock)
    if suffix == ".csv":
        return _read_csv(path, clock)
    raise DeftError(
        f"{path}: {suffix or 'no suffix'} is of no known format; give CSV, .eaf, .boris or .TextGrid."
    )


def holds_events(path: Path) -> bool:
    """Whether a file holds events of one video, by its suffix and, for a CSV, its header (a table that names
    a clip in every row holds codings of clips).
    """
    suffix = Path(path).suffix.lower()
    if suffix != ".csv":
        return suffix in (".eaf", ".textgrid", ".boris", ".json") and Path(path).is_file()
    with (
        reading(path, "mend it"),
        Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as handle,
    ):
        header = _header_of("".join(islice(handle, 2)), path)[1]
    clips = {"filename", "clip_id"} & {name.strip().lower() for name in header}
    return not clips and (datavyu.reads(header) or table.reads(header))


def _header_of(text: str, path: Path) -> tuple[str, list[str]]:
    """Delimiter and header of a table of events, cut into most columns; at commas where it is none."""
    cut: dict[str, list[str]] = {mark: next(rows_in(reader_of(text, mark), path), []) for mark in DELIMITERS}
    known = [mark for mark in DELIMITERS if datavyu.reads(cut[mark]) or table.reads(cut[mark])]
    best = max(known, key=lambda mark: len(cut[mark]), default=DELIMITERS[0])
    return best, cut[best]


def _read_csv(path: Path, clock: FrameClock | None) -> Coding:
    with reading(path, "save it as a CSV table in UTF-8"):
        text = path.read_bytes().decode("utf-8-sig")
        delimiter, header = _header_of(text, path)
    if datavyu.reads(header):
        return datavyu.read(path, clock, text, delimiter)
    if table.reads(header):
        return table.read(path, clock, text, delimiter)
    raise DeftError(
        f"{path}: its header names neither au and onset (plain table) nor AU12_left.ordinal (Datavyu); "
        "see docs for the columns."
    )


def write_coding(coding: Coding, path: Path, named: str | None = None) -> str:
    """Write ``coding`` to ``path``; gives back the format's name. Raises: UsageError for an unknown one."""
    name = format_of(path, named)
    FORMATS[name].write(coding, Path(path))
    return name
