"""Speed and memory of the Uni-MER builder: python -m benchmarks.unimer [--clips N] [--json]

Builds from a store of N clips and from one of 10 N (region tables only) in fresh processes and prints
instructions a second and the peak memory of each.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def make_store(root: Path, clips: int) -> None:
    """A store of clips whose regions move as the AU templates say."""
    from deft_llm.aus.calibration import load_calibration
    from deft_llm.facs.emotions import coarse_of
    from deft_llm.records import ActionUnit, Clip, Source
    from deft_llm.store import StoreWriter
    from recipes.au_support.held_out import table_motion

    calibration = load_calibration()
    rng = np.random.default_rng(0)
    scenes = (((12,), "happiness"), ((1, 2), "surprise"), ((4, 7), "disgust"), ((15,), "sadness"))
    writer = StoreWriter(root, {"benchmark": "unimer"})
    for shard, start in enumerate(range(0, clips, 100)):
        items = []
        for number in range(start, min(start + 100, clips)):
            aus, fine = scenes[number % len(scenes)]
            positions = [p for au in aus for p in calibration.atom_index[au].values()]
            vector = calibration.atom_array[positions].sum(0) * rng.uniform(0.5, 2.0)
            vector = vector + 0.05 * rng.standard_normal(vector.shape)
            subject = f"bench/s{number % 40:02d}"
            clip = Clip(
                clip_id=f"{subject}/c{number:06d}",
                corpus="bench",
                subject=subject,
                emotion=fine,
                source=Source(kind="flow", path="x"),
                coarse=coarse_of(fine),
                aus=[ActionUnit(number=au) for au in aus],
            )
            items.append((clip, table_motion(clip.clip_id, vector, np.full(len(vector), 0.06))))
        writer.write_shard(shard, writer.work_key([start]), items)
    writer.finish(-(-clips // 100))


def one(clips: int) -> dict[str, float]:
    """Build once in this process; the store is made in another one."""
    from deft_llm.unimer.build import build

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.unimer", "--make", str(root / "store"), "--clips", str(clips)],
            cwd=Path(__file__).parents[1], check=True,
        )  # fmt: skip
        start = time.perf_counter()
        found = build(root / "store", root / "out")
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "clips": clips,
        "instructions": found["instructions"],
        "seconds": round(seconds, 2),
        "instructions_per_second": round(found["instructions"] / seconds, 1),
        "peak_memory_mib": round(peak, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_store(options.make, options.clips)
        return
    if options.one:
        print(json.dumps(one(options.clips)))
        return
    rows = []
    for clips in (options.clips, 10 * options.clips):
        done = subprocess.run(
            [sys.executable, __file__, "--one", "--clips", str(clips)],
            check=True,
            capture_output=True,
            text=True,
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
