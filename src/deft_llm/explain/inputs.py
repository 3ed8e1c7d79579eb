"""Which videos are to be analysed: files, folders of images, folders of videos, lists; each with a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from deft_llm.corpora.tables import Row, cell_number, cell_text, find_table, is_table
from deft_llm.errors import DeftError, UsageError, printable
from deft_llm.faces.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from deft_llm.files import real_path
from deft_llm.records import person as person_key
from deft_llm.state.neutral import range_named

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows progress: entered with a title, it gives ``update(done, total)``."""
RECORD = "rows.json"
"""What is kept of an analysed video in its folder; such folders hold results, not videos."""
LIST_COLUMNS: dict[str, tuple[str, ...]] = {
    "video": ("video", "path", "file", "filename"), "person": ("person", "subject"), "onset": ("onset",),
    "apex": ("apex",), "offset": ("offset",), "neutral": ("neutral",), "fps": ("fps",),
    "mirrored": ("mirrored",),
}  # fmt: skip
"""Columns of a list of videos, each with the names it may bear; only the first must be there."""
YES, NO = ("yes", "true", "1", "x", "y"), ("no", "false", "0", "n", "")
LONGEST_NAME = 120  # characters of a video's folder


@dataclass(frozen=True)
class VideoInput:
    """One video and what is known of it.

    ``label`` is how tables call it (column ``file``), ``name`` its folder's name among the results: unique in
    a run. Frames are 0-based; what is None is estimated.
    """

    path: Path
    label: str
    name: str = ""
    person: str | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    neutral: str | None = None
    fps: float | None = None
    mirrored: bool = False

    @property
    def work(self) -> tuple:
        """What is to be done, whoever asked for it: two inputs of the same work are one."""
        frames = (self.onset, self.apex, self.offset)
        return (real_path(self.path), *frames, self.neutral, self.fps, self.mirrored)


@dataclass(frozen=True)
class Inputs:
    """``videos`` in order; ``several``: whether they were asked for as more than one video, or as a folder
    or list of them (of which there may be one)."""

    videos: list[VideoInput]
    several: bool


def collect(
    sources: Sequence[Path], *, neutral: str | None = None, fps: float | None = None,
    mirrored: bool = False, leave_out: Path | None = None,
) -> Inputs:  # fmt: skip
    """The videos that ``sources`` name: video files, folders of images, folders that hold videos (at any
    depth), lists of videos (tables: see LIST_COLUMNS).

    neutral, fps, mirrored: for all videos whose list does not say otherwise. ``leave_out``: a folder of
    results, not looked through.
    Raises: UsageError for values that cannot be, in a list or not; DeftError for a list that cannot be read
    and a folder without videos.
    """
    if neutral is not None:
        range_named(neutral)
    default = VideoInput(Path(), "", neutral=neutral, fps=fps, mirrored=mirrored)
    found: list[VideoInput] = []
    several = len(sources) > 1
    for source in map(Path, sources):
        if is_table(source):
            several = True
            found += _listed(source, default)
        elif source.is_dir():
            clips = list(_clips_in(source, None if leave_out is None else real_path(leave_out)))
            if not clips:
                raise DeftError(f"{source}: holds no videos and no images; check the folder.")
            several |= clips != [source]
            found += [replace(default, path=clip, label=_label(clip, source)) for clip in clips]
        else:
            found.append(replace(default, path=source, label=source.name))
    unique: dict[tuple, VideoInput] = {}
    for one in found:
        first = unique.setdefault(one.work, one)
        if first.person is None:
            unique[one.work] = replace(first, person=one.person)
        elif one.person is not None and person_key(one.person) != person_key(first.person):
            raise UsageError(
                f"{one.path}: is listed as {first.person}'s and as {one.person}'s; correct one of the rows."
            )
    return Inputs(_named(list(unique.values())), several)


def _clips_in(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Videos of a folder and those below it; a folder that holds images and no video is a clip itself."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DeftError(f"{folder}: cannot be read ({error.strerror}); check its rights.") from error
    if any(entry.name == RECORD for entry in entries):
        return
    videos = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()]
    if not videos and any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries):
        yield folder
        return
    yield from videos
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink() and real_path(entry) != leave_out:
            yield from _clips_in(entry, leave_out)


def _label(clip: Path, folder: Path) -> str:
    return real_path(folder).name if clip == folder else clip.relative_to(folder).as_posix()


def _listed(path: Path, default: VideoInput) -> list[VideoInput]:
    """The videos of a list; paths are relative to its folder."""
    table = find_table(path, LIST_COLUMNS, ("video",), mend="give a list with such a header")
    if table.unread:
        raise UsageError(f"{path}: {table.unread[0].told}; name its video or remove the row.")
    videos = []
    for row in table.rows:
        label = row.text("video")
        videos.append(replace(
            default, path=path.parent / label, label=label, person=row.text("person") or None,
            onset=_frame(row, "onset", path), apex=_frame(row, "apex", path),
            offset=_frame(row, "offset", path),
            neutral=_neutral(row, path) or default.neutral,
            fps=_rate(row, path) or default.fps,
            mirrored=_truth(row, path, default.mirrored),
        ))  # fmt: skip
    if not videos:
        raise DeftError(f"{path}: names no video; give a row per video.")
    return videos


def _frame(row: Row, name: str, path: Path) -> int | None:
    text = row.text(name)
    if not text:
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"{path}: row {row.number}: {name} {text!r} is no frame; give one, counted from 0.")
    return int(text)


def _neutral(row: Row, path: Path) -> str | None:
    text = row.text("neutral")
    if not text:
        return None
    try:
        range_named(text)
    except UsageError as error:
        raise UsageError(f"{path}: row {row.number}: {str(error).removeprefix('--')}") from error
    return text


def _rate(row: Row, path: Path) -> float | None:
    text = row.text("fps")
    if not text:
        return None
    rate = cell_number(text)
    if rate is None or rate < 1:
        raise UsageError(f"{path}: row {row.number}: fps {text!r} is no frame rate; give frames a second.")
    return rate


def _truth(row: Row, path: Path, default: bool) -> bool:
    text = cell_text(row.get("mirrored")).casefold()
    if not text:
        return default
    if text not in YES + NO:
        raise UsageError(f"{path}: row {row.number}: mirrored {text!r} is unknown; give yes or no.")
    return text in YES


def _named(videos: list[VideoInput]) -> list[VideoInput]:
    """The videos with unique names, and with labels that tell files apart."""
    places: dict[str, set[Path]] = {}
    for video in videos:
        places.setdefault(video.label, set()).add(real_path(video.path))
    used: Counter[str] = Counter()
    found = []
    for video in videos:
        label = printable(video.label if len(places[video.label]) == 1 else video.path)
        stem = name = _folder_name(label)
        while used[name.casefold()]:
            used[stem.casefold()] += 1
            name = f"{stem}-{used[stem.casefold()]}"
        used[name.casefold()] += 1
        found.append(replace(video, label=label, name=name))
    return found


def _folder_name(label: str) -> str:
    """A label as one folder's name: "s01/clip.mp4" is s01-clip."""
    path = PurePosixPath(label.replace("\\", "/"))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        path = path.with_suffix("")
    parts = [part for part in path.parts if part not in ("/", "..", ".")]
    return "-".join(parts)[-LONGEST_NAME:].lstrip(".- ") or "video"
