"""Region responses of synthetic subjects to every face unit: the raw material of the calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from deft_llm.aus.calibration import ALIASES
from deft_llm.aus.region_vectors import REGION_COUNT
from deft_llm.facs.directions import image_vector
from deft_llm.facs.regions import MIDLINE_REGIONS, REGION_INDEX
from deft_llm.facs.units import MICRO_AUS, entry
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE
from recipes.au_support.simulate import World

SAMPLES = 6  # points along a triangle's edge when looking for the skin that is seen
UNIT_SETS = ("arkit", "makehuman")
LANDMARK_JITTER = 0.015  # the same where landmarks are measured
CROP_JITTER = 0.06  # spread of a crop's shift and log scale, of the face's size, where landmarks are absent


def synthetic_world(seeds: Sequence[int], *, jitter: float = 0.0, seed: int = 0) -> World:
    """Unit responses of the subjects of ``seeds``; ``jitter`` shakes where the regions are looked for."""
    return synthetic_worlds(seeds, (jitter,), seed=seed)[0]


def synthetic_worlds(
    seeds: Sequence[int], jitters: Sequence[float], *, seed: int = 0, unit_sets: Sequence[str] = UNIT_SETS
) -> list[World]:
    """One world a jitter, of the same subjects.

    Regions hang on the base head's chart, which the mean landmarks of ``faces.regions`` fit; a subject keeps
    them on the same skin, as landmarks do. Every second subject uses the second unit set. AUs that synthesis
    cannot make move as the FACS table says.
    """
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.core.mesh import load_face
    from deft_llm.synth.core.units import SYNTH_AUS, au_displacement

    mesh = load_face()
    rng = np.random.default_rng([seed, 11])
    numbers = [au for au in MICRO_AUS if au not in ALIASES]
    atoms = [(au, side) for au in numbers for side in atom_sides(au)]
    responses = np.zeros((len(jitters), len(seeds), len(atoms), REGION_COUNT, 2))
    for number, identity_seed in enumerate(seeds):
        identity = sample_identity(identity_seed)
        weights = [vertex_weights(mesh, jitter, rng) for jitter in jitters]
        for column, (au, side) in enumerate(atoms):
            unit_set = unit_sets[number % len(unit_sets)]
            moved = au_displacement(mesh, identity, au, side, unit_set=unit_set) if au in SYNTH_AUS else None  # type: ignore[arg-type]
            for row, weight in enumerate(weights):
                vector = table_template(au, side) if moved is None else weight @ (moved[:, :2] * (1.0, -1.0))
                peak = np.linalg.norm(vector, axis=-1).max()
                responses[row, number, column] = vector / max(peak, 1e-9)
    names = tuple(f"seed-{seed}" for seed in seeds)
    aus, sides = np.array([au for au, _ in atoms]), np.array([side for _, side in atoms])
    return [World(table, aus, sides, region_centres(), names) for table in responses]


def atom_sides(au: int) -> tuple[str, ...]:
    """The sides on which an AU's templates are kept; a blink is the closure of both eyes (AU43's)."""
    return ("left", "right") if entry(au).scoring == "sides" else ("both",)


def table_template(au: int, side: str) -> np.ndarray:
    """Region vector (R, 2) that the FACS table describes, on one side or both; unit peak."""
    vector = np.zeros((REGION_COUNT, 2))
    for part in entry(au).motion:
        if part.region in MIDLINE_REGIONS:
            vector[REGION_INDEX[part.region]] += np.array(image_vector(0.0, part.up, "mid")) * part.weight
            continue
        for name in ("left", "right") if side == "both" else (side,):
            turned = image_vector(part.medial, part.up, name)  # type: ignore[arg-type]
            vector[REGION_INDEX[f"{name} {part.region}"]] += np.array(turned) * part.weight
    peak = np.linalg.norm(vector, axis=-1).max()
    return vector / peak if peak > 0 else vector


def vertex_weights(mesh, jitter: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """How much every vertex counts in every region, (R, V), rows summing to 1."""
    from deft_llm.faces.regions import region_weights

    maps = region_weights(None, (ALIGNED_SIZE, ALIGNED_SIZE))
    points, carried = _visible()
    x, y = points.T
    if jitter and rng is not None:
        scale_x, scale_y = np.exp(jitter * rng.standard_normal(2))
        shift = jitter * ALIGNED_SIZE * 0.5 * rng.standard_normal(2)
        x, y = (x - 112) * scale_x + 112 + shift[0], (y - 112) * scale_y + 112 + shift[1]
    inside = (x >= 0) & (x <= ALIGNED_SIZE - 1) & (y >= 0) & (y <= ALIGNED_SIZE - 1)
    columns = np.clip(np.round(x), 0, ALIGNED_SIZE - 1).astype(int)
    rows = np.clip(np.round(y), 0, ALIGNED_SIZE - 1).astype(int)
    seen = maps[:, rows, columns] * inside
    weights = (carried.T @ seen.T).T
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


@lru_cache(maxsize=1)
def _visible() -> tuple[np.ndarray, Any]:
    """Skin that a camera in front sees, one sample a pixel: places (n, 2) px, and how much each vertex
    counts there, sparse (n, V)."""
    from scipy import sparse

    from deft_llm.faces.regions import CANONICAL_LANDMARKS
    from deft_llm.synth.core.mesh import load_face

    mesh = load_face()
    middle = CANONICAL_LANDMARKS[[33, 133, 263, 362]].mean(0)
    steps = np.arange(SAMPLES + 1) / SAMPLES
    shares = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-9])
    chart = mesh.face_coordinates
    corners = np.repeat(mesh.faces, len(shares), axis=0)
    share = np.tile(shares, (len(mesh.faces), 1))
    places = np.einsum("nc,ncd->nd", share, chart[corners])
    x = middle[0] + ALIGNED_IOD * places[:, 0]
    y = middle[1] - ALIGNED_IOD * places[:, 1]
    pixel = np.round(y).astype(int) * 4096 + np.round(x).astype(int) + 2048
    order = np.lexsort((-places[:, 2], pixel))
    first = np.ones(len(order), bool)
    first[1:] = pixel[order][1:] != pixel[order][:-1]
    front = order[first]
    skin = (np.repeat(mesh.groups, len(shares)) == "body")[front]
    front = front[skin]
    rows = np.repeat(np.arange(len(front)), 3)
    carried = sparse.csr_matrix(
        (share[front].ravel(), (rows, corners[front].ravel())), shape=(len(front), len(mesh.vertices))
    )
    return np.stack([x[front], y[front]], -1), carried


def region_centres() -> np.ndarray:
    """Centres (R, 2) of the regions in the mean aligned face, px."""
    from deft_llm.faces.regions import region_weights

    maps = region_weights(None, (ALIGNED_SIZE, ALIGNED_SIZE))
    rows, columns = np.mgrid[:ALIGNED_SIZE, :ALIGNED_SIZE]
    return np.stack([(maps * columns).sum((1, 2)), (maps * rows).sum((1, 2))], -1)
