"""Compares runs on the same clips: paired tests over subjects, and seeds as repeated runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.evaluation import units
from deft_llm.evaluation.bootstrap import paired_test
from deft_llm.evaluation.classes import resampled_figure
from deft_llm.evaluation.rows import Run, classes_of, scorable
from deft_llm.evaluation.score import subject_tables, subject_unit_counts
from deft_llm.files import digest


def headline_of(task: str) -> str:
    """Name of the figure that stands for a task."""
    return {"emotion": "UF1", "au": "mean AU F1", "vqa": "UF1 coarse", "spotting": "F1"}[task]


def headline(metrics: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """(value, low, high) of a run's headline; the interval is None where the task has none."""
    if metrics["task"] == "emotion":
        cell = metrics["emotion"]["pooled"]["uf1"]
        return cell["value"], cell["low"], cell["high"]
    if metrics["task"] == "au":
        cell = metrics.get("au", {}).get("pooled", {})
        return cell.get("mean_f1"), cell.get("mean_f1_low"), cell.get("mean_f1_high")
    if metrics["task"] == "vqa":
        return metrics["vqa"]["pooled"].get("uf1_coarse"), None, None
    cell = metrics["spotting"]["pooled"]
    return cell["f1"], cell["f1_low"], cell["f1_high"]


def compare_runs(first: Run, second: Run) -> dict[str, Any] | None:
    """Paired test of the headline, second - first; None for tasks without per-subject counts.

    Raises: DeftError where the runs were not made on the same clips, task and label space.
    """
    a, b = first.rows, second.rows
    if (a[0].task, a[0].label_space) != (b[0].task, b[0].label_space):
        raise DeftError(f"{second.path}: task or labels differ from {first.path}; compare like with like.")
    keys_a, keys_b = ({(r.clip_id, r.question_id) for r in rows} for rows in (a, b))
    if keys_a != keys_b:
        odd = sorted(keys_a ^ keys_b, key=str)[0]
        raise DeftError(
            f"{second.path}: not the same clips as {first.path} ({len(keys_a ^ keys_b)} differ, "
            f"first "
            f"{odd[0]}); compare runs on the same clips."
        )
    _alike("subjects", [[row.subject for row in rows] for rows in (a, b)], first, second)
    if a[0].task == "emotion":
        scored = [scorable(rows) for rows in (a, b)]
        _alike("true classes", [[row.truth.label for row in rows] for rows in scored], first, second)
        tables = [subject_tables(rows, classes_of(scored[0]))[1] for rows in scored]
        return paired_test(tables[0], tables[1], partial(resampled_figure, "uf1", tables[0].sum(0)))
    if a[0].task == "au":
        aus = sorted({int(au) for row in a for au in row.aus} & {int(au) for row in b for au in row.aus})
        _alike("true Action Units", [[row.truth.aus for row in rows] for rows in (a, b)], first, second)
        coded = [[row for row in rows if row.truth.aus is not None] for rows in (a, b)]
        counts = [subject_unit_counts(rows, aus)[1] for rows in coded]
        present = counts[0].sum(0)[:, [units.TP, units.FN]].sum(-1) > 0
        return paired_test(counts[0], counts[1], units.mean_f1_statistic(present))
    return None


def _alike(name: str, said: Sequence[list[Any]], first: Run, second: Run) -> None:
    """Raise DeftError where two runs differ in what is true of their clips."""
    if said[0] != said[1]:
        raise DeftError(f"{second.path}: its {name} are not those of {first.path}; make it again.")


def repeats(runs: Sequence[Run], metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread of the headline over seeds, of runs that differ in nothing else; of several runs with
    one seed the first counts.

    ``metrics``: of each run. Method, task, labels, protocol, folds, options, weights and data are the same
    within a row; leaky runs stand apart.
    """
    groups: dict[str, dict[int, tuple[Run, float]]] = defaultdict(dict)
    for run, found in zip(runs, metrics, strict=True):
        value, _, _ = headline(found)
        if value is not None:
            keys = ("method", "task", "label_space", "protocol", "folds", "leaky")
            same = [*(found[key] for key in keys), run.settings.options, run.settings.inputs]
            groups[digest(same)].setdefault(found["seed"], (run, value))
    table = []
    for seeds in groups.values():
        first = next(iter(seeds.values()))[0]
        values = [value for _, value in seeds.values()]
        if len(values) > 1:
            table.append(
                {
                    "method": first.name,
                    "metric": headline_of(first.rows[0].task),
                    "seeds": sorted(seeds),
                    "mean": float(np.mean(values)),
                    "sd": float(np.std(values, ddof=1)),
                }
            )
    return table
