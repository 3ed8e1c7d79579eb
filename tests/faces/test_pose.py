"""The head's turn from landmarks with depth."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.faces.pose import head_turn
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS
from deft_llm.model.inputs import no_space, normalised_depth, normalised_landmarks, space_input
from deft_llm.synth.video.scene import rotation


def turned(yaw: float, pitch: float, roll: float) -> tuple[np.ndarray, np.ndarray]:
    """The canonical face's landmarks (478, 2) and depth (478,), half as large, turned by degrees."""
    points = np.column_stack([CANONICAL_LANDMARKS[:, 0], -CANONICAL_LANDMARKS[:, 1], -CANONICAL_DEPTH])
    seen = 0.5 * points @ rotation(*np.radians([yaw, pitch, roll])).T
    return np.column_stack([seen[:, 0] + 30, -seen[:, 1]]), -seen[:, 2]


@pytest.mark.parametrize("turn", [(0, 0, 0), (8, 0, 0), (-12, 6, 0), (3, -9, 4), (15, 10, -8)])
def test_a_turned_face_is_recovered_within_a_degree(turn: tuple[float, float, float]) -> None:
    landmarks, depth = turned(*turn)
    noise = np.random.default_rng(0).normal(0, 0.3, (478, 3))
    found = head_turn(landmarks + noise[:, :2], depth + noise[:, 2])
    np.testing.assert_allclose(found, turn, atol=1.0)


def test_a_canonical_face_is_not_turned() -> None:
    found = space_input(normalised_landmarks(CANONICAL_LANDMARKS), normalised_depth(CANONICAL_DEPTH))
    np.testing.assert_allclose(found[-3:], 0, atol=1e-4)


def test_missing_depth_stays_missing() -> None:
    assert np.isnan(head_turn(CANONICAL_LANDMARKS, np.full(478, np.nan))).all()
    assert np.isnan(no_space()).all() and no_space().shape == (1437,)
