"""The one normalisation of flow maps of unknown scale: every method that reads relative maps calls it."""

from __future__ import annotations

import numpy as np


def relative(maps: np.ndarray) -> np.ndarray:
    """Per map and channel: minus its median, over its standard deviation; (..., H, W) float32.

    Forgets the arbitrary zero and scale that a per-channel min-max stretch leaves. A constant map becomes
    zeros; values that are not finite count as the median.
    """
    maps = np.asarray(maps, np.float32)
    known = np.isfinite(maps)
    if known.all():  # training comes here at every step, and nanmedian takes five times as long
        median = np.median(maps, axis=(-2, -1), keepdims=True)
    else:
        empty = ~known.any(axis=(-2, -1), keepdims=True)
        median = np.nanmedian(
            np.where(known, maps, np.where(empty, 0.0, np.nan)), axis=(-2, -1), keepdims=True
        )
    centred = np.where(known, maps - median, 0.0)
    spread = centred.std(axis=(-2, -1), keepdims=True)
    # Rounding leaves a constant map a spread of about eps times its level.
    flat = spread <= 1e-6 * (1.0 + np.abs(median))
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread)).astype(np.float32)
