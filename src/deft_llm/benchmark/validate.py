"""What a licence holder may publish of their corpus: zero-shot, LOSO, AU support and the label-motion gap.

The report holds sums over the corpus only: no clip, subject, face or path, and no cell of 1 to FEW - 1
clips. The runs behind it do name clips and subjects; they stay in the folder ``private``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.aus.support import measure_support
from deft_llm.aus.verdict import judge
from deft_llm.benchmark.runner import run_benchmark
from deft_llm.benchmark.settings import BenchmarkSettings
from deft_llm.errors import DeftError
from deft_llm.evaluation.report import Table, markdown_table
from deft_llm.evaluation.units import auroc
from deft_llm.evaluation.words import figure
from deft_llm.facs.units import name as unit_name
from deft_llm.files import claim_folder, write_json, write_text
from deft_llm.store import Store

FEW = 5
REPORT = "report.json"
LOSO_METHODS = ("majority", "svm", "deft")


def validate_corpus(
    name: str,
    store: Path,
    out: Path,
    *,
    labels: str = "megc3",
    seed: int = 0,
    workers: int = 2,
    methods: Sequence[str] = LOSO_METHODS,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run all parts and write report.json and report.md into ``out``; a part that cannot run says why."""
    opened = Store(store)
    claim_folder(out, REPORT)
    report: dict[str, Any] = {
        "corpus": name,
        "labels": labels,
        "seed": seed,
        "facts": _facts(opened),
        "runs": [],
    }
    coded = any(clip.has_aus for clip in opened.clips)
    jobs = [("deft", True, "emotion")] + ([("deft", True, "au")] if coded else [])
    jobs += [(method, False, "emotion") for method in methods]
    jobs += [(method, False, "au") for method in methods if coded and method != "majority"]
    for method, zero_shot, task in jobs:
        words = f"{method} {task} {'zero-shot' if zero_shot else 'LOSO'}"
        say(words)
        settings = BenchmarkSettings(
            corpora=[name],
            method=method,
            task=task,  # type: ignore[arg-type]
            labels=labels,
            zero_shot=zero_shot,
            seed=seed,  # type: ignore[arg-type]
            protocol="zero-shot" if zero_shot else "loso",
            workers=workers,
        )
        run = out / "private" / words.replace(" ", "-")
        try:
            metrics = run_benchmark(run, [store], settings)
        except DeftError as error:
            report["runs"].append({"run": words, "not_run": _without_paths(str(error))})
            continue
        report["runs"].append({"run": words, **_public(metrics)})
    say("AU support")
    try:
        report["support"] = support_of_labels(opened) if coded else None
    except DeftError as error:
        report["support"], report["support_not_run"] = None, _without_paths(str(error))
    write_json(out / REPORT, report)
    write_text(out / "report.md", _markdown(report))
    return report


def _without_paths(text: str) -> str:
    """Messages name folders; a public report keeps their last part."""
    return re.sub(r"(?<!\w)/\S*/", "", text)


def _facts(store: Store) -> dict[str, Any]:
    clips = store.clips
    return {
        "clips": len(clips),
        "subjects": len({clip.subject for clip in clips}),
        "not_prepared": len(store.failures),
        "faces": any("faces" in row.has for row in store.rows.values()),
        "aus_coded": sum(clip.has_aus for clip in clips),
        "coding": sorted({clip.coding for clip in clips if clip.coding})[:5],
    }


def _public(metrics: dict[str, Any]) -> dict[str, Any]:
    """The part of a run's metrics that names nobody."""
    shared = {key: metrics[key] for key in ("task", "clips", "subjects", "left_out", "leaky")}
    if "emotion" in metrics:
        pooled = metrics["emotion"]["pooled"]
        shared |= {key: pooled[key] for key in ("uf1", "uar", "acc", "wf1")}
        shared["per_class"] = {
            label: cell for label, cell in pooled["per_class"].items() if cell["clips"] >= FEW
        }
        shared["ece"] = (pooled["calibration"] or {}).get("ece")
    if "au" in metrics:
        pooled = metrics["au"]["pooled"]
        shared |= {
            key: pooled.get(key)
            for key in ("mean_f1", "mean_f1_low", "mean_f1_high", "mean_macro_f1", "mean_auroc")
        }
        shared["per_au"] = {
            au: {"f1": cell["f1"], "auroc": cell["auroc"], "positives": cell["positives"]}
            for au, cell in pooled["per_au"].items()
            if cell["positives"] >= FEW
        }
    return shared


