"""Concurrent jobs on the page's slots: do all finish, in order, and how much memory do they take?

Run: python -m benchmarks.app --jobs 20 --slots 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import psutil

from deft_llm.app.jobs import Progress, Slots
from deft_llm.app.limits import Limits
from deft_llm.explain.samples import Injected, living_portrait, save_video


def run(jobs: int, slots: int, frames: int, method: str) -> dict:
    """Start all jobs at once; memory is the largest sum over this process and its workers."""
    place = Slots(slots, seconds=900)
    ended: list[float] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        onset = frames // 3
        move = Injected(12, "right", onset, onset + 8, onset + 18, 1.5)
        clip = save_video(Path(folder) / "face.mp4", living_portrait([move], frames, fps=50.0, seed=1), 50.0)
        started = time.perf_counter()

        def one() -> None:
            try:
                last = None
                for item in place.run("analyse", clip, method, False, Limits(), None):
                    last = item
                assert last is not None and not isinstance(last, Progress)
                ended.append(time.perf_counter() - started)
            except Exception as error:
                faults.append(str(error))

        threads = [threading.Thread(target=one) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        peak = 0
        while any(thread.is_alive() for thread in threads):
            peak = max(peak, memory())
            time.sleep(0.5)
    seconds = time.perf_counter() - started
    place.close()
    return {
        "jobs": jobs, "slots": slots, "frames per clip": frames, "method": method, "finished": len(ended),
        "failed": faults, "seconds": round(seconds, 1), "first done": round(min(ended, default=0.0), 1),
        "last done": round(max(ended, default=0.0), 1), "peak MB, all processes": round(peak / 1e6),
    }  # fmt: skip


def memory() -> int:
    """Resident bytes of this process and its children."""
    me = psutil.Process()
    total = me.memory_info().rss
    for child in me.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Run the jobs and print their figures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--jobs", type=int, default=20)
    words.add_argument("--slots", type=int, default=2)
    words.add_argument("--frames", type=int, default=60)
    words.add_argument("--method", default="deft")
    given = words.parse_args()
    print(json.dumps(run(given.jobs, given.slots, given.frames, given.method), indent=1))


if __name__ == "__main__":
    main()
