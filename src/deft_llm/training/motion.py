"""Stage 1: the motion expert learns AUs, emotions, denoised motion and AU text from flow-level synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional as F

from deft_llm.model import losses
from deft_llm.training.flow_shards import FlowBatch, FlowShards


class LossWeights(BaseModel):
    """Weights of the parts of stage 1's loss; 0 switches a part off (each has an ablation)."""

    model_config = ConfigDict(extra="forbid")
    au: float = 20.0
    coarse: float = 1.0
    fine: float = 0.5
    clean: float = 1.0
    text: float = 0.1


class Stage1Config(BaseModel):
    """Settings of stage 1. ``both_phases``: share of steps that see apex->offset too."""

    model_config = ConfigDict(extra="forbid")
    seed: int = 0
    steps: int = 4000
    batch: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.03
    warmup_steps: int = 100
    cooldown_steps: int = 400
    both_phases: float = 0.3
    table: float = 0.7
    ema: float = 0.998
    gamma_negative: float = 2.0
    losses: LossWeights = Field(default_factory=LossWeights)
    expert: dict[str, Any] = Field(default_factory=dict)
    augment: dict[str, float] = Field(default_factory=dict)
    augment_on: bool = True
    validate_every: int = 500
    save_every: int = 500
    shard_limit: int | None = None


class Stage1Module(nn.Module):
    """The expert with the motion-text alignment; ``forward(batch)`` gives (total loss, its parts)."""

    def __init__(self, config: Stage1Config) -> None:
        super().__init__()
        from deft_llm.facs.emotions import FINE
        from deft_llm.model.experts import MotionExpert, MotionExpertConfig
        from deft_llm.training.text import au_text_vectors

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


class Stage1:
    """Model, optimiser and batches of stage 1; every step depends on (seed, step) alone: a resume is
    exact."""

    def __init__(self, config: Stage1Config, shards: FlowShards) -> None:
        from deft_llm.training.augment import AugmentSettings

        torch.manual_seed(config.seed)
        self.config, self.shards, self.seed = config, shards, config.seed
        self.model = Stage1Module(config)
        self.expert = self.model.expert
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in self.expert.state_dict().items()}
        self.augment = AugmentSettings(**config.augment) if config.augment_on else None
        self.step = 0

    def rate(self) -> float:
        """Learning rate of the current step: linear warm-up, constant, then 1 - sqrt over the cool-down.

        Any state of the constant stretch can be forked into a finished model by a run of few steps more.
        """
        config = self.config
        warm = min((self.step + 1) / max(config.warmup_steps, 1), 1.0)
        left = (config.steps - self.step) / max(config.cooldown_steps, 1)
        return config.learning_rate * warm * (1.0 - np.sqrt(max(1.0 - left, 0.0)) * 0.98)

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> tuple[Any, ...]:
        """Tensors (maps, phases, table, clean, side, known, coarse, fine) of a step, augmented.

        The rows of a step are the same for any number of processes; process ``rank`` takes its share.
        """
        from deft_llm.training.augment import augment, relative

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
        table = region_table(maps) if with_table else None
        return maps, phases, table, clean, side, known, coarse, fine

    def prepare_modes(self) -> None:
        """Nothing is frozen in stage 1."""

    def after_step(self) -> None:
        """Move the weight average."""
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.expert.state_dict().items():
                self.average[name].lerp_(value.detach().to(self.average[name].device), 1 - keep)

    def averaged(self):
        """A copy of the expert with averaged weights, in eval mode."""
        from deft_llm.model.experts import MotionExpert

        expert = MotionExpert(self.expert.config)
        expert.load_state_dict(self.average)
        return expert.eval()

    def state(self) -> dict[str, Any]:
        """Everything a resume needs."""
        return {"step": self.step, "model": self.model.state_dict(), "average": self.average,
                "optimizer": self.optimizer.state_dict()}  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        self.average = {name: value.clone() for name, value in state["average"].items()}
        self.optimizer.load_state_dict(state["optimizer"])


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


def region_table(maps):
    """Torch twin of ``model.inputs.region_pool``: (B, P, R, 3) of maps (B, P, 3, 28, 28)."""
    from deft_llm.model.inputs import canonical_weights

    weights = torch.from_numpy(np.array(canonical_weights()))
    u, v = maps[:, :, 0], maps[:, :, 1]
    spread = torch.gradient(u, dim=-1)[0] + torch.gradient(v, dim=-2)[0]
    stack = torch.stack([u, v, 2.0 * spread], 2).flatten(3)
    return torch.einsum("rk,bpfk->bprf", weights, stack)


def validate(expert, shards: FlowShards, limit: int = 2000) -> dict[str, float]:
    """UF1 of the coarse head (clips of the three classes), mean AU AUROC, on the first ``limit`` samples."""
    from sklearn.metrics import f1_score, roc_auc_score

    from deft_llm.training.augment import relative

    rows = np.arange(min(limit, len(shards)))
    maps, _, side, known, coarse, _ = tensors_of(shards.take(rows), 1)
    chosen, scores = [], []
    with torch.inference_mode():
        for start in range(0, len(rows), 250):
            part = relative(maps[start : start + 250])
            out = expert(part, None, region_table(part))
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
    config: Stage1Config,
    data: Path,
    out: Path,
    validation: Path | None = None,
    refresh: int = 200,
    **options: Any,
) -> Stage1:
    """Train stage 1 on the shards of ``data`` into ``out``; resumes by itself and takes in new shards."""
    from deft_llm.training.loop import fit

    stage = Stage1(config, FlowShards(data, config.shard_limit))
    check = FlowShards(validation) if validation else None

    def before(step: int) -> None:
        if config.shard_limit is None and step % refresh == 0:
            stage.shards.refresh()

    return fit(
        stage, out, steps=config.steps, save_every=config.save_every, validate_every=config.validate_every,
        validate=(lambda: validate(stage.averaged(), check)) if check else None, before_step=before,
        settings=config.model_dump(), **options,
    )  # fmt: skip
