"""What if a region had not moved: which questions ask it, and what is measured then."""

import json
from dataclasses import replace

import numpy as np
import pytest

from deft_llm.claims import find_claims, refusal_of
from deft_llm.explain import Analyzer
from deft_llm.explain.held import held_still
from deft_llm.explain.report import render_report
from deft_llm.explain.samples import Injected, save_video, warp_field
from deft_llm.explain.what_if import BROKEN, MEANING, what_if
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.motion.measure import motion_from_flow

BROW = {"forehead", "glabella", "inner brow", "outer brow"}
LIPS = {"upper lip", "lower lip", "mouth corner"}
AU4, AU12 = {"glabella", "inner brow", "outer brow"}, {"cheek", "nasolabial fold", "mouth corner"}
ASKS = {
    "What if the brow had not moved?": BROW,
    "What if the eyebrows hadn\u2019t moved?": BROW,
    "Without the brow movement, which class is it?": BROW,
    "What would it be if the brows did not move?": BROW,
    "Had the left brow not moved, would the class change?": BROW,
    "What if the mouth had moved but not the brow?": BROW,
    "What if the brow had not moved but the mouth had?": BROW,
    "what if AU12 were absent": AU12,
    "Would it still be negative without AU4?": AU4,
    "Suppose there were no AU4 and AU12.": AU4 | AU12,
    "What if AUs 4, 12 were missing?": AU4 | AU12,
    "Without the brow lowerer?": AU4,
    "What if the mouth stayed still?": LIPS,
    "Ignore the lips: which class is left?": LIPS,
    "What if the upper and lower lip had not moved?": LIPS,
    "What if the lip corners were still?": {"mouth corner"},
    "Hold the eyelids still": {"upper lid", "lower lid"},
    "What if the eyes were motionless?": {"upper lid", "lower lid", "outer eye corner"},
    "What would the class be if the nose did not move?": {"nose root", "nostril wing"},
    "Imagine the cheeks at rest": {"cheek"},
    "If the chin had never moved?": {"chin"},
    "What if the forehead had not moved?": {"forehead"},
    "What if neither the brow nor the mouth had moved?": BROW | LIPS,
    "What if the brow, the chin and the mouth had not moved?": BROW | {"chin"} | LIPS,
}
OTHERS = [
    "What moved in the brow?", "Did the brow not move?", "Did the left brow move?", "Had the brow moved?",
    "Why did the brow not move?", "Why is there no AU4?", "Is AU12 absent?", "What about AU12?",
    "Which regions did not move?", "What moved without the brow?", "How sure is it?",
    "Can you tell me if the brow did not move?",
    "Did the mouth move without the brow moving?", "If the brow moved, why is it not negative?",
    "What if the brow had moved more?", "What if the brow had not moved so much?",
    "What if not only the brow moved?", "What if the head had not moved?", "What if AU99 were absent?",
    "It looks as if the brow did not move.", "If the brow moved, did the mouth not?",
]  # fmt: skip


@pytest.mark.parametrize("question", ASKS)
def test_regions_of_a_question(question):
    found = held_still(question)
    assert found is not None and set(found.regions) == ASKS[question]
    assert found.one_side == ("left brow" in question)


@pytest.mark.parametrize("question", OTHERS)
def test_other_questions_hold_nothing_still(question):
    assert held_still(question) is None


def motion(*aus):
    field = sum(warp_field(CANONICAL_LANDMARKS, au, "both", (224, 224)) for au in aus)
    field = np.moveaxis(field, -1, 0)
    return motion_from_flow(f"test/pure/{aus}", np.stack([field, -field]), units="px")


@pytest.fixture(scope="module", params=["rules", "deft"])
def method(request):
    options = {"answers": False} if request.param == "deft" else {}
    return Analyzer.from_pretrained(request.param, **options).method


def test_a_clip_with_two_units_loses_the_one(method):
    both = motion(4, 12)
    found = what_if(both, held_still("What if the brow had not moved?"), method)
    assert found.gone == (4,) and found.remain == (12,)
    assert found.after["positive"] > found.before["positive"]
    assert "AU4 (brow lowerer) is gone; AU12 (lip corner puller) remains" in found.text
    other = what_if(both, held_still("What if AU12 were absent?"), method)
    assert other.gone == (12,) and other.remain == (4,) and other.before == found.before
    assert max(other.after, key=other.after.get) == "negative"
    assert other.after["negative"] > other.before["negative"]
    was = max(other.before, key=other.before.get)
    told = "the class stays negative" if was == "negative" else "the class turns negative"
    assert told in other.text
    for one in (found, other):
        assert (
            MEANING in one.text
            and find_claims(one.text) == []
            and sum(one.after.values()) == pytest.approx(1)
        )


