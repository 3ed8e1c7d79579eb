"""deft prepare, killed at random moments, ends with the store of an undisturbed run."""

from __future__ import annotations

import random
import runpy
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.prepare import prepare
from deft_llm.prepare import work as work_module
from deft_llm.store import Store
from recipes.forked import start

# Small shards and a pause a clip: kills fall between and inside shards.
SLOW = """
import sys, time
from deft_llm.prepare import prepare, work
work.FLOW_SHARD = 3
measure = work.measure
work.measure = lambda *a: (time.sleep(0.02), measure(*a))[1]
if __name__ == "__main__":
    prepare("flowmaps", sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))
"""


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    root = tmp_path / "maps"
    generator = np.random.default_rng(0)
    for number in range(60):
        folder = root / f"sub{number % 5 + 1:02d}" / "u_test" / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"EP{number}.png"), generator.integers(0, 256, (28, 28, 3)).astype(np.uint8))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 10), (2, 4)])
def test_kills_and_the_same_store(workers, kills, maps, tmp_path, monkeypatch):
    chance = random.Random(3)
    store = tmp_path / "store"
    killed = 0
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    words = [str(word) for word in (script, maps, store, workers)]
    for _ in range(kills):
        process = start(runpy.run_path, str(script), None, "__main__", log=tmp_path / "log", words=words)
        deadline = time.monotonic() + 60
        before = shards(store)
        while process.is_alive() and shards(store) == before and time.monotonic() < deadline:
            time.sleep(0.005)  # it has begun to work
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= kills / 2, "most runs must have been stopped in their work"
    monkeypatch.setattr(work_module, "FLOW_SHARD", 3)
    reused = []
    prepare("flowmaps", maps, store, progress=lambda done, total: reused.append(done.reused))
    assert any(reused), "what was there is not made again"
    whole = prepare("flowmaps", maps, tmp_path / "whole")
    assert Store(store).hash() == whole.hash() and len(whole) == 60
    assert not list(store.glob(".*.part")) and not list((store / "shards").glob(".*"))


def shards(store: Path) -> int:
    return len(list((store / "shards").glob("*.json"))) if (store / "shards").is_dir() else 0


@pytest.mark.slow
def test_ray_gives_the_same_store(maps, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(work_module, "FLOW_SHARD", 16)
    one = prepare("flowmaps", maps, tmp_path / "one")
    many = prepare("flowmaps", maps, tmp_path / "many", workers=2, engine="ray")
    assert many.hash() == one.hash() and len(many) == 60
