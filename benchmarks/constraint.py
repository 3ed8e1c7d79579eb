"""Held-out figures of the dual constraint.

    python -m benchmarks.constraint [--scenes N] [--store STORE --corpus CORPUS] [--by-au] [--json]

Without --store, region-level scenes and flow maps of synthetic *test* subjects (the calibration saw others);
with it, the clips of a prepared synthetic store, judged against their truth (--corpus: the rendered corpus,
whose truth files say how far each AU moved; --draws: how often other labels of them are made false). 30 % of
the labels are made false. --by-au: what is found and told right of each AU from 1 px.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit

CALM = ("neutral", "blink")
BINS = ((0.3, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (0.5, 3.0), (1.0, np.inf))


def scene_result(scenes: int, subjects: int, units: str, noise: tuple[float, float], seed: int):
    from deft_llm.synth.core.identity import split_seeds
    from recipes.au_support.held_out import run_held_out, scene_cases
    from recipes.au_support.simulate import PX, RELATIVE, Difficulty, simulate
    from recipes.au_support.world import CROP_JITTER, LANDMARK_JITTER, synthetic_world

    jitter = LANDMARK_JITTER if units == "px" else CROP_JITTER
    world = synthetic_world(split_seeds("test", subjects), jitter=jitter, seed=seed)
    base = PX if units == "px" else RELATIVE
    hard = Difficulty(**{**base.__dict__, "noise": noise if units == "px" else base.noise})
    rng = np.random.default_rng([seed, 77])
    cases = scene_cases(simulate(world, scenes, rng, hard), world, units)
    return run_held_out(cases, world.numbers, rng)


def map_figures(maps: int, seed: int) -> dict[str, object]:
    """AUC of the support on stretched flow maps of test subjects, and how labels are judged there."""
    from deft_llm.aus.calibration import load_calibration
    from deft_llm.aus.support_report import area
    from recipes.au_support.calibrate import NEIGHBOURS, shares_of
    from recipes.au_support.calibrate_maps import draw_maps

    model = load_calibration().maps
    held = draw_maps("test", maps, seed + 9, identities=48)
    support = expit(model.odds(held.maps)[:, 0])
    auc, kept, wrong, found = {}, 0.0, 0.0, []
    for column, au in enumerate(held.numbers):
        there, score = held.truth[:, 0, column], support[:, column]
        if there.sum() < 5:
            continue
        auc[au] = round(area(score[there], score[~there]), 3)
        near = [held.numbers.index(other) for other in NEIGHBOURS.get(au, ()) if other in held.numbers]
        weights = shares_of(there, there, held.truth[:, 0, near].any(1)) * there.sum()
        passed = score >= model.thresholds[au]
        kept, wrong = kept + weights[passed & there].sum(), wrong + weights[passed & ~there].sum()
        found.append(passed[there].mean())
    return {
        "name": "stretched 28x28 maps",
        "maps": maps,
        "mean AUC": round(float(np.mean(list(auc.values()))), 4),
        "AUC": auc,
        "precision": round(float(kept / (kept + wrong)), 4),
        "mean recall": round(float(np.mean(found)), 4),
    }


def report(name: str, result) -> dict[str, object]:
    from recipes.au_support.held_out import figures

    calm = [quiet for kind, quiet in result.calm if kind in CALM]
    others = sorted({kind for kind, _ in result.calm} - set(CALM))
    counts = {kind: [quiet for name, quiet in result.calm if name == kind] for kind in others}
    moving = {kind: f"{sum(quiet)} of {len(quiet)}" for kind, quiet in counts.items()}
    rows = {f"{low:g}-{high:g} px": figures(result, low, high) for low, high in BINS}
    blink = [quiet for kind, quiet in result.calm if kind == "blink"]
    return {"name": name, "by motion size": rows, "calm clips": len(calm),
            "calm without evidence": float(np.mean(calm)) if calm else None,
            "blinks without evidence": float(np.mean(blink)) if blink else None,
            "other clips without AUs, quiet": moving}  # fmt: skip


def by_au(result) -> str:
    """Per AU the true labels from 1 px that are supported, and the share of sides right to the letter."""
    from recipes.au_support.held_out import HeldOut, figures

    words = []
    for au in sorted({row.au for row in result.rows if row.kind == "true"}):
        rows = [row for row in result.rows if row.au == au and row.kind == "true" and row.size >= 1.0]
        if rows:
            told = figures(HeldOut(rows))["laterality exact"]
            words.append(f"AU{au} {sum(row.supported for row in rows)}/{len(rows)}"
                         + ("" if told is None else f" (sides {told:.2f})"))  # fmt: skip
    return "found from 1 px: " + ", ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--maps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--corpus", type=Path, help="the rendered corpus of --store: true size of each AU")
    parser.add_argument("--draws", type=int, default=1, help="falsify a store's labels this often")
    parser.add_argument("--by-au", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    if options.store:
        from recipes.au_support.held_out import run_held_out
        from recipes.au_support.store_cases import AVAILABLE, store_cases

        rng = np.random.default_rng(options.seed)
        cases = store_cases(options.store, options.corpus)
        result = run_held_out(cases, AVAILABLE, rng, draws=options.draws)
        found.append(report(str(options.store.name), result))
        if options.by_au:
            print(by_au(result))
    else:
        for name, units, noise in (
            ("px, low noise", "px", (0.02, 0.05)),
            ("px, high noise", "px", (0.05, 0.12)),
        ):
            found.append(
                report(name, scene_result(options.scenes, options.subjects, units, noise, options.seed))
            )
        found.append(map_figures(options.maps, options.seed))
    if options.json:
        print(json.dumps(found))
        return
    for part in found:
        if "by motion size" not in part:
            print("\n" + "  ".join(f"{key} {value}" for key, value in part.items()))
            continue
        print(f"\n{part['name']}: calm clips {part['calm clips']}, without evidence "
              f"{part['calm without evidence']}, blinks {part['blinks without evidence']}, others "
              f"{part['other clips without AUs, quiet']}")  # fmt: skip
        for size, row in part["by motion size"].items():  # type: ignore[attr-defined]
            print(f"  {size:12}", "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
