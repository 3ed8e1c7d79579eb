"""True motion of one sample: the expression, what disturbs it and the head, on the crop's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from scipy.sparse import csr_array

from deft_llm.facs.units import entry
from deft_llm.synth.core.prior import ActiveAU, Expression
from deft_llm.synth.flow.config import FlowConfig, LogRange, Range
from deft_llm.synth.flow.face import SPAN, FlowFace, rigid_motion, rows_of

ALL = slice(None)
CROP_PX = 280.0  # the scale of every pixel figure: a face crop 280 px wide


@dataclass
class Crop:
    """Where the crop lies: ``matrix`` (2, 3) crop -> reference pixels, ``px`` crop pixels (of 280) in one
    inter-ocular distance, ``aspect`` height over width, ``eyes`` their height and distance (shares)."""

    matrix: np.ndarray
    px: float
    aspect: float
    eyes: tuple[float, float] = (0.0, 0.0)


@dataclass
class Drawn:
    """What was performed in one sample: row weights of each phase (px of 280), those of the first phase's
    expression alone, and each AU's strength (left, right; upper, lower)."""

    rows: list[dict[int, float]] = field(default_factory=list)
    expression: dict[int, float] = field(default_factory=dict)
    strengths: dict[int, tuple[float, float]] = field(default_factory=dict)


def uniform(rng: np.random.Generator, span: Range) -> float:
    """A uniform draw."""
    return span[0] + (span[1] - span[0]) * rng.random()


def loguniform(rng: np.random.Generator, span: LogRange) -> float:
    """A log-uniform draw."""
    return span[0] * (span[1] / span[0]) ** rng.random()


def loguniforms(rng: np.random.Generator, span: LogRange, shape: int | tuple[int, ...]) -> np.ndarray:
    """Log-uniform draws, an array of ``shape``, within (low, high)."""
    return span[0] * (span[1] / span[0]) ** rng.random(shape)


def happens(rng: np.random.Generator, chance: float) -> bool:
    """True with probability ``chance``."""
    return bool(rng.random() < chance)


def draw_crop(rng: np.random.Generator, config: FlowConfig, face: FlowFace, work: int) -> Crop:
    """A random crop of the face, resized to a square of ``work`` px (aspect is lost, as in the field)."""
    top, bottom = uniform(rng, config.crop_top), uniform(rng, config.crop_bottom)
    half = uniform(rng, config.crop_half_width)
    if happens(rng, config.crop_square_chance):  # what is cut is square: the chin's edge gives way
        bottom = max(2 * half - top, config.crop_bottom[0])
    centre_x = rng.normal(0, config.crop_centre)
    roll = math.radians(rng.normal(0, config.roll))
    scale = face.side / SPAN
    sx, sy = 2 * half * scale / work, (top + bottom) * scale / work
    cos, sin = math.cos(roll), math.sin(roll)
    matrix = np.array([[cos * sx, -sin * sy, 0], [sin * sx, cos * sy, 0]])
    eyes = np.array([face.side / 2, face.side / 2 - 0.35 * scale])
    middle = eyes + np.array([centre_x, (bottom - top) / 2]) * scale
    matrix[:, 2] = middle - matrix[:, :2] @ np.array([work / 2 - 0.5, work / 2 - 0.5])
    aspect, eyes_at = (top + bottom) / (2 * half), (top / (top + bottom), 1 / (2 * half))
    return Crop(matrix, CROP_PX / (2 * half), aspect, eyes_at)


def reference_index(crop: Crop, side: int, work: int) -> np.ndarray:
    """The nearest reference pixel (W * W,) of each crop pixel, clipped to the grid."""
    grid = np.arange(work, dtype=np.float32)
    m = crop.matrix.astype(np.float32)
    column = m[0, 0] * grid[None] + m[0, 1] * grid[:, None] + m[0, 2] + np.float32(0.5)
    row = m[1, 0] * grid[None] + m[1, 1] * grid[:, None] + m[1, 2] + np.float32(0.5)
    last = side - 1
    return (np.clip(row, 0, last).astype(np.int32) * side + np.clip(column, 0, last).astype(np.int32)).ravel()


