"""Calibration of a checkpoint's heads on validation subjects:
AU scale and bias; class shares."""

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

FEWEST = 5
"""Clips that must show an AU, and as many that must not, for it to be calibrated."""
LEAST_SCALE = 0.1


def calibrate(model: DeftModel, validation: Samples | None, limit: int = 3000) -> dict[str, Any] | None:
    """AU scale and bias so that 0.5 is the F1-optimal threshold on validation subjects; class shares.

    None without ``validation``. Scale: logistic fit of the logit (more certain of the two sides); bias: minus
    the threshold.
    """
    from sklearn.linear_model import LogisticRegression

    if validation is None:
        return None
    batch = validation.take(np.arange(min(limit, len(validation))))
    readout = Predictor(model).read([maps_input(maps[:1]) for maps in batch.maps])
    logits, truth = presence_logits(readout), batch.side.max(-1)
    scale, bias = np.ones(len(EXPERT_AUS)), np.zeros(len(EXPERT_AUS))
    for k in range(len(EXPERT_AUS)):
        sure = batch.known[:, k] > 0
        y = truth[sure, k]
        if not FEWEST <= y.sum() <= len(y) - FEWEST:
            continue
        fit = LogisticRegression(C=10.0).fit(logits[sure, k : k + 1], y)
        scale[k] = max(float(fit.coef_[0, 0]), LEAST_SCALE)
        p = expit(scale[k] * logits[sure, k] + float(fit.intercept_[0]))
        bias[k] = float(fit.intercept_[0]) - logit(f1_threshold(p, y))
    return {"au_scale": scale.round(4).tolist(), "au_bias": bias.round(4).tolist(),
            "class_shares": class_shares(batch.coarse)}  # fmt: skip


def class_shares(coarse: np.ndarray) -> list[float]:
    """Share of each coarse class among labels (N,), -1 for none; each counted once more, so none is 0."""
    counts = np.bincount(coarse[coarse >= 0], minlength=len(COARSE)) + 1.0
    return (counts / counts.sum()).round(4).tolist()  # type: ignore[no-any-return]
