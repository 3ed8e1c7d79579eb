"""Answers in one's own words: measured, cited, and refused where a face cannot tell."""

from __future__ import annotations

import pytest

from deft_llm.app import chat, views
from deft_llm.app.timeline import timeline_html
from deft_llm.claims import find_claims

ASKED = [
    "What moved?", "Why this class?", "When did it begin and how long did it last?",
    "How sure is it?", "Did the left brow move?", "What about AU12?", "AU4?", "Which side moved?",
    "How many movements are there?", "Tell me about the mouth", "What limits this?",
    "Did the left brow move?",
    "What about AU12?", "AU4?", "Which side moved?", "How many movements are there?",
    "Tell me about the mouth", "What limits this?",
]  # fmt: skip
REFUSED = [
    "Is she lying?", "Can I trust him?", "Is this a sign of depression?", "Should I hire this person?",
    "What does she feel?", "Does he intend to leave?", "What is he thinking?", "Is he hiding something?",
]  # fmt: skip


@pytest.mark.parametrize("question", ASKED)
def test_answers_are_measured(result, question):
    answer = chat.reply(result, 0, question)
    assert chat.WORDLESS in answer and find_claims(answer) == []
    assert any(figure.isdigit() for figure in answer)


@pytest.mark.parametrize("question", REFUSED)
def test_refusals(result, question):
    answer = chat.reply(result, 0, question)
    assert "not" in answer and chat.WORDLESS not in answer
    assert find_claims(answer) == []


def test_answers_name_what_was_measured(result):
    assert "right mouth corner" in chat.reply(result, 0, "What moved?")
    assert "right" in chat.reply(result, 0, "Which side moved?")
    assert "no support" in chat.reply(result, 0, "AU4?")
    brow = chat.reply(result, 0, "Did the left brow move?")
    assert "left inner brow" in brow and "right inner brow" not in brow


def test_follow_up_keeps_the_subject(result):
    again = chat.reply(result, 0, "and on the right?", ["Did the left brow move?"])
    assert "right inner brow" in again and "left inner brow" not in again


def test_language_part_is_asked_and_cited(result):
    heard = []
    answer = chat.reply(result, 0, "What moved?", (), lambda text: heard.append(text) or "Class: others")
    assert heard == ["What moved?"] and "Class: others" in answer and "Measured: AU12" in answer
    bad = chat.reply(result, 0, "What moved?", (), lambda text: "She is lying.")
    assert "lying" not in bad


def test_page_pieces_make_no_claims(result):
    import re

    pieces = [function(result, 0) for function in
              (views.pictures_html, views.reading_html, views.attribution_html)]  # fmt: skip
    pieces += [views.notes_html(result), timeline_html(result.analysis)]
    for piece in pieces:
        assert find_claims(re.sub(r"<[^>]+>|data:[^\"]+", " ", piece)) == []


def test_cannot_be_judged_is_said(result):
    from copy import copy
    from dataclasses import replace

    other = copy(result)
    other.analysis = copy(result.analysis)
    reading = copy(result.analysis.readings[0])
    reading.movement = replace(reading.movement, judged=False, reason="The head <moves> too much.")
    other.analysis.readings = [reading]
    shown = views.reading_html(other, 0)
    assert "Cannot be judged" in shown and "&lt;moves&gt;" in shown
    assert "cannot be judged" in chat.reply(other, 0, "What moved?")
    assert "cannot be judged" in timeline_html(other.analysis)
