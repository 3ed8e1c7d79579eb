"""Why true rises of rendered films are not stated: the first step at which each is lost, counted per unit.

    python -m benchmarks.missed FILMS [FILMS ...] --tracks DIR [--films N]

Counted are the rises of ``benchmarks/sequences.py``: of 1.5 of 5 and more that can be judged. Steps in order:
nothing reads the unit; the landmarker's signal is too small for shape, for the trained reader, or for both;
a gate (speech, a cover, a turn of the head, a blink, noise, a neutral that shows the unit); a stronger
movement that explains it; confidence; what is left (another statement took its place).
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from deft_llm.spotting.confidence import confidence_of, shipped
from deft_llm.spotting.explained import without_dragged
from deft_llm.spotting.joint import state_movements
from deft_llm.spotting.phases import AGREED, BELOW_LIMIT, LIMITS, AUPhase, phases_of
from deft_llm.state.channels import SIDES
from deft_llm.state.face_state import FaceState, state_of
from deft_llm.state.intensity import VISIBLE
from recipes.coded_films import (
    LIDS,
    NO_LEVEL,
    SAME,
    VISIBLE_LEVEL,
    Film,
    Row,
    film_options,
    films_of,
    matched,
    row_of_phase,
    row_of_unit,
)

STEPS = ("stated", "not read", "seen by neither", "too small for shape", "trained reader sees none", "gate",
         "explained by another", "confidence", "other")  # fmt: skip


def steps_of(film: Film) -> list[tuple[int, str]]:
    """(unit, step) of each true rise of a film."""
    state = state_of(film.track)
    units = [unit for one in state_movements(state) for unit in one.units if unit.number not in LIDS]
    stated = [row_of_unit(unit) for unit in units]
    there = [row for row in film.rows if row.level >= NO_LEVEL]
    met = {at for _, at in matched(stated, there)}
    found = phases_of(state)
    kept = without_dragged(found, state)
    return [
        (row.au, "stated" if at in met else lost_at(row, state, found, kept)) for at, row in enumerate(there)
        if row.phase == "rise" and row.sure and row.level >= VISIBLE_LEVEL
    ]  # fmt: skip


def lost_at(row: Row, state: FaceState, found: list[AUPhase], kept: list[AUPhase]) -> str:
    """The first step at which a true rise that is not stated is lost."""
    units = [au for au in LIMITS if SAME.get(au, au) == row.au]
    if not units:
        return "not read"
    alike = _like(row, state, found)
    if not alike:
        sides = SIDES if row.side == "both" else (row.side,)
        on, apex = (
            min(int(np.searchsorted(state.times, at)), len(state) - 1) for at in (row.onset, row.apex)
        )
        shape, trained = (
            max(float(np.nan_to_num(curves[au, side][apex] - curves[au, side][on])) / unit_of(au)
                for au in units for side in sides)
            for curves, unit_of in ((state.intensity, _limit_of), (state.trained, lambda au: AGREED))
        )  # fmt: skip
        if shape >= BELOW_LIMIT and trained >= 1:
            return "gate"
        if shape >= BELOW_LIMIT:
            return "trained reader sees none"
        return "too small for shape" if trained >= 1 else "seen by neither"
    alike = _like(row, state, kept)
    if not alike:
        return "explained by another"
    sure = any(confidence_of(phase, state) >= shipped().least for phase in alike)
    return "other" if sure else "confidence"


def _limit_of(au: int) -> float:
    return LIMITS[au] * VISIBLE[au]


def _like(row: Row, state: FaceState, phases: list[AUPhase]) -> list[AUPhase]:
    """The phases that would meet a true row."""
    return [phase for phase in phases if matched([row_of_phase(phase, state.times)], [row])]


def main() -> None:
    parser = film_options(__doc__)
    options = parser.parse_args()
    table: dict[int, Counter[str]] = defaultdict(Counter)
    for folder in options.folders:
        for film in films_of(folder, options.tracks / folder.name, options.films):
            for au, step in steps_of(film):
                table[au][step] += 1
    print("| unit | " + " | ".join(STEPS) + " |\n|" + "---|" * (len(STEPS) + 1))
    total = sum(table.values(), Counter())
    for name, row in (*((f"AU{au}", table[au]) for au in sorted(table)), ("all", total)):
        print(f"| {name} | " + " | ".join(str(row[step] or "") for step in STEPS) + " |")


if __name__ == "__main__":
    main()
