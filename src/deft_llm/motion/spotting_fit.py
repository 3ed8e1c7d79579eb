"""When a movement starts, peaks and ends: a rise, a hold and a fall fitted to its course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
ENOUGH = 100  # samples that a fit needs


@dataclass(frozen=True)
class Course:
    """A fitted course in seconds: rise from ``onset`` to ``apex``, fall from ``release`` to ``offset``.

    ``height`` of the rise and ``drop`` of the fall are in the course's units; ``offset`` is None where it
    falls back by less than half. ``fit``: share of the variance that the three phases explain.
    """

    onset: float
    apex: float
    release: float
    offset: float | None
    height: float
    drop: float
    fit: float


def fit_course(times: Array, course: Array, peak: int, *, effort: int = 110) -> Course:
    """Fit rise, hold and fall (raised cosines) to ``course`` (T,) around index ``peak``.

    Heights follow from the four times by least squares; the times are found by Nelder-Mead, in ``effort``
    steps from the crossings of 20 % and 80 %. A raised cosine is close to the minimum-jerk course of real
    movements.
    """
    from scipy.optimize import minimize

    if len(times) > 2 * ENOUGH:  # a long window at a high frame rate: every n-th frame says the same
        every = len(times) // ENOUGH
        times, course, peak = times[peak % every :: every], course[peak % every :: every], peak // every
    start = _first_guess(times, course, peak)
    step = float(np.median(np.diff(times)))
    span = float(times[-1] - times[0])
    low = np.array([0.0, step, 0.0, step])

    def unpack(parameters: Array) -> Array:
        onset, rise, hold, fall = parameters
        rise, hold, fall = (max(value, least) for value, least in zip((rise, hold, fall), low[1:]))
        apex = onset + rise
        return np.array([onset, apex, apex + hold, apex + hold + fall])

    def cost(parameters: Array) -> float:
        marks = unpack(parameters)
        outside = max(0.0, times[0] - marks[0]) + max(0.0, marks[3] - times[-1] - span)
        negative = float(np.clip(low - np.r_[0.0, parameters[1:]], 0, None).sum())
        return _residual(times, course, marks)[0] * (1 + 10 * (outside + negative) / span)

    onset, apex, release, offset = start
    first = np.array([onset, apex - onset, release - apex, offset - release])
    simplex = np.vstack([first, *(first + np.eye(4)[i] * max(2 * step, 0.15 * first[1]) for i in range(4))])
    options = {"initial_simplex": simplex, "maxiter": effort, "xatol": step / 10, "fatol": 1e-9}
    found = minimize(cost, first, method="Nelder-Mead", options=options).x
    marks = unpack(found)
    left, (_, height, drop) = _residual(times, course, marks)
    variance = float(((course - course.mean()) ** 2).sum()) + 1e-12
    ends = drop >= 0.5 * height and marks[2] + 0.6 * (marks[3] - marks[2]) <= times[-1]
    return Course(
        onset=float(marks[0]), apex=float(marks[1]), release=float(marks[2]),
        offset=float(marks[3]) if ends else None,
        height=float(height), drop=float(drop), fit=1.0 - left / variance,
    )  # fmt: skip


def _first_guess(times: Array, course: Array, peak: int) -> tuple[float, float, float, float]:
    before, after = course[: peak + 1], course[peak:]
    base_left, base_right = float(before.min()), float(after.min())
    rise, fall = course[peak] - base_left, course[peak] - base_right

    def last_below(level: float) -> int:
        below = np.flatnonzero(before < level)
        return int(below[-1]) if len(below) else 0

    def first_below(level: float) -> int:
        below = np.flatnonzero(after < level)
        return peak + int(below[0]) if len(below) else len(course) - 1

    t20, t80 = times[last_below(base_left + 0.2 * rise)], times[last_below(base_left + 0.8 * rise)]
    u80, u20 = times[first_below(base_right + 0.8 * fall)], times[first_below(base_right + 0.2 * fall)]
    step = float(np.median(np.diff(times)))
    # A raised cosine passes 20 % and 80 % at .295 and .705 of its length.
    up, down = max((t80 - t20) / 0.41, 2 * step), max((u20 - u80) / 0.41, 2 * step)
    onset, offset = t20 - 0.295 * up, u20 + 0.295 * down
    apex = min(onset + up, times[peak])
    return float(onset), float(apex), float(max(apex, offset - down)), float(offset)


def _residual(times: Array, course: Array, marks: Array) -> tuple[float, Array]:
    """Squared residual of the best base, height and drop for given times, and those three."""
    design = np.empty((3, len(times)))
    design[0] = 1.0
    for row, start, stop, sign in ((1, marks[0], marks[1], 1.0), (2, marks[2], marks[3], -1.0)):
        share = np.minimum(np.maximum((times - start) / max(stop - start, 1e-6), 0.0), 1.0)
        design[row] = sign * (0.5 - 0.5 * np.cos(np.pi * share))
    gram = design @ design.T
    gram[[0, 1, 2], [0, 1, 2]] += 1e-9
    solution = np.linalg.solve(gram, design @ course)
    left = course - solution @ design
    return float(left @ left), solution
