"""The timeline: motion of brows, eyes and mouth over time, movements marked; as SVG and as a figure.

One SVG for the report and for the page: its parts bear classes, and each page has their colours in its style
sheet. The page's movements are buttons.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.curves import shown_units, strongest_side, tick_step
from deft_llm.explain.result import AREAS, AnalysisResult, MovementReading, area_curves
from deft_llm.explain.words import EVENTS, clock, duration_of
from deft_llm.state.face_state import FULL
from deft_llm.store.motion import ALIGNED_IOD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"brows": "#2b6cb0", "eyes": "#718096", "mouth": "#c05621"}
KINDS = {"micro-expression": "micro", "macro-expression": "macro", "given": "micro",
         "mouth movement in speech": "speech"}  # fmt: skip
"""Class of a movement's mark; "other" for all other kinds."""
MARKS = {"micro": "#b7791f", "macro": "#2f855a", "other": "#805ad5", "speech": "#d53f8c"}
COVER, LIDS = "#a0aec0", "#cbd5e0"
SPEECH = "#f7a8c4"  # told apart from the ochre of a micro-expression
SHADES = {"speech": SPEECH, "blink": LIDS, "wink": LIDS, "eyes-closed": LIDS,
          "occlusion": COVER, "beyond-the-picture": COVER, "darkness": COVER, "face-lost": COVER}  # fmt: skip
"""Colour of the band of an event by its class; HEAD for all others, which are turns of the head."""
HEAD = "#edf2f7"
WIDTH, NARROW, LANE, LEFT, RIGHT, TOP, FOOT = 860, 350, 60, 60, 12, 34, 34
LISTED, LISTED_NARROW = 10, 6  # movements that are marked
BALL = 12  # radius of the circle that bears a movement's number

Place = Callable[[float], float]
"""x in px of a time in seconds."""


def svg_timeline(analysis: AnalysisResult, width: int = WIDTH, chosen: int | None = None) -> str:
    """An SVG with one lane per area, ``width`` units wide, that scales to its place.

    ``chosen``: rank (from 0) of the movement that is pressed, for a page where movements are buttons with
    ``data-rank``; None: a picture.
    """
    line = analysis.timeline()
    times = np.array(line["times"])
    end = end_of(analysis)
    height = TOP + LANE * len(AREAS) + FOOT
    x = lambda t: LEFT + (width - LEFT - RIGHT) * t / end  # noqa: E731
    role = 'role="img"' if chosen is None else 'role="group"'
    what = "Motion of brows, eyes and mouth over time" + ("; movements are buttons" * (chosen is not None))
    parts = [f'<svg class="deft-timeline" viewBox="0 0 {width} {height}" {role} aria-label="{what}" '
             'xmlns="http://www.w3.org/2000/svg">']  # fmt: skip
    parts += _bands(analysis, x, height)
    top = lane_height(analysis)
    for lane, area in enumerate(AREAS):
        base = TOP + LANE * (lane + 1) - 4
        curve = np.minimum(np.array(line[area]) / top, 1.0) * (LANE - 11)
        points = " ".join(f"{x(t):.1f},{base - value:.1f}" for t, value in zip(times, curve))
        parts.append(f'<path class="base" d="M{LEFT} {base}H{width - RIGHT}"/>')
        parts.append(f'<polyline class="curve {area}" points="{points}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{base - 5}" text-anchor="end" class="lane">{area}</text>')
    parts += _marks(analysis, x, LISTED if width > NARROW else LISTED_NARROW, chosen)
    parts += _axis(x, end, height, width)
    return "".join([*parts, "</svg>"])


def caption_of(analysis: AnalysisResult) -> str:
    """What the timeline's curves and lines are, in words."""
    percent = 100 * lane_height(analysis) / ALIGNED_IOD
    lines = " Dashed lines: onset and offset; full line: apex." if analysis.readings else ""
    return (
        "Curves: how far brows, eyes and mouth are from where they were around that second, head motion "
        f"taken out; a lane's full height is {percent:.1f} % of the distance between the eyes.{lines}"
    )


def key_of(analysis: AnalysisResult, *, marks: bool = True) -> str:
    """What the timeline's bands mean, and with ``marks`` its marks, as HTML whose swatches bear their
    classes; what does not occur is left out."""
    named: dict[str, list[str]] = {}
    for movement in analysis.movements[:LISTED] if marks else ():
        named.setdefault(f"mark {kind_class(movement.kind)}", []).append(movement.called)
    shades: dict[str, str] = {}  # colour -> class of the first band that has it
    for event in analysis.events:
        band = band_class(event.kind)
        shade = shades.setdefault(SHADES.get(band, HEAD), band)
        named.setdefault(f"band {shade}", []).append(EVENTS.get(event.kind, event.kind))
    keys = [
        f'<span><i class="{swatch}"></i>{escape(", ".join(dict.fromkeys(names)))}</span>'
        for swatch, names in named.items()
    ]
    return f'<p class="soft key">{"".join(keys)}</p>' if keys else ""


