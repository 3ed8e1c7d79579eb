"""AU detection: binary F1 per AU and its mean (the headline), macro F1 over {0, 1} and AUROC beside it.

Literature mixes binary and macro F1; they differ by 30 points on the same predictions (field notes on CD6ME),
so both are always named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TP, FP, FN, TN = range(4)


def unit_counts(truth: np.ndarray, predicted: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Counts (A, 4) of TP, FP, FN, TN from boolean (N, A) truth and decisions; only cells that are ``known``
    (N, A) count (None: all)."""
    truth, predicted = truth.astype(bool), predicted.astype(bool)
    known = np.ones_like(truth) if known is None else known
    cells = (truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted)
    return np.stack([(cell & known).sum(0) for cell in cells], axis=-1)


def binary_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of the positive class (..., A) from counts (..., A, 4); 0 where nothing is there."""
    above = 2.0 * counts[..., TP]
    return _ratio(above, above + counts[..., FP] + counts[..., FN])


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean of the positive and the negative class's F1 (..., A)."""
    negative = 2.0 * counts[..., TN]
    return 0.5 * (binary_f1(counts) + _ratio(negative, negative + counts[..., FP] + counts[..., FN]))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)


def auroc(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC of one AU; None where one side is empty."""
    from sklearn.metrics import roc_auc_score

    truth = truth.astype(bool)
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < truth.size else None


def unit_scores(
    truth: np.ndarray, probability: np.ndarray, aus: Sequence[int], known: np.ndarray | None = None
) -> dict[str, Any]:
    """All AU figures of (N, A) truth and probabilities (0.5 decides) over the cells that are ``known`` (N, A;
    None: all).

    ``mean_f1`` is the mean binary F1 over AUs that occur in the truth; AUs that never occur have no recall
    and are listed under ``absent`` with their false alarms instead.
    """
    known = np.ones_like(truth, bool) if known is None else known
    counts = unit_counts(truth, probability >= 0.5, known)
    f1, macro = binary_f1(counts), macro_f1(counts)
    present = np.asarray(truth.any(0))
    rocs = [auroc(truth[known[:, i], i], probability[known[:, i], i]) for i in range(len(aus))]
    areas = [value for value in rocs if value is not None]
    pooled = counts.sum(0)
    return {
        "mean_f1": float(f1[present].mean()) if present.any() else None,
        "mean_macro_f1": float(macro[present].mean()) if present.any() else None,
        "micro_f1": float(binary_f1(pooled[None])[0]),
        "mean_auroc": float(np.mean(areas)) if areas else None,
        "per_au": {
            str(au): {
                "f1": float(f1[i]),
                "macro_f1": float(macro[i]),
                "auroc": rocs[i],
                "positives": int(truth[:, i].sum()),
                "tp": int(counts[i, TP]),
                "fp": int(counts[i, FP]),
                "fn": int(counts[i, FN]),
                "tn": int(counts[i, TN]),
            }
            for i, au in enumerate(aus)
        },
        "absent": {str(au): int(counts[i, FP]) for i, au in enumerate(aus) if not present[i]},
    }


def mean_f1_statistic(present: np.ndarray) -> Any:
    """The headline as a function of summed counts (B, A, 4), over the AUs of ``present`` (A,) only; of
    resamples over those that somebody in them shows."""

    def mean_f1(counts: np.ndarray) -> np.ndarray:
        there = present & (counts[..., TP] + counts[..., FN] > 0)
        return _ratio((binary_f1(counts) * there).sum(-1), there.sum(-1).astype(float))

    return mean_f1


def side_accuracy(rows: Sequence[tuple[Mapping[int, str], Mapping[int, str]]]) -> dict[str, Any]:
    """Of the truly one-sided AUs that were detected: the share whose side was named right.

    rows: per clip (true sides of its AUs, predicted sides of the detected AUs).
    """
    right = total = detected = 0
    for truth, predicted in rows:
        for au, side in truth.items():
            if side not in ("left", "right"):
                continue
            total += 1
            if au in predicted:
                detected += 1
                right += predicted[au] == side
    return {
        "one_sided": total,
        "detected": detected,
        "right": right,
        "accuracy": right / detected if detected else None,
    }
