"""Coded events of one video: AU, side, phase, onset, apex and offset in frames and in seconds that agree."""

from __future__ import annotations

import csv
import io
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from deft_llm.errors import DeftError
from deft_llm.facs.units import ENTRIES
from deft_llm.records import AUSide, Record

CODING_SCHEMA = 1

EventPhase = Literal["rise", "release"]
Status = Literal["coded", "proposed", "accepted", "corrected", "rejected"]
Intensity = Literal["A", "B", "C", "D", "E"]

SIDES: tuple[AUSide, ...] = ("both", "left", "right", "asymmetric")
PHASES: tuple[EventPhase, ...] = ("rise", "release")
INTENSITIES: tuple[Intensity, ...] = ("A", "B", "C", "D", "E")
STATUSES: tuple[Status, ...] = ("coded", "proposed", "accepted", "corrected", "rejected")

FASTEST = 10_000  # frames per second
TIME_TOLERANCE = 0.51
"""Frames by which a stated time may miss the stated frame index before the two contradict each other."""
SAME_RATE = 1e-3
"""Share of a frame rate by which two may differ and be one, written with more or fewer digits."""
PAST_END = 1.5
"""Frames after the last one up to which a time still names it: an annotation may end where the film does."""


@dataclass(frozen=True)
class FrameClock:
    """Frame indices and seconds of one video, each from the other.

    fps: constant rate, frames per second. times: seconds of every frame where the rate varies.
    """

    fps: float
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and 0 < self.fps <= FASTEST):
            raise DeftError(f"a frame rate of {self.fps} is none; give frames per second, for example 25.")

    def time_of(self, frame: int) -> float:
        """Seconds since the first frame, to the microsecond."""
        if self.times is not None and 0 <= frame < len(self.times):
            return round(float(self.times[frame]), 6)
        return round(frame / self.fps, 6)

    def frame_of(self, time: float) -> int:
        """The frame whose time is nearest."""
        if self.times is None or not len(self.times):
            return round(time * self.fps)
        after = min(bisect_left(self.times, time), len(self.times) - 1)
        before = max(after - 1, 0)
        return before if time - self.times[before] <= self.times[after] - time else after


class CodedEvent(Record):
    """One event: an AU (``au``, ``side``) that rises or is released; frames are 0-based, inclusive."""

    au: int = Field(ge=0, le=99, description="number of the AU or other FACS code")
    side: AUSide = Field(default="both", description="the subject's own side")
    phase: EventPhase = Field(default="rise", description="rise: the AU appears; release: it goes back")
    onset: int = Field(ge=0, description="first frame of the change")
    apex: int | None = Field(default=None, ge=0, description="frame of the largest intensity")
    offset: int = Field(ge=0, description="last frame")
    onset_time: float = Field(ge=0, description="seconds of ``onset``")
    apex_time: float | None = Field(default=None, ge=0, description="seconds of ``apex``")
    offset_time: float = Field(ge=0, description="seconds of ``offset``")
    intensity: Intensity | None = Field(default=None, description="FACS intensity A to E")
    face: int = Field(default=1, ge=1, description="number of the tracked face")
    status: Status = Field(default="coded", description="coded by a person, or what became of a proposal")
    note: str = Field(default="", description="free text")

    @model_validator(mode="after")
    def _in_order(self) -> CodedEvent:
        if not self.onset <= (self.onset if self.apex is None else self.apex) <= self.offset:
            raise ValueError(
                f"onset {self.onset}, apex {self.apex}, offset {self.offset} are not in order; "
                "onset comes first, offset last"
            )
        if (self.apex is None) != (self.apex_time is None):
            raise ValueError("apex and apex_time go together; give both or neither")
        return self

    @property
    def name(self) -> str:
        """AU and side as tiers and behaviours are called: "AU12 left"."""
        return event_name(self.au, self.side)


class Coding(Record):
    """What one coder (or ``deft``) says of one video."""

    schema_version: int = Field(default=CODING_SCHEMA, alias="schema")
    media: str = Field(default="", description="file name or path of the video")
    fps: float = Field(gt=0, le=FASTEST, description="frames per second")
    coder: str = Field(default="", description="who coded")
    events: list[CodedEvent] = Field(default_factory=list)
    unread: list[str] = Field(
        default_factory=list, exclude=True, description="tiers, behaviours or columns that name no AU"
    )

    model_config = {"extra": "forbid", "populate_by_name": True}

    def sorted(self) -> Coding:
        """The same with its events in order of time, AU and side."""
        key = lambda e: (e.onset_time, e.offset_time, e.au, e.side, e.phase, e.face)  # noqa: E731
        return self.model_copy(update={"events": sorted(self.events, key=key)})


