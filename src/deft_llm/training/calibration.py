"""Calibration of a checkpoint's heads on validation subjects: AU scale and bias, of AUs that were measured in
px with what the flow supports as well; class shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from deft_llm.methods.refit import f1_threshold
from deft_llm.model.deft import DeftModel
from deft_llm.model.heads import Calibration, Measured, presence_logits
from deft_llm.model.inputs import maps_input
from deft_llm.model.predictor import Predictor
from deft_llm.model.readout import Readout
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.training.motion import Samples
from deft_llm.training.store_data import StoreData

FEWEST = 5
"""Clips that must show an AU, and as many that must not, for it to be calibrated."""
LEAST_SCALE = 0.1
PULL = 0.01
"""Penalty of the weight of what the flow supports, in spreads of it."""


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


def calibrate_measured(
    readout: Readout, held: StoreData, calibration: Calibration, *, supported: bool = True
) -> dict[str, list[float]] | None:
    """``heads.Measured``, from the ``readout`` of clips ``held`` of subjects of whom the face experts did not
    learn: per AU a logistic function of the experts' logit and what the flow supports, alike for both sides,
    with .5 where the F1 of its presence is best. An AU that fewer than FEWEST clips show keeps
    ``calibration``. ``supported`` False: of the experts' logit alone. None where no clip was measured in
    px."""
    assert readout.support is not None
    support = readout.support.numpy()
    known = np.isfinite(support).all(-1) & (held.known > 0)
    if not known.any():
        return None
    seen_of = np.stack([readout.au.numpy(), support], -1)
    scale, shift = calibration["au_scale"], calibration["au_bias"]
    before = calibration.get("measured") or Measured(scale, np.zeros_like(scale), shift)._asdict()
    found = Measured(**{name: np.array(values, float) for name, values in before.items()})
    for k in range(len(EXPERT_AUS)):
        seen, truth = seen_of[known[:, k], k], held.side[known[:, k], k]
        shown = truth.max(-1)
        if not FEWEST <= shown.sum() <= len(shown) - FEWEST:
            continue
        weights, bias = _logistic(seen, truth, supported)
        chances = expit((seen @ weights + bias).max(-1))
        found.au[k], found.support[k] = weights
        found.bias[k] = bias - logit(f1_threshold(chances, shown))
    return {name: values.round(4).tolist() for name, values in found._asdict().items()}


def _logistic(seen: np.ndarray, truth: np.ndarray, supported: bool) -> tuple[np.ndarray, float]:
    """Weights (2,) and bias of ``seen`` (n, 2, 2), the experts' logits and what the flow supports, for truth
    (n, 2) on both sides: the first from LEAST_SCALE on, the other from 0 on, or 0."""
    spread = seen.std((0, 1)) + 1e-6
    rows, wanted = (seen / spread).reshape(-1, 2), truth.reshape(-1).astype(float)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = rows @ theta[:2] + theta[2]
        error = (expit(logits) - wanted) / len(wanted)
        value = (np.logaddexp(0, logits) - wanted * logits).mean() + PULL * theta[1] ** 2
        return value, np.r_[rows.T @ error + [0.0, 2 * PULL * theta[1]], error.sum()]

    bounds = [(LEAST_SCALE * spread[0], None), (0, None if supported else 0), (None, None)]
    theta = minimize(loss, [spread[0], 0.0, -1.0], jac=True, bounds=bounds, method="L-BFGS-B").x
    return theta[:2] / spread, float(theta[2])


def class_shares(coarse: np.ndarray) -> list[float]:
    """Share of each coarse class among labels (N,), -1 for none; each counted once more, so none is 0."""
    counts = np.bincount(coarse[coarse >= 0], minlength=len(COARSE)) + 1.0
    return (counts / counts.sum()).round(4).tolist()  # type: ignore[no-any-return]
