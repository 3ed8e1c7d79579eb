"""How strongly a video is compressed: its quantiser, and blocks at the face that repeat the frame before.

A camera's noise changes every block; an encoder that has no bits left skips it, and what moves a little
does not move at all, or jumps. Share of skipped blocks in the portrait of ``benchmarks/spotting.py`` by
x264's rate factor: 10 .06, 18 .46, 20 .61, 23 .81, 26 .83, 28 .88, 32 .94; MPEG of 400 kbit/s .04. A head
that sways hides skipped blocks (``benchmarks/codecs.py``: up to .12); of H.264 the decoder tells the
quantisation parameter, whose step doubles every 6.
"""

from __future__ import annotations

import numpy as np

BLOCK = 8  # px
MODERATE, STRONG = 0.7, 0.86
"""Share of skipped blocks from which fine motion is of low confidence, and from which it states nothing."""

COARSE = 24.0
"""Quantisation parameter from which fine motion is of low confidence."""
STEP_DOUBLES, FLOOR_AT, FLOOR_PX = 6.0, 18.0, 0.11


def quantiser_of(told: np.ndarray) -> float:
    """Median quantisation parameter of frames (T,), of which 0 tells none; 0 where none tells."""
    return float(np.median(told[told > 0])) if (told > 0).any() else 0.0


def coding_floor(quantiser: float) -> float:
    """Source px of motion that coding at a quantisation parameter makes by itself; 0 where it is not told."""
    return FLOOR_PX * 2 ** ((quantiser - FLOOR_AT) / STEP_DOUBLES) if quantiser > 0 else 0.0


def skipped_share(before: np.ndarray, now: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Share of the blocks inside ``box`` (x0, y0, x1, y1) px that are the same in two grey frames (H, W)."""
    import cv2

    if before.shape != now.shape:
        return 0.0
    x0, y0 = (max(int(value) // BLOCK * BLOCK, 0) for value in box[:2])
    width, height = (max(int(far - near) // BLOCK, 0) for near, far in ((x0, box[2]), (y0, box[3])))
    part = slice(y0, y0 + height * BLOCK), slice(x0, x0 + width * BLOCK)
    rows, columns = (side // BLOCK for side in before[part].shape)
    if not rows or not columns:
        return 0.0
    change = cv2.absdiff(before[part], now[part])[: rows * BLOCK, : columns * BLOCK]
    lines = np.ascontiguousarray(change).view(np.uint64)  # a block's eight bytes
    changed = np.bitwise_or.reduce(lines.reshape(rows, BLOCK, columns), axis=1)
    return (changed.size - np.count_nonzero(changed)) / changed.size
