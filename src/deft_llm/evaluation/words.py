"""Metrics as lines of text, for terminals and Markdown."""

from __future__ import annotations

from typing import Any

REASONS = 4  # reasons for leaving clips out that are printed; metrics.json has them all


def figure(value: float | None, digits: int = 3) -> str:
    """A score as text; "-" where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(cell: dict[str, Any]) -> str:
    """A value with its 95 % interval."""
    return f"{figure(cell['value'])} [{figure(cell['low'])}, {figure(cell['high'])}]"


def metrics_lines(metrics: dict[str, Any]) -> list[str]:
    """The main figures of a run, one line each."""
    lines = [
        f"{metrics['method']}  task {metrics['task']}  labels {metrics['label_space']}  protocol "
        f"{metrics['protocol'] or 'unknown'}  seed {metrics['seed']}",
        f"{metrics['clips']} clips, {metrics['subjects']} subjects, {metrics['left_out']} clips left out",
    ]
    lines += [f"  left out: {n} ({why})" for why, n in list(metrics["left_out_because"].items())[:REASONS]]
    if metrics.get("unscored"):
        lines.append(f"{metrics['unscored']} rows have no true class and are not scored")
    if metrics.get("warning"):
        lines.insert(0, f"*** {metrics['warning']} ***")
    for section, figures in (("emotion", _emotion), ("au", _units), ("vqa", _questions)):
        for name, cell in _parts(metrics.get(section)):
            lines += [f"{name}: {text}" for text in figures(cell)]
    if "text" in metrics:
        cell = metrics["text"]
        lines.append(
            f"class read from the text: UF1 {figure(cell['uf1'])}  UAR {figure(cell['uar'])}  "
            f"agrees with the head {figure(cell['agrees_with_head'])}"
        )
    for name, cell in _parts(metrics.get("spotting")):
        alarms = figure(cell["false_alarms_per_minute"], 2)
        lines.append(
            f"{name}: spotting F1 {figure(cell['f1'])} [{figure(cell['f1_low'])}, "
            f"{figure(cell['f1_high'])}]  precision {figure(cell['precision'])}  "
            f"recall {figure(cell['recall'])}  false alarms/min {alarms}  "
            f"({cell['tp']} found, {cell['fp']} false, {cell['fn']} missed in {cell['videos']} videos, "
            f"maximum matching)"
        )
        lines.append(
            f"  by MEGC's rule: F1 {figure(cell['f1_megc'])} ({cell['megc']['tp']} found, "
            f"{cell['megc']['fp']} false, {cell['megc']['fn']} missed in {cell['videos_with_truth']} videos "
            f"with micro-expressions)  STRS {figure(cell['strs'])}  over the classes hit alone "
            f"{figure(cell['strs_hit_classes'])}"
        )
    for name in ("consistency", "counterfactuals", "faithfulness", "deletion", "probes"):
        if name in metrics:
            lines.append(f"{name}: {_flat(metrics[name])}")
    return lines


def _parts(section: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    if section is None:
        return []
    return [("pooled", section["pooled"]), *section.get("per_corpus", {}).items()]


def _emotion(cell: dict[str, Any]) -> list[str]:
    calibration = cell.get("calibration") or {}
    classes = "  ".join(
        f"{name} F1 {figure(c['f1'])} (n {c['clips']})" for name, c in cell["per_class"].items()
    )
    return [
        f"UF1 {with_interval(cell['uf1'])}  UAR {with_interval(cell['uar'])}  ACC "
        f"{with_interval(cell['acc'])}  "
        f"WF1 {figure(cell['wf1']['value'])}  ECE {figure(calibration.get('ece'))}",
        f"  {classes}",
    ]


def _units(cell: dict[str, Any]) -> list[str]:
    each = "  ".join(f"AU{au} {figure(c['f1'], 2)} (n {c['positives']})" for au, c in cell["per_au"].items())
    return [
        f"AU F1 (binary, mean) {figure(cell['mean_f1'])} [{figure(cell.get('mean_f1_low'))}, "
        f"{figure(cell.get('mean_f1_high'))}]  macro {figure(cell['mean_macro_f1'])}  AUROC "
        f"{figure(cell['mean_auroc'])}  clips {cell['clips']}",
        f"  {each}",
    ]


def _questions(cell: dict[str, Any]) -> list[str]:
    lines = [
        f"ME-VQA UF1/UAR coarse {figure(cell['uf1_coarse'])}/{figure(cell['uar_coarse'])}  fine "
        f"{figure(cell['uf1_fine'])}/{figure(cell['uar_fine'])}  BLEU corpus "
        f"{figure(cell.get('bleu_corpus'))} "
        f"sentence {figure(cell.get('bleu_sentence'))}  ROUGE-1 F1 {figure(cell.get('rouge1_f1'))} "
        f"recall "
        f"{figure(cell.get('rouge1_recall'))}"
    ]
    lines.append("  answered by " + ", ".join(f"{by} {n}" for by, n in sorted(cell["answered_by"].items())))
    return lines + [
        f"  {kind}: exact {figure(c['exact'])} of {c['questions']}" for kind, c in cell["by_kind"].items()
    ]


def _flat(value: dict[str, Any], prefix: str = "") -> str:
    words = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            words.append(_flat(inner, f"{prefix}{name}."))
        elif inner is not None:
            words.append(f"{prefix}{name} {figure(inner) if isinstance(inner, float) else inner}")
    return "  ".join(words)
