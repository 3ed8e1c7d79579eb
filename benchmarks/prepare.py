"""deft prepare: clips a second by workers and engine, memory per worker, and where the time goes.

Clips of 8 frames (a public-domain portrait, warped by sub-pixel motion) are made in a temporary folder.

    python -m benchmarks.prepare --clips 64 --engines 1 2 ray     clips/s, same store?, shares of time
    python -m benchmarks.prepare --engines --memory 20 200    peak memory per worker, of two
    python -m benchmarks.prepare --engines --memory 200 2000 --repeat    the same, cheap: one clip is measured
    python -m benchmarks.prepare --engines --kills 10    SIGKILL at random moments, two workers: same store?
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, FPS = 8, 100


def make_corpus(root: Path, clips: int, size: int = 256, different: int | None = None) -> None:
    """A ``folder`` corpus: ``clips`` clips of ten subjects, onset 0, apex 4, offset 7; from ``different`` on
    they are links to the first ones."""
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
        rows.append(f"s{number % 10}/{folder.name},s{number % 10},0,4,7,{FPS}")
        folder.mkdir(parents=True)
        if different is not None and number >= different:
            model = number % different
            for image in (root / f"s{model % 10}" / f"clip{model:05d}").iterdir():
                os.link(image, folder / image.name)
            continue
        for index in range(FRAMES):
            share = 1 - abs(index - 4) / 4
            maps = [
                (grid - bump * step * share).astype(np.float32) for grid, step in ((x, push[0]), (y, push[1]))
            ]
            moved = cv2.remap(face, maps[0], maps[1], cv2.INTER_CUBIC)
            noisy = np.clip(moved + generator.normal(0, 2, moved.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{index:03d}.jpg"), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    (root / "clips.csv").write_text("\n".join(rows) + "\n")


def run(root: Path, store: Path, how: str) -> dict[str, Any]:
    """Prepare once with a number of workers or "ray"; seconds hold the start of workers."""
    from deft_llm.prepare import prepare

    workers, engine = (2, "ray") if how == "ray" else (int(how), "local")
    started = time.perf_counter()
    spent: float = cpu_seconds()
    made = prepare("folder", root, store, workers=workers, engine=engine)
    seconds = time.perf_counter() - started
    row = {
        "how": how,
        "clips": len(made),
        "failed": len(made.failures),
        "seconds": round(seconds, 2),
        "clips_per_s": round(len(made) / seconds, 2),
        "load": round(os.getloadavg()[0], 1),
        "hash": made.hash()[:16],
    }
    if engine == "local":  # Ray's workers are nobody's children
        row["clips_per_cpu_s"] = round(len(made) / (cpu_seconds() - spent), 2)
    return row


def cpu_seconds() -> float:
    """Processor time of this process and of its ended children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


class Shares:
    """Time inside the library calls that preparing cannot do without."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

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

        video.read_picture = self.timed("decode", video.read_picture)
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


def peak_mib(root: Path, store: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a fresh process that prepares the corpus, and of its larger worker."""
    words = [str(root), str(store), str(options.profile), str(int(options.repeat))]
    command = [sys.executable, __file__, "--alone", *words]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def alone(root: str, store: str, profile: str, repeat: str) -> None:
    """Prepare with two workers (``repeat``: in this process) and print the peak memory in MiB."""
    from deft_llm.motion.measure import MeasureSettings
    from deft_llm.prepare import prepare

    workers = 2
    if repeat == "1":
        workers = 1
        measure_once()
    settings = MeasureSettings(profile=int(profile))
    made = prepare("folder", root, store, workers=workers, settings=settings)
    kinds = {"process": resource.RUSAGE_SELF}
    if workers == 2:
        kinds["worker"] = resource.RUSAGE_CHILDREN
    peaks = {
        f"peak_mib_{who}": round(resource.getrusage(kind).ru_maxrss / 1024, 1) for who, kind in kinds.items()
    }
    print(json.dumps({"prepared": len(made), "profile": int(profile), "workers": workers, **peaks}))


