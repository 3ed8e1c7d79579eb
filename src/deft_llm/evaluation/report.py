"""Comparison of runs: tables, intervals, paired tests, figures; as HTML, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from deft_llm.errors import DeftError, printable
from deft_llm.evaluation.compare import compare_runs, headline, headline_of, repeats
from deft_llm.evaluation.figures import report_figures
from deft_llm.evaluation.rows import Run, flattened, read_run
from deft_llm.evaluation.score import LEAK_STAMP, score_run
from deft_llm.evaluation.words import figure
from deft_llm.files import claim_folder, csv_cell, write_text

SUMMARY = "summary"
NOTE = (
    "Scores are pooled over all folds' predictions; intervals are 95 % bootstraps over subjects. A class is "
    "the "
    "label that coders of the corpus gave, not what a person felt."
)


NOT_PAIRED = "not tested: other clips, labels or task"


class Table(NamedTuple):
    """One table of the report; every cell is text."""

    title: str
    file: str
    head: list[str]
    rows: list[list[str]]


def write_report(paths: Sequence[Path], out: Path) -> list[Path]:
    """Score the runs at ``paths`` and write report.html, report.md and a CSV a table into ``out``.

    Raises: UsageError where ``out`` holds another product; DeftError where a run cannot be scored, or all
    runs are of different tasks.
    """
    claim_folder(out, f"{SUMMARY}.csv")
    runs = [read_run(path) for path in paths]
    metrics = [score_run(run) for run in runs]
    names = run_names(runs)
    tables = [t for t in report_tables(runs, metrics, names) if t.rows]
    stamps = [f"{name}: {LEAK_STAMP}" for name, m in zip(names, metrics) if m["leaky"]]
    pictures = report_figures(metrics, names)
    written = [out / "report.html", out / "report.md"]
    write_text(written[0], _html(tables, pictures, stamps))
    write_text(written[1], markdown(tables, stamps))
    for table in tables:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(
            [[csv_cell(cell) for cell in row] for row in (table.head, *table.rows)]
        )
        written.append(out / f"{table.file}.csv")
        write_text(written[-1], buffer.getvalue())
    return written


def run_names(runs: Sequence[Run]) -> list[str]:
    """A distinct name a run: the method, and what sets it apart from the others of that method."""
    names = [run.name for run in runs]
    for what in ("task", "label_space"):
        if len({getattr(run.rows[0], what) for run in runs}) > 1:
            names = [f"{n} [{getattr(run.rows[0], what)}]" for n, run in zip(names, runs, strict=True)]
    seeds = [run.rows[0].seed for run in runs]
    names = [f"{n} seed {seed}" if names.count(n) > 1 or seed else n for n, seed in zip(names, seeds)]
    names = [f"{n} ({run.path.name})" if names.count(n) > 1 else n for n, run in zip(names, runs)]
    return [f"{n} #{i + 1}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def report_tables(
    runs: Sequence[Run], metrics: Sequence[dict[str, Any]], names: Sequence[str]
) -> list[Table]:
    """All tables; those without rows belong to tasks that are not there."""
    return [
        _summary(metrics, names),
        _per_corpus(metrics, names),
        _paired(runs, names),
        _repeats(runs, metrics),
        _classes(metrics, names),
        _text_and_answers(metrics, names),
        _units(metrics, names),
        _questions(metrics, names),
        _spotting(metrics, names),
        _subjects(metrics, names),
    ]


def _summary(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        value, low, high = headline(m)
        pooled = m.get("emotion", {}).get("pooled", {})
        calibration = (pooled.get("calibration") or {}).get("ece")
        units = m.get("au", {}).get("pooled", {}).get("mean_f1")
        rows.append(
            [
                name,
                m["task"],
                m["label_space"],
                str(m["protocol"]),
                headline_of(m["task"]),
                figure(value),
                "" if low is None else f"{figure(low)} to {figure(high)}",
                *(figure(pooled[n]["value"]) if pooled else "-" for n in ("uar", "acc", "wf1")),
                figure(calibration),
                figure(units),
                figure(m.get("text", {}).get("uf1")),
                str(m["clips"]),
                str(m["subjects"]),
                str(m["left_out"]),
                "LEAKY" if m["leaky"] else "",
            ]
        )
    head = [
        "run",
        "task",
        "labels",
        "protocol",
        "headline",
        "score",
        "95 % interval",
        "UAR",
        "ACC",
        "WF1",
        "ECE",
        "AU F1",
        "UF1 in the text",
        "clips",
        "subjects",
        "left out",
        "leak",
    ]
    return Table("Runs", SUMMARY, head, rows)


def _per_corpus(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        for corpus, cell in m.get("emotion", {}).get("per_corpus", {}).items():
            low, high = cell["uf1"]["low"], cell["uf1"]["high"]
            rows.append(
                [
                    name,
                    corpus,
                    "UF1",
                    figure(cell["uf1"]["value"]),
                    f"{figure(low)} to {figure(high)}",
                    figure(cell["uar"]["value"]),
                    str(cell["clips"]),
                ]
            )
        for corpus, cell in m.get("au", {}).get("per_corpus", {}).items():
            interval = f"{figure(cell.get('mean_f1_low'))} to {figure(cell.get('mean_f1_high'))}"
            rows.append(
                [name, corpus, "mean AU F1", figure(cell["mean_f1"]), interval, "", str(cell["clips"])]
            )
    head = ["run", "corpus", "figure", "score", "95 % interval", "UAR", "clips"]
    return Table("The same predictions per corpus", "per_corpus", head, rows)


def _paired(runs: Sequence[Run], names: Sequence[str]) -> Table:
    rows = []
    for (i, first), (j, second) in combinations(enumerate(runs), 2):
        try:
            found = compare_runs(first, second)
        except DeftError:
            rows.append([names[j], names[i], "-", "-", NOT_PAIRED])
            continue
        if found is not None:
            interval = f"{found['low']:+.3f} to {found['high']:+.3f}"
            rows.append([names[j], names[i], f"{found['difference']:+.3f}", interval, f"{found['p']:.4f}"])
    head = ["run", "against", "difference", "95 % interval", "p (permutation over subjects)"]
    return Table("Paired tests on the same clips", "paired", head, rows)


def _repeats(runs: Sequence[Run], metrics: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [r["method"], r["metric"], " ".join(map(str, r["seeds"])), figure(r["mean"]), figure(r["sd"])]
        for r in repeats(runs, metrics)
    ]
    return Table("Seeds", "seeds", ["method", "figure", "seeds", "mean", "sd"], rows)


def _classes(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        if "emotion" not in m:
            continue
        pooled = m["emotion"]["pooled"]
        table = pooled["confusion"]
        for label, counts in zip(table["classes"], table["table"]):
            cell = pooled["per_class"][label]
            answers = ", ".join(f"{n} {c}" for n, c in zip([*table["classes"], "no class"], counts) if c)
            rows.append(
                [name, label, str(cell["clips"]), figure(cell["f1"]), figure(cell["recall"]), answers]
            )
    return Table(
        "Classes and confusions", "classes", ["run", "true class", "clips", "F1", "recall", "answers"], rows
    )


SECTIONS = ("text", "coarse", "fine", "consistency", "faithfulness", "counterfactuals", "deletion", "probes")


def _text_and_answers(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        for section in SECTIONS:
            for key, value in flattened(m.get(section, {})).items():
                rows.append([name, section, key, figure(value) if isinstance(value, float) else str(value)])
    return Table("Text, evidence and what changes them", "answers", ["run", "part", "figure", "value"], rows)


def _units(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    found = [(name, m["au"]["pooled"]) for name, m in zip(names, metrics) if "au" in m]
    aus = sorted({int(au) for _, cell in found for au in cell["per_au"]})
    rows = [
        [
            name,
            figure(c["mean_f1"]),
            figure(c["mean_macro_f1"]),
            figure(c["mean_auroc"]),
            *(figure(c["per_au"].get(str(au), {}).get("f1"), 2) for au in aus),
        ]
        for name, c in found
    ]
    head = ["run", "mean F1 (binary)", "mean F1 (macro)", "mean AUROC", *(f"AU{au}" for au in aus)]
    return Table("Action Units", "aus", head, rows)


def _questions(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        for kind, cell in m.get("vqa", {}).get("pooled", {}).get("by_kind", {}).items():
            rows.append(
                [
                    name,
                    kind,
                    str(cell["questions"]),
                    figure(cell["exact"]),
                    figure(cell.get("uf1")),
                    figure(cell.get("uar")),
                    figure(cell.get("au_f1")),
                    figure(cell["bleu_corpus"]),
                    figure(cell["rouge1_f1"]),
                ]
            )
    head = ["run", "question", "asked", "exact", "UF1", "UAR", "AU F1", "BLEU", "ROUGE-1 F1"]
    return Table("ME-VQA by type of question", "questions", head, rows)


def _spotting(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, m in zip(names, metrics):
        section = m.get("spotting", {})
        parts = {"pooled": section.get("pooled"), **section.get("per_corpus", {})}
        for part, cell in parts.items():
            if cell is None:
                continue
            figures = ("f1", "precision", "recall", "false_alarms_per_minute", "f1_megc", "strs")
            counts = (
                f"{cell['videos']} ({cell['videos_with_truth']})",
                *(cell[c] for c in ("tp", "fp", "fn")),
            )
            rows.append([name, part, *map(str, counts), *(figure(cell[f]) for f in figures)])
    head = ["run", "part", "videos (with micro-expressions)", "found", "false", "missed", "F1", "precision",
            "recall", "false alarms/min", "F1 by MEGC's rule", "STRS"]  # fmt: skip
    return Table("Spotting", "spotting", head, rows)


def _subjects(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> Table:
    found = [(name, m["per_subject"]) for name, m in zip(names, metrics) if "per_subject" in m]
    subjects = sorted({subject for _, cell in found for subject in cell})
    rows = [
        [s, *(f"{cell[s]['right']}/{cell[s]['clips']}" if s in cell else "-" for _, cell in found)]
        for s in subjects
    ]
    return Table(
        "Right answers per subject",
        "subjects",
        ["subject", *(name for name, _ in found)],
        rows if found else [],
    )


def markdown(tables: Sequence[Table], stamps: Sequence[str] = ()) -> str:
    """All tables in Markdown."""
    lines = ["# Comparison of runs", "", NOTE, ""]
    lines += [f"> **{_markdown_cell(stamp)}**\n" for stamp in stamps]
    for table in tables:
        lines += [f"## {_markdown_cell(table.title)}", "", markdown_table(table), ""]
    return "\n".join(lines)


def markdown_table(table: Table) -> str:
    """One table in Markdown."""
    rows = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(map(_markdown_cell, row)) + " |" for row in rows)


def _markdown_cell(text: str) -> str:
    """Text that stays in its cell and is no HTML: names come from other people's files."""
    return escape(printable(text), quote=False).replace("|", "\\|")


def _html(tables: Sequence[Table], pictures: Sequence[tuple[str, str]], stamps: Sequence[str]) -> str:
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("deft_llm", "evaluation"), autoescape=True, trim_blocks=True
    )
    template = environment.get_template("report.html.j2")
    return template.render(tables=tables, pictures=pictures, stamps=stamps, note=NOTE)
