"""Brings MEGC ME-VQA questions (a jsonl of the organisers) onto the clips of a prepared store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deft_llm.corpora.joining import questions_by_clip
from deft_llm.corpora.questions import QuestionRow
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.records import Clip, Instruction, Media, Target
from deft_llm.unimer.exports import megc


@dataclass
class Imported:
    """Instructions made, and the ids of the rows whose clip the store does not hold."""

    instructions: list[Instruction] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def import_megc(path: Path, clips: Iterable[Clip]) -> Imported:
    """Instructions for every row of an ME-VQA jsonl whose clip is among ``clips``.

    Targets come from the clip's own record. Raises: DeftError for a row without the published fields.
    """
    known = {clip.clip_id: clip for clip in clips}
    found, strangers = questions_by_clip(path, known.values())
    instructions = [
        _instruction(known[clip_id], row, number)
        for clip_id, rows in found.items()
        for number, row in enumerate(rows, 1)
    ]
    return Imported(instructions, [row.id for row in strangers])


def task_of(question: str) -> str:
    """The Uni-MER task that an ME-VQA question belongs to; "open" for free questions."""
    text = question.strip()
    if text == megc.COARSE_QUESTION:
        return "coarse"
    if text == megc.FINE_QUESTION:
        return "fine"
    if "based on" in text and "expression" in text:
        return "combined"
    if text.startswith("Is the action unit"):
        return "side" if "left or right" in text else "au"
    if text in (megc.AUS_QUESTION, "What is the action unit?"):
        return "aus"
    return "open"


def _instruction(clip: Clip, row: QuestionRow, number: int) -> Instruction:
    fine = clip.emotion if clip.emotion in FINE else None
    asked = [{"type": "image", "ref": 0}, {"type": "text", "text": row.question}]
    messages = [{"role": "user", "content": asked}]
    if row.answer:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": row.answer}]})
    task = task_of(row.question)
    return Instruction(
        id=f"{clip.clip_id}#megc-{number:02d}-{task}",
        clip_id=clip.clip_id,
        corpus=clip.corpus,
        subject=clip.subject,
        task=task,
        media=[Media(type="flow", role="flow", path=f"{clip.clip_id}/flow.png")],
        messages=messages,
        target=Target(fine=fine, coarse=coarse_of(fine) if fine else clip.coarse, aus=clip.aus),
        source={"builder": "megc", "question_id": row.id, "choice": _choice(task, row.answer or "")},
    )


def _choice(task: str, answer: str) -> str:
    return answer.strip().lower() if task in ("coarse", "fine", "au", "side") else ""
