"""Rows of ME-VQA questions as the organisers publish them: JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from deft_llm.files import read_rows

FORM = "docs/explanation/evaluation.md shows the form"


class QuestionRow(BaseModel):
    """One question about a clip; fields beyond these are left alone. ``answer`` is None in a test set."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = ""
    dataset: str = ""
    subject: str = Field(min_length=1)
    filename: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str | None = None


def read_question_rows(path: Path) -> Iterator[QuestionRow]:
    """The rows of a file, each with an id: its own, else its number.

    Raises: DeftError naming the line without subject, file name or question.
    """
    for number, row in enumerate(read_rows(QuestionRow, path, mend=FORM), 1):
        row.id = row.id or f"row{number}"
        yield row
