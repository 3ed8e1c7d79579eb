"""ME-VQA scores: kinds of questions, answers read back, figures by hand."""

from __future__ import annotations

import pytest

from deft_llm.evaluation.questions import (
    Reply,
    asked_unit,
    asks_for_one,
    combined_parts,
    named_class,
    named_fine,
    named_units,
    question_kind,
    question_scores,
)

COMBINED = (
    "What are the action units present, and based on them, what is the fine-grained expression and the "
    "coarse expression class?"
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("What is the coarse expression class?", "coarse"),
        ("What is the fine-grained expression class?", "fine"),
        ("What is the action unit?", "aus"),
        ("What are the action units?", "aus"),
        ("Is the action unit lip corner puller shown on the face?", "au_present"),
        ("Is the action unit dimpler located on the left or right face?", "au_side"),
        (COMBINED, "combined"),
        ("Please describe the clip.", "other"),
        ("Is the action unit head tilt right shown on the face?", "au_present"),
        ("Is the action unit tilt right located on the left or right face?", "au_side"),
        ("Is the action unit dimpler shown on the left side of the face?", "on_side"),
        ("How many action units are shown on the face?", "count"),
        ("Which action units does the face hold before it moves, if any?", "state"),
        ("Does the face hold the lip corner puller before it moves?", "au_held"),
        ("Is this movement a rise, a release, or a transition from one expression to another?", "phase"),
        ("Does AU12 let go again before the clip ends, or is it held?", "other"),
        ("Is the action unit something new shown on the face?", "au_present"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert question_kind(text) == kind


@pytest.mark.parametrize(
    ("text", "unit", "one"),
    [
        ("Is the action unit lip corner puller shown on the face?", 12, True),
        ("Is AU4 visible?", 4, True),
        ("Is the action unit eyes left shown on the face?", 61, True),
        ("What is the action unit?", None, True),
        ("What are the action units?", None, False),
        ("List every action unit of this clip, or say none.", None, False),
    ],
)
def test_what_a_question_asks_for(text: str, unit: int | None, one: bool) -> None:
    assert asked_unit(text) == unit and asks_for_one(text) == one


def test_answers_are_read() -> None:
    assert named_class("It is Negative.", ("negative", "positive")) == "negative"
    assert named_class("negative or positive", ("negative", "positive")) is None
    assert named_units("Brow lowerer, lip corner puller") == ({4, 12}, [])
    assert named_units("AU4, ear wiggler") == ({4}, ["ear wiggler"])
    parts = combined_parts(
        "The action units present are: brow lowerer, lid tightener. Therefore, the fine-grained "
        "expression class is disgust, and the coarse expression class is negative."
    )
    assert parts == {"aus": {4, 7}, "fine": "disgust", "coarse": "negative"}


def test_scores_by_hand() -> None:
    ask = "What is the coarse expression class?"
    units = "What are the action units?"
    replies = [
        Reply("a", ask, "negative", "negative"),
        Reply("b", ask, "negative", "positive"),
        Reply("c", ask, "no idea", "surprise"),
        Reply("a", units, "brow lowerer", "brow lowerer, lid tightener"),
    ]
    found = question_scores(replies)
    assert found["uf1_coarse"] == pytest.approx((2 / 3) / 3) and found["uar_coarse"] == pytest.approx(1 / 3)
    assert found["by_kind"]["coarse"]["unparsed"] == 1
    assert found["by_kind"]["aus"]["au_f1"] == pytest.approx(2 / 3)
    assert found["uf1_fine"] is None
    # ROUGE-1 of "brow lowerer" against four words: precision 1, recall 1/2.
    assert found["by_kind"]["aus"]["rouge1_f1"] == pytest.approx(2 / 3)
    assert found["by_kind"]["aus"]["rouge1_recall"] == pytest.approx(1 / 2)


def test_perfect_answers_score_one_and_agree() -> None:
    whole = (
        "The action unit present is: lip corner puller. Therefore, the fine-grained expression class is "
        "happiness, "
        "and the coarse expression class is positive."
    )
    replies = [
        Reply("a", "What is the coarse expression class?", "positive", "positive"),
        Reply("a", "What is the fine-grained expression class?", "happiness", "happiness"),
        Reply("a", "What is the action unit?", "lip corner puller", "lip corner puller"),
        Reply("a", COMBINED, whole, whole),
    ]
    found = question_scores(replies)
    assert found["bleu_corpus"] == pytest.approx(1.0) and found["rouge1_f1"] == 1.0 and found["exact"] == 1.0
    assert found["uf1_fine"] == 1.0
    assert found["single_and_combined_agree"] == {"coarse": 1.0, "fine": 1.0, "aus": 1.0}
    contrary = [r._replace(answer="negative") if r.answer == "positive" else r for r in replies]
    assert question_scores(contrary)["single_and_combined_agree"]["coarse"] == 0.0


def test_other_and_others_are_one_class_and_two_texts() -> None:
    ask = "What is the fine-grained expression class?"
    whole = (
        "The action unit present is: dimpler. Therefore, the fine-grained expression class is others, and "
        "the coarse expression class is negative."
    )
    replies = [
        Reply("a", ask, "others", "other"),
        Reply("b", ask, "Other.", "others"),
        Reply("c", ask, "happy", "happiness"),
        Reply("a", COMBINED, whole, whole.replace("others", "other")),
        Reply("b", COMBINED, whole.replace("others", "other"), whole),
    ]
    found = question_scores(replies)
    fine = found["by_kind"]["fine"]
    assert fine["uf1"] == fine["uar"] == pytest.approx(0.5), "others right, happiness not"
    assert fine["exact"] == fine["bleu_corpus"] == 0.0, "texts are compared as they are written"
    assert found["single_and_combined_agree"] == {"fine": 1.0}
    contrary = [reply._replace(answer="tense") if reply.question == ask else reply for reply in replies]
    assert question_scores(contrary)["single_and_combined_agree"] == {"fine": 0.0}
    assert named_fine("It is other.") == named_fine("others") == "others" and named_fine("rage") is None
