"""ME-VQA questions joined to clips by dataset, subject (zero padding ignored) and file name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deft_llm.corpora.joining import Key, join_key
from deft_llm.corpora.labels import fine_word
from deft_llm.errors import DeftError
from deft_llm.evaluation.questions import FINE_WORDS, named_class, named_units, question_kind
from deft_llm.files import read_jsonl
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
        name = named_class(self.answer("fine"), FINE_WORDS)
        return fine_word(name) if name else None


def units_answered(asked: ClipQuestions) -> frozenset[int] | None:
    """AUs that the answers state; None where no question asks for them."""
    answer = asked.answer("aus")
    return frozenset(named_units(answer)[0]) if answer is not None else None


def read_questions(path: Path, clips: Iterable[Clip]) -> tuple[dict[str, ClipQuestions], int]:
    """Questions by clip id, and the number of rows about no clip here.

    Rows: dataset, subject, filename, question, answer (id is optional). A dataset "smic" fits the corpus
    "smic-hs". Raises: DeftError naming the row without these, a doubled id, or where no row fits any clip.
    """
    index: dict[Key, str] = {}
    for clip in clips:
        subject, name = clip.subject.rsplit("/", 1)[-1], clip.clip_id.rsplit("/", 1)[-1]
        index[join_key(clip.corpus, subject, name)] = clip.clip_id
    found: dict[str, list[Question]] = defaultdict(list)
    strangers, seen = 0, set()
    for number, row in enumerate(read_jsonl(path), 1):
        missing = {"dataset", "subject", "filename", "question", "answer"} - set(row)
        if missing:
            raise DeftError(
                f"{path}: row {number} lacks {sorted(missing)[0]}; "
                "docs/explanation/evaluation.md shows the form."
            )
        name = str(row.get("id", f"row{number}"))
        if name in seen:
            raise DeftError(
                f"{path}: row {number}: the id {name} is there twice; give each question its own."
            )
        seen.add(name)
        clip_id = index.get(join_key(str(row["dataset"]), str(row["subject"]), str(row["filename"])))
        if clip_id is None:
            strangers += 1
            continue
        text = str(row["question"])
        found[clip_id].append(Question(name, text, question_kind(text), str(row["answer"])))
    if not found:
        raise DeftError(
            f"{path}: none of its {strangers} questions is about a clip of this corpus; check "
            f"dataset, "
            "subject and filename."
        )
    return {clip: ClipQuestions(tuple(rows)) for clip, rows in found.items()}, strangers
