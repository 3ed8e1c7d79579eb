"""The page's timeline: an SVG whose movements are buttons, and the same movements as a row of chips."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.result import AREAS
from deft_llm.explain.timeline import lane_height
from deft_llm.explain.words import clock, duration_of

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis
    from deft_llm.explain.result import MovementReading

WIDTH, LANE, LEFT, TOP, FOOT = 960, 58, 62, 34, 30
LISTED = 10
CLASSES = {"micro-expression": "micro", "macro-expression": "macro", "mouth movement in speech": "speech"}


def timeline_html(analysis: Analysis, chosen: int = 0) -> str:
    """Curves of brows, eyes and mouth with one button a movement (``data-rank``), and a chip for each."""
    line = analysis.timeline()
    times = np.array(line["times"])
    end = max(float(analysis.times[-1]), 1e-3)
    height = TOP + LANE * len(AREAS) + FOOT
    x = lambda t: LEFT + (WIDTH - LEFT - 12) * t / end  # noqa: E731
    top = lane_height(analysis)
    parts = [
        f'<svg class="deft-timeline" viewBox="0 0 {WIDTH} {height}" role="group" '
        'aria-label="Motion of brows, eyes and mouth over time; movements are buttons">'
    ]
    parts += _bands(analysis, x, height)
    for lane, area in enumerate(AREAS):
        base = TOP + LANE * (lane + 1) - 4
        curve = np.minimum(np.array(line[area]) / top, 1.0) * (LANE - 12)
        points = " ".join(f"{x(t):.1f},{base - value:.1f}" for t, value in zip(times, curve))
        parts.append(f'<path class="base" d="M{LEFT} {base}H{WIDTH - 12}"/>')
        parts.append(f'<polyline class="curve {area}" points="{points}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{base - 6}" text-anchor="end" class="lane">{area}</text>')
    parts += _marks(analysis, x, chosen)
    parts += _axis(x, end, height)
    parts.append("</svg>")
    return f'<div class="deft-scroll">{"".join(parts)}</div>{_chips(analysis, chosen)}'


def _bands(analysis: Analysis, x, height: int) -> list[str]:
    spans = [(e.onset, e.end, "speech" if e.kind == "speech" else "event", e.kind) for e in analysis.events]
    times = analysis.times
    return [
        f'<rect class="band {kind}" x="{x(times[start]):.1f}" y="{TOP}" '
        f'width="{max(x(times[stop]) - x(times[start]), 2):.1f}" height="{height - TOP - FOOT}">'
        f"<title>{escape(label)}</title></rect>"
        for start, stop, kind, label in spans
    ]


def name_of(rank: int, reading: MovementReading, fps: float) -> str:
    """ "Movement 1: micro-expression at 1.18 s, 460 ms"; says where it cannot be judged."""
    movement = reading.movement
    judged = "" if movement.judged else ", cannot be judged"
    return (
        f"Movement {rank + 1}: {movement.kind} at {clock(movement.onset_time)}, "
        f"{duration_of(movement, fps)}{judged}"
    )


def _marks(analysis: Analysis, x, chosen: int) -> list[str]:
    parts = []
    floor = TOP + LANE * len(AREAS)
    fps = analysis.video["fps"]
    for rank, reading in list(enumerate(analysis.readings))[:LISTED]:
        movement = reading.movement
        left, right = x(movement.onset_time), x(analysis.times[movement.end])
        apex = x(movement.apex_time)
        kind = CLASSES.get(movement.kind, "other")
        parts.append(
            f'<g class="mark {kind}" role="button" tabindex="0" data-rank="{rank}" '
            f'aria-pressed="{str(rank == chosen).lower()}" '
            f'aria-label="{escape(name_of(rank, reading, fps))}">'
            f'<rect class="span" x="{left:.1f}" y="{TOP}" width="{max(right - left, 4):.1f}" '
            f'height="{floor - TOP}" rx="3"/><path class="apex" d="M{apex:.1f} {TOP - 6}V{floor}"/>'
            f'<circle cx="{apex:.1f}" cy="{TOP - 17}" r="12"/>'
            f'<text x="{apex:.1f}" y="{TOP - 12.5}" text-anchor="middle">{rank + 1}</text></g>'
        )
    return parts


def _axis(x, end: float, height: int) -> list[str]:
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1e9) if end / s <= 10)
    ticks = [
        f'<text class="tick" x="{x(i * step):.1f}" y="{height - FOOT + 16}" text-anchor="middle">'
        f"{i * step:g}{' s' if i == 0 else ''}</text>"
        for i in range(int(end / step) + 1)
    ]
    return ticks


def _chips(analysis: Analysis, chosen: int) -> str:
    fps = analysis.video["fps"]
    chips = []
    for rank, reading in list(enumerate(analysis.readings))[:LISTED]:
        movement = reading.movement
        kind = CLASSES.get(movement.kind, "other")
        chips.append(
            f'<button type="button" class="chip {kind}" data-rank="{rank}" '
            f'aria-pressed="{str(rank == chosen).lower()}" '
            f'aria-label="{escape(name_of(rank, reading, fps))}"><b>{rank + 1}</b>'
            f"<span>{escape(movement.kind)}</span><i>{clock(movement.onset_time)}</i></button>"
        )
    if not chips:
        return '<p class="deft-empty">No facial movement stands above this video\'s noise.</p>'
    more = len(analysis.readings) - LISTED
    tail = f'<span class="soft">and {more} weaker ones in the JSON</span>' if more > 0 else ""
    return f'<div class="chips" role="group" aria-label="Spotted movements">{"".join(chips)}{tail}</div>'
