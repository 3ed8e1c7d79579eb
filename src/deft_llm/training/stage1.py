"""Stage 1: the motion expert learns AUs, emotions, denoised motion and AU text from flow-level synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

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
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warmup: float = 0.05
    both_phases: float = 0.3
    table: float = 0.7
    ema: float = 0.998
    gamma_negative: float = 2.0
    losses: LossWeights = Field(default_factory=LossWeights)
    expert: dict[str, Any] = Field(default_factory=dict)
    augment: dict[str, float] = Field(default_factory=dict)
    validate_every: int = 500
    save_every: int = 500
    shard_limit: int | None = None


class Stage1:
    """Model, optimiser and step of stage 1; every step depends on (seed, step) alone, so a resume is
    exact."""

    def __init__(self, config: Stage1Config, shards: FlowShards) -> None:
        import torch
        from torch import nn

        from deft_llm.facs.emotions import FINE
        from deft_llm.model.motion_expert import MotionExpert, MotionExpertConfig
        from deft_llm.training.augment import AugmentSettings
        from deft_llm.training.text import au_text_vectors

        torch.manual_seed(config.seed)
        self.config, self.shards = config, shards
        self.expert = MotionExpert(MotionExpertConfig(fine_classes=len(FINE), **config.expert))
        texts = au_text_vectors()
        self.register = torch.from_numpy(texts)
        self.text = nn.ModuleDict({
            "motion": nn.Linear(self.expert.config.width, 64), "words": nn.Linear(texts.shape[1], 64)
        })  # fmt: skip
        self.model = nn.ModuleDict({"expert": self.expert, "text": self.text})
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in self.expert.state_dict().items()}
        self.augment = AugmentSettings(**config.augment)
        self.step = 0

    def rate(self) -> float:
        """Learning rate of the current step: linear warm-up, cosine down to 2 %."""
        done = self.step / max(self.config.steps, 1)
        warm = min(done / max(self.config.warmup, 1e-9), 1.0)
        return self.config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(done, 1.0))))

    def batch_of(self, step: int) -> tuple[Any, ...]:
        """Tensors (maps, phases, table, clean, side, known, coarse, fine) of a step, augmented."""
        import torch

        from deft_llm.training.augment import augment, relative

        rng = np.random.default_rng([self.config.seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        rows = rng.integers(0, len(self.shards), self.config.batch)
        count = 2 if rng.random() < self.config.both_phases else 1
        batch = self.shards.take(rows)
        maps, clean, side, known, coarse, fine = tensors_of(batch, count)
        maps, clean, side = augment(relative(maps), clean, side, self.augment, generator)
        phases = torch.ones(len(maps), count, dtype=torch.bool)
        table = region_table(maps) if rng.random() < self.config.table else None
        return maps, phases, table, clean, side, known, coarse, fine

    def loss(self, batch: tuple[Any, ...]) -> tuple[Any, dict[str, float]]:
        """Total loss and its parts on a batch."""
        import torch
        from torch.nn import functional as F

        from deft_llm.model import losses

        maps, phases, table, clean, side, known, coarse, fine = batch
        out = self.expert(maps, phases, table)
        weights = self.config.losses
        parts = {
            "au": losses.asymmetric_loss(
                out.au, side, self.config.gamma_negative, known=known[..., None].expand_as(side)
            ),
            "coarse": losses.masked_cross_entropy(out.coarse, coarse),
            "fine": losses.masked_cross_entropy(out.fine, fine),
        }
        if weights.clean and not bool(torch.isnan(clean).any()):
            parts["clean"] = losses.clean_flow_loss(out.clean, clean)
        if weights.text:
            tokens = F.normalize(self.text["motion"](out.tokens[:, self.expert.token_of_au]), dim=-1)
            words = F.normalize(self.text["words"](self.register), dim=-1)
            parts["text"] = losses.text_contrast(tokens, words, side.amax(-1))
        total = sum(getattr(weights, name) * value for name, value in parts.items())
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def train_step(self) -> dict[str, float]:
        """One optimiser step; also moves the weight average."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        self.model.train()
        total, parts = self.loss(self.batch_of(self.step))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.expert.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return parts

    def averaged(self):
        """A copy of the expert with averaged weights, in eval mode."""
        from deft_llm.model.motion_expert import MotionExpert

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
    import torch

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
    import torch

    from deft_llm.model.inputs import canonical_weights

    weights = torch.from_numpy(np.array(canonical_weights()))
    u, v = maps[:, :, 0], maps[:, :, 1]
    spread = torch.gradient(u, dim=-1)[0] + torch.gradient(v, dim=-2)[0]
    stack = torch.stack([u, v, 2.0 * spread], 2).flatten(3)
    return torch.einsum("rk,bpfk->bprf", weights, stack)


def validate(expert, shards: FlowShards, limit: int = 2000) -> dict[str, float]:
    """UF1 of the coarse head (clips of the three classes), mean AU AUROC, on the first ``limit`` samples."""
    import torch
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
    config: Stage1Config, data: Path, out: Path, validation: Path | None = None, refresh: int = 200
) -> Stage1:
    """Train with checkpoints every ``save_every`` steps in ``out``/state.pt-less safetensors; resumes by
    itself."""
    from deft_llm.training.state import load_state, save_state, writer

    stage = Stage1(config, FlowShards(data, config.shard_limit))
    load_state(out, stage)
    check = FlowShards(validation) if validation else None
    log = writer(out)
    while stage.step < config.steps:
        if config.shard_limit is None and stage.step % refresh == 0:
            stage.shards.refresh()
        parts = stage.train_step()
        if stage.step % 50 == 0:
            log(stage.step, parts)
        if stage.step % config.save_every == 0 or stage.step == config.steps:
            save_state(out, stage, config.model_dump())
        if check is not None and (stage.step % config.validate_every == 0 or stage.step == config.steps):
            log(stage.step, {f"validation/{k}": v for k, v in validate(stage.averaged(), check).items()})
    return stage
