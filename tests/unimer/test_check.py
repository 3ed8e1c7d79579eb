"""``check`` finds every planted leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft_llm.records import ActionUnit, Evidence, Instruction, Media, Target
from deft_llm.unimer.build import read_instructions
from deft_llm.unimer.check import check


def row(
    number: int, task: str, question: str, answer: str, *, clip: int | None = None, **extra
) -> Instruction:
    clip = number if clip is None else clip
    about = extra.pop("about", "12")
    return Instruction(
        id=f"toy/s{clip % 10}/c{clip}#{number}",
        clip_id=f"toy/s{clip % 10}/c{clip}",
        corpus="toy",
        subject=f"toy/s{clip % 10}",
        task=task,
        messages=[
            {"role": "user", "content": [{"type": "text", "text": question}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ],
        target=extra.pop("target", Target()),
        source={"about": about, "choice": extra.pop("choice", "")},
        **extra,
    )


def order_leak():
    for clip in range(30):
        for place, answer in enumerate(("yes", "no")):
            au = (12, 4)[place]
            yield row(
                2 * clip + place,
                "au",
                f"Is AU{au} shown?",
                f"{answer.capitalize()}. So it is.",
                clip=clip,
                about=str(au),
                choice=answer,
            )


def grammar_leak():
    for number in range(40):
        several = number % 2 == 0
        aus = [ActionUnit(number=4), ActionUnit(number=7)][: 1 + several]
        question = "What are the action units?" if several else "What is the action unit?"
        answer = " and ".join(f"AU{unit.number}" for unit in aus) + "."
        yield row(
            number,
            "aus",
            question,
            answer,
            choice="+".join(str(u.number) for u in aus),
            target=Target(aus=aus),
        )


def label_leak():
    yield row(
        0,
        "aus",
        "Which units make this look of disgust?",
        "AU4.",
        choice="4",
        target=Target(aus=[ActionUnit(number=4)]),
    )


def au_leak():
    yield row(
        0,
        "coarse",
        "Seeing AU12, which coarse class?",
        "It is positive.",
        choice="positive",
        target=Target(coarse="positive"),
    )


def imbalance():
    for number in range(30):
        answer = "yes" if number else "no"
        yield row(number, "au", "Is AU12 seen?", f"{answer.capitalize()}. There.", choice=answer)


def duplicates():
    for number in range(2):
        yield row(number, "description", "What moves?", f"The chin moves up by 0.{number + 4} px.", clip=1)


def unparsable():
    yield row(0, "answer", "Analyse.", "It is happiness, I think.", target=Target(fine="happiness"))


def contradicting_target():
    yield row(
        0, "coarse", "Which class?", "It is positive.", choice="negative", target=Target(coarse="negative")
    )


def contradicting_evidence():
    evidence = Evidence(
        au=12,
        side="left",
        region="mouth corner",
        direction="up",
        dx=0.0,
        dy=1.0,
        support=0.9,
        status="supported",
    )
    yield row(0, "description", "What moves?", "The left mouth corner moves up.", evidence=[evidence])


def presupposing_side():
    yield row(
        0, "side", "On which side is AU12 located, left or right?", "On the left. There.", choice="left"
    )


def lost_media():
    yield row(
        0,
        "description",
        "What moves?",
        "Nothing.",
        media=[Media(type="flow", role="flow", path="a/flow.png")],
    )


def telling_question():
    words = {"yes": "clearly", "no": "perhaps"}
    for number in range(60):
        answer = "yes" if number % 2 else "no"
        yield row(
            number, "au", f"Is AU12 {words[answer]} seen?", f"{answer.capitalize()}. So.", choice=answer
        )


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (order_leak, "order tells the answer"),
        (grammar_leak, "grammar tells the number"),
        (label_leak, "label word in the question"),
        (au_leak, "Action Unit in the question"),
        (imbalance, "yes/no imbalance"),
        (duplicates, "near-duplicate"),
        (unparsable, "answer does not parse back"),
        (contradicting_target, "answer does not parse back"),
        (contradicting_evidence, "evidence contradicts its text"),
        (presupposing_side, "side question presupposes the unit"),
        (lost_media, "media and their places differ"),
        (telling_question, "question tells the answer"),
    ],
)
def test_planted_leaks_are_found(planted, kind: str):
    assert kind in {finding.kind for finding in check(planted).findings}


def test_shared_subjects_and_missing_media(built: Path, tmp_path: Path):
    report = check(
        lambda: read_instructions(built),
        splits={"train": {"toy/s01", "toy/s02"}, "test": {"toy/s02"}},
        media_root=tmp_path,
    )
    kinds = {finding.kind for finding in report.findings}
    assert {"subject in two splits", "media missing"} <= kinds


def test_what_a_row_comes_from_is_said_in_plain_values():
    with pytest.raises(ValueError, match="source"):
        row(1, "au", "Is AU12 shown?", "Yes. So it is.", choice={"yes": 1})
