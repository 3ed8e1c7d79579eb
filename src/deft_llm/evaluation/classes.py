"""Class metrics from pooled counts, exactly as MEGC defines them.

F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c), UF1 = mean F1_c, UAR = mean TP_c / n_c, over all folds' predictions
together; a class without truth and predictions scores 0 and still counts (MEGC2019 rules).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def confusion(truth: Sequence[str], predicted: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Counts (C, C + 1): rows truth, columns prediction; the last column holds answers of no class.

    Raises: ValueError where the lengths differ or a truth is no class.
    """
    if len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} truths but {len(predicted)} predictions")
    index = {name: position for position, name in enumerate(classes)}
    unknown = set(truth) - set(index)
    if unknown:
        raise ValueError(f"truth {sorted(unknown)[0]!r} is not among the classes {list(classes)}")
    table = np.zeros((len(classes), len(classes) + 1), np.int64)
    rows = [index[name] for name in truth]
    columns = [index.get(name, len(classes)) if name is not None else len(classes) for name in predicted]
    np.add.at(table, (rows, columns), 1)
    return table


def class_f1(tables: np.ndarray) -> np.ndarray:
    """F1 of each class from confusion tables (..., C, C + 1) -> (..., C); 0 where the class never occurs."""
    true_positive = np.diagonal(tables[..., :, :-1], axis1=-2, axis2=-1).astype(float)
    truths = tables.sum(-1).astype(float)
    answers = tables[..., :, :-1].sum(-2).astype(float)
    return _ratio(2 * true_positive, truths + answers)


def class_recall(tables: np.ndarray) -> np.ndarray:
    """Recall of each class (..., C); 0 where the class has no truth."""
    true_positive = np.diagonal(tables[..., :, :-1], axis1=-2, axis2=-1).astype(float)
    return _ratio(true_positive, tables.sum(-1).astype(float))


def summary(tables: np.ndarray) -> dict[str, np.ndarray]:
    """UF1, UAR, ACC and WF1 of confusion tables (..., C, C + 1)."""
    truths = tables.sum(-1).astype(float)
    total = truths.sum(-1)
    f1 = class_f1(tables)
    correct = np.diagonal(tables[..., :, :-1], axis1=-2, axis2=-1).sum(-1).astype(float)
    return {
        "uf1": f1.mean(-1),
        "uar": class_recall(tables).mean(-1),
        "acc": _ratio(correct, total),
        "wf1": _ratio((f1 * truths).sum(-1), total),
    }


def resampled_figure(name: str, pooled: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """(B,) of the figure ``name`` of ``summary`` in resamples (B, C, C + 1) of the table ``pooled`` (C, C +
    1): a class that nobody in a resample shows, but somebody in ``pooled``, has no F1 and no recall there,
    and is no part of its mean. Without that a perfect method would have an interval."""
    if name not in ("uf1", "uar"):
        return summary(tables)[name]
    each = class_f1(tables) if name == "uf1" else class_recall(tables)
    counts = (tables.sum(-1) > 0) | (pooled.sum(-1) == 0)
    return _ratio((each * counts).sum(-1), counts.sum(-1).astype(float))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)


def class_scores(
    truth: Sequence[str], predicted: Sequence[str | None], classes: Sequence[str]
) -> dict[str, float]:
    """UF1, UAR, ACC, WF1 of label lists."""
    found = summary(confusion(truth, predicted, classes))
    return {name: float(value) for name, value in found.items()}
