"""The apex between two given frames: where the face is farthest from how it was at the first."""

from __future__ import annotations

import numpy as np

from deft_llm.spotting.excursions import camera_noise, smooth
from deft_llm.spotting.signal import Signal


def apex_between(signal: Signal, onset: int, offset: int) -> int:
    """Frame of the largest movement since ``onset``, up to ``offset``, in units of each region's noise; not
    beyond a cut or a gap, where displacements begin anew."""
    other = np.flatnonzero(signal.segment[onset : offset + 1] != signal.segment[onset])
    if len(other):
        offset = onset + max(int(other[0]) - 1, 0)
    part = slice(onset, offset + 1)
    displacement = np.nan_to_num(signal.displacement[part])
    path = smooth(displacement, signal.fps)
    apart = np.linalg.norm(path - path[0], axis=2) / (camera_noise(displacement) + 0.05)
    return onset + int(np.argmax(np.sort(apart, axis=1)[:, -3:].sum(1)))
