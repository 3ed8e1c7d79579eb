"""Makes src/deft_llm/spotting/confidence.json: how often a statement about an Action Unit is right.

    deft synth TRAIN --film sequences --clips 30 --subjects 30 --split train --size 320 --seconds 8
    python -m recipes.confidence fit TRAIN [TRAIN ...] --tracks DIR \\
        --out src/deft_llm/spotting/confidence.json
    python -m recipes.confidence check TRAIN TEST --tracks DIR
    python -m recipes.confidence motion TRAIN [TRAIN ...] --test TEST [TEST ...] --tracks DIR \\
        --out src/deft_llm/spotting/confidence.json

A statement is right where the unit truly moves so then, however little; where what is true cannot be judged
(hidden, turned away, speech) it counts for nothing, nor does the second name of one movement (25, 26).
``check`` fits on all folders but the last and prints the calibration error on the last. ``motion``, after
``fit``, reads films as ``deft analyze`` does, leaves the weights and fits what the measured flow adds to the
log odds of a stated rise (``Calibration.moved``); it is printed for other films (``--test``) too.
``--tracks``: what was seen of each film is kept there, and what was measured with the calibration in use.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from deft_llm.errors import UsageError
from deft_llm.evaluation.units import auroc
from deft_llm.explain import Analysis, Analyzer
from deft_llm.explain.units import is_measured
from deft_llm.files import digest, read_json, write_json
from deft_llm.spotting.confidence import EVIDENCE, FEATURES, Calibration, features_of, shipped
from deft_llm.spotting.explained import grouped, without_dragged
from deft_llm.spotting.phases import phases_of
from deft_llm.state.face_state import state_of
from deft_llm.version import __version__
from recipes.coded_films import (
    LIDS,
    NO_LEVEL,
    TWIN_SECONDS,
    Film,
    Row,
    films_of,
    matched,
    row_of_phase,
    row_of_unit,
)

SHRINKAGE = 5.0  # of the weights towards EXPECTED (else 0), in features of unit spread, over all statements
# Log odds where films leave it open: without hands, with little speech, with rises of 0.8 s at most.
EXPECTED = {"covered": -1.5, "spoken": -1.0, "slow": -0.7}
BINS = 10
LEAST = 0.4  # probability from which a unit is stated: about where F1 on the training films is highest


class Seconded(NamedTuple):
    """Rises that were stated and measured: ``chance`` (N,) by shape, ``moves`` (N,) bool whether the skin
    moved along, ``right`` (N,) 0 or 1."""

    chance: np.ndarray
    moves: np.ndarray
    right: np.ndarray


class Statements(NamedTuple):
    """``features`` (N, F), ``right`` (N,) 0 or 1, ``film`` (N,) numbers."""

    features: np.ndarray
    right: np.ndarray
    film: np.ndarray


def statements_of(films: list[Film]) -> Statements:
    """Everything that could be stated of some films, with whether it is right."""
    features, right, numbers = [], [], []
    for number, film in enumerate(films):
        state = state_of(film.track)
        groups = grouped(without_dragged(phases_of(state), state), state)
        phases = [
            (phase, group.sides[phase.au]) for group in groups for phase in group.phases
            if phase.au not in LIDS
        ]  # fmt: skip
        stated = [row_of_phase(phase, state.times, side) for phase, side in phases]
        there = [row for row in film.rows if row.level >= NO_LEVEL]
        found = dict(matched(stated, there))
        for at, (phase, _) in enumerate(phases):
            if at in found and not there[found[at]].sure:
                continue
            if at not in found and any(_twins(stated[at], stated[other]) for other in found):
                continue
            features.append(features_of(phase, state))
            right.append(at in found)
            numbers.append(number)
    if not features:
        raise UsageError("Nothing could be stated of these films; give more of them.")
    return Statements(np.array(features), np.array(right, float), np.array(numbers))


def _twins(one: Row, other: Row) -> bool:
    """Whether two statements are one unit of the truth, of which only one can be met."""
    return (one.phase, one.au) == (other.phase, other.au) and abs(one.onset - other.onset) <= TWIN_SECONDS


def fitted(statements: Statements, least: float, name: str) -> Calibration:
    """The logistic function of the largest likelihood whose weights have the signs of EVIDENCE."""
    from scipy.optimize import minimize

    x, y = statements.features, statements.right
    spread = np.maximum(x.std(0), 0.25)
    z = x / spread
    expected = np.array([EXPECTED.get(feature, 0.0) for feature in FEATURES]) * spread

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        share = expit(z @ weights[:-1] + weights[-1])
        likelihood = -np.mean(y * np.log(share + 1e-9) + (1 - y) * np.log(1 - share + 1e-9))
        gradient = np.append(z.T @ (share - y), (share - y).sum()) / len(y)
        away = weights[:-1] - expected
        gradient[:-1] += 2 * SHRINKAGE * away / len(y)
        return float(likelihood + SHRINKAGE * (away**2).sum() / len(y)), gradient

    signs = [EVIDENCE.get(feature, 0) for feature in FEATURES]
    bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in signs]
    start = np.zeros(len(FEATURES) + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]).x
    return Calibration(
        features=list(FEATURES), weights=[round(float(w), 4) for w in found[:-1] / spread],
        bias=round(float(found[-1]), 4), least=least, fitted_on=name,
    )  # fmt: skip


def seconded_in(folder: Path, kept: Path, most: int | None) -> Seconded:
    """The measured rises of the films of a folder; what a film gave is kept in the folder ``kept``, by film,
    truth, calibration and version."""
    analyzer = Analyzer.from_pretrained("rules")
    rows: list[tuple[float, bool, bool]] = []
    for film in films_of(folder, kept, most):
        made_of = digest([film.content, film.rows, shipped().model_dump(), __version__])
        path = kept / f"{film.name}-{made_of}.measured.json"
        if not path.is_file():
            write_json(path, _measured_rises(analyzer.analyze(folder / "video" / f"{film.name}.mp4"), film))
        rows += read_json(path)
    chance, moves, right = (np.array(column, float) for column in zip(*rows, strict=True))
    return Seconded(chance, moves > 0, right)


def _measured_rises(analysis: Analysis, film: Film) -> list[tuple[float, bool, bool]]:
    """Confidence, whether the skin moved along and whether it is right, of each measured rise."""
    units = [
        unit for reading in analysis.readings if reading.motion is not None
        for unit in reading.movement.rises
        if unit.seen_by != "motion" and unit.number not in LIDS and is_measured(unit, reading.movement)
    ]  # fmt: skip
    there = [row for row in film.rows if row.level >= NO_LEVEL]
    found = dict(matched([row_of_unit(unit) for unit in units], there))
    return [
        (unit.confidence, unit.px is not None, at in found)
        for at, unit in enumerate(units) if at not in found or there[found[at]].sure
    ]  # fmt: skip


def fitted_motion(seen: Seconded, shape: Calibration) -> Calibration:
    """``shape`` with the ``moved`` of the largest likelihood, drawn a little towards nothing."""
    from scipy.optimize import minimize
    from sklearn.metrics import log_loss

    def loss(moved: np.ndarray) -> float:
        share = shape.model_copy(update={"moved": tuple(moved)}).seconded(seen.chance, seen.moves)
        return float(log_loss(seen.right, share, normalize=False, labels=[0, 1]) + (moved**2).sum() / 2)

    found = minimize(loss, np.zeros(2), bounds=[(0.0, None), (None, 0.0)]).x
    return shape.model_copy(update={"moved": (round(float(found[0]), 3), round(float(found[1]), 3))})


def _print_motion(name: str, calibration: Calibration, seen: Seconded) -> None:
    from sklearn.metrics import log_loss

    for said, share in (
        ("by shape", seen.chance), ("with motion", calibration.seconded(seen.chance, seen.moves))
    ):  # fmt: skip
        loss = log_loss(seen.right, share, labels=[0, 1])
        print(f"{name} {len(share)} rises, {seen.right.mean():.2f} right, {said}: log loss {loss:.3f}, area "
              f"under the curve {auroc(seen.right, share):.3f}, calibration error "
              f"{calibration_error(share, seen.right):.3f}")  # fmt: skip


def calibration_error(probability: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of share right and probability over bins, by their size."""
    at = np.minimum((probability * bins).astype(int), bins - 1)
    return float(sum(
        (at == one).mean() * abs(probability[at == one].mean() - right[at == one].mean())
        for one in range(bins) if (at == one).any()
    ))  # fmt: skip


