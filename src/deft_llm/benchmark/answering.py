"""Lets a method without language answer ME-VQA questions:
three heads (coarse, fine, AUs) and fixed sentences.

The baseline of ME-VQA that any recogniser reaches; methods with
``ANSWERS_QUESTIONS`` in their module answer by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from deft_llm.evaluation.questions import named_units
from deft_llm.evaluation.rows import label_of
from deft_llm.facs.emotions import coarse_of
from deft_llm.facs.units import name as unit_name
from deft_llm.methods.protocol import METHODS, Method, Sample, Task, build_method
from deft_llm.records import Prediction


def build_for(name: str, task: Task, **options: Any) -> Method:
    """The method called ``name``, wrapped where the task asks questions that it cannot read."""
    if task.name != "vqa" or name not in METHODS:
        return build_method(name, task, **options)
    if getattr(import_module(METHODS[name]), "ANSWERS_QUESTIONS", False):
        return build_method(name, task, **options)
    return Answering(name, task, **options)


class Answering:
    """Coarse, fine and AU heads of one method, spoken in the organisers' answer forms."""

    def __init__(self, name: str, task: Task, **options: Any) -> None:
        self.name = name
        self.task = task
        self.options = options
        self.coarse = build_method(name, replace(task, name="emotion", label_space="megc3"), **options)
        self.units = build_method(name, replace(task, name="au"), **options)
        self.needs = self.coarse.needs
        self.fine: Method | None = None
        self.samples: list[Sample] | None = None

    selection_only = False

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Features of every clip once, shared by the three heads."""
        self.samples = _one_a_clip(samples)
        self._ready = workdir
        for method in (self.coarse, self.units):
            if hasattr(method, "prepare"):
                method.prepare(self.samples, workdir)

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Fit each head on the clips whose label is known."""
        train, val = _one_a_clip(train), _one_a_clip(val)
        for head in (self.coarse, self.units):
            head.selection_only = self.selection_only  # type: ignore[attr-defined]
        self.coarse.fit(_with(train, "label"), _with(val, "label"), seed=seed, workdir=workdir / "coarse")
        self.units.fit(_with(train, "aus"), _with(val, "aus"), seed=seed, workdir=workdir / "aus")
        fine_train = [replace(s, label=s.fine) for s in _with(train, "fine")]
        classes = tuple(sorted({str(s.label) for s in fine_train}))
        self.fine = None
        if len(classes) > 1:
            self.fine = build_method(
                self.name,
                replace(self.task, name="emotion", label_space="native", classes=classes),
                **self.options,
            )
            if self.samples is not None and hasattr(self.fine, "prepare"):
                self.fine.prepare(self.samples, self._ready)
            self.fine.selection_only = self.selection_only  # type: ignore[attr-defined]
            fine_val = [replace(s, label=s.fine) for s in _with(val, "fine") if s.fine in classes]
            self.fine.fit(fine_train, fine_val, seed=seed, workdir=workdir / "fine")

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One answer per question; the coarse class follows the fine one where that has one."""
        clips = _one_a_clip(samples)
        coarse = {p.clip_id: p for p in self.coarse.predict(clips)}
        units = {p.clip_id: p for p in self.units.predict(clips)}
        fine = {p.clip_id: label_of(p) for p in self.fine.predict(clips)} if self.fine else {}
        rows = []
        for sample in samples:
            detected = sorted(((p, int(au)) for au, p in units[sample.clip_id].aus.items()), reverse=True)
            named = [au for p, au in detected if p >= 0.5] or [au for _, au in detected[:1]]
            answer = _answer(
                sample, label_of(coarse[sample.clip_id]) or "", fine.get(sample.clip_id), sorted(named)
            )
            row = coarse[sample.clip_id].model_copy(deep=True)
            row.question_id = sample.question.question_id if sample.question else None
            row.aus, row.answer = dict(units[sample.clip_id].aus), answer
            rows.append(row)
        return rows


def _one_a_clip(samples: Sequence[Sample]) -> list[Sample]:
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.clip_id, replace(sample, question=None))
    return list(first.values())


def _with(samples: Sequence[Sample], attribute: str) -> list[Sample]:
    return [sample for sample in samples if getattr(sample, attribute) is not None]


def _answer(sample: Sample, coarse: str, fine: str | None, aus: list[int]) -> str:
    names = ", ".join(unit_name(au).lower() for au in aus)
    kind, text = (sample.question.kind, sample.question.text.lower()) if sample.question else ("coarse", "")
    fine = fine or {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}.get(
        coarse, "others"
    )
    if kind == "coarse":
        return coarse
    if kind == "fine":
        return fine
    if kind == "aus":
        return names
    if kind == "au_present":
        asked = re.search(r"action unit (.+?) (?:shown|present|visible)", text)
        return "yes" if asked and named_units(asked.group(1))[0] & set(aus) else "no"
    if kind == "au_side":
        return "left"  # these heads read no side; the organisers' more frequent answer (44 of 71)
    if kind == "combined":
        plural, verb = ("s", "are") if len(aus) != 1 else ("", "is")
        shown = coarse_of(fine) or coarse
        return (
            f"The action unit{plural} present {verb}: {names}. Therefore, the fine-grained expression "
            f"class is "
            f"{fine}, and the coarse expression class is {shown}."
        )
    return f"The micro-expression's coarse class is {coarse}; the action units are {names}."
