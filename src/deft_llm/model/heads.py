"""From a readout to classes, AUs and sides: the experts' logits with the checkpoint's calibration;
nothing is fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, logit, softmax

from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE, coarse_of, emotion_scores, objective_class
from deft_llm.facs.units import entry
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import COARSE, AUSide

if TYPE_CHECKING:
    from deft_llm.model.readout import Readout

Calibration = dict[str, Any]
"""What a checkpoint knows of its heads: ``au_scale``, ``au_bias`` (one number per AU), ``class_shares`` of
its training clips and, where it was trained on faces, ``measured``: what ``Measured`` holds."""

OBJECTIVE = ("I", "II", "III", "IV", "V", "VI", "VII")
BALANCE = 0.5
"""Share of the training clips' class prior that is taken out of the coarse head: scores weigh classes alike,
but without any prior the rarer ones would be favoured too much where clips are faint."""
ONE_SIDED = 0.15
"""Difference of the two sides' probabilities from which on an AU is one-sided: of .05 to .5 that which tells
most sides of true AUs on 560 flow-level maps rightly. On others (docs/results/model.md, sides) it does so for
.86 of those that are said to be there, on the second simulator's for .92; .35, which stood here before, for
.84 and .89: there it found less than half as many one-sided ones."""
LEAST_CHANCE = 1e-6


def au_logits(readout: Readout, calibration: Calibration | None = None) -> np.ndarray:
    """(N, A, 2) logits left, right after the calibration: above 0, the AU is there. Of an AU that was
    measured in px what the flow alone supports (``Readout.support``) counts as well."""
    scale, offset = _au_calibration(readout, calibration)
    return readout.au.numpy() * scale + offset


def au_probabilities(readout: Readout, calibration: Calibration | None = None) -> np.ndarray:
    """(N, A, 2) probabilities left, right; 0.5 decides."""
    return expit(au_logits(readout, calibration))


def presence_logits(readout: Readout, calibration: Calibration | None = None) -> np.ndarray:
    """(N, A) logit that the AU is there on either side."""
    return au_logits(readout, calibration).max(-1)


class Measured(NamedTuple):
    """Calibration of AUs whose motion was measured in px, (A,) each: weights of the experts' logit and of the
    logit by which the flow supports the AU, and the bias."""

    au: np.ndarray
    support: np.ndarray
    bias: np.ndarray


def _au_calibration(readout: Readout, calibration: Calibration | None) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset (N, A, 2) of the experts' AU logits."""
    shape = readout.au.shape
    if not calibration:
        return np.ones(shape), np.zeros(shape)
    of_au = lambda values: np.asarray(values, float)[:, None]  # noqa: E731
    scale, offset = (np.broadcast_to(of_au(calibration[name]), shape) for name in ("au_scale", "au_bias"))
    if readout.support is None or not calibration.get("measured"):
        return scale, offset
    weights = Measured(**{name: of_au(values) for name, values in calibration["measured"].items()})
    support = readout.support.numpy()
    known = np.isfinite(support)
    seen = weights.support * support + weights.bias
    return np.where(known, weights.au, scale), np.where(known, seen, offset)


def seen_sides(chances: np.ndarray) -> list[dict[int, AUSide]]:
    """Per clip the side of each AU that FACS sides, were it there: the side whose probability is higher by
    ``ONE_SIDED`` or more, the subject's own, else both. ``chances`` (N, A, 2): ``au_probabilities``."""
    return [
        {
            number: side_of(left, right)
            for number, (left, right) in zip(EXPERT_AUS, row) if entry(number).scoring == "sides"
        }
        for row in chances
    ]  # fmt: skip


def side_of(left: float, right: float) -> AUSide:
    """The side on which an AU is told whose sides have these probabilities."""
    return "both" if abs(left - right) < ONE_SIDED else ("left" if left > right else "right")


def class_offsets(calibration: Calibration | None) -> np.ndarray:
    """(3,) to add to the coarse head's logits; 0 where the training clips' ``class_shares`` are unknown."""
    shares = (calibration or {}).get("class_shares")
    return np.zeros(len(COARSE)) if shares is None else -BALANCE * np.log(np.asarray(shares, float))


def coarse_chances(readout: Readout, calibration: Calibration | None = None) -> np.ndarray:
    """(N, 3) probabilities of the coarse classes, the training clips' prior partly taken out."""
    return softmax(readout.coarse.numpy() + class_offsets(calibration), -1)


