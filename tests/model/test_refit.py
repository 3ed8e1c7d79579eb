"""The per-fold refit: closed-form hold-out is the real hold-out,
and everything is learned inside the fold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from deft_llm.methods.refit import (
    AURefit,
    KernelMachine,
    Stacker,
    balanced_weights,
    f1_threshold,
    macro_f1,
)


def test_closed_form_hold_out_equals_refitting_without_the_group() -> None:
    rng = np.random.default_rng(0)
    x, y, groups = rng.normal(size=(24, 3)), rng.normal(size=(24, 2)), np.repeat(np.arange(6), 4)
    machine = KernelMachine(0.5)
    held = machine.fit(x, y, np.ones(24), groups)
    inside = groups != 2
    other = KernelMachine(0.5)
    other.mean, other.scale = machine.mean, machine.scale
    # Same scaling, fitted without group 2: what the closed form promises.
    scaled = (x - machine.mean) / machine.scale
    kernel = rbf_kernel(scaled[inside], scaled[inside], machine.gamma) + 1.0
    alpha = np.linalg.solve(kernel + 0.5 * np.eye(inside.sum()), y[inside])
    direct = (rbf_kernel(scaled[~inside], scaled[inside], machine.gamma) + 1.0) @ alpha
    assert np.allclose(held[~inside], direct)


def test_balanced_weights_give_classes_equal_totals() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = balanced_weights(labels)
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights.mean() == pytest.approx(1.0)


def test_stacker_prefers_the_view_that_is_right() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    good = np.eye(3)[labels] + 0.3 * rng.normal(size=(200, 3))
    bad = rng.normal(size=(200, 3))
    stacker = Stacker(0.1).fit_softmax(np.stack([good, bad], 1), labels, np.ones(200))
    assert (stacker.weights[0] > 5 * stacker.weights[1]).all()


def test_each_unit_weighs_the_view_that_tells_it() -> None:
    """One view tells the first unit, the other the second."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (300, 2))
    scores = rng.normal(size=(300, 2, 2))
    for unit in (0, 1):
        scores[:, unit, unit] += 2.0 * labels[:, unit]
    weights = Stacker(0.3).fit_sigmoid(scores, labels).weights
    assert weights[0, 0] > 1.5 * weights[1, 0] and weights[1, 1] > 1.5 * weights[0, 1]


def test_threshold_beats_one_half_for_a_rare_unit() -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random(400) < 0.08).astype(float)
    probability = np.clip(0.05 + 0.25 * truth + 0.05 * rng.random(400), 0, 1)
    threshold = f1_threshold(probability, truth)

    def f1(cut: float) -> float:
        chosen = probability >= cut
        return 2 * (truth * chosen).sum() / (truth.sum() + chosen.sum())

    assert f1(threshold) > 0.95
    assert f1(0.5) == 0.0


def test_macro_f1_by_hand() -> None:
    truth, chosen = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert macro_f1(truth, chosen, 3) == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_what_is_coded_together_tells_one_another() -> None:
    """Of two AUs that coders mark together the expert reads the first alone; the features tell neither."""
    rng = np.random.default_rng(3)
    there = rng.integers(0, 2, 160)
    labels = np.stack([there, np.where(rng.random(160) < 0.9, there, 1 - there)], 1)
    features, prior = rng.normal(size=(160, 1, 6)), np.zeros((160, 2))
    prior[:, 0] = 4.0 * there - 2.0 + rng.normal(size=160)
    train, new = np.arange(80), np.arange(80, 160)
    model = AURefit().fit([features], prior, train, labels[:80], train % 16)
    told = model.probabilities([features], prior, new)
    alone = model._told(model._of_each([features], prior, new))
    right = [((p > 0.5) == labels[80:]).mean(0) for p in (alone, told)]
    assert right[0][0] > 0.85 and right[1][0] > 0.85
    assert right[0][1] < 0.65 and right[1][1] > 0.75


def test_what_a_refit_says_of_its_own_clips_was_told_with_their_subject_held_out() -> None:
    rng = np.random.default_rng(4)
    features, labels = rng.normal(size=(160, 1, 8)), rng.integers(0, 2, (160, 2))
    features[:, 0, :2] += 1.5 * labels
    train, new = np.arange(80), np.arange(80, 160)
    model = AURefit().fit([features], np.zeros((160, 2)), train, labels[:80], train % 16)

    def told(p: np.ndarray, truth: np.ndarray) -> float:
        """By how much more an AU that is there is believed in."""
        return float(np.mean([p[t == 1, k].mean() - p[t == 0, k].mean() for k, t in enumerate(truth.T)]))

    learned, fresh = (model.probabilities([features], np.zeros((160, 2)), rows) for rows in (train, new))
    held = told(model.held, labels[:80])
    assert told(learned, labels[:80]) > held + 0.1 and abs(held - told(fresh, labels[80:])) < 0.1
