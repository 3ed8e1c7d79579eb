"""Answers in one's own words: measured, cited, and refused where a face cannot tell."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from deft_llm.answer import NOT_SUPPORTED
from deft_llm.app import chat, views
from deft_llm.app.timeline import timeline_html
from deft_llm.app.worker import Result
from deft_llm.claims import find_claims
from deft_llm.explain.account import release_answer
from deft_llm.explain.result import AnalysisResult, MovementReading
from deft_llm.explain.timeline import key_of
from deft_llm.records import BY_SHAPE
from deft_llm.spotting.movement import Movement, MovementUnit, OtherEvent

ASKED = [
    "What moved?", "Why this class?", "When did it begin and how long did it last?",
    "How sure is it?", "Did the left brow move?", "What about AU12?", "AU4?", "Which side moved?",
    "How many movements are there?", "Tell me about the mouth", "What limits this?",
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


def test_page_and_chat_name_what_is_contradicted(result, monkeypatch):
    mark = "AU12 both: the measurement shows it on the right"
    assert mark not in views.reading_html(result, 0) + chat.reply(result, 0, "Why this class?")
    monkeypatch.setattr(result.analysis.readings[0], "marks", [mark])
    assert mark in views.reading_html(result, 0) and mark in chat.reply(result, 0, "Why this class?")


def test_the_page_names_what_is_released(result, monkeypatch):
    reading = result.analysis.readings[0]
    unit = MovementUnit(12, "left", "release", 3, 9, 9, 0.1, 0.3, 0.3, 2.0, 0.1, 0.8)
    released = replace(reading.movement, units=(unit,), regions=())
    monkeypatch.setattr(reading, "movement", released)
    monkeypatch.setattr(reading, "prediction", None)
    shown = views.reading_html(result, 0)
    assert "</span>Release</h3>" in shown and "AU12" in shown and "Seen in the video" not in shown


def test_what_shape_alone_shows_has_no_picture_of_motion():
    row = SimpleNamespace(au=1, side="both", region="inner brow", direction="up", reason=BY_SHAPE)
    assert views.region_figures(SimpleNamespace(motion=object(), evidence=[row])) == []


def test_follow_up_keeps_the_subject(result):
    again = chat.reply(result, 0, "and on the right?", ["Did the left brow move?"])
    assert "right inner brow" in again and "left inner brow" not in again


CITES = """Class: happiness (positive)
Evidence: AU12 right, mouth corner, up-lateral; AU4 both, inner brow, down
Rationale: The right mouth corner was pulled up and outward, which is coded as AU12."""


def test_language_part_is_held_against_the_motion(result):
    """A model's text goes through the real measurement: what the motion shows is told from the rest."""
    from deft_llm.model.predictor import with_figures

    motion = result.analysis.readings[0].motion
    questions = []

    def ask(about, text):
        assert about.clip_id == motion.clip_id
        questions.append(text)
        return with_figures(CITES, about)

    answer = chat.reply(result, 0, "Why this class?", (), ask)
    assert questions == ["Why this class?"] and find_claims(answer) == []
    assert "**Measured.**" in answer and "coded as happiness" in answer
    smile, brow = (line for line in answer.splitlines() if line.startswith("- AU"))
    assert "AU12 right" in smile and "supported by the measured motion" in smile and "px, z" in smile
    assert NOT_SUPPORTED not in smile and "AU4" in brow and f"**{NOT_SUPPORTED}**: " in brow
    chat.reply(result, 0, "and on the right?", ["Did the left brow move?", "and the mouth?"], ask)
    assert questions[-1] == "Did the left brow move? and on the right?"
    when = chat.reply(result, 0, "When did it begin?", (), ask)
    assert len(questions) == 2 and chat.FIGURES in when, "figures are never asked of a language model"


def test_language_part_that_breaks_its_form_or_claims(result):
    from deft_llm.errors import DeftError
    from deft_llm.model.predictor import with_figures

    broken = chat.reply(
        result, 0, "What moved?", (), lambda motion, text: with_figures("She smiles.", motion)
    )
    assert chat.BROKEN in broken and "smiles" not in broken and "AU12" in broken
    claims = CITES.replace("The right mouth corner was pulled up and outward", "She is lying")
    bad = chat.reply(result, 0, "What moved?", (), lambda motion, text: with_figures(claims, motion))
    assert "lying" not in bad and "left out" in bad

    def absent(motion, text):
        raise DeftError("the language model is not there; run 'deft setup'.")

    assert "deft setup" in chat.reply(result, 0, "What moved?", (), absent)


