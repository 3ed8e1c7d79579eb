"""The refit on a fold: kernel machines on frozen expert features and relative pixels, stacked on held-out
scores with the checkpoint's own logits.

Everything that is chosen (how much each feature set counts, calibration, thresholds) is chosen on
leave-one-subject-out scores *inside* the fold's own subjects; these come in closed form from one matrix
inverse per feature set (kernel ridge regression with grouped hold-out; Rifkin & Lippert 2007), so 68 folds
take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax

from deft_llm.methods.decisions import OPEN, unit_shares

TINY = 1e-12
SOFTMAX_PULL, SIGMOID_PULL = 0.01, 0.003  # penalties of the stacker's weights, per unit of its ridge
OWN_PULL = 0.003  # the same, of what an output's own weights differ by from those of all
BIAS_PULL = 1e-3
START_WEIGHT = 3.0  # of all feature sets together, before the stacker is fitted
START_SHARES = (0.005, 0.9)  # of positives, between which the first bias lies
FEW_POSITIVES = 15.0  # at which empirical and plug-in threshold count alike
THRESHOLDS = (0.01, 0.95)


@dataclass
class RefitSettings:
    """ridge: of the kernel machines; stack_ridge: pull of the stacker to equal weights."""

    ridge: float = 0.6
    stack_ridge: float = 0.3
    prior_exponents: tuple[float, ...] = (0.0, 0.25, 0.5)


class KernelMachine:
    """Kernel ridge regression of targets (n, K) on one feature set, held-out scores in closed form."""

    def __init__(self, ridge: float) -> None:
        self.ridge = ridge

    def fit(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """Fit on features (n, D) with row weights (n,); returns held-out scores (n, K) by group."""
        from sklearn.metrics.pairwise import rbf_kernel

        self.mean, self.scale = features.mean(0), features.std(0) + 1e-6
        x = self._scaled(features)
        self.gamma = 1.0 / x.shape[1]
        kernel = rbf_kernel(x, x, self.gamma) + 1.0
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
        from sklearn.metrics.pairwise import rbf_kernel

        found: np.ndarray = (rbf_kernel(self._scaled(features), self.rows, self.gamma) + 1.0) @ self.alpha
        return found

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.scale


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """(N,) weights that give every class the same total, mean 1."""
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    found: np.ndarray = (len(labels) / (len(values) * counts))[inverse]
    return found


def fitted_machines(
    sets: Sequence[np.ndarray], rows: np.ndarray, targets: np.ndarray, weights: np.ndarray,
    groups: np.ndarray, ridge: float,
) -> tuple[list[KernelMachine], np.ndarray]:  # fmt: skip
    """One machine per feature set (N, M, D) of M mirror images, fitted on clips ``rows``, and their held-out
    scores (n, V, K), mirror images averaged."""
    machines, held = [], []
    for features in sets:
        chosen = features[rows]
        mirrors = chosen.shape[1]
        repeat = lambda a, m=mirrors: np.repeat(a, m, axis=0)  # noqa: E731
        machine = KernelMachine(ridge)
        out = machine.fit(
            chosen.reshape(-1, chosen.shape[2]), repeat(targets), repeat(weights), repeat(groups)
        )
        machines.append(machine)
        held.append(out.reshape(len(rows), mirrors, -1).mean(1))
    return machines, np.stack(held, 1)


def new_scores(machines: Sequence[KernelMachine], sets: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Scores (n, V, K) of clips ``rows``, mirror images averaged."""
    found = []
    for machine, features in zip(machines, sets, strict=True):
        chosen = features[rows]
        flat = machine.scores(chosen.reshape(-1, chosen.shape[2]))
        found.append(flat.reshape(len(rows), chosen.shape[1], -1).mean(1))
    return np.stack(found, 1)


