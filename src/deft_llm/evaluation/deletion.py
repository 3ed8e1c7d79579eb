"""Deletion and insertion curves (Petsiuk et al. 2018) over facial regions: does the evidence decide?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deft_llm.evaluation import bootstrap
from deft_llm.records import Prediction

Probabilities = Callable[[Sequence[frozenset[str]]], Sequence[float]]


def region_curves(
    probabilities: Probabilities,
    ranking: Sequence[str],
    *,
    steps: int | None = None,
    random_orders: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Curves of the decided class's probability as regions vanish (deletion) or
    appear (insertion) by ``ranking``.

    ``probabilities`` takes sets of regions that are left visible, all at once. ``steps``: how many cuts of
    the ranking a curve has (all by default). Areas are in [0, 1]; a faithful ranking has a deletion area
    below, and an insertion area above, those of random orders (given beside).
    """
    rng = np.random.default_rng(seed)
    orders = [list(ranking)] + [
        [ranking[i] for i in rng.permutation(len(ranking))] for _ in range(random_orders)
    ]
    cuts = np.unique(np.linspace(0, len(ranking), (steps or len(ranking)) + 1).round().astype(int))
    sets = {
        "deletion": [[frozenset(order[cut:]) for cut in cuts] for order in orders],
        "insertion": [[frozenset(order[:cut]) for cut in cuts] for order in orders],
    }
    asked = sorted({one for kind in sets.values() for curve in kind for one in curve}, key=sorted)
    known = dict(zip(asked, map(float, probabilities(asked)), strict=True))
    result = {}
    for name, curves in sets.items():
        values = [[known[one] for one in curve] for curve in curves]
        areas = [area(curve) for curve in values]
        result[name] = {
            "curve": values[0],
            "area": areas[0],
            "random_area": float(np.mean(areas[1:])) if random_orders else None,
        }
    return result


def area(curve: Sequence[float]) -> float:
    """Area under a curve over the unit interval (trapezoid rule)."""
    values = np.asarray(curve, float)
    return float((values[:-1] + values[1:]).mean() / 2) if len(values) > 1 else float(values[0])


def deletion_scores(rows: Sequence[Prediction]) -> dict[str, Any] | None:
    """Mean areas over the rows that have curves; None where none has.

    ``deletion_gain``: random minus ranked area, ``insertion_gain``: ranked minus random, both with an
    interval over subjects: above 0 the regions ranked first decide more than others.
    """
    found = [row for row in rows if "deletion" in row.extras]
    if not found:
        return None
    cells = [row.extras["deletion"] for row in found]
    result: dict[str, Any] = {
        "clips": len(cells),
        "ranked_by_evidence": sum(cell["order"] == "evidence" for cell in cells),
    }
    for kind, sign in (("deletion", -1), ("insertion", 1)):
        gains: dict[str, list[float]] = defaultdict(list)
        for row, cell in zip(found, cells):
            gains[row.subject].append(sign * (cell[kind] - cell[f"{kind}_random"]))
        counts = np.array([[sum(values), len(values)] for _, values in sorted(gains.items())])
        low, high = bootstrap.interval(counts, lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1))
        result |= {
            kind: float(np.mean([cell[kind] for cell in cells])),
            f"{kind}_random": float(np.mean([cell[f"{kind}_random"] for cell in cells])),
            f"{kind}_gain": float(counts[:, 0].sum() / counts[:, 1].sum()),
            f"{kind}_gain_low": low,
            f"{kind}_gain_high": high,
        }
    return result
