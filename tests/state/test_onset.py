"""The onset's shape over the person's neutral: still frames, frames of a video, a mirror, a turned head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, TWIN
from deft_llm.model.inputs import MOST_OVER, OVER_UNIT, mirrored_over, over_input
from deft_llm.state.channels import POINTS, shape_channels
from deft_llm.state.face_state import state_of
from deft_llm.state.onset import ONSET_CHANNELS, over_neutral_at, over_neutral_of

CORNERS = {
    side: POINTS["corner"] if side == "right" else TWIN[list(POINTS["corner"])] for side in ("right", "left")
}


def smiling(side: str, up: float = 6.0, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The mean face with one mouth corner ``up`` px, turned by ``turn`` degrees in the image's plane."""
    points = CANONICAL_LANDMARKS.astype(float).copy()
    points[list(CORNERS[side]), 1] -= up
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return (points - points.mean(0)) @ np.array([[c, s], [-s, c]]), CANONICAL_DEPTH.astype(float)


REST = smiling("left", 0.0)


def channel(over: np.ndarray, name: str) -> float:
    return float(over[ONSET_CHANNELS.index(name)])


def test_every_shape_channel_has_its_place():
    points = np.column_stack([CANONICAL_LANDMARKS, CANONICAL_DEPTH])[None]
    assert set(ONSET_CHANNELS) == set(shape_channels(points, np.arange(478)))


def test_a_held_corner_shows_on_its_side_however_the_head_is_turned():
    for turn in (0.0, 12.0):
        over = over_neutral_of(smiling("left", turn=turn), [REST, REST, smiling("left", 0.0, -5.0)])
        assert channel(over, "corner_up_left") == pytest.approx(6.7, abs=0.7)
        assert abs(channel(over, "corner_up_right")) < 0.5


def test_at_rest_nothing_is_shown():
    assert np.abs(over_neutral_of(REST, [REST])).max() < 1e-3


def test_the_mirror_image_shows_the_same_on_the_other_side():
    left, right = (over_input(over_neutral_of(smiling(side), [REST])) for side in ("left", "right"))
    turned = mirrored_over(torch.from_numpy(left)[None])[0].numpy()
    assert np.allclose(turned, right, atol=0.25)
    again = mirrored_over(mirrored_over(torch.from_numpy(left)[None]))[0].numpy()
    assert np.allclose(again, left)


def test_what_the_expert_is_given_is_bounded():
    given = over_input(np.array([OVER_UNIT, -1e3, 1e3]))
    assert given.tolist() == [1.0, -MOST_OVER, MOST_OVER]


def test_a_frame_of_a_video_is_over_the_neutral_of_its_state(make_track, hold):
    corner = tuple(int(at) for at in CORNERS["left"])
    state = state_of(make_track(100, [(corner, (0, 5), hold(100, (40, 46), (80, 86)))]))
    assert channel(over_neutral_at(state, 60), "corner_up_left") == pytest.approx(5, abs=0.7)
    assert abs(channel(over_neutral_at(state, 10), "corner_up_left")) < 0.5
