"""Whether stated probabilities come true: expected calibration error and Brier score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """ECE over equal-width bins (Guo et al. 2017): mean over clips of |accuracy - confidence| of their bin.

    confidence (N,) in [0, 1]; correct (N,) boolean. Returns the error and the curve's points.
    """
    place = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    curve, error = [], 0.0
    for index in range(bins):
        inside = place == index
        if not inside.any():
            continue
        mean_confidence, accuracy = float(confidence[inside].mean()), float(correct[inside].mean())
        error += inside.mean() * abs(accuracy - mean_confidence)
        curve.append({"confidence": mean_confidence, "accuracy": accuracy, "clips": int(inside.sum())})
    return {"ece": float(error), "bins": curve}


def class_calibration(
    probabilities: Sequence[Mapping[str, float]], decided: Sequence[str | None], truth: Sequence[str]
) -> dict[str, Any] | None:
    """ECE and Brier score of class probabilities; None where a row carries none."""
    if not all(probabilities):
        return None
    confidence = np.array([p.get(d, 0.0) if d is not None else 0.0 for p, d in zip(probabilities, decided)])
    correct = np.array([d == t for d, t in zip(decided, truth)])
    brier = [
        sum((value - (name == t)) ** 2 for name, value in p.items()) + (0.0 if t in p else 1.0)
        for p, t in zip(probabilities, truth)
    ]
    return {**expected_calibration_error(confidence, correct), "brier": float(np.mean(brier))}
