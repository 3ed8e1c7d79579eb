"""Region vectors of synthetic subjects with known truth: what the constraint is calibrated and checked on.

Small displacements add up, so a subject's region response to each face unit is rendered once and any
expression is a sum of them; estimator gain, noise, residual head motion, blinks and crop errors come on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft_llm.aus.region_vectors import REGION_COUNT
from deft_llm.facs.regions import REGION_KEYS

# AU sets that micro-expression corpora code, with their rough frequency (field frequencies of CASME II,
# SAMM and CAS(ME)^3); the other share of the scenes draws AUs at random so that no habit is learned.
NATURAL_SETS: tuple[tuple[tuple[int, ...], float], ...] = (
    ((4,), 16),
    ((4, 7), 8),
    ((7,), 6),
    ((12,), 10),
    ((6, 12), 4),
    ((14,), 8),
    ((1, 2), 9),
    ((1,), 3),
    ((2,), 3),
    ((5,), 3),
    ((1, 2, 5), 2),
    ((4, 9), 3),
    ((9,), 3),
    ((10,), 3),
    ((4, 10), 2),
    ((7, 10), 1),
    ((4, 7, 9), 1),
    ((15,), 3),
    ((17,), 5),
    ((15, 17), 2),
    ((4, 17), 2),
    ((12, 14), 2),
    ((1, 4), 2),
    ((20,), 2),
    ((24,), 3),
    ((17, 24), 1),
    ((25,), 3),
    ((1, 2, 25), 1),
    ((25, 26), 1),
    ((12, 25), 2),
    ((6, 7, 12), 1),
    ((12, 15), 1),
    ((14, 24), 1),
    ((16,), 1),
    ((18,), 1),
    ((23,), 1),
    ((28,), 1),
    ((1, 2, 4), 1),
    ((6,), 1),
    ((6, 7), 1),
)
NATURAL_SHARE = 0.6


@dataclass(frozen=True)
class World:
    """Unit responses of a set of subjects.

    responses: (I, K, R, 2) aligned px where the strongest region moves by 1 px; aus, sides: (K,) what each
    atom is ("left", "right", "both"); centres: (R, 2) region centres in aligned px; subjects: ids.
    """

    responses: np.ndarray
    aus: np.ndarray
    sides: np.ndarray
    centres: np.ndarray
    subjects: tuple[str, ...] = ()

    def atom(self, au: int, side: str) -> int | None:
        """Position of an atom, None where the face units have no such AU."""
        found = np.flatnonzero((self.aus == au) & (self.sides == side))
        return int(found[0]) if found.size else None

    @property
    def numbers(self) -> tuple[int, ...]:
        """AUs that the face units can make, blinks aside."""
        return tuple(sorted({int(au) for au in self.aus} - {43, 45}))


@dataclass
class Scenes:
    """n clips: vectors (n, R, 2), floors (n, R), amplitudes (n, K) px of each atom, peak (n,) px."""

    vectors: np.ndarray
    floors: np.ndarray
    amplitudes: np.ndarray
    peak: np.ndarray
    kinds: np.ndarray
    subject: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Difficulty:
    """How hard the scenes are: ranges of peak motion and noise (aligned px), gain, individual deviation."""

    peak: tuple[float, float] = (0.3, 4.0)
    noise: tuple[float, float] = (0.02, 0.12)
    gain: tuple[float, float] = (0.6, 1.05)
    deviation: float = 0.15
    head: float = 0.08
    blink: float = 0.1
    neutral: float = 0.1


PX = Difficulty()
RELATIVE = Difficulty(noise=(0.03, 0.3), head=0.5, deviation=0.2, neutral=0.05)


def simulate(world: World, count: int, rng: np.random.Generator, difficulty: Difficulty = PX) -> Scenes:
    """Draw ``count`` clips of the world's subjects."""
    subjects = rng.integers(len(world.responses), size=count)
    amplitudes = np.zeros((count, len(world.aus)))
    kinds = rng.choice(
        ["expression", "neutral", "blink"],
        size=count,
        p=[1 - difficulty.neutral - difficulty.blink, difficulty.neutral, difficulty.blink],
    )
    for row in range(count):
        if kinds[row] == "expression":
            _add_expression(amplitudes[row], world, rng, difficulty)
        if kinds[row] == "blink" or (kinds[row] == "expression" and rng.random() < difficulty.blink / 2):
            _add_blink(amplitudes[row], world, rng)
    clean = np.einsum("nk,nkrc->nrc", amplitudes, _deviating(world, subjects, rng, difficulty))
    vectors, floors = _measured(clean, world.centres, rng, difficulty)
    shown = np.einsum("nk,nkrc->nrc", amplitudes, world.responses[subjects])
    peak = np.linalg.norm(shown, axis=-1).max(-1)
    return Scenes(vectors, floors, amplitudes, peak, kinds, subjects)


def _add_expression(
    amplitudes: np.ndarray, world: World, rng: np.random.Generator, difficulty: Difficulty
) -> None:
    base = np.exp(rng.uniform(*np.log(difficulty.peak)))
    for au in draw_aus(world.numbers, rng):
        size = base * rng.uniform(0.5, 1.2)
        place(amplitudes, world, au, draw_side(rng), size, rng)


