"""Region motion as vectors: mirroring, normalisation and non-negative template regression.

A *region vector* is (R, 2): dx (image right) and dy (down) of each region of ``facs.regions``, onset to apex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deft_llm.facs.regions import REGION_INDEX, REGION_KEYS, mirror_key
from deft_llm.store.motion import Motion

REGION_COUNT = len(REGION_KEYS)
_MIRROR = np.array([REGION_INDEX[mirror_key(key)] for key in REGION_KEYS])
_FLIP = np.array([-1.0, 1.0])


def mirrored(vectors: np.ndarray) -> np.ndarray:
    """Region vectors (..., R, 2) of the mirrored face: left and right swap, dx changes sign."""
    return np.asarray(vectors)[..., _MIRROR, :] * _FLIP


@dataclass(frozen=True)
class RegionVector:
    """One clip's region vector ready for the constraint.

    vector: (R, 2) aligned px, or relative units with zero and scale of each channel taken out;
    floor: (R,) noise floor in the same units; scale: root mean square of ``vector``;
    usable: (R,) whether the region could be measured; units: "px" or "relative".
    """

    vector: np.ndarray
    floor: np.ndarray
    usable: np.ndarray
    scale: float
    units: str

    @cached_property
    def typical_floor(self) -> float:
        """Median noise floor over the regions."""
        return float(np.median(self.floor))


def region_vector(motion: Motion, phase: int = 0) -> RegionVector:
    """The region vector of one phase of ``motion``; relative maps lose each channel's zero and scale."""
    table = motion.regions
    vector = np.stack([table.dx[phase], table.dy[phase]], axis=-1).astype(np.float64)
    floor = np.asarray(table.floor[phase], np.float64)
    usable = np.asarray(np.isfinite(vector).all(axis=-1))
    vector = np.where(usable[:, None], vector, 0.0)
    if motion.units == "relative":
        vector = channel_normalised(vector, usable)
        floor = np.full(REGION_COUNT, RELATIVE_FLOOR)
    finite = np.isfinite(floor) & (floor > 0)
    floor = np.where(finite, floor, np.median(floor[finite]) if finite.any() else DEFAULT_FLOOR)
    scale = float(np.sqrt(np.mean(vector[usable] ** 2))) if usable.any() else 0.0
    return RegionVector(vector, floor, usable, scale, motion.units)


RELATIVE_FLOOR = 0.35
DEFAULT_FLOOR = 0.1


def channel_normalised(vectors: np.ndarray, usable: np.ndarray | None = None) -> np.ndarray:
    """Take out what a stretched map lost: each channel's median over regions, then its spread.

    ``vectors``: (..., R, 2); the spread is the root mean square around the median, so the result does not
    depend on the zero or scale that each channel of a map was stored with.
    """
    vectors = np.asarray(vectors, np.float64)
    kept = vectors if usable is None else np.where(np.asarray(usable)[..., None], vectors, np.nan)
    with np.errstate(all="ignore"):
        centred = vectors - np.nan_to_num(np.nanmedian(kept, axis=-2, keepdims=True))
        spread = np.sqrt(
            np.nanmean((kept - np.nanmedian(kept, axis=-2, keepdims=True)) ** 2, -2, keepdims=True)
        )
    spread = np.where(np.nan_to_num(spread) > 1e-9, np.nan_to_num(spread), 1.0)
    result = centred / spread
    return result if usable is None else np.where(np.asarray(usable)[..., None], result, 0.0)


@dataclass(frozen=True)
class Regression:
    """Non-negative template regression: amplitude and worth of every atom.

    amplitudes: (K,) in units of the vector (the template's strongest region moves by 1);
    gains: (K,) squared-error growth when the atom alone is left out and the other active ones refitted, in
    noise units (>= 0);
    residual: share of the vector's energy that no atom explains.
    """

    amplitudes: np.ndarray
    gains: np.ndarray
    residual: float


def regress(vector: np.ndarray, weights: np.ndarray, atoms: np.ndarray) -> Regression:
    """Explain ``vector`` (R, 2) by ``atoms`` (K, R, 2), none negative; ``weights`` (R, 2) are 1/noise.

    Least squares under non-negativity (Lawson and Hanson 1974), with a weak ridge that shares motion among
    near-equal templates instead of choosing one at random.
    """
    from scipy.optimize import nnls

    stacked, target = _system(vector, weights, atoms)
    amplitudes, _ = nnls(stacked, target)
    gains = np.zeros(len(atoms))
    active = np.flatnonzero(amplitudes > 1e-6)
    if active.size:
        inverse = np.linalg.inv(stacked[:, active].T @ stacked[:, active])
        gains[active] = amplitudes[active] ** 2 / np.diag(inverse)
    rows = len(target) - len(atoms)
    energy = float(np.sum(target**2))
    left = float(np.sum((target[:rows] - stacked[:rows] @ amplitudes) ** 2))
    return Regression(amplitudes, gains, left / energy if energy > 0 else 0.0)


def misfit(vector: np.ndarray, weights: np.ndarray, atoms: np.ndarray) -> float:
    """What no non-negative sum of ``atoms`` explains of ``vector``, in noise units."""
    from scipy.optimize import nnls

    return float(nnls(*_system(vector, weights, atoms))[1])


def _system(vector: np.ndarray, weights: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(atoms)
    design = (atoms * weights).reshape(count, -1).T
    ridge = RIDGE * np.sqrt(np.mean(np.sum(design**2, axis=0)))
    stacked = np.vstack([design, ridge * np.eye(count)])
    return stacked, np.concatenate([(vector * weights).reshape(-1), np.zeros(count)])


RIDGE = 0.1
