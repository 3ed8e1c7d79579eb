"""AUs read off a clip's motion without labels: probabilities, sides and evidence rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from deft_llm.answer import MAX_EVIDENCE, mark_of, statement_of
from deft_llm.aus.calibration import ALIASES, load_calibration
from deft_llm.aus.support import measure_support
from deft_llm.facs.units import entry, name, valid_directions
from deft_llm.facs.words import PARTNERS, noun, way
from deft_llm.records import AUSide, Evidence

if TYPE_CHECKING:
    from deft_llm.aus.support import AUSupport
    from deft_llm.store import Motion

# Units whose motion is a part of a commoner one's: where that one is seen, they say nothing of their own.
SHADOWS: dict[int, set[int]] = {11: {9, 10, 12}, 13: {12}}
LEAST_Z = 1.5
LEAST_SHARE = 1e-4  # of support and thresholds as probabilities
MOST_IOD = 30.0  # % of the inter-ocular distance; a wide smile moves a lip corner by some 20
FAINT = 0.25  # of the strongest unit's motion: what is weaker needs more support to count


@dataclass(frozen=True)
class MeasuredUnits:
    """What a clip shows: AU -> probability (0.5 decides), the side seen, evidence, strongest first."""

    aus: dict[int, float]
    sides: dict[int, AUSide]
    evidence: list[Evidence]
    not_judged: dict[int, str] = field(default_factory=dict)


def read_units(motion: Motion, thresholds: Mapping[int, float] | None = None) -> MeasuredUnits:
    """Read the AUs of a clip from its motion; ``thresholds`` on support replace the calibrated ones."""

    calibration = load_calibration()
    supports = measure_support(motion, calibration)
    limits = {
        support.au: model.threshold
        for support in supports
        if (model := calibration.models[motion.units].get(ALIASES.get(support.au, support.au)))
    } | dict(thresholds or {})
    aus = {
        s.au: probability(s.support, limits[s.au]) if s.judged and s.au in limits else 0.0 for s in supports
    }
    not_judged = {s.au: s.reason for s in supports if not s.judged}
    for support in supports:
        if fault := _implausible(support):
            aus[support.au], not_judged[support.au] = 0.0, fault
    ranked = sorted((s for s in supports if aus[s.au] >= 0.5), key=lambda s: -aus[s.au])
    there = {s.au for s in ranked}
    strongest = max((math.hypot(s.dx, s.dy) for s in ranked), default=0.0)
    evidence: list[Evidence] = []
    seen: set[int] = set()
    for support in ranked:
        rivals = seen & set(entry(support.au).look_alikes)
        faint = math.hypot(support.dx, support.dy) < FAINT * strongest
        shadowed = there & SHADOWS.get(support.au, set())
        if shadowed or ((rivals or faint) and aus[support.au] < 0.9):
            # The same motion cannot count for two units that look alike, nor its leak for one elsewhere.
            aus[support.au] = min(aus[support.au], 0.45)
            continue
        seen.add(support.au)
        evidence.append(_row(support))
    return MeasuredUnits(
        aus=aus,
        sides={s.au: s.side for s in ranked if s.au in seen},
        evidence=evidence,
        not_judged=not_judged,
    )


def _implausible(support: AUSupport) -> str:
    """Why a measured AU cannot be one; empty where nothing is against it (relative units: never)."""
    if support.iod_percent is None:
        return ""
    if support.iod_percent > MOST_IOD:
        return f"{support.iod_percent:.0f} % IOD is more than skin moves: the head turned or the flow failed"
    return f"z {support.z:.1f}: not above the clip's noise" if support.z < LEAST_Z else ""


def probability(support: float, threshold: float) -> float:
    """Support as a probability that is 0.5 at the threshold (a shift of the log odds)."""
    odds = logit(np.clip([support, threshold], LEAST_SHARE, 1 - LEAST_SHARE))
    return float(expit(odds[0] - odds[1]))


def _row(support: AUSupport) -> Evidence:
    words = valid_directions(support.au, support.region)
    return Evidence(
        au=support.au, side=support.side, part=support.part, region=support.region,
        direction=support.direction if support.direction in words or not words else words[0],
        dx=support.dx, dy=support.dy, px=support.px, iod_percent=support.iod_percent, z=support.z,
        phase=support.phase, support=support.support, status="supported", reason="measured, no coder's label",
    )  # fmt: skip


def describe(row: Evidence) -> str:
    """One row in words: "the right mouth corner moved up and outward by 1.0 px (2.3 % IOD)"; without figures
    of the skin's motion where that does not show it."""
    size = "" if row.px is None else f" by {row.px:.1f} px ({row.iod_percent:.1f} % IOD)"
    return moved_words(row) + (f" ({mark})" if (mark := mark_of(row)) else size)


def moved_words(row: Evidence) -> str:
    """What moved and which way: "both inner brows moved up", "the lips moved apart"."""
    region = statement_of(row).region
    if row.direction in TOGETHER:
        where = f" on the {row.side}" if row.side in ("left", "right") else ""
        subject, went = f"the {PARTNERS.get(region, region)}{where}", TOGETHER[row.direction]
    else:
        subject, _ = noun(region, row.side)
        went = f"moved {'unevenly ' * (row.side == 'asymmetric')}{way(region, row.direction)}"
    if row.part and not region.startswith(row.part):
        subject = f"the {row.part} part of {subject}"
    return f"{subject} {went}"


TOGETHER = {"converging": "drew together", "diverging": "moved apart"}


def rationale(
    evidence: Sequence[Evidence], label: str | None, share: float, source: str = "EMFACS-style rules give"
) -> str:
    """Why the evidence points to a class, as a chain from motion over AU to the coders' label."""
    if not evidence:
        return "No Action Unit stands above the noise of this clip, so no class is determined by them."
    told = evidence[:MAX_EVIDENCE]
    ways: dict[str, str] = {}
    for row in told:  # the same skin may speak for two units
        ways.setdefault(moved_words(row), describe(row))
    moved = "; ".join(ways.values())
    coded = ", ".join(f"AU{row.au} ({name(row.au or 0)})" for row in told)
    said = moved[0].upper() + moved[1:] + f". FACS scores this as {coded}."
    if label is None:
        return said + (" These AUs do" if len(told) > 1 else " This AU does") + " not determine a class."
    return said + f" {source} {label} {share:.0%}."
