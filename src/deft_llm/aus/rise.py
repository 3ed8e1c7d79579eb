"""The flow constraint in time: the motion rises from onset to apex; a fall after it is only reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.aus.calibration import Gates
from deft_llm.facs.regions import MIDLINE_REGIONS, REGION_INDEX
from deft_llm.facs.units import entry
from deft_llm.store.motion import Motion


@dataclass(frozen=True)
class Rise:
    """at_apex: best value within the apex tolerance over the peak up to then; falls: value at the profile's
    end over the value at the apex (None where the profile ends at the apex); rises: the verdict."""

    at_apex: float
    falls: float | None
    rises: bool


def region_positions(au: int, side: str) -> list[tuple[int, float]]:
    """Rows of the region table in which the AU moves on ``side``, with their weights."""
    sides = ("left", "right") if side not in ("left", "right") else (side,)
    rows: list[tuple[int, float]] = []
    for part in entry(au).motion:
        if part.region in MIDLINE_REGIONS:
            rows.append((REGION_INDEX[part.region], part.weight))
        else:
            rows += [(REGION_INDEX[f"{name} {part.region}"], part.weight / len(sides)) for name in sides]
    return rows


def rise_of(motion: Motion, au: int, side: str, gates: Gates) -> Rise | None:
    """How the AU's regions rise over time; None where the clip has no profile to tell."""
    table = motion.regions
    times = np.asarray(table.profile_times, float)
    if times.size < 4 or motion.indices is None or not motion.fps or motion.indices[1] <= motion.indices[0]:
        return None
    rows = region_positions(au, side)
    weights = np.array([weight for _, weight in rows]) * [table.magnitude[0, row] for row, _ in rows]
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        return None
    profile = (weights / weights.sum()) @ np.nan_to_num(table.profile[[row for row, _ in rows]])
    apex = (motion.indices[1] - motion.indices[0]) / motion.fps
    tolerance = gates.apex_tolerance_frames / motion.fps + float(np.median(np.diff(times)))
    until = times <= apex + tolerance
    near = np.abs(times - apex) <= tolerance
    peak = float(np.max(np.abs(profile[until]))) if until.any() else 0.0
    if peak <= 0 or not near.any():
        return None
    at_apex = float(np.max(profile[near])) / peak
    after = times > apex + tolerance
    falls = float(profile[after][-1]) / max(float(np.max(profile[near])), 1e-6) if after.any() else None
    return Rise(at_apex, falls, at_apex >= gates.minimum_rise)
