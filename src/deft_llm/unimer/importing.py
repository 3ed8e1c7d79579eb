"""Brings MEGC ME-VQA questions (a jsonl of the organisers) onto the clips of a prepared store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft_llm.corpora.joining import join_key
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.files import read_jsonl
from deft_llm.records import Clip, Instruction, Media, Target
from deft_llm.unimer.exports import megc

NEEDED = ("dataset", "subject", "filename", "question")


@dataclass
class Imported:
    """Instructions made, and the rows whose clip the store does not hold."""

    instructions: list[Instruction] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def import_megc(path: Path, clips: Iterable[Clip]) -> Imported:
    """Instructions for every row of an ME-VQA jsonl whose clip is among ``clips``.

    Clips meet rows by corpus, subject number and file name, whatever their spelling. Targets come from the
    clip's own record. Raises: DeftError for a row without the published fields.
    """
    by_key = {_key_of(clip): clip for clip in clips}
    result = Imported()
    numbers: dict[str, int] = {}
    for place, row in enumerate(read_jsonl(Path(path)), 1):
        missing = [name for name in NEEDED if not row.get(name)]
        if missing:
            raise DeftError(f"{path}: line {place} lacks {', '.join(missing)}; give the organisers' jsonl.")
        clip = by_key.get(join_key(str(row["dataset"]), str(row["subject"]), str(row["filename"])))
        if clip is None:
            result.unmatched.append(str(row.get("id", place)))
            continue
        number = numbers[clip.clip_id] = numbers.get(clip.clip_id, 0) + 1
        result.instructions.append(_instruction(clip, row, number))
    return result


def _key_of(clip: Clip) -> tuple[str, str, str]:
    parts = clip.clip_id.split("/")
    return join_key(parts[0], clip.subject.split("/")[-1], parts[-1])


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


def _instruction(clip: Clip, row: dict[str, Any], number: int) -> Instruction:
    fine = clip.emotion if clip.emotion in FINE else None
    messages = [
        {"role": "user", "content": [{"type": "image", "ref": 0}, {"type": "text", "text": row["question"]}]}
    ]
    answer = str(row.get("answer") or "")
    if answer:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    task = task_of(row["question"])
    return Instruction(
        id=f"{clip.clip_id}#megc-{number:02d}-{task}",
        clip_id=clip.clip_id,
        corpus=clip.corpus,
        subject=clip.subject,
        task=task,
        media=[Media(type="flow", role="flow", path=f"{clip.clip_id}/flow.png")],
        messages=messages,
        target=Target(fine=fine, coarse=coarse_of(fine) if fine else clip.coarse, aus=clip.aus),
        source={"builder": "megc", "question_id": row.get("id"), "choice": _choice(task, answer)},
    )


def _choice(task: str, answer: str) -> str:
    return answer.strip().lower() if task in ("coarse", "fine", "au", "side") else ""
