"""Where and when the skin leaves its place, how surely: excursions of regions above their own noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.spotting.clean import cleaned
from deft_llm.spotting.signal import Array, Signal, jitter_of

SCALES = (0.12, 0.25, 0.5, 1.0, 2.2)  # s: half widths of the excursions that are looked for
BLOCK = 6.0  # s over which a region's noise is taken as constant
QUANTILE = 0.35  # of ordinary moments; a 2-D Gaussian's length lies there at .93 sigmas
CALM_BLOCK, CALM_QUANTILE = 2.5, 0.2  # s, and the share of moments in which a face is at its calmest
SHORT = 2.5  # s: in shorter stretches a movement may fill most of the time
SHORT_QUANTILE = 0.5  # of the quantiles above that is taken in short stretches
# In a short clip the movement itself fills the longer scales: their figures are at most so many times those
# of the shortest one.
SHORT_LIMIT = 2.5
LONGEST_LAG = 1.2  # lengths of the stretch that a scale may have
JITTER_SHARE = 0.8  # of the camera noise that the floor has at least


@dataclass(frozen=True)
class Excursion:
    """One region away from where it was before and after: frame, region, scale (s), z."""

    peak: int
    region: int
    scale: float
    z: float
    size: float


def smooth(displacement: Array, fps: float) -> Array:
    """Displacement (T, R, 2) smoothed by some 12 ms: noise goes, an onset of 60 ms stays."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(displacement.astype(np.float32), max(0.45, 0.012 * fps), axis=0, mode="nearest")


def camera_noise(displacement: Array) -> Array:
    """(R,) aligned px: what a region's figure jitters from frame to frame (second differences, robust)."""
    if len(displacement) < 5:
        return np.full(displacement.shape[1], 0.1)
    return jitter_of(displacement, (0, 2)) + 1e-3


@dataclass(frozen=True)
class Paths:
    """One measured stretch: smoothed displacement (T, R, 2), camera noise (R,), and per scale (s) how far
    each region is away from where it was before and after, and its floor, both (T, R) aligned px.

    ``stray``: per scale (A, T) aligned px, how far the region of an area that strays most does so while the
    area is calm: of many regions one always seems to move, and only what stands out from that is seen.
    """

    path: Array
    jitter: Array
    away: dict[float, Array]
    floor: dict[float, Array]
    stray: dict[float, Array]

    def floor_at(self, seconds: float, frame: int) -> Array:
        """(R,) the floor for a movement that takes ``seconds`` from start to end, around ``frame``."""
        return self.floor[self._scale(seconds)][min(frame, len(self.path) - 1)]

    def stray_at(self, seconds: float, frame: int) -> Array:
        """(A,) what stands for calm in each area, for a movement of ``seconds`` around ``frame``."""
        return self.stray[self._scale(seconds)][:, min(frame, len(self.path) - 1)]

    def _scale(self, seconds: float) -> float:
        return min(self.floor, key=lambda scale: abs(np.log(scale / max(0.5 * seconds, 1e-3))))


def measure_paths(signal: Signal, part: slice, areas: tuple[Array, ...] = ()) -> Paths:
    """Smooth a stretch and measure each region's excursions, their floor, and the stray of each area.

    ``areas``: (R,) bool each, which regions belong to it.
    """
    jitter = camera_noise(signal.displacement[part])
    path = smooth(cleaned(signal, part, jitter), signal.fps)
    away: dict[float, Array] = {}
    floor: dict[float, Array] = {}
    stray: dict[float, Array] = {}
    at = np.arange(len(path))
    for scale in SCALES:
        lag = max(1, int(round(scale * signal.fps)))
        if lag > LONGEST_LAG * len(path) and away:
            continue
        rest = 0.5 * (path[np.maximum(at - lag, 0)] + path[np.minimum(at + lag, len(path) - 1)])
        away[scale] = np.linalg.norm(path - rest, axis=2)
        floor[scale] = np.hypot(wander(away[scale], signal.fps), JITTER_SHARE * jitter[None]).astype(
            np.float32
        )
        if len(path) < SHORT * signal.fps:
            floor[scale] = np.minimum(floor[scale], SHORT_LIMIT * floor[min(floor)])
        straying = (
            np.stack([away[scale][:, area].max(1) for area in areas], 1) if areas else at[:, None][:, :0]
        )
        stray[scale] = _calm(straying, signal.fps).T
        if len(path) < SHORT * signal.fps:
            stray[scale] = np.minimum(stray[scale], SHORT_LIMIT * stray[min(stray)])
    return Paths(path, jitter, away, floor, stray)


def find_excursions(paths: Paths, fps: float, least_z: float, least_px: float) -> list[Excursion]:
    """Excursions of all regions in one stretch, strongest first; frames count from the stretch's start."""
    found: list[Excursion] = []
    for scale, size in paths.away.items():
        z = size / paths.floor[scale]
        for region in range(size.shape[1]):
            for peak in _peaks(z[:, region], max(1, int(round(0.5 * scale * fps)))):
                if z[peak, region] >= least_z and size[peak, region] >= least_px:
                    found.append(Excursion(int(peak), region, scale, float(z[peak, region]),
                                           float(size[peak, region])))  # fmt: skip
    return sorted(found, key=lambda excursion: -excursion.z)


def wander(size: Array, fps: float) -> Array:
    """(T, R) how far each region strays in ordinary moments, in blocks of some seconds.

    A low quantile, so that movements in up to half of the block don't raise it.
    """
    width = int(BLOCK * fps)
    short = len(size) <= 1.5 * width
    low = SHORT_QUANTILE * QUANTILE if short and len(size) < SHORT * fps else QUANTILE
    return _in_blocks(size, width, low) / np.sqrt(-2 * np.log(1 - low))


def unusual(speed: Array, fps: float) -> Array:
    """(T,) how much faster the head is than in ordinary moments, in blocks of some seconds."""
    usual = _in_blocks(speed[:, None], int(BLOCK * fps), QUANTILE)[:, 0]
    return np.maximum(speed - usual, 0.0)


def _calm(straying: Array, fps: float) -> Array:
    """(T, A) how far the areas' most straying regions are away while the area is calm."""
    low = CALM_QUANTILE if len(straying) >= SHORT * fps else SHORT_QUANTILE * CALM_QUANTILE
    return _in_blocks(straying, int(CALM_BLOCK * fps), low)


def _in_blocks(size: Array, width: int, quantile: float) -> Array:
    """(T, R) quantile over overlapping blocks of ``width`` frames, straight lines between their centres."""
    if len(size) <= 1.5 * width:
        return np.broadcast_to(np.quantile(size, quantile, axis=0), size.shape)
    centres = np.arange(width // 2, len(size) - width // 2 + 1, max(1, width // 3))
    blocks = np.stack([np.quantile(size[c - width // 2 : c + width // 2], quantile, axis=0) for c in centres])
    at = np.arange(len(size))
    return np.stack([np.interp(at, centres, blocks[:, r]) for r in range(size.shape[1])], axis=1)


def _peaks(values: Array, reach: int) -> Array:
    from scipy.ndimage import maximum_filter1d

    return np.flatnonzero(values == maximum_filter1d(values, 2 * reach + 1, mode="nearest"))
