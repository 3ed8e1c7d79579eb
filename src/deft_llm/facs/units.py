"""The Action Units of FACS 2002: name, muscle, how sides are scored, and the motion that each one makes.

Directions are face-centric: ``medial`` > 0 toward the midline, ``up`` > 0 upwards. A motion names regions
of ``facs.regions`` without a side: it holds on both sides, each in its own medial direction. Weights say how
much of the AU's motion shows in each region and sum to 1. Written from FACS (Ekman, Friesen & Hager 2002).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from deft_llm.errors import UsageError
from deft_llm.facs.regions import MIDLINE_REGIONS

Scoring = Literal["sides", "parts", "whole"]
Pattern = Literal["translation", "converging", "diverging", "none"]


class RegionMotion(NamedTuple):
    """Where and which way an AU moves the skin: a region's name, a unit direction and its share."""

    region: str
    medial: float
    up: float
    weight: float


class AUEntry(NamedTuple):
    """One code of FACS. ``kind``: AU, AD (action descriptor), M (movement), eye, head, visibility, gross."""

    number: int
    kind: str
    name: str
    muscle: str = ""
    scoring: Scoring = "sides"
    pattern: Pattern = "none"
    motion: tuple[RegionMotion, ...] = ()
    look_alikes: tuple[int, ...] = ()


def _unit(
    number: int,
    name: str,
    muscle: str,
    scoring: Scoring,
    pattern: Pattern,
    motion: tuple[tuple[str, float, float, float], ...],
    look_alikes: tuple[int, ...],
    kind: str = "AU",
) -> AUEntry:
    total = sum(weight for *_, weight in motion)
    regions = tuple(
        RegionMotion(region, medial / math.hypot(medial, up), up / math.hypot(medial, up), weight / total)
        for region, medial, up, weight in motion
    )
    return AUEntry(number, kind, name, muscle, scoring, pattern, regions, look_alikes)


