"""The page's timeline: the report's drawing with movements as buttons, and the same as a row of chips."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from deft_llm.explain.timeline import (
    LISTED,
    NARROW,
    caption_of,
    key_of,
    kind_class,
    name_of,
    svg_timeline,
)
from deft_llm.explain.words import between, clock

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis
    from deft_llm.spotting.movement import Movement

WIDTH = 960


def timeline_html(analysis: Analysis, chosen: int = 0) -> str:
    """Curves of brows, eyes and mouth with one button per movement (``data-rank``), wide and, for a phone,
    narrow; what they mean; and a chip for each movement."""
    wide, narrow = (svg_timeline(analysis, width, chosen) for width in (WIDTH, NARROW))
    return (
        f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>{_chips(analysis, chosen)}'
        f'{key_of(analysis, marks=False)}<p class="soft">{caption_of(analysis)}</p>'
    )


def _chips(analysis: Analysis, chosen: int) -> str:
    fps = analysis.video["fps"]
    chips = []
    for rank, reading in enumerate(analysis.readings[:LISTED]):
        movement = reading.movement
        kind = kind_class(movement.kind)
        chips.append(
            f'<button type="button" class="chip {kind}" data-rank="{rank}" '
            f'aria-pressed="{str(rank == chosen).lower()}" '
            f'aria-label="{escape(name_of(rank, reading, fps))}"><b>{rank + 1}</b>'
            f"<span>{escape(movement.called)}</span><i>{_when(movement)}</i></button>"
        )
    if not chips:
        return '<p class="deft-empty">No facial movement that can be judged was found.</p>'
    more = len(analysis.readings) - LISTED
    tail = f'<span class="soft">and {more} later ones in the JSON</span>' if more > 0 else ""
    return f'<div class="chips" role="group" aria-label="Spotted movements">{"".join(chips)}{tail}</div>'


def _when(movement: Movement) -> str:
    """From onset to offset; from when on where its end is not seen."""
    if movement.offset_time is None:
        return f"from {clock(movement.onset_time)}"
    return between(movement.onset_time, movement.offset_time)
