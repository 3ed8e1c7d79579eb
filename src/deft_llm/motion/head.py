"""Head motion: what of the flow the whole head did, fitted on rigid regions and taken out.

The model is a similarity of the image plane plus, where landmarks give depth, the parallax of a small turn
and nod (near points move more than far ones). Fitted by iteratively reweighted least squares with
Geman-McClure weights, so that parts that an expression moves lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE

LEAST_POINTS, MOST_POINTS = 12, 4000  # pixels that a fit uses


@dataclass(frozen=True)
class HeadMotion:
    """``params`` (log scale, rotation rad, tx, ty px) about the frame's centre; ``turn`` and ``nod``:
    parallax in px of a point one inter-ocular distance nearer; ``residual``: robust spread
    left on rigid skin, px; ``field`` (2, H, W): the flow that the head alone would show."""

    params: np.ndarray
    turn: float
    nod: float
    residual: float
    field: np.ndarray = field(repr=False)


class HeadFit:
    """Fits head motion to many flows of one face: what depends on the face alone is made once.

    ``weight`` (H, W): where and how much the flow counts; ``depth`` (H, W) in px adds parallax. Fewer than
    12 weighted pixels give no motion. Lengths are in the flow's own pixels.
    """

    def __init__(self, weight: np.ndarray, depth: np.ndarray | None = None, *, iterations: int = 8) -> None:
        height, width = weight.shape
        rows, columns = np.nonzero(weight > 0)
        step = max(1, len(rows) // MOST_POINTS)
        self.rows, self.columns, self.iterations = rows[::step], columns[::step], iterations
        self.base = weight[self.rows, self.columns].astype(float)
        x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None]
        y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
        nearer = None if depth is None else (-depth / (ALIGNED_IOD * width / ALIGNED_SIZE)).astype(np.float32)
        self._grid = (x, y, nearer)
        at_x, at_y = x[0, self.columns].astype(float), y[self.rows, 0].astype(float)
        one, nil = np.ones_like(at_x), np.zeros_like(at_x)
        across, down = [at_x, -at_y, one, nil], [at_y, at_x, nil, one]
        if nearer is not None:
            near = nearer[self.rows, self.columns].astype(float)
            across, down = [*across, near, nil], [*down, nil, near]
        self._design = np.concatenate([np.stack(across, 1), np.stack(down, 1)])

    def fit(self, flow: np.ndarray) -> HeadMotion:
        """The head's motion in flow (2, H, W)."""
        count = len(self.rows)
        if count < LEAST_POINTS:
            return HeadMotion(np.zeros(4), 0.0, 0.0, 0.0, np.zeros_like(flow, dtype=np.float32))
        values = np.asarray(flow)[:, self.rows, self.columns].astype(float).ravel()
        importance, spread = self.base.copy(), 0.0
        solution = np.zeros(self._design.shape[1])
        for _ in range(self.iterations):
            weighted = self._design * np.concatenate([importance, importance])[:, None]
            normal = weighted.T @ self._design
            steady = normal + np.diag(1e-9 * np.diag(normal) + 1e-12)
            solution = np.linalg.solve(steady, weighted.T @ values)
            left = values - self._design @ solution
            miss = np.hypot(left[:count], left[count:])
            spread = _weighted_median(miss, self.base)
            importance = self.base / (1 + (miss / (1.5 * spread + 1e-4)) ** 2) ** 2
        a, b, tx, ty = solution[:4]
        params = np.array([np.log(np.hypot(1 + a, b)), np.arctan2(b, 1 + a), tx, ty])
        turn, nod = solution[4:6] if len(solution) > 4 else (0.0, 0.0)
        return HeadMotion(params, float(turn), float(nod), float(spread), self._shown(solution))

    def _shown(self, solution: np.ndarray) -> np.ndarray:
        """Flow (2, H, W) that these motions show."""
        x, y, nearer = self._grid
        a, b, tx, ty = solution[:4].astype(np.float32)
        field = np.stack([a * x - b * y + tx, a * y + b * x + ty])
        if nearer is not None:
            field[0] += np.float32(solution[4]) * nearer
            field[1] += np.float32(solution[5]) * nearer
        return field


def depth_map(landmarks: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """Depth (H, W) in pixels of the map, zero mean over the face, from the canonical face's depth."""
    import cv2
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    points = np.asarray(CANONICAL_LANDMARKS if landmarks is None else landmarks, float)[:468]
    values = CANONICAL_DEPTH[:468] - CANONICAL_DEPTH[:468].mean()
    coarse = (np.arange(32) + 0.5) * ALIGNED_SIZE / 32 - 0.5
    x, y = np.meshgrid(coarse, coarse)
    depth = LinearNDInterpolator(points, values)(x, y)
    beyond = np.isnan(depth)
    if beyond.any():
        depth[beyond] = NearestNDInterpolator(points, values)(x[beyond], y[beyond])
    wide = cv2.resize(depth.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return wide * (size[1] / ALIGNED_SIZE)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
