"""Stage 1: the motion expert learns AUs, emotions, denoised motion and AU text from flow-level synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional as F

from deft_llm.facs.emotions import FINE
from deft_llm.model import losses
from deft_llm.model.experts import MotionExpert, MotionExpertConfig
from deft_llm.model.inputs import region_pool
from deft_llm.training.augment import AugmentSettings, augment, relative
from deft_llm.training.flow_shards import FlowBatch, FlowShards
from deft_llm.training.loop import Part, PartSettings, fit
from deft_llm.training.text import au_text_vectors


class LossWeights(BaseModel):
    """Weights of the parts of stage 1's loss; 0 switches a part off (each has an ablation)."""

    model_config = ConfigDict(extra="forbid")
    au: float = 20.0
    coarse: float = 1.0
    fine: float = 0.5
    clean: float = 1.0
    text: float = 0.1


class Stage1Config(PartSettings):
    """Settings of the motion expert."""

    steps: int = Field(4000, ge=0, description="Steps of the optimiser.")
    batch: int = Field(128, ge=1, description="Samples per step, all processes together.")
    learning_rate: float = Field(1.5e-3, gt=0, description="Rate between warm-up and cool-down.")
    weight_decay: float = Field(0.03, ge=0, description="Weight decay of AdamW.")
    warmup_steps: int = Field(100, ge=0, description="First steps, over which the rate rises.")
    cooldown_steps: int = Field(400, ge=0, description="Last steps, over which the rate falls.")
    cooldown: Literal["linear", "1-sqrt", "cosine"] = Field("1-sqrt", description="Shape of the cool-down.")
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the weight average that is kept; 0: none.")
    validate_every: int = Field(500, ge=0, description="Steps between validations; 0: none.")
    save_every: int = Field(500, ge=1, description="Steps between saved states.")
    both_phases: float = Field(0.3, ge=0, le=1, description="Share of steps that see apex to offset too.")
    table: float = Field(0.7, ge=0, le=1, description="Share of steps that see the region table.")
    gamma_negative: float = Field(2.0, ge=0, description="Focus of the AU loss on negatives that are hard.")
    losses: LossWeights = Field(default_factory=LossWeights, description="Weights of the loss.")
    expert: dict[str, Any] = Field(default_factory=dict, description="Sizes of the expert.")
    augment: dict[str, float] = Field(default_factory=dict, description="Strengths of the augmentation.")
    augment_on: bool = Field(True, description="Whether samples are augmented.")
    shard_limit: int | None = Field(None, description="Read the first shards only.")


class Stage1Module(nn.Module):
    """The expert with the motion-text alignment; ``forward(batch)`` gives (total loss, its parts)."""

    def __init__(self, config: Stage1Config) -> None:
        super().__init__()
        self.config = config
        self.expert = MotionExpert(MotionExpertConfig(fine_classes=len(FINE), **config.expert))
        texts = torch.from_numpy(au_text_vectors())
        self.register_buffer("texts", texts, persistent=False)
        width = self.expert.config.width
        self.text = nn.ModuleDict({"motion": nn.Linear(width, 64), "words": nn.Linear(texts.shape[1], 64)})

    def forward(self, batch: tuple[Any, ...]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """batch as ``Stage1.batch_of`` makes it."""
        maps, phases, table, clean, side, known, coarse, fine = batch
        out = self.expert(maps, phases, table)
        weights, parts = self.config.losses, {}
        if weights.au:
            parts["au"] = losses.asymmetric_loss(
                out.au, side, self.config.gamma_negative, known=known[..., None].expand_as(side)
            )
        if weights.coarse:
            parts["coarse"] = losses.masked_cross_entropy(out.coarse, coarse)
        if weights.fine:
            parts["fine"] = losses.masked_cross_entropy(out.fine, fine)
        if weights.clean and not bool(torch.isnan(clean).any()):
            parts["clean"] = losses.clean_flow_loss(out.clean, clean)
        if weights.text:
            tokens = F.normalize(self.text["motion"](out.tokens[:, self.expert.token_of_au]), dim=-1)
            words = F.normalize(self.text["words"](self.texts), dim=-1)
            parts["text"] = losses.text_contrast(tokens, words, side.amax(-1))
        total = sum(getattr(weights, name) * value for name, value in parts.items())
        return total, {name: value.detach() for name, value in parts.items()}


class Stage1(Part):
    """The motion expert as a part of the training."""

    settings: Stage1Config
    model: Stage1Module

    def __init__(self, config: Stage1Config, shards: FlowShards) -> None:
        torch.manual_seed(config.seed)
        model = Stage1Module(config)
        super().__init__(model, config, averaged=model.expert)
        self.config, self.shards, self.expert = config, shards, model.expert
        self.augment = AugmentSettings(**config.augment) if config.augment_on else None

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> tuple[Any, ...]:
        """Tensors (maps, phases, table, clean, side, known, coarse, fine) of a step, augmented.

        The rows of a step are the same for any number of processes; process ``rank`` takes its share.
        """
        rng = np.random.default_rng([self.config.seed, step])
        rows = rng.integers(0, len(self.shards), self.config.batch)
        count = 2 if rng.random() < self.config.both_phases else 1
        with_table = rng.random() < self.config.table
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)) + rank)
        maps, clean, side, known, coarse, fine = tensors_of(self.shards.take(rows[rank::world]), count)
        maps = relative(maps)
        if self.augment is not None:
            maps, clean, side = augment(maps, clean, side, self.augment, generator)
        phases = torch.ones(len(maps), count, dtype=torch.bool)
        table = region_pool(maps) if with_table else None
        return maps, phases, table, clean, side, known, coarse, fine

    def averaged(self) -> MotionExpert:
        """A copy of the expert with averaged weights, in eval mode."""
        expert = MotionExpert(self.expert.config)
        kept = self.expert if self.average is None else self.average.module
        expert.load_state_dict(kept.state_dict())
        return expert.eval()


