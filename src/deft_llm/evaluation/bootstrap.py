"""Confidence intervals and paired tests by resampling *subjects*: clips of one person are not independent.

Statistics are functions of summed per-subject counts, so a resample is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 2000
Statistic = Callable[[np.ndarray], np.ndarray]


def resampled(
    counts: np.ndarray, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Values (resamples,) of ``statistic`` on subjects drawn with replacement.

    counts: (S, ...) per-subject counts whose sum the statistic reads, batched: (B, ...) -> (B,).
    """
    subjects = counts.shape[0]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)
    flat = counts.reshape(subjects, -1)
    return statistic((weights @ flat).reshape(resamples, *counts.shape[1:]))


def interval(
    counts: np.ndarray,
    statistic: Statistic,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of ``statistic``; the point itself where only one subject is there."""
    if counts.shape[0] < 2:
        point = float(statistic(counts.sum(0, keepdims=True))[0])
        return point, point
    values = resampled(counts, statistic, resamples=resamples, seed=seed)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_test(
    first: np.ndarray, second: np.ndarray, statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Difference second - first on the same subjects: value, 95 % interval, and a two-sided permutation p.

    first, second: (S, ...) counts of the same subjects in the same order. The permutation swaps the two
    methods' predictions per subject (Good, *Permutation Tests*); p = (1 + hits) / (1 + permutations).
    """
    if first.shape != second.shape:
        raise ValueError(f"counts differ in shape: {first.shape} and {second.shape}")
    subjects = first.shape[0]
    point = float(statistic(second.sum(0)[None])[0] - statistic(first.sum(0)[None])[0])
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)
    a, b = first.reshape(subjects, -1), second.reshape(subjects, -1)
    shape = (resamples, *first.shape[1:])
    spread = statistic((weights @ b).reshape(shape)) - statistic((weights @ a).reshape(shape))
    swap = rng.integers(0, 2, size=(resamples, subjects))
    swapped_b = statistic((swap @ a + (1 - swap) @ b).reshape(shape))
    swapped_a = statistic((swap @ b + (1 - swap) @ a).reshape(shape))
    hits = int((np.abs(swapped_b - swapped_a) >= abs(point) - 1e-12).sum())
    low, high = np.nanquantile(spread, [0.025, 0.975])
    return {"difference": point, "low": float(low), "high": float(high), "p": (1 + hits) / (1 + resamples)}
