"""From a readout to classes, AUs and sides without training, and beliefs that a refit adapted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit

from deft_llm.facs.emotions import FINE
from deft_llm.model.heads import (
    BALANCE,
    au_logits,
    au_probabilities,
    class_log_probabilities,
    class_offsets,
    coarse_chances,
    presence_logits,
    seen_sides,
    with_beliefs,
    with_stated,
)
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.training.calibration import class_shares

from .conftest import make_readout

CALIBRATION = {
    "au_scale": np.linspace(1, 2, len(EXPERT_AUS)).tolist(),
    "au_bias": np.linspace(-1, 1, len(EXPERT_AUS)).tolist(),
    "class_shares": [0.6, 0.2, 0.2],
}


def coarse(rows: list[list[float]]):
    return make_readout(len(rows), coarse=torch.tensor(rows))


def test_half_of_the_training_prior_is_taken_out() -> None:
    shares = np.array([0.6, 0.2, 0.2])
    readout = coarse([np.log(shares).tolist()])
    found = np.exp(class_log_probabilities(readout, COARSE, CALIBRATION))[0]
    assert found == pytest.approx(shares**BALANCE / (shares**BALANCE).sum(), abs=1e-3)
    assert np.exp(class_log_probabilities(readout, COARSE))[0] == pytest.approx(shares, abs=1e-3)


def test_without_known_shares_nothing_is_added() -> None:
    assert not class_offsets(None).any()
    assert not class_offsets({"au_scale": []}).any()


def test_calibration_scales_and_shifts_each_au() -> None:
    readout = make_readout(1, au=torch.randn(1, len(EXPERT_AUS), 2))
    found = au_probabilities(readout, CALIBRATION)[0]
    for place in (0, 9, 23):
        scale, bias = CALIBRATION["au_scale"][place], CALIBRATION["au_bias"][place]
        assert found[place] == pytest.approx(expit(readout.au[0, place].numpy() * scale + bias), abs=1e-5)


MEASURED = {
    "au": np.full(len(EXPERT_AUS), 0.5).tolist(),
    "support": np.full(len(EXPERT_AUS), 0.25).tolist(),
    "bias": np.full(len(EXPERT_AUS), -1.0).tolist(),
}


def test_what_the_flow_supports_counts_for_aus_that_were_measured() -> None:
    known, calibration = AU_INDEX[12], {**CALIBRATION, "measured": MEASURED}
    support = torch.full((2, len(EXPERT_AUS), 2), torch.nan)
    support[0, known] = torch.tensor([4.0, -4.0])
    readout = make_readout(2, au=torch.randn(2, len(EXPERT_AUS), 2), support=support)
    found, plain = au_logits(readout, calibration), au_logits(readout, CALIBRATION)
    expected = 0.5 * readout.au[0, known].numpy() + 0.25 * np.array([4.0, -4.0]) - 1
    assert found[0, known] == pytest.approx(expected, abs=1e-5)
    found[0, known] = plain[0, known]
    assert np.array_equal(found, plain), "what was not measured is calibrated as before"


def test_beliefs_are_adapted_and_held_to_what_was_measured_with_support_too() -> None:
    calibration, place = {**CALIBRATION, "measured": MEASURED}, AU_INDEX[12]
    readout = make_readout(2, support=torch.randn(2, len(EXPERT_AUS), 2))
    p = np.array([0.9, 0.2])
    adapted = with_beliefs(readout, {12: p}, {}, calibration)
    assert expit(presence_logits(adapted, calibration)[:, place]) == pytest.approx(p, abs=1e-4)
    told = with_stated(readout, [{12: (0.99, 0.97)}, {}], calibration)
    assert au_probabilities(told, calibration)[0, place] == pytest.approx([0.99, 0.97], abs=1e-4)


def test_an_au_is_one_sided_where_its_sides_probabilities_differ_enough() -> None:
    au = torch.zeros(4, len(EXPERT_AUS), 2)
    au[:, AU_INDEX[12]] = torch.tensor([[2.0, 1.2], [2.0, 0.7], [-1.0, 1.2], [-3.0, -9.0]])
    sides = seen_sides(au_probabilities(make_readout(4, au=au)))
    assert [one[12] for one in sides] == ["both", "left", "right", "both"]
    assert all(17 not in one for one in sides), "FACS scores no side of AU17"


def test_adapted_beliefs_are_what_the_heads_then_say() -> None:
    torch.manual_seed(0)
    readout = make_readout(4, au=torch.randn(4, len(EXPERT_AUS), 2), coarse=torch.randn(4, 3))
    p, q = np.array([0.9, 0.1, 0.5, 0.99]), np.random.default_rng(0).dirichlet(np.ones(3), 4)
    adapted = with_beliefs(readout, {12: p}, dict(zip(COARSE, q.T)), CALIBRATION)
    assert expit(presence_logits(adapted, CALIBRATION)[:, AU_INDEX[12]]) == pytest.approx(p, abs=1e-4)
    assert coarse_chances(adapted, CALIBRATION) == pytest.approx(q, abs=1e-4)
    others = [k for k in range(len(EXPERT_AUS)) if k != AU_INDEX[12]]
    assert torch.equal(adapted.au[:, others], readout.au[:, others])
    gap = lambda one: one.au[:, AU_INDEX[12], 0] - one.au[:, AU_INDEX[12], 1]  # noqa: E731
    assert torch.allclose(gap(adapted), gap(readout), atol=1e-5)
    assert torch.equal(adapted.fine, readout.fine)
    fine = with_beliefs(readout, {}, {"happiness": np.full(4, 0.7), "fear": np.full(4, 0.3)})
    found = np.exp(class_log_probabilities(fine, ["happiness", "fear"]))
    assert found == pytest.approx(np.tile([0.7, 0.3], (4, 1)), abs=1e-4)
    assert torch.equal(fine.coarse, readout.coarse) and len(FINE) == fine.fine.shape[1]


def test_shares_leave_out_clips_without_a_class_and_are_never_zero() -> None:
    assert class_shares(np.array([0, 0, 0, 1, -1, -1])) == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-3)


def test_beliefs_are_held_to_what_else_was_measured() -> None:
    readout = make_readout(2)
    before = au_probabilities(readout, CALIBRATION)
    told = with_stated(readout, [{12: (0.2, 0.8), 4: (0.1, 0.1), 99: (1.0, 1.0)}, {}], CALIBRATION)
    after = au_probabilities(told, CALIBRATION)
    place, other = AU_INDEX[12], AU_INDEX[4]
    assert after[0, place] == pytest.approx(
        [min(before[0, place, 0], 0.2), max(before[0, place, 1], 0.8)], abs=1e-5
    )
    assert (after[0, other] <= np.minimum(before[0, other], 0.1) + 1e-5).all()
    rest = [index for index in range(len(EXPERT_AUS)) if index not in (place, other)]
    assert np.array_equal(after[0, rest], before[0, rest]) and np.array_equal(after[1], before[1])


def test_classes_follow_units_that_were_measured_otherwise() -> None:
    """Experts see AU4, shape shows raised brows and denies it: negative gives way to surprise."""
    readout = make_readout(2, coarse=torch.zeros(2, 3))
    readout.au[:], readout.fine[:] = -4.0, 0.0
    readout.au[:, AU_INDEX[4]] = 2.0
    brows = {1: (0.95, 0.95), 2: (0.9, 0.9), 4: (0.05, 0.05)}
    told = with_stated(readout, [brows, {4: (0.6, 0.6)}])
    chances = np.exp(class_log_probabilities(told, COARSE))
    assert COARSE[chances[0].argmax()] == "surprise" and chances[0].max() > 0.6
    assert FINE[int(told.fine[0].argmax())] == "surprise"
    assert torch.equal(told.coarse[1], readout.coarse[1]), "what changes no unit changes no class"
    again = with_stated(told, [brows, {}])
    assert torch.allclose(again.coarse, told.coarse, atol=1e-5), "once told it is known"
