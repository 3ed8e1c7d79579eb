"""How a head is turned, from one frame's landmarks and their depth: a rigid fit of the canonical face."""

from __future__ import annotations

import numpy as np

from deft_llm.faces.align import RIGID_LANDMARKS
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS


def head_turn(landmarks: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Yaw to the image's right, pitch up and roll to the image's right (3,), degrees.

    ``landmarks`` (478, 2) and ``depth`` (478,; larger is farther) in any one unit. The turn that carries the
    canonical face's rigid landmarks onto them in space; NaN where depth is missing.
    """
    if not np.isfinite(depth).all():
        return np.full(3, np.nan)
    return angles(rigid_turn(_rigid(landmarks, depth), _rigid(CANONICAL_LANDMARKS, CANONICAL_DEPTH)))


def rigid_turn(seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that carries points ``known`` (n, 3) nearest to ``seen``,
    whatever size and place (Umeyama 1991)."""
    left, _, right = np.linalg.svd((seen - seen.mean(0)).T @ (known - known.mean(0)))
    left[:, 2] *= np.sign(np.linalg.det(left @ right))
    return left @ right


def angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll (3,), degrees, of a rotation (3, 3) about the image's right, up, and towards the
    camera, as ``synth.video.scene.rotation`` makes them."""
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(rotation[1, 2], -1, 1))
    return np.degrees([yaw, pitch, np.arctan2(-rotation[1, 0], rotation[1, 1])])


def _rigid(landmarks: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The rigid landmarks (24, 3): right, up, towards the camera."""
    points = np.column_stack([landmarks[:, 0], -landmarks[:, 1], -depth])
    return points[RIGID_LANDMARKS].astype(float)
