"""Answers ME-VQA questions without language: three heads (coarse, fine, Action Units) in fixed sentences.

``template`` takes the heads of DEFT; any other recogniser answers the same way. What is answered is read off
the heads: the side of an AU is the one whose logit is higher (where a method has no sides, the one on which
more motion supports the AU), and yes is said from a probability of ``DECIDES`` on. Rows say in
``answered_by`` whether the heads (template) or the flow (measurement) gave the answer; a question that
neither can answer is declined.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from deft_llm.aus.support import measure_support
from deft_llm.errors import UsageError
from deft_llm.evaluation.questions import asked_unit, asks_for_one, number_word
from deft_llm.evaluation.rows import label_of
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import MICRO_AUS
from deft_llm.facs.units import name as unit_name
from deft_llm.methods.protocol import METHODS, Method, Question, Sample, Task, build_method, digests_of
from deft_llm.records import COARSE, AnsweredBy, Prediction

ANSWERS_QUESTIONS = True
HEADS = "deft"
"""The method whose heads ``--method template`` takes."""
DECIDES = 0.5
"""Calibrated probability (or support) from which on an Action Unit is there."""
SEVERAL = 2
"""The least number of AUs that a question in the plural asks for."""

Said = tuple[str | None, AnsweredBy]
DECLINED: Said = (None, "declined")


def build(task: Task, **options: Any) -> HeadAnswers:
    """``--method template``: the heads of DEFT, zero-shot or refitted. Raises: UsageError for other tasks."""
    if task.name != "vqa":
        raise UsageError("--method template answers questions: give --task vqa; --method deft has the heads.")
    return HeadAnswers(HEADS, task, **options)


def build_for(name: str, task: Task, **options: Any) -> Method:
    """The method called ``name``; where the task asks questions, its language model answers if it has one,
    else its heads in fixed sentences."""
    if task.name != "vqa" or name not in METHODS:
        return build_method(name, task, **options)
    if getattr(import_module(METHODS[name]), "ANSWERS_QUESTIONS", False):
        return build_method(name, task, **options)
    heads = HeadAnswers(name, task, **options)
    return ModelAnswers(name, task, **options) if getattr(heads.coarse, "has_language", False) else heads


class HeadAnswers:
    """Coarse, fine and AU heads of one method, in the organisers' answer forms.

    A fit leaves ``units`` out (None) where no training clip has AUs, and ``fine`` where there are not two
    labels.
    """

    selection_only = False

    def __init__(self, name: str, task: Task, **options: Any) -> None:
        self.name, self.task, self.options = name, task, options
        self.coarse = build_method(
            name, replace(task, name="emotion", label_space="megc3", classes=COARSE), **options
        )
        self.au_head = build_method(name, replace(task, name="au"), **options)
        self.units: Method | None = self.au_head
        self.needs = self.coarse.needs
        self.fine: Method | None = self._fine_head(FINE) if options.get("zero_shot") else None
        self.usual: dict[str, str] = {}
        self.samples: list[Sample] | None = None

    def _fine_head(self, classes: Sequence[str]) -> Method:
        task = replace(self.task, name="emotion", label_space="native", classes=tuple(classes))
        return build_method(self.name, task, **self.options)

    def digests(self) -> dict[str, str]:
        """Those of the method whose heads these are."""
        return digests_of(self.coarse)

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Features of every clip once, shared by the three heads."""
        self.samples, self._ready = _one_a_clip(samples), workdir
        for head in (self.coarse, self.au_head, self.fine):
            if head is not None and hasattr(head, "prepare"):
                head.prepare(self.samples, workdir)

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Fit each head on the clips whose label is known."""
        train, val = _one_a_clip(train), _one_a_clip(val)
        for head in (self.coarse, self.au_head):
            head.selection_only = self.selection_only  # type: ignore[attr-defined]
        self.coarse.fit(_with(train, "label"), _with(val, "label"), seed=seed, workdir=workdir / "coarse")
        coded = _with(train, "aus")
        self.units = self.au_head if coded else None
        if coded:
            self.au_head.fit(coded, _with(val, "aus"), seed=seed, workdir=workdir / "aus")
        fine_train = [replace(s, label=s.fine) for s in _with(train, "fine")]
        counts = Counter(str(s.label) for s in fine_train)
        ranked = sorted(counts, key=lambda label: (counts[label], label))  # the most frequent comes last
        self.usual = {coarse: label for label in ranked if (coarse := coarse_of(label))}
        self.fine = None
        if len(counts) > 1:
            self.fine = self._fine_head(sorted(counts))
            if self.samples is not None and hasattr(self.fine, "prepare"):
                self.fine.prepare(self.samples, self._ready)
            self.fine.selection_only = self.selection_only  # type: ignore[attr-defined]
            fine_val = [replace(s, label=s.fine) for s in _with(val, "fine") if s.fine in counts]
            self.fine.fit(fine_train, fine_val, seed=seed, workdir=workdir / "fine")

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One answer per question; classes, AU probabilities and sides stand beside it."""
        found = self._read(_one_a_clip(samples))
        rows = []
        for sample in samples:
            heads = found[sample.clip_id]
            row = heads.row(sample.question)
            row.answer, row.answered_by = answer(sample.question, heads) if sample.question else DECLINED
            rows.append(row)
        return rows

    def _read(self, clips: Sequence[Sample]) -> dict[str, Heads]:
        coarse = self.coarse.predict(clips)
        units = self.units.predict(clips) if self.units else [None] * len(clips)
        fine = self.fine.predict(clips) if self.fine else [None] * len(clips)
        margins_of = getattr(self.units, "side_margins", None)
        margins = margins_of(clips) if margins_of is not None else [{}] * len(clips)
        return {
            clip.clip_id: Heads(clip, first, second, third, margin, self.usual)
            for clip, first, second, third, margin in zip(clips, coarse, units, fine, margins, strict=True)
        }


