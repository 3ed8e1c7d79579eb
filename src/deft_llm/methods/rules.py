"""The ``rules`` baseline: AUs measured on the motion, then EMFACS-style rules, nothing learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deft_llm.answer import MAX_EVIDENCE, Answer, render
from deft_llm.aus.readout import MeasuredUnits, rationale, read_units
from deft_llm.aus.support import measure_support
from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE, coarse_of, emotion_scores, objective_class
from deft_llm.methods.decisions import best_threshold, unit_targets
from deft_llm.methods.options import Options, read_options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.model.heads import side_of
from deft_llm.records import COARSE, Coarse, Prediction

OBJECTIVE = ("I", "II", "III", "IV", "V", "VI", "VII")
SYNONYMS = {
    "other": "others",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "surprised": "surprise",
}
DETERMINED = 0.3  # a fine class below this share of the rules' scores is "undetermined"


class Rules:
    """Reads AUs off a clip (``aus.support``) and maps them to classes by ``facs.emotions``.

    ``fit`` only moves the AUs' thresholds to the validation subjects', where AUs are coded there.
    """

    name = "rules"
    needs: frozenset[str] = frozenset({"flow"})

    def __init__(self, task: Task) -> None:
        self.task = task
        self.thresholds: dict[int, float] = {}

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Choose each AU's threshold on validation clips that coders read; emotions need no fitting."""
        import numpy as np

        self.thresholds = {}
        coded = [sample for sample in val if sample.aus is not None]
        if self.task.name != "au" or not coded:
            return
        supports = [{row.au: row.support for row in measure_support(sample.motion)} for sample in coded]
        for au, truth in zip(self.task.aus, unit_targets(coded, self.task.aus).T):
            score = np.array([found.get(au, 0.0) for found in supports])
            if (truth > 0).sum() >= 3:
                self.thresholds[au] = float(np.clip(best_threshold(truth, score), 0.02, 0.98))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One row per sample, with evidence, the (C, E, R) answer and calibrated AU probabilities."""
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> Prediction:
        reading = _as_stated(read_units(sample.motion, self.thresholds), sample.stated)
        scores = emotion_scores(reading.aus, reading.sides)
        fine, coarse = decide(scores, reading)
        answer = Answer.of(
            fine,
            coarse,
            reading.evidence[:MAX_EVIDENCE],
            rationale(reading.evidence, fine, scores.get(fine or "", 0)),
        )
        classes = (
            class_probabilities(scores, reading, self.task.classes) if self.task.name == "emotion" else {}
        )
        return Prediction(
            method=self.name, task=self.task.name, clip_id=sample.clip_id, corpus=sample.corpus,
            subject=sample.subject, label_space=self.task.label_space,
            question_id=sample.question.question_id if sample.question else None,
            probabilities=classes, label=max(classes, key=lambda label: classes[label]) if classes else None,
            fine=fine, coarse=coarse,
            aus={str(au): round(float(p), 6) for au, p in reading.aus.items()},
            sides={str(au): side for au, side in reading.sides.items()},
            evidence=reading.evidence, answer=render(answer), answered_by="template", parsed=True,
            extras={"scores": {label: round(score, 4) for label, score in scores.items()}},
        )  # type: ignore[arg-type]  # fmt: skip


def _as_stated(reading: MeasuredUnits, stated: Mapping[int, tuple[float, float]]) -> MeasuredUnits:
    """A reading held to what a video's whole measurement states and denies (``Sample.stated``)."""
    aus, sides = dict(reading.aus), dict(reading.sides)
    for au, (left, right) in stated.items():
        there = max(left, right)
        aus[au] = (max if there >= 0.5 else min)(aus.get(au, there), there)
        if there >= 0.5:
            sides[au] = side_of(left, right)
        else:
            sides.pop(au, None)
    evidence = [row for row in reading.evidence if row.au is None or aus.get(row.au, 0.0) >= 0.5]
    return replace(reading, aus=aus, sides=sides, evidence=evidence)


def decide(scores: Mapping[str, float], reading: MeasuredUnits) -> tuple[str | None, Coarse | None]:
    """The fine and coarse class that the AUs determine; None where they leave it open."""
    if all(chance < 0.5 for chance in reading.aus.values()):
        return None, None
    fine = max(scores, key=lambda label: scores[label])
    if scores[fine] >= DETERMINED:
        return fine, coarse_of(fine)
    shares = {
        coarse: sum(p for label, p in scores.items() if coarse_of(label) == coarse) for coarse in COARSE
    }
    coarse = max(COARSE, key=lambda label: shares[label])
    return None, coarse if shares[coarse] >= 0.5 else None


def class_probabilities(
    scores: Mapping[str, float], reading: MeasuredUnits, classes: Sequence[str]
) -> dict[str, float]:
    """The rules' scores in a task's classes: fine, coarse or objective ones; they sum to 1.

    Raises: UsageError for a class that the rules do not know.
    """
    coarse_task = set(classes) <= set(COARSE)
    shares: dict[str, float] = {}
    for label in classes:
        plain = SYNONYMS.get(label.strip().lower(), label.strip().lower())
        if coarse_task or (plain in COARSE and plain not in FINE):
            shares[label] = sum(p for fine, p in scores.items() if coarse_of(fine) == plain)
        elif plain in scores:
            shares[label] = scores[plain]
        elif label in OBJECTIVE:
            shown = [au for au, p in reading.aus.items() if p >= 0.5 and au not in (43, 45)]
            shares[label] = 1.0 if objective_class(shown) == label else 0.05
        else:
            known = "--labels megc3, native or objective"
            raise UsageError(f"method rules: knows no class {label!r}; choose {known}.")
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()}


def build(task: Task, **options: Any) -> Rules:
    """Build the baseline; ``zero_shot`` and ``answers`` change nothing: it always answers, unfitted."""

    options.pop("zero_shot", None)
    options.pop("answers", None)
    read_options(Options, "rules", options)
    return Rules(task)
