"""How far flow-level maps are from maps that real estimators made, and how well one reads the other.

    python -m benchmarks.transfer --target proxy [--samples 3000] [--plot maps.png]

``--target``: a flowmaps folder with a manifest (benchmarks/proxy_maps.py, or deft synth --layout flowmaps).
Prints statistics of both sides after ``motion.normalise.relative`` and the UF1 of an RBF-SVM trained on
synthetic maps alone and tested on the target: a proxy of transfer, not a result.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from deft_llm.methods.refit import macro_f1
from deft_llm.motion.normalise import relative
from deft_llm.records import COARSE
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth


def read_target(root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First-phase maps (n, 3, S, S) float32, coarse classes (n,) and subjects (n,) of a flowmaps folder.

    Clips without one of the three classes are left out.
    """
    with (root / "manifest.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["coarse"] in COARSE]
    maps = [cv2.imread(str(root / row["path"]))[..., ::-1].transpose(2, 0, 1) for row in rows]
    classes = np.array([COARSE.index(row["coarse"]) for row in rows])
    return np.stack(maps).astype(np.float32), classes, np.array([row["subject"] for row in rows])


def statistics(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Per-sample figures (n,) of relative maps (n, 3, S, S)."""
    n, _, size, _ = maps.shape
    grid = np.linspace(-1, 1, size)
    x, y = np.meshgrid(grid, grid)
    design = np.stack([np.ones(size * size), x.ravel(), y.ravel()], 1)
    project = design @ np.linalg.pinv(design)
    found: dict[str, np.ndarray] = {}
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    for channel, name in enumerate("uvs"):
        plane = maps[:, channel]
        flat = plane.reshape(n, -1) - plane.reshape(n, -1).mean(1, keepdims=True)
        variance = flat.var(1) + 1e-9
        power = np.abs(np.fft.fft2(flat.reshape(plane.shape))) ** 2
        total = power.sum((1, 2)) + 1e-9
        for low, high in ((0.5, 2.5), (2.5, 5.5), (5.5, 9.5), (9.5, 20)):
            band = (frequency >= low) & (frequency < high)
            found[f"{name} band {low:g}-{high:g}"] = power[:, band].sum(1) / total
        found[f"{name} affine share"] = (flat @ project).var(1) / variance
        found[f"{name} kurtosis"] = (flat**4).mean(1) / variance**2
        found[f"{name} skew"] = (flat**3).mean(1) / variance**1.5
        step = np.diff(plane, axis=2)
        found[f"{name} roughness"] = (step**2).mean((1, 2)) / variance
    u, v = (maps[:, k].reshape(n, -1) for k in (0, 1))
    found["|corr u v|"] = np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(u, v, strict=True)])
    return found


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--identities", type=int, default=48)
    parser.add_argument("--units", default="arkit,makehuman")
    parser.add_argument("--prior", default="facs")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    target, truth, subjects = read_target(args.target)
    synth = FlowSynth("train", FlowConfig(identities=args.identities, phases=1), prior=args.prior,
                      unit_sets=tuple(args.units.split(",")))  # fmt: skip
    batch = synth.batch(args.samples, 7)
    known = batch["coarse"] >= 0
    maps, labels = batch["maps"][known, 0].astype(np.float32), batch["coarse"][known]
    ours, theirs = relative(maps), relative(target)
    a, b = statistics(ours), statistics(theirs)
    print(f"{'statistic':22s} ours p10    p50    p90 | target p10  p50    p90 | target inside our p5-p95")
    for name in a:
        p, q = np.percentile(a[name], (10, 50, 90)), np.percentile(b[name], (10, 50, 90))
        low, high = np.percentile(a[name], (5, 95))
        inside = np.mean((b[name] >= low) & (b[name] <= high))
        sides = " | ".join(" ".join(f"{x:7.3f}" for x in side) for side in (p, q))
        print(f"{name:22s} {sides} | {inside:.2f}")
    model = make_pipeline(StandardScaler(), SVC(C=3.0, gamma="scale", class_weight="balanced"))
    half = len(ours) * 3 // 4
    flat = ours.reshape(len(ours), -1)
    model.fit(flat[:half], labels[:half])
    held = macro_f1(labels[half:], model.predict(flat[half:]), len(COARSE))
    print(f"SVM trained on {half} synthetic maps: UF1 {held:.3f} on {len(flat) - half} more")
    called = model.predict(theirs.reshape(len(theirs), -1))
    print(f"UF1 {macro_f1(truth, called, len(COARSE)):.3f} on the target ({len(truth)} maps)")
    for kind in ("portrait", "render"):
        chosen = np.array([kind in subject for subject in subjects])
        if chosen.any():
            score = macro_f1(truth[chosen], called[chosen], len(COARSE))
            print(f"  {kind}: UF1 {score:.3f} ({chosen.sum()} maps)")
    if args.plot:
        rows = []
        for images, classes in ((maps, labels), (target, truth)):
            for c in range(3):
                chosen = images[classes == c][-16:]
                tiles = [
                    np.vstack([cv2.resize(m[k], (72, 72), interpolation=cv2.INTER_NEAREST) for k in range(3)])
                    for m in chosen
                ]
                tiles += [np.zeros((216, 72), np.float32)] * (16 - len(tiles))
                rows.append(np.hstack(tiles))
        cv2.imwrite(str(args.plot), np.vstack(rows).astype(np.uint8))


if __name__ == "__main__":
    main()