def _fit_motion(options: argparse.Namespace) -> Calibration:
    def of(folders: list[Path]) -> Seconded:
        found = [seconded_in(one, options.tracks / one.name, options.films) for one in folders]
        return Seconded(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    shipped().moved = (0.0, 0.0)  # what is fitted decides on nothing yet
    seen = of(options.folders)
    calibration = fitted_motion(seen, shipped())
    print(f"moved {calibration.moved}")
    _print_motion("fitted on", calibration, seen)
    if options.test:
        _print_motion("tested on", calibration, of(options.test))
    return calibration


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("fit", "check", "motion"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--films", type=int, help="only the first so many of each folder")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--test", type=Path, nargs="+", default=[], help="with motion: films to test on")
    parser.add_argument("--least", type=float, default=LEAST)
    options = parser.parse_args()
    if options.out is None and options.part != "check":
        raise UsageError(f"{options.part} needs --out: where the calibration is written.")
    if options.part == "motion":
        calibration = _fit_motion(options)
        write_json(options.out, calibration.model_dump())
        return
    found = [
        statements_of(list(films_of(folder, options.tracks / folder.name, options.films)))
        for folder in options.folders
    ]
    training = found if options.part == "fit" else found[:-1]
    if not training:
        raise UsageError("check needs two folders or more: the last one to test on.")
    joined = Statements(*(np.concatenate(parts) for parts in zip(*training, strict=True)))
    size = f"{sum(len(set(one.film)) for one in training)} films, {len(joined.right)} statements"
    calibration = fitted(joined, options.least, size)
    for feature, weight in zip(FEATURES, calibration.weights, strict=True):
        print(f"  {feature:12s} {weight:7.3f}")
    for name, one in (
        ("fitted on", joined),
        *((("tested on", found[-1]),) if options.part == "check" else ()),
    ):
        share = calibration.probability(one.features)
        told = share >= options.least
        print(f"{name} {len(one.right)} statements, {one.right.mean():.2f} of them right: calibration error "
              f"{calibration_error(share, one.right):.3f}; from {options.least} on {told.sum()}, "
              f"{one.right[told].mean() if told.any() else 0:.2f} right")  # fmt: skip
    if options.part == "fit":
        write_json(options.out, calibration.model_dump())


if __name__ == "__main__":
    main()
