"""Answers questions blind: the most frequent answer of the training subjects, without a look at the clip.

The row that every ME-VQA table needs: what it scores, the questions give away by themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deft_llm.errors import UsageError
from deft_llm.methods.options import Options, read_options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import Prediction

ANSWERS_QUESTIONS = True


class Prior:
    """Most frequent answer to the same question, else to its kind; declined where training has neither."""

    name = "prior"
    needs: frozenset[str] = frozenset()

    def __init__(self, task: Task) -> None:
        self.task = task
        self.answers: dict[str, Counter[str]] = {}

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Count the answers of the training and validation side."""
        self.answers = defaultdict(Counter)
        for sample in (*train, *val):
            question = sample.question
            if question is not None and question.answer:
                for key in (_same(question.text), question.kind):
                    self.answers[key][question.answer.strip()] += 1

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One answer per question; the clip is not read."""
        return [self._row(sample) for sample in samples]

    def _row(self, sample: Sample) -> Prediction:
        question = sample.question
        known = (
            (self.answers.get(_same(question.text)) or self.answers.get(question.kind)) if question else None
        )
        said = min(known, key=lambda text: (-known[text], text)) if known else None
        return Prediction(
            method=self.name, task="vqa", clip_id=sample.clip_id, corpus=sample.corpus,
            subject=sample.subject, label_space=self.task.label_space, answer=said,
            question_id=question.question_id if question else None,
            answered_by="prior" if said is not None else "declined",
        )  # fmt: skip


def _same(text: str) -> str:
    return " ".join(text.lower().split())


def build(task: Task, **options: Any) -> Prior:
    """Build the baseline; it has no options. Raises: UsageError for another task than questions."""
    read_options(Options, "prior", options)
    if task.name != "vqa":
        raise UsageError("--method prior answers questions: give --task vqa; --method majority is the floor.")
    return Prior(task)
