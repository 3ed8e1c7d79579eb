"""deft prepare: clips a second by workers and engine, memory a process, and where the time goes.

Clips of 8 frames (a public-domain portrait, warped by sub-pixel motion) are made in a temporary folder.

    python benchmarks/prepare.py --clips 200 --engines 1 2 ray --memory 200 2000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, FPS = 8, 100


def make_corpus(root: Path, clips: int, size: int = 256) -> None:
    """A ``folder`` corpus: ``clips`` clips of ten subjects, onset 0, apex 4, offset 7."""
    import cv2
    from skimage.data import astronaut

    face = cv2.resize(astronaut()[:256, 96:352], (size, size))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    rows = ["path,subject,onset,apex,offset,fps"]
    for number in range(clips):
        generator = np.random.default_rng(number)
        centre, push = generator.uniform(0.4, 0.6, 2) * size, generator.uniform(-2, 2, 2)
        bump: np.ndarray = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (size / 10) ** 2))
        folder = root / f"s{number % 10}" / f"clip{number:05d}"
        folder.mkdir(parents=True)
        for index in range(FRAMES):
            share = 1 - abs(index - 4) / 4
            maps = [
                (grid - bump * step * share).astype(np.float32) for grid, step in ((x, push[0]), (y, push[1]))
            ]
            moved = cv2.remap(face, maps[0], maps[1], cv2.INTER_CUBIC)
            noisy = np.clip(moved + generator.normal(0, 2, moved.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{index:03d}.jpg"), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
        rows.append(f"s{number % 10}/{folder.name},s{number % 10},0,4,7,{FPS}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")


def run(root: Path, store: Path, how: str) -> dict[str, Any]:
    """Prepare once with a number of workers or "ray"; seconds hold the start of workers."""
    from deft_llm.prepare import prepare

    workers, engine = (2, "ray") if how == "ray" else (int(how), "local")
    started = time.perf_counter()
    made = prepare("folder", root, store, workers=workers, engine=engine)
    seconds = time.perf_counter() - started
    return {
        "how": how,
        "clips": len(made),
        "failed": len(made.failures),
        "seconds": round(seconds, 2),
        "clips_per_s": round(len(made) / seconds, 2),
        "hash": made.hash()[:16],
    }


class Shares:
    """Time inside the library calls that preparing cannot do without."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted under ``name``."""

        def call(*words: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*words, **named)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return call

    def measure(self, root: Path, store: Path) -> dict[str, float]:
        """Prepare in this process with the calls of decode, landmarks, flow and writing timed."""
        from deft_llm.faces import video
        from deft_llm.faces.landmarker import Landmarker
        from deft_llm.motion import measure as measuring
        from deft_llm.store import StoreWriter

        video._read_image = self.timed("decode", video._read_image)
        Landmarker.detect = self.timed("landmarks", Landmarker.detect)  # type: ignore[method-assign]
        Landmarker.track = self.timed("landmarks", Landmarker.track)  # type: ignore[method-assign]
        measuring.estimate = self.timed("flow", measuring.estimate)
        StoreWriter.write_shard = self.timed("writing", StoreWriter.write_shard)  # type: ignore[method-assign]
        started = time.perf_counter()
        from deft_llm.prepare import prepare

        prepare("folder", root, store)
        whole = time.perf_counter() - started
        shares = {name: round(seconds / whole, 3) for name, seconds in self.seconds.items()}
        inside = sum(self.seconds.values())
        return {
            **shares,
            "rest": round(1 - inside / whole, 3),
            "whole_over_library_calls": round(whole / inside, 3),
        }


def peak_mib(root: Path, store: Path) -> float:
    """Peak memory of a fresh process that prepares the corpus alone."""
    command = [sys.executable, __file__, "--alone", str(root), str(store)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(out.strip().splitlines()[-1])


def alone(root: str, store: str) -> None:
    """Prepare, and print this process' peak memory in MiB."""
    from deft_llm.prepare import prepare

    prepare("folder", root, store)
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All measurements, one row each."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_corpus(folder / "corpus", options.clips)
        rows = [run(folder / "corpus", folder / f"store-{how}", how) for how in options.engines]
        yield from rows
        yield {"same_store": len({row["hash"] for row in rows}) == 1}
        started = time.perf_counter()
        run(folder / "corpus", folder / f"store-{options.engines[0]}", options.engines[0])
        yield {"nothing_to_do_seconds": round(time.perf_counter() - started, 2)}
        yield {"share_of_time": Shares().measure(folder / "corpus", folder / "store-shares")}
        for number in options.memory:
            make_corpus(folder / f"corpus{number}", number)
            peak = peak_mib(folder / f"corpus{number}", folder / f"memory{number}")
            yield {"clips": number, "peak_mib_of_one_process": peak}


def main() -> None:
    """Print one JSON line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--engines", nargs="+", default=["1", "2", "ray"], help="numbers of workers, or ray")
    parser.add_argument("--memory", nargs="*", type=int, default=[200, 2000], help="numbers of clips")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(*options.alone)
        return
    for row in results(options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