def tensors_of(batch: FlowBatch, phases: int) -> tuple[Any, ...]:
    """(maps float, clean, side, known, coarse, fine) as tensors; the first ``phases`` phases."""
    return (
        torch.from_numpy(batch.maps[:, :phases].astype(np.float32)),
        torch.from_numpy(batch.clean.astype(np.float32)),
        torch.from_numpy(batch.side.astype(np.float32)),
        torch.from_numpy(batch.known.astype(np.float32)),
        torch.from_numpy(batch.coarse.astype(np.int64)),
        torch.from_numpy(batch.fine.astype(np.int64)),
    )


def validate(expert, shards: FlowShards, limit: int = 2000) -> dict[str, float]:
    """UF1 of the coarse head (clips of the three classes), mean AU AUROC, on the first ``limit`` samples."""
    from sklearn.metrics import f1_score, roc_auc_score

    rows = np.arange(min(limit, len(shards)))
    maps, _, side, known, coarse, _ = tensors_of(shards.take(rows), 1)
    chosen, scores = [], []
    with torch.inference_mode():
        for start in range(0, len(rows), 250):
            part = relative(maps[start : start + 250])
            out = expert(part, None, region_pool(part))
            chosen.append(out.coarse.argmax(-1))
            scores.append(out.au.amax(-1))
    found, truth = torch.cat(chosen).numpy(), coarse.numpy()
    keep = truth >= 0
    present, score, sure = side.amax(-1).numpy(), torch.cat(scores).numpy(), known.numpy() > 0
    areas = [
        roc_auc_score(present[sure[:, k], k], score[sure[:, k], k])
        for k in range(present.shape[1])
        if 0 < present[sure[:, k], k].sum() < sure[:, k].sum()
    ]
    return {
        "uf1": float(f1_score(truth[keep], found[keep], average="macro")),
        "au_auroc": float(np.mean(areas)),
    }


def run(
    config: Stage1Config, data: Path, out: Path, validation: Path | None = None, refresh: int = 200,
    **options: Any,
) -> Stage1:  # fmt: skip
    """Train stage 1 on the shards of ``data`` into ``out``; resumes by itself and takes in new shards."""
    stage = Stage1(config, FlowShards(data, config.shard_limit))
    check = FlowShards(validation) if validation else None

    def before(step: int) -> None:
        if config.shard_limit is None and step % refresh == 0:
            stage.shards.refresh()

    fit(stage, out, validate=(lambda: validate(stage.averaged(), check)) if check else None,
        before_step=before, **options)  # fmt: skip
    return stage
