"""The dual constraint of Uni-MER: what the flow supports, and whether an AU label agrees with it.

``measure_support`` reads no label and scores every AU of ``facs.units.MICRO_AUS``; ``judge`` holds labels
against it. What supported AUs explain, filters and thresholds come from the calibration file
(docs/explanation/unimer.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from deft_llm.aus.calibration import ALIASES, Calibration, load_calibration
from deft_llm.aus.dense import map_of
from deft_llm.aus.region_vectors import RegionVector, region_vector
from deft_llm.aus.rise import Rise, rise_of
from deft_llm.aus.second_pass import FirstPass, side_probabilities
from deft_llm.aus.sighting import Sighting, motion_of, sight, word_side
from deft_llm.aus.support_features import Explained, explain, features, strong_side
from deft_llm.facs.directions import direction_word
from deft_llm.facs.units import MICRO_AUS, entry
from deft_llm.records import AUSide, Phase
from deft_llm.store.motion import ALIGNED_IOD, Motion


@dataclass(frozen=True)
class AUSupport:
    """How well the flow alone supports one AU.

    support: [0, 1], from the calibrated filter, lowered where a plain limit fails (``limits``).
    side, part: where the motion is seen; region: a name of facs.regions without side; direction: a word of
    facs.regions.DIRECTIONS; dx, dy: its motion in aligned px (relative units on maps), on the subject's right
    (image left) for side "both" and "asymmetric", the left side mirrored onto it; z: motion over noise floor.
    px, iod_percent: source px and % of inter-ocular distance, None for relative units.
    sides: support of the subject's left and right side; time: how the motion rises; judged: False where the
    clip or the AU's regions could not be measured, with the ``reason``.
    """

    au: int
    side: AUSide
    part: str | None
    support: float
    z: float
    dx: float
    dy: float
    region: str
    phase: Phase = "onset-apex"
    judged: bool = True
    reason: str = ""
    direction: str = ""
    px: float | None = None
    iod_percent: float | None = None
    raw: float = 0.0
    limits: tuple[str, ...] = ()
    sides: tuple[float, float] = (0.0, 0.0)
    rise: Rise | None = None


LIMITED = 0.3  # a failed plain limit keeps this share of the support


def measure_support(
    motion: Motion, calibration: Calibration | None = None, aus: Sequence[int] = MICRO_AUS
) -> list[AUSupport]:
    """Support of every AU in ``aus`` from the motion alone, no labels read, in the order of ``aus``."""
    calibration = calibration or load_calibration()
    vector = region_vector(motion)
    fault = _clip_fault(vector, calibration)
    if fault:
        return [_not_judged(au, fault) for au in aus]
    explained = explain(vector, calibration)
    read = _map_readings(motion, calibration)
    asked = {ALIASES.get(au, au) for au in aus} - set(read)
    read |= _region_readings(explained, calibration, asked)
    return [_measure(au, motion, explained, calibration, read.get(ALIASES.get(au, au))) for au in aus]


class Reading(NamedTuple):
    """What the filters say of one AU.

    presence: [0, 1]; strong: its stronger side, "both" for midline AUs; second: [0, 1], how far the other
    side takes part; both: whether that counts as two-sided; from_map: read off a stretched map.
    """

    presence: float
    strong: str
    second: float
    both: bool
    from_map: bool = False


def _map_readings(motion: Motion, calibration: Calibration) -> dict[int, Reading]:
    """Readings of every AU that the filter bank knows, where the motion is a relative map."""
    if motion.units != "relative" or calibration.maps is None:
        return {}
    image = map_of(motion)
    if image is None:
        return {}
    odds = calibration.maps.odds(image[None])[0]
    shares = expit(odds)
    found = {}
    for column, au in enumerate(calibration.maps.numbers):
        raw, left, right = (float(x) for x in shares[:, column])
        second = min(left, right) / max(left, right, 1e-9)
        strong = "left" if left >= right else "right"
        found[au] = Reading(raw, strong, second, min(left, right) >= 0.5 or second >= 0.5, True)
    return found


def _region_readings(
    explained: Explained, calibration: Calibration, asked: Iterable[int]
) -> dict[int, Reading]:
    """Readings of AUs by the region filters; in px the second pass, which looks at all AUs, tells sides."""
    px = explained.motion.units == "px"
    models = calibration.models["px" if px else "relative"]
    first = {}
    for au in models if px else [au for au in asked if au in models]:
        found = features(explained, calibration, au)
        other = models[au].second_side
        first[au] = FirstPass(
            float(models[au].presence.probability(found)),
            strong_side(explained, calibration, au),
            float(other.probability(found)) if other else 1.0,
        )
    told = side_probabilities(explained.motion, calibration, first) if px else {}
    readings = {}
    for au, seen in first.items():
        both = told[au] >= 0.5 if au in told else seen.second >= models[au].side_threshold
        readings[au] = Reading(seen.presence, seen.strong, told.get(au, seen.second), both)
    return readings


def _clip_fault(vector: RegionVector, calibration: Calibration) -> str:
    if vector.usable.mean() < calibration.gates.minimum_usable:
        return f"only {vector.usable.mean():.0%} of the face's regions could be measured"
    if vector.scale <= 0:
        return "the clip holds no motion at all"
    return ""


def _not_judged(au: int, reason: str) -> AUSupport:
    region = entry(au).motion[0].region if entry(au).motion else "chin"
    return AUSupport(
        au, "both", None, 0.0, 0.0, 0.0, 0.0, region, judged=False, reason=reason, direction="up"
    )


def _measure(
    au: int, motion: Motion, explained: Explained, calibration: Calibration, read: Reading | None = None
) -> AUSupport:
    if read is None or ALIASES.get(au, au) not in calibration.atom_index:
        return _not_judged(au, "the calibration holds no motion template of this AU")
    raw, strong, second = read.presence, read.strong, read.second
    side = _side(au, explained, calibration, strong, read.both)
    seen = sight(au, side, explained.motion)
    if seen is None:
        return replace(_not_judged(au, "none of the AU's regions could be measured"), raw=raw)
    rise = rise_of(motion, au, side, calibration.gates)
    limits = _limits(seen, rise, explained.motion, calibration)
    hard = tuple(limit for limit in limits if "rise" in limit) if read.from_map else limits
    support = raw * (LIMITED if hard else 1.0)
    sides = (support, support * second) if strong != "right" else (support * second, support)
    return _complete(
        AUSupport(
            au,
            side,
            seen.part,
            support,
            seen.z,
            seen.dx,
            seen.dy,
            seen.region,
            reason="; ".join(limits),
            direction=seen.direction,
            raw=raw,
            limits=limits,
            sides=sides,
            rise=rise,
        ),
        motion,
    )


def _side(au: int, explained: Explained, calibration: Calibration, strong: str, both: bool) -> AUSide:
    if strong == "both" or entry(au).scoring != "sides":
        return "both"
    if not both:
        return "left" if strong == "left" else "right"
    positions = calibration.atom_index[ALIASES.get(au, au)]
    if "both" in positions:
        return "both"
    pair = explained.regression.amplitudes[[positions["left"], positions["right"]]]
    asymmetric = pair.min() < calibration.gates.asymmetry_ratio * pair.max()
    return "asymmetric" if asymmetric and explained.motion.units == "px" else "both"


def _limits(
    seen: Sighting, rise: Rise | None, vector: RegionVector, calibration: Calibration
) -> tuple[str, ...]:
    """What contradicts the AU in plain words; empty where nothing does."""
    gates = calibration.gates
    found = []
    if vector.units == "px" and seen.z < gates.minimum_z:
        found.append(
            f"motion does not stand above the noise floor (z {seen.z:.1f}, needs {gates.minimum_z:.1f})"
        )
    if not seen.fits:
        found.append(f"the {seen.region} moves {seen.direction}, which this AU does not do there")
    if rise is not None and not rise.rises:
        found.append(f"the motion does not rise to the apex (there {rise.at_apex:.0%} of its peak)")
    return tuple(found)


def seen_at(support: AUSupport, region: str, side: str, motion: Motion) -> AUSupport | None:
    """The same AU with the motion of another ``region`` and ``side``; None where that was not measured."""
    found = motion_of(region, side, region_vector(motion))
    if found is None:
        return None
    dx, dy, z = found
    word = direction_word(dx, dy, word_side(region, side))  # type: ignore[arg-type]
    return _complete(replace(support, region=region, dx=dx, dy=dy, z=z, direction=word), motion)


def _complete(support: AUSupport, motion: Motion) -> AUSupport:
    if motion.units != "px":
        return support
    length = float(np.hypot(support.dx, support.dy))
    px = length * motion.iod_px / ALIGNED_IOD if motion.iod_px else None
    return replace(support, px=px, iod_percent=100.0 * length / ALIGNED_IOD)
