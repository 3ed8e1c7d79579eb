"""Faces are found at several sizes, several at once, and not where there are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from deft_llm.faces.align import align, move, transform_of
from deft_llm.faces.geometry import LEFT_EYE, RIGHT_EYE, inter_ocular
from deft_llm.faces.landmarker import Landmarker
from deft_llm.faces.regions import TWIN


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return skimage.data.astronaut()


def test_the_portrait(landmarker: Landmarker, portrait: np.ndarray) -> None:
    (face,) = landmarker.detect(portrait)
    assert face.score > 0.9 and face.presence > 15
    assert face.landmarks.shape == (478, 2) and face.depth.shape == (478,)
    assert face.box[0] < 190 and face.box[2] > 260 and 40 < inter_ocular(face.landmarks) < 45
    assert len(face.blendshapes) == 52
    assert face.blendshapes["mouthSmileLeft"] > 0.8 > 0.2 > face.blendshapes["eyeBlinkLeft"]
    # The nose is nearer than the temples.
    assert face.depth[1] < face.depth[127]


def test_a_small_face_in_a_wide_picture(landmarker: Landmarker, portrait: np.ndarray) -> None:
    small = cv2.resize(portrait, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)
    scene = np.full((540, 960, 3), 90, np.uint8)
    scene[300 : 300 + small.shape[0], 700 : 700 + small.shape[1]] = small
    (face,) = landmarker.detect(scene)
    known = landmarker.detect(portrait)[0].landmarks * 0.35 + [700, 300]
    assert np.abs(face.landmarks - known).mean() < 1.0


def test_two_faces_larger_first(landmarker: Landmarker, portrait: np.ndarray) -> None:
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    scene = np.full((520, 900, 3), 120, np.uint8)
    scene[100 : 100 + small.shape[0], 20 : 20 + small.shape[1]] = small
    scene[:512, 388:900] = portrait
    faces = landmarker.detect(scene)
    assert len(faces) == 2
    assert faces[0].size > faces[1].size and faces[0].box[0] > 388 > faces[1].box[2]


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_no_face_in_other_things(landmarker: Landmarker, name: str) -> None:
    assert landmarker.detect(getattr(skimage.data, name)()) == []


def test_no_face_in_degenerate_images(landmarker: Landmarker) -> None:
    for image in (np.zeros((1, 1, 3)), np.zeros((400, 3, 3)), np.full((100, 100, 3), 255)):
        assert landmarker.detect(image.astype(np.uint8)) == []


def test_tracking_follows_and_notices_a_loss(landmarker: Landmarker, portrait: np.ndarray) -> None:
    (face,) = landmarker.detect(portrait)
    moved = np.roll(portrait, (5, 8), (0, 1))
    tracked = landmarker.track(moved, face)
    assert tracked is not None
    assert np.abs(tracked.landmarks - face.landmarks - [8, 5]).mean() < 0.5
    assert landmarker.track(np.full_like(portrait, 128), face) is None


def test_alignment_is_upright_at_90_px(landmarker: Landmarker, portrait: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((225, 120), 20, 0.8)
    tilted = cv2.warpAffine(portrait, turn, (512, 512), flags=cv2.INTER_AREA)
    for image in (portrait, tilted):
        (face,) = landmarker.detect(image)
        matrix = transform_of(face.landmarks)
        points = move(face.landmarks, matrix)
        assert inter_ocular(points) == pytest.approx(90, abs=1e-3)
        right, left = points[RIGHT_EYE].mean(0), points[LEFT_EYE].mean(0)
        assert right == pytest.approx([66.5, 64], abs=5) and left == pytest.approx([156.5, 64], abs=5)
        assert abs(left[1] - right[1]) < 3
        assert align(image, matrix).shape == (224, 224, 3)
        # Pixels and points move alike: the aligned picture's own landmarks lie where the matrix puts them.
        again = landmarker.detect(align(image, matrix))[0].landmarks
        assert np.abs(again - points)[:468].mean() < 1.5


def test_mirroring_swaps_twins(landmarker: Landmarker, portrait: np.ndarray) -> None:
    straight = landmarker.detect(portrait)[0].landmarks
    mirrored = landmarker.detect(np.ascontiguousarray(portrait[:, ::-1]))[0].landmarks
    back = np.stack([511 - mirrored[TWIN, 0], mirrored[TWIN, 1]], 1)
    assert np.abs(back - straight).mean() < 1.0