def event_name(au: int, side: AUSide) -> str:
    """ "AU12 left"."""
    return f"AU{au} {side}"


class AUName(NamedTuple):
    """What the name of a tier, behaviour or column, or a cell for one AU, says."""

    au: int
    side: AUSide
    intensity: Intensity | None = None
    face: int = 1


_WORDS = "both|bilateral|left|right|asymmetric"
_NAME = re.compile(
    rf"(?P<before>{_WORDS}|[LRAB])?~(?:AU|AD|M)?~(?P<au>\d{{1,2}})"
    rf"~(?P<intensity>[A-E])?~(?P<after>{_WORDS}|[LR])?~(?P<last>[A-E])?".replace("~", r"[\s_.-]*"),
    re.I,
)
"""As ``facs.notation`` reads one AU, with words for sides; B before the number is both, as in the page."""
_SIDE_WORDS: dict[str, AUSide] = {
    "": "both", "b": "both", "both": "both", "bilateral": "both", "l": "left", "left": "left", "r": "right",
    "right": "right", "a": "asymmetric", "asymmetric": "asymmetric",
}  # fmt: skip


def parse_name(text: str) -> AUName | None:
    """AU, side and intensity of a name ("AU12 left", "12L", "L12C"); None where it names no AU, or two sides
    or intensities. Behind the number A to E are intensities, before it A is asymmetric.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None or int(found["au"]) not in ENTRIES:
        return None
    if (found["before"] and found["after"]) or (found["intensity"] and found["last"]):
        return None
    side = _SIDE_WORDS[(found["before"] or found["after"] or "").lower()]
    grade: Any = (found["intensity"] or found["last"] or "").upper() or None
    return AUName(int(found["au"]), side, grade)


def stated_or_named(stated: Any, named: Any, what: str, where: str) -> Any:
    """The side or intensity that a cell of its own states, else that of the AU's name.

    Raises: DeftError where the two differ; a name without a side leaves it open.
    """
    if stated and named not in (None, "both", stated):
        raise DeftError(
            f"{where}: {what} {stated!r} contradicts the name of the AU ({named}); correct one of them."
        )
    return stated or named


def event_at(
    clock: FrameClock,
    *,
    where: str,
    au: int,
    side: AUSide = "both",
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
    onset_time: float | None = None,
    apex_time: float | None = None,
    offset_time: float | None = None,
    **rest: Any,
) -> CodedEvent:
    """An event from frames, from seconds, or from both where they agree; ``where`` names file and row.

    Raises: DeftError where neither is given, the two contradict each other, or the order is wrong.
    """
    points: dict[str, Any] = {}
    for name, frame, time in (
        ("onset", onset, onset_time), ("apex", apex, apex_time), ("offset", offset, offset_time),
    ):  # fmt: skip
        if frame is None and time is None:
            if name != "apex":
                raise DeftError(f"{where}: has no {name}; give a frame index or a time.")
            continue
        points[name], points[f"{name}_time"] = _point(clock, where, name, frame, time)
    try:
        return CodedEvent(au=au, side=side, **points, **rest)
    except ValueError as error:
        raise DeftError(f"{where}: {_reason(error)}.") from error


def _reason(error: ValueError) -> str:
    """What pydantic found wrong, with the field's name where it is one field's fault."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    field = f"{first['loc'][0]}: " if first["loc"] else ""
    return field + first["msg"].removeprefix("Value error, ")


def _point(
    clock: FrameClock, where: str, name: str, frame: int | None, time: float | None
) -> tuple[int, float]:
    if time is not None and not (math.isfinite(time) and 0 <= time < 1e7):
        raise DeftError(f"{where}: {name} at {time} s is no time of a video; give seconds from its start.")
    _check_end(clock, where, name, frame, time)
    if frame is None:
        assert time is not None
        frame = clock.frame_of(time)
        return frame, clock.time_of(frame)
    if time is not None and abs(time - clock.time_of(frame)) * clock.fps > TIME_TOLERANCE:
        raise DeftError(
            f"{where}: {name} is frame {frame} ({clock.time_of(frame):.3f} s at {clock.fps:g} frames "
            f"per second) and {time:.3f} s; correct one of them, or give the right rate with --fps."
        )
    return frame, clock.time_of(frame)


