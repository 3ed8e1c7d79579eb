"""Synthetic subjects: head shape, looks and motor style, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.files import digest
from deft_llm.synth.core.mesh import ANCESTRIES, SEXES, FaceMesh, load_face

IDENTITY_VERSION = 1
Split = Literal["calibration", "train", "validation", "test"]

# Disjoint by construction; asserted at import and whenever an identity is asked for by split.
SEED_RANGES: dict[Split, range] = {
    "calibration": range(100_000),
    "train": range(100_000, 800_000),
    "validation": range(800_000, 900_000),
    "test": range(900_000, 1_000_000),
}
_ordered = sorted(SEED_RANGES.values(), key=lambda r: r.start)
assert all(a.stop <= b.start for a, b in zip(_ordered, _ordered[1:], strict=False)), "seed ranges overlap"


@dataclass(frozen=True)
class Identity:
    """One synthetic subject.

    ``shape`` maps offset names to weights; ``ancestry`` is a mix that sums to 1; ``skin_tone`` runs from 0
    (lightest) to 1 (darkest); ``attributes`` holds what the texture needs (brows, hair, wrinkles, ...).
    """

    seed: int
    sex: str
    age: int
    ancestry: dict[str, float]
    skin_tone: float
    shape: dict[str, float] = field(repr=False)
    attributes: dict[str, Any] = field(repr=False)

    @cached_property
    def id(self) -> str:
        """``synthetic/<hash of the parameters>``."""
        looks = [self.sex, self.age, self.ancestry, self.skin_tone, self.shape, self.attributes]
        return "synthetic/" + digest([IDENTITY_VERSION, *looks], 12)

    @property
    def split(self) -> Split:
        """The split whose seed range this subject comes from."""
        return split_of(self.seed)

    @cached_property
    def vertices(self) -> np.ndarray:
        """The neutral head (V, 3), dm."""
        return neutral_vertices(load_face(), self)


def split_of(seed: int) -> Split:
    """The split that owns ``seed``. Raises: UsageError outside all ranges."""
    for name, seeds in SEED_RANGES.items():
        if seed in seeds:
            return name
    raise UsageError(f"identity seed {seed}: choose one in 0..{_ordered[-1].stop - 1}.")


def split_seeds(split: Split, count: int, start: int = 0) -> list[int]:
    """``count`` seeds of ``split``, from its ``start``-th on. Raises: UsageError if there are too few."""
    seeds = SEED_RANGES[split][start : start + count]
    if len(seeds) < count:
        raise UsageError(f"{count} subjects: {split} has {len(SEED_RANGES[split])}; ask for fewer.")
    return list(seeds)


@lru_cache(maxsize=512)
def sample_identity(seed: int) -> Identity:
    """The subject of ``seed``: sex, age and ancestry balanced over seeds, the rest random.

    Sex and main ancestry go round in turn, so that any six neighbouring seeds are balanced.
    """
    split_of(seed)
    rng = np.random.default_rng([IDENTITY_VERSION, seed])
    sex = SEXES[seed % 2]
    main = (seed // 2) % 3
    mix = rng.dirichlet([0.35] * 3) * rng.uniform(0, 0.45)
    mix[main] += 1 - mix.sum()
    ancestry = {name: round(float(weight), 4) for name, weight in zip(ANCESTRIES, mix, strict=True)}
    age = int(rng.integers(18, 66))
    tone = np.dot(mix, [0.78, 0.34, 0.22]) + rng.normal(0, 0.09)
    return Identity(
        seed=seed,
        sex=sex,
        age=age,
        ancestry=ancestry,
        skin_tone=round(float(np.clip(tone, 0.03, 0.98)), 4),
        shape=_sample_shape(rng),
        attributes=_sample_attributes(rng, sex, age, ancestry),
    )


def _sample_shape(rng: np.random.Generator) -> dict[str, float]:
    """Weights of local targets: pairs (decr/incr, in/out) get a signed coefficient, mirrored sides agree."""
    mesh = load_face()
    shape: dict[str, float] = {}
    for group in _shape_axes(mesh.names):
        if rng.random() > 0.6:
            continue
        if len(group) == 2:
            value = float(np.clip(rng.normal(0, 0.32), -0.85, 0.85))
            chosen = group[0] if value < 0 else group[1]
            weight = abs(value)
        else:
            chosen, weight = group[0], float(np.clip(abs(rng.normal(0, 0.25)), 0, 0.6))
        for name in chosen:
            # a small independent part a side: no face is its own mirror image
            shape[name] = round(float(np.clip(weight * (1 + 0.12 * rng.standard_normal()), 0, 1)), 4)
    for name in mesh.listing("asym/"):
        if rng.random() < 0.25:
            shape[name] = round(float(abs(rng.normal(0, 0.22))), 4)
    return shape


_OPPOSITES = (
    ("decr", "incr"), ("in", "out"), ("down", "up"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"),
)  # fmt: skip


@lru_cache(maxsize=2)
def _shape_axes(names: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Axes of head shape: each is one or two poles, each pole the left and right target of that name."""
    stems: dict[str, list[str]] = {}
    for name in names:
        # whole-head translation is camera, not shape; ears and skull scale stay
        if name.startswith("shape/") and not name.startswith("shape/head-trans"):
            stem = name.removeprefix("shape/")
            stems.setdefault(stem.removeprefix("l-").removeprefix("r-"), []).append(name)
    axes, used = [], set()
    for stem in sorted(stems):
        if stem in used:
            continue
        used.add(stem)
        poles = [tuple(stems[stem])]
        for low, high in _OPPOSITES:
            for here, there in ((low, high), (high, low)):
                partner = stem.removesuffix(here) + there
                if stem.endswith("-" + here) and partner in stems and partner not in used:
                    used.add(partner)
                    poles.append(tuple(stems[partner]))
        axes.append(tuple(poles[:2]))
    return tuple(axes)


