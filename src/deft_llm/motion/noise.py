"""The noise floor: how well each region's motion is known in this clip, without a look at any label."""

from __future__ import annotations

import numpy as np

from deft_llm.motion.flow import round_trip
from deft_llm.motion.table import region_vectors


def jitter(triples: np.ndarray) -> np.ndarray:
    """Frame-to-frame noise (R,) px of a region's motion from triples (K, 3, R, 2) of neighbouring frames.

    Second differences forget steady motion; white noise of spread s gives them 6 s^2. With few triples
    each region leans on the median of all, and none passes twice that: real motion at a low frame rate bends
    too, and must not count as its own noise.
    """
    if len(triples) == 0:
        return np.zeros(triples.shape[2] if triples.ndim == 4 else 0)
    bend = triples[:, 0] - 2 * triples[:, 1] + triples[:, 2]
    variance = (bend**2).mean(axis=(0, 2)) / 6.0
    common = np.median(variance)
    samples, prior = 2 * len(triples), 6
    mixed = (samples * variance + prior * common) / (samples + prior)
    return np.sqrt(np.minimum(mixed, 4 * common))


def disagreement(forward: np.ndarray, backward: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Per region (R,) px: how far the flow there and back misses, halved as two errors share it."""
    miss = region_vectors(round_trip(forward, backward), weights)
    return np.linalg.norm(miss, axis=1) / 2


def noise_floor(frame_jitter: np.ndarray, averaged: int, miss: np.ndarray, residual: float) -> np.ndarray:
    """Floor (R,) px of one phase: jitter of both ends (each a mean of ``averaged`` frames), round trip miss,
    and what the head's motion left on rigid skin."""
    return np.sqrt(2 * frame_jitter**2 / averaged + miss**2 + residual**2)
