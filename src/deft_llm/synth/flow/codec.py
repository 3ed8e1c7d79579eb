"""What a video codec leaves of faint motion before any estimator sees it: skipped blocks and coarse vectors.

A coder repeats a block of the last picture where the picture changed too little to be worth bits, and moves
a block as a whole, in steps of a quarter pixel, before it corrects what is left. So faint motion survives at
lips, brows and lids and is lost on smooth skin, block by block. (H.264 / AVC: P_Skip macroblocks,
quarter-sample motion vectors; motion JPEG loses low contrast in the same way.)
"""

from __future__ import annotations

import numpy as np

from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.draw import loguniform, uniform

QUARTER = 0.25  # of a pixel of the coded picture


class Codec:
    """One coder and its place in the crop: ``work`` x ``work`` px are cut in blocks; drawn from ``rng``."""

    def __init__(self, rng: np.random.Generator, config: FlowConfig, work: int) -> None:
        side = uniform(rng, config.coded_block) * work / 100
        shift = rng.uniform(0, side, 2)
        row, column = ((np.arange(work) + start) // side for start in shift)
        block = (row[:, None] * (column.max() + 1) + column[None]).astype(int).ravel()
        _, self.block = np.unique(block, return_inverse=True)
        self.count = np.bincount(self.block).astype(np.float32)
        self.skip = loguniform(rng, config.coded_skip)
        self.whole = uniform(rng, config.coded_whole)
        # the crop is 280 px of the scale of all motion; the coded picture may have shown it smaller or larger
        self.step = QUARTER / uniform(rng, config.coded_scale)

    def apply(self, tensor: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Changes the true flows (F, N), px, in place; returns which pixels lie in skipped blocks (F, N).

        ``tensor`` (3, N): planes xx, xy, yy of the structure tensor: how much a motion changes the picture.
        """
        a, b, c = tensor
        change = np.sqrt(self._means(a * u * u + 2 * b * u * v + c * v * v))
        limit = self.skip * np.quantile(change, 0.98, axis=1, keepdims=True)
        skipped = change < limit
        for flow in (u, v):
            vector = np.rint(self._means(flow) / self.step) * self.step
            flow += self.whole * (vector[:, self.block] - flow)
        kept = ~skipped[:, self.block]
        u *= kept
        v *= kept
        return ~kept

    def _means(self, planes: np.ndarray) -> np.ndarray:
        """Mean of planes (F, N) in each block (F, blocks)."""
        return np.stack([np.bincount(self.block, plane, len(self.count)) for plane in planes]) / self.count
