"""All figures of a run from its predictions: pooled over folds, per corpus, with intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from deft_llm.answer import without_marks
from deft_llm.errors import DeftError
from deft_llm.evaluation import bootstrap, units
from deft_llm.evaluation.calibration import class_calibration, expected_calibration_error
from deft_llm.evaluation.classes import class_f1, class_recall, confusion, resampled_figure, summary
from deft_llm.evaluation.deletion import deletion_scores
from deft_llm.evaluation.faithfulness import consistency, counterfactuals, faithfulness
from deft_llm.evaluation.questions import Reply, question_scores
from deft_llm.evaluation.rows import (
    Run,
    classes_of,
    label_of,
    scorable,
    sort_key,
    spotting_classes_of,
)
from deft_llm.evaluation.spotting import Video, match_counts, spotting_scores
from deft_llm.facs.notation import shown_and_open
from deft_llm.records import Prediction

METRICS_SCHEMA = 2
LEAK_STAMP = (
    "LEAKY: epochs, settings or thresholds were picked on the test subjects (--leak). "
    "These figures only show how much that inflates."
)


def score_run(run: Run) -> dict[str, Any]:
    """Metrics of a run; the same rows in any order give the same figures. Plain JSON."""
    rows = sorted(run.rows, key=sort_key)
    first = rows[0]
    metrics: dict[str, Any] = {
        "schema": METRICS_SCHEMA,
        "method": first.method,
        "task": first.task,
        "seed": first.seed,
        "label_space": first.label_space,
        "leaky": first.leaky,
        "protocol": "zero-shot" if run.settings.zero_shot else run.folds.protocol if run.folds else None,
        "folds": run.folds.hash if run.folds else None,
        "rows": len(rows),
        "clips": len({row.clip_id for row in rows}),
        "subjects": len({row.subject for row in rows}),
        "left_out": len(run.folds.left_out) if run.folds else 0,
        "left_out_because": dict(Counter(run.folds.left_out.values()).most_common()) if run.folds else {},
    }
    if first.leaky:
        metrics["warning"] = LEAK_STAMP
    if first.task == "spotting":
        return metrics | {"spotting": _by_corpus(rows, _spotting)}
    if first.task == "vqa":
        return metrics | {"vqa": _by_corpus(rows, _questions)} | _interpretability(rows)
    if first.task == "emotion":
        scored = scorable(rows)
        if not scored:
            raise DeftError(
                f"{run.path}: no row has a true class (truth.label) to be scored on; give labelled clips."
            )
        classes = classes_of(scored)
        metrics |= {"classes": list(classes), "unscored": len(rows) - len(scored)}
        metrics["emotion"] = _by_corpus(scored, lambda some: emotion_scores(some, classes_of(some)))
        metrics |= _other_labels(scored, classes)
        metrics["per_subject"] = _per_subject(scored)
    coded = [row for row in rows if row.truth.aus is not None]
    if any(row.aus for row in coded):
        metrics["au"] = _by_corpus(coded, lambda some: au_scores(some, _units_of(coded)))
    return metrics | _interpretability(rows)


def _by_corpus(rows: Sequence[Prediction], scores: Callable[[Sequence[Prediction]], Any]) -> dict[str, Any]:
    """Pooled figures, and the same predictions restricted to each corpus where there are several."""
    corpora = sorted({row.corpus for row in rows})
    result = {"pooled": scores(rows)}
    if len(corpora) > 1:
        result["per_corpus"] = {c: scores([row for row in rows if row.corpus == c]) for c in corpora}
    return result


def _truth_labels(rows: Sequence[Prediction]) -> list[str]:
    return [str(row.truth.label) for row in rows]


def subject_tables(
    rows: Sequence[Prediction],
    classes: Sequence[str],
    decide: Callable[[Prediction], str | None] = label_of,
) -> tuple[list[str], np.ndarray]:
    """Subjects and their confusion tables (S, C, C + 1)."""
    groups: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        groups[row.subject].append(row)
    subjects = sorted(groups)
    tables = [confusion(_truth_labels(groups[s]), [decide(r) for r in groups[s]], classes) for s in subjects]
    return subjects, np.stack(tables)


def emotion_scores(rows: Sequence[Prediction], classes: Sequence[str]) -> dict[str, Any]:
    """UF1, UAR, ACC, WF1 with intervals, per class, confusion and calibration of some rows."""
    _, tables = subject_tables(rows, classes)
    pooled = tables.sum(0)
    figures: dict[str, Any] = {"clips": len(rows), "subjects": len(tables)}
    for name, value in summary(pooled).items():
        low, high = bootstrap.interval(tables, partial(resampled_figure, name, pooled))
        figures[name] = {"value": float(value), "low": low, "high": high}
    f1, recall = class_f1(pooled), class_recall(pooled)
    figures["per_class"] = {
        name: {"f1": float(f1[i]), "recall": float(recall[i]), "clips": int(pooled[i].sum())}
        for i, name in enumerate(classes)
    }
    figures["confusion"] = {"classes": list(classes), "table": pooled.tolist()}
    decided, truth = [label_of(row) for row in rows], _truth_labels(rows)
    figures["calibration"] = class_calibration([row.probabilities for row in rows], decided, truth)
    return figures


def _other_labels(rows: Sequence[Prediction], classes: Sequence[str]) -> dict[str, Any]:
    """Beside the head's class: the class read from the text, and coarse and fine classes."""
    result: dict[str, Any] = {}
    if any(row.text_label is not None for row in rows):
        result["text"] = _simple(rows, classes, lambda row: row.truth.label, lambda row: row.text_label)
        agree = [row.text_label == label_of(row) for row in rows if row.text_label is not None]
        result["text"]["agrees_with_head"] = float(np.mean(agree))
    for name in ("coarse", "fine"):
        known = [row for row in rows if getattr(row.truth, name) is not None]
        answered = [row for row in known if getattr(row, name) is not None]
        if not answered or rows[0].label_space == "megc3" and name == "coarse":
            continue
        names = sorted({getattr(row.truth, name) for row in known})
        result[name] = _simple(
            known, names, lambda r, n=name: getattr(r.truth, n), lambda r, n=name: getattr(r, n)
        )
    return result


