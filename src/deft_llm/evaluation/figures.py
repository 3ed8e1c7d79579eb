"""Figures of the comparison report, as PNG in base64 so that the page stands alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from deft_llm.evaluation.compare import headline, headline_of

COLOURS = ("#1f6feb", "#c2410c", "#15803d", "#7c3aed", "#b45309", "#0e7490", "#be185d", "#4d7c0f")


def report_figures(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> list[tuple[str, str]]:
    """(title, PNG in base64) of each figure that the runs have data for."""
    found = [("Headline scores with 95 % intervals over subjects", _headlines(metrics, names))]
    emotion = [(n, m["emotion"]["pooled"]) for n, m in zip(names, metrics) if "emotion" in m]
    if emotion:
        found.append(("Confusion (rows: true class, shares of the row)", _confusions(emotion)))
        calibrated = [(n, cell["calibration"]["bins"]) for n, cell in emotion if cell["calibration"]]
        if calibrated:
            found.append(
                ("Calibration: stated probability against share of right answers", _reliability(calibrated))
            )
    units = [(n, m["au"]["pooled"]["per_au"]) for n, m in zip(names, metrics) if "au" in m]
    if units:
        found.append(("Binary F1 of each Action Unit", _units(units)))
    return found


def _canvas(width: float, height: float, rows: int = 1, columns: int = 1) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _headlines(metrics: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    figure, axes = _canvas(8, 0.8 + 0.4 * len(names))
    axis = axes[0, 0]
    for place, m in enumerate(metrics):
        value, low, high = headline(m)
        if value is None:
            continue
        error = None if low is None or high is None else [[max(value - low, 0)], [max(high - value, 0)]]
        axis.barh(
            place,
            value,
            color=COLOURS[place % len(COLOURS)],
            xerr=error,
            capsize=3,
            hatch="//" if m["leaky"] else None,
        )
    labels = [f"{n} ({headline_of(m['task'])})" for n, m in zip(names, metrics)]
    axis.set_yticks(range(len(names)), labels)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.grid(axis="x", alpha=0.3)
    return _png(figure)


def _confusions(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure, axes = _canvas(3 * columns, 2.8 * rows, rows, columns)
    for axis in axes.flat[len(runs) :]:
        axis.set_axis_off()
    for axis, (name, cell) in zip(axes.flat, runs):
        classes = cell["confusion"]["classes"]
        counts = np.array(cell["confusion"]["table"])[:, : len(classes)]
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (i, j), count in np.ndenumerate(counts):
            axis.text(
                j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black"
            )
        short = [label[:9] for label in classes]
        axis.set_xticks(range(len(classes)), short, fontsize=7, rotation=30)
        axis.set_yticks(range(len(classes)), short, fontsize=7)
        axis.set_title(name, fontsize=8)
    return _png(figure)


def _reliability(runs: Sequence[tuple[str, list[dict[str, float]]]]) -> str:
    figure, axes = _canvas(5, 4)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for place, (name, bins) in enumerate(runs):
        axis.plot(
            [b["confidence"] for b in bins],
            [b["accuracy"] for b in bins],
            marker="o",
            label=name,
            color=COLOURS[place % len(COLOURS)],
        )
    axis.set(xlabel="stated probability", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=7)
    return _png(figure)


def _units(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    aus = sorted({int(au) for _, cell in runs for au in cell})
    figure, axes = _canvas(9, 3.2)
    axis = axes[0, 0]
    width = 0.8 / len(runs)
    for place, (name, cell) in enumerate(runs):
        values = [cell.get(str(au), {}).get("f1", 0.0) for au in aus]
        offset = (place - (len(runs) - 1) / 2) * width
        axis.bar(np.arange(len(aus)) + offset, values, width, label=name, color=COLOURS[place % len(COLOURS)])
    axis.set_xticks(range(len(aus)), [f"AU{au}" for au in aus])
    axis.set_ylim(0, 1)
    axis.legend(fontsize=7)
    return _png(figure)
