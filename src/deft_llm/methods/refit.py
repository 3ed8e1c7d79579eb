"""The per-fold refit: kernel machines on frozen expert features and relative pixels, stacked on held-out
scores.

Everything that is chosen (how much each view counts, calibration, thresholds) is chosen on
leave-one-subject-out
scores *inside* the fold's own subjects; these come in closed form from one matrix inverse per view
(kernel ridge regression with grouped hold-out; Rifkin & Lippert 2007), so 68 folds take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class RefitSettings:
    """ridge: of the kernel machines; stack_ridge: pull of the stacker to equal weights."""

    ridge: float = 0.6
    stack_ridge: float = 0.3
    prior_exponents: tuple[float, ...] = (0.0, 0.25, 0.5)


def rbf(first: np.ndarray, second: np.ndarray, gamma: float) -> np.ndarray:
    """Gaussian kernel of rows, float64."""
    distance = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2.0 * first @ second.T
    return np.exp(-gamma * np.maximum(distance, 0.0))


@dataclass
class View:
    """One view of all clips: features (N, M, D) for M mirror images, and the kernel width over their
    variance."""

    name: str
    features: np.ndarray
    width: float = 1.0


class KernelMachine:
    """Kernel ridge regression of targets (n, K) on one view, with grouped hold-out scores in closed form."""

    def __init__(self, ridge: float, width: float) -> None:
        self.ridge, self.width = ridge, width

    def fit(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """Fit on features (n, D) with row weights (n,); returns held-out scores (n, K) by group."""
        self.mean, self.scale = features.mean(0), features.std(0) + 1e-6
        x = self._scaled(features)
        self.gamma = self.width / x.shape[1]
        kernel = rbf(x, x, self.gamma) + 1.0
        inverse = np.linalg.inv(kernel + np.diag(self.ridge / weights))
        self.rows, self.alpha = x, inverse @ targets
        held = np.empty_like(targets, dtype=np.float64)
        for group in np.unique(groups):
            inside = np.flatnonzero(groups == group)
            # Held-out residual of a block: (C_gg)^-1 alpha_g, with C the inverse of the regularised kernel.
            held[inside] = targets[inside] - np.linalg.solve(
                inverse[np.ix_(inside, inside)], self.alpha[inside]
            )
        return held

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores (n, K) of new rows."""
        return (rbf(self._scaled(features), self.rows, self.gamma) + 1.0) @ self.alpha

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.scale


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Row weights that give every class the same total, mean 1."""
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(values) * counts))[inverse]


def view_scores(
    views: Sequence[View], rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, groups: np.ndarray,
    ridge: float,
) -> tuple[list[KernelMachine], np.ndarray]:  # fmt: skip
    """Machines of all views fitted on clips ``rows``, and their held-out scores (n, V, K), mirrors
    averaged."""
    machines, held = [], []
    for view in views:
        chosen = view.features[rows]
        mirrors = chosen.shape[1]
        repeat = lambda a, m=mirrors: np.repeat(a, m, axis=0)  # noqa: E731
        machine = KernelMachine(ridge, view.width)
        out = machine.fit(
            chosen.reshape(-1, chosen.shape[2]), repeat(targets), repeat(weights), repeat(groups)
        )
        machines.append(machine)
        held.append(out.reshape(len(rows), mirrors, -1).mean(1))
    return machines, np.stack(held, 1)


def new_scores(machines: Sequence[KernelMachine], views: Sequence[View], rows: np.ndarray) -> np.ndarray:
    """Scores (n, V, K) of clips ``rows``, mirrors averaged."""
    found = []
    for machine, view in zip(machines, views, strict=True):
        chosen = view.features[rows]
        flat = machine.scores(chosen.reshape(-1, chosen.shape[2]))
        found.append(flat.reshape(len(rows), chosen.shape[1], -1).mean(1))
    return np.stack(found, 1)


@dataclass
class Stacker:
    """Softmax (or sigmoid) over weighted views: few parameters, pulled to equal weights.

    logits[k] = sum_v w_v score[v, k] * gain + bias_k; w and gain are shared by classes (or AUs).
    """

    ridge: float = 1.0
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def fit_softmax(self, scores: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Stacker:
        """scores (n, V, K), labels (n,) in 0..K-1, row weights (n,)."""
        from scipy.optimize import minimize

        count, views, classes = scores.shape
        target = np.eye(classes)[labels]
        start = np.concatenate([np.full(views, 3.0 / views), np.zeros(classes)])

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            weights, bias = theta[:views], theta[views:]
            logits = np.einsum("nvk,v->nk", scores, weights) + bias
            logits -= logits.max(1, keepdims=True)
            p = np.exp(logits)
            p /= p.sum(1, keepdims=True)
            loss = -(rows * np.log(p[np.arange(count), labels] + 1e-12)).sum() / count
            error = rows[:, None] * (p - target) / count
            off = weights - weights.mean()
            pull = self.ridge * 0.01
            loss += pull * (off @ off) + 1e-3 * bias @ bias
            gradient = np.einsum("nvk,nk->v", scores, error) + 2 * pull * off
            return loss, np.concatenate([gradient, error.sum(0) + 2e-3 * bias])

        bounds = [(0.0, None)] * views + [(None, None)] * classes
        theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        self.weights, self.bias = theta[:views], theta[views:]
        return self

    def fit_sigmoid(self, scores: np.ndarray, labels: np.ndarray, known: np.ndarray) -> Stacker:
        """scores (n, V, K), labels and known (n, K): one sigmoid per output, view weights shared by all."""
        from scipy.optimize import minimize

        count, views, outputs = scores.shape
        prevalence = np.clip((labels * known).sum(0) / known.sum(0).clip(1), 0.005, 0.9)
        start = np.concatenate([np.full(views, 3.0 / views), np.log(prevalence / (1 - prevalence))])

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            weights, bias = theta[:views], theta[views:]
            logits = np.clip(np.einsum("nvk,v->nk", scores, weights) + bias, -30, 30)
            p = 1 / (1 + np.exp(-logits))
            total = known.sum()
            loss = (
                -(known * (labels * np.log(p + 1e-12) + (1 - labels) * np.log(1 - p + 1e-12))).sum() / total
            )
            error = known * (p - labels) / total
            off = weights - weights.mean()
            pull = self.ridge * 0.003
            gradient = np.einsum("nvk,nk->v", scores, error) + 2 * pull * off
            return loss + pull * (off @ off), np.concatenate([gradient, error.sum(0)])

        bounds = [(0.0, None)] * views + [(None, None)] * outputs
        theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        self.weights, self.bias = theta[:views], theta[views:]
        return self

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits (n, K) of scores (n, V, K)."""
        return np.einsum("nvk,v->nk", scores, self.weights) + self.bias


