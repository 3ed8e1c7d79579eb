"""What an instruction says: its texts, and the unit that its question is about."""

from __future__ import annotations

import re

from deft_llm.facs.units import ENTRIES, number_of
from deft_llm.records import Instruction

AU_CODE = re.compile(r"\bAU ?(\d{1,2})\b")
AU_NAME = re.compile(
    r"\b(" + "|".join(re.escape(e.name) for e in ENTRIES.values() if e.kind == "AU" and e.number) + r")\b"
)


def texts(row: Instruction, role: str) -> list[str]:
    """All texts that ``role`` says, in order."""
    return [
        "".join(part["text"] for part in message["content"] if part["type"] == "text")
        for message in row.messages
        if message["role"] == role
    ]


def asked_unit(row: Instruction) -> int | None:
    """Number of the unit that a question on one unit is about, of the record or else of its words."""
    about = str(row.source.get("about", ""))
    question = texts(row, "user")[0]
    numbers = [int(about[:9])] if about.isdecimal() else []
    numbers += [int(code) for code in AU_CODE.findall(question)]
    numbers += [number_of(name) for name in AU_NAME.findall(question.lower())]
    return next((number for number in numbers if number in ENTRIES), None)
