"""Lips against the skin around them: what covers the mouth takes their colour away, or brings its own edges.

Landmarks go on under a hand, a mask or a cup; the red of the lips does not.
"""

from __future__ import annotations

import numpy as np

from deft_llm.store.motion import ALIGNED_SIZE

HALF = 0.5  # scale of the aligned frame on which colours are read
CORNER, SIZE = (44.0, 108.0), (66, 58)  # upper left (aligned px), width and height (px) of the mouth's part
LOOK = 16  # px of the thumbnail that tells whether a picture has colour
OUTLINE = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIP_VALUES = 5
RING = (3, 11)  # px: the skin around the lips, from and to
GREY = 0.01  # mean difference of red and blue (shares) of a picture without colour


def lip_contrast(image: np.ndarray, landmarks: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(5,) of the subject's right half, then the left: redness of the lips over the skin around them (share
    of red), and logarithm of their light over that skin's, NaN where a half is not there; last how colourful
    the whole face is.

    image (H, W, 3) uint8 RGB; landmarks (478, 2) px; matrix (2, 3) into the aligned 224 px frame.
    """
    import cv2

    small = HALF * (matrix - np.array([[0, 0, CORNER[0]], [0, 0, CORNER[1]]]))
    picture = cv2.warpAffine(image, small, SIZE, flags=cv2.INTER_LINEAR).astype(np.float32)
    points = landmarks @ small[:, :2].T + small[:, 2]
    lips, inner = (np.zeros(SIZE[::-1], np.uint8) for _ in range(2))
    for mask, ids in ((lips, OUTLINE), (inner, INNER)):
        corners = np.round(points[list(ids)] * 16).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1, cv2.LINE_8, 4)
    near, far = (cv2.dilate(lips, np.ones((width, width), np.uint8)) > 0 for width in RING)
    skin, red_of_lips = far & ~near, (lips > 0) & (inner == 0)
    total = picture.sum(2)
    red, light = picture[..., 0] / (total + 3) - 1 / 3, np.log(total / 3 + 4)
    right = np.arange(SIZE[0])[None] < points[13, 0]
    out = np.full(LIP_VALUES, np.nan, np.float32)
    whole = cv2.warpAffine(image, matrix * (LOOK / ALIGNED_SIZE), (LOOK, LOOK)).astype(np.float32)
    out[4] = (np.abs(whole[..., 0] - whole[..., 2]) / (whole.sum(2) + 3)).mean()
    for half, side in enumerate((right, ~right)):
        here, around = red_of_lips & side, skin & side
        if here.any() and around.any():
            out[2 * half] = red[here].mean() - red[around].mean()
            out[2 * half + 1] = light[here].mean() - light[around].mean()
    return out
