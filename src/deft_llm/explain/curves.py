"""Curves of Action Units over time: intensity of both sides over the neutral face, with floors; as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from deft_llm.facs.units import name
from deft_llm.spotting.movement import Movement
from deft_llm.spotting.phases import LIMITS
from deft_llm.state.channels import runs
from deft_llm.state.face_state import FULL, FaceState, unsure
from deft_llm.state.intensity import STATE_AUS, VISIBLE

MOST_CURVES = 14
WIDTH, NARROW, LANE, LEFT, RIGHT, TOP, FOOT = 860, 350, 46, 58, 12, 8, 34
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 1e9)  # s between two ticks
TICK = 80  # px that a tick's words need
POINTS = 700  # of a curve: more are thinned, keeping each bin's largest
COLOURS = {"left": "#2b6cb0", "right": "#c05621"}
PHASES = {"rise": "#2f855a", "release": "#805ad5"}
NEUTRAL, FLOOR, UNSURE = "#38a169", "#cbd5e0", "#fbecc8"
SHADE, NOISE = 0.3, 0.5  # opacity of a phase and of what lies within the noise
KEY = (("left side", COLOURS["left"], 1), ("right side (dashed)", COLOURS["right"], 1),
       ("rise", PHASES["rise"], SHADE), ("release", PHASES["release"], SHADE),
       ("within the noise", FLOOR, NOISE), ("cannot be judged", UNSURE, 1),
       ("neutral frames", NEUTRAL, 1))  # fmt: skip
"""What the curves' colours mean: words, colour, opacity."""


def strongest_side(state: FaceState, au: int, part: slice = slice(None)) -> np.ndarray:
    """(T,) intensity of the side that shows more, or that of the frames ``part`` alone."""
    return np.fmax(state.intensity[au, "left"][part], state.intensity[au, "right"][part])


def shown_units(movements: Sequence[Movement], state: FaceState, most: int = MOST_CURVES) -> list[int]:
    """At most so many units with a curve: those that movements name, the ones named most often first, then
    those that were clearly visible at all."""
    told = Counter(unit.number for one in movements if one.face == state.face for unit in one.units)
    named = [au for au, _ in told.most_common() if au in STATE_AUS]
    peaks = {au: float(np.nanmax(strongest_side(state, au), initial=0.0)) / VISIBLE[au] for au in LIMITS}
    more = sorted(
        (au for au in peaks if au not in named and peaks[au] > LIMITS[au]), key=lambda au: -peaks[au]
    )
    return sorted([*named, *more][:most])


def svg_curves(state: FaceState, movements: Sequence[Movement], width: int = WIDTH) -> str:
    """One lane for each unit that moves; "" where none does."""
    chosen = shown_units(movements, state)
    if not chosen:
        return ""
    times = state.times
    end = max(float(times[-1]), 1e-3)
    height = TOP + LANE * len(chosen) + FOOT
    x = lambda t: LEFT + (width - LEFT - RIGHT) * t / end  # noqa: E731
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Intensity of Action Units over time" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui,sans-serif" font-size="12">'
    ]
    for lane, au in enumerate(chosen):
        parts += _lane(state, movements, au, TOP + LANE * (lane + 1) - 4, x)
    bottom = TOP + LANE * len(chosen)
    parts += [
        f'<rect x="{x(times[a]):.1f}" y="{bottom}" width="{max(x(times[b - 1]) - x(times[a]), 2):.1f}" '
        f'height="4" fill="{NEUTRAL}"><title>neutral frames</title></rect>'
        for a, b in _neutral_runs(state)
    ]
    parts += _axis(end, x, height, width)
    return "".join([*parts, "</svg>"])


def _lane(state: FaceState, movements: Sequence[Movement], au: int, base: int, x) -> list[str]:
    """One unit: floor, frames that cannot be judged, phases of movements, both sides' curves."""
    times, tall = state.times, LANE - 10
    top = max(0.5 * FULL, min(FULL, float(np.nanmax(strongest_side(state, au), initial=0.0))))
    y = lambda value: base - tall * np.clip(value, 0, top) / top  # noqa: E731
    place = f'x="{LEFT - 8}" text-anchor="end"'
    parts = [
        f'<text {place} y="{base - 6}"><title>{escape(name(au))}</title>AU{au}</text>',
        f'<text {place} y="{base - tall + 8}" font-size="10" fill="#4a5568">{top:.1f}</text>',
    ]
    for a, b in runs(unsure(state, au)):
        parts.append(
            f'<rect x="{x(times[a]):.1f}" y="{base - tall}" height="{tall}" fill="{UNSURE}" '
            f'width="{max(x(times[b - 1]) - x(times[a]), 1):.1f}"><title>cannot be judged</title></rect>'
        )
    for movement in movements:
        for unit in movement.units if movement.face == state.face else ():
            if unit.number == au:
                parts.append(
                    f'<rect x="{x(unit.onset_time):.1f}" y="{base - tall}" height="{tall}" opacity="{SHADE}" '
                    f'width="{max(x(unit.apex_time) - x(unit.onset_time), 2):.1f}" '
                    f'fill="{PHASES[unit.phase]}"><title>{escape(unit.words)}</title></rect>'
                )
    floor = max(state.floor[au, side] for side in COLOURS)
    parts.append(
        f'<rect x="{LEFT}" y="{y(floor):.1f}" width="{x(times[-1]) - LEFT:.1f}" '
        f'height="{base - y(floor):.1f}" fill="{FLOOR}" opacity="{NOISE}"/>'
    )
    for side, colour in COLOURS.items():
        line = _thinned(times, np.nan_to_num(state.intensity[au, side]))
        points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in line)
        dash = ' stroke-dasharray="4 2"' if side == "right" else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"{dash}/>')
    return parts


def _thinned(times: np.ndarray, curve: np.ndarray) -> list[tuple[float, float]]:
    step = max(1, -(-len(times) // POINTS))
    return [(float(times[i]), float(curve[i : i + step].max())) for i in range(0, len(times), step)]


def _neutral_runs(state: FaceState) -> list[tuple[int, int]]:
    mask = np.zeros(len(state), bool)
    mask[list(state.neutral.frames)] = True
    return runs(mask)


def tick_step(end: float, width: int) -> float:
    """Seconds between two ticks of an axis of ``end`` s that is ``width`` px long."""
    return next(step for step in STEPS if end / step <= max(3, width / TICK))


def _axis(end: float, x, height: int, width: int) -> list[str]:
    step = tick_step(end, width)
    parts = []
    for i in range(int(end / step) + 1):
        place = f'x="{x(i * step):.1f}" y="{height - FOOT + 20}" text-anchor="middle"'
        parts.append(f'<path d="M{x(i * step):.1f} {height - FOOT + 4}v4" stroke="#4a5568"/>')
        parts.append(f'<text {place} fill="#4a5568">{i * step:g}</text>')
    parts.append(
        f'<text x="{width - RIGHT}" y="{height - 1}" text-anchor="end" fill="#4a5568">seconds</text>'
    )
    return parts
