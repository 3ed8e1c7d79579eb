"""The timeline: motion of brows, eyes and mouth over time, movements marked; as SVG and as a figure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.curves import shown_units, strongest_side
from deft_llm.explain.result import AREAS, AnalysisResult, area_curves
from deft_llm.state.face_state import FULL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"brows": "#2b6cb0", "eyes": "#718096", "mouth": "#c05621"}
MARKS = {
    "micro-expression": "#b7791f",
    "macro-expression": "#2f855a",
    "movement": "#805ad5",
    "given": "#b7791f",
}
COVER = "#a0aec0"
SPEECH = "#f7a8c4"  # told apart from the ochre of a micro-expression
WIDTH, NARROW, LANE, LEFT, TOP, FOOT = 860, 350, 62, 58, 26, 34
LABELLED = 6  # movements that carry a number


def svg_timeline(analysis: AnalysisResult, width: int = WIDTH) -> str:
    """An SVG with one lane an area, ``width`` units wide; it scales to its place and prints in grey too."""
    line = analysis.timeline()
    times = np.array(line["times"])
    end = max(float(analysis.times[-1]), 1e-3)
    height = TOP + LANE * len(AREAS) + FOOT
    x = lambda t: LEFT + (width - LEFT - 12) * t / end  # noqa: E731
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Motion of brows, eyes, mouth over time" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui,sans-serif" font-size="12">'
    ]
    parts += _bands(analysis, x, height)
    top = lane_height(analysis)
    for lane, area in enumerate(AREAS):
        base = TOP + LANE * (lane + 1) - 4
        curve = np.minimum(np.array(line[area]) / top, 1.0) * (LANE - 10)
        points = " ".join(f"{x(t):.1f},{base - value:.1f}" for t, value in zip(times, curve))
        parts.append(f'<line x1="{LEFT}" x2="{width - 12}" y1="{base}" y2="{base}" stroke="#cbd5e0"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[area]}" stroke-width="1.4"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{base - 4}" text-anchor="end" fill="{COLOURS[area]}">{area}</text>'
        )
    parts += _marks(analysis, x)
    parts += _axis(x, end, height, width)
    parts.append("</svg>")
    return "".join(parts)


def lane_height(analysis: AnalysisResult) -> float:
    """Aligned px that fill a lane."""
    line = analysis.timeline()
    return max(1.05 * float(max(np.quantile(line[area] or [0.0], 0.995) for area in AREAS)), 0.5)


def _bands(analysis: AnalysisResult, x, height: int) -> list[str]:
    """Shades behind the lanes: speech, and turns of the head and blinks."""
    shades = {"speech": SPEECH, "blink": "#e2e8f0", "wink": "#e2e8f0", "eyes closed": "#e2e8f0",
              "occlusion": COVER, "darkness": COVER, "face lost": COVER}  # fmt: skip
    spans = [(e.onset, e.end, shades.get(e.kind, "#edf2f7"), e.kind) for e in analysis.events]
    times = analysis.times
    bands = []
    for start, stop, colour, label in spans:
        left, right = x(times[start]), x(times[stop])
        bands.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 2):.1f}" '
            f'height="{height - TOP - FOOT}" '
            f'fill="{colour}" opacity=".55"><title>{escape(label)}</title></rect>'
        )
    return bands


def _marks(analysis: AnalysisResult, x) -> list[str]:
    marks = []
    floor = TOP + LANE * len(AREAS)
    shown = [m for m in analysis.movements if m.kind in MARKS][:LABELLED]
    for rank, movement in enumerate(shown, 1):
        colour = MARKS[movement.kind]
        left, right = x(movement.onset_time), x(analysis.times[movement.end])
        apex = x(movement.apex_time)
        marks.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 2):.1f}" height="{floor - TOP}" '
            f'fill="{colour}" opacity=".16"/>'
            f'<path d="M{left:.1f} {TOP}V{floor}M{right:.1f} {TOP}V{floor}" stroke="{colour}" '
            f'stroke-dasharray="3 2"/>'
            f'<path d="M{apex:.1f} {TOP}V{floor}" stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{apex:.1f}" cy="{TOP - 10}" r="9" fill="{colour}"/>'
            f'<text x="{apex:.1f}" y="{TOP - 6}" text-anchor="middle" fill="#fff" font-weight="700">'
            f"{rank}</text>"
        )
    return marks


def _axis(x, end: float, height: int, width: int) -> list[str]:
    step = next(
        s
        for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 1e9)
        if end / s <= max(3, width / 80)
    )
    parts = []
    for i in range(int(end / step) + 1):
        at = i * step
        parts.append(f'<path d="M{x(at):.1f} {height - FOOT}v5" stroke="#4a5568"/>')
        place = f'x="{x(at):.1f}" y="{height - FOOT + 18}" text-anchor="middle"'
        parts.append(f'<text {place} fill="#4a5568">{at:g}</text>')
    parts.append(f'<text x="{width - 12}" y="{height - 3}" text-anchor="end" fill="#4a5568">seconds</text>')
    return parts


def plot_timeline(analysis: AnalysisResult) -> Figure:
    """The same as a matplotlib figure, one axis an area, motion in aligned px."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    if analysis.signal is None:
        return plot_units(analysis, figure)
    times, curves = area_curves(analysis.signal)
    axes = figure.subplots(len(AREAS), 1, sharex=True, sharey=True)
    for axis, area in zip(axes, AREAS):
        axis.plot(times, curves[area], color=COLOURS[area], linewidth=1)
        axis.set_ylabel(area)
        for event in analysis.speech:
            axis.axvspan(times[event.onset], times[event.end], color=SPEECH, alpha=0.5, linewidth=0)
        for movement in [m for m in analysis.movements if m.kind in MARKS][:LABELLED]:
            colour = MARKS[movement.kind]
            axis.axvspan(movement.onset_time, times[movement.end], color=colour, alpha=0.18, linewidth=0)
            axis.axvline(movement.apex_time, color=colour, linewidth=1.5)
    axes[0].set_title(f"{analysis.source}: motion in aligned px (90 px between the eyes); lines: apex")
    axes[-1].set_xlabel("seconds")
    return figure


def plot_units(analysis: AnalysisResult, figure: Figure) -> Figure:
    """Intensity of the first face's moving units over time, 0 to 5 over the person's neutral."""
    state = analysis.states[0]
    chosen = shown_units(analysis.movements, state)
    axis = figure.subplots()
    for au in chosen:
        axis.plot(state.times, np.clip(strongest_side(state, au), 0, FULL), linewidth=1, label=f"AU{au}")
    axis.set_ylim(0, FULL)
    axis.set_xlabel("seconds")
    axis.set_title(f"{analysis.source}: intensity over the neutral face (0 to 5)")
    if chosen:
        axis.legend(ncols=4, fontsize="small")
    return figure
