"""Records of what was spotted: movements with the phases of their Action Units, and other events."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal[
    "micro-expression", "macro-expression", "movement", "blink", "eye closure", "head movement",
    "mouth movement in speech", "speech", "given",
]  # fmt: skip
NEAR_BORDER = "lies within one frame of"
MICRO_SECONDS = 0.5
"""Longest micro-expression, s, from onset to offset."""
SPOKEN: Kind = "mouth movement in speech"
SPOKEN_REASON = "The mouth moves in speech here: what else it does cannot be judged."
COVERED, BEYOND, DARK = "something covers it", "beyond the picture", "too dark"
"""Why a part of the face cannot be judged, beside SPOKEN (``Movement.hidden``)."""
STILL_HELD = "Its end is not seen: it is still held where it was seen last."
UNIT_HELD = "is not seen."
RISES_AGAIN = "Its end is not seen: it rises further before it goes back."
REPEATED = "It is brief, but one of several that come again at once, so it is no micro-expression."
"""Why a movement has no end, or is of its kind, where its times do not say so; UNIT_HELD ends the reason
where the end of one of its units is not seen."""
A_WORD = "The mouth alone moves, and briefly, which is mostly a word: it is not called a micro-expression."
SeenBy = Literal["state", "motion", "both"]
UnitPhase = Literal["rise", "release"]


@dataclass(frozen=True)
class RegionShift:
    """How one region moved from onset to apex: aligned px (right, down), its direction word, z."""

    region: str
    dx: float
    dy: float
    direction: str
    z: float


@dataclass(frozen=True)
class MovementUnit:
    """One Action Unit of a movement in one phase; frames are 0-based and inclusive.

    ``apex`` is where the unit has arrived: its height in a rise, its rest in a release. ``offset``: where
    the movement of this unit is over, None where that is not seen. Intensities are 0 to 5 over the person's
    neutral, None where the state does not read the unit. ``z``, ``px``, ``iod_percent`` and ``support``
    are the motion's, None until it is measured.
    """

    number: int
    side: str
    phase: UnitPhase
    onset: int
    apex: int
    offset: int | None
    onset_time: float
    apex_time: float
    offset_time: float | None
    intensity_before: float | None = None
    intensity_after: float | None = None
    confidence: float = 0.0
    seen_by: SeenBy = "state"
    z: float | None = None
    px: float | None = None
    iod_percent: float | None = None
    support: float | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """ "AU12 left", "release of AU12 left": as answers name it."""
        named = f"AU{self.number} {self.side}"
        return named if self.phase == "rise" else f"release of {named}"


def border(lasts: float, limit: float, fps: float) -> str:
    """Why micro and macro cannot be told apart where a movement ``lasts`` about the ``limit``, s; else ""."""
    if abs(lasts - limit) > 1.0 / fps:
        return ""
    return f"Its duration {NEAR_BORDER} {limit:g} s: micro or macro cannot be told for sure."


def bounds_of(seconds: float, fps: float) -> tuple[float, float]:
    """(least, most) s that a movement may last whose ends lie ``seconds`` apart, each known to one frame."""
    step = 1.0 / fps
    return max(0.0, seconds - step), seconds + step


class _Span:
    """What ends where its offset is seen, or is known up to its apex."""

    apex: int
    offset: int | None

    @property
    def end(self) -> int:
        """The last frame that is known to belong to it."""
        return self.apex if self.offset is None else self.offset


@dataclass(frozen=True)
class Movement(_Span):
    """One spotted movement; frames are 0-based and inclusive, offset is None where it is not seen.

    ``duration`` is (least, most) seconds, None without an offset: a frame's time is known to one frame only,
    so below 50 fps the interval is wide. ``strength`` ranks; ``judged`` is False where nothing may be said
    about the face, and ``reason`` says why. ``units``: the Action Units that go together in it;
    ``hidden``: region -> why it cannot be judged meanwhile.
    """

    kind: Kind
    onset: int
    apex: int
    offset: int | None
    onset_time: float
    apex_time: float
    offset_time: float | None
    duration: tuple[float, float] | None
    strength: float
    regions: tuple[RegionShift, ...] = ()
    judged: bool = True
    reason: str = ""
    face: int = 1
    units: tuple[MovementUnit, ...] = ()
    hidden: dict[str, str] = field(default_factory=dict)

    @property
    def is_release(self) -> bool:
        """Whether it is nothing but the end of an expression: it has no class of its own."""
        return bool(self.units) and all(unit.phase == "release" for unit in self.units)

    @property
    def called(self) -> str:
        """Its kind as people read it: a release has no other."""
        return "release" if self.is_release else self.kind

    @property
    def rises(self) -> tuple[MovementUnit, ...]:
        """The units that rise in it."""
        return tuple(unit for unit in self.units if unit.phase == "rise")

    def to_dict(self) -> dict[str, Any]:
        """As JSON in result.json."""
        record = asdict(self)
        record["aus"] = record.pop("units")
        return record


@dataclass(frozen=True)
class OtherEvent(_Span):
    """What is no facial expression: blink, wink, eyes closed, gaze, speech, head, occlusion, cut, darkness,
    face lost, face beyond the picture. Frames are inclusive; ``offset`` is None where the end is not seen;
    ``aus``: AU43, 45 or 46 of lids."""

    kind: str
    onset: int
    apex: int
    offset: int | None
    onset_time: float
    apex_time: float
    offset_time: float | None
    side: str | None = None
    face: int = 1
    aus: tuple[int, ...] = ()
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON in result.json."""
        return asdict(self)