def draw_motion(rng: np.random.Generator, config: FlowConfig, expression: Expression | None) -> Drawn:
    """Row weights (px) of the expression and of what disturbs it, for both phases."""
    drawn = Drawn()
    rows = rows_of()
    first: dict[int, float] = {}
    if expression is not None:
        peak = loguniform(rng, config.amplitude)
        if happens(rng, config.amplitude_weak_chance):
            peak *= rng.uniform(0.2, 0.6)
        partial = rng.uniform(0.3, 0.9) if happens(rng, config.apex_partial_chance) else 1.0
        for number, active in enumerate(expression.aus):
            share = 1.0 if number == 0 else uniform(rng, config.asynchrony)
            left, right = _jittered(rng, config, active, peak * partial * share)
            drawn.strengths[active.number] = (left, right)
            _put(first, rows, active, left, right)
    drawn.expression = dict(first)
    drawn.rows.append(first)
    if config.phases > 1:
        back = -rng.uniform(0.3, 1.05)  # expressions often do not return to neutral by the offset
        drawn.rows.append({row: w * back * float(np.exp(rng.normal(0, 0.2))) for row, w in first.items()})
    for phase in drawn.rows:
        _disturb(rng, config, phase)
    return drawn


def turn_round(drawn: Drawn) -> None:
    """Make the first phase the release of what was held: motion that runs back; truth keeps how strong it
    was. What disturbs runs back with it: its signs are even."""
    drawn.rows[0] = {row: -weight for row, weight in drawn.rows[0].items()}
    drawn.expression = {row: -weight for row, weight in drawn.expression.items()}
    for phase in drawn.rows[1:]:  # little is left to move afterwards
        for row in phase:
            phase[row] *= 0.2


def _jittered(
    rng: np.random.Generator, config: FlowConfig, active: ActiveAU, scale: float
) -> tuple[float, float]:
    shared = rng.normal(0, config.style_jitter)
    sides = np.exp(shared + rng.normal(0, config.style_jitter / 2, 2))
    return float(active.left * scale * sides[0]), float(active.right * scale * sides[1])


def _put(weights: dict[int, float], rows: dict, active: ActiveAU, left: float, right: float) -> None:
    """Add one AU's sides (or lip parts, or its whole) to the row weights."""
    scoring = entry(active.number).scoring
    if scoring == "sides":
        keys: list[tuple[int, str | None, str | None, float]] = [
            (active.number, "left", None, left),
            (active.number, "right", None, right),
        ]
    elif scoring == "parts":
        keys = [(active.number, None, "upper", left), (active.number, None, "lower", right)]
    else:
        keys = [(active.number, None, None, left)]
    for au, side, part, weight in keys:
        row = rows[(au, side, part)]
        weights[row] = weights.get(row, 0.0) + weight


def _disturb(rng: np.random.Generator, config: FlowConfig, weights: dict[int, float]) -> None:
    """Blink, gaze, jaw drift and a stray AU, independently in each phase."""
    rows = rows_of()

    def add(row: int, weight: float) -> None:
        weights[row] = weights.get(row, 0.0) + weight

    if happens(rng, config.blink_chance):
        weight = loguniform(rng, config.blink_amplitude) * (1 if rng.random() < 0.6 else -1)
        for side in ("left", "right"):
            add(rows[(43, side, None)], weight * rng.uniform(0.8, 1.1))
    if happens(rng, config.lid_tension_chance):
        au = (5, 7, 43)[rng.integers(3)]
        weight = loguniform(rng, config.lid_tension_amplitude)
        for side in ("left", "right"):
            add(rows[(au, side, None)], weight * rng.uniform(0.5, 1.1))
    if happens(rng, config.gaze_chance):
        for name in (("gaze up", "gaze down")[rng.integers(2)], ("gaze left", "gaze right")[rng.integers(2)]):
            add(rows[name], loguniform(rng, config.gaze_amplitude))
    if happens(rng, config.jaw_chance):
        name = ("jaw left", "jaw right", "jaw forward", "mouth left", "mouth right", "cheek puff", "jaw")[
            rng.integers(7)
        ]
        weight = loguniform(rng, config.jaw_amplitude)
        add(
            rows[(26, None, None)] if name == "jaw" else rows[name],
            weight * (1 if rng.random() < 0.6 else -1),
        )
    if happens(rng, config.stray_chance):
        row = int(rng.integers(len(rows) - 10))
        add(row, loguniform(rng, config.stray_amplitude))


