"""Faces keep their numbers: through gaps, when people cross, and when one of them leaves."""

import cv2
import numpy as np
import pytest

from deft_llm.explain.samples import portrait
from deft_llm.faces.follow import FaceFollower
from deft_llm.faces.landmarker import Face, default_landmarker
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS
from deft_llm.faces.video import Frame
from deft_llm.spotting.watch import watch

WIDE, HIGH, SIDE = 420, 170, 150


@pytest.fixture(scope="module")
def people():
    """Two heads cut out of a portrait, (SIDE, SIDE, 3): as it is, and another's colours and sides."""
    first = cv2.resize(portrait()[20:260, 40:280], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    second = np.clip(0.75 * first[:, ::-1, ::-1].astype(float) + 20, 0, 255).astype(np.uint8)
    return first, second


def scene(people, places, front=0):
    """The heads at x of their left edges, None where one is away; ``front`` covers the other."""
    image = np.full((HIGH, WIDE, 3), 90, np.uint8)
    for number in sorted((0, 1), key=lambda who: who == front):
        if places[number] is not None:
            left = round(places[number])
            cut = slice(max(left, 0), min(left + SIDE, WIDE))
            image[10 : 10 + SIDE, cut] = people[number][:, cut.start - left : cut.stop - left]
    return image


def middles(track, at):
    return float(np.nanmean(track.landmarks[at, :, 0]))


@pytest.mark.parametrize("front", [0, 1])
def test_two_people_who_cross_keep_their_numbers(people, front):
    count = 48
    right = np.linspace(10, WIDE - SIDE - 10, count)
    images = [scene(people, (x, WIDE - SIDE - x), front) for x in right]
    frames = [Frame(i, i / 25, image) for i, image in enumerate(images)]
    watched = watch(frames, 25.0, default_landmarker(), faces=2, motion=False)
    assert set(watched.tracks) == {1, 2} and watched.in_view == 2
    seen = {number: track.seen for number, track in watched.tracks.items()}
    assert all(one[:8].all() and one[-8:].all() for one in seen.values())
    starts = {number: middles(track, slice(0, 3)) for number, track in watched.tracks.items()}
    ends = {number: middles(track, slice(-3, None)) for number, track in watched.tracks.items()}
    left, other = sorted(starts, key=lambda number: starts[number])
    assert ends[left] > WIDE / 2 > ends[other]  # who began at the left ends at the right
    assert ends[left] - starts[left] > 150 and starts[other] - ends[other] > 150


def test_who_leaves_and_comes_back_has_the_same_number_and_nobody_takes_it(people):
    follower = FaceFollower(default_landmarker(), most=2)
    both, alone = scene(people, (10, 260)), scene(people, (10, None))
    first = follower.find(both)
    of_second = next(number for number, face in first.items() if face.landmarks[:, 0].mean() > WIDE / 2)
    for _ in range(4):
        assert of_second not in follower.find(alone)
    back = [follower.find(scene(people, (10, 240))) for _ in range(14)][-1]
    assert set(back) == {1, 2} and back[of_second].landmarks[:, 0].mean() > WIDE / 2


class Scripted:
    """A landmarker whose tracker, as real ones do, goes to whatever face is nearest."""

    def __init__(self, faces):
        self.faces = faces

    def detect(self, image, *, max_faces=4):
        return self.faces[:max_faces]

    def track(self, image, previous):
        near = lambda face: np.linalg.norm(face.landmarks.mean(0) - previous.landmarks.mean(0))  # noqa: E731
        return min(self.faces, key=near) if self.faces else None


def face_at(x):
    points = CANONICAL_LANDMARKS * 0.5 + [x, 20]
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    return Face((x0, y0, x1, y1), 1.0, 18.0, points, CANONICAL_DEPTH * 0.5)


def test_two_numbers_never_stay_on_one_face(people):
    landmarker = Scripted([face_at(0), face_at(240)])
    follower = FaceFollower(landmarker, most=2)
    assert set(follower.find(scene(people, (0, 240)))) == {1, 2}
    landmarker.faces = [face_at(120)]  # the one in front: both trackers go to it
    found = follower.find(scene(people, (120, None)))
    assert len(found) == 1
    landmarker.faces = []
    assert follower.find(np.zeros((HIGH, WIDE, 3), np.uint8)) == {}