def _simple(rows: Sequence[Prediction], classes: Sequence[str], truth: Any, decide: Any) -> dict[str, Any]:
    table = confusion([truth(row) for row in rows], [decide(row) for row in rows], classes)
    figures = {name: float(value) for name, value in summary(table).items()}
    return figures | {"clips": len(rows), "no_class": int(table[:, -1].sum())}


def _per_subject(rows: Sequence[Prediction]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        cell = found.setdefault(row.subject, {"clips": 0, "right": 0})
        cell["clips"] += 1
        cell["right"] += label_of(row) == row.truth.label
    return dict(sorted(found.items()))


def _units_of(rows: Sequence[Prediction]) -> list[int]:
    return sorted({int(au) for row in rows for au in row.aus})


def unit_arrays(rows: Sequence[Prediction], aus: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (N, A) and which of its cells are known (N, A), boolean, and probabilities (N, A) of rows that
    were coded; an AU that the coder left open is not known, an AU not given counts as 0."""
    shape = len(rows), len(aus)
    coded = [shown_and_open(row.truth.aus or ()) for row in rows]
    truth = np.array([[au in shown for au in aus] for shown, _ in coded], bool)
    known = np.array([[au not in left_open for au in aus] for _, left_open in coded], bool)
    probability = np.array([[row.aus.get(str(au), 0.0) for au in aus] for row in rows], float)
    return truth.reshape(shape), known.reshape(shape), probability.reshape(shape)


def subject_unit_counts(rows: Sequence[Prediction], aus: Sequence[int]) -> tuple[list[str], np.ndarray]:
    """Subjects and their counts (S, A, 4) of TP, FP, FN, TN."""
    arrays = unit_arrays(rows, aus)
    names = np.array([row.subject for row in rows])
    subjects = sorted(set(names.tolist()))
    counts = []
    for subject in subjects:
        truth, known, probability = (array[names == subject] for array in arrays)
        counts.append(units.unit_counts(truth, probability >= 0.5, known))
    return subjects, np.stack(counts)


def au_scores(rows: Sequence[Prediction], aus: Sequence[int]) -> dict[str, Any]:
    """AU figures with an interval on the headline, calibration over all decisions, and side accuracy."""
    truth, known, probability = unit_arrays(rows, aus)
    figures = units.unit_scores(truth, probability, aus, known)
    present = np.asarray(truth.any(0))
    if present.any():
        _, counts = subject_unit_counts(rows, aus)
        low, high = bootstrap.interval(counts, units.mean_f1_statistic(present))
        figures |= {"mean_f1_low": low, "mean_f1_high": high}
    figures["calibration"] = expected_calibration_error(probability[known], truth[known])
    sides = [
        (
            _true_sides(row),
            {int(au): row.sides.get(au, "both") for au, p in row.aus.items() if p >= 0.5},
        )
        for row in rows
    ]
    figures["sides"] = units.side_accuracy(sides) if any(row.sides for row in rows) else None
    return figures | {"clips": len(rows), "subjects": len({row.subject for row in rows})}


def _true_sides(row: Prediction) -> dict[int, str]:
    """Sides of the AUs that the coder saw, where no alternative ("A/L12") leaves them open."""
    coded = row.truth.aus or []
    shown, _ = shown_and_open(coded)
    return {
        unit.number: unit.side
        for unit in coded
        if unit.number in shown and all(other.side == unit.side for other in unit.alternatives)
    }


def _questions(rows: Sequence[Prediction]) -> dict[str, Any]:
    figures = question_scores(
        [
            Reply(row.clip_id, row.extras.get("question", ""), _written(row), row.truth.answer or "")
            for row in rows
        ]
    )
    return figures | {"answered_by": dict(Counter(row.answered_by or "unknown" for row in rows))}


def _written(row: Prediction) -> str | None:
    """The answer as its model wrote it: what was held against it afterwards is none of its words."""
    return None if row.answer is None else without_marks(row.answer)


def _spotting(rows: Sequence[Prediction]) -> dict[str, Any]:
    def videos(some: Sequence[Prediction]) -> list[Video]:
        return [Video(r.intervals or [], r.truth.intervals or [], r.extras.get("seconds")) for r in some]

    groups: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        groups[row.subject].append(row)
    each = [match_counts(videos(groups[subject])) for subject in sorted(groups)]
    counts = np.array([[cell[name] for name in ("tp", "fp", "fn")] for cell in each])
    low, high = bootstrap.interval(counts, _spotting_f1)
    figures = spotting_scores(videos(rows), spotting_classes_of(rows))
    return figures | {"f1_low": low, "f1_high": high, "videos": len(rows), "subjects": len(groups)}


def _spotting_f1(counts: np.ndarray) -> np.ndarray:
    hits, alarms, misses = counts[..., 0], counts[..., 1], counts[..., 2]
    return 2 * hits / np.maximum(2 * hits + alarms + misses, 1)


def _interpretability(rows: Sequence[Prediction]) -> dict[str, Any]:
    found = {
        "faithfulness": faithfulness(rows),
        "consistency": consistency(rows),
        "counterfactuals": counterfactuals(rows),
        "deletion": deletion_scores(rows),
    }
    return {name: value for name, value in found.items() if value is not None}
