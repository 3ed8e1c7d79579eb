"""Uncertainty is said in words, and whether the class and the measured Action Units agree."""

import pytest

from deft_llm.claims import find_claims
from deft_llm.explain.result import MovementReading
from deft_llm.explain.words import agreement_of, certainty_of
from deft_llm.records import Evidence, Prediction
from deft_llm.spotting.movement import Movement


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ({"positive": 0.52, "negative": 0.45, "surprise": 0.03}, "hardly more likely than negative"),
        ({"negative": 0.6, "positive": 0.3}, "Not sure: negative"),
        ({"positive": 0.9, "negative": 0.1}, "Fairly sure: positive"),
    ],
)
def test_certainty_in_words(probabilities, words):
    assert words in certainty_of(probabilities)
    assert find_claims(certainty_of(probabilities)) == []


def test_one_class_says_nothing():
    assert certainty_of({"positive": 1.0}) == certainty_of({}) == ""


def reading(coarse, au=12, method="deft", support=0.9):
    movement = Movement("micro-expression", 0, 5, 10, 0.0, 0.1, 0.2, (0.18, 0.22), 12.0)
    row = Evidence(au=au, side="both", region="mouth corner", direction="up-lateral", dx=-1.0, dy=-1.0,
                   support=support, status="supported")  # fmt: skip
    seen = Prediction(method=method, task="emotion", clip_id="clip", corpus="video", subject="subject",
                      coarse=coarse, label_space="coarse",
                      probabilities={"positive": 0.5, "negative": 0.5})  # fmt: skip
    return MovementReading(movement, [row], seen)


def test_agreement_of_class_and_action_units():
    assert "points to positive too" in agreement_of(reading("positive"))
    assert "do not agree" in agreement_of(reading("negative"))
    assert agreement_of(reading("positive", method="rules")) == ""  # the class is the rules' own
    assert "points to no class" in agreement_of(reading("positive", support=0.01))
