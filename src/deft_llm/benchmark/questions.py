"""ME-VQA questions joined to clips by dataset, subject (zero padding ignored) and file name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deft_llm.corpora.joining import questions_by_clip
from deft_llm.corpora.questions import FORM
from deft_llm.errors import DeftError
from deft_llm.evaluation.questions import named_class, named_fine, named_units, question_kind
from deft_llm.methods.protocol import Question
from deft_llm.records import COARSE, Clip


@dataclass(frozen=True)
class ClipQuestions:
    """The questions on one clip, answers included."""

    questions: tuple[Question, ...]

    def answer(self, kind: str) -> str | None:
        """Answer of the first question of ``kind``; None where there is none."""
        return next((q.answer for q in self.questions if q.kind == kind and q.answer), None)

    @property
    def coarse(self) -> str | None:
        """Coarse class that the answers state."""
        return named_class(self.answer("coarse"), COARSE)

    @property
    def fine(self) -> str | None:
        """Fine class that the answers state."""
        return named_fine(self.answer("fine"))


def units_answered(asked: ClipQuestions) -> frozenset[int] | None:
    """AUs that the answers state; None where no question asks for them."""
    answer = asked.answer("aus")
    return frozenset(named_units(answer)[0]) if answer is not None else None


def read_questions(path: Path, clips: Iterable[Clip]) -> tuple[dict[str, ClipQuestions], int]:
    """Questions by clip id, and the number of rows about no clip here.

    Raises: DeftError naming the row without a field, without an answer to score by, a doubled id, or where no
    row fits any clip.
    """
    rows, strangers = questions_by_clip(path, clips)
    if not rows:
        raise DeftError(
            f"{path}: none of its {len(strangers)} questions is about a clip of this corpus; check dataset, "
            "subject and filename."
        )
    found = {}
    for clip_id, asked in rows.items():
        unanswered = next((row.id for row in asked if not (row.answer or "").strip()), None)
        if unanswered is not None:
            raise DeftError(f"{path}: question {unanswered} has no answer to score by; {FORM}.")
        for row in asked:
            if question_kind(row.question) == "coarse" and named_class(row.answer, COARSE) is None:
                raise DeftError(
                    f"{path}: question {row.id}: the answer {row.answer!r} names none of "
                    f"{', '.join(COARSE)}; correct it."
                )
        found[clip_id] = ClipQuestions(
            tuple(
                Question(row.id, row.question, question_kind(row.question), row.answer or "") for row in asked
            )
        )
    return found, len(strangers)
