"""How well sides are told to the letter: by each AU's own filter, and with the second pass beside it.

    python -m benchmarks.laterality [--scenes 2000] [--stores STORE ... [--corpus CORPUS]]

Without --stores, region-level scenes of synthetic *validation* subjects; with them, prepared stores whose
clips know their truth (``benchmarks/portrait_store.py``, ``rendered_store.py``, ``deft prepare synthetic``).
Counted are two-sided AUs from 1 px, and of .5-3 px, whose support passes: by whether one side moves, both
alike, or the second side much less than the first (25-45 %), which counts as two-sided.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deft_llm.aus.calibration import Calibration, load_calibration
from deft_llm.aus.support import measure_support
from recipes.au_support.held_out import Case, scene_cases, side_right
from recipes.au_support.store_cases import store_cases

RANGES = {"from 1 px": (1.0, np.inf), ".5-3 px": (0.5, 3.0)}
KINDS = {"left": "one-sided", "right": "one-sided", "asymmetric": "25-45 %", "both": "alike"}


def scenes(count: int, subjects: int, seed: int) -> Iterator[Case]:
    """Scenes of validation identities, noise .02-.12 px."""
    from deft_llm.synth.core.identity import split_seeds
    from recipes.au_support.simulate import PX, simulate
    from recipes.au_support.world import LANDMARK_JITTER, synthetic_world

    world = synthetic_world(split_seeds("validation", subjects), jitter=LANDMARK_JITTER, seed=seed)
    return scene_cases(simulate(world, count, np.random.default_rng([seed, 78]), PX), world)


class Side(NamedTuple):
    """One true AU that passes: its clip, number, kind of truth, size (px), and which ways tell its side."""

    clip: str
    au: int
    kind: str
    size: float
    right: dict[str, bool]


def sides(cases: Iterable[Case], ways: dict[str, Calibration]) -> list[Side]:
    """The true two-sided AUs whose support passes by every way."""
    rows = []
    for case in cases:
        if not case.truth:
            continue
        found = {name: {s.au: s for s in measure_support(case.motion, way)} for name, way in ways.items()}
        for label, size in zip(case.truth, case.sizes, strict=True):
            right = {
                name: side_right(label, supports[label.number].side)
                for name, supports in found.items()
                if supports[label.number].support >= (ways[name].threshold("px", label.number) or 1.0)
            }
            if len(right) == len(ways) and None not in right.values():
                rows.append(Side(case.motion.clip_id, label.number, KINDS[label.side], size, right))
    return rows


def show(title: str, rows: list[Side], wrong: bool) -> None:
    """Print one line per range and way, then which sides each way misses."""
    for name, (low, high) in RANGES.items():
        some = [row for row in rows if low <= row.size < high]
        for way in some[0].right if some else ():
            parts = []
            for kind in dict.fromkeys(KINDS.values()):
                right = [row.right[way] for row in some if row.kind == kind]
                parts.append(f"{kind} {np.mean(right):.3f} of {len(right)}" if right else f"{kind} -")
            share = np.mean([row.right[way] for row in some])
            print(f"{title}, {name}: {way:12} {share:.4f} of {len(some)}  " + "  ".join(parts))
    for clip, au, kind, size, right in rows if wrong else ():
        if not all(right.values()):
            missed = ", ".join(way for way, good in right.items() if not good)
            print(f"  {clip} AU{au} {kind} {size:.2f} px: {missed}")


def main() -> None:
    """Print the table of the scenes or of each store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stores", type=Path, nargs="*", default=[])
    parser.add_argument("--corpus", type=Path, help="the rendered corpus of a store: true size of each AU")
    parser.add_argument("--wrong", action="store_true", help="name the sides that a way misses")
    options = parser.parse_args()
    shipped = load_calibration()
    ways = {"own filter": shipped.model_copy(update={"second_pass": None}), "shipped": shipped}
    for store in options.stores:
        show(store.name, sides(store_cases(store, options.corpus), ways), options.wrong)
    if not options.stores:
        show("scenes", sides(scenes(options.scenes, options.subjects, options.seed), ways), options.wrong)


if __name__ == "__main__":
    main()
