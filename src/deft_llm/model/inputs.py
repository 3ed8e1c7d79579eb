"""From a clip's motion to what the motion expert reads: relative 28 x 28 maps and a relative region table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deft_llm.model.experts import GRID
from deft_llm.store import Motion

CLIP = 6.0
"""Relative values beyond this many standard deviations carry no more meaning (outliers of the estimator)."""


@dataclass
class MotionInput:
    """maps (P, 3, 28, 28) relative (u, v, strain); phases (P,) bool; table (P, R, 3) relative dx, dy,
    divergence."""

    maps: np.ndarray
    phases: np.ndarray
    table: np.ndarray


def motion_input(motion: Motion) -> MotionInput:
    """What the expert sees of one clip. Any map size from 28 to 224 px; both phases where there are two."""
    stacked = np.concatenate([motion.flow, motion.strain[:, None]], axis=1).astype(np.float32)
    return maps_input(stacked)


def maps_input(maps: np.ndarray) -> MotionInput:
    """Maps (P, 3, H, W) of any unit or stretch to the expert's input (P padded to 2)."""
    small = np.stack([resize(phase) for phase in np.asarray(maps, np.float32)])
    ready = relative_maps(small)
    count = min(len(ready), 2)
    padded = np.zeros((2, 3, GRID, GRID), np.float32)
    padded[:count] = ready[:count]
    return MotionInput(padded, np.arange(2) < count, region_pool(padded))


def resize(maps: np.ndarray, size: int = GRID) -> np.ndarray:
    """Maps (C, H, W) to (C, size, size) by area averaging (linear interpolation upwards)."""
    if maps.shape[1:] == (size, size):
        return maps
    import cv2

    shrink = maps.shape[1] >= size and maps.shape[2] >= size
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, (size, size), interpolation=method) for channel in maps])


def relative_maps(maps: np.ndarray) -> np.ndarray:
    """``motion.normalise.relative`` over (..., H, W), clipped to +-6."""
    from deft_llm.motion.normalise import relative

    return np.clip(relative(np.asarray(maps, np.float32)), -CLIP, CLIP).astype(np.float32)


@lru_cache(maxsize=1)
def canonical_weights() -> np.ndarray:
    """(R, 28 * 28) weights of the face regions in the canonical layout."""
    from deft_llm.faces.regions import region_weights

    return region_weights(None, size=(GRID, GRID)).reshape(-1, GRID * GRID).astype(np.float32)


def region_pool(maps: np.ndarray) -> np.ndarray:
    """Region table (..., R, 3) of relative maps (..., 3, 28, 28): mean u, v and divergence in each region."""
    weights = canonical_weights()
    u, v = maps[..., 0, :, :], maps[..., 1, :, :]
    divergence = np.gradient(u, axis=-1) + np.gradient(v, axis=-2)
    stack = np.stack([u, v, 2.0 * divergence], axis=-1).reshape(*u.shape[:-2], GRID * GRID, 3)
    return np.einsum("rk,...kf->...rf", weights, stack).astype(np.float32)


def collate(inputs: Sequence[MotionInput]):
    """Stacked tensors (maps, phases, table) of a batch; the second phase is dropped where no clip has one."""
    import torch

    count = 2 if any(item.phases[1] for item in inputs) else 1
    return (
        torch.from_numpy(np.stack([item.maps[:count] for item in inputs])),
        torch.from_numpy(np.stack([item.phases[:count] for item in inputs])),
        torch.from_numpy(np.stack([item.table[:count] for item in inputs])),
    )
