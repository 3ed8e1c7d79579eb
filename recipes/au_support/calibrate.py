"""Makes the dual constraint's calibration file from synthetic subjects of the calibration range.

    python -m recipes.au_support.calibrate --scenes 10000 --maps 20000 --seed 5

Templates are the mean region response to each face unit; filters and thresholds are fitted on scenes of
``au_support.simulate``: filters on some calibration subjects, thresholds on others.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import expit

from deft_llm.aus.calibration import (
    CALIBRATION_FILE,
    CALIBRATION_VERSION,
    Atom,
    AUModel,
    Calibration,
    Filter,
    MapModel,
    load_calibration,
)
from deft_llm.aus.dense import MapFilters
from deft_llm.aus.region_vectors import (
    REGION_COUNT,
    RELATIVE_FLOOR,
    RegionVector,
    channel_normalised,
    mirrored,
)
from deft_llm.aus.support_features import PAIR, explain, features, strong_side
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.facs.units import entry
from deft_llm.files import read_json, write_text
from recipes.au_support.calibrate_maps import MapScenes, draw_maps, fit_filters, hardened
from recipes.au_support.simulate import PX, RELATIVE, Scenes, World, present, simulate
from recipes.au_support.world import CROP_JITTER, LANDMARK_JITTER, synthetic_worlds

Mode = Literal["px", "relative"]
FILTER_SUBJECTS = 240
THRESHOLD_SUBJECTS = 120
PRECISION = 0.965  # what a threshold aims at where 30 % of the labels are false
MAP_PRECISION = 0.93  # the same on stretched maps, which show less: at .965 two of three true labels are lost
FALSE_SHARE = 0.3
LEAST_MOTION = 0.5  # px of an AU's own motion from which it counts as there when thresholds are set
NEIGHBOURS = {
    1: (2,),
    2: (1,),
    4: (7,),
    7: (4,),
    9: (10,),
    10: (9,),
    12: (14,),
    14: (12,),
    15: (17,),
    17: (15,),
}


def templates(world: World) -> list[Atom]:
    """The mean response of the world's subjects to every unit, one side kept and mirrored for the other."""
    half = []
    for column, (au, side) in enumerate(zip(world.aus, world.sides, strict=True)):
        if side == "right":
            continue
        mean = world.responses[:, column].mean(0)
        mean = mean / max(np.linalg.norm(mean, axis=-1).max(), 1e-9)
        spread = world.responses[:, column].std(0).max()
        half.append(
            Atom(
                au=int(au),
                side=side,
                vector=[round(float(v), 4) for v in mean.ravel()],
                made_of="units" if spread > 1e-6 else "table",
            )
        )
    return complete_atoms(half)


def complete_atoms(half: list[Atom]) -> list[Atom]:
    """Left templates get their right mirror images; templates of the whole face are made symmetric."""
    atoms: list[Atom] = []
    for atom in half:
        if atom.side == "both":
            whole = np.array(atom.vector).reshape(REGION_COUNT, 2)
            whole = whole + mirrored(whole)
            whole = whole / max(np.linalg.norm(whole, axis=-1).max(), 1e-9)
            atoms.append(atom.model_copy(update={"vector": [round(float(v), 4) for v in whole.ravel()]}))
            continue
        atoms.append(atom)
        if atom.side == "left":
            vector = mirrored(np.array(atom.vector).reshape(REGION_COUNT, 2)).ravel()
            atoms.append(atom.model_copy(update={"side": "right", "vector": [float(v) for v in vector]}))
    return atoms


def clip_vectors(scenes: Scenes, mode: Mode) -> list[RegionVector]:
    """What the constraint would read from each scene: px as they are, maps without their zero and scale."""
    found = []
    usable = np.ones(len(REGION_KEYS), bool)
    for vector, floor in zip(scenes.vectors, scenes.floors, strict=True):
        if mode == "relative":
            vector, floor = channel_normalised(vector), np.full(len(vector), RELATIVE_FLOOR)
        scale = float(np.sqrt(np.mean(vector**2)))
        found.append(RegionVector(vector, floor, usable, scale, mode))
    return found


