"""A shard of random samples and small stores of random flow with instructions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.flow_shards import FlowBatch, write_shard

SMALL = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}
CLASSES = (("negative", "disgust"), ("positive", "happiness"), ("surprise", "surprise"))


def random_samples(count: int = 64) -> FlowBatch:
    """Samples without meaning, labelled at random."""
    rng = np.random.default_rng(0)
    side = (rng.random((count, len(EXPERT_AUS), 2)) < 0.1).astype(np.uint8)
    return FlowBatch(
        rng.integers(0, 256, (count, 2, 3, 28, 28)).astype(np.uint8),
        rng.normal(size=(count, 2, 14, 14)).astype(np.float16),
        side, np.ones((count, len(EXPERT_AUS)), np.uint8), rng.integers(-1, 3, count).astype(np.int8),
        rng.integers(-1, 10, count).astype(np.int8),
    )  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """One shard of 64 random samples."""
    write_shard(tmp_path / "shards" / "00000.npz", random_samples())
    return tmp_path / "shards"


def make_store(root: Path, corpus: str, subjects: int) -> Path:
    """A store of random flow, three clips a subject."""
    from deft_llm.motion.measure import motion_from_flow
    from deft_llm.records import ActionUnit, Clip, Source
    from deft_llm.store import StoreWriter

    rng, items = np.random.default_rng(0), []
    for subject in range(subjects):
        for number, (coarse, fine) in enumerate(CLASSES):
            clip = Clip(
                clip_id=f"{corpus}/{subject}/{number}", corpus=corpus, subject=f"{corpus}/{subject}",
                source=Source(kind="flow", path="-"), emotion=fine, coarse=coarse,
                aus=[ActionUnit(number=12 if number == 1 else 4)],
            )  # fmt: skip
            flow = rng.normal(size=(1, 2, 28, 28)).astype(np.float32)
            items.append((clip, motion_from_flow(clip.clip_id, flow, units="relative")))
    writer = StoreWriter(root, {"made": "by tests"})
    writer.write_shard(0, "key", items)
    writer.finish(1)
    return root


@pytest.fixture
def seen_store(tmp_path: Path) -> Path:
    """Four subjects to train on."""
    return make_store(tmp_path / "seen", "seen", 4)


@pytest.fixture
def fresh_store(tmp_path: Path) -> Path:
    """Two subjects that no training saw."""
    return make_store(tmp_path / "fresh", "fresh", 2)


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    """A folder of instructions on the clips of ``seen_store``."""
    folder = tmp_path / "unimer"
    folder.mkdir()
    lines = [
        {"clip_id": f"seen/{subject}/{number}", "messages": [
            {"role": "user", "content": "Which class?"}, {"role": "assistant", "content": coarse}]}
        for subject in range(4) for number, (coarse, _) in enumerate(CLASSES)
    ]  # fmt: skip
    (folder / "instructions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
