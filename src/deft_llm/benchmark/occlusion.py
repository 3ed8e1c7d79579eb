"""Does the decision rest on the regions that moved? Deletion and insertion of face regions, for any method.

Regions are hidden in a clip's motion (flow, strain, region table, dynamic images, and what changes in its
faces) and the method is asked again; ``evaluation.deletion`` makes the curves. Nothing of a fold is refitted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.evaluation.deletion import region_curves
from deft_llm.evaluation.rows import label_of
from deft_llm.facs.regions import REGIONS
from deft_llm.files import digest
from deft_llm.method import Method, Sample
from deft_llm.records import Prediction
from deft_llm.store import Motion
from deft_llm.store.motion import REGION_FIELDS

if TYPE_CHECKING:
    from deft_llm.store import RegionTable

NAMES = tuple(dict.fromkeys(region.name for region in REGIONS))
RANDOM_ORDERS = 3
STEPS = 6


def hide(motion: Motion, names: Collection[str]) -> Motion:
    """The clip as if the named regions (both sides) had not moved: their motion becomes the map's median.

    Borders are soft, as the region weights are. Faces keep their onset look there.
    """
    from deft_llm.motion.regions import region_weights

    if not names:
        return motion
    rows = [index for index, region in enumerate(REGIONS) if region.name in names]
    landmarks = None if motion.landmarks is None else motion.landmarks[0]

    def seen(size: tuple[int, int]) -> np.ndarray:
        weights = region_weights(landmarks, size=size)[rows]
        peak = np.maximum(weights.max((-2, -1), keepdims=True), 1e-12)
        # Half of a region's peak weight is its edge; everything inside goes.
        return 1 - np.clip(2 * (weights / peak).max(0), 0, 1)

    def still(maps: np.ndarray) -> np.ndarray:
        level = np.median(maps, axis=(-2, -1), keepdims=True)
        return (level + (maps - level) * seen(maps.shape[-2:])).astype(maps.dtype)

    faces = motion.faces
    if faces is not None:
        start = faces[:1].astype(np.float32)
        faces = np.round(start + (faces - start) * seen(faces.shape[1:3])[..., None]).astype(np.uint8)
    return replace(
        motion,
        flow=still(motion.flow),
        strain=still(motion.strain),
        dynamic=None if motion.dynamic is None else still(motion.dynamic),
        faces=faces,
        regions=_still_table(motion.regions, rows),
    )


def _still_table(table: RegionTable, rows: Sequence[int]) -> RegionTable:
    """The region table with some regions at rest; their noise floor stays."""
    changed = {}
    for name in REGION_FIELDS:
        values = np.array(getattr(table, name))
        if name == "profile":
            values[rows] = 0
        elif name not in ("floor", "profile_times"):
            values[:, rows] = np.where(np.isnan(values[:, rows]), np.nan, 0)
        changed[name] = values
    return replace(table, **changed)


def ranking(row: Prediction, motion: Motion) -> tuple[list[str], str]:
    """Region names, decisive first, and where that order comes from.

    First the regions of the method's own evidence ("evidence"), then, or where it gives none ("motion"), the
    regions by how much they moved.
    """
    table = motion.regions
    strength = np.where(np.isfinite(table.z[0]), table.z[0], table.magnitude[0])
    most = {
        name: max(float(s) for s, region in zip(strength, REGIONS) if region.name == name) for name in NAMES
    }
    stated = [item.region for item in row.evidence if item.region in most and item.status != "unexplained"]
    rest = sorted(most, key=lambda name: (-most[name], name))
    return list(dict.fromkeys([*stated, *rest])), "evidence" if stated else "motion"


def chosen_clips(clips: Collection[str], count: int) -> set[str]:
    """``count`` clips drawn by their ids, the same for every method and worker count."""
    return set(sorted(clips, key=lambda clip: digest(clip, 12))[:count])


def add_deletion(method: Method, row: Prediction, sample: Sample) -> None:
    """Put the areas of one clip's curves into ``extras["deletion"]``; the decided class is followed."""
    order, source = ranking(row, sample.motion)
    label = label_of(row)
    if label is None or not row.probabilities:
        return
    motion = sample.motion

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
