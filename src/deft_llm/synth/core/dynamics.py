"""How a movement unfolds: onset, apex and offset of each AU, head drift and tremor, blinks, flicker.

Micro-expressions rise fast and fade more slowly (onset phase mostly below 260 ms, Yan et al. 2013); the AUs
of one expression are not perfectly synchronous. Times are seconds, curves are values per frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pulse:
    """One rise and fall: begins at ``onset``, is largest from ``apex`` to ``apex + hold``,
    is gone at ``offset`` (s).

    ``rise`` and ``fall`` bend the flanks (1 = straight, larger = steeper in the middle); ``rest`` is what
    stays after the offset (0..1).
    """

    onset: float
    apex: float
    offset: float
    hold: float = 0.0
    rise: float = 1.8
    fall: float = 1.4
    rest: float = 0.0

    def curve(self, times: np.ndarray) -> np.ndarray:
        """Strength 0..1 at ``times`` (T,)."""
        up = _bend((times - self.onset) / max(self.apex - self.onset, 1e-6), self.rise)
        end = max(self.offset, self.apex + self.hold + 1e-6)
        down = _bend((times - self.apex - self.hold) / (end - self.apex - self.hold), self.fall)
        return up * (1 - (1 - self.rest) * down)

    def shifted(self, onset: float, apex: float, offset: float) -> Pulse:
        """The same pulse with its times moved by these seconds, kept in order."""
        begin = self.onset + onset
        top = max(self.apex + apex, begin + 0.02)
        return Pulse(begin, top, max(self.offset + offset, top + self.hold + 0.02), self.hold, self.rise,
        self.fall,
                     self.rest)  # fmt: skip


def _bend(x: np.ndarray, power: float) -> np.ndarray:
    """A smooth step from 0 to 1 over x in 0..1; ``power`` 1 is straight."""
    x = np.clip(x, 0, 1)
    return x**power / (x**power + (1 - x) ** power)


def micro_pulse(rng: np.random.Generator, start: float) -> Pulse:
    """A micro-expression that starts at ``start``: 120 to 500 ms in all, onset phase 40 to 250 ms."""
    rise = float(np.clip(np.exp(rng.normal(np.log(0.135), 0.42)), 0.04, 0.25))
    hold = float(rng.uniform(0, 0.05))
    fall = float(np.clip(rise * np.exp(rng.normal(0.2, 0.4)), 0.06, 0.5 - rise - hold))
    return Pulse(start, start + rise, start + rise + hold + fall, hold, float(rng.uniform(1.3, 2.3)),
                 float(rng.uniform(1.1, 1.8)), float(rng.choice([0.0, rng.uniform(0, 0.2)])))  # fmt: skip


def macro_pulse(rng: np.random.Generator, start: float) -> Pulse:
    """An ordinary expression: 0.6 to 2 s."""
    rise, hold, fall = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.8)
    return Pulse(start, start + rise, start + rise + hold + fall, hold, 1.6, 1.4)


def blink_pulse(rng: np.random.Generator, start: float) -> Pulse:
    """A blink: closes in about 70 ms, opens in about 150 ms."""
    close, opening = rng.uniform(0.05, 0.09), rng.uniform(0.1, 0.2)
    return Pulse(start, start + close, start + close + opening + 0.02, 0.02, 1.5, 1.5)


def smooth_walk(rng: np.random.Generator, times: np.ndarray, pace: float) -> np.ndarray:
    """A smooth random path (T,) of unit spread that wanders over about ``pace`` seconds."""
    length = max(float(times[-1] - times[0]), 1e-3)
    count = max(int(np.ceil(length / pace)) + 4, 5)
    knots = rng.normal(0, 1, count)
    at = (times - times[0]) / pace + 1
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.arange(count), knots)(at)


def head_motion(
    rng: np.random.Generator, times: np.ndarray, drift: float, turn_drift: float, tremor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Head moves (T, 3) dm and turns (T, 3) radians: slow drift and a fine 8-12 Hz tremor.

    ``drift`` dm and ``turn_drift`` radians are typical changes over 0.15 s; ``tremor`` radians.
    """
    move = np.stack([smooth_walk(rng, times, 0.6) for _ in range(3)], -1) * drift * 1.6
    turn = np.stack([smooth_walk(rng, times, 0.6) for _ in range(3)], -1) * turn_drift * 1.6
    frequency, phase = rng.uniform(8, 12, 3), rng.uniform(0, 2 * np.pi, 3)
    turn = turn + tremor * np.sin(2 * np.pi * frequency * times[:, None] + phase)
    return (move - move[0]).astype(np.float32), (turn - turn[0]).astype(np.float32)


def flicker(rng: np.random.Generator, times: np.ndarray, depth: float, mains: float) -> np.ndarray:
    """Brightness (T,) about 1 under lamps on ``mains`` Hz:
    light pulses at twice that, aliased by the camera."""
    phase = rng.uniform(0, 2 * np.pi)
    return (1 + depth * np.sin(2 * np.pi * 2 * mains * times + phase)).astype(np.float32)


def asynchronous(rng: np.random.Generator, pulse: Pulse) -> Pulse:
    """The pulse of a further AU of the same expression: a little earlier or later, its own flanks."""
    rise = pulse.apex - pulse.onset
    shift = rng.normal(0, 0.12, 3) * rise
    moved = pulse.shifted(abs(float(shift[0])), float(shift[1]), float(shift[2]))
    return Pulse(moved.onset, moved.apex, moved.offset, moved.hold, float(rng.uniform(1.3, 2.3)),
                 float(rng.uniform(1.1, 1.8)), pulse.rest)  # fmt: skip
