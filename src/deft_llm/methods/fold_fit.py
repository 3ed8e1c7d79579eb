"""Refit of emotion classes and of AUs on one fold's subjects, from a reading of all clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deft_llm.methods.refit import (
    KernelMachine,
    RefitSettings,
    Stacker,
    View,
    balanced_weights,
    f1_threshold,
    macro_f1,
    new_scores,
    view_scores,
)
from deft_llm.model.heads import presence_logits, sigmoid, softmax
from deft_llm.model.predictor import Reading
from deft_llm.model.units import AU_INDEX


def views_of(reading: Reading, names: Sequence[str]) -> list[View]:
    """The named views of a reading: pixels, tokens, clean, judgement (AU and emotion logits), pooled."""
    judgement = np.concatenate(
        [reading.au.reshape(*reading.au.shape[:2], -1), reading.coarse, reading.fine], axis=2
    )
    table = {"pixels": reading.pixels, "tokens": reading.tokens, "clean": reading.clean,
             "pooled": reading.pooled, "judgement": judgement}  # fmt: skip
    return [View(name, table[name].astype(np.float64)) for name in names]


@dataclass
class EmotionRefit:
    """Kernel machines on views, stacked with the zero-shot opinion; classes 0..K-1."""

    classes: int
    settings: RefitSettings = field(default_factory=RefitSettings)
    machines: list[KernelMachine] = field(default_factory=list)
    stacker: Stacker = field(default_factory=Stacker)
    prior: np.ndarray = field(default_factory=lambda: np.zeros(0))
    report: dict[str, Any] = field(default_factory=dict)

    def fit(
        self, views: list[View], opinion: np.ndarray | None, rows: np.ndarray, labels: np.ndarray,
        groups: np.ndarray, select: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> EmotionRefit:  # fmt: skip
        """Fit on clips ``rows``; everything is chosen on held-out scores of these subjects, or on ``select``
        (rows, labels), the validation subjects, where that is given. opinion: (N, K) zero-shot log odds."""
        weights = balanced_weights(labels)
        targets = np.eye(self.classes)[labels] * 2.0 - 1.0
        self.machines, held = view_scores(views, rows, targets, weights, groups, self.settings.ridge)
        scores = self._with_opinion(held, opinion, rows)
        choose_scores, choose_labels = scores, labels
        if select is not None:
            choose_scores, choose_labels = self._scores(views, opinion, select[0]), select[1]
        row_weights = balanced_weights(choose_labels)
        self.stacker = Stacker(self.settings.stack_ridge).fit_softmax(
            choose_scores, choose_labels, row_weights
        )
        logits = self.stacker.logits(choose_scores)
        shares = np.bincount(labels, minlength=self.classes).clip(1) / len(labels)
        best = (-1.0, 0.0)
        for exponent in self.settings.prior_exponents:
            chosen = (logits + exponent * np.log(shares)).argmax(1)
            best = max(best, (round(macro_f1(choose_labels, chosen, self.classes), 4), -exponent))
        self.prior = -best[1] * np.log(shares)
        self.report = {"views": [view.name for view in views],
                       "weights": self.stacker.weights.round(3).tolist(),
                       "prior_exponent": -best[1], "held_out_uf1": best[0]}  # fmt: skip
        return self

    def probabilities(self, views: list[View], opinion: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        """(n, K) probabilities of clips ``rows``."""
        return softmax(self.stacker.logits(self._scores(views, opinion, rows)) + self.prior)

    def _scores(self, views: list[View], opinion: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        return self._with_opinion(new_scores(self.machines, views, rows), opinion, rows)

    def _with_opinion(self, scores: np.ndarray, opinion: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        if opinion is None:
            return scores
        own = opinion[rows] - opinion[rows].mean(1, keepdims=True)
        return np.concatenate([scores, np.tanh(own[:, None] / 2.0)], axis=1)


@dataclass
class AURefit:
    """One kernel machine a view for all AUs, stacked with the expert's own AU logits; 0.5 decides."""

    aus: tuple[int, ...]
    settings: RefitSettings = field(default_factory=RefitSettings)
    machines: list[KernelMachine] = field(default_factory=list)
    stacker: Stacker = field(default_factory=Stacker)
    thresholds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    level: np.ndarray = field(default_factory=lambda: np.zeros(0))
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0))
    report: dict[str, Any] = field(default_factory=dict)

    def fit(self, views: list[View], opinion: np.ndarray, rows: np.ndarray, labels: np.ndarray,
            groups: np.ndarray, select: tuple[np.ndarray, np.ndarray] | None = None) -> AURefit:  # fmt: skip
        """labels (n, len(aus)) in {0, 1}; opinion (N, len(aus)) the expert's logits."""
        targets = labels * 2.0 - 1.0
        self.machines, held = view_scores(
            views, rows, targets, np.ones(len(rows)), groups, self.settings.ridge
        )
        self.level = (labels.mean(0) * 2.0 - 1.0)[None, None]
        self.centre = opinion[rows].mean(0)
        held = held - self.level
        scores = self._with_opinion(held, opinion, rows)
        choose_scores, choose_labels = scores, labels
        if select is not None:
            choose_scores, choose_labels = self._scores(views, opinion, select[0]), select[1]
        known = np.ones_like(choose_labels, dtype=float)
        self.stacker = Stacker(self.settings.stack_ridge).fit_sigmoid(choose_scores, choose_labels, known)
        held_p = sigmoid(self.stacker.logits(choose_scores))
        self.thresholds = np.array(
            [f1_threshold(held_p[:, k], choose_labels[:, k]) for k in range(len(self.aus))]
        )
        self.report = {
            "weights": self.stacker.weights.round(3).tolist(),
            "thresholds": self.thresholds.round(3).tolist(),
        }
        return self

    def probabilities(self, views: list[View], opinion: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n, len(aus)) probabilities moved so that 0.5 is the threshold."""
        logits = self.stacker.logits(self._scores(views, opinion, rows))
        return sigmoid(logits - np.log(self.thresholds / (1 - self.thresholds)))

    def _scores(self, views: list[View], opinion: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self._with_opinion(new_scores(self.machines, views, rows) - self.level, opinion, rows)

    def _with_opinion(self, scores: np.ndarray, opinion: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own = np.tanh((opinion[rows] - self.centre) / 4.0)
        return np.concatenate([scores, own[:, None]], axis=1)


def au_opinion(reading: Reading, aus: Sequence[int], calibration: dict[str, Any] | None = None) -> np.ndarray:
    """(N, len(aus)) presence logits of the asked AUs; 0 for one that the expert does not know."""
    logits = presence_logits(reading, calibration)
    columns = [AU_INDEX.get(number) for number in aus]
    return np.stack([logits[:, c] if c is not None else np.zeros(len(logits)) for c in columns], 1)