def imagine(motion, held):
    """As the page's worker does it, with the method of the analysis."""
    from deft_llm.app import worker

    return worker.TASKS["what_if"](motion, held, "deft", None, lambda share, text: None)


def test_what_if_is_measured_again(result):
    """The mouth corner moved, the brow did not: holding the one or the other still must tell them apart."""
    before = result.analysis.readings[0].prediction.probabilities["positive"]
    mouth = chat.reply(result, 0, "What if the right lip corner and cheek had not moved?", imagine=imagine)
    assert "With the mouth corners and the cheeks held still, deft gives positive" in mouth
    assert f"({100 * before:.0f} % as it is)" in mouth and "AU12 (lip corner puller) remains." not in mouth
    assert "One side alone cannot be held still" in mouth and chat.WORDLESS in mouth
    brow = chat.reply(result, 0, "and the brow?", ["What if the mouth had not moved?"], imagine=imagine)
    assert "With the brows held still" in brow and "AU12 (lip corner puller) remains" in brow
    again = chat.reply(result, 0, "What if it had not?", ["Did the left brow move?"], imagine=imagine)
    assert "With the brows held still" in again and "One side alone" in again
    for answer in (mouth, brow, again):
        assert find_claims(answer) == []
    plain = chat.reply(result, 0, "Did the brow not move?", imagine=imagine)
    assert "held still" not in plain and "inner brow" in plain
    assert "not show" in chat.reply(result, 0, "What if she felt angry without the brow?", imagine=imagine)


def test_language_part_reads_the_motion_that_is_left(result):
    from deft_llm.model.language import ANSWER_QUESTION
    from deft_llm.model.predictor import with_figures

    motion = result.analysis.readings[0].motion
    questions = []

    def ask(about, text):
        questions.append((about, text))
        return with_figures(CITES, about)

    answer = chat.reply(result, 0, "What if AU12 were absent?", (), ask, imagine)
    ((about, asked),) = questions
    assert asked == ANSWER_QUESTION and about is not motion
    assert abs(about.flow).sum() < abs(motion.flow).sum()
    assert answer.startswith("**Measured.** With the regions of AU12 held still")
    assert "**The model says, with the regions of AU12 held still.**" in answer and find_claims(answer) == []
    smile = next(line for line in answer.splitlines() if line.startswith("- AU12"))
    assert NOT_SUPPORTED in smile


def test_page_sends_a_what_if_to_the_worker(result):
    from dataclasses import replace
    from types import SimpleNamespace

    from deft_llm.app.limits import Limits
    from deft_llm.app.page import Page
    from deft_llm.model.predictor import with_figures

    sent = []

    def run(task, motion, *arguments):
        sent.append(task)
        if task == "ask":
            return with_figures(CITES, motion)
        held, method, checkpoint = arguments
        assert (held.words, method, checkpoint) == ("the brows", "deft", None)
        return imagine(motion, held)

    page = Page(SimpleNamespace(result=run), Limits())
    for has_language, tasks in ((False, ["what_if"]), (True, ["what_if", "ask"])):
        sent.clear()
        shown = replace(result, has_language=has_language)
        *_, turn = page.ask(shown, 0, "What if the brow had not moved?", [])
        assert sent == tasks and turn["role"] == "assistant"
        assert "With the brows held still, deft gives" in turn["content"]
        assert ("The model says, with the brows held still" in turn["content"]) == has_language


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """The shipped experts with a language part (random, small): a checkpoint as training writes it."""
    import torch

    from deft_llm.model.checkpoint import SHIPPED, read_checkpoint
    from deft_llm.model.deft import DeftConfig, DeftModel
    from deft_llm.model.language import tiny_backbone

    config, tensors = read_checkpoint(SHIPPED)
    torch.manual_seed(0)
    model = DeftModel(
        DeftConfig(backbone="tiny-random", motion=config["motion"], lora_rank=2, experts=["motion"]),
        *tiny_backbone(),
    )
    own = {name: value for name, value in tensors.items() if name.startswith("motion.")}
    model.load_state_dict(own, strict=False)
    folder = tmp_path_factory.mktemp("worded") / "ck"
    model.save_pretrained(folder, {"calibration": config["calibration"]})
    return folder