def test_what_little_is_left_is_said(method):
    found = what_if(motion(12), held_still("What if AU12 were absent?"), method)
    assert found.gone == (12,) and "leave the class open" in found.text
    assert not found.appear or "do not count" in found.text
    idle = what_if(motion(12), held_still("Without the left brow?"), method)
    assert "hardly moved anyway" in idle.text and "One side alone" in idle.text and idle.remain == (12,)


def test_what_a_language_part_writes_is_held_to_form_and_claims():
    method = Analyzer.from_pretrained("rules").method
    method.answers = True
    found = what_if(motion(4, 12), held_still("Without the brow?"), method)
    assert f"The model says, with the brows held still:\n{found.answer}" in found.report
    original = method.predict
    change = lambda **values: lambda samples: [row.model_copy(update=values) for row in original(samples)]  # noqa: E731
    method.predict = change(parsed=False)
    assert what_if(motion(12), held_still("Without the brow?"), method).report.endswith(BROKEN)
    method.predict = change(answer="She is lying.")
    assert "lying" not in what_if(motion(12), held_still("Without the brow?"), method).report


@pytest.fixture(scope="module")
def frown_and_smile(tmp_path_factory, make_frames):
    """AU4 on both sides and AU12 on the subject's right in one movement."""
    moves = [Injected(4, "both", 4, 13, 26, 1.5), Injected(12, "right", 4, 13, 26, 1.5)]
    return save_video(tmp_path_factory.mktemp("two") / "two.mp4", make_frames(moves, 32, seed=3), 50.0)


@pytest.mark.parametrize("name", ["rules", "deft"])
def test_analyze_answers_it(name, frown_and_smile, run, tmp_path, capsys):
    question = "What if the brow had not moved?"
    words = [
        "analyze",
        str(frown_and_smile),
        "--onset",
        "4",
        "--apex",
        "13",
        "--offset",
        "26",
        "--method",
        name,
    ]
    assert run(*words, "--no-attribution", "--question", question, "--out", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    said = result["question_answer"]
    assert result["question"] == question and said.startswith("With the brows held still,")
    assert f"Asked: {question}" in shown and said.splitlines()[0] in shown
    assert "AU4 (brow lowerer)" in said.split("gone")[0] and "AU12 (lip corner puller) remains" in said
    assert find_claims(said) == [] and "With the brows held still" in (tmp_path / "report.html").read_text()
    assert result["movements"][0]["answer"].startswith("Class: "), "the movement itself is read as it is"
    assert result["question_answer"] != result["movements"][0]["answer"]


def test_it_is_asked_of_the_first_movement_with_a_class_and_says_which_of_several(frown_and_smile):
    analyzer = Analyzer.from_pretrained("rules")
    (read,) = analyzer.analyze(frown_and_smile, 4, 13, 26).readings
    held = held_still("What if the brow had not moved?")
    nameless, other = replace(read, prediction=None), replace(read, movement=replace(read.movement, face=2))
    (alone,) = analyzer._imagined(held, [read], 2)
    assert alone.startswith("With the brows held still,")
    assert analyzer._imagined(held, [nameless, other], 2) == [f"Movement 2, face 2: {alone}"]
    assert analyzer._imagined(held, [nameless, other], 1) == [f"Movement 2: {alone}"]
    assert analyzer._imagined(held, [nameless], 1) == []


def test_other_questions_stand_as_before(frown_and_smile):
    analysis = Analyzer.from_pretrained("rules").analyze(frown_and_smile, 4, 13, 26, question="What moved?")
    assert analysis.question_answer == analysis.readings[0].prediction.answer and analysis.own_answer is None
    assert "Asked:" not in analysis.summary() and "What moved?" not in render_report(analysis)


def test_what_a_face_does_not_show_is_declined_and_what_is_not_answered_is_said(frown_and_smile):
    analyzer = Analyzer.from_pretrained("rules")
    asked = lambda question: analyzer.analyze(frown_and_smile, 4, 13, 26, question=question)  # noqa: E731
    refused = asked("Is she lying?")
    assert refused.question_answer == refusal_of("Is she lying?") == refused.own_answer
    assert not any("not answered" in note for note in refused.notes)
    assert any("not answered" in note for note in asked("What moved?").notes), "rules read no question"
