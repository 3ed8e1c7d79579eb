"""The skull's motion in space from the flow on skin over bone: shift, roll, size, yaw and pitch of a face.

A face of known depth (the landmarks') is turned and projected in parallel, so that turns of some 0.3 rad are
explained as they look, not to first order only. Fitted by Gauss-Newton with Cauchy weights.
"""

from __future__ import annotations

import numpy as np

from deft_llm.faces.regions import face_mask, rigid_weight

Array = np.ndarray
CELLS = 28  # the motion is fitted to cells of 8 aligned px
ROUNDS = 4
BONE = 0.4  # share of the largest trust from which a cell lies over bone
# Yaw and pitch act through a depth range of some 100 px, the others through pixels: a light ridge on the
# former keeps them quiet when the head only shifts.
RIDGE = np.diag([1e-6, 1e-6, 1e-3, 1e-3, 60.0, 60.0])


class Skull:
    """One reference frame's face, to which the motion of later frames is fitted.

    ``landmarks`` (478, 2) aligned px; ``depth`` (478,) aligned px, larger is farther; ``weights`` (R, H, W)
    of the regions, H and W multiples of CELLS.
    """

    def __init__(self, landmarks: Array, depth: Array, weights: Array) -> None:
        self._points = _surface(landmarks, depth)
        trust = rigid_weight(landmarks, (CELLS, CELLS)) + 0.1 * face_mask(landmarks, (CELLS, CELLS))
        self._use = np.flatnonzero(trust.ravel() > 0.02)
        self._trust = trust.ravel()[self._use]
        self._bone = self._trust > BONE * self._trust.max()
        self._used = self._points[:, self._use]
        high, wide = weights.shape[1] // CELLS, weights.shape[2] // CELLS
        coarse = weights.reshape(-1, CELLS, high, CELLS, wide).sum((2, 4))
        self._regions = coarse.reshape(len(weights), -1)

    def fit(self, flow: Array) -> tuple[Array, Array, float]:
        """Head (6,): right, down, roll, size, yaw, pitch; what it moves the regions by (R, 2); residual.

        ``flow`` (CELLS, CELLS, 2) aligned px from the reference. The residual is the median of what is left
        of skin over bone: a broad smile moves most of a face.
        """
        seen = np.ascontiguousarray(flow.reshape(-1, 2)[self._use].T, float)
        head, weights = np.zeros(6), self._trust
        for turn in range(ROUNDS + 1):
            shown, slope = _turned(self._used, head)
            left = seen - shown
            apart = np.hypot(left[0], left[1])
            if turn == ROUNDS:
                break
            if turn > 0:
                middle = _weighted_median(apart, self._trust)
                weights = self._trust / (1 + (apart / (1.2 * middle + 0.02)) ** 2)
            weighted = (slope * weights).reshape(6, -1)
            normal = weighted @ slope.reshape(6, -1).T
            head = head + np.linalg.solve(normal + RIDGE, weighted @ left.ravel() - RIDGE @ head)
        residual = float(np.median(apart[self._bone]))
        return head, self._regions @ _turned(self._points, head)[0].T, residual


def _weighted_median(values: Array, weights: Array) -> float:
    """The value below which half of the weight lies, values (n,), weights (n,)."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, 0.5 * total[-1])]])


def _surface(landmarks: Array, depth: Array) -> Array:
    """(3, cells) right, down, depth of each cell about the face's middle: the landmarks' depth, smooth."""
    centres = (np.arange(CELLS) + 0.5) * 224 / CELLS - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(centres, centres))
    apart = (x[:, None] - landmarks[None, :, 0]) ** 2 + (y[:, None] - landmarks[None, :, 1]) ** 2
    near = np.exp(-0.5 * apart / 10.0**2) + 1e-12 / (1 + apart)
    middle = landmarks.mean(0)
    return np.stack([x - middle[0], y - middle[1], near @ depth / near.sum(1)])


def _turned(points: Array, head: Array) -> tuple[Array, Array]:
    """Displacement (2, n) of points (3, n) under a head motion, and its slopes (6, 2, n)."""
    right, down, roll, size, yaw, pitch = head
    x, y, z = points
    across = x * np.cos(yaw) - z * np.sin(yaw)
    away = x * np.sin(yaw) + z * np.cos(yaw)
    below = y * np.cos(pitch) - away * np.sin(pitch)
    c, s = np.exp(size) * np.cos(roll), np.exp(size) * np.sin(roll)
    plane = np.array([[c, -s], [s, c]])
    place = plane @ np.stack([across, below])
    slope = np.zeros((6, 2, len(x)))
    slope[0, 0] = slope[1, 1] = 1.0
    slope[2] = np.stack([-place[1], place[0]])
    slope[3] = place
    slope[4] = plane @ np.stack([-away, -across * np.sin(pitch)])
    slope[5] = plane @ np.stack([np.zeros_like(x), -y * np.sin(pitch) - away * np.cos(pitch)])
    moved = place + np.array([[right], [down]])
    return moved - points[:2], slope
