"""Uncertainty is said in words, and whether the class and the measured Action Units agree."""

from dataclasses import replace

import numpy as np
import pytest

from deft_llm.claims import find_claims
from deft_llm.explain.attribution import Source, points_words, title_of, words_of
from deft_llm.explain.result import MovementReading
from deft_llm.explain.timeline import spread
from deft_llm.explain.words import (
    agreement_of,
    between,
    certainty_of,
    clock,
    measured_words,
)
from deft_llm.records import BY_SHAPE, Evidence, Prediction
from deft_llm.spotting.movement import Movement, MovementUnit


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"z": 9.6, "px": 0.56, "iod_percent": 1.3}, "by 0.6 px (1.3 % IOD), z 10"),
        ({"reason": BY_SHAPE}, "AU12 both, seen by shape; its skin's motion shows nothing of it"),
        ({"reason": BY_SHAPE, "px": 0.4, "z": 0.3}, "motion alone would not name it (0.4 px, z 0.3)"),
    ],
)
def test_a_unit_of_shape_is_not_called_a_measured_motion(changes, words):
    said = measured_words(reading("positive").evidence[0].model_copy(update=changes))
    assert said.endswith(words)
    assert ("moved" in said) == ("reason" not in changes)


def test_skin_outside_the_regions_is_named_where_it_counts_most():
    source = Source(
        "AU14", 1.0, 0.0, {"elsewhere": 1.5, "right cheek": -1.2, "chin": 0.1}, np.zeros((28, 28))
    )
    assert words_of(source, most=2) == "skin outside the regions +150 %, right cheek -120 %"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1.234, "1.23 s"), (59.996, "1:00.00"), (75.5, "1:15.50"), (119.997, "2:00.00")],
)
def test_times_have_no_sixtieth_second(seconds, said):
    assert clock(seconds) == said


def test_two_times_share_their_unit():
    assert between(1.63, 1.94) == "1.63 to 1.94 s"
    assert between(59.5, 62.1) == "59.50 s to 1:02.10" and between(62.1, 63) == "1:02.10 to 1:03.00"


@pytest.mark.parametrize(
    ("change", "said"), [(-0.551, "-55 points"), (0.012, "+1 point"), (-0.004, "0 points")]
)
def test_a_change_of_a_probability_has_its_number(change, said):
    assert points_words(change) == said


def test_an_action_unit_that_is_not_stated_is_called_a_guess():
    movement = Movement("micro-expression", 0, 5, 10, 0.0, 0.1, 0.2, (0.18, 0.22), 12.0)
    source = Source("AU12", 1.0, 0.0, {}, np.zeros((28, 28)))
    assert title_of(source, movement) == "AU12 lip corner puller (the experts' guess, not stated)"
    rise = MovementUnit(12, "both", "rise", 0, 5, 10, 0.0, 0.1, 0.2)
    assert title_of(source, replace(movement, units=(rise,))) == "AU12 lip corner puller"
    assert title_of(replace(source, name="class positive"), movement) == "Class positive"


def test_numbers_of_marks_do_not_cover_each_other():
    assert spread([10.0, 12.0, 100.0], 25, 300) == [10.0, 35.0, 100.0]
    assert spread([290.0, 299.0, 280.0], 25, 300) == [275.0, 300.0, 250.0]
    assert spread([], 25, 300) == []
