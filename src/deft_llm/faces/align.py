"""Alignment: one similarity that puts a face into the 224 x 224 frame with 90 px between the eyes' centres.

An eye's centre is the mean of its corners (the iris moves with gaze). Matrices map source to aligned pixels.
"""

from __future__ import annotations

import numpy as np

from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE

# Bridge of the nose, eye corners, temples and forehead's rim: what the skull carries.
RIGID_LANDMARKS = np.array([168, 6, 197, 195, 122, 351, 193, 417, 33, 133, 263, 362, 127, 356, 34, 264,
                            21, 251, 54, 284, 103, 332, 10, 151])  # fmt: skip


def transform_of(landmarks: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) of landmarks (478, 2) into the aligned frame.

    Turn and place fit the rigid landmarks (least squares, twice reweighted); the scale makes the eyes'
    centres exactly 90 px apart.
    """
    source, target = landmarks[RIGID_LANDMARKS].astype(float), CANONICAL_LANDMARKS[RIGID_LANDMARKS]
    weights = np.ones(len(source))
    # The eyes lie where motion matters most: they count more in where the frame sits.
    weights[8:12] = 3.0
    scale = ALIGNED_IOD / max(inter_ocular(landmarks), 1e-6)
    base = weights.copy()
    for _ in range(3):
        share = base / base.sum()
        a, b = share @ source, share @ target
        z = ((source - a) @ [1, 1j]).conj() * ((target - b) @ [1, 1j])
        turn = np.angle((base * z).sum())
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        matrix = np.array([[c, -s], [s, c]])
        shift = b - matrix @ a
        apart = np.hypot(*(source @ matrix.T + shift - target).T)
        base = weights / (1 + (apart / (1.5 * np.median(apart) + 1e-6)) ** 2)
    return np.column_stack([matrix, shift])


def align(
    image: np.ndarray, matrix: np.ndarray, size: int = ALIGNED_SIZE, *, border: int | None = None
) -> np.ndarray:
    """``image`` (H, W[, 3]) in the aligned frame, (size, size[, 3]); shrinking is low-passed first.

    Beyond the image its edge goes on, or ``border`` is painted.
    """
    import cv2

    scale = scale_of(matrix)
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / scale)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=mode,
                          borderValue=border or 0)  # fmt: skip


def scale_of(matrix: np.ndarray) -> float:
    """How many times a similarity transform (2, 3) enlarges."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def move(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) under a (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]