# fmt: off
_UPPER_FACE = (
    _unit(1, "inner brow raiser", "frontalis, pars medialis", "sides", "translation",
          (("inner brow", 0, 1, 6), ("forehead", 0, 1, 4)), (2, 53)),
    _unit(2, "outer brow raiser", "frontalis, pars lateralis", "sides", "translation",
          (("outer brow", 0, 1, 7), ("upper lid", 0, 1, 2), ("forehead", 0, 1, 1)), (1, 5)),
    _unit(4, "brow lowerer", "corrugator supercilii, depressor supercilii, procerus", "sides", "translation",
          (("inner brow", 0.5, -0.85, 5), ("glabella", 0, -1, 3), ("outer brow", 0.35, -0.95, 2)),
          (9, 7, 45)),
    _unit(5, "upper lid raiser", "levator palpebrae superioris", "sides", "translation",
          (("upper lid", 0, 1, 1),), (63, 45, 2)),
    _unit(6, "cheek raiser", "orbicularis oculi, pars orbitalis", "sides", "translation",
          (("cheek", 0.06, 1, 6), ("outer eye corner", 1, 0, 2), ("lower lid", 0, 1, 2)), (7, 12)),
    _unit(7, "lid tightener", "orbicularis oculi, pars palpebralis", "sides", "converging",
          (("lower lid", 0, 1, 65), ("upper lid", 0, -1, 35)), (45, 6, 43)),
)
_MIDDLE_FACE = (
    _unit(9, "nose wrinkler", "levator labii superioris alaeque nasi", "sides", "translation",
          (("nostril wing", 0, 1, 4), ("nose root", 0, 1, 2), ("nasolabial fold", 0, 1, 2),
           ("upper lip", 0, 1, 1), ("inner brow", 0.3, -0.95, 1)), (10, 4)),
    _unit(10, "upper lip raiser", "levator labii superioris", "sides", "translation",
          (("upper lip", 0, 1, 6), ("nasolabial fold", -0.2, 1, 4)), (9, 12, 11)),
    _unit(11, "nasolabial deepener", "zygomaticus minor", "sides", "translation",
          (("nasolabial fold", -0.6, 0.8, 7), ("upper lip", -0.6, 0.8, 3)), (10, 12)),
    _unit(31, "jaw clencher", "masseter", "whole", "translation", (("cheek", -1, 0, 1),), (6,)),
    _unit(38, "nostril dilator", "nasalis, pars alaris", "sides", "diverging",
          (("nostril wing", -1, 0, 1),), (9,)),
    _unit(39, "nostril compressor", "nasalis, pars transversa; depressor septi nasi", "sides", "converging",
          (("nostril wing", 1, 0, 1),), (38, 40)),
    _unit(40, "sniff", "nasalis", "whole", "translation",
          (("nostril wing", 0.6, 0.8, 1),), (39, 9), kind="AD"),
)
_LOWER_FACE = (
    _unit(8, "lips toward each other", "orbicularis oris", "whole", "converging",
          (("upper lip", 0, -1, 5), ("lower lip", 0, 1, 5)), (24, 28)),
    _unit(12, "lip corner puller", "zygomaticus major", "sides", "translation",
          (("mouth corner", -0.56, 0.83, 55), ("cheek", -0.1, 1, 25), ("nasolabial fold", -0.5, 0.85, 20)),
          (14, 13, 20, 6)),
    _unit(13, "sharp lip puller", "levator anguli oris", "sides", "translation",
          (("mouth corner", 0, 1, 7), ("cheek", 0, 1, 3)), (12, 11)),
    _unit(14, "dimpler", "buccinator", "sides", "translation",
          (("mouth corner", -0.6, 0.8, 8), ("upper lip", -0.8, 0.6, 1), ("lower lip", -0.8, 0.6, 1)),
          (12, 13, 24)),
    _unit(15, "lip corner depressor", "depressor anguli oris", "sides", "translation",
          (("mouth corner", -0.2, -1, 75), ("lower lip", -0.3, -0.95, 25)), (17, 20, 16)),
    _unit(16, "lower lip depressor", "depressor labii inferioris", "sides", "translation",
          (("lower lip", -0.3, -0.95, 8), ("chin", 0, -1, 2)), (25, 15, 26)),
    _unit(17, "chin raiser", "mentalis", "whole", "translation",
          (("chin", 0, 1, 55), ("lower lip", 0, 1, 45)), (24, 80)),
    _unit(18, "lip pucker", "incisivii labii superioris and inferioris", "parts", "converging",
          (("mouth corner", 1, 0, 2), ("upper lip", 1, 0, 1), ("lower lip", 1, 0, 1)), (22, 23, 50)),
    _unit(20, "lip stretcher", "risorius with platysma", "sides", "translation",
          (("mouth corner", -1, -0.15, 14), ("lower lip", -1, -0.1, 3), ("upper lip", -1, 0, 3)), (14, 12)),
    _unit(21, "neck tightener", "platysma", "whole", "translation",
          (("mouth corner", -0.5, -0.85, 5), ("chin", 0, -1, 5)), (15, 20)),
    _unit(22, "lip funneler", "orbicularis oris", "parts", "diverging",
          (("mouth corner", 1, 0, 4), ("upper lip", 0, 1, 3), ("lower lip", 0, -1, 3)), (18, 25, 50)),
    _unit(23, "lip tightener", "orbicularis oris", "parts", "converging",
          (("upper lip", 0, -1, 3), ("lower lip", 0, 1, 3), ("mouth corner", 1, 0, 4)), (24, 28, 18)),
    _unit(24, "lip pressor", "orbicularis oris", "whole", "converging",
          (("upper lip", 0, -1, 5), ("lower lip", 0, 1, 5)), (23, 17, 28)),
    _unit(25, "lips part", "depressor labii inferioris, or relaxed mentalis or orbicularis oris", "whole",
          "diverging", (("lower lip", 0, -1, 7), ("upper lip", 0, 1, 3)), (26, 16, 50)),
    _unit(26, "jaw drop", "relaxed masseter, temporalis and internal pterygoid", "whole", "translation",
          (("chin", 0, -1, 55), ("lower lip", 0, -1, 45)), (25, 27, 50)),
    _unit(27, "mouth stretch", "pterygoids, digastric", "whole", "translation",
          (("chin", 0, -1, 5), ("lower lip", 0, -1, 4), ("mouth corner", 0.5, -0.85, 1)), (26, 50)),
    _unit(28, "lip suck", "orbicularis oris", "parts", "converging",
          (("upper lip", 0, -1, 4), ("lower lip", 0, 1, 4), ("chin", 0, 1, 2)), (24, 23)),
)
_LID_DOWN = (("upper lid", 0.0, -1.0, 9.0), ("lower lid", 0.0, 1.0, 1.0))
_EYES = (
    _unit(41, "lid droop", "relaxed levator palpebrae superioris", "sides", "translation",
          (("upper lid", 0, -1, 1),), (43, 64)),
    _unit(42, "slit", "orbicularis oculi", "sides", "converging", _LID_DOWN, (43, 44)),
    _unit(43, "eye closure", "relaxed levator palpebrae superioris", "sides", "translation", _LID_DOWN,
          (45, 64, 7)),
    _unit(44, "squint", "orbicularis oculi, pars palpebralis", "sides", "converging",
          (("lower lid", 0, 1, 5), ("upper lid", 0, -1, 5)), (7, 43)),
    _unit(45, "blink", "relaxed levator palpebrae superioris; orbicularis oculi, pars palpebralis", "whole",
          "translation", _LID_DOWN, (43, 7, 64)),
    _unit(46, "wink", "orbicularis oculi", "sides", "translation", _LID_DOWN, (45, 43)),
)

