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
from deft_llm.model.inputs import DeftBatch, region_pool, relative_maps
from deft_llm.model.language import ANSWER_QUESTION, tiny_backbone
from deft_llm.motion.measure import motion_from_flow
from deft_llm.training.state import STATE, read_meta
from recipes.flow2text import TableReader, common_start, settings_of, train

WEIGHTS = "adapter_model.safetensors"
TINY = {"backbone": "tiny-random", "rank": 2}


def settings(steps: int, **changes):
    """A few small steps; which AUs an answer names is not judged."""
    base = {"batch": 4, "warmup_steps": 1, "cooldown_steps": 1, "save_every": 1, "evidence_floor": None}
    return settings_of(steps, **{**base, **changes})


def sample_of(seed: int) -> Sample:
    """Random flow."""
    flow = np.random.default_rng(seed).normal(size=(1, 2, 28, 28)).astype(np.float32)
    motion = motion_from_flow(f"x/{seed}", flow, units="relative")
    return Sample(f"x/{seed}", "x", "x/0", lambda: motion, motion.has)


def test_training_resumes_to_the_same_adapter_and_the_method_reads_with_it(shards, tmp_path):
    train(shards, tmp_path / "whole", settings(4), **TINY)
    train(shards, tmp_path / "parts", settings(2, cooldown_steps=0), **TINY)
    assert read_meta(tmp_path / "parts" / STATE)["step"] == 2
    train(shards, tmp_path / "parts", settings(4), **TINY)
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


def test_training_and_use_make_the_same_prompt_and_its_shared_start_changes_no_loss():
    coarse = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    flow = F.interpolate(coarse, size=(28, 28), mode="bicubic")[:, None]
    maps = torch.cat([flow, flow[:, :, :1].abs()], 2)
    clips = DeftBatch(torch.from_numpy(relative_maps(maps.numpy())), torch.ones(3, 1, dtype=torch.bool))
    tables = region_pool(clips.maps[:, 0])
    model, tokenizer = tiny_backbone()
    reader = TableReader(model, tokenizer, rank=2, alpha=4, regions=8).eval()
    method = Flow2Text(Task(), Flow2TextOptions(model="tiny-random"))
    for row in range(3):
        motion = motion_from_flow("x/a", flow[row].numpy(), units="relative")
        sample = Sample("x/a", "x", "x/0", lambda motion=motion: motion, motion.has)
        ids = tokenizer(method._prompt(sample, tokenizer), add_special_tokens=False).input_ids
        assert ids == reader.prompt_ids(tables[row], ANSWER_QUESTION)
    losses = [reader(clips, ["?"] * 3, ["a b", "c", "d e f"], share_prefix=share)[1] for share in (0, 1)]
    assert torch.allclose(*losses, atol=1e-5)
    assert common_start([[1, 2, 3], [1, 2, 4, 5]]) == 2 and common_start([[1, 2], [1, 2]]) == 1
