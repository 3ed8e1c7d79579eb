"""Plans of clips: times, magnitudes, negatives and lures; the simulated coder."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.records import ActionUnit
from deft_llm.synth.core import dynamics, events
from deft_llm.synth.core.coder import agreement, annotate
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.units import components


def test_micro_pulses_have_the_durations_of_micro_expressions() -> None:
    rng = np.random.default_rng(0)
    pulses = [dynamics.micro_pulse(rng, 0.1) for _ in range(400)]
    rise = np.array([p.apex - p.onset for p in pulses])
    length = np.array([p.offset - p.onset for p in pulses])
    assert rise.min() >= 0.04 - 1e-9 and rise.max() <= 0.25 + 1e-9
    assert length.max() <= 0.5 + 1e-9 and 0.1 < np.median(rise) < 0.18
    assert np.mean(length - rise > rise) > 0.6  # the fall is usually slower


def test_curve_rises_from_onset_to_apex_and_falls() -> None:
    pulse = dynamics.Pulse(0.1, 0.2, 0.4)
    times = np.linspace(0, 0.5, 501)
    curve = pulse.curve(times)
    assert curve[times <= 0.1].max() == 0 and abs(curve[np.argmin(abs(times - 0.2))] - 1) < 1e-6
    assert (np.diff(curve[(times > 0.1) & (times < 0.2)]) > 0).all() and curve[times >= 0.4].max() < 1e-9


@pytest.mark.parametrize("fps", [60.0, 100.0, 500.0])
def test_micro_clip_lies_inside_its_frames_with_visible_motion(fps: float) -> None:
    prior = load_prior("facs")
    for seed in range(12):
        plan = events.plan_clip(np.random.default_rng(seed), prior, kind="micro-expression", fps=fps)
        main = plan.main
        assert main is not None and 0 <= main.onset < main.apex < main.offset < len(plan.times)
        peaks = {}
        for au in main.aus:
            for part in components(au.number):
                if part in plan.tracks:
                    moved = plan.tracks[part].max() / events.share_of(au.number, 1.0)
                    peaks[au.number] = max(peaks.get(au.number, 0), moved)
        assert set(peaks) == {au.number for au in main.aus}
        assert min(peaks.values()) >= 0.15 and max(peaks.values()) < 3.6
        still = max(0, main.onset - 1)
        for key, curve in plan.tracks.items():
            if not isinstance(key, str) and key.au in peaks and key.au != 38:
                assert curve[still] < 0.02 * curve.max() + 1e-6


@pytest.mark.parametrize("kind", [k for k in events.NEGATIVES if k != "macro-expression"])
def test_negatives_hold_no_expression(kind: str) -> None:
    plan = events.plan_clip(np.random.default_rng(3), load_prior("facs"), kind=kind, fps=100.0)
    assert plan.main is None and len(plan.turn) == len(plan.times) == len(plan.gaze)


@pytest.mark.parametrize("lure", events.LURES)
def test_lures_are_there_from_the_first_frame(lure: str) -> None:
    plain, lured = (
        events.plan_clip(
            np.random.default_rng(5), load_prior("facs"), kind="micro-expression", fps=100.0, lure=name
        )
        for name in (None, lure)
    )
    if lure == "deep wrinkles":
        assert max(lured.creases.values()) > 0.3
    elif lure == "head pitch":
        assert np.ptp(lured.turn[:, 1] - plain.turn[:, 1]) > 0.003
    else:
        first = {key: curve[0] for key, curve in lured.tracks.items()}
        assert max(value for key, value in first.items() if not isinstance(key, str)) > 0.15
    assert [e.record() for e in lured.events] == [e.record() for e in plain.events]


def test_long_video_has_several_events_in_order() -> None:
    plan = events.plan_long(np.random.default_rng(1), load_prior("facs"), fps=60.0, seconds=12.0)
    onsets = [event.onset for event in plan.events]
    assert len(onsets) >= 4 and onsets == sorted(onsets) and len(plan.times) == 720


def test_coder_agrees_as_coders_do() -> None:
    rng, prior = np.random.default_rng(0), load_prior("facs")
    scores, kept, shifts = [], [], []
    for _ in range(600):
        expression = prior.sample(rng)
        truth = [active.record() for active in expression.marked]
        coded = annotate(
            rng, truth, 20, 50, 90, frames=110, fine=expression.fine, coarse=expression.coarse, prior=prior
        )
        assert 0 <= coded.onset < coded.apex < coded.offset < 110
        scores.append(agreement(truth, coded.aus))
        kept.append(coded.fine == expression.fine)
        shifts.append(abs(coded.apex - 50))
    assert 0.75 < np.mean(scores) < 0.93 and 0.88 < np.mean(kept) < 1 and 1 < np.mean(shifts) < 8


def test_coder_writes_nothing_for_nothing() -> None:
    coded = annotate(np.random.default_rng(0), [], 1, 2, 3, frames=9, fine=None, coarse=None)
    assert coded.aus == [] and agreement([], []) == 1.0 and agreement([ActionUnit(number=4)], []) == 0.0
