"""AU -> emotion rules say what coders say, and objective classes follow the published list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft_llm.facs.emotions import FINE, coarse_of, emotion_scores, objective_class
from deft_llm.facs.notation import parse_aus
from deft_llm.facs.units import MICRO_AUS


@pytest.mark.parametrize(
    ("aus", "label"),
    [((12,), "happiness"), ((6, 12), "happiness"), ((1, 2), "surprise"), ((1, 2, 5), "surprise"),
     ((9,), "disgust"),
     ((4, 10), "disgust"), ((4, 9), "disgust"), ((1, 4), "sadness"), ((1, 15), "sadness"), ((20,), "fear"),
     ((1, 2, 4, 20), "fear"), ((4, 5, 7), "anger"), ((4, 7, 23), "anger"), ((12, 15), "repression"),
     ((17,), "repression"), ((), "others")],
)  # fmt: skip
def test_combinations(aus, label):
    scores = emotion_scores(dict.fromkeys(aus, 1.0))
    assert max(scores, key=scores.get) == label


def test_unilateral_dimpler_is_contempt():
    both, one = emotion_scores({14: 1.0}), emotion_scores({14: 1.0}, {14: "right"})
    assert one["contempt"] > both["contempt"]
    assert max(one, key=one.get) == "contempt"


@given(st.dictionaries(st.sampled_from(MICRO_AUS), st.floats(0, 1)))
def test_scores_are_probabilities(probabilities):
    scores = emotion_scores(probabilities)
    assert set(scores) == set(FINE)
    assert abs(sum(scores.values()) - 1) < 1e-9 and min(scores.values()) > 0


def test_coarse():
    assert [coarse_of(fine) for fine in ("happiness", "Surprise", "fear", "others", None, "tense")] == [
        "positive", "surprise", "negative", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "label"),
    [("6+12", "I"), ("R12", "I"), ("ref(L10)+A12B", "I"), ("1+2", "II"), ("4+7", "III"), ("4+9", "IV"),
     ("15+17", "V"), ("1+2+4", "VI"), ("20", "VI"), ("12+15", "VII"), ("7", "VII"), ("12+24", "VII")],
)  # fmt: skip
def test_objective(cell, label):
    assert objective_class(parse_aus(cell).aus) == label