_OTHER_CODES = {
    "AU": {0: "neutral face", 3: "brow knitter (infants)"},
    "AD": {19: "tongue show", 29: "jaw thrust", 30: "jaw sideways", 32: "bite", 33: "blow", 34: "puff",
           35: "cheek suck", 36: "tongue bulge", 37: "lip wipe"},
    "head": {51: "head turn left", 52: "head turn right", 53: "head up", 54: "head down",
             55: "head tilt left", 56: "head tilt right", 57: "head forward", 58: "head back"},
    "M": {59: "head nod up and down", 60: "head shake side to side", 83: "head upward and to the side"},
    "eye": {61: "eyes turn left", 62: "eyes turn right", 63: "eyes up", 64: "eyes down", 65: "walleye",
            66: "cross-eye", 68: "eyes roll up", 69: "eyes and head look at another person"},
    "visibility": {70: "brows and forehead not visible", 71: "eyes not visible", 72: "lower face not visible",
                   73: "entire face not visible", 74: "unscorable"},
    "gross": {50: "speech", 80: "swallow", 81: "chewing", 82: "shoulder shrug",
              84: "head shake back and forth", 85: "head nod", 91: "flash", 92: "partial flash",
              97: "shiver or tremble", 98: "fast up-down look"},
}
# fmt: on

ENTRIES: dict[int, AUEntry] = {
    entry.number: entry
    for entry in sorted(
        (
            *_UPPER_FACE,
            *_MIDDLE_FACE,
            *_LOWER_FACE,
            *_EYES,
            *(
                AUEntry(number, kind, name, scoring="whole")
                for kind, names in _OTHER_CODES.items()
                for number, name in names.items()
            ),
        )
    )
}
"""Every code by its number."""

BENCHMARK_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
MICRO_AUS = (
    1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28, 31, 38, 39, 43,
    45,
)  # fmt: skip
"""What micro-expression corpora code on visible skin: the AUs whose support is measured."""

OCTANTS = ("up", "up-medial", "medial", "down-medial", "down", "down-lateral", "lateral", "up-lateral")
"""Direction words, 45 degrees from one to the next, from up towards the midline."""


def entry(number: int) -> AUEntry:
    """The entry of a code. Raises: UsageError for a number that FACS does not have."""
    try:
        return ENTRIES[number]
    except KeyError:
        raise UsageError(f"AU{number}: FACS has no such code; see deft_llm.facs.units.ENTRIES.") from None


def name(number: int) -> str:
    """The name of a code, "lip corner puller"."""
    return entry(number).name


def number_of(name: str) -> int:
    """The number of a code by its name. Raises: UsageError for an unknown name."""
    for candidate in ENTRIES.values():
        if candidate.name == name.strip().lower():
            return candidate.number
    raise UsageError(f"{name!r}: FACS has no unit of this name; see deft_llm.facs.units.ENTRIES.")


def octant(medial: float, up: float) -> str:
    """The nearest of eight direction words for a face-centric vector."""
    return OCTANTS[round(math.atan2(medial, up) / (math.pi / 4)) % 8]


def valid_directions(number: int, region: str) -> tuple[str, ...]:
    """Direction words that FACS admits for an AU in a region: its template's octant and both neighbours.

    Converging and diverging AUs add that word. Midline regions have no medial side.
    """
    code = entry(number)
    words: list[str] = []
    for motion in code.motion:
        if motion.region != region:
            continue
        middle = OCTANTS.index(octant(motion.medial, motion.up))
        words += [OCTANTS[(middle + step) % 8] for step in (0, -1, 1)]
    if region in MIDLINE_REGIONS:
        words = [word.replace("medial", "lateral") for word in words]
    if words and code.pattern in ("converging", "diverging"):
        words.append(code.pattern)
    return tuple(dict.fromkeys(words))


def valid_sides(number: int) -> tuple[str, ...]:
    """Side or part words that FACS scores for an AU: "both" first."""
    scoring = entry(number).scoring
    if scoring == "sides":
        return ("both", "left", "right", "asymmetric")
    return ("both", "upper", "lower") if scoring == "parts" else ("both",)


def is_valid(number: int, side: str, region: str, direction: str) -> bool:
    """Whether FACS admits this AU with this side (or part), region name and direction word."""
    return number in ENTRIES and side in valid_sides(number) and direction in valid_directions(number, region)