class ModelAnswers(HeadAnswers):
    """The method's language model answers, conditioned on what the heads found: what is adapted on a fold
    is what answers."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One answer per question; classes, AU probabilities and sides of the heads stand beside it."""
        found = self._read(_one_a_clip(samples))
        kinds = [("coarse", "probabilities"), ("fine", "probabilities"), ("units", "aus")]
        tables = {
            kind: {clip: getattr(getattr(heads, kind), column) for clip, heads in found.items()}
            for kind, column in kinds
            if all(getattr(heads, kind) is not None for heads in found.values())
        }
        labels = tables["fine"][samples[0].clip_id] if "fine" in tables else None
        fines = None if labels is None else [label for label in labels if label in FINE]
        replies = self.coarse.ask(samples, list(tables.values()), fines)  # type: ignore[attr-defined]
        rows = []
        for sample, reply in zip(samples, replies, strict=True):
            row = found[sample.clip_id].row(sample.question)
            row.answer, row.answered_by = reply.text, reply.answered_by
            row.extras["probability"] = reply.probability
            rows.append(row)
        return rows


@dataclass(frozen=True)
class Heads:
    """What the heads say of one clip. ``units``, ``fine``: None where there is no such head; ``margins``:
    left minus right of an AU's probability, the subject's own; ``usual``: the training clips' most frequent
    fine label of each coarse class.
    """

    sample: Sample
    coarse: Prediction
    units: Prediction | None
    fine: Prediction | None
    margins: dict[int, float]
    usual: dict[str, str] = field(default_factory=dict)

    def row(self, question: Question | None) -> Prediction:
        """The prediction that stands beside an answer: classes, AU probabilities and sides."""
        row = self.coarse.model_copy(deep=True)
        row.question_id = question.question_id if question else None
        if self.units is not None:
            row.aus, row.sides = dict(self.units.aus), dict(self.units.sides)
        return row

    @cached_property
    def measured(self) -> dict[int, tuple[float, float]]:
        """AU -> (support, left minus right support) of the clip's motion; nothing where it cannot be
        measured."""
        if "flow" not in self.sample.has:
            return {}
        found = measure_support(self.sample.motion, aus=MICRO_AUS)
        return {s.au: (float(s.support), float(s.sides[0] - s.sides[1])) for s in found if s.judged}

    @property
    def chances(self) -> dict[str, float]:
        """Probability of each AU, by its number; nothing without an AU head."""
        return self.units.aus if self.units is not None else {}

    @property
    def coarse_class(self) -> str:
        """The coarse head's class."""
        return label_of(self.coarse) or ""

    @property
    def fine_label(self) -> str | None:
        """The fine head's likeliest label within the coarse class, else the usual one; None without any."""
        chances = self.fine.probabilities if self.fine else {}
        inside = {name: p for name, p in chances.items() if coarse_of(name) == self.coarse_class}
        return max(inside, key=lambda name: inside[name]) if inside else self.usual.get(self.coarse_class)

    def named(self, question: str) -> list[int]:
        """AUs in the number that the question asks for: one, several, or any."""
        ranked = sorted(((p, -int(au)) for au, p in self.chances.items()), reverse=True)
        if asks_for_one(question):
            return [-au for _, au in ranked[:1]]
        there = [-au for p, au in ranked if p >= DECIDES]
        if re.search(r"\bany\b|\bnone\b|\bevery\b|\ball\b|how many|\bcount\b|number of", question.lower()):
            return sorted(there)
        return sorted(there if len(there) >= SEVERAL else [-au for _, au in ranked[:SEVERAL]])

    def present(self, au: int) -> tuple[bool, AnsweredBy] | None:
        """Whether an AU is there, by its head or, where it has none, by the measured motion."""
        if str(au) in self.chances:
            return self.chances[str(au)] >= DECIDES, "template"
        support = self.measured.get(au)
        return None if support is None else (support[0] >= DECIDES, "measurement")

    def side(self, au: int) -> tuple[str, AnsweredBy] | None:
        """The side of an AU that the logits show, or, where there are none, the measured motion."""
        by: AnsweredBy = "template"
        margin = self.margins.get(au)
        if margin is None:
            by, margin = "measurement", (self.measured.get(au) or (0.0, 0.0))[1]
        return None if not margin else ("left" if margin > 0 else "right", by)