def lane_height(analysis: AnalysisResult) -> float:
    """Aligned px that fill a lane."""
    line = analysis.timeline()
    return max(1.05 * float(max(np.quantile(line[area] or [0.0], 0.995) for area in AREAS)), 0.5)


def band_class(kind: str) -> str:
    """Class of the band of an event."""
    return kind.replace(" ", "-")


def kind_class(kind: str) -> str:
    """Class of a kind of movement."""
    return KINDS.get(kind, "other")


def name_of(rank: int, reading: MovementReading, fps: float) -> str:
    """ "Movement 1: micro-expression at 1.18 s, 460 ms"; says where it cannot be judged."""
    movement = reading.movement
    judged = "" if movement.judged else ", cannot be judged"
    return (
        f"Movement {rank + 1}: {movement.kind} at {clock(movement.onset_time)}, "
        f"{duration_of(movement, fps)}{judged}"
    )


def end_of(analysis: AnalysisResult) -> float:
    """Time of the last frame, s."""
    return max(float(analysis.times[-1]), 1e-3)


def _bands(analysis: AnalysisResult, x: Place, height: int) -> list[str]:
    """Shades behind the lanes: speech, turns of the head, blinks, what covers the face."""
    times, bands = analysis.times, []
    for event in analysis.events:
        left, right = x(times[event.onset]), x(times[event.end])
        bands.append(
            f'<rect class="band {band_class(event.kind)}" x="{left:.1f}" y="{TOP}" '
            f'width="{max(right - left, 2):.1f}" height="{height - TOP - FOOT}">'
            f"<title>{escape(EVENTS.get(event.kind, event.kind))}</title></rect>"
        )
    return bands


def _marks(analysis: AnalysisResult, x: Place, most: int, chosen: int | None) -> list[str]:
    """Span, apex and number of the first movements."""
    floor, fps = TOP + LANE * len(AREAS), analysis.video["fps"]
    marks, listed = [], analysis.readings[:most]
    heads = spread([x(one.movement.apex_time) for one in listed], 2 * BALL + 1, x(end_of(analysis)))
    for rank, (reading, head) in enumerate(zip(listed, heads)):
        movement = reading.movement
        left, right = x(movement.onset_time), x(analysis.times[movement.end])
        apex = x(movement.apex_time)
        button = "" if chosen is None else (
            f' role="button" tabindex="0" data-rank="{rank}" aria-pressed="{str(rank == chosen).lower()}" '
            f'aria-label="{escape(name_of(rank, reading, fps))}"'
        )  # fmt: skip
        marks.append(
            f'<g class="mark {kind_class(movement.kind)}"{button}>'
            f'<rect class="span" x="{left:.1f}" y="{TOP}" width="{max(right - left, 4):.1f}" '
            f'height="{floor - TOP}"/>'
            f'<path class="ends" d="M{left:.1f} {TOP}V{floor}M{right:.1f} {TOP}V{floor}"/>'
            f'<path class="apex" d="M{head:.1f} {TOP - 6}L{apex:.1f} {TOP}V{floor}"/>'
            f'<circle cx="{head:.1f}" cy="{TOP - 17}" r="{BALL}"/>'
            f'<text x="{head:.1f}" y="{TOP - 12.5}" text-anchor="middle">{rank + 1}</text></g>'
        )
    return marks


def spread(places: list[float], gap: float, last: float) -> list[float]:
    """The places moved apart to at least ``gap``, in their order, to the right where there is room up to
    ``last``."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    apart = list(places)
    for before, after in pairwise(order):
        apart[after] = max(apart[after], apart[before] + gap)
    for after, limit in zip(reversed(order), (last - gap * i for i in range(len(order)))):
        apart[after] = min(apart[after], limit)
    return apart


def _axis(x: Place, end: float, height: int, width: int) -> list[str]:
    """Ticks with the seconds."""
    step = tick_step(end, width)
    parts = []
    for number in range(int(end / step) + 1):
        at = x(number * step)
        parts.append(f'<path class="base" d="M{at:.1f} {height - FOOT}v5"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{height - FOOT + 18}" text-anchor="middle">'
            f"{number * step:g}{' s' if number == 0 else ''}</text>"
        )
    return parts


def plot_timeline(analysis: AnalysisResult) -> Figure:
    """The same as a matplotlib figure, one axis per area, motion in aligned px."""
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
        for movement in analysis.movements[:LISTED]:
            colour = MARKS[kind_class(movement.kind)]
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
    axis.set_ylim(0, 1.02 * FULL)
    axis.set_xlabel("seconds")
    axis.set_title(f"{analysis.source}: intensity over the neutral face (0 to 5)")
    if chosen:
        axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize="small")  # beside the curves
    return figure
