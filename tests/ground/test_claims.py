"""The scanner finds the claims that we never make, and lets descriptions and limits pass."""

from __future__ import annotations

import pytest

from deft_llm.claims import LIMITS, find_claims, refusal_of


@pytest.mark.parametrize(
    "text",
    [
        "She feels anger.",
        "The person is happy.",
        "The subject seems very anxious today.",
        "This reveals hidden fear.",
        "It shows a concealed emotion.",
        "He is probably lying.",
        "There are signs of deception.",
        "The patient suffers from major depression.",
        "The candidate wants to leave.",
        "Typical symptoms of autism.",
        "The man was experiencing disgust.",
    ],
)
def test_claims_are_found(text):
    assert len(find_claims(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "The inner brows moved up by 0.8 px; coders of CASME II would label this surprise.",
        "AU12 on the left: the lip corner moved up and laterally.",
        "Class: happiness (positive)",
        "It cannot be told from a face whether this person is lying.",
        "Is this person lying?",
        "No movement proves that somebody is lying.",
        "Disgust or others is the usual label for AU4 in CASME II.",
        *LIMITS,
    ],
)
def test_descriptions_denials_and_questions_pass(text):
    assert find_claims(text) == []


@pytest.mark.parametrize("text", ["No doubt she is angry.", "He lied.", "The patient deceived them."])
def test_claims_in_other_words(text):
    assert len(find_claims(text)) == 1


@pytest.mark.parametrize(
    ("question", "declined"),
    [("Is she lying?", True), ("How long has she planned it?", True), ("What does he feel?", True),
     ("Is she happy?", True), ("Is the smile genuine?", True), ("What is he hiding?", True),
     ("When does the brow move?", False), ("Which side moves?", False), ("What hides the face?", False),
     ("Does the face show anger?", False)],
)  # fmt: skip
def test_questions_that_no_face_answers(question, declined):
    assert (refusal_of(question) is not None) == declined
