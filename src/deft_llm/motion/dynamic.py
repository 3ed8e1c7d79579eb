"""Dynamic images: one picture of how appearance changes in time (Bilen et al. 2016)."""

from __future__ import annotations

import numpy as np


def rank_pooling_weights(count: int) -> np.ndarray:
    """Weights (T,) of approximate rank pooling: 2(T-t+1) - (T+1)(H_T - H_(t-1)), t = 1..T; they sum to 0."""
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, count + 1))])
    t = np.arange(1, count + 1)
    return 2.0 * (count - t + 1) - (count + 1) * (harmonic[count] - harmonic[t - 1])


def dynamic_image(frames: np.ndarray) -> np.ndarray:
    """Dynamic image (H, W) float32 of grey frames (T, H, W): positive where they grow brighter.

    Scaled so that it does not grow with T: a linear ramp of one grey level over the clip gives about 1.
    A single frame gives zeros.
    """
    frames = np.asarray(frames, np.float32)
    if frames.shape[0] < 2:
        return np.zeros(frames.shape[1:], np.float32)
    weights = rank_pooling_weights(frames.shape[0])
    weights /= weights @ np.linspace(0.0, 1.0, frames.shape[0])
    return np.tensordot(weights.astype(np.float32), frames, axes=1)
