"""A shard of random samples, small stores of random flow with and without faces, instructions, and small
checkpoints to begin from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.facs.regions import FOLDS
from deft_llm.files import write_jsonl
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.language import tiny_backbone
from deft_llm.model.units import EXPERT_AUS
from deft_llm.motion.measure import motion_from_flow
from deft_llm.records import ActionUnit, Clip, Instruction, Source, Target, Truth
from deft_llm.store import StoreWriter
from deft_llm.training.flow_shards import FlowBatch
from recipes.flow_samples import write_shard

SMALL = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}
FACES = {"width": 8, "channels": 4, "space": 2, "phase": 8, "folds": len(FOLDS), "course": 4}
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


def make_store(root: Path, corpus: str, subjects: int, faces: bool = False, smile: int = 12) -> Path:
    """A store of random flow, three clips per subject; ``faces``: with random landmarks and smooth faces;
    ``smile``: the AU that is coded of the positive ones."""
    rng, items = np.random.default_rng(0), []
    for subject in range(subjects):
        for number, (coarse, fine) in enumerate(CLASSES):
            clip = Clip(
                clip_id=f"{corpus}/{subject}/{number}", corpus=corpus, subject=f"{corpus}/{subject}",
                source=Source(kind="flow", path="-"), emotion=fine, coarse=coarse,
                aus=[ActionUnit(number=smile if number == 1 else 4)], phase=(None, "rise", "release")[number],
                truth=Truth(
                    emotion=fine, coarse=coarse, aus=[ActionUnit(number=12 if number == 1 else 4)],
                    attributes={"held_px": {"12": [3.0, 0.0]}, "turn": [2.0, -1.0]},
                ),
            )  # fmt: skip
            flow = rng.normal(size=(1, 2, 28, 28)).astype(np.float32)
            motion = motion_from_flow(clip.clip_id, flow, units="relative")
            if faces:
                ramp = np.linspace(50, 200, 224)[None, :, None, None] + rng.normal(0, 20, (3, 1, 224, 3))
                motion.faces = np.broadcast_to(ramp, (3, 224, 224, 3)).clip(0, 255).astype(np.uint8)
                motion.landmarks = rng.normal(111, 40, (3, 478, 2)).astype(np.float32)
                motion.depth = rng.normal(0, 20, (3, 478)).astype(np.float32)
            items.append((clip, motion))
    writer = StoreWriter(root, {"made": "by tests"})
    writer.write_shard(0, "key", items)
    writer.finish(1)
    return root


@pytest.fixture
def seen_store(tmp_path: Path) -> Path:
    """Four subjects to train on, flow alone."""
    return make_store(tmp_path / "seen", "seen", 4)


@pytest.fixture
def face_store(tmp_path: Path) -> Path:
    """Four subjects with faces."""
    return make_store(tmp_path / "seen", "seen", 4, faces=True)


@pytest.fixture
def fresh_store(tmp_path: Path) -> Path:
    """Two subjects that no training saw."""
    return make_store(tmp_path / "fresh", "fresh", 2)


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    """A folder of instructions on the clips of ``seen_store`` or ``face_store``."""
    folder = tmp_path / "unimer"
    folder.mkdir()
    rows = [
        Instruction(
            id=f"{subject}-{number}", clip_id=f"seen/{subject}/{number}", corpus="seen",
            subject=f"seen/{subject}", task="coarse", target=Target(coarse=coarse),
            messages=[{"role": role, "content": [{"type": "text", "text": text}]}
                      for role, text in (("user", "Which class?"), ("assistant", coarse))],
        )
        for subject in range(4) for number, (coarse, _) in enumerate(CLASSES)
    ]  # fmt: skip
    write_jsonl(folder / "instructions.jsonl", rows)
    return folder


def small_model(
    experts: tuple[str, ...] = ("motion",), language: bool = False, seed: int = 0, **sizes: int
) -> DeftModel:
    """A small random model, its word vectors of unit spread where it has a language part; ``sizes`` of the
    face experts."""
    torch.manual_seed(seed)
    config = DeftConfig(backbone="tiny-random", lora_rank=2, motion=SMALL, faces={**FACES, **sizes},
                        experts=list(experts), conditioned_on=list(experts))  # fmt: skip
    model = DeftModel(config)
    if language:
        llm, tokenizer = tiny_backbone()
        with torch.no_grad():
            llm.get_input_embeddings().weight.normal_(generator=torch.Generator().manual_seed(1))
        model.add_language(llm, tokenizer)
    return model


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small random checkpoint with ``experts`` and, wanted, a language part; ``trained_on``: the
    subjects that it names."""

    def write(
        *experts: str, language: bool = False, name: str = "start", seed: int = 0,
        trained_on: dict[str, list[str]] | None = None,
    ) -> Path:  # fmt: skip
        model = small_model(experts or ("motion",), language, seed)
        people = trained_on or {"subjects": ["old/0"]}
        model.save_pretrained(tmp_path / name, {"prior": "facs", "trained_on": people})
        return tmp_path / name

    return write


@pytest.fixture
def model_of() -> Callable[..., DeftModel]:
    """``small_model``."""
    return small_model
