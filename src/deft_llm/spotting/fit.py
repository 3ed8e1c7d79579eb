"""When a movement starts, peaks and ends: a rise, a hold and a fall fitted to its curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
ENOUGH = 100  # samples that a fit needs
# A raised cosine passes these shares of its height at these shares of its length.
LOW, HIGH = 0.2, 0.8
AT_LOW, AT_HIGH = 0.295, 0.705
FIRST_REACH, LAST_REACH = 0.15, 0.1  # of the search: share of the rise, of a frame
OUTSIDE = 10.0  # by which a movement costs more for each window's length that it leaves the window
# A fall is an end where it is this share of the rise, and this share of it lies in the window.
ENDS_DROP, ENDS_SEEN = 0.5, 0.6
# What one round tries: each of onset, apex, release and offset by itself, neighbours together, all.
MOVES = np.array([
    [sign * float(start <= mark <= stop) for mark in range(4)]
    for sign in (-1, 1) for start in range(4) for stop in range(start, 4)
])  # fmt: skip


@dataclass(frozen=True)
class FittedCurve:
    """A fitted curve in seconds: rise from ``onset`` to ``apex``, fall from ``release`` to ``offset``.

    ``height`` of the rise and ``drop`` of the fall are in the curve's units; ``offset`` is None where it
    falls back by less than half. ``fit``: share of the variance that the three phases explain.
    """

    onset: float
    apex: float
    release: float
    offset: float | None
    height: float
    drop: float
    fit: float


def fit_curve(times: Array, curve: Array, peak: int, *, effort: int = 30) -> FittedCurve:
    """Fit rise, hold and fall (raised cosines) to ``curve`` (T,) around index ``peak``.

    Heights follow from the four times by least squares; the times are found by a pattern search of at most
    ``effort`` rounds from the crossings of 20 % and 80 %. A raised cosine is close to the minimum-jerk curve
    of real movements.
    """
    if len(times) > 2 * ENOUGH:  # a long window at a high frame rate: every n-th frame says the same
        every = len(times) // ENOUGH
        times, curve, peak = times[peak % every :: every], curve[peak % every :: every], peak // every
    marks = np.array(_first_guess(times, curve, peak))
    centred = curve - curve.mean()
    frame = float(np.median(np.diff(times)))
    reach = max(2 * frame, FIRST_REACH * float(marks[1] - marks[0]))
    least, _ = _residuals(times, centred, _in_order(marks[None], frame))
    marks, best = _in_order(marks[None], frame)[0], float(least[0])
    for _ in range(effort):
        tried = _in_order(marks + reach * MOVES, frame)
        left, _ = _residuals(times, centred, tried)
        # A window says little of a movement that starts before it or ends long after it.
        span = float(times[-1] - times[0])
        outside = np.maximum(times[0] - tried[:, 0], 0) + np.maximum(tried[:, 3] - times[-1] - span, 0)
        left = left * (1 + OUTSIDE * outside / span)
        choice = int(np.argmin(left))
        if left[choice] < best:
            marks, best = tried[choice], float(left[choice])
        else:
            reach *= 0.5
            if reach < LAST_REACH * frame:
                break
    left, solution = _residuals(times, centred, marks[None])
    _, height, drop = solution[0]
    variance = float((centred**2).sum()) + 1e-12
    ends = drop >= ENDS_DROP * height and marks[2] + ENDS_SEEN * (marks[3] - marks[2]) <= times[-1]
    return FittedCurve(
        onset=float(marks[0]), apex=float(marks[1]), release=float(marks[2]),
        offset=float(marks[3]) if ends else None,
        height=float(height), drop=float(drop), fit=1.0 - float(left[0]) / variance,
    )  # fmt: skip


def _in_order(marks: Array, frame: float) -> Array:
    """Marks (K, 4), a frame at least to rise and to fall."""
    onset, apex, release, offset = marks.T
    apex = np.maximum(apex, onset + frame)
    release = np.maximum(release, apex)
    return np.stack([onset, apex, release, np.maximum(offset, release + frame)], axis=1)


def _first_guess(times: Array, curve: Array, peak: int) -> tuple[float, float, float, float]:
    before, after = curve[: peak + 1], curve[peak:]
    base_left, base_right = float(before.min()), float(after.min())
    rise, fall = curve[peak] - base_left, curve[peak] - base_right

    def last_below(level: float) -> int:
        below = np.flatnonzero(before < level)
        return int(below[-1]) if len(below) else 0

    def first_below(level: float) -> int:
        below = np.flatnonzero(after < level)
        return peak + int(below[0]) if len(below) else len(curve) - 1

    rise_low, rise_high = (times[last_below(base_left + share * rise)] for share in (LOW, HIGH))
    fall_high, fall_low = (times[first_below(base_right + share * fall)] for share in (HIGH, LOW))
    step = float(np.median(np.diff(times)))
    between = AT_HIGH - AT_LOW
    up = max((rise_high - rise_low) / between, 2 * step)
    down = max((fall_low - fall_high) / between, 2 * step)
    onset, offset = rise_low - AT_LOW * up, fall_low + AT_LOW * down
    apex = min(onset + up, times[peak])
    return float(onset), float(apex), float(max(apex, offset - down)), float(offset)


def _residuals(times: Array, curve: Array, marks: Array) -> tuple[Array, Array]:
    """Squared residuals (K,) of the best base, height, drop at times ``marks`` (K, 4), and those (K, 3)."""
    starts, stops = marks[:, [0, 2], None], marks[:, [1, 3], None]
    share = np.clip((times - starts) / np.maximum(stops - starts, 1e-6), 0.0, 1.0)
    design = np.empty((len(marks), 3, len(times)))
    design[:, 0] = 1.0
    design[:, 1:] = 0.5 - 0.5 * np.cos(np.pi * share)
    design[:, 2] *= -1.0
    gram = design @ design.transpose(0, 2, 1) + 1e-9 * np.eye(3)
    aim = design @ curve
    solution = np.linalg.solve(gram, aim[..., None])[..., 0]
    left = float(curve @ curve) - (solution * aim).sum(1)
    return np.maximum(left, 0.0), solution