def measure_once() -> None:
    """Measure the first clip alone; later ones are decoded, given a copy of its motion, and stored."""
    import copy

    from deft_llm.motion import measure as measuring

    real = measuring.measure_clip
    first: list[Any] = []

    def measure_clip(frames: Any, **named: Any) -> Any:
        if not first:
            first.append(real(frames, **named))
        motion = copy.deepcopy(first[0])
        motion.clip_id = named["clip_id"]
        assert sum(1 for _ in frames()) == FRAMES
        return motion

    measuring.measure_clip = measure_clip  # type: ignore[assignment]


SMALL_SHARDS = """
import sys
from deft_llm.motion.measure import MeasureSettings
from deft_llm.prepare import prepare, work
work.VIDEO_SHARD = 1
if __name__ == "__main__":
    prepare("folder", sys.argv[1], sys.argv[2], workers=2, settings=MeasureSettings(profile=0))
"""


def kills(root: Path, store: Path, times: int) -> dict[str, Any]:
    """Prepare with two workers, killed ``times`` times while it works, then to the end; and undisturbed."""
    from deft_llm.motion.measure import MeasureSettings
    from deft_llm.prepare import prepare, work

    script = store.parent / "small_shards.py"
    script.write_text(SMALL_SHARDS)
    shards = lambda: len(list((store / "shards").glob("*.json"))) if store.is_dir() else 0  # noqa: E731
    killed = []
    for number in range(times):
        process = subprocess.Popen([sys.executable, str(script), str(root), str(store)])
        before = shards()
        while process.poll() is None and shards() == before:
            time.sleep(0.01)
        time.sleep(float(np.random.default_rng(number).uniform(0, 1.0)))
        process.kill()
        killed += [shards()] if process.wait() == -9 else []
    work.VIDEO_SHARD = 1
    settings = MeasureSettings(profile=0)
    last = prepare("folder", root, store, workers=2, settings=settings)
    whole = prepare("folder", root, store.parent / "undisturbed", settings=settings)
    return {
        "kills_in_work": len(killed),
        "shards_at_each_kill": killed,
        "clips": len(last),
        "same_store": last.hash() == whole.hash(),
        "left_over": len(list(store.rglob("*.part"))),
    }


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All measurements, one row each."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.engines:
            yield from engines(folder, options)
        if options.kills:
            make_corpus(folder / "killed", 3 * options.kills)
            yield kills(folder / "killed", folder / "store-killed", options.kills)
        for number in options.memory:
            make_corpus(folder / f"corpus{number}", number, different=20 if options.repeat else None)
            started = time.perf_counter()
            row = peak_mib(folder / f"corpus{number}", folder / f"memory{number}", options)
            yield {"clips": number, **row, "seconds": round(time.perf_counter() - started, 1)}


def engines(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Speed by engine, whether all stores are one, and the shares of time."""
    make_corpus(folder / "corpus", options.clips)
    rows = []
    for how in options.engines:
        rows.append(run(folder / "corpus", folder / f"store-{how}", how))
        yield rows[-1]
    yield {"same_store": len({row["hash"] for row in rows}) == 1}
    started = time.perf_counter()
    run(folder / "corpus", folder / f"store-{options.engines[0]}", options.engines[0])
    yield {"nothing_to_do_seconds": round(time.perf_counter() - started, 2)}
    yield {"share_of_time": Shares().measure(folder / "corpus", folder / "store-shares")}


def main() -> None:
    """Print one JSON line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--engines", nargs="*", default=["1", "2", "ray"], help="numbers of workers, or ray")
    parser.add_argument("--memory", nargs="*", type=int, default=[], help="numbers of clips")
    parser.add_argument(
        "--profile", type=int, default=16, help="frames of the temporal profile, for --memory"
    )
    parser.add_argument("--repeat", action="store_true", help="--memory: measure one clip, store it for all")
    parser.add_argument("--kills", type=int, default=0, help="times that a run with two workers is killed")
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(*options.alone)
        return
    for row in results(options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
