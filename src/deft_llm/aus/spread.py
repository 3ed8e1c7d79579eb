"""How region vectors scatter: over people, from region to region, by noise and residual head motion.

All covariances are over a region vector laid flat, (2R, 2R): dx, dy of the first region, of the second, ...
The sizes are those that ``recipes/au_support/simulate.py`` draws its px scenes with.
"""

from __future__ import annotations

import numpy as np

from deft_llm.aus.region_vectors import REGION_COUNT

REGION_GAIN = 0.15**2 + 0.07**2  # variance of a region's gain: the person's, the estimator's
REGION_TURN = 0.15**2  # variance of the tangent of a region's turn
LEAK = 0.015  # px that one px of an AU leaks to any region
WHITE = 0.6  # noise that regions do not share, over noise that they do
SMOOTH_PX = 35.0  # length over which shared noise is alike, aligned px
HEAD_PX = 0.08  # residual shift of the head, aligned px
HEAD_RADIUS = 60.0  # px from the middle at which HEAD_PX's turn and scale move by half of it
FLOOR_OVER_NOISE = 1.15  # what a measured noise floor shows of the noise


def template_covariance(template: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Covariance (2R, 2R) of an AU's region vector at 1 px: people, each region's gain and turn, leaks.

    ``template``: (R, 2); ``components``: (C, R, 2), what people differ by from it.
    """
    flat = components.reshape(len(components), 2 * REGION_COUNT)
    found = flat.T @ flat + LEAK**2 * np.eye(2 * REGION_COUNT)
    for region, along in enumerate(template):
        across = np.array([-along[1], along[0]])
        block = slice(2 * region, 2 * region + 2)
        found[block, block] += REGION_GAIN * np.outer(along, along) + REGION_TURN * np.outer(across, across)
    return found


def noise_covariance(centres: np.ndarray) -> np.ndarray:
    """Covariance (2R, 2R) of noise of unit size, partly shared by neighbouring regions; centres (R, 2) px."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    shared = np.exp(-(distance**2) / (2 * SMOOTH_PX**2))
    return np.kron(shared + WHITE**2 * np.eye(len(centres)), np.eye(2))


def head_covariance(centres: np.ndarray) -> np.ndarray:
    """Covariance (2R, 2R), px^2, that a small shift, turn and scaling of the head leave; centres (R, 2)."""
    x, y = ((centres - centres.mean(0)) / HEAD_RADIUS).T
    still = np.zeros_like(x)
    moves = [
        np.stack(axes, -1).ravel()
        for axes in ((still + 1, still), (still, still + 1), (-0.5 * y, 0.5 * x), (0.5 * x, 0.5 * y))
    ]
    return HEAD_PX**2 * np.array(moves).T @ np.array(moves)
