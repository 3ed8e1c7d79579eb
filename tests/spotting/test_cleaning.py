"""What the skin did not do is taken out or not judged: key frames, turns of the head, noise that strays."""

import numpy as np
import pytest

from deft_llm.explain.samples import Injected
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, region_weights
from deft_llm.facs.regions import REGION_INDEX, REGION_KEYS
from deft_llm.motion.skull import CELLS, Skull
from deft_llm.spotting.build_signal import MAX_RESIDUAL
from deft_llm.spotting.clean import cleaned, jumps, without_jumps
from deft_llm.spotting.excursions import camera_noise
from deft_llm.spotting.spot import spot

SMILE = Injected(12, "right", 300, 320, 345, 3.0)
WHOLE = slice(0, 600)


def turned(yaw, pitch):
    """(CELLS, CELLS, 2) exact flow of the mean face under a turn and a nod."""
    skull = make_skull()
    x, y, z = skull._points
    across, away = x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw)
    below = y * np.cos(pitch) - away * np.sin(pitch)
    return np.stack([across - x, below - y], axis=1).reshape(CELLS, CELLS, 2)


def make_skull():
    landmarks = CANONICAL_LANDMARKS.astype(float)
    depth = CANONICAL_DEPTH - np.median(CANONICAL_DEPTH)
    return Skull(landmarks, depth.astype(float), region_weights(landmarks, (112, 112)))


@pytest.mark.parametrize(("yaw", "pitch"), [(0.05, 0.0), (0.25, -0.1), (-0.2, 0.2)])
def test_turns_are_found_and_carried_to_the_regions(yaw, pitch):
    flow = turned(yaw, pitch)
    head, carried, residual = make_skull().fit(flow)
    assert np.allclose(head[4:], [yaw, pitch], atol=0.01) and residual < 0.1
    coarse = region_weights(CANONICAL_LANDMARKS, (CELLS, CELLS)).reshape(len(REGION_KEYS), -1)
    assert np.abs(coarse @ flow.reshape(-1, 2) - carried).max() < 0.6


def test_an_expression_has_no_say_in_the_turn():
    flow = turned(0.1, 0.0)
    corner = region_weights(CANONICAL_LANDMARKS, (CELLS, CELLS))[REGION_INDEX["right mouth corner"]]
    flow += (corner / corner.max())[..., None] * [-3.0, -4.0]
    head, carried, _ = make_skull().fit(flow)
    assert np.allclose(head[4:], [0.1, 0.0], atol=0.01)
    assert np.linalg.norm(carried[REGION_INDEX["right mouth corner"]] - [-3, -4]) > 3


def test_a_laugh_leaves_bone_explained():
    """Everything below the nose moves by up to 8 px, outwards and up, the bridge of the nose hardly."""
    flow = np.random.default_rng(0).normal(0, 0.1, (CELLS, CELLS, 2))
    down, across = np.mgrid[0:CELLS, 0:CELLS] / (CELLS - 1)
    amount = 8.0 * np.clip((down - 0.35) / 0.3, 0.0, 1.0)
    flow += np.stack([np.sign(across - 0.5) * amount * 0.6, -0.8 * amount], axis=-1)
    _, _, residual = make_skull().fit(flow)
    assert residual < MAX_RESIDUAL, "the reference stands, and the head does not move too much"


def test_key_frames_are_no_movement(make_signal):
    signal = make_signal(movements=[SMILE])
    random = np.random.default_rng(1)
    for frame in (120, 480):
        signal.displacement[frame:] += random.normal(0, 0.5, signal.displacement.shape[1:])
    noise = camera_noise(signal.displacement)
    assert jumps(signal.displacement, noise) == [120, 480]
    steady = without_jumps(signal.displacement, noise)
    assert np.abs(np.diff(steady, axis=0)[[119, 479]]).max() < 0.3
    (movement,) = spot(signal).movements
    assert movement.kind == "micro-expression" and abs(movement.apex - SMILE.apex) <= 2


def test_a_movement_is_no_jump(make_signal):
    signal = make_signal(movements=[Injected(12, "both", 300, 303, 312, 6.0)])
    assert jumps(signal.displacement, camera_noise(signal.displacement)) == []


def test_what_follows_a_turn_is_taken_out_and_a_movement_stays(make_signal):
    path = lambda times: np.stack([0.0 * times] * 4 + [0.1 * np.sin(9 * times), 0.0 * times], 1)  # noqa: E731
    signal = make_signal(movements=[SMILE], head=path)
    nose = REGION_INDEX["left cheek"]
    signal.displacement[:, nose, 0] += 20 * signal.head[:, 4]
    left = cleaned(signal, WHOLE, camera_noise(signal.displacement))
    assert np.ptp(left[:250, nose, 0]) < 0.35 * np.ptp(signal.displacement[:250, nose, 0])
    corner = REGION_INDEX["right mouth corner"]
    height = np.linalg.norm(left[SMILE.apex, corner] - left[SMILE.onset, corner])
    assert height == pytest.approx(SMILE.px, abs=0.6)


def test_where_the_skull_is_not_explained_nothing_is_judged(make_signal):
    signal = make_signal(movements=[SMILE])
    signal.residual[290:350] = 6.0
    found = spot(signal)
    assert found.restless and found.restless[0].start == 290
    (movement,) = found.movements
    assert not movement.judged and "head moves too much" in movement.reason


def test_a_shift_in_the_picture_alone_does_not_stop_judging(make_signal):
    path = lambda times: np.column_stack([20 * times, *[0 * times] * 5])  # noqa: E731
    found = spot(make_signal(movements=[SMILE], head=path))
    assert found.movements[0].judged and not found.restless


def test_a_jump_of_one_region_is_too_quick_for_skin(make_signal):
    signal = make_signal()
    chin = REGION_INDEX["chin"]
    signal.displacement[300:330, chin] += [0.8, 0.0]
    assert [m for m in spot(signal).movements if m.kind == "micro-expression"] == []


def test_bone_alone_is_no_expression(make_signal):
    signal = make_signal()
    curve = np.array([SMILE.amount(frame) for frame in range(len(signal))])
    signal.displacement[:, REGION_INDEX["nose root"], 1] += 2 * curve
    assert spot(signal).movements == []
