"""Where an Action Unit was read: its region on the face, with the direction in which the skin moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.overlays import ZOOM, face_picture
from deft_llm.faces.regions import region_weights
from deft_llm.facs.regions import REGION_INDEX, REGION_KEYS

if TYPE_CHECKING:
    from deft_llm.records import Evidence
    from deft_llm.store import Motion

FILL = (255, 170, 40)
ARROW = 34.0  # px of the picture


def region_overlay(motion: Motion, row: Evidence) -> np.ndarray:
    """The apex face with arrows on the region of one evidence row (both sides: two); (H, W, 3) uint8 RGB."""
    import cv2

    face = face_picture(motion, 1).astype(np.float32)
    landmarks = None if motion.landmarks is None else motion.landmarks[0]
    weights = region_weights(landmarks)
    phase = 1 if row.phase == "apex-offset" and len(motion.flow) > 1 else 0
    picture = face * 0.7
    arrows = []
    for key in regions_of(row):
        weight = weights[REGION_INDEX[key]]
        share = cv2.resize(weight / weight.max(), None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_LINEAR)
        inside = cv2.GaussianBlur((share > 0.2).astype(np.float32), (0, 0), 2.0)[..., None]
        picture = picture * (1 - 0.55 * inside) + np.array(FILL, np.float32) * 0.55 * inside
        index = REGION_INDEX[key]
        centre = _centre(weight) * ZOOM
        arrows.append((centre, np.array([motion.regions.dx[phase, index], motion.regions.dy[phase, index]])))
    longest = max((float(np.hypot(*move)) for _, move in arrows), default=0.0)
    picture = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
    for centre, move in arrows:
        if longest > 0 and np.isfinite(move).all():
            tip = centre + ARROW * move / longest
            start, stop = ([round(float(v)) for v in point] for point in (centre, tip))
            cv2.arrowedLine(picture, start, stop, (20, 20, 20), 6, cv2.LINE_AA, tipLength=0.4)
            cv2.arrowedLine(picture, start, stop, (255, 255, 255), 3, cv2.LINE_AA, tipLength=0.4)
    return picture


def regions_of(row: Evidence) -> list[str]:
    """Keys of ``facs.regions`` that an evidence row names."""
    name = row.region.removeprefix("left ").removeprefix("right ")
    keys = [key for key in REGION_KEYS if key == name or key.endswith(" " + name)]
    if row.side in ("left", "right"):
        keys = [key for key in keys if key.startswith(row.side)] or keys
    return keys


def _centre(weight: np.ndarray) -> np.ndarray:
    total = float(weight.sum()) or 1.0
    ys, xs = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(xs * weight).sum() / total, (ys * weight).sum() / total])
