"""When a reference frame gives way, which flow a face's size calls for, when bone ends judging."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from deft_llm.explain.samples import Injected
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.motion.flow import estimate, estimate_small
from deft_llm.spotting.build_signal import HASTY, MAX_AGE, OVERLAP, SignalBuilder
from deft_llm.spotting.excursions import unusual
from deft_llm.spotting.spot import spot

STILL = np.zeros(6)
TURNED = np.array([0, 0, 0, 0, 0.1, 0])


@pytest.fixture
def builder():
    found = SignalBuilder(30.0)
    found._face = SimpleNamespace(depth=CANONICAL_DEPTH)
    return found


@pytest.mark.parametrize(
    ("age", "head", "residual", "frames"),
    [(1.0, STILL, 0.3, 0), (0.05, TURNED, 3.0, 0), (0.2, TURNED, 0.3, HASTY), (0.2, STILL, 1.5, HASTY),
     (MAX_AGE + 0.1, STILL, 0.3, OVERLAP)],
)  # fmt: skip
def test_a_reference_gives_way_to_age_turns_and_what_the_skull_does_not_explain(
    builder, age, head, residual, frames
):
    builder._reference = SimpleNamespace(since=2.0)
    assert builder._is_stale(2.0 + age, head, residual) == frames


@pytest.mark.parametrize(("enlarged", "flow"), [(2.0, estimate), (4.0, estimate_small)])
def test_small_faces_take_the_coarser_flow(builder, enlarged, flow):
    builder.matrix = np.array([[enlarged, 0, 0], [0, enlarged, 0]])
    reference = builder._make_reference(0.0, np.zeros((224, 224), np.uint8), CANONICAL_LANDMARKS / enlarged)
    assert reference.flow is flow


def test_the_coarser_flow_keeps_a_shift_of_an_enlarged_picture():
    small = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (56, 56)).astype(np.float32), (0, 0), 1.2)
    large = cv2.resize(128 + 40 * small / small.std(), (224, 224), interpolation=cv2.INTER_CUBIC)
    moved = cv2.warpAffine(
        large, np.float32([[1, 0, 1.5], [0, 1, 0]]), (224, 224), borderMode=cv2.BORDER_REFLECT
    )
    as_bytes = lambda image: np.clip(image, 0, 255).astype(np.uint8)  # noqa: E731
    flow = estimate_small(as_bytes(large), as_bytes(moved))
    assert flow.shape == (2, 224, 224)
    assert np.median(flow[0]) == pytest.approx(1.5, abs=0.15) and abs(np.median(flow[1])) < 0.1


def test_the_face_s_way_does_not_depend_on_how_large_each_frame_takes_it(builder):
    """A face far from the picture's corner whose measured size jitters by 2 % stays where it is."""
    random, place = np.random.default_rng(0), np.array([300.0, 200.0])
    shape = CANONICAL_LANDMARKS - CANONICAL_LANDMARKS.mean(0)
    still = [builder._walk(place + shape * (0.25 + 0.005 * random.normal())) for _ in range(50)]
    assert np.abs(still).max() < 1e-3
    gone = builder._walk(place + [3.0, 0.0] + shape * 0.25) - still[-1]
    assert gone == pytest.approx([12.0, 0.0], abs=0.1), "aligned px: 90 between the eyes"


def test_a_head_that_always_sways_adds_no_noise_of_its_own():
    speed = np.full(600, 3.0)
    assert not unusual(speed, 30.0).any()
    speed[300:310] = 7.0
    assert unusual(speed, 30.0)[305] == pytest.approx(4.0)


@pytest.mark.parametrize(("residual", "judged"), [(0.7, True), (1.4, False)])
def test_a_face_is_judged_while_bone_keeps_less_than_one_pixel(make_signal, residual, judged):
    signal = make_signal(movements=[Injected(12, "right", 300, 320, 345, 3.0)])
    signal.residual[290:350] = residual
    (movement,) = spot(signal).movements
    assert movement.judged is judged


def test_bone_that_a_fresh_reference_explains_is_not_restless(make_signal):
    signal = make_signal(movements=[Injected(12, "right", 300, 320, 345, 3.0)])
    signal.residual[310:316] = 1.3  # gone within less than a tenth of a second
    found = spot(signal)
    assert not found.restless and found.movements[0].judged


def test_a_hand_that_leaves_the_face_is_no_micro_expression(make_signal):
    signal = make_signal()
    rise = np.clip((np.arange(len(signal)) - 300) / 15, 0, 1) * (np.arange(len(signal)) < 318)
    signal.displacement[..., 0] += (12 * rise)[:, None] * np.isin(
        REGION_KEYS, ("right upper lip", "right lower lip", "right mouth corner")
    )
    assert [movement for movement in spot(signal).movements if movement.kind == "micro-expression"] == []


def test_roll_and_size_go_on_from_one_reference_to_the_next(builder, monkeypatch):
    """A head that rolls and comes nearer throughout: no step where another reference takes over."""
    poses = iter(np.linspace(0.0, 0.3, 40))
    at = {"now": 0.0}

    def against(reference, aligned):
        moved = at["now"] - reference.since
        return np.zeros((len(REGION_KEYS), 2)), np.array([0, 0, moved, moved, 0.1 * moved, 0.0]), 0.2

    def make(time, aligned, landmarks):
        return SimpleNamespace(since=at["now"], offset=np.zeros((len(REGION_KEYS), 2)), turned=np.zeros(4))

    monkeypatch.setattr(builder, "_against", against)
    monkeypatch.setattr(builder, "_make_reference", make)
    monkeypatch.setattr(builder, "_is_stale", lambda time, head, residual: 2 * (head[2] > 0.1))
    builder.matrix = np.eye(3)[:2]
    builder._reference = make(0.0, None, None)
    seen = []
    for pose in poses:
        at["now"] = pose
        seen.append(builder._measure(pose, None, CANONICAL_LANDMARKS)[1])
    steps = np.diff(np.array(seen)[:, 2:5], axis=0)
    assert builder._reference.since > 0, "another reference has taken over"
    assert steps == pytest.approx(np.tile([0.3 / 39, 0.3 / 39, 0.03 / 39], (39, 1)), abs=1e-9)


def test_what_goes_on_at_a_cut_does_not_end_with_the_recording(make_signal):
    held = Injected(12, "both", 250, 275, 599, 3.0, release=598)
    signal = make_signal(seconds=6.0, movements=[held])
    signal.segment = (np.arange(600) >= 300).astype(int)
    (movement, *_) = [one for one in spot(signal).movements if one.onset < 300]
    assert movement.offset is None and movement.reason == "It does not go back."
