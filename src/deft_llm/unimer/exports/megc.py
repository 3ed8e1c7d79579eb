"""MEGC ME-VQA: one question a line with the organisers' field names, questions and answer phrases.

The published questions leak (docs/how-to/build-uni-mer.md); they are kept to the letter because consumers
match them, but the order of yes/no questions is ours, and the plural form is used throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.facs.units import ENTRIES, name
from deft_llm.files import read_jsonl, write_jsonl
from deft_llm.records import Instruction
from deft_llm.unimer.rows import asked_unit

FILE = "me_vqa.jsonl"
FIELDS = ("id", "dataset", "image_id", "subject", "filename", "question", "answer")
COARSE_QUESTION = "What is the coarse expression class?"
FINE_QUESTION = "What is the fine-grained expression class?"
AUS_QUESTION = "What are the action units?"
YES_NO = "Is the action unit {name} shown on the face?"
SIDE = "Is the action unit {name} located on the left or right face?"
COMBINED = (
    "What are the action units present, and based on them, what is the fine-grained expression and the "
    "coarse expression class?"
)
COMBINED_ANSWER = (
    "The action units present are: {aus}. Therefore, the fine-grained expression class is {fine}, and the "
    "coarse expression class is {coarse}."
)
_NAMES = "|".join(re.escape(entry.name) for entry in ENTRIES.values())
QUESTIONS = [re.escape(text) for text in (COARSE_QUESTION, FINE_QUESTION, AUS_QUESTION, COMBINED)]
QUESTIONS += [re.escape(text).replace(r"\{name\}", f"(?:{_NAMES})") for text in (YES_NO, SIDE)]
KNOWN_QUESTION = re.compile("|".join(QUESTIONS))


def write(rows: Iterable[Instruction], path: Path) -> list[Path]:
    """Write the tasks that the challenge asks as JSON lines; the others have no place there."""

    def lines() -> Iterator[dict[str, Any]]:
        clip, number = "", 0
        for row in rows:
            for question, answer in _pairs(row):
                number = number + 1 if row.clip_id == clip else 1
                clip = row.clip_id
                yield _line(row, number, question, answer)

    made = lines()
    first = next(made, None)
    if first is None:
        raise DeftError(f"{path}: no instruction asks what ME-VQA asks; build the ME-VQA tasks, then export.")
    write_jsonl(path, chain([first], made))
    return [path]


def _line(row: Instruction, number: int, question: str, answer: str) -> dict[str, Any]:
    parts = row.clip_id.split("/")
    subject, filename = parts[1] if len(parts) > 2 else row.subject.split("/")[-1], parts[-1]
    image = f"{subject}_{filename}"
    return {
        "id": f"{row.corpus}_{image}_{number}",
        "dataset": row.corpus,
        "image_id": image,
        "subject": subject,
        "filename": filename,
        "question": question,
        "answer": answer,
    }


def _pairs(row: Instruction) -> Iterator[tuple[str, str]]:
    """Question and answer of the challenge; no list of AUs where the flow does not show one of the labels: it
    may be there, and the list would deny it.
    """
    choice = str(row.source.get("choice", ""))
    strange = [unit.number for unit in row.target.aus or [] if unit.number not in ENTRIES]
    if strange:
        raise DeftError(f"megc: row {row.id}: AU{strange[0]} is no code of FACS; mend the instruction.")
    aus = ", ".join(name(unit.number) for unit in sorted(row.target.aus or [], key=lambda unit: unit.number))
    listed = aus and all(item.status != "unsupported" for item in row.evidence)
    if row.task == "coarse" and choice:
        yield COARSE_QUESTION, choice
    elif row.task == "fine" and choice:
        yield FINE_QUESTION, choice
    elif row.task == "aus" and listed:
        yield AUS_QUESTION, aus
    elif row.task == "au" and choice and (asked := asked_unit(row)):
        yield YES_NO.format(name=name(asked)), choice
    elif row.task == "side" and choice in ("left", "right") and (asked := asked_unit(row)):
        yield SIDE.format(name=name(asked)), choice
    elif row.task == "answer" and listed and row.target.fine and row.target.coarse:
        yield COMBINED, COMBINED_ANSWER.format(aus=aus, fine=row.target.fine, coarse=row.target.coarse)


def validate(path: Path) -> list[str]:
    """The published field names, questions and answer phrases."""
    faults, ids = [], set()
    for number, row in enumerate(read_jsonl(path)):
        if tuple(row) != FIELDS:
            faults.append(f"row {number}: fields {list(row)} are not {list(FIELDS)}")
            continue
        if row["id"] in ids:
            faults.append(f"row {number}: id {row['id']} is there twice")
        ids.add(row["id"])
        if not KNOWN_QUESTION.fullmatch(row["question"]):
            faults.append(f"row {number}: no question of the challenge: {row['question']}")
        if row["question"].startswith("Is the action unit") and row["answer"] not in (
            "yes",
            "no",
            "left",
            "right",
        ):
            faults.append(f"row {number}: answer {row['answer']!r} is neither yes, no, left nor right")
    return faults
