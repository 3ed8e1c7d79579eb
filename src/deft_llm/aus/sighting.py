"""Where and which way an AU's motion is seen: the region that carries it, its direction and figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.aus.region_vectors import RegionVector
from deft_llm.facs.directions import direction_word, face_vector, image_vector
from deft_llm.facs.regions import MIDLINE_REGIONS, REGION_INDEX
from deft_llm.facs.units import RegionMotion, entry, valid_directions


@dataclass(frozen=True)
class Sighting:
    """region without side; dx, dy as in AUSupport; fits: FACS admits the direction for the AU there."""

    region: str
    direction: str
    dx: float
    dy: float
    z: float
    fits: bool
    part: str | None = None


def sight(au: int, side: str, vector: RegionVector) -> Sighting | None:
    """The AU's best-carrying region on ``side``, one that fits FACS where there is any; None if unusable."""
    found = [(_projection(part, side, vector), _seen(au, part, side, vector)) for part in entry(au).motion]
    usable = [(score, seen) for score, seen in found if seen is not None]
    if not usable:
        return None
    fitting = [(score, seen) for score, seen in usable if seen.fits]
    best = max(fitting or usable, key=lambda pair: pair[0])[1]
    return _with_pattern(au, best, vector)


def motion_of(region: str, side: str, vector: RegionVector) -> tuple[float, float, float] | None:
    """(dx, dy, z) of a region: midline, one side, or the mean of both mirrored onto the subject's right."""
    if region in MIDLINE_REGIONS:
        row = REGION_INDEX[region]
        if not vector.usable[row]:
            return None
        dx, dy = vector.vector[row]
        return float(dx), float(dy), float(np.hypot(dx, dy) / vector.floor[row])
    names = (side,) if side in ("left", "right") else ("left", "right")
    rows = [REGION_INDEX[f"{name} {region}"] for name in names]
    if not vector.usable[rows].all():
        return None
    turned = [
        face_vector(float(vector.vector[row, 0]), float(vector.vector[row, 1]), name)  # type: ignore[arg-type]
        for row, name in zip(rows, names, strict=True)
    ]
    medial, up = np.mean(turned, axis=0)
    dx, dy = image_vector(float(medial), float(up), names[0] if len(names) == 1 else "right")  # type: ignore[arg-type]
    floor = float(np.sqrt(np.mean(vector.floor[rows] ** 2)) / np.sqrt(len(rows)))
    return dx, dy, float(np.hypot(dx, dy) / floor)


def word_side(region: str, side: str) -> str:
    """The side in whose coordinates dx, dy of a row of evidence are to be read."""
    if region in MIDLINE_REGIONS:
        return "mid"
    return side if side in ("left", "right") else "right"


def _seen(au: int, part: RegionMotion, side: str, vector: RegionVector) -> Sighting | None:
    moved = motion_of(part.region, side, vector)
    if moved is None:
        return None
    dx, dy, z = moved
    word = direction_word(dx, dy, word_side(part.region, side))  # type: ignore[arg-type]
    return Sighting(part.region, word, dx, dy, z, word in valid_directions(au, part.region))


def _projection(part: RegionMotion, side: str, vector: RegionVector) -> float:
    moved = motion_of(part.region, side, vector)
    if moved is None:
        return -np.inf
    medial, up = face_vector(moved[0], moved[1], word_side(part.region, side))  # type: ignore[arg-type]
    floor = np.hypot(moved[0], moved[1]) / max(moved[2], 1e-9)
    return float((medial * part.medial + up * part.up) / max(floor, 1e-9) * np.sqrt(part.weight))


LIPS = ("upper lip", "lower lip")


def _with_pattern(au: int, seen: Sighting, vector: RegionVector) -> Sighting:
    """Converging and diverging AUs are told by two regions: name the pattern where both take part."""
    code = entry(au)
    if code.pattern not in ("converging", "diverging"):
        return seen
    parts = [part for part in code.motion if part.weight >= 0.2]
    moves = [_projection(part, "both", vector) > 0 for part in parts]
    pattern = code.pattern in valid_directions(au, seen.region) and len(parts) > 1 and all(moves)
    direction = code.pattern if pattern else seen.direction
    part_word = None
    if code.scoring == "parts" and seen.region in LIPS and not pattern:
        other = LIPS[1 - LIPS.index(seen.region)]
        if not any(move for part, move in zip(parts, moves, strict=True) if part.region == other):
            part_word = "upper" if seen.region == "upper lip" else "lower"
    return Sighting(seen.region, direction, seen.dx, seen.dy, seen.z, pattern or seen.fits, part_word)