def f1_threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    """Threshold of the highest F1 on held-out probabilities, half-way to the plug-in optimum of calibrated
    ones.

    With few positives the empirical optimum alone is noise; F*/2 is the optimum when p is calibrated
    (Lipton 2014).
    """
    order = np.argsort(-probability)
    hits = np.cumsum(truth[order])
    size = np.arange(1, len(order) + 1)
    f1 = 2 * hits / (size + max(truth.sum(), 1))
    best = int(np.argmax(f1))
    ranked = probability[order]
    empirical = 0.5 * (ranked[best] + (ranked[best + 1] if best + 1 < len(ranked) else ranked[best]))
    expected = np.cumsum(ranked)
    plug = 2 * expected / (size + probability.sum())
    calibrated = 0.5 * float(plug.max())
    share = truth.sum() / (truth.sum() + 15.0)
    return float(np.clip(share * empirical + (1 - share) * calibrated, 0.01, 0.95))


def macro_f1(truth: np.ndarray, chosen: np.ndarray, classes: int) -> float:
    """Unweighted mean of F1 over classes; a class that nobody has counts 0."""
    total = 0.0
    for k in range(classes):
        hit = float(((truth == k) & (chosen == k)).sum())
        both = float((truth == k).sum() + (chosen == k).sum())
        total += 2 * hit / both if both else 0.0
    return total / classes
