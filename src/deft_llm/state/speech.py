"""Speech: stretches in which the mouth opens and closes again and again.

Grimaces in quick succession do the same with the whole face; what stands out of the usual swing of such a
stretch, or comes with brows and nose, is told all the same (``spotting``).
"""

from __future__ import annotations

import numpy as np

from deft_llm.state.channels import Channels, runs, zigzag

WINDOW, REVERSALS = 1.2, 5  # s, reversals of the mouth within it
SWINGS = (("gap", 1.5), ("width", 3.0))  # channel, % of the eye distance that a reversal takes
LEAST = 0.5  # s
SPEECH_AUS = frozenset({10, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28})
"""The mouth's units that speech uses; a smile (12) is none of them."""


def speech_frames(d: Channels, fps: float) -> np.ndarray:
    """(T,) bool."""
    turns = np.zeros(len(d["gap"]))
    for name, least in SWINGS:
        for frame, _ in zigzag(np.nan_to_num(d[name]), least):
            turns[frame] += 1
    window = max(1, round(WINDOW * fps))
    dense = np.convolve(turns, np.ones(window), "same")[: len(turns)] >= REVERSALS
    out = np.zeros(len(turns), bool)
    for start, stop in runs(dense):
        if stop - start >= LEAST * fps:
            out[start:stop] = True
    return out
