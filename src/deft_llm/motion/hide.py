"""A clip with some face regions held still: their motion is taken out of all that a method reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from deft_llm.faces.regions import region_weights
from deft_llm.facs.regions import REGIONS
from deft_llm.facs.units import entry
from deft_llm.store.motion import ALIGNED_SIZE, REGION_FIELDS, Motion, RegionTable

MARGIN = 0.12
"""How far around a region its skin drags the rest along, as a share of the map's side."""


def hide(motion: Motion, names: Collection[str], margin: float = 0.0) -> Motion:
    """The clip as if the named regions (both sides; ``facs.regions`` without a side) had not moved.

    There, flow (P, 2, H, W), strain (P, H, W) and dynamic images (P, 224, 224) become the map's median, the
    region table's motion becomes 0 (its noise floor stays), and faces (3, 224, 224, 3) keep their onset look.
    ``margin`` (share of the map's side) takes in the skin around them; of a region beside them the table
    keeps the share that stays in the maps. Borders are soft, as the region weights are. Shapes, types,
    landmarks and all other regions stay; of what is stated of AUs, those that move none of them.
    """

    if not names:
        return motion
    rows = [index for index, region in enumerate(REGIONS) if region.name in names]
    landmarks = None if motion.landmarks is None else motion.landmarks[0]

    def seen(size: tuple[int, int]) -> np.ndarray:
        """Share (H, W) of each pixel of a map of ``size`` that stays."""
        weights = region_weights(landmarks, size=size)[rows]
        peak = np.maximum(weights.max((-2, -1), keepdims=True), 1e-12)
        # Half of a region's peak weight is its edge; everything inside goes.
        inside = np.clip(2 * (weights / peak).max(0), 0, 1)
        return 1 - (_grown(inside, margin * min(size)) if margin else inside)

    def still(maps: np.ndarray) -> np.ndarray:
        """Maps (..., H, W) with their median where regions are hidden."""
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
        stated={
            au: chances
            for au, chances in motion.stated.items()
            if not any(part.region in names for part in entry(au).motion)
        },
        regions=_still_table(motion.regions, rows, _kept(seen, landmarks) if margin else None),
    )


def _grown(inside: np.ndarray, pixels: float) -> np.ndarray:
    """A soft mask (H, W) widened by some pixels."""
    import cv2

    side = 2 * max(int(round(pixels)), 1) + 1
    wide = cv2.dilate(inside.astype(np.float32), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return cv2.GaussianBlur(wide, (0, 0), max(pixels / 6, 0.3))


def _kept(seen: Callable[[tuple[int, int]], np.ndarray], landmarks: np.ndarray | None) -> np.ndarray:
    """Share (R,) of each region's motion that stays where ``seen`` of a map stays."""
    size = (ALIGNED_SIZE, ALIGNED_SIZE)
    weights = region_weights(landmarks, size=size)
    return (weights * seen(size)).sum((-2, -1)) / np.maximum(weights.sum((-2, -1)), 1e-12)  # type: ignore[no-any-return]


def _still_table(table: RegionTable, rows: Sequence[int], kept: np.ndarray | None) -> RegionTable:
    """The region table with some regions at rest, of the others the share ``kept`` (R,); their noise floor
    stays."""
    share = np.ones(len(REGIONS)) if kept is None else kept.copy()
    share[rows] = 0
    changed = {}
    for name in REGION_FIELDS:
        values = np.array(getattr(table, name))
        if name == "profile":
            values = (values.T * share).T
        elif name not in ("floor", "profile_times"):
            values = values * share
        changed[name] = values.astype(getattr(table, name).dtype)
    return replace(table, **changed)
