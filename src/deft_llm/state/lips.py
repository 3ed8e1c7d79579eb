"""Lips against the skin around them: what covers the mouth takes their colour away, or brings its own edges.

Landmarks go on under a hand, a mask or a cup; the red of the lips does not.
"""

from __future__ import annotations

import math

import numpy as np

from deft_llm.faces.align import move
from deft_llm.store.motion import ALIGNED_SIZE

HALF = 0.5  # scale of the aligned frame on which colours are read
CORNER, SIZE = (44.0, 108.0), (66, 58)  # upper left (aligned px), width and height (px) of the mouth's part
FROM_CORNER = np.array([[0, 0, CORNER[0]], [0, 0, CORNER[1]]])
LOOK = 16  # px of the thumbnail that tells whether a picture has colour
OUTLINE = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
MOUTH, MIDDLE = np.array(OUTLINE + INNER), len(OUTLINE) + INNER.index(13)
LIP_VALUES = 5
RING = (3, 11)  # px: widths of the kernels that grow the lips to where the skin around them begins and ends
GREY = 0.01  # mean difference of red and blue (shares) of a picture without colour


def lip_contrast(image: np.ndarray, landmarks: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(5,) of the subject's right half, then the left: redness of the lips over the skin around them (share
    of red), and logarithm of their light over that skin's, NaN where a half is not there; last how colourful
    the whole face is.

    image (H, W, 3) uint8 RGB; landmarks (478, 2) px; matrix (2, 3) into the aligned 224 px frame.
    """
    import cv2

    small = HALF * (matrix - FROM_CORNER)
    mouth = move(landmarks[MOUTH], small)
    corners = np.round(mouth * 16).astype(np.int32)  # sixteenths of a pixel
    lips = np.zeros(SIZE[::-1], np.uint8)
    cv2.fillPoly(lips, [corners[: len(OUTLINE)]], 1, cv2.LINE_8, 4)
    near, far = (cv2.dilate(lips, np.ones((width, width), np.uint8)) for width in RING)
    skin = far - near
    cv2.fillPoly(lips, [corners[len(OUTLINE) :]], 0, cv2.LINE_8, 4)
    red, _, total = _colours(cv2.warpAffine(image, small, SIZE, flags=cv2.INTER_LINEAR))
    seen = cv2.merge([red / (total + 3), np.log(total / 3 + 4)])
    middle = min(max(math.ceil(mouth[MIDDLE, 0]), 0), SIZE[0])
    out = np.full(LIP_VALUES, np.nan, np.float32)
    for side, half in enumerate((np.s_[:, :middle], np.s_[:, middle:])):
        if lips[half].any() and skin[half].any():
            of_lips, of_skin = (np.array(cv2.mean(seen[half], part[half])[:2]) for part in (lips, skin))
            out[2 * side : 2 * side + 2] = of_lips - of_skin
    red, blue, total = _colours(cv2.warpAffine(image, matrix * (LOOK / ALIGNED_SIZE), (LOOK, LOOK)))
    out[4] = (np.abs(red - blue) / (total + 3)).mean()
    return out


def _colours(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Red, blue and the sum of all three, (H, W) float32 each, of a picture (H, W, 3) uint8."""
    import cv2

    picture = picture.astype(np.float32)
    return picture[..., 0], picture[..., 2], cv2.transform(picture, np.ones((1, 3)))
