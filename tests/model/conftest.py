"""Small experts, random motions and faces, and a tiny language model for the model's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.facs.regions import FOLDS
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.experts import LINE_FEATURES
from deft_llm.model.inputs import FaceInput, MotionInput, batch_of, maps_input
from deft_llm.model.language import tiny_backbone
from deft_llm.model.readout import Readout
from deft_llm.model.units import EXPERT_AUS
from deft_llm.motion.measure import motion_from_flow
from deft_llm.store import Motion

SMALL = {"width": 32, "stem": 8, "middle": 16, "blocks": 1}
FACES = {"width": 16, "channels": 8}


def make_motion(clip_id: str, flow: np.ndarray) -> Motion:
    """A relative motion from maps of flow (P, 2, H, W)."""
    return motion_from_flow(clip_id, flow.astype(np.float32), units="relative")


def make_motions(count: int = 3) -> list[Motion]:
    """Random motions of one phase."""
    rng = np.random.default_rng(0)
    return [make_motion(f"a/{index}", rng.normal(size=(1, 2, 28, 28))) for index in range(count)]


def make_clips(count: int, seed: int = 0, phases: int = 1) -> list[MotionInput]:
    """Random inputs of the motion expert."""
    rng = np.random.default_rng(seed)
    return [maps_input(rng.normal(size=(phases, 3, 28, 28)).astype(np.float32)) for _ in range(count)]


def make_face(seed: int) -> FaceInput:
    """A random face without depth."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return FaceInput(draw(478, 2), draw(1, 64, 64), draw(4, 56, 56), lines=draw(len(FOLDS), LINE_FEATURES))


def make_readout(count: int, **given: torch.Tensor) -> Readout:
    """A readout of zeros but for ``given``."""
    aus = len(EXPERT_AUS)
    shapes = {"motion": (16, 4), "au": (aus, 2), "coarse": (3,), "fine": (10,), "clean": (2, 14, 14),
              "pooled": (4,), "saw": (3,), "alone": (3, aus, 2)}  # fmt: skip
    return Readout(**{name: torch.zeros(count, *shape) for name, shape in shapes.items()} | given)


def randomised(model: DeftModel) -> DeftModel:
    """The model with corrections of the face experts that do something: they start at zero."""
    torch.nn.init.normal_(model.fusion.out.weight, std=0.3)
    return model.eval()


@pytest.fixture
def small_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint folder with small random experts and no language part."""
    torch.manual_seed(0)
    model = randomised(DeftModel(DeftConfig(motion=SMALL, faces=FACES)))
    model.save_pretrained(tmp_path / "ck", {"prior": "facs", "trained_on": {
        "subjects": ["synthetic/seen"], "validation_subjects": ["synthetic/held"]}})  # fmt: skip
    return tmp_path / "ck"


@pytest.fixture
def tiny_model() -> DeftModel:
    """A DeftModel around the tiny random language model, whose word vectors are of unit spread: with the
    usual .02 nothing that is put into the prompt would change a logit by more than rounding."""
    torch.manual_seed(0)
    llm, tokenizer = tiny_backbone()
    torch.nn.init.normal_(llm.get_input_embeddings().weight)
    config = DeftConfig(backbone="tiny-random", motion=SMALL, faces=FACES, lora_rank=2)
    return randomised(DeftModel(config, llm, tokenizer))


@pytest.fixture
def folds_model() -> DeftModel:
    """``tiny_model`` with a texture expert that tells folds."""
    torch.manual_seed(0)
    llm, tokenizer = tiny_backbone()
    torch.nn.init.normal_(llm.get_input_embeddings().weight)
    faces = {**FACES, "folds": len(FOLDS)}
    config = DeftConfig(backbone="tiny-random", motion=SMALL, faces=faces, lora_rank=2)
    return randomised(DeftModel(config, llm, tokenizer))


@pytest.fixture
def readout(tiny_model: DeftModel) -> Readout:
    """What that model reads of two clips."""
    with torch.no_grad():
        return tiny_model.read(batch_of(make_clips(2)))