def _check_end(clock: FrameClock, where: str, name: str, frame: int | None, time: float | None) -> None:
    """Raises: DeftError for a point after the last frame of a video whose frames are known."""
    if clock.times is None or not len(clock.times):
        return
    count, last = len(clock.times), float(clock.times[-1])
    if time is not None and (time - last) * clock.fps > PAST_END:
        said = f"{time:.3f} s"
    elif frame is not None and frame >= count:
        said = f"frame {frame}"
    else:
        return
    raise DeftError(
        f"{where}: {name} ({said}) lies after the last of the video's {count} frames ({last:.3f} s); "
        "give the video that was coded."
    )


def is_rate(one: float, other: float) -> bool:
    """Whether two frame rates are one (``SAME_RATE``)."""
    return abs(one - other) <= SAME_RATE * one


def clock_for(clock: FrameClock | None, rates: Iterable[float], path: Path | str) -> FrameClock | None:
    """The clock of a coding: ``clock``, else one of the only rate that the file states; None without both.

    Raises: DeftError for several rates, and for one that is not the constant rate of ``clock``; where the
    frame times of the video are known, they hold whatever the file states.
    """
    if clock is None:
        stated = {FrameClock(rate).fps for rate in rates}
        if len(stated) > 1:
            named = " and ".join(f"{rate:g}" for rate in sorted(stated))
            raise DeftError(f"{path}: states {named} frames per second; correct it, or give --media.")
        return FrameClock(stated.pop()) if stated else None
    if clock.times is None:
        for rate in rates:
            if rate > 0 and not is_rate(rate, clock.fps):
                raise DeftError(
                    f"{path}: states {rate:g} frames per second, and --fps says {clock.fps:g}; correct one "
                    "of them."
                )
    return clock


def only_coder(names: Iterable[str], path: Path) -> str:
    """The coder whom a file names, "" where it names none. Raises: DeftError for several."""
    coders = sorted(set(names) - {""})
    if len(coders) > 1:
        raise DeftError(
            f"{path}: holds events of {len(coders)} coders ({', '.join(coders[:3])}); "
            "give one coder per file."
        )
    return coders[0] if coders else ""


def reader_of(text: str, delimiter: str) -> Any:
    """A ``csv`` reader of a table; a first line that names the delimiter to a spreadsheet ("sep=;") is none
    of its rows."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    if text[:4].lower() == "sep=":
        next(reader)
    return reader


def rows_in(reader: Any, path: Path) -> Iterator[Any]:
    """The rows of a ``csv`` reader. Raises: DeftError for a line that cannot be cut into cells."""
    try:
        yield from reader
    except csv.Error as error:
        fault = f"has a {error}; close the quotes of its cells"
        if "new-line" in str(error):
            fault = "holds a carriage return within a line; put that cell into quotes, or save the table anew"
        line = getattr(reader, "reader", reader).line_num  # a DictReader's own is that of the row before
        raise DeftError(f"{path}, line {line}: {fault}.") from error


def number_in(text: str, where: str) -> float:
    """The number that a cell holds. Raises: DeftError for any other text."""
    try:
        if "_" in text:  # Python's own notation
            raise ValueError(text)
        return float(text)
    except ValueError as error:
        raise DeftError(f"{where}: {text[:40]!r} is no number; correct the cell.") from error


def whole_number_in(text: str | None, where: str) -> int | None:
    """The frame index or other whole number from 0 that a cell holds, None where it is empty.

    Raises: DeftError for any other text.
    """
    if not text:
        return None
    value = number_in(text, where)
    if value != value or abs(value) > 1e9 or value != int(value) or value < 0:
        raise DeftError(f"{where}: {text[:40]!r} is no frame index; write a whole number from 0.")
    return int(value)


def choice_in(text: str, known: tuple[str, ...], where: str) -> Any:
    """That of ``known`` which a cell names, in whatever case. Raises: DeftError for another word."""
    for option in known:
        if text.lower() == option.lower():
            return option
    raise DeftError(f"{where} {text!r} is unknown; write one of {', '.join(known)}.")


def media_name(path: str) -> str:
    """The file name of a media reference, whatever machine wrote it (``file:///C:/a/b.mp4`` -> ``b.mp4``)."""
    return Path(path.replace("\\", "/").removeprefix("file://")).name