def answer(question: Question, heads: Heads) -> Said:
    """The answer in the organisers' form for its kind, and what gave it."""
    text, kind = question.text, question.kind
    coarse, fine = heads.coarse_class, heads.fine_label
    names = ", ".join(unit_name(au) for au in heads.named(text)) or "none"
    if kind in ("au_present", "au_side", "on_side"):
        return _of_unit(kind, text.lower(), heads)
    if heads.units is None and kind in ("aus", "count", "combined"):
        return DECLINED
    plain = {"coarse": coarse, "fine": fine, "aus": names}
    if kind in plain:
        return (plain[kind], "template") if plain[kind] else DECLINED
    if kind == "count":
        return number_word(len(heads.named(text))), "template"
    if kind == "combined" and fine:
        form = "units present are" if "," in names else "unit present is"
        return (
            f"The action {form}: {names}. Therefore, the fine-grained expression class is {fine}, and the "
            f"coarse expression class is {coarse_of(fine) or coarse}.",
            "template",
        )
    units = f"; the action units are {names}" if heads.units is not None else ""
    return f"The coarse expression class is {coarse}{units}.", "template"


def _of_unit(kind: str, text: str, heads: Heads) -> Said:
    """Answers about one AU: whether it is there, on which side, or whether on that side."""
    au = asked_unit(text)
    if au is None:
        return DECLINED
    there, side = heads.present(au), heads.side(au)
    if kind == "au_side":
        return side or DECLINED
    if there is None:
        return DECLINED
    shown, by = there
    if kind == "on_side" and shown:
        if side is None:
            return DECLINED
        shown, by = re.search(rf"\b{side[0]}\b", text) is not None, side[1]
    return "yes" if shown else "no", by


def _one_a_clip(samples: Sequence[Sample]) -> list[Sample]:
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.clip_id, replace(sample, question=None))
    return list(first.values())


def _with(samples: Sequence[Sample], attribute: str) -> list[Sample]:
    return [sample for sample in samples if getattr(sample, attribute) is not None]
