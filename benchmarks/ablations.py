"""Expert and loss ablations of the discriminative path: equal budget, three seeds, unseen subjects.

    python -m recipes.flow_samples shards --shards 20 --seed 9000 --identities 128
    python -m benchmarks.ablations motion shards --out runs/ablations
    deft synth films --film keys --split train --clips 800 --subjects 80 conditions.phase=rise \\
        conditions.light=near-frontal conditions.lures=.3
    deft synth test --film keys --clips 144 --subjects 24 conditions.phase=rise \\
        conditions.light=far-side conditions.lures=.5 conditions.twins=true
    python -m benchmarks.ablations faces films --test test --out runs/ablations
    python -m benchmarks.ablations table --out runs/ablations

``motion``: configs/ablations/motion/*.yaml with a small expert, tested on flow-level samples of test
identities. ``faces``: configs/ablations/faces/*.yaml beside the shipped motion expert, tested on rendered
films, with probes of their tokens. A finished run is kept, so a stopped command goes on. The table: mean over
seeds, 95 % interval over subjects of the value and of its difference from "full" on the same clips.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

CONFIGS = Path(__file__).parents[1] / "configs" / "ablations"
SMALL = {"stem": 16, "middle": 32, "width": 64, "blocks": 1}
RESAMPLES = 300
FLOW_TEST, TEST_IDENTITIES = 2000, 40
PROBES = (
    "AU AUROC, linear, structure", "pose R2, linear, structure", "exact geometry R2, linear, structure",
    "same subject, structure", "AU AUROC, linear, texture", "same subject, texture",
)  # fmt: skip


def flow_test(path: Path) -> dict[str, np.ndarray]:
    """Flow-level samples of test identities: (N, ...) arrays of the shard's fields, ``subject`` (N,)."""
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.synth.flow.sampler import FlowSynth
    from deft_llm.training.flow_shards import FIELDS
    from recipes.flow_samples import targets_of

    if not path.exists():
        batch = FlowSynth("test", FlowConfig(identities=TEST_IDENTITIES)).batch(FLOW_TEST, 77)
        targets = targets_of(batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, subject=batch["subjects"], **{name: getattr(targets, name) for name in FIELDS})
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def motion_predictions(deft: Any, test: dict[str, np.ndarray], by_fine: bool) -> dict[str, np.ndarray]:
    """AU logits (N, A) and class probabilities (N, 3) on flow-level samples;
    ``by_fine``: the fine head's sums."""
    import torch

    from deft_llm.facs.emotions import FINE, coarse_of
    from deft_llm.model.inputs import DeftBatch
    from deft_llm.records import COARSE
    from deft_llm.training.augment import relative

    home = torch.tensor([[float(coarse_of(fine) == name) for name in COARSE] for fine in FINE])
    aus, classes = [], []
    with torch.inference_mode():
        for start in range(0, len(test["maps"]), 250):
            maps = relative(torch.from_numpy(test["maps"][start : start + 250].astype(np.float32)))
            out = deft.read(DeftBatch(maps, torch.ones(maps.shape[:2], dtype=torch.bool)))
            aus.append(out.au.amax(-1))
            classes.append(out.fine.softmax(-1) @ home if by_fine else out.coarse.softmax(-1))
    return {"au": torch.cat(aus).numpy(), "classes": torch.cat(classes).numpy()}


def shortened(config: Any, given: argparse.Namespace, seed: int, **changes: Any) -> Any:
    """Settings of a part over the steps of this comparison."""
    return config.model_copy(update={
        "seed": seed, "steps": given.steps, "batch": given.batch, "cooldown_steps": given.steps // 3,
        "validate_every": 0, **changes})  # fmt: skip


def run_motion(given: argparse.Namespace) -> None:
    """Train and test every config of the motion expert."""
    from deft_llm.config import load_config
    from deft_llm.training.checkpoints import start_model
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.loop import fit
    from deft_llm.training.motion import MotionPart
    from deft_llm.training.settings import TrainConfig

    test, shards = flow_test(given.out / "flow_test.npz"), FlowShards(given.data[0], given.shards)
    for seed in range(given.seeds):
        for file in sorted((CONFIGS / "motion").glob("*.yaml")):
            path = given.out / "motion" / f"{file.stem}-{seed}.npz"
            if path.exists():
                continue
            started = time.process_time()
            config = load_config(TrainConfig, file, [])
            settings = shortened(config.motion, given, seed, ema=0.99, warmup_steps=30)
            deft = start_model(config, None, seed, experts={"motion"}, motion=SMALL, faces={}, language=False)
            part = MotionPart(deft, settings, shards)
            fit(part, path.with_suffix(""))
            _keep(path, motion_predictions(part.result(), test, settings.losses.coarse == 0), started)


