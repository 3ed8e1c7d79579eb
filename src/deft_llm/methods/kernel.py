"""Support vector machines on fixed features; their settings are chosen on held-out subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import softmax

from deft_llm.evaluation.classes import confusion, summary
from deft_llm.methods.decisions import (
    OPEN,
    best_temperature,
    best_threshold,
    centred_probability,
    class_rows,
    labelled,
    targets,
    unit_rows,
)
from deft_llm.methods.features import Extract, FeatureTable
from deft_llm.methods.options import Options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import Prediction

INNER_FOLDS = 4


class SVMOptions(Options):
    """C and gamma of an RBF-SVM; gamma is in units of 1 / mean squared distance of the training clips.

    With several values each, those are chosen by UF1 (AUs: mean F1) over inner folds by subject.
    """

    C: list[float] = Field(default_factory=lambda: [10.0], description="Penalties to choose from.")
    gamma: list[float] = Field(
        default_factory=lambda: [0.5, 1.0, 2.0],
        description="Kernel widths to choose from, in 1 / mean squared distance.",
    )
    inner: int = Field(INNER_FOLDS, description="Inner folds by subject.")


class _Machine(NamedTuple):
    """A fitted SVM and the training rows (K,) that it learned from: those whose truth is known."""

    svc: Any
    rows: np.ndarray

    def scores(self, kernel: np.ndarray) -> np.ndarray:
        """Decision values of clips from their kernel (N, training rows)."""
        found: np.ndarray = self.svc.decision_function(kernel[:, self.rows])
        return found


class KernelMethod:
    """RBF-SVM on features of ``extract``; one machine for classes, one per AU for detection.

    Settings, thresholds and temperature come from inner folds by subject over training and
    validation side, then the machine is fitted on both. With ``selection_only`` (the
    --leak demonstration) ``val`` only selects.
    """

    selection_only = False

    def __init__(
        self, name: str, needs: frozenset[str], task: Task, extract: Extract, options: SVMOptions
    ) -> None:
        self.name, self.needs, self.task, self.options = name, needs, task, options
        self.table = FeatureTable(extract)

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Extract features of all clips once."""
        self.table.prepare(samples, workdir, self.name)

    def features(self, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
        """What the method reads of each clip (N, D), for probes."""
        return {self.name: self.table.of(samples)}

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Choose settings on held-out subjects, then fit."""
        train, val = labelled(train, self.task), labelled(val, self.task)
        pool = train if self.selection_only else labelled([*train, *val], self.task)
        self.reference = self.table.of(pool).reshape(len(pool), -1).astype(np.float64)
        truth = targets(pool, self.task)
        squared = _squared_distances(self.reference, self.reference)
        self.unit = float(squared[squared > 0].mean()) if (squared > 0).any() else 1.0
        best, chosen = -1.0, (self.options.C[0], self.options.gamma[0])
        held: tuple[np.ndarray, np.ndarray] | None = None
        for C in self.options.C:
            for gamma in self.options.gamma:
                if self.selection_only:
                    found = self._held_val(squared, truth, val, C, gamma)
                else:
                    found = self._held_inner(squared, truth, [s.subject for s in pool], C, gamma)
                quality = self._quality(*found)
                if quality > best:
                    best, chosen, held = quality, (C, gamma), found
        assert held is not None
        self._decide(*held)
        self.C, self.gamma = chosen
        self.machines = self._machines(np.exp(-self.gamma * squared / self.unit), truth, self.C)

    def _held_inner(
        self, squared: np.ndarray, truth: np.ndarray, subjects: Sequence[str], C: float, gamma: float
    ) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.model_selection import GroupKFold

        kernel = np.exp(-gamma * squared / self.unit)
        width = len(self.task.aus) if self.task.name == "au" else len(self.task.classes)
        scores = np.zeros((len(truth), width))
        folds = min(self.options.inner, len(set(subjects)))
        if folds < 2:
            return self._scores(self._machines(kernel, truth, C), kernel), truth
        for inside, outside in GroupKFold(folds).split(kernel, None, np.asarray(subjects)):
            machines = self._machines(kernel[np.ix_(inside, inside)], truth[inside], C)
            scores[outside] = self._scores(machines, kernel[np.ix_(outside, inside)])
        return scores, truth

    def _held_val(
        self, squared: np.ndarray, truth: np.ndarray, val: Sequence[Sample], C: float, gamma: float
    ) -> tuple[np.ndarray, np.ndarray]:
        machines = self._machines(np.exp(-gamma * squared / self.unit), truth, C)
        features = self.table.of(val).reshape(len(val), -1).astype(np.float64)
        kernel = np.exp(-gamma * _squared_distances(features, self.reference) / self.unit)
        return self._scores(machines, kernel), targets(val, self.task)

    def _quality(self, scores: np.ndarray, truth: np.ndarray) -> float:
        if self.task.name == "au":
            f1 = [
                _best_f1(truth[:, i], scores[:, i]) for i in range(truth.shape[1]) if (truth[:, i] > 0).any()
            ]
            return float(np.mean(f1)) if f1 else 0.0
        names = self.task.classes
        table = confusion([names[i] for i in truth], [names[i] for i in scores.argmax(1)], names)
        return float(summary(table)["uf1"])

    def _decide(self, scores: np.ndarray, truth: np.ndarray) -> None:
        if self.task.name == "au":
            columns = range(truth.shape[1])
            self.thresholds = np.array([best_threshold(truth[:, i], scores[:, i]) for i in columns])
            self.scale = scores.std(0)
        else:
            self.temperature = best_temperature(scores, truth)

    def _machines(self, kernel: np.ndarray, truth: np.ndarray, C: float) -> list[_Machine | int]:
        """A machine for classes, or one for each AU; the only value there is where there are not two."""
        from sklearn.svm import SVC

        columns = truth.T if self.task.name == "au" else [truth]
        machines: list[_Machine | int] = []
        for column in columns:
            rows = np.flatnonzero(column != OPEN)
            values = np.unique(column[rows])
            if len(values) < 2:
                machines.append(int(values[0]) if len(values) else 0)
                continue
            svc = SVC(C=C, kernel="precomputed", class_weight="balanced", decision_function_shape="ovr")
            machines.append(_Machine(svc.fit(kernel[np.ix_(rows, rows)], column[rows]), rows))
        return machines

    def _scores(self, machines: Sequence[_Machine | int], kernel: np.ndarray) -> np.ndarray:
        """Class scores (N, C) or AU scores (N, A); higher is likelier."""
        if self.task.name == "au":
            columns = [
                np.full(len(kernel), -1.0 if m == 0 else 1.0) if isinstance(m, int) else m.scores(kernel)
                for m in machines
            ]
            return np.stack(columns, axis=1)
        scores = np.full((len(kernel), len(self.task.classes)), -2.0)
        machine = machines[0]
        if isinstance(machine, int):
            scores[:, machine] = 2.0
            return scores
        decided = machine.scores(kernel)
        if decided.ndim == 1:
            decided = np.stack([-decided, decided], axis=1)
        scores[:, machine.svc.classes_] = decided
        return scores

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Probabilities of classes or AUs."""
        features = self.table.of(samples).reshape(len(samples), -1).astype(np.float64)
        kernel = np.exp(-self.gamma * _squared_distances(features, self.reference) / self.unit)
        scores = self._scores(self.machines, kernel)
        if self.task.name == "au":
            return unit_rows(
                samples, centred_probability(scores, self.thresholds, self.scale), self.name, self.task
            )
        return class_rows(samples, softmax(scores / self.temperature, -1), self.name, self.task)


def _best_f1(truth: np.ndarray, score: np.ndarray) -> float:
    decided, there = (score >= best_threshold(truth, score)) & (truth != OPEN), truth > 0
    return float(2 * (decided & there).sum() / max(decided.sum() + there.sum(), 1))


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.maximum(squares, 0)
