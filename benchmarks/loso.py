"""Times LOSO on flow maps of the MEGC2019 composite's size: 442 clips of 68 subjects, 28x28, two workers.

    python -m benchmarks.loso [--methods svm,ststnet] [--clips 442] [--subjects 68] [--out DIR]

Maps hold one blob pattern a class under noise: the time does not depend on what they show. Prints one JSON
line a method: seconds, CPU seconds of all processes, load, UF1.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from deft_llm.benchmark.runner import run_benchmark
from deft_llm.benchmark.settings import BenchmarkSettings
from deft_llm.motion.measure import motion_from_flow
from deft_llm.records import Clip, Coarse, Source
from deft_llm.store import StoreWriter

CLASSES: tuple[Coarse, ...] = ("negative", "positive", "surprise")
PLACES = {"negative": (9, 14, 0.0, 1.0), "positive": (20, 9, -0.7, -0.7), "surprise": (7, 20, 0.0, -1.0)}
# Shares of the composite: 250 negative, 109 positive, 83 surprise.
SHARES = (250 / 442, 109 / 442, 83 / 442)
LIMITS = {"svm": 60, "ststnet": 900, "deft": 600}


def make_store(root: Path, clips: int, subjects: int) -> Path:
    """A store of noisy maps, one blob a class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    items = []
    for number in range(clips):
        kind = CLASSES[int(rng.choice(3, p=SHARES))]
        row, column, u, v = PLACES[kind]
        bump = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 14)
        flow = np.stack([u * bump, v * bump])[None] + rng.normal(0, 0.35, (1, 2, 28, 28))
        subject = f"made/{number % subjects:03d}"
        clip = Clip(
            clip_id=f"{subject}/{number:04d}",
            corpus="made",
            subject=subject,
            coarse=kind,
            source=Source(kind="flow", path="-"),
        )
        strain = np.hypot(flow[0, 0], flow[0, 1])[None]
        items.append(
            (clip, motion_from_flow(clip.clip_id, flow.astype(np.float32), units="relative", strain=strain))
        )
    writer = StoreWriter(root, {"made": "benchmarks/loso.py", "clips": clips, "subjects": subjects})
    writer.write_shard(0, "made", items)
    writer.finish(1)
    return root


def _cpu_seconds() -> float:
    """CPU time of this process and of its workers that have ended: what holds on a busy machine."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Run the named methods and print their times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default="svm,ststnet")
    parser.add_argument("--clips", type=int, default=442)
    parser.add_argument("--subjects", type=int, default=68)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--task", default="emotion")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", arguments.clips, arguments.subjects)
        for method in arguments.methods.split(","):
            started, spent = time.monotonic(), _cpu_seconds()
            settings = BenchmarkSettings(
                corpora=["made"], method=method, task=arguments.task, workers=arguments.workers
            )
            metrics = run_benchmark(Path(folder) / method, [store], settings)
            seconds, spent = time.monotonic() - started, _cpu_seconds() - spent
            score = metrics.get("emotion", {}).get("pooled", {}).get("uf1", {}).get("value")
            print(
                json.dumps(
                    {
                        "method": method,
                        "clips": arguments.clips,
                        "subjects": arguments.subjects,
                        "workers": arguments.workers,
                        "seconds": round(seconds, 1),
                        "cpu_seconds": round(spent, 1),
                        "load": round(os.getloadavg()[0], 1),
                        "limit_s": LIMITS.get(method),
                        "uf1": score,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
