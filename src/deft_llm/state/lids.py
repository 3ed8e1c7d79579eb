"""Lids and eyes: blinks, winks, closures and shifts of gaze, apart from one another.

A blink shuts a lid for half a second at most; longer it is a closure (AU43), on one side alone a wink. Where
the eye looks down its lid follows by a part only: what the iris explains is no blink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.state.channels import SIDES, Channels, runs, smooth
from deft_llm.state.intensity import open_share

SHUT = 0.45  # share of the usual opening at which an eye is shut
DIPPED = 0.6  # below this the lid is on its way
WEAK_BLINK = 0.3  # share of the opening that a blink takes away within QUICK_SECONDS
QUICK_SECONDS = 0.5  # s: longer it is a closure
WINK_OPEN = 0.62  # least opening of the other eye in a wink
GAZE_STEP = 4.5  # % of the eye distance that the irises move in a shift of gaze
GAZE_SECONDS = 0.15
BLINK_MASK = (0.06, 0.1)  # s before and after a blink in which lids, cheeks and brows are not told
WINK_MASK = (0.15, 0.15)  # of a wink, on both sides: it draws brows' and the other eye's landmarks along


@dataclass(frozen=True)
class LidEvent:
    """``kind``: blink, wink, eyes closed, gaze; frames of ``start``, ``peak``, ``stop`` (inclusive);
    ``side`` both, left or right; ``ends``: whether it is seen to end."""

    kind: str
    start: int
    peak: int
    stop: int
    side: str = "both"
    ends: bool = True


def lid_events(c: Channels, fps: float, usable: np.ndarray) -> list[LidEvent]:
    """Blinks, winks, closures of the eyes and shifts of gaze, in order of time."""
    share = {
        side: _over_usual(np.where(usable, open_share(c[f"aperture_{side}"]), np.nan), fps) for side in SIDES
    }
    found = _closures(share, fps)
    return sorted(found + _gaze_shifts(c, fps, usable, found), key=lambda event: event.start)


def _over_usual(share: np.ndarray, fps: float) -> np.ndarray:
    """(T,) opening over what it is around that second, where the eye is wider open than usual: a blink of
    widened eyes does not come down to half of their usual opening."""
    from scipy.ndimage import median_filter

    filled = np.where(np.isfinite(share), share, 1.0)
    around = median_filter(filled, size=2 * round(0.5 * fps) + 1, mode="nearest")
    return share / np.maximum(around, 1.0)


def _closures(share: dict[str, np.ndarray], fps: float) -> list[LidEvent]:
    right, left = share["right"], share["left"]
    lower = np.fmin(right, left)
    found = []
    for start, stop in runs(np.nan_to_num(lower, nan=1.0) < DIPPED + 0.1):
        part = slice(start, stop)
        peak = start + int(np.nanargmin(lower[part]))
        least = {"right": float(np.nanmin(right[part])), "left": float(np.nanmin(left[part]))}
        lasts = (stop - start) / fps
        sharp = _sharpness(lower, start, peak, stop, fps)
        if min(least.values()) > DIPPED or (min(least.values()) > SHUT and sharp < WEAK_BLINK):
            continue
        shut = int((np.nan_to_num(lower[part], nan=1.0) < DIPPED).sum()) / fps
        side = "both"
        for one, other in (("right", "left"), ("left", "right")):
            if least[one] < SHUT and least[other] > WINK_OPEN:
                side = one
        kind = "eyes closed" if shut > QUICK_SECONDS else "wink" if side != "both" else "blink"
        if kind == "blink" and sharp < WEAK_BLINK and lasts > QUICK_SECONDS:
            continue  # a lid that follows the gaze down
        ends = stop < len(lower) and bool(np.isfinite(lower[stop]))
        found.append(LidEvent(kind, start, peak, stop - 1, side, ends))
    return found


def _sharpness(curve: np.ndarray, start: int, peak: int, stop: int, fps: float) -> float:
    """By how much the curve falls below both of its values a quarter of a second around the peak, and just
    before it starts and after it stops."""
    reach = max(2, round(0.5 * QUICK_SECONDS * fps))
    before = curve[max(0, min(start - 1, peak - reach)) : peak + 1]
    after = curve[peak : min(len(curve), max(stop, peak + reach)) + 1]
    return float(min(np.nanmax(before), np.nanmax(after)) - curve[peak])


def _gaze_shifts(c: Channels, fps: float, usable: np.ndarray, lids: list[LidEvent]) -> list[LidEvent]:
    """Shifts of both irises within GAZE_SECONDS, not under a blink."""
    blind = ~usable
    for event in lids:
        blind[max(0, event.start - 2) : event.stop + 3] = True
    x = (c["iris_x_right"] + c["iris_x_left"]) / 2
    y = (c["iris_right"] + c["iris_left"]) / 2
    lag = max(1, round(GAZE_SECONDS * fps))
    step = np.full(len(x), np.nan)
    if len(x) <= lag:
        return []
    middle = lag // 2
    step[middle : middle + len(x) - lag] = np.hypot(x[lag:] - x[:-lag], y[lag:] - y[:-lag])
    step[smooth(blind.astype(float), 2 * lag + 1) > 0] = np.nan
    found = []
    for start, stop in runs(np.nan_to_num(step) > GAZE_STEP):
        peak = start + int(np.argmax(step[start:stop]))
        found.append(LidEvent("gaze", start, peak, stop - 1))
    return found


def blink_masks(events: list[LidEvent], frames: int, fps: float) -> np.ndarray:
    """(T,) bool: frames around blinks and winks in which lids, cheeks and brows are not told."""
    mask = np.zeros(frames, bool)
    for event in events:
        if event.kind in ("blink", "wink"):
            before, after = (round(s * fps) for s in (BLINK_MASK if event.kind == "blink" else WINK_MASK))
            mask[max(0, event.start - before) : event.stop + after + 1] = True
    return mask
