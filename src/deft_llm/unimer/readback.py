"""Reads the answers of instructions back into the facts that they state, against their records."""

from __future__ import annotations

import re
from typing import Any, get_args

from deft_llm.answer import MAX_EVIDENCE, AnswerError, parse
from deft_llm.aus.sighting import word_side
from deft_llm.evaluation.questions import combined_parts, named_units, number_word
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import FINE
from deft_llm.facs.regions import REGION_NAMES
from deft_llm.facs.units import ENTRIES
from deft_llm.records import COARSE, ClipPhase, Evidence, Instruction, Turned
from deft_llm.unimer.rows import texts
from deft_llm.unimer.vqa import NONE, VQA_TASKS

_AU = re.compile(r"\bAU(\d{1,2})\b")
_SIDES = (
    ("on both sides, more on one", "asymmetric"),
    ("on both sides", "both"),
    ("on the left", "left"),
    ("on the right", "right"),
    ("on neither side", "neither"),
)
_ALSO = re.compile(r"The coders of .+ also marked ")


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
    if task == "release":
        return next((word for word in ("held", "released") if re.search(rf"\bis {word}\b", answer)), None)
    if task in VQA_TASKS:
        return vqa_outcome(task, answer)
    if task == "refusal":
        refused = re.search(r"cannot|no facial movement|no answer in the clip", answer.lower())
        return "refused" if refused else None
    return ""


def vqa_outcome(task: str, answer: str) -> str | None:
    """The outcome of a short answer in the forms of ME-VQA; None where it is none of its form."""
    words = {"vqa_coarse": COARSE, "vqa_fine": FINE, "vqa_au_present": ("yes", "no"),
             "vqa_count": tuple(map(number_word, range(len(ENTRIES)))),
             "vqa_on_side": ("yes", "no"), "vqa_held": ("yes", "no"), "vqa_au_side": ("left", "right"),
             "vqa_phase": get_args(ClipPhase), "vqa_turn": get_args(Turned),
             "vqa_fold": ("yes", "no"), "vqa_back": ("yes", "no"), "vqa_most": REGION_NAMES}  # fmt: skip
    if task in words:
        return answer if answer in words[task] else None
    units = combined_parts(answer)["aus"] if task == "vqa_combined" else named_units(answer)[0]
    if task in ("vqa_aus", "vqa_state") and (named_units(answer)[1] or (not units and answer != NONE)):
        return None
    return None if units is None else "+".join(map(str, sorted(units))) or NONE


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
    if row.task in ("vqa_coarse", "vqa_fine"):
        label = row.target.coarse if row.task == "vqa_coarse" else row.target.fine
        if answers[0] != label:
            found.append(f"the answer {answers[0]!r} is not the target's class")
    if row.task in ("vqa_aus", "vqa_combined") and row.target.aus is not None:
        wanted = "+".join(map(str, sorted({unit.number for unit in row.target.aus}))) or NONE
        if vqa_outcome(row.task, answers[0]) != wanted:
            found.append("the Action Units of the answer are not the target's")
    if row.task == "vqa_combined":
        parts = combined_parts(answers[0])
        if (parts["fine"], parts["coarse"]) != (row.target.fine, row.target.coarse):
            found.append("the classes of the answer are not the target's")
    if row.task in ("answer", "multi_turn"):
        answer = parse(answers[-1])
        if (answer.fine, answer.coarse) != (row.target.fine, row.target.coarse):
            found.append("the class of the answer is not the target's")
        supported = {(e.au, e.side, e.region, e.direction) for e in row.evidence if e.status == "supported"}
        stated: set[Any] = {(item.au, item.side, item.region, item.direction) for item in answer.evidence}
        if not stated <= supported or len(stated) != min(len(supported), MAX_EVIDENCE):
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
