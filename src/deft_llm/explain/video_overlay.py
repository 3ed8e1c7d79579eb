"""The whole clip with what was read of it: AU names while they are up, landmarks, curves; as an MP4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from deft_llm.explain.curves import shown_units, strongest_side
from deft_llm.explain.magnify import write_stream
from deft_llm.explain.words import EVENTS, clock
from deft_llm.faces.video import frames as frames_of
from deft_llm.files import atomic_path
from deft_llm.spotting.movement import Movement, OtherEvent
from deft_llm.state.channels import runs
from deft_llm.state.face_state import FULL, FaceState, unsure

if TYPE_CHECKING:
    from deft_llm.explain.result import AnalysisResult

STRIP, CURVES = 0.28, 5  # height of the strip of curves over the picture's; most curves in it
LEAST_WIDTH = 480  # px: smaller pictures are enlarged so that words can be read
COLOURS = ((255, 196, 61), (87, 186, 255), (126, 217, 137), (255, 138, 128), (206, 160, 255))
POINT, WORD, SHADE, RULE = (80, 255, 170), (255, 255, 255), (18, 22, 30), (84, 92, 108)
WINDOW = 6.0  # most seconds of the curves that are in view
BLOCK = 256  # frames
LINES = 10  # of words in a frame

Span = TypeVar("Span", Movement, OtherEvent)


def write_overlay(path: Path, video: Path, analysis: AnalysisResult, *, fps: float | None = None) -> None:
    """Draw every frame of ``video`` with what the analysis says of it. Raises: DeftError as frames do."""
    with atomic_path(path) as temporary:
        write_stream(_drawn(video, analysis, fps), str(temporary), analysis.video["fps"])


def _drawn(video: Path, analysis: AnalysisResult, fps: float | None) -> Iterator[np.ndarray]:
    import cv2

    state = analysis.states[0]
    chosen = {au: unsure(state, au) for au in shown_units(analysis.movements, state, CURVES)}
    movements, events = _by_block(analysis.movements), _by_block(analysis.events)
    for frame in frames_of(video, fps=fps):
        if frame.index >= len(state):
            return
        image = frame.image[:, ::-1] if analysis.video["mirrored"] else frame.image
        zoom = max(1.0, LEAST_WIDTH / image.shape[1])
        size = (2 * round(zoom * image.shape[1] / 2), 2 * round(zoom * image.shape[0] / 2))
        picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        for one in analysis.states:
            _points(picture, analysis, one, frame.index, zoom)
        block = frame.index // BLOCK
        told = told_in(movements.get(block, []), events.get(block, []), frame.index, len(analysis.states) > 1)
        for row, line in enumerate(told[:LINES]):
            _write(picture, line, (8, 20 + 20 * row), WORD)
        _write(picture, clock(state.times[frame.index]), (8, size[1] - 8), WORD)
        strip = np.full((2 * round(STRIP * size[1] / 2), size[0], 3), SHADE, np.uint8)
        _curves(strip, state, chosen, frame.index)
        yield np.vstack([picture, strip])


def _points(
    picture: np.ndarray, analysis: AnalysisResult, state: FaceState, at: int, zoom: float
) -> None:  # fmt: skip
    import cv2

    points = state.landmarks[at]
    if not np.isfinite(points).all():
        return
    for x, y in points * zoom:
        cv2.circle(picture, (round(float(x)), round(float(y))), 1, POINT, -1, cv2.LINE_AA)
    if len(analysis.states) > 1:
        x, y = points.min(0) * zoom
        _write(picture, f"face {state.face}", (int(x), int(y) - 8), POINT)


def _by_block(spans: Iterable[Span]) -> dict[int, list[Span]]:
    """Number of a block of frames -> what goes on in it: of hours of video a frame looks at little."""
    found: dict[int, list[Span]] = {}
    for span in spans:
        units = span.units if isinstance(span, Movement) else ()
        ends = [unit.apex if unit.offset is None else unit.offset for unit in units]
        for block in range(span.onset // BLOCK, max(span.end, *ends, 0) // BLOCK + 1):
            found.setdefault(block, []).append(span)
    return found


def told_in(movements: list[Movement], events: list[OtherEvent], at: int, several: bool) -> list[str]:
    """Units that rise, are held or are released in this frame, and other events; with ``several`` faces each
    with the number of its face."""
    lines: dict[tuple[int, str], str] = {}  # face and unit with its side, or other words -> how it goes
    for movement in movements:
        for unit in movement.units:
            key = movement.face, f"AU{unit.number} {unit.side}"
            end = movement.end if unit.offset is None else unit.offset
            if unit.phase == "rise" and unit.onset <= at <= max(end, unit.apex):
                lines.setdefault(key, f"{key[1]}{'  rising' if at <= unit.apex else '  held'}")
            elif unit.phase == "release" and unit.onset <= at <= unit.apex:
                lines[key] = unit.words
        if not movement.units and movement.onset <= at <= movement.end:
            lines[movement.face, movement.kind] = movement.kind
    others = [(event.face, EVENTS.get(event.kind, event.kind)) for event in events
              if event.onset <= at <= event.end]  # fmt: skip
    lines |= {(face, f"({kind})"): f"({kind})" for face, kind in others}
    return [f"face {face}: {line}" if several else line for (face, _), line in lines.items()]


def _write(picture: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    import cv2

    shadow = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
    for (dx, dy), paint in [*((one, SHADE) for one in shadow), ((0, 0), colour)]:
        at = (place[0] + dx, place[1] + dy)
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, paint, 1, cv2.LINE_AA)


def _curves(strip: np.ndarray, state: FaceState, chosen: dict[int, np.ndarray], at: int) -> None:
    """The last seconds of the chosen units' intensity, 0 to 5; now is at the right. ``chosen``: unit ->
    frames where it cannot be judged, whose curve is thin and which have no figure."""
    import cv2

    height, width = strip.shape[:2]
    now, left, right, high, low = state.times[at], 24, width - 76, 10, height - 8
    window = max(min(WINDOW, float(state.times[-1])), 1e-3)
    part = slice(int(np.searchsorted(state.times, now - window)), at + 1)
    for level, y in ((FULL, high), (0.0, low)):
        cv2.line(strip, (left, y), (right, y), RULE, 1)
        _write(strip, f"{level:.0f}", (8, y + 5), WORD)
    for number, (au, unjudged) in enumerate(chosen.items()):
        colour = COLOURS[number % len(COLOURS)]
        curve = np.clip(np.nan_to_num(strongest_side(state, au, part)), 0, FULL)
        x = left + (right - left) * (1 - (now - state.times[part]) / window)
        y = low - (low - high) * curve / FULL
        line = np.round(np.stack([x, y], 1)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(strip, [line], False, colour, 1, cv2.LINE_AA)
        for first, stop in runs(~unjudged[part]):
            cv2.polylines(strip, [line[first:stop]], False, colour, 2, cv2.LINE_AA)
        figure = "?" if unjudged[at] else f"{curve[-1]:.1f}"
        _write(strip, f"AU{au} {figure}", (right + 8, 18 + 18 * number), colour)
