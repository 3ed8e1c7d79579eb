"""Calibration of a checkpoint's heads on validation subjects:
AU scale, bias and what counts as sure; class shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit

from deft_llm.methods.refit import f1_threshold
from deft_llm.model.deft import DeftModel
from deft_llm.model.heads import presence_logits
from deft_llm.model.inputs import maps_input
from deft_llm.model.predictor import Predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.training.motion import Samples

EVIDENCE_PRECISION = 0.93
"""What an AU's name in an answer should be worth: share of right ones among validation subjects."""
FEWEST = 5
"""Clips that must show an AU, and as many that must not, for it to be calibrated."""
LEAST_SCALE = 0.1


def calibrate(model: DeftModel, validation: Samples | None, limit: int = 3000) -> dict[str, Any] | None:
    """AU scale and bias so that 0.5 is the F1-optimal threshold on validation subjects; class shares.

    None without ``validation``. Scale: logistic fit of the logit (more certain of the two sides); bias: minus
    the threshold. ``au_sure``: the calibrated logit above which an AU may be named as evidence, from one
    probability for all AUs at which ``EVIDENCE_PRECISION`` of the named ones are there.
    """
    from sklearn.linear_model import LogisticRegression

    if validation is None:
        return None
    batch = validation.take(np.arange(min(limit, len(validation))))
    readout = Predictor(model).read([maps_input(maps[:1]) for maps in batch.maps])
    logits, truth = presence_logits(readout), batch.side.max(-1)
    scale, bias, cut = np.ones(len(EXPERT_AUS)), np.zeros(len(EXPERT_AUS)), np.zeros(len(EXPERT_AUS))
    chance, fitted = np.zeros(truth.shape), np.zeros(truth.shape, bool)
    for k in range(len(EXPERT_AUS)):
        sure = batch.known[:, k] > 0
        y = truth[sure, k]
        if not FEWEST <= y.sum() <= len(y) - FEWEST:
            continue
        fit = LogisticRegression(C=10.0).fit(logits[sure, k : k + 1], y)
        scale[k] = max(float(fit.coef_[0, 0]), LEAST_SCALE)
        p = expit(scale[k] * logits[sure, k] + float(fit.intercept_[0]))
        cut[k] = logit(f1_threshold(p, y))
        bias[k] = float(fit.intercept_[0]) - cut[k]
        chance[sure, k], fitted[sure, k] = p, True
    sure_from = logit(precise_from(chance[fitted], truth[fitted], EVIDENCE_PRECISION)) - cut
    return {"au_scale": scale.round(4).tolist(), "au_bias": bias.round(4).tolist(),
            "au_sure": sure_from.round(4).tolist(), "class_shares": class_shares(batch.coarse)}  # fmt: skip


def class_shares(coarse: np.ndarray) -> list[float]:
    """Share of each coarse class among labels (N,), -1 for none; each counted once more, so none is 0."""
    counts = np.bincount(coarse[coarse >= 0], minlength=len(COARSE)) + 1.0
    return (counts / counts.sum()).round(4).tolist()  # type: ignore[no-any-return]


def precise_from(p: np.ndarray, truth: np.ndarray, precision: float) -> float:
    """The lowest of ``p`` (N,) from which on at least ``precision`` of the statements are true (N,)."""
    order = np.argsort(-p, kind="stable")
    right = np.cumsum(truth[order]) / np.arange(1, len(p) + 1)
    good = np.flatnonzero(right >= precision)
    return float(np.clip(p[order][good[-1]] if len(good) else p.max(initial=0.5), 0.5, 0.999))
