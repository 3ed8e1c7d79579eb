"""Spotting names what moves, times it to 40 ms, and says what it is and what cannot be judged."""

import numpy as np
import pytest

from deft_llm.explain.apex import apex_between
from deft_llm.explain.samples import Injected
from deft_llm.spotting import signal as signal_module
from deft_llm.spotting.events import Span, joined
from deft_llm.spotting.fit import fit_curve
from deft_llm.spotting.spot import spot
from deft_llm.state.channels import zigzag


@pytest.mark.parametrize("fps", [25, 50, 100, 200])
@pytest.mark.parametrize(
    ("au", "side", "region"), [(12, "right", "right mouth corner"), (1, "left", "left inner brow")]
)
def test_a_micro_expression_is_timed(make_signal, fps, au, side, region):
    frames = [int(value * fps) for value in (2.0, 2.2, 2.44)]
    found = spot(make_signal(fps=float(fps), movements=[Injected(au, side, *frames, 2.0)]))
    (movement,) = found.movements
    assert movement.kind == "micro-expression" and movement.judged
    assert movement.regions[0].region == region
    for seen, true in zip((movement.onset, movement.apex, movement.offset), frames):
        assert abs(seen - true) / fps <= 0.0401
    low, high = movement.duration
    assert low <= 0.44 <= high + 1e-6 or fps >= 50


def test_low_rates_give_intervals(make_signal):
    frames = [int(value * 25) for value in (2.0, 2.2, 2.44)]
    found = spot(make_signal(fps=25.0, movements=[Injected(12, "right", *frames, 2.0)]))
    low, high = found.movements[0].duration
    assert high - low == pytest.approx(0.08)
    assert any("intervals" in note for note in found.notes)


def test_a_macro_expression_is_no_micro(make_signal):
    movement = Injected(12, "both", 200, 250, 400, 4.0, release=330)
    (seen,) = spot(make_signal(movements=[movement])).movements
    assert seen.kind == "macro-expression"
    assert abs(seen.onset - 200) <= 6 and abs(seen.apex - 250) <= 8 and abs(seen.offset - 400) <= 8


def test_a_movement_that_stays_has_no_offset(make_signal):
    (seen,) = spot(make_signal(movements=[Injected(12, "both", 300, 330, 3000, 4.0, release=2900)])).movements
    assert seen.offset is None and seen.duration is None and seen.kind == "movement" and seen.reason


def test_blinks_are_blinks(make_signal):
    found = spot(make_signal(blinks=[150, 400]))
    assert [event.kind for event in found.events] == ["blink", "blink"]
    assert not found.movements


def test_a_brow_raise_beside_a_blink_is_kept(make_signal):
    found = spot(make_signal(blinks=[120], movements=[Injected(1, "both", 300, 320, 340, 3.0)]))
    assert [movement.kind for movement in found.movements] == ["micro-expression"]
    assert [event.kind for event in found.events] == ["blink"]


def test_mouth_in_speech_is_not_judged_but_brows_are(make_signal):
    speaking = lambda times: 4 + 3 * np.sin(2 * np.pi * 4 * times) * (times > 1)  # noqa: E731
    found = spot(
        make_signal(mouth=speaking, movements=[Injected(12, "right", 300, 320, 340, 3.0),
                                               Injected(4, "both", 450, 465, 485, 3.0)])
    )  # fmt: skip
    assert found.speech
    kinds = {movement.kind: movement for movement in found.movements}
    assert not kinds["mouth movement in speech"].judged and kinds["mouth movement in speech"].reason
    assert kinds["micro-expression"].regions[0].region in ("glabella", "left inner brow", "right inner brow")
    assert found.movements[-1].kind == "mouth movement in speech"  # what is not judged ranks last


def test_one_smile_is_no_speech(make_signal):
    smile = Injected(12, "both", 200, 250, 400, 4.0, release=330)
    opening = lambda times: 2 + 5 * np.array([smile.amount(t * 100) for t in times])  # noqa: E731
    found = spot(make_signal(mouth=opening, movements=[smile]))
    assert not found.speech and found.movements[0].kind == "macro-expression"


def test_head_movements_are_named(make_signal):
    def turning(times):
        head = np.zeros((len(times), 6))
        head[:, 4] = 0.25 / (1 + np.exp(-(times - 3) * 12))
        return head

    found = spot(make_signal(head=turning))
    (event,) = found.events
    assert event.kind == "head movement" and 2.5 < event.apex_time < 3.5
    assert not found.movements


