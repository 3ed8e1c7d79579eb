"""Where things are in the flat skin texture: the base mesh rasterised once, shared by all subjects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from deft_llm.synth.core.head import TEXTURE_HIGH, TEXTURE_LOW, Head, flat_coordinates, load_head

SIZE = 1024


PIXELS_PER_DM = SIZE / (TEXTURE_HIGH - TEXTURE_LOW)


@dataclass(frozen=True)
class Layout:
    """Where things are in the texture: maps (SIZE, SIZE) computed once from the base mesh."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    lips: np.ndarray
    covered: np.ndarray

    def pixel(self, points: np.ndarray) -> np.ndarray:
        """Texture pixels (..., 2) of front-view points (..., 2) in dm, by the surface's depth there."""
        depth = self._depth(points)
        uv = flat_coordinates(np.concatenate([points, depth[..., None]], -1))
        return uv * SIZE - 0.5

    def _depth(self, points: np.ndarray) -> np.ndarray:
        return _depth_function()(points)


@lru_cache(maxsize=1)
def _depth_function():
    from scipy.interpolate import LinearNDInterpolator

    head = load_head()
    front = (head.rest[:, 2] > 0.5) & (head.material < 0.5) & (head.ear < 0.5)
    return LinearNDInterpolator(head.rest[front, :2], head.rest[front, 2], fill_value=1.0)


@lru_cache(maxsize=1)
def layout() -> Layout:
    """Rasterise the base mesh's coordinates and lips into the texture (the outermost surface wins)."""
    head = load_head()
    grids = _rasterise(head, np.c_[head.rest, head.lips, np.ones(len(head.rest))].astype(np.float32))
    x, y, z, lips, covered = np.moveaxis(grids, -1, 0)
    return Layout(x, y, z, cv2.GaussianBlur(lips, (0, 0), 2.0), covered)


def _rasterise(head: Head, values: np.ndarray) -> np.ndarray:
    """Interpolate per-vertex values (N, C) over the texture, back to front. Returns (SIZE, SIZE, C)."""
    out = np.zeros((SIZE, SIZE, values.shape[1]), np.float32)
    keep = (head.material[head.triangles] < 0.5).all(1)
    triangles = head.triangles[keep]
    radius = np.hypot(head.rest[:, 0], head.rest[:, 2] - 0.35)
    order = np.argsort(radius[triangles].mean(1), kind="stable")
    points = head.uv * SIZE - 0.5
    for corner in triangles[order]:
        p = points[corner]
        low = np.maximum(np.floor(p.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(p.max(0)).astype(int) + 1, SIZE)
        if (high <= low).any() or (high - low).max() > SIZE // 3:
            continue
        gx, gy = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        edge1, edge2 = p[1] - p[0], p[2] - p[0]
        area = edge1[0] * edge2[1] - edge1[1] * edge2[0]
        if abs(area) < 1e-9:
            continue
        dx, dy = gx - p[0, 0], gy - p[0, 1]
        b1 = (dx * edge2[1] - dy * edge2[0]) / area
        b2 = (edge1[0] * dy - edge1[1] * dx) / area
        inside = (b1 >= -1e-3) & (b2 >= -1e-3) & (b1 + b2 <= 1 + 1e-3)
        weights = np.stack([1 - b1 - b2, b1, b2], -1)[inside]
        out[low[1] : high[1], low[0] : high[0]][inside] = weights @ values[corner]
    return out