def class_log_probabilities(
    readout: Readout, classes: Sequence[str], calibration: Calibration | None = None
) -> np.ndarray:
    """(N, K) log probabilities of ``classes``: coarse names, fine names or objective classes I..VII.

    Raises: UsageError for a class that the heads do not know.
    """
    if set(classes) <= set(COARSE):
        chances = coarse_chances(readout, calibration)[:, [COARSE.index(name) for name in classes]]
    elif set(classes) <= set(FINE):
        chances = softmax(readout.fine.numpy(), -1)[:, [FINE.index(name) for name in classes]]
    elif set(classes) <= set(OBJECTIVE):
        return _objective(expit(presence_logits(readout, calibration)), classes)
    else:
        raise UsageError(
            f"classes {', '.join(classes)}: without training, deft knows {', '.join(COARSE + FINE)}."
        )
    return log_softmax(np.log(chances + LEAST_CHANCE), -1)


def _objective(present: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """(N, K) log probabilities of objective classes, which the AUs (N, A) determine."""
    rows = np.full((len(present), len(classes)), 0.02)
    for index, row in enumerate(present):
        found = objective_class([number for number in EXPERT_AUS if row[AU_INDEX[number]] >= 0.5])
        if found in classes:
            rows[index, list(classes).index(found)] = 1.0
    return np.log(rows / rows.sum(1, keepdims=True))


def with_beliefs(
    readout: Readout, aus: dict[int, np.ndarray], classes: dict[str, np.ndarray],
    calibration: Calibration | None = None,
) -> Readout:  # fmt: skip
    """The readout with adapted beliefs, as ``class_log_probabilities`` and ``presence_logits``
    then find them.

    ``aus``: AU to (N,) probabilities that it is there, ``classes``: coarse or fine names to (N,)
    probabilities; others stay as they are. An AU's two sides keep their distance. This is what a refit on
    a fold changes.
    """
    import torch

    au, scale = readout.au.clone(), _au_calibration(readout, calibration)[0]
    before = presence_logits(readout, calibration)
    for number, p in aus.items():
        place = AU_INDEX[number]
        moved = (logit(np.clip(p, 1e-6, 1 - 1e-6)) - before[:, place])[:, None] / scale[:, place]
        au[:, place] += torch.from_numpy(moved).to(au)
    adapted = replace(readout, au=au)
    for name, known in (("coarse", COARSE), ("fine", FINE)):
        if not classes or not set(classes) <= set(known):
            continue
        logits = np.full((len(readout), len(known)), np.log(LEAST_CHANCE))
        for label, p in classes.items():
            logits[:, known.index(label)] = np.log(np.maximum(p, LEAST_CHANCE))
        if name == "coarse":
            logits -= class_offsets(calibration)
        adapted = replace(adapted, **{name: torch.from_numpy(logits).to(readout.coarse)})
    return adapted


def with_stated(
    readout: Readout, stated: Sequence[Mapping[int, tuple[float, float]]],
    calibration: Calibration | None = None,
) -> Readout:  # fmt: skip
    """The readout with beliefs held to what else was measured of each clip (``Motion.stated``): the side of
    an AU that is stated with a probability of .5 and more is at least as likely, one below at most. Classes
    follow as far as units changed: by the ratio of what EMFACS makes of the units then and before."""
    import torch

    if not any(stated):
        return readout
    scale, offset = _au_calibration(readout, calibration)
    au, classes = readout.au.clone(), {name: getattr(readout, name).clone() for name in ("coarse", "fine")}
    before = au_probabilities(readout, calibration)
    for row, known in enumerate(stated):
        for number in known.keys() & AU_INDEX.keys():
            place, chances = AU_INDEX[number], np.clip(known[number], LEAST_CHANCE, 1 - LEAST_CHANCE)
            told = torch.from_numpy((logit(chances) - offset[row, place]) / scale[row, place]).to(au)
            least = torch.from_numpy(chances >= 0.5)
            own = au[row, place]
            au[row, place] = torch.where(least, own.maximum(told), own.minimum(told))
    after = au_probabilities(replace(readout, au=au), calibration)
    for row in map(int, np.flatnonzero((after != before).any((1, 2)))):
        was, now = (_emfacs(chances[row]) for chances in (before, after))
        for name, labels in (("coarse", COARSE), ("fine", FINE)):
            ratio = [np.log(now[label] / was[label]) for label in labels]
            classes[name][row] += torch.tensor(ratio).to(classes[name])
    return replace(readout, au=au, **classes)


def _emfacs(chances: np.ndarray) -> dict[str, float]:
    """Fine and coarse labels with what EMFACS makes of AU probabilities (A, 2), each above 0."""
    fine = emotion_scores({au: float(chances[place].max()) for au, place in AU_INDEX.items()})
    scores = {label: fine.get(label, 0.0) + LEAST_CHANCE for label in FINE}
    coarse = {c: sum(p for label, p in scores.items() if coarse_of(label) == c) for c in COARSE}
    return scores | coarse