def run_faces(given: argparse.Namespace) -> None:
    """Train and test every config of the face experts."""
    from benchmarks.disentangle import beside
    from benchmarks.films import face_data, load_films
    from deft_llm.config import load_config
    from deft_llm.model.checkpoint import SHIPPED
    from deft_llm.training.faces import FacePart, choose_axes, read_faces
    from deft_llm.training.loop import fit
    from deft_llm.training.settings import TrainConfig

    base = given.checkpoint or SHIPPED
    films, known = load_films(given.test), load_films(*given.data)
    donor = np.array([np.random.default_rng(row).choice(np.flatnonzero(films.subject != s))
                      for row, s in enumerate(films.subject)])  # fmt: skip
    for seed in range(given.seeds):
        for file in sorted((CONFIGS / "faces").glob("*.yaml")):
            path = given.out / "faces" / f"{file.stem}-{seed}.npz"
            if path.exists():
                continue
            started = time.process_time()
            settings = shortened(load_config(TrainConfig, file, []).faces, given, seed)
            deft = beside(base, settings, seed)
            learn, test = face_data(known, deft), face_data(films, deft)
            alone = given.out / "faces" / "motion_alone-0.npz"
            if not alone.exists():
                own = test.motion[0]
                found = {"au": own.au.amax(-1).numpy(), "classes": own.coarse.softmax(-1).numpy()}
                _keep(alone, found | _truth(films), started)
            choose_axes(deft, learn)
            fit(FacePart(deft, settings, learn), path.with_suffix(""))
            seen = read_faces(deft, test)
            found = {"au": seen.au.amax(-1).numpy(), "classes": seen.coarse.softmax(-1).numpy()}
            if deft.structure is not None:
                swapped = read_faces(deft, test, structure_of=donor)
                found["swapped"] = swapped.coarse.softmax(-1).numpy()
            probed = face_probes((read_faces(deft, learn), known), (seen, films))
            _keep(path, found | probed, started)


def face_probes(fitted: tuple[Any, Any], tested: tuple[Any, Any]) -> dict[str, np.ndarray]:
    """What linear probes, fitted on the training subjects' films, read from each face expert's
    tokens in the test films without a lure (benchmarks/disentangle.py): what the losses are for.
    Each argument: (readout, films)."""
    from benchmarks.disentangle import token_probes, truths
    from deft_llm.evaluation.probes import verification_auc

    (own, known), (seen, films) = fitted, tested
    plain = np.flatnonzero(films.lure == 0)
    films, found = films.take(plain), {}
    targets = truths(known, films)
    for name in ("structure", "texture"):
        if getattr(seen, name) is None:
            continue
        pair = [getattr(readout, name).flatten(1).numpy() for readout in (own, seen)]
        found[f"same subject, {name}"] = verification_auc(pair[1][plain], [str(s) for s in films.subject])
        read = token_probes((pair[0], pair[1][plain]), known, films, targets, ("linear",))
        found |= {f"{figure}, {name}": row["score"] for figure, row in read.items()}
    return {name: np.array(value) for name, value in found.items()}


def _truth(films: Any) -> dict[str, np.ndarray]:
    return {name: getattr(films, name) for name in ("side", "known", "coarse", "subject")}


def _keep(path: Path, found: dict[str, np.ndarray], started: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found)
    print(f"{path.stem}: {time.process_time() - started:.0f} CPU s", flush=True)