def test_checkpoint_with_a_language_part(worded, clip, result):
    """The worker as the page calls it: the checkpoint's own language part has_language, its
    words are checked."""
    from deft_llm.app import worker
    from deft_llm.model.checkpoint import read_checkpoint

    assert read_checkpoint(worded)[0]["language"]
    motion = result.analysis.readings[0].motion
    told = lambda share, text: None  # noqa: E731
    method = worker._analyzer("deft", str(worded)).method
    assert method.answers and str(method.folder) == str(worded)

    def ask(about, text):
        return worker.ask(about, text, str(worded), told)

    answer = chat.reply(result, 0, "What moved?", (), ask)
    assert "**Measured.**" in answer and chat.WORDLESS not in answer and find_claims(answer) == []
    assert "**The model says.**" in answer or chat.BROKEN in answer
    found = worker.compare(motion, ("deft", "rules"), str(worded), told)
    assert set(found) == {"deft", "rules"}


def test_shipped_checkpoint_says_what_it_is(result):
    """Whatever is shipped: the page's ``has_language`` is the checkpoint's own word, and without one
    it is said."""
    from deft_llm.model.checkpoint import SHIPPED, read_checkpoint

    assert result.has_language == bool(read_checkpoint(SHIPPED)[0].get("language"))
    answer = chat.reply(result, 0, "Why this class?")
    assert chat.WORDLESS in answer and "Measured: AU12" in answer and "Class probabilities of deft" in answer


def test_page_pieces_make_no_claims(result):
    import re

    pieces = [function(result, 0) for function in
              (views.pictures_html, views.reading_html, views.attribution_html)]  # fmt: skip
    pieces += [views.notes_html(result), timeline_html(result.analysis)]
    for piece in pieces:
        assert find_claims(re.sub(r"<[^>]+>|data:[^\"]+", " ", piece)) == []


def test_timeline_says_what_its_curves_and_bands_are(result):
    from copy import copy

    shown = timeline_html(result.analysis)
    assert shown.count("<svg") == 2 and "full height is" in shown
    assert "micro-expression" in key_of(result.analysis)
    other = copy(result.analysis)
    other.events = [OtherEvent(kind, 1, 2, 3, 0.02, 0.04, 0.06) for kind in ("head", "speech", "gaze")]
    assert key_of(other, marks=False) == (
        '<p class="soft key"><span><i class="band head"></i>head movement, gaze shift</span>'
        '<span><i class="band speech"></i>speech</span></p>'
    )


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


def movement_of(*units):
    """A movement of frames 10 to 20 with these units."""
    return Movement("movement", 10, 15, 20, 0.4, 0.6, 0.8, (0.36, 0.44), 9.0, units=tuple(units))


def asked_of(reading, question):
    """The answer about a clip in which there is this one movement."""
    video = {"fps": 25.0, "frames": 40}
    result = Result(AnalysisResult("a.mp4", "deft", video, [reading], [], []))
    answer = chat.reply(result, 0, question)
    assert find_claims(answer) == []
    return answer


def test_a_release_is_told_as_the_report_tells_it():
    """Seen by shape, its skin's motion not measured: no evidence and no class, but an answer and a unit."""
    unit = MovementUnit(12, "left", "release", 10, 15, 20, 0.4, 0.6, 0.8, 2.1, 0.0, confidence=0.9)
    movement = movement_of(unit)
    reading = MovementReading(movement, answer=release_answer(movement))
    what = asked_of(reading, "What moved?")
    assert "release of AU12 left 0.40 to 0.60 s, intensity 2.1 to 0.0 of 5 (sure)" in what
    assert "was not measured" in what and "fits no Action Unit" not in what
    assert "release of AU12: left" in asked_of(reading, "Which side moved?")
    assert "release of AU12 left" in asked_of(reading, "AU12?")
    brow = asked_of(reading, "AU4?")
    assert "is not seen in this movement" in brow and "was not measured" in brow
    why = asked_of(reading, "Why this class?")
    assert "returns towards its neutral" in why and "was not read" not in why


def test_why_nothing_is_stated_is_told():
    why = "It could not be measured: the face left the picture."
    reading = MovementReading(movement_of(), warning=why)
    for question in ("What moved?", "Which side moved?", "AU12?"):
        answer = asked_of(reading, question)
        assert "was not measured" in answer and why in answer


def test_an_action_unit_that_is_not_judged_has_its_reason(result, monkeypatch):
    reason = "z 0.9: not above the clip's noise"
    monkeypatch.setattr(result.analysis.readings[0], "not_judged", {4: reason})
    answer = chat.reply(result, 0, "AU4?")
    assert f"has no support in the measured motion of this movement: {reason}." in answer
