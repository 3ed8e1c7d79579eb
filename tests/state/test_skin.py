"""Lines of the skin and the lips' colours are what the plain way of computing them gives."""

import cv2
import numpy as np
import pytest

from deft_llm.explain.samples import portrait
from deft_llm.faces.align import align, move, transform_of
from deft_llm.faces.landmarker import Face, default_landmarker
from deft_llm.state.furrows import COARSE, DARKEST, FINE, PATCHES, furrow_contrast
from deft_llm.state.lips import CORNER, HALF, INNER, OUTLINE, RING, SIZE, lip_contrast


@pytest.fixture(scope="module")
def face() -> Face:
    return default_landmarker().detect(portrait())[0]


def contrast_of_the_whole_face(aligned: np.ndarray) -> list[float]:
    """Both blurs of the whole face in double precision, then the patches."""
    levels = np.log(np.arange(256) + DARKEST)[aligned]
    fine, coarse = (
        cv2.GaussianBlur(levels, (size, size), sigma) for size, sigma in ((11, FINE), (37, COARSE))
    )
    return [
        np.abs(np.diff((fine - coarse)[top:bottom, left:right], axis=1 if across == "x" else 0)).mean()
        for (left, right, top, bottom), across in PATCHES.values()
    ]


def test_patches_have_the_contrast_that_the_whole_face_blurred_gives(face):
    aligned = align(cv2.cvtColor(portrait(), cv2.COLOR_RGB2GRAY), transform_of(face.landmarks))
    noise = np.random.default_rng(0).integers(0, 256, aligned.shape, np.uint8)
    for picture in (aligned, noise, aligned[::-1, ::-1].copy(), aligned // 8):
        assert furrow_contrast(picture) == pytest.approx(contrast_of_the_whole_face(picture), rel=1e-5)
    assert furrow_contrast(np.full_like(aligned, 90)).max() < 1e-6


def colours_of_halves(image: np.ndarray, landmarks: np.ndarray, matrix: np.ndarray) -> list[float]:
    """Redness and light of the lips over the skin around them, right and left, in double precision."""
    small = HALF * (matrix - [[0, 0, CORNER[0]], [0, 0, CORNER[1]]])
    red, green, blue = cv2.warpAffine(image, small, SIZE).astype(float).transpose(2, 0, 1)
    total, points = red + green + blue, move(landmarks, small)
    whole, inner = np.zeros((2, *SIZE[::-1]), np.uint8)
    for mask, ids in ((whole, OUTLINE), (inner, INNER)):
        cv2.fillPoly(mask, [np.round(points[list(ids)] * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    near, far = (cv2.dilate(whole, np.ones((width, width), np.uint8)) for width in RING)
    right = np.arange(SIZE[0]) < points[13, 0]
    found = []
    for half in (right, ~right):
        lips, skin = (whole > inner) & half, (far > near) & half
        there = lips.any() and skin.any()
        for values in (red / (total + 3), np.log(total / 3 + 4)):
            found.append(values[lips].mean() - values[skin].mean() if there else np.nan)
    return found


@pytest.mark.parametrize("shift", [0, -90, 90, 300])
def test_lips_have_the_colours_of_their_pixels(face, shift):
    matrix = transform_of(face.landmarks) + [[0, 0, shift], [0, 0, 0]]
    seen = lip_contrast(portrait(), face.landmarks, matrix)
    assert seen[:4] == pytest.approx(
        colours_of_halves(portrait(), face.landmarks, matrix), abs=1e-6, nan_ok=True
    )
    assert np.isnan(seen[:4]).any() == (shift != 0)


def test_a_grey_picture_has_no_colour(face):
    matrix = transform_of(face.landmarks)
    grey = np.repeat(portrait()[..., 1:2], 3, axis=2)
    red, blue = (portrait() * np.array(one, np.uint8) for one in ([1, 0, 0], [0, 0, 1]))
    assert lip_contrast(grey, face.landmarks, matrix)[4] == 0
    assert (
        lip_contrast(red, face.landmarks, matrix)[4] > 0.8
        and lip_contrast(blue, face.landmarks, matrix)[4] > 0.8
    )
