"""The aligned frame: the fit of the rigid landmarks, and large faces that are smoothed before they shrink."""

import cv2
import numpy as np
import pytest

from deft_llm.faces.align import RIGID_LANDMARKS, align, move, smoothed_within, transform_of
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.regions import CANONICAL_LANDMARKS


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, x], [s, c, y]])


def fitted(landmarks: np.ndarray) -> np.ndarray:
    """``transform_of`` by sines, cosines and matrices."""
    source, target = landmarks[RIGID_LANDMARKS].astype(float), CANONICAL_LANDMARKS[RIGID_LANDMARKS]
    eyes = np.where(np.isin(RIGID_LANDMARKS, [33, 133, 263, 362]), 3.0, 1.0)
    weights = eyes
    for _ in range(3):
        a, b = (np.average(points, axis=0, weights=weights) for points in (source, target))
        (x, y), (u, v) = (source - a).T, (target - b).T
        turn = np.arctan2((weights * (x * v - y * u)).sum(), (weights * (x * u + y * v)).sum())
        matrix = similarity(90 / inter_ocular(landmarks), np.degrees(turn), 0, 0)
        matrix[:, 2] = b - matrix[:, :2] @ a
        apart = np.linalg.norm(move(source, matrix) - target, axis=1)
        weights = eyes / (1 + (apart / (1.5 * np.median(apart) + 1e-6)) ** 2)
    return matrix


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_fit_finds_back_how_a_face_was_moved(dtype):
    there = similarity(1.7, 25, 900, 400)
    landmarks = move(CANONICAL_LANDMARKS, there).astype(dtype)
    points = move(landmarks, transform_of(landmarks))
    assert np.abs(points - CANONICAL_LANDMARKS).max() < 1e-2
    landmarks += np.random.default_rng(0).normal(0, 3, landmarks.shape).astype(dtype)
    landmarks[RIGID_LANDMARKS[:3]] += dtype(40)
    assert transform_of(landmarks) == pytest.approx(fitted(landmarks), rel=1e-6)


def test_landmarks_in_one_point_have_a_transform():
    assert np.isfinite(transform_of(np.full((478, 2), 50.0, np.float32))).all()


@pytest.mark.parametrize("border", [None, 7])
@pytest.mark.parametrize("middle", [(300, 250), (20, 30), (700, -60)])
def test_smoothing_only_the_part_that_is_shown_gives_the_same_picture(middle, border):
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (500, 640), np.uint8), (0, 0), 1)
    matrix = similarity(0.4, 20, 0, 0)
    matrix[:, 2] = 112 - matrix[:, :2] @ middle
    smooth = cv2.GaussianBlur(image, (0, 0), 0.45 / 0.4)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    whole = cv2.warpAffine(
        smooth, matrix, (224, 224), flags=cv2.INTER_CUBIC, borderMode=mode, borderValue=border or 0
    )
    assert np.array_equal(align(image, matrix, border=border), whole)


@pytest.mark.parametrize("window", [similarity(3.5, 30, -80, 60), similarity(2.2, -170, 900, 480)])
def test_a_large_window_is_smoothed_where_it_lies(window):
    image = np.random.default_rng(0).integers(0, 256, (480, 700, 3), np.uint8)
    whole = cv2.GaussianBlur(image, (0, 0), 1.4)
    cut = [cv2.warpAffine(source, window, (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
           for source in (whole, smoothed_within(image, 1.4, window, 128))]  # fmt: skip
    assert np.array_equal(*cut)
