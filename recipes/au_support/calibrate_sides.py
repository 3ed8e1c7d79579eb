"""Fits the second pass (``aus.second_pass``): how people differ, and the filter that reads it.

Scatter comes from the filter subjects' responses; the filter from scenes of the threshold subjects, for the
first pass was fitted on the others' and is too sure there.
"""

from __future__ import annotations

import numpy as np

from deft_llm.aus.calibration import AUModel, Calibration, Filter, SecondPass
from deft_llm.aus.region_vectors import mirrored
from deft_llm.aus.second_pass import FirstPass, side_rows
from recipes.au_support.calibrate import LEAST_MOTION, Held, clip_vectors, fit_filter, largest
from recipes.au_support.simulate import World, present

COMPONENTS = 4


def identity_components(responses: np.ndarray, mirror: np.ndarray | None, count: int) -> list[list[float]]:
    """Main components (C, 2R) by which people differ from a template whose strongest region moves by 1.

    ``responses``: (I, R, 2) of one AU on the subject's left or the whole face; ``mirror``: the same AU's on
    the right, None where it has no sides. The outer products of the components add up to the covariance.
    """
    other = responses if mirror is None else mirror
    pooled = np.concatenate([responses, mirrored(other)])
    mean = pooled.mean(0)
    deviation = (pooled - mean).reshape(len(pooled), -1)
    deviation = deviation / max(np.linalg.norm(mean, axis=-1).max(), 1e-9) / np.sqrt(len(pooled))
    _, sizes, axes = np.linalg.svd(deviation, full_matrices=False)
    found = np.round(sizes[:count, None] * axes[:count], 3) + 0.0
    return [[float(v) for v in row] for row in found if row.any()]


def symmetric_centres(centres: np.ndarray) -> list[list[float]]:
    """Region centres (R, 2) relative to the face's middle, px, left and right made mirror images."""
    relative = centres - centres.mean(0)
    return [[float(v) for v in row] for row in np.round((relative + mirrored(relative)) / 2, 1) + 0.0]


def identity_spreads(world: World) -> dict[int, list[list[float]]]:
    """Per AU the main components by which the world's subjects differ, none where the FACS table moves it."""
    found = {}
    for au in sorted({int(au) for au in world.aus}):
        left, right, whole = (world.atom(au, side) for side in ("left", "right", "both"))
        mirror = None if right is None else world.responses[:, right]
        here = left if whole is None else whole
        components = identity_components(world.responses[:, here], mirror, COMPONENTS)
        if components:
            found[au] = components
    return found


def fit_second_pass(calibration: Calibration, worlds: tuple[World, World], held: Held) -> SecondPass:
    """The second pass of ``calibration`` (px models and templates made), its filter fitted on ``held``."""
    unread = SecondPass(
        centres=symmetric_centres(worlds[0].centres),
        spreads=identity_spreads(worlds[0]),
        filter=Filter(weights=[], bias=0.0),
    )
    ready = calibration.model_copy(update={"second_pass": unread})
    models = ready.models["px"]
    presences = {au: model.presence.probability(held.table[au]) for au, model in models.items()}
    seconds = {au: second_share(model, held.table[au]) for au, model in models.items()}
    sizes = {au: largest(held.scenes, worlds[1], au) for au in models}
    sides = {au: present(held.scenes, worlds[1], au) for au in models}
    rows, truth = [], []
    for number, motion in enumerate(clip_vectors(held.scenes, "px")):
        first = {
            au: FirstPass(
                float(presences[au][number]),
                "left" if held.left[au][number] else "right",
                float(seconds[au][number]),
            )
            for au in models
        }
        for au, row in side_rows(motion, ready, first).items():
            passed = first[au].presence >= models[au].threshold and sizes[au][number] >= LEAST_MOTION
            if passed:
                rows.append(row)
                truth.append(bool(sides[au][number, 1 if held.left[au][number] else 0]))
    read = fit_filter(np.array(rows), np.array(truth), strength=1.0, balanced=False)
    return unread.model_copy(update={"filter": read})


def second_share(model: AUModel, table: np.ndarray) -> np.ndarray:
    """(n,) probability of the weaker side by the AU's own filter; 1 where it has no sides."""
    return np.ones(len(table)) if model.second_side is None else model.second_side.probability(table)
