"""Confidence of a stated unit: what speaks for it raises it, what disturbs lowers it; statements meet truth
one to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deft_llm.spotting import joint
from deft_llm.spotting.confidence import EVIDENCE, FEATURES, KINDS, confidence_of, shipped
from deft_llm.spotting.explained import without_implied
from deft_llm.spotting.phases import LIMITS, phases_of
from deft_llm.state.face_state import state_of
from recipes.coded_films import Row, matched
from recipes.confidence import Statements, calibration_error, fitted


def smiling(state):
    return next(p for p in phases_of(state) if p.au == 12 and p.kind == "rise" and p.side == "left")


def test_every_weight_has_the_sign_of_its_evidence():
    weights = dict(zip(FEATURES, shipped().weights, strict=True))
    assert all(weights[name] * sign >= 0 for name, sign in EVIDENCE.items())
    assert weights["size"] + weights["trained"] > 0.5
    assert sorted(au for units in KINDS.values() for au in units) == sorted(LIMITS)


def test_a_turning_head_and_a_cover_lower_the_confidence(smile):
    state = state_of(smile())
    phase, whole = smiling(state), confidence_of(smiling(state), state)
    assert whole > 0.8
    turning = replace(state, angles=state.angles + np.linspace(0, 60, len(state))[:, None])
    assert confidence_of(phase, turning) < whole
    covered = replace(state.visibility, covered=np.ones(len(state), bool))
    assert confidence_of(phase, replace(state, visibility=covered)) < whole
    unseen = replace(state, trained={key: 0 * curve for key, curve in state.trained.items()})
    assert confidence_of(phase, unseen) < whole


def test_what_is_less_sure_than_the_least_is_not_stated(smile, monkeypatch):
    state = state_of(smile())
    assert {unit.number for one in joint.state_movements(state) for unit in one.units} >= {12}
    strict = shipped().model_copy(update={"least": 0.9999})
    monkeypatch.setattr(joint, "shipped", lambda: strict)
    assert joint.state_movements(state) == []


def test_a_dropped_jaw_says_that_the_lips_part(smile):
    state = state_of(smile())
    lips = replace(smiling(state), au=25, side="both")
    jaw, later = replace(lips, au=26), replace(lips, au=26, onset=lips.onset + 60, apex=lips.apex + 60)
    assert [phase.au for phase in without_implied([lips, jaw], state.fps)] == [26]
    assert [phase.au for phase in without_implied([lips, later], state.fps)] == [25, 26]


def test_the_fit_finds_shares_and_keeps_signs():
    random = np.random.default_rng(0)
    x = np.zeros((4000, len(FEATURES)))
    x[:, FEATURES.index("size")] = random.normal(0, 1, 4000)
    x[:, FEATURES.index("turned")] = random.uniform(0, 2, 4000)
    odds = 1.5 * x[:, FEATURES.index("size")] + 0.5 * x[:, FEATURES.index("turned")]  # against its sign
    right = (random.random(4000) < 1 / (1 + np.exp(-odds))).astype(float)
    found = fitted(Statements(x, right, np.zeros(4000)), 0.5, "test")
    weights = dict(zip(FEATURES, found.weights, strict=True))
    assert weights["size"] == pytest.approx(1.2, abs=0.4) and weights["turned"] == 0
    assert calibration_error(found.probability(x), right) < 0.06
    assert calibration_error(1 - found.probability(x), right) > 0.2


def test_each_statement_and_each_truth_is_used_once():
    truth = [Row("rise", 12, "both", 1.0, 1.4), Row("rise", 12, "both", 3.0, 3.3)]
    stated = [Row("rise", 12, "left", 1.3, 1.5), Row("rise", 12, "both", 1.1, 1.3),
              Row("release", 12, "both", 3.0, 3.3), Row("rise", 6, "both", 3.0, 3.3)]  # fmt: skip
    assert matched(stated, truth) == [(1, 0)]
    assert matched([], truth) == []
    late = Row("rise", 12, "both", 3.9, 4.2)
    assert matched([late], truth) == [] and matched([late._replace(apex=3.35)], truth) == [(0, 1)]
