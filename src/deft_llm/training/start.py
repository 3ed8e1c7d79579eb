"""Where a training begins: its settings, and the model taken from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.training.language import Stage2Config
from deft_llm.training.motion import Stage1Config

MODEL = "model"


class TrainConfig(BaseModel):
    """Settings of a whole training. ``start``: checkpoint to begin from ("shipped", a folder, or null);
    ``conditioned_on``: experts whose tokens the language model is given (null: all of ``experts``)."""

    model_config = ConfigDict(extra="forbid")
    seed: int = 0
    stages: list[int] = Field(default_factory=lambda: [1])
    start: str | None = "shipped"
    backbone: str = "embedded"
    dtype: str = "float32"
    four_bit: bool = False
    lora_rank: int = 8
    lora_alpha: int = 16
    experts: list[str] = Field(default_factory=lambda: ["structure", "texture", "motion"])
    conditioned_on: list[str] | None = None
    validation_share: float = 0.15
    flow_shards: str | None = None
    flow_validation: str | None = None
    patience: int = 6
    stage1: Stage1Config = Field(default_factory=Stage1Config)
    stage2: Stage2Config = Field(default_factory=Stage2Config)
    stage3: Stage2Config = Field(
        default_factory=lambda: Stage2Config(train_experts=True, steps=500, learning_rate=2e-4)
    )


def _folder(start: Any) -> Path | None:
    from deft_llm.model.checkpoint import SHIPPED

    if start is None:
        return None
    return SHIPPED if start == "shipped" else Path(start)


def start_model(config: TrainConfig, folder: Path | None, language: bool = True):
    """A DeftModel with a language model, its experts (and all else that fits) taken from ``folder``.

    The language part is taken only where it was trained on the same backbone with the same LoRA rank and
    ``language`` is true; else it begins anew.
    """
    from deft_llm.model.checkpoint import load_strict, part, read_checkpoint
    from deft_llm.model.deft import LANGUAGE, DeftConfig, DeftModel
    from deft_llm.model.language import load_backbone

    torch.manual_seed(config.seed)
    llm, tokenizer = load_backbone(config.backbone, dtype=config.dtype, four_bit=config.four_bit)
    for parameter in llm.parameters():
        parameter.requires_grad_(False)
    saved: dict[str, Any] = {}
    if folder is not None:
        saved, tensors = read_checkpoint(folder)
    model = DeftModel(
        DeftConfig(backbone=config.backbone, lora_rank=config.lora_rank, lora_alpha=config.lora_alpha,
                   motion=saved.get("motion", {}), experts=config.experts, faces=saved.get("faces", {}),
                   conditioned_on=config.conditioned_on or list(config.experts)), llm, tokenizer,
    )  # fmt: skip
    if folder is not None:
        load_strict(model.motion, part(tensors, "motion"), f"{folder}: motion")
        own = model.state_dict()
        alike = (saved.get("backbone"), saved.get("lora_rank")) == (config.backbone, config.lora_rank)
        skip = ("motion",) if language and alike else ("motion", *LANGUAGE)
        fits = {n: t for n, t in tensors.items() if n in own and n.split(".")[0] not in skip}
        model.load_state_dict(fits, strict=False)
    return model
