"""Of several faces the one that was followed is measured, or none."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.errors import DeftError
from deft_llm.faces.align import move
from deft_llm.faces.landmarker import Face
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.faces.video import Frame
from deft_llm.motion.shots import Collector, make_plan, near_faces


class Crowd:
    """A landmarker that finds faces at the places (right, down) px that it is given, foremost first."""

    def __init__(self, *places: tuple[float, float]) -> None:
        self.faces = [self._at(place) for place in places]

    @staticmethod
    def _at(place: tuple[float, float]) -> Face:
        points = CANONICAL_LANDMARKS + np.array(place)
        box = (*points.min(0), *points.max(0))
        return Face(box, 0.9, 18.0, points, np.zeros(len(points)))

    def detect(self, image: np.ndarray, *, max_faces: int = 4) -> list[Face]:
        return self.faces[:max_faces]

    def track(self, image: np.ndarray, face: Face) -> Face:
        return face


def frames(count: int) -> list[Frame]:
    return [Frame(index, index / 25, np.zeros((480, 1800, 3), np.uint8)) for index in range(count)]


def test_the_followed_face_is_measured_though_another_is_more_prominent() -> None:
    crowd = Crowd((0, 0), (300, 0), (600, 0), (900, 0), (1200, 0))
    for at, face in enumerate(crowd.faces):  # the fifth too, of which four would be looked at
        near = face.landmarks.mean(0) + 5
        assert near_faces(frames(1)[0].image, near, crowd)[0] is face
        collector = Collector(make_plan(0, 2, None, 25.0, 0, 0), crowd, near=near)
        for frame in frames(4):
            collector.add(frame)
        assert collector.finish().face is crowd.faces[at]


def test_somebody_elses_face_is_not_taken_where_the_followed_one_is_not_found() -> None:
    near = CANONICAL_LANDMARKS.mean(0) + [600, 0]
    collector = Collector(make_plan(0, 2, None, 25.0, 0, 0), Crowd((0, 0)), name="clip", near=near)
    with pytest.raises(DeftError, match="no face is found in frame 0"):
        collector.add(frames(1)[0])


@pytest.mark.parametrize(("rights", "taken"), [((0, 240), 1), ((649,), 0), ((651, 900), None), ((), None)])
def test_a_face_that_is_not_tracked_is_the_nearest_one_within_its_size(monkeypatch, rights, taken) -> None:
    """The followed face stands 400 px to the right and has a size of 250 px."""
    shown = Crowd((400, 0))
    monkeypatch.setattr(shown, "track", lambda image, face: face if shown.faces == [face] else None)
    collector = Collector(make_plan(0, 2, None, 25.0, 0, 0), shown)
    collector.add(frames(1)[0])
    shown.faces = later = Crowd(*((right, 0) for right in rights)).faces
    if taken is None:
        with pytest.raises(DeftError, match="the face is lost in frame 2"):
            collector.add(frames(3)[2])
        return
    collector.add(frames(3)[2])
    shots = collector.finish()
    assert np.allclose(shots.landmarks[2], move(later[taken].landmarks, shots.matrix), atol=1e-3)
