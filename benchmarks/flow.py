"""Optical flow estimators against the exact flow of rendered clips, by motion magnitude and noise.

    deft synth clips --clips 200 --subjects 20 --seed 0
    python -m benchmarks.flow clips --methods dis farneback tvl1 --every tvl1=5

Pixels: visible surface of the subject, onset -> apex. End-point error (px) and angular error (degrees, of the
3-vectors (u, v, 1) as Barron, Fleet & Beauchemin 1994 define it). The truth check warps the apex back along
the exact flow: what is left of the difference to the onset should be the sensor's noise. Last, how large
motion looks to each estimator (face, px at a 280-px face): the way the figures of real corpora were obtained.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from deft_llm import corpora
from deft_llm.motion.flow import METHODS, estimate
from deft_llm.synth.video.card import face_hull

BINS = ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 20.0))


def errors(found: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """End-point error (n,) px and angular error (n,) degrees of flows (2, n)."""
    end_point = np.hypot(*(found - true))
    dot = (found * true).sum(0) + 1
    norm = np.sqrt(((found**2).sum(0) + 1) * ((true**2).sum(0) + 1))
    return end_point, np.degrees(np.arccos(np.clip(dot / norm, -1, 1)))


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The second frame (H, W) fetched back along the flow (2, H, W) px."""
    height, width = image.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(image, x + flow[0], y + flow[1], cv2.INTER_CUBIC)


def measure(root: Path, methods: list[str], limit: int, every: dict[str, int]) -> dict:
    """Errors of every method by magnitude bin and noise half, the truth check and the size of motion.

    ``every``: a slow method may look at every n-th clip only.
    """
    sums: dict = defaultdict(lambda: np.zeros(3))
    looks: dict[str, list] = defaultdict(list)
    check: list[dict] = []
    clips = [
        c
        for c in corpora.load("synthetic", root).clips
        if c.source.kind == "frames" and c.truth.onset is not None
    ]
    noises = [c.truth.attributes["camera"]["read_noise"] for c in clips]
    middle = float(np.median(noises))
    for number, (clip, noise) in enumerate(list(zip(clips, noises, strict=True))[:limit]):
        with np.load(root / clip.truth.attributes["truth_file"]) as data:
            true, seen = data["flow"][0].astype(np.float32), data["visible"][0]
            onset, apex, _ = data["frames"]
            face = seen & face_hull(data["landmarks"][onset], seen.shape)
        first, second = (
            cv2.imread(str(root / clip.source.path / clip.source.frames[i]), cv2.IMREAD_GRAYSCALE)
            for i in (onset, apex)
        )
        check.append(truth_check(first, second, true, seen, clip.truth.attributes["camera"]))
        length = np.hypot(*true)
        level = "low noise" if noise <= middle else "high noise"
        scale = 280 / 1.66 / clip.truth.attributes["camera"]["scale_px_per_dm"]
        micro = clip.truth.kind == "micro-expression" and face.any()
        if micro:
            looks["exact"].append(size_of(true[:, face] * scale))
        for method in ["zero", *methods]:
            if number % every.get(method, 1):
                continue
            found = np.zeros_like(true) if method == "zero" else estimate(first, second, method)
            if micro and method != "zero":
                looks[method].append(size_of(found[:, face] * scale))
            end_point, angle = errors(found[:, seen], true[:, seen])
            for low, high in BINS:
                inside = (length[seen] >= low) & (length[seen] < high)
                row = np.array([end_point[inside].sum(), angle[inside].sum(), inside.sum()])
                sums[method, f"{low}-{high}", level] += row
                sums[method, f"{low}-{high}", "all"] += row
    table = [
        {"method": m, "magnitude": b, "noise": n, "epe": s[0] / s[2], "angular": s[1] / s[2],
        "pixels": int(s[2])}
        for (m, b, n), s in sums.items() if s[2] > 0
    ]  # fmt: skip
    keys = check[0]
    return {
        "clips": len(check),
        "truth_check": {k: float(np.mean([c[k] for c in check])) for k in keys},
        "size": {name: [len(rows), *np.mean(rows, 0).tolist()] for name, rows in looks.items()},
        "table": table,
    }


def size_of(flow: np.ndarray) -> tuple[float, float, float]:
    """Mean and 99th percentile of |flow| and the mean vector's share, of flow (2, n) px."""
    length = np.hypot(*flow)
    mean = float(length.mean())
    return mean, float(np.percentile(length, 99)), float(np.hypot(*flow.mean(1)) / max(mean, 1e-9))


def truth_check(
    first: np.ndarray, second: np.ndarray, true: np.ndarray, seen: np.ndarray, camera: dict
) -> dict:
    """Residual of warping by the exact flow, beside the difference before and
    what the sensor's noise explains."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    inner = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    moved = inner & (np.hypot(*true) > 0.3)
    moved = moved if moved.sum() > 300 else inner
    level = a[moved].mean() / 255
    spread = np.sqrt(camera["read_noise"] ** 2 + camera["shot_noise"] ** 2 * level)
    grey = 1.0 if camera["grey"] else np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    return {
        "difference_before": spread_of((a - b)[moved]),
        "residual_after": spread_of((a - warp(b, true))[moved]),
        "noise_expected": float(np.sqrt(2) * spread * grey),
    }


def spread_of(values: np.ndarray) -> float:
    """Robust standard deviation: 1.4826 x the median absolute deviation (single hairs alias, skin counts)."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def main() -> None:
    """Print the tables, or JSON with --json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--limit", type=int, default=10**6)
    parser.add_argument("--every", nargs="*", default=[], metavar="METHOD=N", help="use every N-th clip")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    every = {name: int(number) for name, _, number in (word.partition("=") for word in options.every)}
    result = measure(options.root, options.methods, options.limit, every)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['clips']} clips; truth check (grey levels): "
          + ", ".join(f"{k} {v:.2f}" for k, v in result["truth_check"].items()))  # fmt: skip
    print("\nmicro-expressions, px at a 280-px face: clips, mean, 99th percentile, mean vector's share")
    for name, row in result["size"].items():
        print(f"{name:12s}{row[0]:6d}" + "".join(f"{value:8.2f}" for value in row[1:]))
    for noise in ("all", "low noise", "high noise"):
        print(f"\n{noise}: end-point error px / angular error degrees, by true magnitude (px)")
        print(f"{'':12s}" + "".join(f"{low:g}-{high:g}".rjust(16) for low, high in BINS))
        for method in ["zero", *options.methods]:
            cells = {
                r["magnitude"]: r for r in result["table"] if r["method"] == method and r["noise"] == noise
            }
            line = [cells.get(f"{low}-{high}") for low, high in BINS]
            shown = [f"{c['epe']:.3f} / {c['angular']:.1f}" if c else "-" for c in line]
            print(f"{method:12s}" + "".join(cell.rjust(16) for cell in shown))


if __name__ == "__main__":
    main()
