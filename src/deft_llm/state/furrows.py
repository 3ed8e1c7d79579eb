"""Lines of the skin: fine contrast in small patches of the aligned face, which show what landmarks do not.

A brow that is drawn together deepens the vertical lines above the nose; its landmarks may stay where they
are (1+4). Light, focus and distance change all patches alike, so a patch is read against the others.
"""

from __future__ import annotations

import numpy as np

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
DARKEST = 8.0  # grey levels added before the logarithm: noise in black is no contrast


def furrow_contrast(aligned: np.ndarray) -> np.ndarray:
    """(P,) float32 contrast of the patches of an aligned grey face (224, 224) uint8, in the order of
    PATCH_NAMES: mean absolute gradient of the band-passed logarithm of grey."""
    import cv2

    levels = cv2.LUT(aligned, _log_table())
    band = cv2.GaussianBlur(levels, (0, 0), FINE) - cv2.GaussianBlur(levels, (0, 0), COARSE)
    out = np.empty(len(PATCHES), np.float32)
    for i, ((left, right, top, bottom), across) in enumerate(PATCHES.values()):
        part = band[top:bottom, left:right]
        out[i] = np.abs(np.diff(part, axis=1 if across == "x" else 0)).mean()
    return out


def _log_table() -> np.ndarray:
    return np.log(np.arange(256, dtype=np.float32) + DARKEST).astype(np.float32)
