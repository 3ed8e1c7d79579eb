"""Speech: stretches in which the mouth opens and closes again and again.

Grimaces in quick succession do the same with the whole face: units that speech does not use are told all the
same (``spotting.phases``).
"""

from __future__ import annotations

import numpy as np

from deft_llm.state.channels import Channels, bridged, runs, zigzag

WINDOW, REVERSALS = 1.2, 5  # s, reversals of the mouth within it
# % of the eye distance that a reversal takes: of the lips' gap, and of the mouth's width, of which more is
# asked the farther it is drawn
GAP_SWING, WIDTH_SWING, WIDE = 2.0, 2.0, 15.0
TOGETHER = 0.12  # s within which a reversal of the width is the gap's
LEAST = 0.5  # s
SYLLABLE = 0.2  # s: the mouth opens for the first one before its first reversal, and closes after the last
SPEECH_AUS = frozenset({10, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28})
"""The mouth's units that speech uses; a smile (12) is none of them."""


def speech_frames(d: Channels, fps: float, hidden: np.ndarray) -> np.ndarray:
    """(T,) bool: from the first to the last of the reversals that lie densely, and a syllable around.

    hidden (T,) bool: frames in which something covers the mouth; what the landmarker makes up there
    counts as no reversal.
    """
    turns = _reversals(d, fps, hidden)
    out = np.zeros(len(d["gap"]), bool)
    for first, last in zip(turns, turns[REVERSALS - 1 :], strict=False):
        if last - first <= WINDOW * fps:
            out[first : last + 1] = True
    around = round(SYLLABLE * fps)
    for start, stop in runs(out):
        out[max(0, start - around) : stop + around] = stop - start >= LEAST * fps
    return out


def _reversals(d: Channels, fps: float, hidden: np.ndarray) -> list[int]:
    """Frames in which the mouth turns from opening to closing or widening to narrowing, or back, and its
    first and last extreme; where it is not seen it does neither."""
    seen = np.isfinite(d["gap"])
    gap = [frame for frame, _ in zigzag(bridged(d["gap"], seen), GAP_SWING)]
    drawn = WIDE * np.arcsinh(bridged(d["width"], np.isfinite(d["width"])) / WIDE)
    width = [
        frame for frame, _ in zigzag(drawn, WIDTH_SWING)
        if all(abs(frame - other) > TOGETHER * fps for other in gap)
    ]  # fmt: skip
    return [frame for frame in sorted(gap + width) if seen[frame] and not hidden[frame]]
