"""The region table: what each region of the face did, against its own noise."""

from __future__ import annotations

import numpy as np

from deft_llm.facs.regions import REGION_KEYS
from deft_llm.motion.strain import divergence
from deft_llm.records import Units
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE, RegionTable

# No region of 90 px faces is known better than this, whatever the frames repeat (docs/results/motion.md).
LEAST_FLOOR = 0.02
MOVING_Z = 4.0
"""Noise floors from which a region clearly moves."""
GOES_BACK, STAYS = 0.6, 0.25
"""Share of its motion that goes back by the offset: from which a region goes back, up to which it
stays."""


def taken_back(rise: np.ndarray, fall: np.ndarray) -> float:
    """Share of the motion of regions (..., 2) that a later one (..., 2) takes back: 1 where all return, below
    0 where they go on; NaN where either is not known."""
    return float(-(rise * fall).sum() / max(float((rise * rise).sum()), 1e-12))


def region_vectors(flow: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean flow (..., R, 2) of each region: flow (..., 2, H, W) under weights (R, H, W)."""
    flat = weights.reshape(weights.shape[0], -1)
    values = np.asarray(flow, np.float32).reshape(*flow.shape[:-2], -1)
    return np.swapaxes(values @ flat.T, -1, -2)


def region_table(
    flow: np.ndarray,
    *,
    weights: np.ndarray,
    units: Units,
    px_scale: float | None = None,
    iod_px: float | None = None,
    floor: np.ndarray | None = None,
    profile: tuple[np.ndarray, np.ndarray] | None = None,
) -> RegionTable:
    """Region table of flow (P, 2, H, W), head motion removed.

    ``weights`` (R, H, W) sum to 1; ``px_scale``: source px an aligned px (else from ``iod_px``);
    ``floor`` (R,) or (P, R) noise of a region's motion, aligned px (else from the maps' own still regions);
    ``profile``: seconds (T,) from onset and region vectors (T, R, 2), T <= 16.
    """
    flow = np.asarray(flow, np.float32)
    vectors = region_vectors(flow, weights)
    magnitude = np.linalg.norm(vectors, axis=-1)
    if floor is None:
        floor = _still_floor(magnitude)
        least = 1e-3
    else:
        floor = np.broadcast_to(np.asarray(floor, np.float32), magnitude.shape)
        least = LEAST_FLOOR if units == "px" else 1e-3
    floor = np.maximum(floor, least).astype(np.float32)
    if px_scale is None and iod_px is not None:
        px_scale = iod_px / ALIGNED_IOD
    known = units == "px" and px_scale is not None
    nan = np.full(magnitude.shape, np.nan, np.float32)
    flat = weights.reshape(weights.shape[0], -1)
    cells = flow.shape[-1] / ALIGNED_SIZE
    spreading = divergence(flow).reshape(flow.shape[0], -1) @ flat.T * cells
    times, values = _profile(profile, vectors[0]) if profile is not None else _no_profile()
    return RegionTable(
        dx=vectors[..., 0].astype(np.float32),
        dy=vectors[..., 1].astype(np.float32),
        magnitude=magnitude.astype(np.float32),
        px=(magnitude * px_scale).astype(np.float32) if known else nan,
        iod_percent=(100 * magnitude / ALIGNED_IOD).astype(np.float32) if units == "px" else nan,
        floor=floor,
        z=(magnitude / floor).astype(np.float32),
        divergence=spreading.astype(np.float32),
        profile=values,
        profile_times=times,
    )


def _still_floor(magnitude: np.ndarray) -> np.ndarray:
    """The clip's lower half of regions tells what standing still looks like here; (P, R)."""
    still = np.sort(magnitude, axis=1)[:, : magnitude.shape[1] // 2]
    level = np.sqrt((still**2).mean(1, keepdims=True))
    return np.repeat(level, magnitude.shape[1], axis=1)


def _profile(profile: tuple[np.ndarray, np.ndarray], apex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times, vectors = profile
    length = np.linalg.norm(apex, axis=1, keepdims=True)
    direction = apex / np.maximum(length, 1e-9)
    return np.asarray(times, np.float32), np.einsum("trc,rc->rt", vectors, direction).astype(np.float32)


def _no_profile() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, np.float32), np.zeros((len(REGION_KEYS), 0), np.float32)
