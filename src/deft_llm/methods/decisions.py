"""Turns scores into probabilities that decide at 0.5, thresholds chosen on validation subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import Prediction

OPEN = -1
"""Truth of an AU, beside 0 and 1, that a clip's coder left open: nothing is learned or chosen from it."""


def best_threshold(truth: np.ndarray, score: np.ndarray) -> float:
    """Threshold of the best F1 of one AU: midway between the two scores it separates.

    Without positives nothing can be chosen: just above the highest score then.
    """
    if not (truth > 0).any():
        return float(score.max()) + 1e-6
    truth, score = truth[truth != OPEN].astype(bool), score[truth != OPEN]
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(score) + 1) + truth.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # equal scores cannot be parted
    best = int(np.argmax(f1))
    if best + 1 == len(ranked):
        return float(ranked[best]) - 1e-6
    return float(ranked[best] + ranked[best + 1]) / 2


def centred_probability(score: np.ndarray, threshold: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Logistic of (score - threshold) / scale: 0.5 at the threshold; (N, A) with (A,) parameters."""
    found: np.ndarray = expit((score - threshold) / np.maximum(scale, 1e-6))
    return found


def best_temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """Temperature of the least negative log likelihood on a grid (Guo et al. 2017); truth: class indices.

    Targets are smoothed by one clip a class (Platt 1999): a few separable clips must not give certainty.
    """
    if not len(truth):
        return 1.0
    grid = np.geomspace(0.05, 5, 25)
    targets = np.eye(scores.shape[1])[truth] + 1 / len(truth)
    losses = [-(targets * np.log(softmax(scores / t, -1) + 1e-12)).sum(1).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def class_rows(
    samples: Sequence[Sample], probabilities: np.ndarray, method: str, task: Task
) -> list[Prediction]:
    """Predictions of an emotion task from (N, C) probabilities in the order of task.classes."""
    return [
        _row(sample, method, task, probabilities=dict(zip(task.classes, _clean(row))))
        for sample, row in zip(samples, probabilities)
    ]


def unit_rows(
    samples: Sequence[Sample], probabilities: np.ndarray, method: str, task: Task
) -> list[Prediction]:
    """Predictions of an AU task from (N, A) probabilities in the order of task.aus."""
    names = [str(au) for au in task.aus]
    return [
        _row(sample, method, task, aus=dict(zip(names, _clean(row))))
        for sample, row in zip(samples, probabilities)
    ]


def _clean(row: np.ndarray) -> list[float]:
    return [round(float(min(max(value, 0.0), 1.0)), 6) for value in row]


def _row(sample: Sample, method: str, task: Task, **values: Any) -> Prediction:
    return Prediction(
        method=method,
        task=task.name,  # type: ignore[arg-type]
        clip_id=sample.clip_id,
        corpus=sample.corpus,
        subject=sample.subject,
        label_space=task.label_space,
        **values,
        question_id=sample.question.question_id if sample.question else None,
    )


def targets(samples: Sequence[Sample], task: Task) -> np.ndarray:
    """Class indices (N,) or AU truths (N, A) of labelled samples."""
    if task.name == "au":
        return unit_targets(samples, task.aus)
    index = {name: position for position, name in enumerate(task.classes)}
    return np.array([index[str(s.label)] for s in samples], np.int64)


def unit_targets(samples: Sequence[Sample], aus: Sequence[int]) -> np.ndarray:
    """Truths (N, A) of coded samples: 1 there, 0 absent, OPEN where the coder left it open."""
    rows = [[OPEN if au in s.open_aus else au in (s.aus or ()) for au in aus] for s in samples]
    return np.array(rows, np.int64).reshape(-1, len(aus))


def unit_shares(truth: np.ndarray) -> np.ndarray:
    """Shares (A,) of the clips that show each AU, of truths (N, A), over the clips where it is not OPEN."""
    found: np.ndarray = (truth > 0).sum(0) / (truth != OPEN).sum(0).clip(1)
    return found


def labelled(samples: Sequence[Sample], task: Task) -> list[Sample]:
    """Samples whose truth for the task is known, in order of clip id."""
    known = [s for s in samples if (s.aus if task.name == "au" else s.label) is not None]
    return sorted(known, key=lambda s: s.clip_id)
