"""Skin folds that Action Units switch on: where they are, which AU deepens them,
and age's permanent wrinkles.

All furrows share one height map in the flat layout; a weight per vertex says how strongly each is switched
on, so that left and right, and every AU, have their own. Folds per AU follow the FACS manual's appearance
changes (Ekman, Friesen & Hager 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from deft_llm.synth.video.layout import PIXELS_PER_DM, SIZE, layout

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Furrow:
    """One family of folds on the subject's left (mirrored to the right; x > 0), in base dm.

    ``lines`` are polylines; ``width`` dm; ``aus`` gives how much each AU deepens it; ``age`` how much of it
    wrinkled skin shows at rest; ``centre`` and ``reach`` bound the vertices it acts on.
    """

    name: str
    lines: tuple[Points, ...]
    width: float
    depth: float
    aus: tuple[tuple[int, float], ...]
    age: float
    centre: tuple[float, float]
    reach: tuple[float, float]


FURROWS = (
    Furrow(
        "inner forehead",
        tuple(((-0.02, y), (0.14, y + 0.012), (0.30, y + 0.005)) for y in (7.60, 7.69, 7.78, 7.87)),
        0.016, 1.0, ((1, 1.0), (2, 0.25)), 0.55, (0.0, 7.72), (0.30, 0.2),
    ),
    Furrow(
        "outer forehead",
        tuple(((0.26, y + 0.01), (0.40, y + 0.025), (0.55, y)) for y in (7.60, 7.69, 7.78, 7.86)),
        0.016, 0.9, ((2, 1.0), (1, 0.1)), 0.5, (0.42, 7.72), (0.2, 0.2),
    ),
    Furrow(
        "glabella",
        (((0.055, 7.36), (0.062, 7.44), (0.05, 7.55)), ((0.105, 7.43), (0.11, 7.49))),
        0.018, 1.1, ((4, 1.0), (9, 0.4)), 0.4, (0.06, 7.45), (0.12, 0.12),
    ),
    Furrow(
        "nose root",
        (((0.0, 7.30), (0.09, 7.32)), ((0.0, 7.36), (0.08, 7.375)), ((0.05, 7.1), (0.11, 7.2)),
         ((0.09, 7.08), (0.15, 7.17))),
        0.014, 0.9, ((9, 1.0),), 0.15, (0.05, 7.22), (0.13, 0.14),
    ),
    Furrow(
        "crow's feet",
        (((0.53, 7.30), (0.60, 7.345), (0.67, 7.37)), ((0.53, 7.265), (0.61, 7.275), (0.69, 7.275)),
         ((0.52, 7.23), (0.59, 7.20), (0.66, 7.17))),
        0.013, 0.9, ((6, 1.0), (12, 0.3), (7, 0.25)), 0.6, (0.58, 7.27), (0.13, 0.13),
    ),
    Furrow(
        "below the eye",
        (((0.18, 7.18), (0.28, 7.13), (0.40, 7.15)), ((0.20, 7.215), (0.31, 7.175), (0.44, 7.20))),
        0.016, 0.7, ((6, 0.9), (7, 0.8), (9, 0.3)), 0.5, (0.3, 7.17), (0.2, 0.08),
    ),
    Furrow(
        "nasolabial fold",
        (((0.20, 6.95), (0.27, 6.86), (0.325, 6.75), (0.355, 6.64), (0.36, 6.56)),),
        0.026, 1.3, ((12, 1.0), (10, 0.9), (9, 0.7), (6, 0.35), (20, 0.4), (14, 0.3)), 0.75, (0.29, 6.77),
        (0.14, 0.24),
    ),
    Furrow(
        "dimple",
        (((0.305, 6.66), (0.325, 6.605), (0.31, 6.55)),),
        0.020, 1.2, ((14, 1.0), (12, 0.25), (20, 0.3), (24, 0.2)), 0.15, (0.31, 6.605), (0.07, 0.09),
    ),
    Furrow(
        "below the mouth corner",
        (((0.285, 6.575), (0.325, 6.51), (0.345, 6.43)),),
        0.020, 1.0, ((15, 1.0), (17, 0.2)), 0.5, (0.32, 6.51), (0.09, 0.11),
    ),
    Furrow(
        "chin",
        (((0.0, 6.435), (0.10, 6.43), (0.18, 6.40)), ((0.04, 6.37), (0.08, 6.335)), ((0.12, 6.355), (0.10,
        6.31)),
         ((0.01, 6.33), (0.04, 6.29)), ((0.15, 6.31), (0.17, 6.27))),
        0.017, 0.9, ((17, 1.0), (15, 0.15)), 0.2, (0.0, 6.36), (0.24, 0.13),
    ),
    Furrow(
        "lip lines",
        tuple(((x, 6.72), (x * 0.94, 6.78)) for x in (0.03, 0.09, 0.15, 0.20))
        + tuple(((x, 6.47), (x * 0.95, 6.42)) for x in (0.03, 0.09, 0.15)),
        0.009, 0.8, ((18, 1.0), (23, 0.7), (24, 0.6), (28, 0.6)), 0.25, (0.0, 6.6), (0.26, 0.2),
    ),
)  # fmt: skip


def _draw(furrow: Furrow, wobble: np.random.Generator | None) -> np.ndarray:
    """One furrow's relief, both sides, in the flat layout: a groove with a bulge on either side."""
    canvas = np.zeros((SIZE // 2, SIZE // 2), np.uint8)  # folds are soft: half the resolution is enough
    for line in furrow.lines:
        for side in (-1, 1):
            points = np.array(line) * [side, 1]
            if wobble is not None:
                points = points + wobble.normal(0, 0.010, points.shape)
            knots = np.linspace(0, 1, len(points))
            fine = np.linspace(0, 1, 14)
            degree = min(len(points) - 1, 2)
            path = np.stack([np.polyval(np.polyfit(knots, points[:, k], degree), fine) for k in range(2)], -1)
            pixels = np.round(layout().pixel(path) * 8).astype(np.int32)
            cv2.polylines(canvas, [pixels], False, 255, 1, cv2.LINE_AA, 4)
    groove = canvas.astype(np.float32) / 255
    sigma = furrow.width * PIXELS_PER_DM * 0.25
    narrow, wide = cv2.GaussianBlur(groove, (0, 0), sigma), cv2.GaussianBlur(groove, (0, 0), 2.2 * sigma)
    relief = (wide - narrow) * sigma * 8.4 * furrow.depth
    return cv2.resize(relief, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=1)
def furrow_heights() -> np.ndarray:
    """Relief of all AU furrows together (SIZE, SIZE), texture px, the same on every face."""
    return np.sum([_draw(furrow, None) for furrow in FURROWS], 0).astype(np.float32)


def permanent_wrinkles(rng: np.random.Generator, amount: float) -> np.ndarray:
    """Relief of the wrinkles that age has left at rest (SIZE, SIZE); ``amount`` 0..1."""
    total: np.ndarray | float = 0.0
    for furrow in FURROWS:
        strength = furrow.age * amount * rng.uniform(0.4, 1.2)
        total = total + 0.8 * strength * _draw(furrow, rng)
    return np.asarray(total, np.float32)


def vertex_weights(rest: np.ndarray) -> np.ndarray:
    """How much each furrow acts on a vertex: (furrows, 2 sides, N), subject's left first. rest (N, 3) dm."""
    weights = np.zeros((len(FURROWS), 2, len(rest)), np.float32)
    front = np.clip((rest[:, 2] - 0.5) / 0.2, 0, 1)
    for number, furrow in enumerate(FURROWS):
        dx = (np.abs(rest[:, 0]) - furrow.centre[0]) / furrow.reach[0]
        dy = (rest[:, 1] - furrow.centre[1]) / furrow.reach[1]
        near = np.clip(1.35 - np.sqrt(dx**2 + dy**2), 0, 1) * front
        left = np.clip(rest[:, 0] / 0.06 + 0.5, 0, 1)
        weights[number, 0], weights[number, 1] = near * left, near * (1 - left)
    return weights


def furrow_strength(number: int, side: str) -> np.ndarray:
    """How much AU ``number`` on ``side`` (both|left|right) deepens each furrow: (furrows, 2)."""
    strength = np.zeros((len(FURROWS), 2), np.float32)
    sides = {"left": (1.0, 0.0), "right": (0.0, 1.0)}.get(side, (1.0, 1.0))
    for index, furrow in enumerate(FURROWS):
        gain = dict(furrow.aus).get(number, 0.0)
        strength[index] = gain * np.array(sides)
    return strength
