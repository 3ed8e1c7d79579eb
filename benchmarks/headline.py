"""The headline: trained on one unit set, tested on the other, on unseen
subjects, beside the Bayes-optimal score.

    python -m recipes.flow_samples arkit --shards 12 --seed 7100 --identities 96 --units arkit \\
        --coded 0.6
    deft train --config configs/headline.yaml flow_shards=arkit motion.steps=4000 --out runs/arkit
    deft synth unseen --film keys --seed 2 --clips 128 --subjects 16 --units makehuman \\
        smallest=.2 largest=3 conditions.phase=rise conditions.light=far-side conditions.lures=.2 \\
        conditions.flow=farneback8 conditions.crf=23
    python -m benchmarks.headline arkit unseen --trained runs/arkit/model --samples 4000 \\
        --methods majority,svm,mdmo_svm,rules,ststnet

All methods are fitted on the same flow-level maps (flow model, arkit units, training
subjects) and see rendered test subjects through another estimator, after H.264,
under light and cameras of their own, as 28 x 28 relative maps. ``deft, shipped`` was
trained on both unit sets and is no headline. Then: figures by motion size.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (0.2, 0.4, 0.7, 1.2, 3.01)


def samples_of(
    maps: np.ndarray, coarse: np.ndarray, side: np.ndarray, subject: np.ndarray, name: str
) -> list[Any]:
    """Benchmark samples of relative maps (N, P, 3, 28, 28), those of the three classes alone."""
    from deft_llm.methods.protocol import Sample
    from deft_llm.model.units import EXPERT_AUS
    from deft_llm.motion.measure import motion_from_flow
    from deft_llm.records import COARSE

    def load(row: int) -> Any:
        item = maps[row].astype(np.float32)
        return motion_from_flow(f"{name}/{row}", item[:, :2], units="relative", strain=item[:, 2])

    return [
        Sample(f"{name}/{row}", name, f"{name}/{subject[row]}", lambda row=row: load(row),
               frozenset({"flow", "offset-phase"}), COARSE[coarse[row]],
               aus=frozenset(n for n, yes in zip(EXPERT_AUS, side[row].max(-1)) if yes))
        for row in np.flatnonzero(coarse >= 0)
    ]  # fmt: skip


def asked(sample: Any) -> Any:
    """The sample without its labels."""
    from dataclasses import replace

    return replace(sample, label=None, aus=None)


def classes_by(
    name: str, options: dict[str, Any], train: list[Any], test: list[Any]
) -> tuple[list[str], list[Any]]:
    """Class of each test sample by a method, fitted where it can be, and its whole predictions."""
    from deft_llm.methods.protocol import Task, build_method

    method = build_method(name, Task(), **options)
    with tempfile.TemporaryDirectory() as folder:
        if not options.get("zero_shot"):
            held = {s.subject for s in train[-len(train) // 8 :]}
            fit, check = ([s for s in train if (s.subject in held) == side] for side in (False, True))
            if hasattr(method, "prepare"):
                method.prepare([asked(s) for s in [*train, *test]], Path(folder))
            method.fit(fit, check, seed=0, workdir=Path(folder))
        found = method.predict([asked(sample) for sample in test])
    # baselines give probabilities alone: what decides is the runner's business
    return [row.label or max(row.probabilities, key=row.probabilities.get) for row in found], found


def scored(truth: list[str], called: list[str], subjects: list[str]) -> str:
    """UF1 and UAR with 95 % intervals over subjects."""
    from deft_llm.evaluation.bootstrap import interval
    from deft_llm.evaluation.classes import confusion, summary
    from deft_llm.records import COARSE

    names = sorted(set(subjects))
    tables = np.stack([
        confusion(*zip(*[(t, c) for t, c, s in zip(truth, called, subjects) if s == name]), COARSE)
        for name in names
    ])  # fmt: skip
    parts = []
    for key in ("uf1", "uar"):
        value = float(summary(tables.sum(0))[key])
        low, high = interval(
            tables, lambda t, key=key: np.array([summary(x)[key] for x in t], float), resamples=500
        )
        parts.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
    return " | ".join(parts)


def au_f1(found: list[Any], test: list[Any], aus: tuple[int, ...]) -> float:
    """Mean F1 over the AUs that at least five test clips show, at each method's own threshold."""
    scores = []
    for number in aus:
        truth = np.array([number in sample.aus for sample in test])
        called = np.array([row.aus.get(str(number), 0.0) >= 0.5 for row in found])
        if truth.sum() >= 5:
            scores.append(2 * (truth & called).sum() / max(truth.sum() + called.sum(), 1))
    return float(np.mean(scores)) if scores else float("nan")