def support_of_labels(store: Store) -> dict[str, Any]:
    """Of each AU: how often the flow supports its label, and what it supports without one.

    ``label_motion_gap``: the share of labels whose motion the flow does not show. None stands for a figure
    that would tell a number of labels or clips from 1 to FEW - 1, by itself or beside the others.
    """

    supports: dict[int, tuple[list[bool], list[float]]] = defaultdict(lambda: ([], []))
    status: dict[int, dict[str, int]] = defaultdict(
        lambda: {"supported": 0, "unsupported": 0, "not_measured": 0}
    )
    unexplained = clips = 0
    for clip, motion in store.stream():
        if not clip.has_aus:
            continue
        clips += 1
        labelled = {unit.number for unit in clip.aus or ()}
        measured = set()
        for found in measure_support(motion):
            if not found.judged:
                continue
            measured.add(found.au)
            supports[found.au][0].append(found.au in labelled)
            supports[found.au][1].append(float(found.support))
        verdicts = judge(motion, clip.aus)
        unexplained += any(item.status == "unexplained" for item in verdicts)
        for au in labelled:
            said = {item.status for item in verdicts if item.au == au}
            verdict = "supported" if "supported" in said else "unsupported"
            status[au][verdict if au in measured else "not_measured"] += 1
    total, missing, unmeasured = (
        sum(cell[name] for cell in status.values() for name in names)
        for names in (("supported", "unsupported"), ("unsupported",), ("not_measured",))
    )
    pairs = {au: (np.array(truth), np.array(values)) for au, (truth, values) in sorted(supports.items())}
    listed = {au: pair for au, pair in pairs.items() if min(pair[0].sum(), (~pair[0]).sum()) >= FEW}
    split = _publishable(status, listed)
    per_au = {}
    for au, (truth, values) in listed.items():
        per_au[str(au)] = {
            "labels": int(truth.sum()),
            "supported": status[au]["supported"] if au in split else None,
            "unsupported": status[au]["unsupported"] if au in split else None,
            "mean_support_labelled": float(values[truth].mean()),
            "mean_support_unlabelled": float(values[~truth].mean()),
            "auroc": auroc(truth, values),
        }
    return {
        "clips": clips,
        "labels": total,
        "labels_not_measured": None if _few(unmeasured) else unmeasured,
        "label_motion_gap": _share(missing, total),
        "clips_with_unexplained_motion": _share(unexplained, clips),
        "per_au": per_au,
    }


def _few(count: int) -> bool:
    """Whether a number of clips or labels is so small that it is left out."""
    return 0 < count < FEW


def _share(part: int, whole: int) -> float | None:
    """``part`` of ``whole``; None where that tells a small number, or there is nothing."""
    return None if not whole or _few(part) or _few(whole - part) else part / whole


def _publishable(status: dict[int, dict[str, int]], listed: Iterable[int]) -> set[int]:
    """Those of the ``listed`` AUs whose supported and unsupported labels may be told: neither is few, nor are
    those of all other AUs together, which the sums over all AUs give away.
    """
    names = ("supported", "unsupported")
    told = {au for au in listed if not any(_few(status[au][name]) for name in names)}
    while told and any(
        _few(sum(cell[name] for au, cell in status.items() if au not in told)) for name in names
    ):
        told.remove(min(told, key=lambda au: (sum(status[au][name] for name in names), au)))
    return told


def _markdown(report: dict[str, Any]) -> str:
    facts = report["facts"]
    lines = [
        f"# Validation of deft-llm on {report['corpus']}",
        "",
        f"Sums over the corpus only: no clip, subject or face is named, cells of 1 to {FEW - 1} clips and "
        "what would give them away are left out. A class is the label that this corpus's coders gave, not "
        "what a person felt.",
        "",
        f"{facts['clips']} clips, {facts['subjects']} subjects, {facts['not_prepared']} could not be "
        f"prepared, "
        f"{facts['aus_coded']} with AUs; "
        + (
            "faces are there."
            if facts["faces"]
            else "flow only: what needs faces (structure expert, LBP-TOP, dynamic images) was skipped."
        ),
        "",
        "## Runs",
        "",
        markdown_table(_runs_table(report)),
        "",
    ]
    lines += [f"- {run['run']} was not run: {run['not_run']}" for run in report["runs"] if "not_run" in run]
    support = report["support"]
    if support is None:
        return "\n".join(
            [*lines, "", "No AUs were coded (or support could not be measured): no label-motion gap.", ""]
        )
    lines += [
        "",
        "## AU labels against measured motion",
        "",
        f"{support['labels']} AU labels whose regions could be measured "
        f"({_told(support['labels_not_measured'])} more could not) on {support['clips']} clips; the flow "
        "does not show the motion of "
        f"{figure(support['label_motion_gap'])} of them (label-motion gap); "
        f"{figure(support['clips_with_unexplained_motion'])} "
        "of the clips hold motion that no label explains.",
        "",
        markdown_table(_support_table(support)),
        "",
    ]
    return "\n".join(lines)


def _told(count: int | None) -> str:
    """A number of labels as text; "-" where it is left out."""
    return "-" if count is None else str(count)


def _runs_table(report: dict[str, Any]) -> Table:
    rows = []
    for run in report["runs"]:
        if "not_run" in run:
            continue
        if run["task"] == "emotion":
            cell = run["uf1"]
            figures = [
                "UF1",
                figure(cell["value"]),
                f"{figure(cell['low'])} to {figure(cell['high'])}",
                figure(run["uar"]["value"]),
            ]
        else:
            figures = [
                "mean AU F1",
                figure(run["mean_f1"]),
                f"{figure(run['mean_f1_low'])} to {figure(run['mean_f1_high'])}",
                "",
            ]
        rows.append([run["run"], *figures, str(run["clips"]), str(run["left_out"])])
    return Table(
        "Runs", "runs", ["run", "figure", "score", "95 % interval", "UAR", "clips", "left out"], rows
    )


def _support_table(support: dict[str, Any]) -> Table:
    rows = [
        [
            f"AU{au} {unit_name(int(au))}",
            str(c["labels"]),
            _told(c["supported"]),
            _told(c["unsupported"]),
            figure(c["mean_support_labelled"]),
            figure(c["mean_support_unlabelled"]),
            figure(c["auroc"]),
        ]
        for au, c in support["per_au"].items()
    ]
    head = ["AU", "labels", "supported", "unsupported", "mean support, labelled", "not labelled", "AUROC"]
    return Table("AU support", "support", head, rows)
