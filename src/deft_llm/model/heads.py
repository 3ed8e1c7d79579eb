"""From the frozen expert to classes and AUs without any training: head, AU rules and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deft_llm.answer import COARSE
from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE, coarse_of, emotion_scores, objective_class
from deft_llm.facs.units import entry
from deft_llm.model.predictor import Reading
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import AUSide, Coarse


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function, safe for large values."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -40, 40)))


def au_probabilities(reading: Reading, calibration: dict[str, Any] | None = None) -> np.ndarray:
    """(N, A, 2) probabilities left, right; 0.5 decides after the checkpoint's calibration (scale, bias per
    AU)."""
    logits = reading.au_logits()
    scale, bias = _calibration(calibration)
    return sigmoid(logits * scale[:, None] + bias[:, None])


def presence_logits(reading: Reading, calibration: dict[str, Any] | None = None) -> np.ndarray:
    """(N, A) logit that the AU is there on either side."""
    scale, bias = _calibration(calibration)
    return reading.au_logits().max(-1) * scale + bias


def evident_aus(reading: Reading, calibration: dict[str, Any] | None = None) -> list[tuple[int, ...]]:
    """Per clip the AUs that the expert sees surely enough to stand as evidence in an answer.

    The checkpoint's ``au_sure`` holds the calibrated logit from which on validation subjects' statements were
    right at the wanted precision (``training.export.calibrate``); without it every AU may be named.
    """
    sure = (calibration or {}).get("au_sure")
    if sure is None:
        return [EXPERT_AUS] * len(reading.au)
    passed = presence_logits(reading, calibration) >= np.asarray(sure, float)
    return [tuple(number for number, there in zip(EXPERT_AUS, row) if there) for row in passed]


def seen_sides(reading: Reading, calibration: dict[str, Any] | None = None) -> list[dict[int, AUSide]]:
    """Per clip the side of each AU that FACS sides, were it there: both where the weaker side's calibrated
    logit is above 0 as well, else the stronger side, the subject's own."""
    scale, bias = _calibration(calibration)
    logits = reading.au_logits() * scale[:, None] + bias[:, None]
    return [
        {
            number: "both" if sides.min() > 0 else ("left" if sides[0] > sides[1] else "right")
            for number, sides in zip(EXPERT_AUS, row) if entry(number).scoring == "sides"
        }
        for row in logits
    ]  # fmt: skip


BALANCE = 0.5
"""Share of the training clips' class prior that is taken out of the coarse head: scores weigh classes alike,
but without any prior the rarer ones would be favoured too much where clips are faint."""


def class_offsets(calibration: dict[str, Any] | None) -> np.ndarray:
    """(3,) to add to the coarse head's logits; 0 where the training clips' ``class_shares`` are unknown."""
    shares = (calibration or {}).get("class_shares")
    return np.zeros(len(COARSE)) if shares is None else -BALANCE * np.log(np.asarray(shares, float))


def coarse_chances(reading: Reading, calibration: dict[str, Any] | None) -> np.ndarray:
    """(N, 3) probabilities of the coarse classes, the training clips' prior partly taken out."""
    return softmax(reading.coarse_logits() + class_offsets(calibration))


def plausible_classes(
    reading: Reading, calibration: dict[str, Any] | None = None, least: float = 0.4
) -> list[tuple[Coarse, ...]]:
    """Per clip the coarse classes that the emotion head gives at least ``least``, or else the likeliest."""
    chances = coarse_chances(reading, calibration)
    return [
        tuple(name for name, p in zip(COARSE, row) if p >= min(least, row.max())) for row in chances
    ]  # fmt: skip


def _calibration(calibration: dict[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    if not calibration:
        return np.ones(len(EXPERT_AUS)), np.zeros(len(EXPERT_AUS))
    return np.asarray(calibration["au_scale"], float), np.asarray(calibration["au_bias"], float)


def class_log_probabilities(
    reading: Reading, classes: Sequence[str], calibration: dict[str, Any] | None = None, rules: float = 0.0
) -> np.ndarray:
    """(N, K) log probabilities of ``classes``: coarse names, fine names or objective classes I..VII.

    ``rules`` is the weight of EMFACS-style rules on the AU probabilities beside the emotion head.
    Raises: UsageError for a class that neither knows.
    """
    present = sigmoid(presence_logits(reading, calibration))
    if set(classes) <= set(COARSE):
        head = np.log(coarse_chances(reading, calibration) + 1e-6)
        columns = [COARSE.index(name) for name in classes]
    elif set(classes) <= set(FINE):
        head = np.log(softmax(reading.fine_logits()) + 1e-6)
        columns = [FINE.index(name) for name in classes]
    elif set(classes) <= {"I", "II", "III", "IV", "V", "VI", "VII"}:
        return _objective(present, classes)
    else:
        raise UsageError(
            f"classes {', '.join(classes)}: without training, deft knows {', '.join(COARSE + FINE)}."
        )
    found = head[:, columns]
    if rules:
        found = (1 - rules) * found + rules * np.log(_rules(present, classes) + 1e-3)
    return np.log(softmax(found) + 1e-9)


def _rules(present: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    rows = np.zeros((len(present), len(classes)))
    for index, row in enumerate(present):
        scores = emotion_scores({number: float(row[AU_INDEX[number]]) for number in EXPERT_AUS})
        for fine, score in scores.items():
            name = fine if fine in classes else coarse_of(fine)
            if name in classes:
                rows[index, classes.index(name)] += score
    return rows / rows.sum(1, keepdims=True).clip(1e-9)


def _objective(present: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    rows = np.full((len(present), len(classes)), 0.02)
    for index, row in enumerate(present):
        found = objective_class([number for number in EXPERT_AUS if row[AU_INDEX[number]] >= 0.5])
        if found in classes:
            rows[index, list(classes).index(found)] = 1.0
    return np.log(rows / rows.sum(1, keepdims=True))