@dataclass
class Stacker:
    """Softmax (or sigmoid) over weighted feature sets: few parameters, pulled to equal weights.

    logits[k] = sum_v w_vk score[v, k] + bias_k: ``weights`` (V, K), alike for all classes of a softmax; of a
    sigmoid each output's own, pulled to those that fit all outputs together.
    """

    ridge: float = 1.0
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def fit_softmax(self, scores: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Stacker:
        """scores (n, V, K), labels (n,) in 0..K-1, row weights (n,)."""
        count, sets, classes = scores.shape
        target = np.eye(classes)[labels]

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            weights, bias = theta[:sets], theta[sets:]
            told = log_softmax(np.einsum("nvk,v->nk", scores, weights) + bias, 1)
            loss = -(rows * told[np.arange(count), labels]).sum() / count
            error = rows[:, None] * (np.exp(told) - target) / count
            off = weights - weights.mean()
            pull = self.ridge * SOFTMAX_PULL
            loss += pull * (off @ off) + BIAS_PULL * bias @ bias
            gradient = np.einsum("nvk,nk->v", scores, error) + 2 * pull * off
            return loss, np.concatenate([gradient, error.sum(0) + 2 * BIAS_PULL * bias])

        weights, self.bias = _minimised(objective, np.full(sets, START_WEIGHT / sets), np.zeros(classes))
        self.weights = np.repeat(weights[:, None], classes, 1)
        return self

    def fit_sigmoid(self, scores: np.ndarray, labels: np.ndarray) -> Stacker:
        """scores (n, V, K), labels (n, K) in {0, 1} or OPEN, which count for nothing."""
        sets, outputs = scores.shape[1:]
        start = logit(np.clip(unit_shares(labels), *START_SHARES))
        alike, bias = _minimised(
            lambda theta: _logistic(theta, scores, labels, None, self.ridge * SIGMOID_PULL),
            np.full(sets, START_WEIGHT / sets), start,
        )  # fmt: skip
        own = [
            _minimised(
                lambda theta, k=k: _logistic(  # type: ignore[misc]
                    theta, scores[:, :, [k]], labels[:, [k]], alike, self.ridge * OWN_PULL
                ),
                alike, bias[[k]],
            )
            for k in range(outputs)
        ]  # fmt: skip
        self.weights = np.stack([weights for weights, _ in own], 1)
        self.bias = np.concatenate([bias for _, bias in own])
        return self

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits (n, K) of scores (n, V, K)."""
        return np.einsum("nvk,vk->nk", scores, self.weights) + self.bias


def _logistic(
    theta: np.ndarray, scores: np.ndarray, labels: np.ndarray, centre: np.ndarray | None, pull: float
) -> tuple[float, np.ndarray]:
    """Loss and gradient of one sigmoid per output (n, K), weights (V,) shared by them and pulled to
    ``centre``, to one another where that is None; ``theta``: weights and biases."""
    sets, known = scores.shape[1], labels != OPEN
    weights, count = theta[:sets], max(int(known.sum()), 1)
    p = expit(np.einsum("nvk,v->nk", scores, weights) + theta[sets:])
    told = labels * np.log(p + TINY) + (1 - labels) * np.log(1 - p + TINY)
    error = np.where(known, p - labels, 0.0) / count
    off = weights - (weights.mean() if centre is None else centre)
    loss = -np.where(known, told, 0.0).sum() / count + pull * (off @ off)
    gradient = np.einsum("nvk,nk->v", scores, error) + 2 * pull * off
    return loss, np.concatenate([gradient, error.sum(0)])


def _minimised(objective: Any, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of 0 and more, and biases, of the least ``objective``, from these on."""
    bounds = [(0.0, None)] * len(weights) + [(None, None)] * len(bias)
    start = np.concatenate([weights, bias])
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return theta[: len(weights)], theta[len(weights) :]


@dataclass
class EmotionRefit:
    """Kernel machines on feature sets, stacked with the zero-shot prior logits; classes 0..K-1.

    ``sets``: feature sets (N, M, D) of all clips, ``prior``: (N, K) zero-shot log probabilities or None where
    the checkpoint does not know the classes; ``rows`` choose clips.
    """

    classes: int
    settings: RefitSettings = field(default_factory=RefitSettings)
    machines: list[KernelMachine] = field(default_factory=list)
    stacker: Stacker = field(default_factory=Stacker)
    shift: np.ndarray = field(default_factory=lambda: np.zeros(0))
    report: dict[str, Any] = field(default_factory=dict)

    def fit(
        self, sets: Sequence[np.ndarray], prior: np.ndarray | None, rows: np.ndarray, labels: np.ndarray,
        groups: np.ndarray, select: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> EmotionRefit:  # fmt: skip
        """Fit on clips ``rows`` with labels (n,) and subjects ``groups`` (n,); everything is chosen on
        held-out scores of these subjects, or on ``select`` (rows, labels), validation subjects, where that
        is given."""
        targets = np.eye(self.classes)[labels] * 2.0 - 1.0
        self.machines, held = fitted_machines(
            sets, rows, targets, balanced_weights(labels), groups, self.settings.ridge
        )
        scores, known = self._with_prior(held, prior, rows), labels
        if select is not None:
            scores, known = self._scores(sets, prior, select[0]), select[1]
        self.stacker = Stacker(self.settings.stack_ridge).fit_softmax(scores, known, balanced_weights(known))
        logits = self.stacker.logits(scores)
        shares = np.bincount(labels, minlength=self.classes).clip(1) / len(labels)
        best = (-1.0, 0.0)
        for exponent in self.settings.prior_exponents:
            chosen = (logits + exponent * np.log(shares)).argmax(1)
            best = max(best, (round(macro_f1(known, chosen, self.classes), 4), -exponent))
        self.shift = -best[1] * np.log(shares)
        self.report = {"weights": self.stacker.weights.round(3).tolist(), "prior_exponent": -best[1],
                       "held_out_uf1": best[0]}  # fmt: skip
        return self

    def probabilities(
        self, sets: Sequence[np.ndarray], prior: np.ndarray | None, rows: np.ndarray
    ) -> np.ndarray:
        """(n, K) probabilities of clips ``rows``."""
        found: np.ndarray = softmax(self.stacker.logits(self._scores(sets, prior, rows)) + self.shift, 1)
        return found

    def _scores(self, sets: Sequence[np.ndarray], prior: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        return self._with_prior(new_scores(self.machines, sets, rows), prior, rows)

    def _with_prior(self, scores: np.ndarray, prior: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        if prior is None:
            return scores
        own = prior[rows] - prior[rows].mean(1, keepdims=True)
        return np.concatenate([scores, np.tanh(own[:, None] / 2.0)], axis=1)


@dataclass
class AURefit:
    """One kernel machine per feature set for K AUs, stacked with the experts' own AU logits; 0.5 decides.

    Coders of a corpus code some AUs together: so a further machine reads each AU from the probabilities of
    all of them (stacked generalisation, Wolpert 1992; for multi-label data Godbole & Sarawagi 2004) and is
    stacked with the others. ``sets`` and ``rows`` as for ``EmotionRefit``; ``prior``: (N, K) the experts'
    presence logits; ``held``: (n, K) held-out probabilities of the clips it was fitted on.
    """

    settings: RefitSettings = field(default_factory=RefitSettings)
    machines: list[KernelMachine] = field(default_factory=list)
    each: Stacker = field(default_factory=Stacker)
    together: KernelMachine = field(default_factory=lambda: KernelMachine(RefitSettings.ridge))
    stacker: Stacker = field(default_factory=Stacker)
    thresholds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    level: np.ndarray = field(default_factory=lambda: np.zeros(0))
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0))
    held: np.ndarray = field(default_factory=lambda: np.zeros(0))
    report: dict[str, Any] = field(default_factory=dict)

    def fit(
        self, sets: Sequence[np.ndarray], prior: np.ndarray, rows: np.ndarray, labels: np.ndarray,
        groups: np.ndarray, select: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> AURefit:  # fmt: skip
        """Fit on clips ``rows`` with labels (n, K) in {0, 1}, or OPEN: the machines see an open one as the
        AU's mean, nothing else does; ``groups`` and ``select`` as in ``EmotionRefit``."""
        shares, ridge = unit_shares(labels), self.settings.stack_ridge
        targets = np.where(labels == OPEN, shares, labels) * 2.0 - 1.0
        weights = np.ones(len(rows))
        self.machines, held = fitted_machines(sets, rows, targets, weights, groups, self.settings.ridge)
        self.level = (shares * 2.0 - 1.0)[None, None]
        self.centre = prior[rows].mean(0)
        own = self._with_prior(held - self.level, prior, rows)
        chosen, known = own, labels
        if select is not None:
            chosen, known = self._of_each(sets, prior, select[0]), select[1]
        self.each = Stacker(ridge).fit_sigmoid(chosen, known)
        self.together = KernelMachine(self.settings.ridge)
        held = self.together.fit(self._told(own), targets, weights, groups)
        own = np.concatenate([own, held[:, None] - self.level], axis=1)
        chosen = own if select is None else self._with_together(chosen)
        self.stacker = Stacker(ridge).fit_sigmoid(chosen, known)
        held_p = expit(self.stacker.logits(chosen))
        self.thresholds = np.array([f1_threshold(p, truth) for p, truth in zip(held_p.T, known.T)])
        self.held = self._moved(own)
        self.report = {
            "weights": self.stacker.weights.round(3).tolist(),
            "thresholds": self.thresholds.round(3).tolist(),
        }
        return self

    def probabilities(self, sets: Sequence[np.ndarray], prior: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n, K) probabilities moved so that 0.5 is the threshold."""
        return self._moved(self._with_together(self._of_each(sets, prior, rows)))

    def _moved(self, scores: np.ndarray) -> np.ndarray:
        found: np.ndarray = expit(self.stacker.logits(scores) - logit(self.thresholds))
        return found

    def _with_together(self, own: np.ndarray) -> np.ndarray:
        """Scores (n, V + 1, K) of each AU by itself (n, V, K) and from all of them."""
        beside = self.together.scores(self._told(own))[:, None] - self.level
        return np.concatenate([own, beside], axis=1)

    def _of_each(self, sets: Sequence[np.ndarray], prior: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scores (n, V, K) of each AU by itself."""
        return self._with_prior(new_scores(self.machines, sets, rows) - self.level, prior, rows)

    def _told(self, own: np.ndarray) -> np.ndarray:
        """(n, K) probabilities by each AU's own scores (n, V, K): what the AUs tell of one another."""
        found: np.ndarray = expit(self.each.logits(own))
        return found

    def _with_prior(self, scores: np.ndarray, prior: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own = np.tanh((prior[rows] - self.centre) / 4.0)
        return np.concatenate([scores, own[:, None]], axis=1)


def f1_threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    """Threshold of the highest F1 on held-out probabilities (n,), drawn towards the plug-in optimum of
    calibrated ones, the more the fewer positives there are: their empirical optimum alone is noise. F*/2 is
    the optimum where p is calibrated (Lipton 2014). Clips whose ``truth`` (n,) is OPEN do not count; .5 where
    all are."""
    known = truth != OPEN
    if not known.any():
        return 0.5
    probability, truth = probability[known], truth[known]
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
    share = truth.sum() / (truth.sum() + FEW_POSITIVES)
    return float(np.clip(share * empirical + (1 - share) * calibrated, *THRESHOLDS))


def macro_f1(truth: np.ndarray, chosen: np.ndarray, classes: int) -> float:
    """Unweighted mean of F1 over classes 0..K-1; a class that nobody has counts 0."""
    from sklearn.metrics import f1_score

    return float(
        f1_score(truth, chosen, labels=np.arange(classes), average="macro", zero_division=0)  # type: ignore[call-arg]
    )
