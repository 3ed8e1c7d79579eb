"""Alignment: one similarity that puts a face into the 224 x 224 frame with 90 px between the eyes' centres.

An eye's centre is the mean of its corners (the iris moves with gaze). Matrices map source to aligned pixels.
"""

from __future__ import annotations

import cmath
import math

import numpy as np

from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE

# Bridge of the nose, eye corners, temples and forehead's rim: what the skull carries.
RIGID_LANDMARKS = np.array([168, 6, 197, 195, 122, 351, 193, 417, 33, 133, 263, 362, 127, 356, 34, 264,
                            21, 251, 54, 284, 103, 332, 10, 151])  # fmt: skip
# The eyes lie where motion matters most: they count more in where the frame sits.
RIGID_WEIGHTS = np.ones(len(RIGID_LANDMARKS))
RIGID_WEIGHTS[8:12] = 3.0
X_AND_IY = np.array([1, 1j])
RIGID_TARGET = CANONICAL_LANDMARKS[RIGID_LANDMARKS].astype(float) @ X_AND_IY
SAMPLED = 3  # px around a point that are looked at where a picture is sampled there


def transform_of(landmarks: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) of landmarks (478, 2) into the aligned frame.

    Turn and place fit the rigid landmarks (least squares, twice reweighted); the scale makes the eyes'
    centres exactly 90 px apart.
    """
    points = landmarks[RIGID_LANDMARKS].astype(float) @ X_AND_IY
    scale = ALIGNED_IOD / max(inter_ocular(landmarks), 1e-6)
    turn, shift = _fit(points, RIGID_WEIGHTS, scale)
    for _ in range(2):
        apart = np.abs(turn * points + shift - RIGID_TARGET)
        weights = RIGID_WEIGHTS / (1 + (apart / (1.5 * _median(apart) + 1e-6)) ** 2)
        turn, shift = _fit(points, weights, scale)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _fit(points: np.ndarray, weights: np.ndarray, scale: float) -> tuple[complex, complex]:
    """The ``turn`` of modulus ``scale`` and the ``shift`` with which turn * points + shift lies nearest to
    RIGID_TARGET; points (n,) complex, weights (n,)."""
    share = weights / weights.sum()
    centre, target = complex(share @ points), complex(share @ RIGID_TARGET)
    turn = cmath.rect(scale, cmath.phase(np.vdot(share * (points - centre), RIGID_TARGET - target)))
    return turn, target - turn * centre


def _median(values: np.ndarray) -> float:
    """Median of an even number of values."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half - 1] + ordered[half]) / 2


def align(
    image: np.ndarray, matrix: np.ndarray, size: int = ALIGNED_SIZE, *, border: int | None = None
) -> np.ndarray:
    """``image`` (H, W[, 3]) in the aligned frame, (size, size[, 3]); shrinking is low-passed first.

    Beyond the image its edge goes on, or ``border`` is painted.
    """
    import cv2

    scale = scale_of(matrix)
    if scale < 0.7:
        image = smoothed_within(image, 0.45 / scale, cv2.invertAffineTransform(matrix), size)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=mode,
                          borderValue=border or 0)  # fmt: skip


def smoothed_within(image: np.ndarray, sigma: float, matrix: np.ndarray, size: int) -> np.ndarray:
    """``image`` (H, W[, 3]) under a Gaussian of ``sigma`` px, to be sampled in one square; 0 farther off.

    The square has ``size`` px a side in the frame from which ``matrix`` (2, 3) leads into the image.
    """
    import cv2

    corners = move(size * np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), matrix)
    last = np.array(image.shape[1::-1]) - 1
    reach = math.ceil(4 * sigma) + SAMPLED
    left, top = np.maximum(np.clip(np.floor(corners.min(0)), 0, last).astype(int) - reach, 0)
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, last).astype(int) + reach + 1
    out = np.zeros_like(image)
    out[top:bottom, left:right] = cv2.GaussianBlur(image[top:bottom, left:right], (0, 0), sigma)
    return out


def scale_of(matrix: np.ndarray) -> float:
    """How many times a similarity transform (2, 3) enlarges."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def move(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) under a (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]
