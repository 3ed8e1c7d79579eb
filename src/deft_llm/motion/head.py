"""Head motion: what of the flow the whole head did, fitted on rigid regions and taken out.

The model is a similarity of the image plane plus, where landmarks give depth, the parallax of a small turn
and nod (near points move more than far ones). Fitted by iteratively reweighted least squares with
Geman-McClure weights, so that parts that an expression moves lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE


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


def fit_head_motion(
    flow: np.ndarray, weight: np.ndarray, depth: np.ndarray | None = None, *, iterations: int = 8
) -> HeadMotion:
    """Fit head motion to flow (2, H, W) where ``weight`` (H, W) > 0; ``depth`` (H, W) in px adds parallax.

    Fewer than 12 weighted pixels give no motion. Lengths are in the flow's own pixels.
    """
    height, width = flow.shape[1:]
    rows, columns = np.nonzero(weight > 0)
    zero = HeadMotion(np.zeros(4), 0.0, 0.0, 0.0, np.zeros_like(flow, dtype=np.float32))
    if len(rows) < 12:
        return zero
    step = max(1, len(rows) // 4000)
    rows, columns = rows[::step], columns[::step]
    base = weight[rows, columns].astype(float)
    u, v = flow[0, rows, columns].astype(float), flow[1, rows, columns].astype(float)
    design = _design(columns, rows, width, height, None if depth is None else depth[rows, columns])
    values = np.concatenate([u, v])
    importance = base.copy()
    solution = np.zeros(design.shape[1])
    spread = 0.0
    for _ in range(iterations):
        weighted = design * np.concatenate([importance, importance])[:, None]
        normal = weighted.T @ design
        solution = np.linalg.solve(normal + np.diag(1e-9 * np.diag(normal) + 1e-12), weighted.T @ values)
        left = values - design @ solution
        miss = np.hypot(left[: len(rows)], left[len(rows) :])
        spread = _weighted_median(miss, base)
        importance = base / (1 + (miss / (1.5 * spread + 1e-4)) ** 2) ** 2
    all_rows, all_columns = np.mgrid[0:height, 0:width]
    whole = _design(all_columns.ravel(), all_rows.ravel(), width, height,
                    None if depth is None else depth.ravel())  # fmt: skip
    shown = (whole @ solution).reshape(2, height, width).astype(np.float32)
    a, b, tx, ty = solution[:4]
    params = np.array([np.log(np.hypot(1 + a, b)), np.arctan2(b, 1 + a), tx, ty])
    turn, nod = solution[4:6] if depth is not None else (0.0, 0.0)
    return HeadMotion(params, float(turn), float(nod), float(spread), shown)


def remove_head_motion(
    flow: np.ndarray, mask: np.ndarray, landmarks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Flow (2, H, W) without the head's motion, and that motion (4,): log scale, rotation, tx, ty.

    ``mask`` (H, W) bool: pixels that may be used (the face). ``landmarks`` (478, 2) in the aligned frame
    place the rigid regions; without them the canonical face does. The similarity is about the centre.
    """
    from deft_llm.motion.regions import rigid_weight

    size = flow.shape[1:]
    weight = rigid_weight(landmarks, size) * mask
    depth = depth_map(landmarks, size) if min(size) >= 64 else None
    motion = fit_head_motion(np.asarray(flow, np.float32), weight, depth)
    return flow - motion.field, motion.params


def depth_map(landmarks: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """Depth (H, W) in pixels of the map, zero mean over the face, from the canonical face's depth."""
    import cv2
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    from deft_llm.motion.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS

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


def _design(
    columns: np.ndarray, rows: np.ndarray, width: int, height: int, depth: np.ndarray | None
) -> np.ndarray:
    """(2N, 4 or 6): u rows then v rows of (scale, rotation, tx, ty[, turn, nod])."""
    x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
    one, nil = np.ones_like(x, float), np.zeros_like(x, float)
    u = [x, -y, one, nil]
    v = [y, x, nil, one]
    if depth is not None:
        nearer = -depth / (ALIGNED_IOD * width / ALIGNED_SIZE)
        u += [nearer, nil]
        v += [nil, nearer]
    return np.concatenate([np.stack(u, 1), np.stack(v, 1)]).astype(float)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
