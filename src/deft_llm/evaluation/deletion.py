"""Deletion and insertion curves (Petsiuk et al. 2018) over facial regions: does the evidence decide?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Probability = Callable[[frozenset[str]], float]


def region_curves(
    probability: Probability, ranking: Sequence[str], *, random_orders: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Curves of the decided class's probability as regions vanish (deletion) or appear (insertion) by
    ``ranking``.

    ``probability`` takes the set of regions that are left visible. Areas are in [0, 1]; a faithful ranking
    has a deletion area below, and an insertion area above, those of random orders (given beside).
    """
    areas_random: dict[str, list[float]] = {"deletion": [], "insertion": []}
    rng = np.random.default_rng(seed)
    for _ in range(random_orders):
        order = [ranking[i] for i in rng.permutation(len(ranking))]
        for name, curve in _curves(probability, order).items():
            areas_random[name].append(area(curve))
    curves = _curves(probability, ranking)
    return {
        name: {
            "curve": curve,
            "area": area(curve),
            "random_area": float(np.mean(areas_random[name])) if random_orders else None,
        }
        for name, curve in curves.items()
    }


def _curves(probability: Probability, order: Sequence[str]) -> dict[str, list[float]]:
    steps = range(len(order) + 1)
    return {
        "deletion": [float(probability(frozenset(order[step:]))) for step in steps],
        "insertion": [float(probability(frozenset(order[:step]))) for step in steps],
    }


def area(curve: Sequence[float]) -> float:
    """Area under a curve over the unit interval (trapezoid rule)."""
    values = np.asarray(curve, float)
    return float((values[:-1] + values[1:]).mean() / 2) if len(values) > 1 else float(values[0])
