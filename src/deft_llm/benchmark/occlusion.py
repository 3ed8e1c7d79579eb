"""Does the decision rest on the regions that moved? Deletion and insertion of face regions, for any method.

Regions are hidden in a clip's motion (``motion.hide``) and the method is asked again; ``evaluation.deletion``
makes the curves. Nothing of a fold is refitted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deft_llm.evaluation.deletion import region_curves
from deft_llm.evaluation.rows import label_of
from deft_llm.facs.regions import REGION_NAMES, REGIONS
from deft_llm.files import digest
from deft_llm.methods.protocol import Method, Sample
from deft_llm.motion.hide import hide
from deft_llm.records import Prediction
from deft_llm.store import Motion

RANDOM_ORDERS = 3
STEPS = 6


def ranking(row: Prediction, motion: Motion) -> tuple[list[str], str]:
    """Region names, decisive first, and where that order comes from.

    First the regions of the method's own evidence ("evidence"), then, or where it gives none ("motion"), the
    regions by how much they moved.
    """
    table = motion.regions
    strength = np.where(np.isfinite(table.z[0]), table.z[0], table.magnitude[0])
    most = {
        name: max(float(s) for s, region in zip(strength, REGIONS) if region.name == name)
        for name in REGION_NAMES
    }
    stated = [item.region for item in row.evidence if item.region in most and item.status != "unexplained"]
    rest = sorted(most, key=lambda name: (-most[name], name))
    return list(dict.fromkeys([*stated, *rest])), "evidence" if stated else "motion"


def chosen_clips(clips: Collection[str], count: int) -> set[str]:
    """``count`` clips drawn by their ids, the same for every method and worker count."""
    return set(sorted(clips, key=lambda clip: digest(clip, 12))[:count])


def add_deletion(method: Method, row: Prediction, sample: Sample) -> None:
    """Put the areas of one clip's curves into ``extras["deletion"]``; the decided class is followed."""
    label = label_of(row)
    if label is None or not row.probabilities:
        return
    motion = sample.motion
    order, source = ranking(row, motion)

    def probabilities(visible: Sequence[frozenset[str]]) -> list[float]:
        asked = []
        for left in visible:
            gone = sorted(set(order) - left)
            hidden = hide(motion, gone)
            name = f"{sample.clip_id}#{digest(gone, 10)}"
            asked.append(
                replace(sample, clip_id=name, load=lambda h=hidden, n=name: replace(h, clip_id=n))  # type: ignore[misc]
            )
        return [found.probabilities[label] for found in method.predict(asked)]

    curves = region_curves(
        probabilities,
        order,
        steps=STEPS,
        random_orders=RANDOM_ORDERS,
        seed=int(digest(sample.clip_id, 7), 16),
    )
    row.extras["deletion"] = {"order": source} | _areas(curves)


def _areas(curves: dict[str, Any]) -> dict[str, float]:
    return {
        f"{kind}{suffix}": round(float(cell[key]), 6)
        for kind, cell in curves.items()
        for key, suffix in (("area", ""), ("random_area", "_random"))
    }
