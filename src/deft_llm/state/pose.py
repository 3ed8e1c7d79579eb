"""The head's pose out of landmarks with depth: points in the person's own upright frame.

Every frame's landmarks are laid on the person's own rigid shape by a similarity in space (robust), so turn,
size and place of the head are gone. The forehead stays out of the fit: it rises with the brows and would
drag the mouth down with it (AU1 moved the mouth by -2.9 % of the distance between the eyes with the
forehead, by -1.3 % without, on rendered faces).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS
from deft_llm.spooled import Spool, in_parts

# Bridge and tip of the nose, eye corners, temples.
RIGID = (168, 6, 197, 195, 5, 4, 1, 33, 133, 263, 362, 127, 356, 34, 264, 162, 389)
IRISES = (468, 473)
ROUNDS = 3  # of the robust fit
TOLERANCE = 1.5  # medians of the misfit at which a point counts half


def in_space(landmarks: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(..., K, 3) right, up, towards the camera, from landmarks (..., K, 2) and depth (..., K), px."""
    return np.stack([landmarks[..., 0], -landmarks[..., 1], -depth], -1).astype(float)


def canonical_shape(ids: np.ndarray) -> np.ndarray:
    """(K, 3) of the mean face in % of the distance between the irises, from the bridge of the nose."""
    shape = in_space(CANONICAL_LANDMARKS, CANONICAL_DEPTH)
    unit = np.linalg.norm(shape[IRISES[0]] - shape[IRISES[1]]) / 100
    return (shape[ids] - shape[RIGID[0]]) / unit


def lay_on(seen: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale (T,), rotation (T, 3, 3) and shift (T, 3) that carry points (T, n, 3) onto ``known`` (n, 3).

    Umeyama's closed form (1991), reweighted: points that stay off count less.
    """
    weights = np.ones(seen.shape[:2])
    for _ in range(ROUNDS):
        share = weights / weights.sum(1, keepdims=True)
        middle, target = np.einsum("tn,tnk->tk", share, seen), share @ known
        away, aim = seen - middle[:, None], known[None] - target[:, None]
        u, d, v = np.linalg.svd(np.einsum("tn,tni,tnj->tij", share, aim, away))
        sign = np.ones((len(seen), 3))
        sign[:, 2] = np.sign(np.linalg.det(u @ v))
        turn = (u * sign[:, None]) @ v
        scale = (d * sign).sum(1) / np.einsum("tn,tnk->t", share, away**2)
        shift = target - scale[:, None] * np.einsum("tij,tj->ti", turn, middle)
        placed = scale[:, None, None] * np.einsum("tni,tji->tnj", seen, turn) + shift[:, None]
        misfit = np.linalg.norm(placed - known, axis=2)
        weights = 1 / (1 + (misfit / (TOLERANCE * np.median(misfit, 1, keepdims=True) + 1e-9)) ** 2)
    return scale, turn, shift


@dataclass(frozen=True)
class Head:
    """How the head of T frames is laid on the person's own upright frame: ``scale`` (T,), ``turn`` (T, 3, 3)
    and ``shift`` (T, 3), NaN where no face is seen."""

    scale: np.ndarray
    turn: np.ndarray
    shift: np.ndarray

    def upright(self, points: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Points (t, K, 3) in space of the frames ``part``, upright, % of the distance between the eyes."""
        turned = np.einsum("tni,tji->tnj", points, self.turn[part])
        return np.ascontiguousarray(self.scale[part, None, None] * turned + self.shift[part, None])

    @property
    def angles(self) -> np.ndarray:
        """(T, 3) degrees: yaw, pitch, roll. Yaw is positive towards the image's right, pitch upwards, roll
        towards the image's right."""
        r = self.turn.transpose(0, 2, 1)
        return np.degrees(np.stack([
            np.arctan2(r[:, 0, 2], r[:, 2, 2]), np.arcsin(np.clip(r[:, 1, 2], -1, 1)),
            np.arctan2(-r[:, 1, 0], r[:, 1, 1]),
        ], 1))  # fmt: skip


def fit_head(count: int, rigid: Callable[[slice], np.ndarray]) -> Head:
    """The head in ``count`` frames: first laid on the mean face, then on the person's own shape.

    ``rigid`` gives its points RIGID in space (t, n, 3) of some frames, NaN where no face is seen.
    """
    scale, turn = np.full(count, np.nan), np.full((count, 3, 3), np.nan)
    shift = np.full((count, 3), np.nan)
    head = Head(scale, turn, shift)
    known = canonical_shape(np.asarray(RIGID))
    for _ in range(2):
        own = _OwnShape(count)
        for part in in_parts(count):
            points = rigid(part)
            good = np.flatnonzero(np.isfinite(points).all((1, 2)))
            if not len(good):
                continue
            # Points first in memory: their sums then do not depend on how the caller's array lies.
            seen = np.ascontiguousarray(points[good].transpose(1, 0, 2)).transpose(1, 0, 2)
            at = part.start + good
            scale[at], turn[at], shift[at] = lay_on(seen, known)
            own.add(head.upright(points, part)[good])
        if not own.frames:
            break
        known = own.median()
    return head


class _OwnShape:
    """The median of a person's upright points RIGID, of which memory never holds all frames."""

    def __init__(self, count: int) -> None:
        self.frames = 0
        self._most = count
        self._values: Spool[int] = Spool()

    def add(self, points: np.ndarray) -> None:
        """Points (t, n, 3) of more frames."""
        for number, column in enumerate(points.reshape(len(points), -1).T):
            self._values.put(number, column, self.frames, self._most)
        self.frames += len(points)

    def median(self) -> np.ndarray:
        """(n, 3)."""
        middle = [np.median(self._values[number][: self.frames]) for number in range(len(self._values))]
        return np.array(middle).reshape(-1, 3)


def upright(points: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (T, K, 3) in the person's own upright frame, and the head's angles (T, 3), as ``Head`` has them.

    points: landmarks ``ids`` (K,) in space (``in_space``), NaN where no face is seen.
    """
    rigid = points[:, np.searchsorted(ids, RIGID)]
    head = fit_head(len(points), rigid.__getitem__)
    return head.upright(points), head.angles
