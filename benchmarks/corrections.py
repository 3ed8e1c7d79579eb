"""Whether corrections help: the motion expert trained on what a simulated coder says, tested on other people.

A flowmaps corpus (``benchmarks/proxy_maps.py``: real estimators on rendered faces that no training saw) is
split by subject. A coder of known reliability codes the clips of one share: each Action Unit that is shown is
seen with chance ``--reliability``. These codings become a store, `deft train --start shipped parts=[motion]`
learns from it with validation subjects of its own, and both checkpoints read the clips of the others.

    python -m benchmarks.proxy_maps --out proxy --clips 160 --subjects 20
    python -m benchmarks.corrections proxy WORK [--steps 100] [--rate 3e-4] [--reliability .9]
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.cli import main as deft
from deft_llm.files import read_object

DRAWS = 2000  # of the bootstrap over subjects


def run(*words: object) -> None:
    """One command. Raises: SystemExit where it failed."""
    try:
        deft([str(word) for word in words])
    except SystemExit as done:
        if done.code:
            raise


def parted(corpus: Path, work: Path, share: float, reliability: float, seed: int) -> dict[str, list[str]]:
    """Corpora of different people: ``coded`` with the coder's Action Units, ``test`` with the true ones."""
    with (corpus / "manifest.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    rng = np.random.default_rng(seed)
    people = rng.permutation(sorted({row["subject"] for row in rows})).tolist()
    parts = {"coded": people[: round(share * len(people))], "test": people[round(share * len(people)) :]}
    for name, chosen in parts.items():
        own = [dict(row) for row in rows if row["subject"] in chosen]
        for row in own:
            if name == "coded":
                seen = [au for au in row["aus"].split("+") if au and rng.random() < reliability]
                row["aus"] = "+".join(seen)
        (work / name).mkdir(parents=True)
        shutil.copytree(corpus / "maps", work / name / "maps")
        with (work / name / "manifest.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(own)
    return parts


def tested(work: Path, name: str, checkpoint: Path | None) -> dict[str, Any]:
    """Zero-shot scores on the test people."""
    out = work / name
    more = [] if checkpoint is None else [f"checkpoint={checkpoint}"]
    run("benchmark", "flowmaps", work / "test", "--method", "deft", "--zero-shot", "--out", out, *more)
    return read_object(out / "metrics.json")


def shown(metrics: dict[str, Any]) -> dict[str, Any]:
    """UF1 of the class and mean F1 of Action Units, each with its 95 % interval over people."""
    emotion, aus = metrics["emotion"]["pooled"]["uf1"], metrics["au"]["pooled"]
    return {
        "uf1": [round(emotion[key], 3) for key in ("value", "low", "high")],
        "au f1": [round(aus[key], 3) for key in ("mean_f1", "mean_f1_low", "mean_f1_high")],
    }


def gain(before: dict[str, Any], after: dict[str, Any], seed: int) -> list[float]:
    """By how much the share of right classes rose: value and 95 % interval, people drawn with replacement."""
    people = sorted(before)
    clips = np.array([before[one]["clips"] for one in people])
    more = np.array([after[one]["right"] - before[one]["right"] for one in people])
    drawn = np.random.default_rng(seed).integers(0, len(people), (DRAWS, len(people)))
    found = more[drawn].sum(1) / clips[drawn].sum(1)
    return [round(float(v), 3) for v in (more.sum() / clips.sum(), *np.quantile(found, (0.025, 0.975)))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path, help="emptied")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--reliability", type=float, default=0.9)
    parser.add_argument("--share", type=float, default=0.6, help="of the people that are coded")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    people = parted(options.corpus, options.work, options.share, options.reliability, options.seed)
    store, trained, started = options.work / "store", options.work / "run", time.process_time()
    run("prepare", "flowmaps", options.work / "coded", "--store", store)
    run("train", store, "--start", "shipped", "--out", trained, "parts=[motion]", f"seed={options.seed}",
        f"motion.steps={options.steps}", f"motion.learning_rate={options.rate}", "motion.batch=64",
        f"motion.warmup_steps={options.steps // 5}", f"motion.cooldown_steps={options.steps // 2}",
        f"motion.validate_every={max(options.steps // 4, 1)}", "validation_share=0.2")  # fmt: skip
    before = tested(options.work, "shipped", None)
    after = tested(options.work, "trained", trained / "model")
    more = gain(before["per_subject"], after["per_subject"], options.seed)
    verdict = "helped" if more[1] > 0 else "harmed" if more[2] < 0 else "cannot be told from nothing"
    print(json.dumps({
        "people coded, tested": [len(one) for one in people.values()], "steps": options.steps,
        "cpu_s": round(time.process_time() - started), "shipped": shown(before), "trained": shown(after),
        "more right classes": more, "training on the coder's events": verdict,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
