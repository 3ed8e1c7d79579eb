"""What is stated of rendered films against their exact truth: Action Units that rise and are released.

    deft synth FILMS --film sequences --clips 12 --subjects 12 --split test --size 320 --seconds 8
    python -m benchmarks.sequences FILMS [FILMS ...] --tracks DIR [--measured] [--list]

Shape and appearance alone are read (what ``deft analyze --fast`` states), with ``--measured`` the optical
flow too (``deft analyze``; half a minute a film). One to one per unit (``recipes.coded_films``): recall over
true rises and releases of 1.5 of 5 and more that can be judged, precision over everything stated (what is
weaker counts as right, what cannot be judged as neither), false statements a minute where nothing happens
(calm films, and films before their first expression), sides, rises that are stated for a release of another
unit, and the calibration error of the stated confidences.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from deft_llm.explain import Analyzer
from deft_llm.spotting.joint import state_movements
from deft_llm.spotting.movement import Movement
from deft_llm.state.face_state import state_of
from recipes.coded_films import (
    LIDS,
    NO_LEVEL,
    VISIBLE_LEVEL,
    Film,
    Row,
    film_options,
    films_of,
    matched,
    row_of_unit,
)
from recipes.confidence import calibration_error

PHASES = ("rise", "release")
BEFORE = 0.5  # s before the first expression that are still called calm


@dataclass
class Tally:
    """Counts over films: (phase, unit) -> true, met, stated, right; sides, opposites, calm seconds."""

    true: Counter = field(default_factory=Counter)
    met: Counter = field(default_factory=Counter)
    stated: Counter = field(default_factory=Counter)
    right: Counter = field(default_factory=Counter)
    sides: list[bool] = field(default_factory=list)
    opposite: int = 0
    calm_seconds: float = 0.0
    calm_stated: int = 0
    calm_micro: int = 0
    confidence: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, film: Film, movements: list[Movement], *, listing: bool = False) -> None:
        """Count one film and what is stated of it."""
        units = [unit for one in movements for unit in one.units if unit.number not in LIDS]
        stated = [row_of_unit(unit) for unit in units]
        there = [row for row in film.rows if row.level >= NO_LEVEL]
        found = dict(matched(stated, there))
        judged = [at for at in range(len(stated)) if at not in found or there[found[at]].sure]
        met = {found[at] for at in judged if at in found}
        for at in judged:
            key = (stated[at].phase, stated[at].au)
            self.stated[key] += 1
            self.right[key] += at in found
            self.confidence.append((units[at].confidence, at in found))
            if at not in found and stated[at].phase == "rise":
                self.opposite += _in_release(stated[at], there)
            elif at in found and there[found[at]].phase == "rise" and there[found[at]].level >= VISIBLE_LEVEL:
                self.sides.append(stated[at].side == there[found[at]].side)
        for number, row in enumerate(there):
            if row.sure and row.level >= VISIBLE_LEVEL:
                self.true[row.phase, row.au] += 1
                self.met[row.phase, row.au] += number in met
        self._calm(film, movements)
        if listing:
            _list(film, units, found, judged, there, met)

    def _calm(self, film: Film, movements: list) -> None:
        """What is stated before the first expression, or in a film without any."""
        starts = [event["onset_time"] for event in film.truth["events"] if event["kind"] == "speech"]
        starts += [row.onset - BEFORE for row in film.rows]
        until = max(0.0, min([float(film.track.times[-1]), *starts]))
        self.calm_seconds += until
        inside = [one for one in movements if one.apex_time < until]
        self.calm_stated += sum(len(one.units) for one in inside)
        self.calm_micro += sum(one.kind == "micro-expression" for one in inside)

    def table(self) -> dict:
        """The figures, as JSON."""
        out: dict = {}
        for phase in PHASES:
            total = {name: sum(n for (one, _), n in counts.items() if one == phase)
                     for name, counts in vars(self).items() if isinstance(counts, Counter)}  # fmt: skip
            out[phase] = {
                "true": total["true"], "recall": _share(total["met"], total["true"]),
                "stated": total["stated"], "precision": _share(total["right"], total["stated"]),
                "by_unit": self._by_unit(phase),
            }  # fmt: skip
        confidence = np.array(self.confidence, float).reshape(-1, 2)
        out["sides"] = {"judged": len(self.sides), "right": _share(sum(self.sides), len(self.sides))}
        out["opposites"] = self.opposite
        out["calm"] = {
            "seconds": round(self.calm_seconds, 1), "stated": self.calm_stated, "micro": self.calm_micro
        }  # fmt: skip
        out["calibration_error"] = round(calibration_error(*confidence.T), 3) if len(confidence) else None
        for low in np.arange(0.4, 1.0, 0.1):
            part = (confidence[:, 0] >= low) & (confidence[:, 0] < low + 0.1)
            right = _share(int(confidence[part, 1].sum()), int(part.sum()))
            out.setdefault("by_confidence", {})[f"{low:.1f}"] = [int(part.sum()), right]
        return out

    def _by_unit(self, phase: str) -> dict[str, str]:
        """Unit -> "met of true, right of stated"."""
        units = sorted({au for counts in (self.true, self.stated) for one, au in counts if one == phase})
        return {
            f"AU{au}": f"{self.met[phase, au]} of {self.true[phase, au]} met, "
                       f"{self.right[phase, au]} of {self.stated[phase, au]} right" for au in units
        }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 2) if whole else None


def _in_release(stated: Row, truth: list[Row]) -> bool:
    """Whether a rise is stated while something is released and nothing rises."""
    inside: dict[str, bool] = defaultdict(bool)
    for row in truth:
        inside[row.phase] |= row.onset - 0.1 <= stated.apex and stated.onset <= row.apex + 0.1
    return inside["release"] and not inside["rise"]


def _list(film: Film, units: list, found: dict, judged: list[int], there: list[Row], met: set[int]) -> None:
    kinds = [f"{event['kind']} {event['onset_time']:.1f}-{event['offset_time']:.1f}"
             for event in film.truth["events"] if event["kind"] not in ("blink", "gaze")]  # fmt: skip
    print(f"{film.name}: {', '.join(kinds)}")
    for at, unit in enumerate(units):
        verdict = "right" if at in found else "wrong"
        print(f"  {verdict if at in judged else 'cannot be judged'}: {unit.words} {unit.onset_time:.2f} to "
              f"{unit.apex_time:.2f} s, {unit.confidence}")  # fmt: skip
    for number, row in enumerate(there):
        if number not in met and row.sure and row.level >= VISIBLE_LEVEL:
            print(f"  missed: {row.phase} of AU{row.au} {row.side} {row.onset:.2f} s, {row.level:.1f} of 5")


def main() -> None:
    parser = film_options(__doc__)
    parser.add_argument("--list", action="store_true", help="print every statement and what was missed")
    parser.add_argument("--measured", action="store_true", help="read the films as deft analyze does")
    options = parser.parse_args()
    analyzer = Analyzer.from_pretrained("rules") if options.measured else None
    tally, count = Tally(), 0
    for folder in options.folders:
        for film in films_of(folder, options.tracks / folder.name, options.films):
            if analyzer is None:
                movements = state_movements(state_of(film.track))
            else:
                movements = analyzer.analyze(folder / "video" / f"{film.name}.mp4").movements
            tally.add(film, movements, listing=options.list)
            count += 1
    print(json.dumps({"films": count} | tally.table(), indent=2))


if __name__ == "__main__":
    main()
