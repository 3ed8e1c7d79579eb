"""LBP-TOP (Zhao and Pietikainen, PAMI 2007) on blocks of the aligned face, then
an SVM: the field's first baseline.

Uniform patterns with 8 neighbours (XY) and 4 in time planes, radius 1, over 5x5 blocks. A store keeps three
aligned faces (onset, apex, offset), so the volume has three frames and time planes read the change around the
apex; the papers use 10 and more interpolated frames.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from deft_llm.methods.features import resized
from deft_llm.methods.kernel import KernelMethod, SVMOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Sample, Task

BLOCKS = 5
SIZE = 112
# Neighbours (t, y, x) around a pixel of the middle frame, in circular order, per plane.
PLANES = {
    "XY": ((0, 0, 1), (0, 1, 1), (0, 1, 0), (0, 1, -1), (0, 0, -1), (0, -1, -1), (0, -1, 0), (0, -1, 1)),
    "XT": ((0, 0, 1), (1, 0, 1), (1, 0, 0), (1, 0, -1), (0, 0, -1), (-1, 0, -1), (-1, 0, 0), (-1, 0, 1)),
    "YT": ((0, 1, 0), (1, 1, 0), (1, 0, 0), (1, -1, 0), (0, -1, 0), (-1, -1, 0), (-1, 0, 0), (-1, 1, 0)),
}


@lru_cache
def uniform_codes(bits: int = 8) -> tuple[np.ndarray, int]:
    """Bin of each code (2 ** bits,) and the number of bins: codes of at most two changes have their own."""
    bins, table = 0, np.zeros(1 << bits, np.int64)
    others = []
    for code in range(1 << bits):
        ring = [(code >> bit) & 1 for bit in range(bits)]
        if sum(ring[i] != ring[i - 1] for i in range(bits)) <= 2:
            table[code] = bins
            bins += 1
        else:
            others.append(code)
    table[others] = bins
    return table, bins + 1


def lbp_top(volume: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Histograms (blocks * blocks * 3 planes * 59), each summing to 1, of grey levels (3, H, W)."""
    if volume.shape[0] != 3:
        raise ValueError(f"LBP-TOP reads three frames here, got {volume.shape[0]}")
    table, bins = uniform_codes()
    height, width = volume.shape[1] - 2, volume.shape[2] - 2
    centre = volume[1, 1:-1, 1:-1]
    rows = np.arange(height) * blocks // height
    columns = np.arange(width) * blocks // width
    block = rows[:, None] * blocks + columns[None]
    parts = []
    for neighbours in PLANES.values():
        code = np.zeros(centre.shape, np.int64)
        for bit, (t, y, x) in enumerate(neighbours):
            near = volume[1 + t, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
            code |= (near >= centre).astype(np.int64) << bit
        counts = np.bincount((block * bins + table[code]).ravel(), minlength=blocks * blocks * bins)
        histogram = counts.reshape(blocks * blocks, bins).astype(np.float32)
        parts.append(histogram / np.maximum(histogram.sum(1, keepdims=True), 1))
    return np.concatenate(parts, axis=1).ravel()


def face_texture(sample: Sample) -> np.ndarray:
    """(BLOCKS ** 2 * 3 * 59,) square roots of a clip's LBP-TOP histograms (Hellinger kernel)."""
    faces = sample.motion.faces
    assert faces is not None
    return np.sqrt(lbp_top(resized(faces.astype(np.float32).mean(-1), SIZE)))


def build(task: Task, **options: Any) -> KernelMethod:
    """Build the baseline; it needs faces."""
    return KernelMethod(
        "lbptop_svm",
        frozenset({"faces"}),
        task,
        face_texture,
        read_options(SVMOptions, "lbptop_svm", options),
    )
