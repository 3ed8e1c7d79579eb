"""A small z-buffer in numpy: which triangle is seen at each pixel, and where in it."""

from __future__ import annotations

import numpy as np


def rasterise(
    points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Visible triangle and barycentric coordinates at each pixel centre.

    points (V, 2) px (x right, y down); depth (V,), larger = nearer; triangles (T, 3), facing the camera
    when counter-clockwise seen with y up. Returns triangle (H, W) int32, -1 = none, and weights (H, W, 3).
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    low = np.floor(np.minimum(np.minimum(a, b), c)).astype(int)
    high = np.ceil(np.maximum(np.maximum(a, b), c)).astype(int)
    extent = (high - low).max(1) + 1
    front = (area < -1e-9) & (high >= 0).all(1) & (low[:, 0] < width) & (low[:, 1] < height)
    found = []
    edge = 4
    while front.any():
        chosen = np.flatnonzero(front & (extent <= edge))
        front[chosen] = False
        if len(chosen):
            found.append(_cover(points, depth, triangles, area, low, chosen, edge, height, width))
        edge *= 2
        if edge > 8 * max(height, width):
            break
    triangle = np.full(height * width, -1, np.int32)
    weights = np.zeros((height * width, 3), np.float32)
    if found:
        pixel, z, index, bary = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(z, kind="stable")  # the nearest is written last and stays
        triangle[pixel[order]] = index[order]
        weights[pixel[order]] = bary[order]
    return triangle.reshape(height, width), weights.reshape(height, width, 3)


def _cover(
    points: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    area: np.ndarray,
    low: np.ndarray,
    chosen: np.ndarray,
    edge: int,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels covered by triangles that fit an ``edge`` x ``edge`` box: (pixel, depth, triangle, weights)."""
    step = np.arange(edge)
    x = low[chosen, 0][:, None, None] + step[None, None, :] + 0 * step[None, :, None]
    y = low[chosen, 1][:, None, None] + step[None, :, None] + 0 * step[None, None, :]
    corners = [points[triangles[chosen, k]][:, None, None, :] for k in range(3)]
    inverse = 1.0 / area[chosen][:, None, None]
    bary = []
    for k in range(3):
        p, q = corners[(k + 1) % 3], corners[(k + 2) % 3]
        cross = (p[..., 0] - x) * (q[..., 1] - y) - (q[..., 0] - x) * (p[..., 1] - y)
        bary.append(cross * inverse)
    inside = (np.minimum(np.minimum(bary[0], bary[1]), bary[2]) >= -1e-6) & (x >= 0) & (x < width)
    inside &= (y >= 0) & (y < height)
    weights = np.stack([part[inside] for part in bary], -1).astype(np.float32)
    index = np.broadcast_to(chosen[:, None, None], inside.shape)[inside].astype(np.int32)
    z = (weights * depth[triangles[index]]).sum(-1)
    return (y * width + x)[inside], z, index, weights
