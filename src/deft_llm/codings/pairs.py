"""Codings of many clips, a folder a coder: which files go together, and where their differences are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deft_llm.codings.agreement import each_once
from deft_llm.codings.events import Coding, media_name
from deft_llm.codings.formats import clock_of, holds_events, read_coding
from deft_llm.errors import DeftError
from deft_llm.faces.video import frame_times, image_files
from deft_llm.files import write_csv

SUFFIXES = (".csv", ".eaf", ".boris", ".textgrid")
COLUMNS = ("clip", "time", "onset", "offset", "au", "side", "phase", "face", "coded_by", "coder", "link")


@dataclass(frozen=True)
class Pairs:
    """Clips that two coded: (first, second, frames) each; and those that only one of the two has."""

    both: list[tuple[Coding, Coding, int | None]]
    only_first: list[str]
    only_second: list[str]

    def unread(self, place: int) -> list[str]:
        """Names of no AU in the codings of the first (``place`` 0) or the second (1), each once."""
        return list(dict.fromkeys(name for pair in self.both for name in pair[:2][place].unread))


def coding_files(folder: Path, *, whole: bool = False) -> dict[str, Path]:
    """Clip (path of the file below the folder without its own suffix) -> file of events.

    Raises: DeftError for two files of one clip; with ``whole``, for a file that holds none: it was damaged.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in SUFFIXES:
            continue
        if not path.is_file() or not holds_events(path):
            if whole:
                raise DeftError(f"{path}: holds no events; restore it, or take it out of this folder.")
            continue
        clip = relative.with_suffix("").as_posix()
        if clip in found:
            raise DeftError(f"{folder}: holds {found[clip].name} and {path.name} of one clip; remove one.")
        found[clip] = path
    return found


def pairs_of(first: Path, second: Path, media: Path | None = None, fps: float | None = None) -> Pairs:
    """The codings in two files or in two folders. ``media``: the video, or the folder of the videos; it gives
    frame times and lengths.

    Raises: DeftError where a file cannot be read, or two folders have no clip in common.
    """
    if first.is_dir():
        own = coding_files(first, whole=True), coding_files(second, whole=True)
        clips = [clip for clip in own[0] if clip in own[1]]
        if not clips:
            raise DeftError(
                f"{first} and {second} hold no coding of one clip; their files bear the clips' names."
            )
        both = [_pair(own[0][clip], own[1][clip], _media_of(media, clip), fps, clip) for clip in clips]
        only = [[clip for clip in a if clip not in b] for a, b in (own, own[::-1])]
        return Pairs(both, *only)
    return Pairs([_pair(first, second, media, fps, None)], [], [])


def _media_of(folder: Path | None, clip: str) -> Path | None:
    if folder is None:
        return None
    path = folder / clip
    if not path.exists():
        raise DeftError(f"{path}: is not there; --media is the folder of the coded clips.")
    return path


def _pair(
    first: Path, second: Path, media: Path | None, fps: float | None, clip: str | None
) -> tuple[Coding, Coding, int | None]:
    frames = None
    if media is not None:
        frames = len(image_files(media)) if media.is_dir() else len(frame_times(media))
    clock = clock_of(None if media is not None and media.is_dir() else media, fps)
    a, b = (read_coding(path, clock) for path in (first, second))
    for path, coding in ((first, a), (second, b)):
        each_once(coding, path)
    name = {} if clip is None else {"media": clip}
    return a.model_copy(update=name), b.model_copy(update=name), frames


def with_links(rows: Sequence[Mapping[str, Any]], coders: tuple[str, str], page: str) -> list[dict[str, Any]]:
    """Disagreements with who coded each, and the address of its moment in the page at ``page``."""
    linked = []
    for row in rows:
        clip = row["clip"] if not Path(row["clip"]).is_absolute() else media_name(row["clip"])
        place = f"{page.rstrip('/')}/coding/#clip={quote(clip)}&frame={row['onset']}"
        place += f"&with={quote(coders[1])}" if coders[1] else ""
        coder = coders[0] if row["coded_by"] == "first" else coders[1]
        linked.append({**row, "coder": coder, "link": place})
    return linked


def write_disagreements(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of ``with_links`` as CSV."""
    write_csv(path, COLUMNS, rows)
