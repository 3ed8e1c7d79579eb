"""A statement that the measured motion contradicts is marked wherever an answer is shown or written."""

from __future__ import annotations

import json

import pytest

from deft_llm.answer import NOT_SUPPORTED, SHAPE_ALONE, mark_of, parse
from deft_llm.app import chat, views
from deft_llm.app.coding.server import _movement
from deft_llm.app.worker import Result
from deft_llm.claims import find_claims
from deft_llm.explain.analyzer import Analyzer
from deft_llm.explain.inputs import VideoInput
from deft_llm.explain.outputs import RESULT, Extras, write_outputs
from deft_llm.explain.report import render_report
from deft_llm.model.predictor import with_figures
from deft_llm.records import BY_SHAPE

TRUE, FALSE = "AU12 right, mouth corner, up-lateral", "AU2 both, outer brow, up"
SAID = (
    f"Class: happiness (positive)\nEvidence: {FALSE}; {TRUE}\n"
    "Rationale: The outer brows move up, which is AU2. Coders would label this happiness."
)
WHY = "the outer brow does not move there above the noise"


@pytest.fixture(scope="module")
def analysis(clip):
    """Of a clip with AU12 alone, by a method that writes of AU2 too."""
    method = Analyzer.from_pretrained("rules").method
    original, method.answers = method.predict, True

    def predict(samples):
        rows = zip(original(samples), (with_figures(SAID, sample.motion) for sample in samples))
        return [row.model_copy(update={"answer": one.text, "evidence": one.evidence}) for row, one in rows]

    method.predict = predict
    return Analyzer(method).analyze(clip, 20, 29, 42)


def statement(line: str, au: int) -> str:
    """What an evidence line says of an AU."""
    return next(part for part in line.removeprefix("Evidence: ").split("; ") if part.startswith(f"AU{au} "))


def test_in_the_answer_itself(analysis):
    (reading,) = analysis.readings
    line = reading.answer.splitlines()[1]
    assert statement(line, 2).endswith(f", {NOT_SUPPORTED}") and NOT_SUPPORTED not in statement(line, 12)
    assert reading.prediction.answer == reading.answer
    assert [(row.au, row.status) for row in reading.statements] == [(2, "unsupported"), (12, "supported")]
    (mark,) = reading.marks
    assert mark.startswith(f"{FALSE}: {WHY}")


def test_in_the_terminal(analysis):
    shown = analysis.summary()
    assert f"{NOT_SUPPORTED.capitalize()}: {FALSE}: {WHY}" in shown
    assert NOT_SUPPORTED in statement(next(x for x in shown.splitlines() if "Evidence:" in x).strip(), 2)


def test_in_result_json_and_report(analysis, clip, tmp_path):
    write_outputs(analysis, VideoInput(clip, "clip"), tmp_path, Extras())
    (movement,) = json.loads((tmp_path / RESULT).read_text())["movements"]
    found = {row["au"]: (row["status"], row["mark"]) for row in movement["statements"]}
    assert found[2] == ("unsupported", NOT_SUPPORTED) and found[12][0] == "supported"
    assert WHY in movement["statements"][0]["reason"] and WHY in movement["contradicted"][0]
    assert NOT_SUPPORTED in movement["answer"]
    assert f"{NOT_SUPPORTED.capitalize()}: {FALSE}: {WHY}" in render_report(analysis)


def test_on_the_page_and_in_its_chat(analysis):
    result = Result(analysis)
    for said in (views.reading_html(result, 0), chat.reply(result, 0, "Why this class?")):
        assert f"{NOT_SUPPORTED.capitalize()}: {FALSE}: {WHY}" in said and find_claims(said) == []
    asked = chat.reply(result, 0, "Class?", (), lambda motion, text: with_figures(SAID, motion))
    brow, smile = (line for line in asked.splitlines() if line.startswith("- AU"))
    assert f"**{NOT_SUPPORTED}**: {WHY}" in brow and "supported by the measured motion" in smile
    assert NOT_SUPPORTED not in smile


def test_on_the_coding_page(analysis):
    movement = analysis.to_dict()["movements"][0] | {"rank": 1}
    shown = _movement(movement)
    assert NOT_SUPPORTED in shown["answer"] and shown["contradicted"][0].startswith(
        NOT_SUPPORTED.capitalize()
    )
    assert all(row["status"] == "supported" for row in shown["evidence"])
    alone = movement["evidence"][0] | {"reason": BY_SHAPE, "px": 0.0, "mark": SHAPE_ALONE}
    (row,) = _movement(movement | {"evidence": [alone]})["evidence"]
    assert row["mark"] == SHAPE_ALONE


def test_in_predictions(analysis):
    """What `deft predict` and `deft benchmark` write: the row itself."""
    row = analysis.readings[0].prediction
    assert parse(row.answer).evidence[0].mark == NOT_SUPPORTED == mark_of(row.evidence[0])
    assert json.loads(row.model_dump_json())["evidence"][0]["status"] == "unsupported"