@pytest.mark.parametrize("seed", range(2))
def test_noise_alone_shows_nothing(make_signal, seed):
    found = spot(make_signal(seconds=30.0, seed=seed))
    assert sum(movement.kind == "micro-expression" for movement in found.movements) == 0


def test_movements_are_ranked(make_signal):
    found = spot(
        make_signal(
            movements=[Injected(12, "right", 100, 118, 140, 1.5), Injected(1, "both", 350, 368, 390, 4.0)]
        )
    )
    assert [movement.onset > 300 for movement in found.movements] == [True, False]


def test_short_and_empty_stretches(make_signal):
    signal = make_signal(seconds=0.03)
    assert not spot(signal).movements
    signal = make_signal(seconds=1.0, movements=[Injected(12, "right", 40, 60, 80, 3.0)])
    assert [movement.kind for movement in spot(signal).movements] == ["micro-expression"]
    signal.segment[:] = -1
    assert not spot(signal).movements


def test_courses_are_fitted_to_a_fraction_of_a_frame():
    times = np.arange(100) / 100
    movement = Injected(12, "right", 30, 45, 70, 1.0, release=52)
    curve = np.array([movement.amount(frame) for frame in range(100)]) + np.random.default_rng(0).normal(
        0, 0.02, 100
    )
    fit = fit_curve(times, curve, 48)
    assert np.allclose([fit.onset, fit.apex, fit.release, fit.offset], [0.30, 0.45, 0.52, 0.70], atol=0.015)
    assert fit.height == pytest.approx(1.0, abs=0.05)


def test_turning_points_are_of_swings_alone():
    turns = [frame for frame, _ in zigzag(np.array([0, 1, 0, 3, 0, 3, 0.5, 1.0]), 2.0)]
    assert turns == [0, 3, 4, 5, 6], "the last one is where the curve is lowest so far"
    assert zigzag(np.zeros(10), 1.0) == []


@pytest.mark.parametrize(("iod", "seen"), [(20.0, False), (90.0, True)])
def test_landmarks_that_jitter_on_a_small_face_are_no_speech(make_signal, iod, seen):
    random = np.random.default_rng(1)
    signal = make_signal(mouth=lambda times: random.normal(10, 1.2, len(times)), fps=30.0)
    signal.iod_px[:] = iod
    assert bool(spot(signal).speech) is seen


def test_a_long_stretch_is_decided_in_windows_to_the_same_movements(make_signal, monkeypatch):
    done = [
        Injected(au, "both", at, at + 15, at + 35, 2.5)
        for au, at in zip((12, 1, 4, 12, 1, 15, 4), range(120, 2900, 400), strict=True)
    ]
    made = make_signal(60.0, fps=50.0, movements=done, blinks=(300, 1500, 1495 + 700))
    whole = spot(made)
    monkeypatch.setattr(signal_module, "WINDOW", 10.0)
    monkeypatch.setattr(signal_module, "OVERLAP", 5.0)
    spans = [own for _, own in made.windows()]
    assert len(spans) == 6 and spans[0].start == 0 and spans[-1].stop == 3000
    assert all(one.stop == other.start for one, other in zip(spans, spans[1:], strict=False))
    parts = spot(made)
    for one in done:
        for found in (whole, parts):
            near = [m for m in found.movements if abs(m.apex - one.apex) <= 3]
            assert len(near) == 1, one
    assert len(parts.events) == len(whole.events) == 3


def test_spans_of_overlapping_windows_are_joined():
    spans = [Span("speech", 40, 60, 50, 2.0), Span("speech", 0, 9, 4, 1.0), Span("speech", 55, 90, 70, 3.0)]
    assert joined(spans) == [Span("speech", 0, 9, 4, 1.0), Span("speech", 40, 90, 70, 3.0)]


def test_an_apex_is_not_searched_for_beyond_a_cut_or_a_gap(make_signal):
    signal = make_signal(seconds=2.0, fps=50.0, movements=[Injected(12, "left", 30, 44, 60, 3.0)])
    signal.displacement[:, :, 0] += 3.0  # since the stretch began
    gap = slice(55, 60)
    signal.displacement[gap], signal.segment[gap], signal.segment[60:] = np.nan, -1, 1
    signal.displacement[60:] = 0.0
    assert abs(apex_between(signal, 30, 99) - 44) <= 2
