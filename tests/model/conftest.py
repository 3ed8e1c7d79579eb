"""Small experts, synthetic-free random motions and a tiny language model for the model's tests."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.store import Motion

SMALL = {"width": 32, "stem": 8, "middle": 16, "blocks": 1}


def make_motion(clip_id: str, flow: np.ndarray) -> Motion:
    """A relative motion from maps of flow (P, 2, H, W)."""
    from deft_llm.motion.measure import motion_from_flow

    return motion_from_flow(clip_id, flow.astype(np.float32), units="relative")


@pytest.fixture
def small_checkpoint(tmp_path):
    """A checkpoint folder with two small random experts and no language part."""
    import torch

    from deft_llm.model.deft import DeftConfig, DeftModel

    torch.manual_seed(0)
    model = DeftModel(DeftConfig(motion=[SMALL, SMALL], faces={"width": 16, "channels": 8}))
    model.save_pretrained(tmp_path / "ck", {"prior": "facs", "trained_on": {"subjects": ["synthetic/seen"]}})
    return tmp_path / "ck"


@pytest.fixture
def tiny_model():
    """A DeftModel around the tiny random language model."""
    import torch

    from deft_llm.model.deft import DeftConfig, DeftModel
    from deft_llm.model.language import tiny_backbone

    torch.manual_seed(0)
    llm, tokenizer = tiny_backbone()
    config = DeftConfig(
        backbone="tiny-random", motion=[SMALL], faces={"width": 16, "channels": 8}, lora_rank=2
    )
    return DeftModel(config, llm, tokenizer).eval()
