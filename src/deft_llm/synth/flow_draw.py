"""True motion of one sample: the expression, what disturbs it and the head, on the crop's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from deft_llm.facs.units import entry
from deft_llm.synth.flow_config import FlowConfig, LogRange, Range
from deft_llm.synth.flow_face import SPAN, FlowFace, rows_of
from deft_llm.synth.prior import ActiveAU, Expression

CROP_PX = 280.0  # the scale of every pixel figure: a face crop 280 px wide


@dataclass
class Crop:
    """Where the crop lies: ``index`` (W*W,) nearest reference pixels, ``matrix`` (2, 3) crop -> reference,
    ``px`` crop pixels (of 280) in one inter-ocular distance, ``aspect`` height over width."""

    index: np.ndarray
    matrix: np.ndarray
    px: float
    aspect: float


@dataclass
class Drawn:
    """What was performed in one sample: row weights of both phases (px of 280) and what is coded."""

    rows: list[dict[int, float]] = field(default_factory=list)
    strengths: dict[int, tuple[float, float]] = field(default_factory=dict)


def uniform(rng: np.random.Generator, span: Range) -> float:
    """A uniform draw."""
    return float(rng.uniform(*span))


def loguniform(rng: np.random.Generator, span: LogRange) -> float:
    """A log-uniform draw."""
    return math.exp(rng.uniform(math.log(span[0]), math.log(span[1])))


def happens(rng: np.random.Generator, chance: float) -> bool:
    """True with probability ``chance``."""
    return bool(rng.random() < chance)


def draw_crop(rng: np.random.Generator, config: FlowConfig, face: FlowFace, work: int) -> Crop:
    """A random crop of the face, resized to a square of ``work`` px (aspect is lost, as in the field)."""
    top, bottom = uniform(rng, config.crop_top), uniform(rng, config.crop_bottom)
    half = uniform(rng, config.crop_half_width)
    centre_x = rng.normal(0, config.crop_centre)
    roll = math.radians(rng.normal(0, config.roll))
    scale = face.side / SPAN
    sx, sy = 2 * half * scale / work, (top + bottom) * scale / work
    cos, sin = math.cos(roll), math.sin(roll)
    matrix = np.array([[cos * sx, -sin * sy, 0], [sin * sx, cos * sy, 0]])
    eyes = np.array([face.side / 2, face.side / 2 - 0.35 * scale])
    middle = eyes + np.array([centre_x, (bottom - top) / 2]) * scale
    matrix[:, 2] = middle - matrix[:, :2] @ np.array([work / 2 - 0.5, work / 2 - 0.5])
    grid = np.arange(work)
    column = np.rint(matrix[0, 0] * grid[None] + matrix[0, 1] * grid[:, None] + matrix[0, 2])
    row = np.rint(matrix[1, 0] * grid[None] + matrix[1, 1] * grid[:, None] + matrix[1, 2])
    last = face.side - 1
    index = (np.clip(row, 0, last) * face.side + np.clip(column, 0, last)).astype(np.int64).ravel()
    return Crop(index, matrix, CROP_PX / (2 * half), (top + bottom) / (2 * half))


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
    drawn.rows.append(first)
    if config.phases > 1:
        back = -rng.uniform(0.3, 1.05)  # expressions often do not return to neutral by the offset
        drawn.rows.append({row: w * back * float(np.exp(rng.normal(0, 0.2))) for row, w in first.items()})
    for phase in drawn.rows:
        _disturb(rng, config, phase)
    return drawn


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
        keys = [(active.number, "left", None, left), (active.number, "right", None, right)]
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


def expression_flow(face: FlowFace, crop: Crop, weights: dict[int, float]) -> np.ndarray:
    """Skin motion (2, W*W) in px of 280 (u right, v down), head motion apart."""
    if not weights:
        return np.zeros((2, len(crop.index)), np.float32)
    rows = list(weights)
    # a weight is the peak in px; the basis' peak is one inter-ocular distance, seen at crop.px
    moved = np.tensordot(np.fromiter(weights.values(), np.float32), face.basis[rows], 1)
    corners = face.vertex.reshape(-1, 3)[crop.index]
    shares = face.weight.reshape(-1, 3)[crop.index] * face.inside.reshape(-1, 1)[crop.index]
    motion = (moved[corners] * shares[..., None]).sum(1)
    near = face.place[crop.index]
    away = face.distance - near[:, 2]
    x = near[:, 0]
    u = motion[:, 0] + motion[:, 2] * x / away
    v = -(motion[:, 1] + motion[:, 2] * (near[:, 1] - 1.3) / away)
    return np.stack([u, v])


def head_flow(rng: np.random.Generator, config: FlowConfig, face: FlowFace, crop: Crop) -> np.ndarray:
    """Motion (2, W*W), px of 280, of a turning and moving head: parallax from its depth included."""
    if happens(rng, config.head_still_chance):
        return np.zeros((2, len(crop.index)), np.float32)
    near = face.place[crop.index]
    scale = np.float32(crop.px)
    turn = [math.radians(loguniform(rng, config.head_rotation)) * rng.choice((-1, 1)) for _ in range(3)]
    turn = np.array(turn, np.float32)
    step = np.array([loguniform(rng, config.head_translation) * rng.choice((-1, 1)) for _ in range(2)])
    step = step.astype(np.float32) / scale
    grow = np.float32(loguniform(rng, config.head_scale) * rng.choice((-1, 1)))
    x, y, z = near[:, 0], near[:, 1], near[:, 2]
    away = face.distance - z
    dx = turn[1] * z - turn[2] * y + step[0]
    dy = turn[2] * x - turn[0] * z + step[1]
    dz = turn[0] * y - turn[1] * x + grow * face.distance
    # a turn about the neck carries the face along; much of that carry is compensated by the neck
    u = dx + dz * x / away
    v = -(dy + dz * (y - 1.3) / away)
    flow = np.stack([u, v]) * scale
    keep = np.float32(rng.uniform(0, 1))
    return flow - (1 - keep) * _carry(flow, step * scale)


def _carry(flow: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The mean motion beyond the drawn translation (2, 1)."""
    return flow.mean(1, keepdims=True) - np.array([[step[0]], [-step[1]]], np.float32)


def smooth_field(rng: np.random.Generator, work: int, cells: int, channels: int) -> np.ndarray:
    """A smooth random field (channels, W, W) of unit variance with about ``cells`` bumps a side."""
    small = rng.standard_normal((cells + 3, cells + 3, channels), dtype=np.float32)
    big = cv2.resize(small, (work, work), interpolation=cv2.INTER_CUBIC)
    big = big.reshape(work, work, channels).transpose(2, 0, 1)
    return big / (big.std() + 1e-6)
