"""Priors of AUs and labels: overlap, balance, the Bayes bound."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.facs.emotions import coarse_of
from deft_llm.synth.core.prior import ActiveAU, Prior, load_prior


@pytest.mark.parametrize("name", ["facs", "corpora"])
def test_labels_overlap_and_are_consistent(name):
    prior = load_prior(name)
    shared = [aus for aus, row in prior.joint.items() if len(row) > 1]
    assert len(shared) > 10
    assert len(prior.posterior((4,))) >= 3
    assert np.isclose(sum(sum(row.values()) for row in prior.joint.values()), 1)
    assert np.isclose(sum(prior.posterior((4,)).values()), 1)
    assert prior.posterior((1, 99)) == {}


def test_only_the_facs_prior_is_free_of_corpora():
    assert not any("CASME" in source or "SAMM" in source for source in load_prior("facs").sources)
    assert any("CASME II" in source for source in load_prior("corpora").sources)


def test_bayes_bound_by_hand():
    prior = Prior(
        "toy", (), {"disgust": {(4,): 1.0}, "happiness": {(12,): 3.0, (4,): 1.0}, "surprise": {(1, 2): 1.0}},
        {"disgust": 1.0, "happiness": 1.0, "surprise": 1.0}, (1.0, 1.0, 1.0, 0.0),
    )  # fmt: skip
    # AU4 is called negative: precision .8, recall 1; positive: precision 1, recall .75
    expected = (2 * 0.8 / 1.8 + 2 * 0.75 / 1.75 + 1) / 3
    assert np.isclose(prior.bayes_uf1(), expected)


@pytest.mark.parametrize("name", ["facs", "corpora"])
def test_bound_is_below_one_and_above_chance(name):
    told = load_prior(name).describe()
    assert 0.9 < told["bayes_uf1_coarse"] < 0.995
    assert 0.5 < told["bayes_uf1_fine"] < 0.9


def test_samples_follow_the_prior():
    prior, rng = load_prior("facs"), np.random.default_rng(0)
    drawn = [prior.sample(rng) for _ in range(3000)]
    share = np.mean([expression.coarse == "negative" for expression in drawn])
    assert (
        abs(share - sum(p for f, p in prior.label_probability.items() if coarse_of(f) == "negative")) < 0.04
    )
    # most clips of real corpora have one or two coded AUs
    assert 1.2 < np.mean([len(expression.marked) for expression in drawn]) < 2.1
    assert all(expression.coarse == coarse_of(expression.fine) for expression in drawn)
    assert all(prior.sample(rng, "surprise").coarse == "surprise" for _ in range(20))


def test_sides_are_written_as_coders_write_them():
    assert ActiveAU(12, 1.0, 0.05).record().side == "left"
    assert ActiveAU(12, 0.4, 1.0).record().side == "asymmetric"
    assert ActiveAU(12, 0.9, 1.0).record().side == "both"
    assert ActiveAU(23, 1.0, 0.1).record().part == "upper"
    assert ActiveAU(17, 1.0, 1.0).record().side == "both"


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="prior"):
        load_prior("guess")
    with pytest.raises(UsageError, match="class"):
        load_prior("facs").sample(np.random.default_rng(0), "joyful")
