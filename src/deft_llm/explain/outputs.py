"""What an analysis leaves on the disk: result.json, report.html, and the files that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.codings import elan
from deft_llm.codings.events import FrameClock
from deft_llm.codings.proposals import coding_of
from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.explain.inputs import VideoInput
from deft_llm.explain.report import write_report
from deft_llm.explain.tables import check_table, write_table
from deft_llm.explain.video_overlay import write_overlay
from deft_llm.faces.video import frame_times
from deft_llm.files import (
    check_target,
    claim_folder,
    digest,
    is_whole,
    read_object,
    seal,
    seal_file,
    sha256_of,
    write_json,
)
from deft_llm.state.neutral import Neutral

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis
    from deft_llm.explain.analyzer import Analyzer

RESULT, REPORT = "result.json", "report.html"
READING = ".reading"
"""Folder beside them in which a long video keeps how far it was read; gone when all is written."""


@dataclass(frozen=True)
class Options:
    """How videos are analysed, the same for all of a run; fields as ``Analyzer.analyze`` takes them.

    ``method``: None is the default one; ``text`` False leaves deft's language model out; ``attribution``:
    whether it is measured what class and AUs rest on; ``checkpoint``: folder of deft's, None for the shipped.
    """

    method: str | None = None
    text: bool = True
    attribution: bool = True
    question: str | None = None
    faces: int = 1
    max_movements: int | None = None
    fast: bool = False
    checkpoint: str | None = None

    def analyzer(self) -> Analyzer:
        """The Analyzer that reads so. Raises: UsageError, DeftError as ``Analyzer.from_pretrained``."""
        from deft_llm.explain.analyzer import Analyzer

        more: dict[str, Any] = {"answers": False} if not self.text and self.method in (None, "deft") else {}
        if self.checkpoint is not None:
            more["checkpoint"] = self.checkpoint
        return Analyzer.from_pretrained(self.name, **more)

    @property
    def name(self) -> str | None:
        """The method's name; None: the default one."""
        if self.method is not None:
            return self.method
        return "rules" if self.fast else None if self.checkpoint is None else "deft"


@dataclass(frozen=True)
class Extras:
    """Files beside result.json and report.html, None where they are not wanted."""

    frames: Path | None = None
    overlay: Path | None = None
    elan: Path | None = None

    def paths(self) -> dict[str, Path]:
        """Option -> path of those that are wanted."""
        wanted = {"--frames": self.frames, "--overlay": self.overlay, "--elan": self.elan}
        return {option: path for option, path in wanted.items() if path is not None}

    def check(self, *, names_only: bool = False) -> None:
        """Raises: UsageError for a path that cannot be written, and, ``names_only``, for one in a folder:
        each video of several has its own."""
        for option, path in self.paths().items():
            if names_only and path != Path(path.name):
                raise UsageError(
                    f"{option} {path}: each of several videos gets its own, in the folder of its report; "
                    f"give a file name alone ({option} {path.name})."
                )
        check_table(self.frames)
        check_target(self.overlay, (".mp4",), "the overlay is an MP4 and ends in .mp4")
        check_target(self.elan, (".eaf",), "ELAN's files end in .eaf")

    def within(self, folder: Path) -> Extras:
        """The same files in ``folder``."""
        return Extras(*(None if path is None else folder / path.name
                        for path in (self.frames, self.overlay, self.elan)))  # fmt: skip


def analyze_video(
    analyzer: Analyzer, video: VideoInput, options: Options, neutral: Neutral | None = None,
    on_frame: Callable[[int, int | None], None] | None = None, kept: Path | None = None,
) -> Analysis:  # fmt: skip
    """Analyse one video; ``neutral``: one that its person's other clips were read for too; ``kept``: a folder
    for where the pass over it stands.

    Raises: UsageError, DeftError as ``Analyzer.analyze``.
    """
    with naming(video.path):
        analysis = analyzer.analyze(
            video.path, video.onset, video.apex, video.offset, options.question, video.mirrored,
            fps=video.fps, neutral=video.neutral if neutral is None else neutral, faces=options.faces,
            max_movements=options.max_movements, fast=options.fast, on_frame=on_frame, kept=kept,
        )  # fmt: skip
    if options.attribution:
        analysis.attribute()
    return analysis


def write_outputs(
    analysis: Analysis, video: VideoInput, folder: Path | None, extras: Extras, *, timed: bool = True
) -> list[Path]:
    """Write result and report into ``folder`` (None: neither) and the ``extras``; gives back all paths.

    ``timed`` False leaves the time taken out of result.json, so that equal work has equal bytes. ELAN's file
    is sealed: what its user changes in it can be told (``keep_edited``).
    """
    written = []
    if folder is not None:
        record: dict[str, Any] = analysis.to_dict() | {"source_sha256": content_of(video.path)}
        write_json(folder / RESULT, record if timed else record | {"seconds": {}})
        write_report(folder / REPORT, analysis)
        written += [folder / RESULT, folder / REPORT]
    if extras.frames is not None:
        write_table(extras.frames, analysis.frames_parts())
    if extras.overlay is not None:
        write_overlay(extras.overlay, video.path, analysis, fps=video.fps)
    if extras.elan is not None:
        clock = FrameClock(analysis.video["fps"], _shown_times(video, analysis))
        coding = coding_of(analysis.to_dict(), str(video.path), clock)
        media = video.path.absolute().as_uri()
        elan.write(coding.model_copy(update={"media": media}), extras.elan)
        seal(extras.elan)
    return written + list(extras.paths().values())


def keep_edited(path: Path) -> Path | None:
    """Rename ELAN's file that is not as deft left it ("x.edited.eaf", "x.edited-2.eaf"), so that nothing that
    a coder did is written over; gives back its new path, None where none had to be kept."""
    if not path.is_file() or (seal_file(path).is_file() and is_whole(path)):
        return None
    names = (f"{path.stem}.edited{'' if number == 1 else f'-{number}'}{path.suffix}" for number in count(1))
    kept = next(place for name in names if not (place := path.with_name(name)).exists())
    path.rename(kept)
    return kept


def _shown_times(video: VideoInput, analysis: Analysis) -> list[float]:
    """Seconds of the frames in the linked video as a player shows it, whatever --fps says of them."""
    times: list[float] = analysis.times.tolist()
    if video.fps is None or not video.path.is_file():
        return times
    try:
        own = frame_times(video.path)
    except DeftError:
        return times
    return own if len(own) == len(times) else times


def rows_of(analysis: Analysis, video: VideoInput) -> list[dict[str, Any]]:
    """The rows of one video in the table of movements and Action Units, as JSON types."""
    return [row | {"file": video.label, "person": video.person} for row in analysis.rows()]


def content_of(path: Path) -> str:
    """What a video holds, whatever it is called: SHA-256 of a file, or of a folder's names and sizes."""
    if path.is_file():
        return sha256_of(path)
    return digest(sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file()), 64)


def refuse_other_video(folder: Path, path: Path) -> None:
    """Raises: UsageError where ``folder`` holds the result of a video with another content."""
    known = read_object(folder / RESULT).get("source_sha256") if (folder / RESULT).is_file() else None
    if known is not None and known != content_of(path):
        raise UsageError(
            f"{folder}: holds the result of another video that is called so; give {path} a folder with --out."
        )


def writable_folder(folder: Path, *own: str) -> Path:
    """The output folder, made and proven writable before the work starts; ``own``: as ``claim_folder``.

    Raises: UsageError where it holds another product, DeftError where it cannot be written.
    """
    claim_folder(folder, *own)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".deft-write"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise DeftError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --out."
        ) from error
    return folder
