"""Reads an instruction's answers back into the facts that they state."""

from __future__ import annotations

import re
from typing import Any

from deft_llm.answer import COARSE, AnswerError, parse
from deft_llm.aus.sighting import word_side
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import FINE
from deft_llm.records import Evidence, Instruction

_AU = re.compile(r"\bAU(\d{1,2})\b")
_SIDES = (
    ("on both sides, more on one", "asymmetric"),
    ("on both sides", "both"),
    ("on the left", "left"),
    ("on the right", "right"),
    ("on neither side", "neither"),
)
_ALSO = re.compile(r"The coders of .+ also marked ")


def texts(row: Instruction, role: str) -> list[str]:
    """All texts that ``role`` says, in order."""
    return [
        "".join(part["text"] for part in message["content"] if part["type"] == "text")
        for message in row.messages
        if message["role"] == role
    ]


def outcome(task: str, answer: str) -> str | None:
    """The outcome that an answer states, in the words of ``source.choice``; None where it states none."""
    if task == "coarse":
        return _only(answer, COARSE)
    if task == "fine":
        return _only(answer, FINE)
    if task == "au":
        return {"Yes.": "yes", "No.": "no"}.get(answer.split(" ")[0])
    if task == "side":
        return next((side for words, side in _SIDES if answer.lower().startswith(words)), None)
    if task == "aus":
        stated = sorted({int(number) for number in _AU.findall(_ALSO.split(answer)[0])})
        return "+".join(map(str, stated)) or ("none" if answer.startswith("No Action Unit") else None)
    if task == "contrast":
        found = _AU.match(answer)
        return found.group(1) if found else None
    if task == "region":
        return "still" if re.search(r"stays? still|nothing moves|does not move", answer.lower()) else "moves"
    if task == "phase":
        return (
            "onset-apex"
            if "from onset to apex" in answer.lower()
            else ("apex-offset" if "from apex to offset" in answer.lower() else None)
        )
    if task == "blink":
        starts = {
            "It is no mere blink.": "more",
            "It may be a mere blink.": "blink",
            "It is no blink.": "none",
        }
        return next((value for words, value in starts.items() if answer.startswith(words)), None)
    if task == "answer":
        answer_read = parse(answer)
        return answer_read.fine or answer_read.coarse or ""
    if task == "refusal":
        refused = re.search(r"cannot|no facial movement|no answer in the clip", answer.lower())
        return "refused" if refused else None
    return ""


def faults(row: Instruction) -> list[str]:
    """Why an instruction's texts do not say what its target and evidence say; empty where they do."""
    answers = texts(row, "assistant")
    found: list[str] = []
    try:
        first = outcome("coarse" if row.task == "multi_turn" else row.task, answers[0])
        if row.task == "multi_turn" and first is None:
            first = outcome("fine", answers[0])
        if first != row.source.get("choice", first):
            found.append(f"the answer says {first!r}, the record {row.source.get('choice')!r}")
        found += _against_target(row, answers)
    except (AnswerError, IndexError) as error:
        found.append(f"the answer does not parse: {error}")
    found += [fault for evidence in row.evidence for fault in contradiction(evidence)]
    return found


def _against_target(row: Instruction, answers: list[str]) -> list[str]:
    found: list[str] = []
    if row.task == "coarse" and row.target.coarse != outcome("coarse", answers[0]):
        found.append("the coarse class of the answer is not the target's")
    if row.task == "fine" and row.target.fine != outcome("fine", answers[0]):
        found.append("the fine class of the answer is not the target's")
    if row.task == "aus" and row.target.aus is not None:
        wanted = (
            "+".join(str(unit.number) for unit in sorted(row.target.aus, key=lambda u: u.number)) or "none"
        )
        if outcome("aus", answers[0]) != wanted:
            found.append("the Action Units of the answer are not the target's")
    if row.task in ("answer", "multi_turn"):
        answer = parse(answers[-1])
        if (answer.fine, answer.coarse) != (row.target.fine, row.target.coarse):
            found.append("the class of the answer is not the target's")
        supported = {(e.au, e.side, e.region, e.direction) for e in row.evidence if e.status == "supported"}
        stated: set[Any] = {(item.au, item.side, item.region, item.direction) for item in answer.evidence}
        if not stated <= supported or len(stated) != min(len(supported), 6):
            found.append("the evidence of the answer is not what was measured")
    return found


def contradiction(evidence: Evidence) -> list[str]:
    """Where an evidence line's motion contradicts its words."""
    if evidence.direction in ("converging", "diverging") or evidence.status == "unsupported":
        return []
    if evidence.dx == 0 and evidence.dy == 0:
        return [f"AU{evidence.au}: supported without motion"] if evidence.status == "supported" else []
    side = word_side(evidence.region, evidence.side)
    word = direction_word(evidence.dx, evidence.dy, side)  # type: ignore[arg-type]
    if word != evidence.direction:
        return [f"AU{evidence.au}: said to move {evidence.direction}, measured {word}"]
    return []


def _only(answer: str, words: tuple[str, ...]) -> str | None:
    found = {word for word in words if re.search(rf"\b{word}\b", answer)}
    return found.pop() if len(found) == 1 else None
