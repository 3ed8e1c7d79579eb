"""Praat TextGrid: an interval tier per AU and side, a point tier with its apexes; by praatio."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from deft_llm.codings.events import CodedEvent, Coding, FrameClock, event_at
from deft_llm.codings.tiers import (
    NO_EVENTS,
    on_tiers,
    parse_tier,
    take_inside,
    tier_name,
    unread_of,
    value_of,
    words_of,
)  # fmt: skip
from deft_llm.errors import DeftError
from deft_llm.files import write_bytes

SEPARATOR = ": "
"""Between an interval's words (phase, intensity, status) and its note."""
ROUNDING = 1e-6  # s: times are written with six decimals
INSIDE = 4e-6
"""Seconds by which an apex at its onset is marked later where the event before ends there."""


def write(coding: Coding, path: Path) -> None:
    """Write ``coding``; TextGrid holds no media, no coder and no frame rate."""
    from praatio import textgrid

    coding = coding.sorted()
    tiers: dict[str, list[CodedEvent]] = {}
    span = lambda event: (event.onset_time, end_of(event, coding.fps))  # noqa: E731
    for number, event in on_tiers(coding.events, span):
        tiers.setdefault(tier_name(event, number), []).append(event)
    last = max((end_of(event, coding.fps) for event in coding.events), default=1.0)
    grid = textgrid.Textgrid(0.0, last)
    for name, events in sorted(tiers.items()):
        rows = [(event.onset_time, end_of(event, coding.fps), label_of(event)) for event in events]
        grid.addTier(textgrid.IntervalTier(name, rows, 0.0, last))
        ends = {end for _, end, _ in rows}
        apexes = [
            (time if time > event.onset_time or time not in ends else round(time + INSIDE, 6), "apex")
            for event in events if (time := event.apex_time) is not None
        ]  # fmt: skip
        if apexes:
            grid.addTier(textgrid.PointTier(f"{name} apex", apexes, 0.0, last))
    if not tiers:
        grid.addTier(textgrid.IntervalTier(NO_EVENTS, [], 0.0, last))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "coding.TextGrid"
        grid.save(str(draft), format="long_textgrid", includeBlankSpaces=True, reportingMode="silence")
        write_bytes(path, draft.read_bytes())


def end_of(event: CodedEvent, fps: float) -> float:
    """Where the interval ends: the offset, or a tenth of a frame after an onset that is the offset too."""
    return max(event.offset_time, round(event.onset_time + 0.1 / fps, 6))


def label_of(event: CodedEvent) -> str:
    """ "rise C", with the note behind a colon."""
    return SEPARATOR.join(filter(None, (value_of(event), event.note.replace("\n", " "))))


def read(path: Path, clock: FrameClock | None) -> Coding:
    """The events of all interval tiers whose name is an AU; other tiers are not events.

    Raises: DeftError for a file that is no TextGrid, and without a clock: it holds no frame rate.
    """
    from praatio import textgrid

    if clock is None:
        raise DeftError(f"{path}: a TextGrid holds no frame rate; give it with --fps or --media.")
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
    except Exception as error:  # the library raises ValueError, IndexError, its own and others
        raise DeftError(f"{path}: is no TextGrid that can be read; save it anew in Praat.") from error
    events = []
    tiers = {tier.name: parse_tier(tier.name, path) for tier in grid.tiers}
    for tier in grid.tiers:
        named = tiers[tier.name]
        if named is None:
            continue
        if not isinstance(tier, textgrid.IntervalTier):
            raise DeftError(
                f"{path}: {tier.name} is a tier of points; events have an onset and an offset: make it one "
                f"of intervals, or call it '{tier.name} apex'."
            )
        marks = _marks(grid, f"{tier.name} apex")
        for start, end, label in tier.entries:
            words, _, note = label.partition(SEPARATOR)
            where = f"{path}: {tier.name} at {start:.3f} s"
            events.append(event_at(
                clock, where=where, au=named.au, side=named.side, face=named.face,
                onset_time=start, offset_time=end, **words_of([words], note, named.intensity, where),
                apex_time=take_inside(marks, start - ROUNDING, end + ROUNDING),
            ))  # fmt: skip
    return Coding(fps=clock.fps, events=events, unread=unread_of(tiers)).sorted()


def _marks(grid: Any, name: str) -> list[float]:
    return sorted(time for time, _ in grid.getTier(name).entries) if name in grid.tierNames else []