def print_by_size(
    largest: np.ndarray, called: dict[str, list[str]], truth: list[str], subjects: list[str]
) -> None:
    """Print the table of UF1 by the size of the main motion, px."""
    bins = [(low, high, (largest >= low) & (largest < high)) for low, high in zip(SIZES, SIZES[1:])]
    print("\nUF1 by the motion of the main AU at the apex (face 280 px wide):\n")
    print(
        "| method | "
        + " | ".join(f"{low:g}-{high:.2g} px, {inside.sum()} clips" for low, high, inside in bins)
        + " |"
    )
    print("|---|" + "---|" * len(bins))
    for label, classes in called.items():
        cells = []
        for _, _, inside in bins:
            pick = np.flatnonzero(inside)
            part = [[values[i] for i in pick] for values in (truth, classes, subjects)]
            cells.append(scored(*part).split(" | ")[0] if len(pick) else "")
        print(f"| {label} | " + " | ".join(cells) + " |")


def main() -> None:
    """Print Markdown tables."""
    from benchmarks.disentangle import bayes_class
    from benchmarks.films import load_films
    from deft_llm.facs.units import BENCHMARK_AUS
    from deft_llm.records import COARSE
    from deft_llm.synth.core.prior import load_prior
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.training.flow_shards import FlowShards

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("films", type=Path)
    parser.add_argument(
        "--trained", type=Path, required=True, help="checkpoint trained on these shards alone"
    )
    parser.add_argument("--methods", default="majority,svm,ststnet,rules")
    parser.add_argument("--samples", type=int, default=6000, help="maps that baselines are fitted on")
    parser.add_argument("--prior", default="facs")
    given = parser.parse_args()
    films = load_films(given.films)
    test = samples_of(films.maps, films.coarse, films.side, films.subject, "films")
    shards = FlowShards(given.shards)
    part = shards.take(np.arange(min(given.samples, len(shards))))
    # subjects of flow-level samples are not kept: neighbours in blocks share one, so groups are blocks
    train = samples_of(part.maps, part.coarse, part.side, np.arange(len(part)) // FlowConfig().takes, "flow")
    rows = np.flatnonzero(films.coarse >= 0)
    truth, subjects = [s.label for s in test], [s.subject for s in test]
    best, _ = bayes_class(films, given.prior)
    called: dict[str, list[str]] = {"Bayes-optimal, true AUs": [COARSE[k] for k in best[rows]]}
    faus: dict[str, float] = {}
    runs = [(name, name, {"zero_shot": True} if name == "rules" else {}) for name in given.methods.split(",")]
    runs += [("deft, arkit alone", "deft", {"zero_shot": True, "checkpoint": str(given.trained)}),
             ("deft, shipped (both unit sets)", "deft", {"zero_shot": True})]  # fmt: skip
    for label, name, options in runs:
        called[label], found = classes_by(name, options, train, test)
        if name in ("deft", "rules"):
            faus[label] = au_f1(found, test, BENCHMARK_AUS)
    exact = load_prior(given.prior).bayes_uf1()
    print(
        f"{len(test)} clips of {len(set(subjects))} subjects; Bayes-optimal UF1 of the prior: {exact:.3f}\n"
    )
    print("| method | UF1 | UAR | AU F1 |\n|---|---|---|---|")
    for label, classes in called.items():
        print(
            f"| {label} | {scored(truth, classes, subjects)} | {faus.get(label, float('nan')):.3f} |".replace(
                "nan", ""
            )
        )
    print_by_size(films.largest[rows], called, truth, subjects)


if __name__ == "__main__":
    main()