def draw_aus(available: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    """AUs of one expression: a set that corpora code, or one to three at random."""
    if rng.random() < NATURAL_SHARE:
        weights = np.array([weight for _, weight in NATURAL_SETS])
        chosen = NATURAL_SETS[rng.choice(len(NATURAL_SETS), p=weights / weights.sum())][0]
        kept = tuple(au for au in chosen if au in available)
        if kept:
            return kept
    size = rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])
    return tuple(int(au) for au in rng.choice(available, size=size, replace=False))


def draw_side(rng: np.random.Generator) -> str:
    """both, left, right or asymmetric."""
    return str(rng.choice(["both", "left", "right", "asymmetric"], p=[0.66, 0.14, 0.14, 0.06]))


def place(
    amplitudes: np.ndarray, world: World, au: int, side: str, size: float, rng: np.random.Generator
) -> None:
    """Add one AU of ``size`` px on ``side`` to an amplitude row; whole AUs ignore the side."""
    whole = world.atom(au, "both")
    if whole is not None:
        amplitudes[whole] += size
        return
    left, right = world.atom(au, "left"), world.atom(au, "right")
    if left is None or right is None:
        return
    if side == "both":
        share = rng.uniform(0.65, 1.0)
    elif side == "asymmetric":
        share = rng.uniform(0.25, 0.45)
    else:
        amplitudes[left if side == "left" else right] += size
        return
    strong, weak = (left, right) if rng.random() < 0.5 else (right, left)
    amplitudes[strong] += size
    amplitudes[weak] += size * share


def _add_blink(amplitudes: np.ndarray, world: World, rng: np.random.Generator) -> None:
    size = rng.uniform(0.5, 6.0)
    for side in ("left", "right"):
        position = world.atom(43, side)
        if position is not None:
            amplitudes[position] += size * rng.uniform(0.8, 1.0)


def _deviating(
    world: World, subjects: np.ndarray, rng: np.random.Generator, difficulty: Difficulty
) -> np.ndarray:
    """Responses (n, K, R, 2) that deviate from the face units: gain per region, a turn, a leak to others."""
    base = world.responses[subjects]
    shape = base.shape[:3]
    gain = 1.0 + difficulty.deviation * rng.standard_normal(shape)
    turn = difficulty.deviation * rng.standard_normal(shape)
    turned = np.stack([base[..., 0] - turn * base[..., 1], base[..., 1] + turn * base[..., 0]], -1)
    leak = 0.1 * difficulty.deviation * rng.standard_normal(base.shape)
    return turned * gain[..., None] + leak


def _measured(
    clean: np.ndarray, centres: np.ndarray, rng: np.random.Generator, difficulty: Difficulty
) -> tuple[np.ndarray, np.ndarray]:
    """Add estimator gain, noise (white and smooth over the face) and head motion; (n, R, 2), (n, R)."""
    count = len(clean)
    gain = rng.uniform(*difficulty.gain, size=(count, 1, 1))
    low, high = np.log(difficulty.noise)
    noise = np.exp(rng.uniform(low, high, size=count))
    smooth = smooth_noise(count, centres, rng, rng.uniform(15.0, 60.0))
    white = rng.standard_normal(clean.shape)
    size = np.sqrt(np.mean(clean**2, axis=(1, 2)))
    reference = np.maximum(size, 0.1) if difficulty.head >= 0.3 else np.ones(count)
    head = difficulty.head * reference[:, None, None] * head_motion(count, centres, rng)
    spoiled = noise[:, None, None] * (0.6 * white + smooth)
    if difficulty.head >= 0.3:  # maps without a scale: noise is relative to the motion
        spoiled = spoiled / 0.1 * np.maximum(size, 0.05)[:, None, None] * 0.35
    regions = rng.uniform(0.85, 1.1, size=(count, REGION_COUNT, 1))
    floors = noise[:, None] * 1.15 * np.exp(0.2 * rng.standard_normal((count, REGION_COUNT)))
    return clean * gain * regions + spoiled + head, floors


def smooth_noise(count: int, centres: np.ndarray, rng: np.random.Generator, length: float) -> np.ndarray:
    """Noise (n, R, 2) of unit variance that is alike in neighbouring regions (Gaussian kernel, px)."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    kernel = np.exp(-(distance**2) / (2 * length**2)) + 1e-6 * np.eye(len(centres))
    return np.einsum("rs,nsc->nrc", np.linalg.cholesky(kernel), rng.standard_normal((count, len(centres), 2)))


def head_motion(count: int, centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small similarity (shift, turn, scale) at the region centres, (n, R, 2), about unit size."""
    x, y = ((centres - centres.mean(0)) / 60.0).T
    shift = rng.standard_normal((count, 1, 2))
    turn, scale = 0.5 * rng.standard_normal((2, count, 1))
    return shift + np.stack([scale * x - turn * y, scale * y + turn * x], -1)


def present(scenes: Scenes, world: World, au: int, least: float = 0.0) -> np.ndarray:
    """(n, 2) whether the AU acts on the subject's left and right (both where it has no sides)."""
    columns = []
    for side in ("left", "right"):
        position = world.atom(au, side)
        position = world.atom(au, "both") if position is None else position
        columns.append(scenes.amplitudes[:, position] > least)
    return np.stack(columns, -1)


__all__ = ["REGION_KEYS", "Difficulty", "PX", "RELATIVE", "Scenes", "World", "simulate"]
