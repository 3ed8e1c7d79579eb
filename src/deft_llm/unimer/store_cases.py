"""Held-out cases from a prepared synthetic store: true AUs and sizes come from each clip's own truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deft_llm.facs.units import MICRO_AUS, entry
from deft_llm.records import ActionUnit, Clip
from deft_llm.store import Store
from deft_llm.store.motion import Motion
from deft_llm.unimer.held_out import Case
from deft_llm.unimer.time_constraint import region_positions

AVAILABLE = tuple(au for au in MICRO_AUS if au not in (43, 45))


def store_cases(root: Path) -> Iterator[Case]:
    """One case a clip that knows its truth. Clips whose truth holds no AU count as calm.

    An AU's size is its true peak in px where the truth says it, else the measured motion of its regions.
    """
    store = Store(root)
    for clip_id, row in store.rows.items():
        truth = row.clip.truth
        if truth is None:
            continue
        motion = store.motion(clip_id, fields=())
        labels = tuple(unit for unit in truth.aus if unit.number in AVAILABLE)
        kind = "expression" if truth.aus else truth.kind
        sizes = tuple(_size(row.clip, motion, unit) for unit in labels)
        if truth.aus and not labels:
            continue
        yield Case(motion, labels, sizes, kind, float(np.nanmedian(motion.regions.floor[0])))


def _size(clip: Clip, motion: Motion, unit: ActionUnit) -> float:
    """Peak motion of one AU in aligned px."""
    stated = (clip.truth.attributes if clip.truth else {}).get("au_peak_px", {})
    if str(unit.number) in stated:
        return float(stated[str(unit.number)])
    rows = [row for row, weight in region_positions(unit.number, unit.side) if weight > 0]
    values = motion.regions.magnitude[0, rows] if rows and entry(unit.number).motion else np.zeros(1)
    return float(np.nan_to_num(np.nanmax(values)))