def feature_table(
    scenes: Scenes, calibration: Calibration, mode: Mode, numbers: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Per AU: features (n, F) and whether the stronger side is the subject's left (n,)."""
    rows: dict[int, list[np.ndarray]] = {au: [] for au in numbers}
    left: dict[int, list[bool]] = {au: [] for au in numbers}
    for vector in clip_vectors(scenes, mode):
        explained = explain(vector, calibration)
        for au in numbers:
            rows[au].append(features(explained, calibration, au).astype(np.float32))
            left[au].append(strong_side(explained, calibration, au) != "right")
    return {au: np.array(x) for au, x in rows.items()}, {au: np.array(x) for au, x in left.items()}


def fit_filter(table: np.ndarray, truth: np.ndarray, strength: float = 0.03, balanced: bool = True) -> Filter:
    """Logistic regression, classes balanced or as frequent as they are, standardisation in the weights."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = table.mean(0), np.maximum(table.std(0), 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=200)
        model.fit((table - mean) / scale, truth)
    weights = model.coef_[0] / scale
    bias = float(model.intercept_[0] - weights @ mean)
    return Filter(weights=[float(f"{w:.4g}") for w in weights], bias=float(f"{bias:.5g}"))


def set_threshold(
    support: np.ndarray, weights: np.ndarray, truth: np.ndarray, precision: float = PRECISION
) -> float:
    """The lowest support at which weighted precision reaches ``precision``; 0.95 where it never does."""
    order = np.argsort(-support)
    hits = np.cumsum((weights * truth)[order])
    alarms = np.cumsum((weights * ~truth)[order])
    good = np.flatnonzero(hits / np.maximum(hits + alarms, 1e-12) >= precision)
    good = good[hits[good] > 0.02 * hits[-1]]
    return float(np.clip(support[order][good[-1]], 0.05, 0.97)) if good.size else 0.95


def label_weights(au: int, scenes: Scenes, world: World, there: np.ndarray) -> np.ndarray:
    """(N,) weights of scenes as if AU labels were drawn: 70 % true, 15 % random, 15 % look-alike's."""
    size = largest(scenes, world, au)
    near = np.zeros(len(there), bool)
    for other in NEIGHBOURS.get(au, entry(au).look_alikes):
        if (world.aus == other).any():
            near |= present(scenes, world, other).any(1)
    return shares_of(there & (size >= LEAST_MOTION), there, near)


def shares_of(true: np.ndarray, there: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(N,) weights of rows: 70 % ``true``, 15 % any without the AU, 15 % of those that show a neighbour."""
    groups = ((true, 1 - FALSE_SHARE), (~there, FALSE_SHARE / 2), (~there & near, FALSE_SHARE / 2))
    weights = np.zeros(len(there))
    for members, share in groups:
        if members.any():
            weights[members] += share / members.sum()
    return weights


class Held(NamedTuple):
    """Scenes of the threshold subjects, their per AU features (n, F) and whether left is stronger (n,)."""

    scenes: Scenes
    table: dict[int, np.ndarray]
    left: dict[int, np.ndarray]


def fit_mode(
    mode: Mode, calibration: Calibration, worlds: tuple[World, World], scenes: int, seed: int
) -> tuple[dict[int, AUModel], Held]:
    """Filters on the first world's subjects, thresholds on the second's, whose scenes come along."""
    difficulty = PX if mode == "px" else RELATIVE
    numbers = (*worlds[0].numbers, 43)
    first = simulate(worlds[0], scenes, np.random.default_rng([seed, 1]), difficulty)
    table, left = feature_table(first, calibration, mode, numbers)
    second = simulate(worlds[1], scenes // 2, np.random.default_rng([seed, 2]), difficulty)
    held, held_left = feature_table(second, calibration, mode, numbers)
    models, decided = {}, []
    for au in numbers:
        sides = present(first, worlds[0], au)
        there = np.asarray(sides.any(1))
        presence = fit_filter(table[au][:, :-PAIR], there)
        other = None
        held_sides = present(second, worlds[1], au)
        held_there = np.asarray(held_sides.any(1))
        if entry(au).scoring == "sides" and au != 43:  # the scenes close both eyes
            weak = np.where(left[au], sides[:, 1], sides[:, 0])
            other = fit_filter(table[au][there], weak[there])
            plain = largest(second, worlds[1], au) >= LEAST_MOTION
            weak_held = np.where(held_left[au], held_sides[:, 1], held_sides[:, 0])
            decided.append((other.probability(held[au][plain]), weak_held[plain]))
        support = presence.probability(held[au])
        threshold = set_threshold(support, label_weights(au, second, worlds[1], held_there), held_there)
        calm = support[second.kinds != "expression"].max()
        models[au] = AUModel(
            presence=presence,
            second_side=other,
            threshold=round(threshold, 4),
            unlabelled_threshold=round(float(max(threshold, calm)), 4),
        )
    cut = round(best_cut(*(np.concatenate(part) for part in zip(*decided, strict=True))), 4)
    models = {au: model.model_copy(update={"side_threshold": cut}) for au, model in models.items()}
    return models, Held(second, held, held_left)


def largest(scenes: Scenes, world: World, au: int) -> np.ndarray:
    """(n,) px of the AU's stronger side."""
    return np.max([scenes.amplitudes[:, k] for k in np.flatnonzero(world.aus == au)], axis=0)


def best_cut(score: np.ndarray, truth: np.ndarray) -> float:
    """The cut that decides most cases right, one- and two-sided ones as frequent as they are.

    One cut for all AUs: a few hundred cases of a single AU would choose theirs by chance. Of equally good
    cuts the middle one.
    """
    cuts = np.linspace(0.05, 0.95, 91)
    right = np.array([np.mean((score >= cut) == truth) for cut in cuts])
    best = np.flatnonzero(right >= right.max() - 1e-12)
    return float(cuts[best[len(best) // 2]])


def make_regions(scenes: int, seed: int, command: str) -> Calibration:
    """Templates, filters and thresholds on region vectors, px and relative, from calibration subjects."""
    from deft_llm.synth.core.identity import split_seeds
    from recipes.au_support.calibrate_sides import fit_second_pass

    seeds = split_seeds("calibration", FILTER_SUBJECTS + THRESHOLD_SUBJECTS)
    parts = seeds[:FILTER_SUBJECTS], seeds[FILTER_SUBJECTS:]
    worlds = [synthetic_worlds(part, (LANDMARK_JITTER, CROP_JITTER), seed=seed) for part in parts]
    sharp, loose = (worlds[0][0], worlds[1][0]), (worlds[0][1], worlds[1][1])
    made_from: dict[str, Any] = {
        "subjects": f"synthetic, calibration range: {FILTER_SUBJECTS} for filters, {THRESHOLD_SUBJECTS} more "
        "for thresholds",
        "scenes": scenes,
        "seed": seed,
        "source": "recipes.au_support.simulate over synth.core.units (arkit, makehuman)",
        "precision_aimed_at": PRECISION,
    }
    calibration = Calibration(
        version=CALIBRATION_VERSION,
        command=command,
        made_from=made_from,
        regions=list(REGION_KEYS),
        atoms=templates(sharp[0]),
        models={},
    )
    px, held = fit_mode("px", calibration, sharp, scenes, seed)
    relative, _ = fit_mode("relative", calibration, loose, scenes // 4, seed)
    calibration = calibration.model_copy(update={"models": {"px": px, "relative": relative}})
    return calibration.model_copy(update={"second_pass": fit_second_pass(calibration, sharp, held)})


def make_maps(maps: int, seed: int, command: str, beside: Sequence[MapFilters] = ()) -> MapModel:
    """A filter bank on synthetic maps of one half of the calibration range (averaged with those ``beside``),
    thresholds on the other half's, with all that ``calibrate_maps.HARD`` adds."""
    bank = fit_filters(draw_maps("calibration", maps, seed), seed=seed)
    held = draw_maps("calibration", maps // 4, seed + 1, identities=48, skip=1)
    return with_thresholds([*beside, bank], held, seed, command)


def with_thresholds(banks: list[MapFilters], held: MapScenes, seed: int, command: str) -> MapModel:
    """The model of maps whose thresholds are set on ``held``, made harder."""
    model = MapModel(command=command, filters=banks, thresholds={}, unlabelled_thresholds={})
    shown, truth = hardened(held.maps, held.truth, seed)
    support, truth = expit(model.odds(shown)[:, 0]), truth[:, 0]
    for column, au in enumerate(held.numbers):
        near = [
            held.numbers.index(other)
            for other in NEIGHBOURS.get(au, entry(au).look_alikes)
            if other in held.numbers
        ]
        there = truth[:, column]
        weights = shares_of(there, there, np.asarray(truth[:, near].any(1)))
        cut = round(set_threshold(support[:, column], weights, there, MAP_PRECISION), 4)
        calm = support[held.calm, column]
        top = float(np.quantile(calm, 0.998)) if calm.size else 0.95
        model.thresholds[au] = cut
        model.unlabelled_thresholds[au] = round(min(max(cut, top), 0.999), 4)
    return model


def kept_maps(file: Path) -> MapModel | None:
    """The map filters of a calibration file of any version; their format has not changed since the first."""
    value = read_json(file).get("maps")
    return None if value is None else MapModel.model_validate(value)


def main() -> None:
    """Write the calibration file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=10000, help="region-level scenes")
    parser.add_argument("--maps", type=int, default=20000, help="synthetic maps for the filter bank")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=["regions", "maps"], help="make one part, keep the other of --out")
    parser.add_argument("--beside", action="store_true", help="new map filters stand beside those of --out")
    parser.add_argument("--out", type=Path, default=CALIBRATION_FILE)
    options = parser.parse_args()
    command = f"python -m recipes.au_support.calibrate --scenes {options.scenes} --maps {options.maps}"
    command += f" --seed {options.seed}" + (f" --only {options.only}" if options.only else "")
    only = options.only
    command += " --beside" if options.beside else ""
    there = kept_maps(options.out) if only == "regions" or options.beside else None
    banks = there.filters if there is not None else []
    maps = there if only == "regions" else make_maps(options.maps, options.seed, command, banks)
    regions = (
        load_calibration(options.out)
        if only == "maps"
        else make_regions(options.scenes, options.seed, command)
    )
    write_text(options.out, regions.model_copy(update={"maps": maps}).model_dump_json() + "\n")


if __name__ == "__main__":
    main()