def _sample_attributes(
    rng: np.random.Generator, sex: str, age: int, ancestry: dict[str, float]
) -> dict[str, Any]:
    """Looks beyond shape, all in [0, 1] unless named otherwise."""
    dark = ancestry["african"] + ancestry["asian"]
    male = sex == "male"
    grey = float(np.clip((age - 40) / 30, 0, 1)) * rng.random()
    return {
        "weight": round(float(np.clip(rng.normal(0, 0.4), -1, 1)), 4),  # -1 slim .. 1 heavy
        "brow_density": round(float(rng.uniform(0.35, 1.0)), 4),
        "brow_thickness": round(float(rng.uniform(0.3, 1.0 if male else 0.8)), 4),
        "hair_darkness": round(float(np.clip(rng.beta(1.5, 1.5) + 0.8 * dark, 0, 1)), 4),
        "hair_grey": round(grey, 4),
        "hair_length": round(float(rng.uniform(0, 0.5 if male else 1.0)), 4),
        "fringe": round(float(rng.random() if rng.random() < 0.3 else 0.0), 4),
        "baldness": round(float(rng.random() * np.clip((age - 25) / 40, 0, 1)) if male else 0.0, 4),
        "beard": round(float(rng.random()) if male and rng.random() < 0.4 else 0.0, 4),
        "wrinkles": round(float(np.clip((age - 18) / 50 + rng.normal(0, 0.15), 0, 1)), 4),
        "moles": int(rng.integers(0, 14)),
        "freckles": round(float(rng.random() if rng.random() < 0.25 else 0.0), 4),
        "lip_colour": round(float(rng.random()), 4),
        "iris": round(float(np.clip(rng.random() * 0.6 + 0.6 * dark, 0, 1)), 4),  # 0 light .. 1 dark brown
        "glasses": bool(rng.random() < 0.2),
        "pores": round(float(rng.uniform(0.2, 1.0)), 4),
    }


def neutral_vertices(mesh: FaceMesh, identity: Identity) -> np.ndarray:
    """The neutral head of ``identity`` (V, 3) float32, dm: base + macro mix + local targets."""
    points = mesh.vertices.copy()
    old = float(np.clip((identity.age - 25) / 50, 0, 0.9))
    heavy = identity.attributes["weight"]
    pole = "maxweight" if heavy > 0 else "minweight"
    for age, share in (("young", 1 - old), ("old", old)):
        for ancestry, weight in identity.ancestry.items():
            _add(points, mesh, f"macro/{ancestry}-{identity.sex}-{age}", share * weight)
        _add(points, mesh, f"macro/{identity.sex}-{age}-averageweight", share * (1 - abs(heavy)))
        _add(points, mesh, f"macro/{identity.sex}-{age}-{pole}", share * abs(heavy))
    for name, weight in identity.shape.items():
        _add(points, mesh, name, weight)
    return points


def _add(points: np.ndarray, mesh: FaceMesh, name: str, weight: float) -> None:
    if weight:
        index, delta = mesh.sparse(name)
        points[index] += weight * delta


def motor_style(identity: Identity) -> np.random.Generator:
    """The generator of how this subject moves (direction jitter, reach, asymmetry): stable over clips."""
    return np.random.default_rng([IDENTITY_VERSION, identity.seed, 77])
