"""The flow2text baseline's training: resumed to the same adapter, which the method then reads with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from deft_llm.errors import DeftError
from deft_llm.methods.flow2text import Flow2Text, Flow2TextOptions
from deft_llm.methods.protocol import Sample, Task
from deft_llm.model.inputs import region_pool, relative_maps
from deft_llm.model.language import ANSWER_QUESTION, prompt_parts, tiny_backbone
from deft_llm.motion.measure import motion_from_flow
from deft_llm.training.language import LanguageConfig
from deft_llm.training.state import STATE, read_state
from recipes.flow2text import TableReader, train

WEIGHTS = "adapter_model.safetensors"
TINY = {"backbone": "tiny-random", "rank": 2}


def settings(**changes) -> LanguageConfig:
    """A few small steps; which AUs an answer names is not bounded."""
    base = {"seed": 5, "steps": 4, "batch": 4, "warmup_steps": 1, "cooldown_steps": 1, "save_every": 1,
            "autocast": False}  # fmt: skip
    return LanguageConfig(**{**base, **changes})


def sample_of(seed: int) -> Sample:
    """Random flow."""
    flow = np.random.default_rng(seed).normal(size=(1, 2, 28, 28)).astype(np.float32)
    motion = motion_from_flow(f"x/{seed}", flow, units="relative")
    return Sample(f"x/{seed}", "x", "x/0", lambda: motion, motion.has)


def test_training_resumes_to_the_same_adapter_and_the_method_reads_with_it(shards, tmp_path):
    train(shards, tmp_path / "whole", settings(), **TINY)
    train(shards, tmp_path / "parts", settings(steps=2, cooldown_steps=0), **TINY)
    assert read_state(tmp_path / "parts" / STATE)[1]["step"] == 2
    train(shards, tmp_path / "parts", settings(), **TINY)
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[n], parts[n]) for n in whole)
    assert any(float(value.abs().sum()) > 0 for name, value in whole.items() if "lora_B" in name)
    options = {"model": "tiny-random", "max_new_tokens": 20}
    (plain,) = Flow2Text(Task(), Flow2TextOptions(**options)).predict([sample_of(1)])
    trained = Flow2Text(Task(), Flow2TextOptions(**options, adapter=str(tmp_path / "whole")))
    (row,) = trained.predict([sample_of(1)])
    assert row.extras == {"trained": True, "steps": 4} and plain.extras["trained"] is False
    read = {name.replace(".default", ""): value for name, value in trained._model()[0].state_dict().items()}
    assert all(torch.equal(read[name], value) for name, value in whole.items())


def test_an_unfinished_adapter_is_refused(tmp_path):
    method = Flow2Text(Task(), Flow2TextOptions(model="tiny-random", adapter=str(tmp_path)))
    with pytest.raises(DeftError, match="no finished adapter"):
        method.predict([sample_of(1)])


def test_training_and_use_make_the_same_prompt() -> None:
    coarse = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    flow = F.interpolate(coarse, size=(28, 28), mode="bicubic")[:, None]
    maps = torch.from_numpy(relative_maps(torch.cat([flow, flow[:, :, :1].abs()], 2).numpy()))
    model, tokenizer = tiny_backbone()
    reader = TableReader(model, tokenizer, rank=2, alpha=4, regions=8).eval()
    method = Flow2Text(Task(), Flow2TextOptions(model="tiny-random"))
    for row in range(3):
        motion = motion_from_flow("x/a", flow[row].numpy(), units="relative")
        sample = Sample("x/a", "x", "x/0", lambda motion=motion: motion, motion.has)
        ids = tokenizer(method._prompt(sample, tokenizer), add_special_tokens=False).input_ids
        own = reader.prompt_ids(region_pool(maps[row, 0]))
        assert ids == own + prompt_parts(tokenizer, ANSWER_QUESTION)[1]