class Projector:
    """Projects row weights and head motion of any number of phases onto one crop of one head.

    Planes are float32 (2, F, N): u (right) and v (down) of F fields at N pixels, px of 280.
    """

    def __init__(self, face: FlowFace, crop: Crop, index: np.ndarray) -> None:
        self.face, self.crop = face, crop
        self.rigid = rigid_motion(face, index)
        self.corners = np.ascontiguousarray(face.vertex.take(index, 1).T, np.int32)
        self.shares = np.ascontiguousarray(face.weight.take(index, 1).T, np.float32)

    def flow(
        self, rng: np.random.Generator, config: FlowConfig, phases: list[dict[int, float]], bend: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """True motion of each phase, planes (F, N) of u and of v.

        ``bend`` (2, F, N) turns and scales the skin's motion locally.
        """
        heads = _head_parameters(rng, config, self.crop, len(phases)) * np.float32(self.crop.px)
        u, v = bent(self.skin(phases), bend)
        u += heads @ self.rigid[0]
        v += heads @ self.rigid[1]
        return u, v

    def skin(self, phases: list[dict[int, float]], pixels: slice | np.ndarray = ALL) -> np.ndarray:
        """Skin motion alone at ``pixels`` of the crop: planes (2, F, N)."""
        corners, shares = self.corners[pixels], self.shares[pixels]
        used = sorted({row for weights in phases for row in weights})
        if not used:
            return np.zeros((2, len(phases), len(corners)), np.float32)
        place = {row: number for number, row in enumerate(used)}
        table = np.zeros((len(used), len(phases)), np.float32)
        for column, weights in enumerate(phases):
            table[[place[row] for row in weights], column] = list(weights.values())
        basis = self.face.basis[used].view(np.float32)  # real and imaginary parts side by side
        moved = (basis.T @ table).reshape(self.face.basis.shape[1], -1)
        rows = np.arange(0, corners.size + 1, 3, dtype=np.int32)
        look_up = csr_array((shares.ravel(), corners.ravel(), rows), (len(corners), len(moved)))
        return cv2.transpose(look_up @ moved).reshape(2, len(phases), -1)


def bent(skin: np.ndarray, bend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Planes u, v of ``skin`` (2, F, N) with each pixel's motion scaled and turned by ``bend`` (2, F, N)."""
    return skin[0] * bend[0] - skin[1] * bend[1], skin[0] * bend[1] + skin[1] * bend[0]


def draw_bend(rng: np.random.Generator, config: FlowConfig, takes: int, work: int) -> np.ndarray:
    """Smooth local bending of a performance, planes (2, takes, N) near (1, 0):
    no two smiles run the same way."""
    amount = rng.uniform(*config.local_jitter, (takes, 1)).astype(np.float32)
    field = smooth_field(rng, work, int(rng.integers(2, 6)), 2 * takes).reshape(2, takes, -1)
    field *= amount
    field[0] += 1
    return field


def _head_parameters(rng: np.random.Generator, config: FlowConfig, crop: Crop, count: int) -> np.ndarray:
    """Turns (radians) and steps (inter-ocular distances) of the head in each phase (count, 6), float32.

    A turn about the neck carries the face along; a random part of that carry is compensated, as people do.
    """
    found = np.empty((count, 6))
    found[:, :3] = np.radians(loguniforms(rng, config.head_rotation, (count, 3)))
    found[:, 3:5] = loguniforms(rng, config.head_translation, (count, 2)) / crop.px
    found[:, 5] = loguniforms(rng, config.head_scale, count) * 10
    found *= np.where(rng.random((count, 6)) < 0.5, 1.0, -1.0)
    compensated = rng.random(count)
    face_x, face_y, face_z = 0.0, 0.8, 1.9  # the face's middle, seen from the neck
    found[:, 3] -= compensated * (found[:, 1] * face_z - found[:, 2] * face_y)
    found[:, 4] -= compensated * (found[:, 2] * face_x - found[:, 0] * face_z)
    found[rng.random(count) < config.head_still_chance] = 0
    return found.astype(np.float32)


_NOISE = np.random.default_rng(20251).standard_normal(1 << 20, dtype=np.float32)


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count,) normal deviates, cut at a random place out of a fixed bank of a million (read only)."""
    start = int(rng.random() * max(len(_NOISE) - count, 1))
    found = _NOISE[start : start + count]
    return found if len(found) == count else rng.standard_normal(count, dtype=np.float32)


def smooth_field(rng: np.random.Generator, work: int, cells: int, channels: int) -> np.ndarray:
    """A smooth random field (channels, W, W) of unit variance with about ``cells`` bumps a side."""
    small = rng.standard_normal((channels, cells + 3, cells + 3), dtype=np.float32)
    across = _cubic(work, cells + 3)
    return across @ small @ across.T


@lru_cache(maxsize=64)
def _cubic(work: int, knots: int) -> np.ndarray:
    """Cubic interpolation from ``knots`` to ``work`` values: a matrix (W, knots), scaled for smooth_field."""
    row = np.eye(knots, dtype=np.float32)[:, :, None]
    matrix = np.stack([cv2.resize(one, (1, work), interpolation=cv2.INTER_CUBIC)[:, 0] for one in row], 1)
    return matrix * np.float32(1.15**0.5)  # cubic interpolation takes some variance
