"""From the coarse head to classes without training."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.model.heads import BALANCE, class_log_probabilities, class_offsets, plausible_classes
from deft_llm.model.predictor import Reading
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.training.export import class_shares


def reading(coarse: list[list[float]]) -> Reading:
    """A reading of which only the coarse head speaks."""
    logits = np.repeat(np.array(coarse, float)[:, None], 2, axis=1)
    blank = np.zeros((len(coarse), 2, 1))
    aus = np.zeros((len(coarse), 2, len(EXPERT_AUS), 2))
    return Reading(blank, blank, aus, coarse=logits, fine=blank, clean=blank, pixels=blank)


def test_half_of_the_training_prior_is_taken_out() -> None:
    shares = np.array([0.6, 0.2, 0.2])
    known = {
        "class_shares": shares.tolist(),
        "au_scale": np.ones(len(EXPERT_AUS)),
        "au_bias": np.zeros(len(EXPERT_AUS)),
    }
    read = reading([np.log(shares).tolist()])
    found = np.exp(class_log_probabilities(read, list(COARSE), known))[0]
    assert found == pytest.approx(shares**BALANCE / (shares**BALANCE).sum(), abs=1e-3)
    assert np.exp(class_log_probabilities(read, list(COARSE)))[0] == pytest.approx(shares, abs=1e-3)


def test_the_answer_s_classes_follow_the_same_probabilities() -> None:
    read = reading([[0.3, 0.0, -9.0]])
    assert plausible_classes(read, least=0.5) == [("negative",)]
    assert plausible_classes(read, {"class_shares": [0.8, 0.1, 0.1]}, least=0.5) == [("positive",)]


def test_without_known_shares_nothing_is_added() -> None:
    assert not class_offsets(None).any()
    assert not class_offsets({"au_scale": []}).any()


def test_shares_leave_out_clips_without_a_class_and_are_never_zero() -> None:
    assert class_shares(np.array([0, 0, 0, 1, -1, -1])) == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-3)
