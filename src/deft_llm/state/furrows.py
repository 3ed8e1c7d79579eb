"""Lines of the skin: fine contrast in small patches of the aligned face, which show what landmarks do not.

A brow that is drawn together deepens the vertical lines above the nose; its landmarks may stay where they
are (1+4). Light, focus and distance change all patches alike, so a patch is read against the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from deft_llm.store.motion import ALIGNED_SIZE

# Patch -> (left, right, top, bottom) in px of the aligned 224 px face (90 px between the eyes) and the
# direction across its lines: "x" sees vertical lines, "y" horizontal ones. The subject's right lies left.
PATCHES: dict[str, tuple[tuple[int, int, int, int], str]] = {
    "glabella": ((99, 123, 34, 62), "x"),
    "forehead": ((84, 139, 10, 32), "y"),
    "nose_root": ((97, 126, 64, 86), "y"),
    "crow_right": ((16, 38, 56, 84), "y"),
    "crow_left": ((185, 207, 56, 84), "y"),
    "fold_right": ((62, 90, 124, 154), "x"),
    "fold_left": ((133, 161, 124, 154), "x"),
    "cheek_right": ((44, 72, 104, 124), "x"),
    "cheek_left": ((151, 179, 104, 124), "x"),
    "chin": ((96, 128, 186, 212), "y"),
}
PATCH_NAMES = tuple(PATCHES)
FINE, COARSE = 1.2, 4.5  # px: sigmas of the two Gaussians whose difference is the contrast
REACH = 4  # sigmas at which a Gaussian is cut
DARKEST = 8.0  # grey levels added before the logarithm: noise in black is no contrast
# Logarithm of grey over middle grey: small numbers keep more digits, and contrast is the same.
LEVELS = np.log((np.arange(256, dtype=np.float32) + DARKEST) / (128 + DARKEST))


class _Blurs(NamedTuple):
    """``down @ face[rows, columns] @ across`` (2, h, w): the gradient in one patch of the face, blurred by
    FINE and by COARSE; the blurs take in (H, W) pixels, down is (2, h, H), across (2, W, w)."""

    rows: slice
    columns: slice
    down: np.ndarray
    across: np.ndarray


def furrow_contrast(aligned: np.ndarray) -> np.ndarray:
    """(P,) float32 contrast of the patches of an aligned grey face (224, 224) uint8, in the order of
    PATCH_NAMES: mean absolute gradient of the band-passed logarithm of grey."""
    import cv2

    levels = cv2.LUT(aligned, LEVELS)
    out = np.empty(len(PATCHES), np.float32)
    for i, (rows, columns, down, across) in enumerate(_blurs()):
        fine, coarse = down @ levels[rows, columns] @ across
        out[i] = cv2.norm(fine, coarse, cv2.NORM_L1) / fine.size
    return out


@lru_cache(maxsize=1)
def _blurs() -> tuple[_Blurs, ...]:
    """Those of every patch: small products of matrices, which cost less than blurring the whole face."""
    found = []
    for (left, right, top, bottom), across_lines in PATCHES.values():
        rows, down = _weights(top, bottom, gradient=across_lines == "y")
        columns, across = _weights(left, right, gradient=across_lines == "x")
        found.append(_Blurs(rows, columns, down, np.ascontiguousarray(across.transpose(0, 2, 1))))
    return tuple(found)


def _weights(start: int, stop: int, *, gradient: bool) -> tuple[slice, np.ndarray]:
    """Along one axis: the pixels that the blurs of those from ``start`` to ``stop`` take in, and how much
    each counts (2, n, N) in a blurred pixel, or with ``gradient`` in the step to the next (n: one less)."""
    import cv2

    points = np.eye(ALIGNED_SIZE, dtype=np.float32)
    weights = np.stack([
        cv2.GaussianBlur(points, (1, 2 * round(REACH * sigma) + 1), 1, sigmaY=sigma)[start:stop]
        for sigma in (FINE, COARSE)
    ]).astype(float)  # fmt: skip
    if gradient:
        weights = np.diff(weights, axis=1)
    taken = np.flatnonzero(weights.any((0, 1)))
    reach = slice(taken[0], taken[-1] + 1)
    return reach, weights[:, :, reach].astype(np.float32)