def figures(run: dict[str, np.ndarray], truth: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(2, W) UF1 and mean AU AUROC of clips under weights (W, N), one row per resample of subjects."""
    keep = truth["coarse"] >= 0
    real, called = truth["coarse"][keep], run["classes"][keep].argmax(1)
    f1 = []
    for c in range(3):
        hit, total = (real == c) & (called == c), (real == c).astype(float) + (called == c)
        f1.append(2 * weights[:, keep] @ hit / np.maximum(weights[:, keep] @ total, 1e-9))
    areas = []
    present = truth["side"].max(-1) > 0
    for k in range(present.shape[1]):
        sure = truth["known"][:, k] > 0
        if min((present[sure, k]).sum(), (~present[sure, k]).sum()) >= 15:
            areas.append(weighted_auroc(run["au"][sure, k], present[sure, k], weights[:, sure]))
    if not areas:
        areas.append(np.full(len(weights), np.nan))  # too few films for the AUROC of any AU
    return np.stack([np.mean(f1, 0), np.nanmean(areas, 0)])


def weighted_auroc(score: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC (W,) under each row of weights (W, N); of a tie half counts."""
    values, place = np.unique(score, return_inverse=True)
    there, absent = np.zeros((2, len(weights), len(values)))
    for total, w in ((there, weights * present), (absent, weights * ~present)):
        np.add.at(total, (slice(None), place), w)
    below = np.cumsum(absent, 1) - absent / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (there * below).sum(1) / (there.sum(1) * absent.sum(1))


def table(given: argparse.Namespace) -> None:
    """Print a Markdown table of each group of runs."""
    for group in ("motion", "faces"):
        files = sorted((given.out / group).glob("*-*.npz"))
        if not files:
            continue
        runs: dict[str, list[dict[str, np.ndarray]]] = {}
        for file in files:
            with np.load(file, allow_pickle=False) as data:
                runs.setdefault(file.stem.rpartition("-")[0], []).append({n: data[n] for n in data.files})
        truth = flow_test(given.out / "flow_test.npz") if group == "motion" else runs["motion_alone"][0]
        print(f"\n{group}: {len(truth['coarse'])} clips of {len(np.unique(truth['subject']))} subjects\n")
        print("\n".join(rows_of(runs, truth)))


def rows_of(runs: dict[str, list[dict[str, np.ndarray]]], truth: dict[str, np.ndarray]) -> list[str]:
    """Table rows: "full" first, then by UF1."""
    subjects, index = np.unique(truth["subject"], return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(index))), drawn[:, index].astype(float)])
    found = {name: np.mean([figures(run, truth, weights) for run in many], 0) for name, many in runs.items()}
    spread = {
        n: np.std([figures(run, truth, weights[:1])[:, 0] for run in many], 0) for n, many in runs.items()
    }
    probes = [name for name in PROBES if any(name in run for many in runs.values() for run in many)]
    columns = ["run", "seeds", "UF1", "difference", "AU AUROC", "difference"]
    columns += ["class changes, structure swapped", *probes]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for name in sorted(runs, key=lambda n: (n != "full", -found[n][0, 0])):
        cells = []
        for metric in (0, 1):
            value, gap = found[name][metric], found[name][metric] - found["full"][metric]
            cells.append(f"{value[0]:.3f} {_interval(value[1:])}, sd {spread[name][metric]:.3f}")
            cells.append("" if name == "full" else f"{gap[0]:+.3f} {_interval(gap[1:], '+')}")
        swapped = [
            (r["swapped"].argmax(1) != r["classes"].argmax(1)).mean() for r in runs[name] if "swapped" in r
        ]
        cells.append(f"{100 * np.mean(swapped):.1f} %" if swapped else "")
        cells += [_mean_and_sd([float(run[p]) for run in runs[name] if p in run]) for p in probes]
        lines.append(f"| {name.replace('_', ' ')} | {len(runs[name])} | " + " | ".join(cells) + " |")
    return lines


def _mean_and_sd(values: list[float]) -> str:
    return f"{np.mean(values):.2f}, sd {np.std(values):.2f}" if values else ""


def _interval(values: np.ndarray, sign: str = "") -> str:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def main() -> None:
    """Run a group of ablations, or print the table of what has been run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("motion", "faces", "table"))
    parser.add_argument("data", type=Path, nargs="*", help="flow shards, or folders of films")
    parser.add_argument("--test", type=Path, help="films of test subjects")
    parser.add_argument("--checkpoint", type=Path, help="whose motion expert the face experts stand beside")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shards", type=int, default=20, help="how many shards are read")
    given = parser.parse_args()
    {"motion": run_motion, "faces": run_faces, "table": table}[given.what](given)


if __name__ == "__main__":
    main()
