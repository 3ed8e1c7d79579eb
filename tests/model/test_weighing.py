"""Classes and lists of units that the language model and the heads decide together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deft_llm.evaluation.questions import named_units
from deft_llm.facs.emotions import FINE
from deft_llm.facs.units import name
from deft_llm.model import weighing
from deft_llm.model.beliefs import Beliefs
from deft_llm.model.packing import Turn
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.model.weighing import (
    CONSIDERED,
    WRITTEN_SHARE,
    ClassTaken,
    class_of,
    option_chances,
    weighed_lists,
)


def test_the_heads_beliefs_weigh_beside_the_language_model() -> None:
    labels = ("happiness", "disgust", "anger", "surprise", "others")
    scored = {
        "coarse": {"negative": 0.4, "positive": 0.5, "surprise": 0.1},
        "fine": dict(zip(labels, (0.4, 0.3, 0.2, 0.05, 0.05))),
    }
    fine = torch.full((2, len(FINE)), 0.01)
    fine[0, FINE.index("disgust")] = fine[1, FINE.index("happiness")] = 0.9
    believed = Beliefs(torch.zeros(2, 24, 2), torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]), fine)
    sure, same = (class_of(scored, believed, clip) for clip in (0, 1))
    assert sure is not None and (sure.coarse, sure.fine) == ("negative", "disgust")
    assert same is not None and (same.coarse, same.fine) == ("positive", "happiness")
    ratio = sure.chances["fine"]["disgust"] / sure.chances["fine"]["happiness"]
    assert ratio == pytest.approx(
        (0.3 / 0.4) ** WRITTEN_SHARE * (0.9 / 0.01) ** (1 - WRITTEN_SHARE), rel=1e-5
    )
    assert sum(sure.chances["fine"].values()) == pytest.approx(1)


def test_coarse_and_fine_class_are_decided_together() -> None:
    scored = {
        "coarse": {"negative": 0.6, "positive": 0.3, "surprise": 0.1},
        "fine": {"happiness": 0.5, "disgust": 0.2, "anger": 0.1, "surprise": 0.1, "others": 0.1},
    }
    taken = class_of(scored, None, 0)
    assert isinstance(taken, ClassTaken)
    assert (taken.fine, taken.coarse) == ("disgust", "negative")  # .6 * .3 against .3 * .5
    assert class_of({}, None, 0) is None


WANTED = "What are the action units?"


def names(*aus: int) -> str:
    return ", ".join(name(au) for au in aus) or "none"


@pytest.fixture
def lists(monkeypatch):
    """``weighed_lists`` of one question with likelihoods of lists, and beliefs in units, of one's own."""

    def decide(written: str, chances: dict[int, float], likely: dict[str, float]):
        def given(model, prompt, turns):
            return {WANTED: {text: likely.get(text, 1e-4) for text in turns[WANTED].answers}}

        monkeypatch.setattr(weighing, "option_chances", given)
        beliefs = np.full(len(EXPERT_AUS), 0.03)
        for au, chance in chances.items():
            beliefs[AU_INDEX[au]] = chance
        return weighed_lists(None, None, {WANTED: written}, beliefs)[WANTED]

    return decide


def test_a_list_that_beliefs_deny_does_not_stand(lists) -> None:
    text, share = lists("none", {12: 0.94}, {"none": 0.64, names(12): 0.2})
    assert text == names(12) and 0.5 < share < 1


def test_a_sure_list_stands_against_a_faint_belief(lists) -> None:
    assert lists(names(4, 7), {4: 0.9, 7: 0.4}, {names(4, 7): 0.9, names(4): 0.01})[0] == names(4, 7)


def test_what_is_written_is_compared_however_long_it_is(lists) -> None:
    long = (1, 2, 4, 5, 7, 15, 17)
    assert lists(names(*long), dict.fromkeys(long, 0.4), {names(*long): 1.0})[0] == names(*long)


def test_an_option_is_named_once_in_the_order_of_its_units() -> None:
    options = weighing._options(list(range(CONSIDERED)), frozenset({1, 20}))
    assert len(set(options)) == len(options) and options[0] == frozenset()
    assert frozenset({1, 20}) in options and frozenset({20}) in options and frozenset({0, 1, 20}) in options
    assert max(len(one) for one in options if 20 not in one) == CONSIDERED
    units = named_units(weighing._text(frozenset({AU_INDEX[12], AU_INDEX[4]})))[0]
    assert units == {4, 12} and weighing._text(frozenset({AU_INDEX[12], AU_INDEX[4]})) == names(4, 12)


def test_chances_of_options_are_those_of_rows_of_their_own(tiny_model, readout) -> None:
    prompt = tiny_model.prompts(readout, (), Beliefs.of(readout))[0]
    turns = {"a": Turn("Is it?", ("yes", "no")), "b": Turn(WANTED, (names(4), names(4, 12), "none"))}
    both = option_chances(tiny_model, prompt, turns)
    for key, turn in turns.items():
        alone = option_chances(tiny_model, prompt, {key: turn})[key]
        assert both[key] == pytest.approx(alone, abs=1e-4)
        assert sum(alone.values()) == pytest.approx(1)
    assert option_chances(tiny_model, prompt, {}) == {}
