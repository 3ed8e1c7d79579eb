"""Which Action Units a training answer names: those of the labels, of the flow, of both, or of neither.

Uni-MER's answers stand under two constraints, AU labels and optical flow. The other rules are there for
ablations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from deft_llm.aus.calibration import load_calibration
from deft_llm.aus.support import AUSupport, measure_support
from deft_llm.aus.verdict import verdicts
from deft_llm.facs.emotions import FINE
from deft_llm.facs.units import entry
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.motion.measure import motion_from_flow
from deft_llm.records import ActionUnit, AUSide
from deft_llm.synth.core.prior import load_prior
from deft_llm.training.flow_text import side_of

TextRule = Literal["both", "labels", "flow", "neither"]
"""``labels``: what the coder wrote. ``flow``: what the measured motion shows, no label read. ``both``: labels
that the motion supports. ``neither``: AUs that are usual for the clip's class, its motion and AUs unread."""


def shown_sides(
    rule: TextRule, maps: np.ndarray, labels: np.ndarray, fine: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Sides (N, A, 2) in {0, 1} of the AUs that each clip's answer names, in the order of EXPERT_AUS.

    maps (N, 3, H, W) relative u, v, strain of onset to apex; labels (N, A, 2) as coded; fine (N,) indices
    into FINE, -1 for none.
    """
    if rule == "labels":
        return labels
    if rule == "neither":
        return np.stack([_usual(int(label), rng) for label in fine])
    judge = _supported if rule == "both" else _seen
    return np.stack([judge(*clip) for clip in zip(maps, labels, strict=True)])


def miscoded(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Labels (N, A, 2) of which each AU is replaced by a wrong one with probability ``share``: half of these
    a neighbour or the wrong side, half any other (``falsified``)."""
    if not share:
        return labels
    rows = []
    for row in labels:
        units = units_of(row)
        kept = [
            falsified(units, place, EXPERT_AUS, rng)[1] if rng.random() < share else unit
            for place, unit in enumerate(units)
        ]
        rows.append(sides_of([(unit.number, unit.side) for unit in kept]))
    return np.stack(rows) if rows else labels


def units_of(row: np.ndarray) -> tuple[ActionUnit, ...]:
    """AUs of one clip's sides (A, 2)."""
    return tuple(
        ActionUnit(number=number, side=side_of(number, bool(left), bool(right)))
        for number, (left, right) in zip(EXPERT_AUS, row, strict=True)
        if left or right
    )


def sides_of(units: Sequence[tuple[int, AUSide]]) -> np.ndarray:
    """Sides (A, 2) float32 of AUs; those that the expert does not know are left out."""
    row = np.zeros((len(EXPERT_AUS), 2), np.float32)
    for number, side in units:
        if number in AU_INDEX:
            row[AU_INDEX[number]] = np.maximum(row[AU_INDEX[number]], (side != "right", side != "left"))
    return row


def _supports(clip: np.ndarray) -> list[AUSupport]:
    return measure_support(motion_from_flow("clip", clip[None, :2].astype(np.float32), units="relative"))


def _supported(clip: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels that the motion supports."""
    units = units_of(labels)
    found = verdicts(_supports(clip), units, load_calibration(), "relative")
    passed = {row.au for row in found if row.status == "supported"}
    return sides_of([(unit.number, unit.side) for unit in units if unit.number in passed])


def _seen(clip: np.ndarray, _labels: np.ndarray) -> np.ndarray:
    """The AUs that the motion fits, the strongest of look-alikes alone."""
    calibration = load_calibration()
    taken: set[int] = set()
    found = []
    for support in sorted(_supports(clip), key=lambda one: -one.support):
        limit = calibration.unlabelled_threshold("relative", support.au)
        if not support.judged or limit is None or support.support < limit or support.au in taken:
            continue
        taken |= {support.au, *entry(support.au).look_alikes}
        found.append((support.au, support.side))
    return sides_of(found)


def _usual(fine: int, rng: np.random.Generator) -> np.ndarray:
    """A set of AUs that is usual for a label, on both sides."""
    prior = load_prior("facs")
    if fine < 0 or FINE[fine] not in prior.combinations:
        return sides_of([])
    return sides_of([(number, "both") for number in prior.draw_aus(rng, FINE[fine])])


NEIGHBOURS = {1: 2, 2: 1, 4: 7, 7: 4, 9: 10, 10: 9, 12: 14, 14: 12, 15: 17, 17: 15}


OTHER_SIDE = {"left": "right", "right": "left"}


def falsified(
    truth: tuple[ActionUnit, ...], position: int, available: tuple[int, ...], rng: np.random.Generator
) -> tuple[str, ActionUnit]:
    """A false label in the place of a true one: at random, or its neighbour, or on the wrong side."""
    label = truth[position]
    present = {unit.number for unit in truth}
    if rng.random() < 0.5:
        near = NEIGHBOURS.get(label.number)
        options: list[tuple[str, ActionUnit]] = []
        if near and near not in present:
            options.append(("neighbour", label.model_copy(update={"number": near})))
        if label.side in OTHER_SIDE and entry(label.number).scoring == "sides":
            options.append(("wrong side", label.model_copy(update={"side": OTHER_SIDE[label.side]})))
        if options:
            return options[rng.integers(len(options))]
    absent = [au for au in available if au not in present]
    return "random", ActionUnit(number=int(rng.choice(absent)))
