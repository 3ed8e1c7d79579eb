"""Stages 2 and 3: projectors, delimiters and adapter learn to answer; in stage 3 the experts move with
them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from deft_llm.model import losses
from deft_llm.model.deft import PROJECTORS, DeftModel, Readout
from deft_llm.model.inputs import DeftBatch
from deft_llm.model.language import EXPERTS
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.loop import Part, PartSettings, fit
from deft_llm.training.text_rules import TextRule, miscoded, shown_sides


def fast_bfloat16(device: str) -> bool:
    """Whether a device ("cpu", "cuda", ...) multiplies bfloat16 in units of its own; a processor without them
    takes several times as long as in float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


class Stage2Weights(BaseModel):
    """Weights of the hybrid objective; 0 switches a part off (each has an ablation)."""

    model_config = ConfigDict(extra="forbid")
    text: float = 1.0
    au: float = 10.0
    coarse: float = 0.5
    fine: float = 0.25
    independence: float = 0.1
    adversary: float = 0.1


class Stage2Config(PartSettings):
    """Settings of stages 2 and 3. ``train_experts``: stage 3; ``expert_rate``: their share of the learning
    rate.

    ``expert_dropout``: chance that an expert is left out of a step's prompt. What makes a step cheap:
    ``cut_rationale``, share of the full-answer steps whose text stops before the rationale; ``bucket``,
    candidates a row among which rows of like length are taken; ``share_prefix``, the constant start of the
    prompt is read once a step, without gradient. ``projector_rate``: projectors' share of the learning rate.
    ``autocast``: bfloat16 in the forward pass; None: where the device has units for it (``fast_bfloat16``).
    ``evidence_floor``: the text names an AU only where the motion expert's own logit lies above it: what the
    flow does not show is no evidence (flow-level samples). ``text_rule`` instead holds answers by Uni-MER's
    own constraints (``training.text_rules``), where a share ``false_labels`` of the labels is made wrong.
    """

    steps: int = Field(2000, ge=0, description="Steps of the optimiser.")
    batch: int = Field(8, ge=1, description="Answers per step, all processes together.")
    learning_rate: float = Field(5e-4, gt=0, description="Rate between warm-up and cool-down.")
    save_every: int = Field(50, ge=1, description="Steps between saved states.")
    train_experts: bool = False
    expert_rate: float = 0.1
    expert_dropout: float = 0.1
    autocast: bool | None = None
    independence: str = "cross_covariance"
    losses: Stage2Weights = Field(default_factory=Stage2Weights)
    full_answers: float = 0.7
    cut_rationale: float = 0.0
    bucket: int = 1
    share_prefix: bool = False
    projector_rate: float = 1.0
    evidence_floor: float | None = None
    text_rule: TextRule | None = None
    false_labels: float = 0.0
    validate_clips: int = 64


class Stage2Batch(BaseModel):
    """One step's clips, questions, answers and targets (None where not known)."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    clips: Any
    questions: list[str]
    answers: list[str]
    side: Any = None
    known: Any = None
    coarse: Any = None
    fine: Any = None
    subject: Any = None
    drop: list[str] = Field(default_factory=list)
    cut: bool = False


class Stage2Module(nn.Module):
    """DeftModel with the hybrid objective; ``forward(batch)`` gives (total loss, its parts)."""

    def __init__(self, model: DeftModel, config: Stage2Config, subjects: int = 0) -> None:
        super().__init__()
        self.deft, self.config = model, config
        self.adversaries = nn.ModuleDict()
        if subjects and config.losses.adversary and config.train_experts:
            from deft_llm.model.units import EXPERT_AUS

            widths = {"motion": model.motion.config.width, "texture": model.fusion.face_width}
            self.adversaries = nn.ModuleDict(
                {
                    name: losses.SubjectAdversary(width, len(EXPERT_AUS), subjects)
                    for name, width in widths.items()
                }
            )

    def forward(self, batch: Stage2Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Next-token loss on the answers (without it the LLM is not run), head losses, independence,
        adversary."""
        weights = self.config.losses
        device, wanted = batch.clips.maps.device.type, self.config.autocast
        halved = fast_bfloat16(device) if wanted is None else wanted
        with torch.autocast(device, torch.bfloat16, enabled=halved):
            asked = (batch.questions, batch.answers) if weights.text else ()
            readout, text = self.deft(
                batch.clips, *asked, drop=batch.drop, cut=batch.cut, share_prefix=self.config.share_prefix
            )
        parts = {"text": text} if weights.text else {}
        if self.config.train_experts:
            if batch.side is not None and weights.au:
                known = batch.known[..., None].expand_as(batch.side)
                parts["au"] = losses.asymmetric_loss(readout.au.float(), batch.side, known=known)
            if batch.coarse is not None and weights.coarse:
                parts["coarse"] = losses.masked_cross_entropy(readout.coarse.float(), batch.coarse)
            if batch.fine is not None and weights.fine:
                parts["fine"] = losses.masked_cross_entropy(readout.fine.float(), batch.fine)
            parts |= self._disentangle(readout, batch)
        total = sum(getattr(weights, name) * value for name, value in parts.items())
        return total, {name: value.detach() for name, value in parts.items()}

    def _disentangle(self, readout: Readout, batch: Stage2Batch) -> dict[str, torch.Tensor]:
        parts: dict[str, torch.Tensor] = {}
        weights = self.config.losses
        features = {"motion": readout.pooled.float()}
        for index, name in enumerate(EXPERTS[:2]):
            tokens = getattr(readout, name)
            if tokens is not None and len(tokens) > 3 and bool(readout.saw[:, index].all()):
                features[name] = tokens.float().mean(1)
        if weights.independence and len(features) > 1:
            measure = losses.hsic if self.config.independence == "hsic" else losses.cross_covariance
            names = list(features)
            pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
            found = [measure(features[a], features[b]) for a, b in pairs]
            parts["independence"] = torch.stack(found).mean()
        if len(self.adversaries) and batch.subject is not None and batch.side is not None:
            aus = batch.side.amax(-1)
            values = [net(features[name], aus, batch.subject) for name, net in self.adversaries.items()
                      if name in features]  # fmt: skip
            parts["adversary"] = sum(values) / max(len(values), 1)
        return parts


class Stage2(Part):
    """Projectors and adapter as a part of the training; ``source(step, rank, world)`` makes the batches."""

    model: Stage2Module

    def __init__(
        self, model: DeftModel, config: Stage2Config, source: Callable[[int, int, int], Stage2Batch],
        subjects: int = 0,
    ) -> None:  # fmt: skip
        torch.manual_seed(config.seed)
        self.config, self.source = config, source
        module = Stage2Module(model, config, subjects)
        experts = [p for name, p in model.named_parameters() if _is_expert(name)]
        for parameter in experts:
            parameter.requires_grad_(config.train_experts)
        rest = {n: p for n, p in module.named_parameters() if p.requires_grad and not _is_expert(n[5:])}
        words = {n: p for n, p in rest.items() if n[5:].split(".")[0] in PROJECTORS}
        groups: list[tuple[list[nn.Parameter], float]] = [
            ([p for n, p in rest.items() if n not in words], 1.0),
            (list(words.values()), config.projector_rate),
        ]
        if config.train_experts:
            groups.append((experts, config.expert_rate))
        super().__init__(module, config, groups)

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> Stage2Batch:
        """The batch of a step, with experts dropped by chance (the same for all processes)."""
        batch = self.source(step, rank, world)
        rng = np.random.default_rng([self.config.seed, step, 7])
        batch.drop = [name for name in EXPERTS if rng.random() < self.config.expert_dropout]
        if len(batch.drop) == len(EXPERTS) or (batch.clips.change is None and "motion" in batch.drop):
            batch.drop = [name for name in batch.drop if name != "motion"]
        return batch

    def set_modes(self) -> None:
        """Frozen experts read without dropout."""
        super().set_modes()
        if not self.config.train_experts:
            for name in ("motion", "structure", "texture", "fusion"):
                module = getattr(self.model.deft, name)
                if module is not None:
                    module.eval()

    def tensors(self) -> dict[str, Any]:
        """Our own tensors, never the frozen base."""
        return {"deft": self.model.deft.own_tensors(), "adversaries": self.model.adversaries.state_dict()}

    def load_tensors(self, tensors: dict[str, Any]) -> None:
        """Put them back."""
        self.model.deft.load_state_dict(tensors["deft"], strict=False)
        self.model.adversaries.load_state_dict(tensors["adversaries"])


def _is_expert(name: str) -> bool:
    return name.split(".")[0] in ("motion", "structure", "texture", "fusion")


def like_lengths(lengths: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """``count`` rows of neighbouring length; every row has about the same chance."""
    if count >= len(lengths):
        return list(range(len(lengths)))
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    start = int(rng.integers(len(order) // count)) * count
    return sorted(order[start : start + count])


def flow_source(
    shards: FlowShards, config: Stage2Config, model: DeftModel | None = None
) -> Callable[[int, int, int], Stage2Batch]:
    """Batches of flow-level samples with answers rendered from their truth; ``model`` reads them first where
    an ``evidence_floor`` is set."""
    from deft_llm.training.augment import AugmentSettings, augment, relative
    from deft_llm.training.flow_text import triples
    from deft_llm.training.motion import tensors_of

    settings = AugmentSettings(noise=0.2, rigid=0.2, blob=0.1)

    def source(step: int, rank: int, world: int) -> Stage2Batch:
        rng = np.random.default_rng([config.seed, step, 3])
        rows = rng.integers(0, len(shards), config.batch * config.bucket)
        taken = shards.take(rows)
        count = 2 if rng.random() < 0.3 else 1
        maps, clean, side, known, coarse, fine = tensors_of(taken, count)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        maps, _, side = augment(relative(maps), clean, side, settings, generator)
        # All answers of a step are of one kind where lengths are to be alike.
        full = config.full_answers if config.bucket == 1 else float(rng.random() < config.full_answers)
        shown = side
        if config.evidence_floor is not None and model is not None:
            seen = DeftBatch(maps, torch.ones(len(maps), count, dtype=torch.bool))
            model.motion.eval()
            with torch.no_grad():
                shown = side * (model.read(seen).au > config.evidence_floor)
        named = shown.numpy()
        if config.text_rule is not None:
            labels = miscoded(side.numpy(), config.false_labels, rng)
            named = shown_sides(config.text_rule, maps[:, 0].numpy(), labels, taken.fine, rng)
        asked = triples(named, taken.fine, taken.coarse, rows, rng, full)
        cut = full == 1.0 and rng.random() < config.cut_rationale
        texts = [t.answer.partition("Rationale:")[0] if cut else t.answer for t in asked]
        keep = like_lengths([len(t) for t in texts], config.batch, rng)[rank::world]
        maps = maps[keep]
        clips = DeftBatch(maps, torch.ones(len(maps), count, dtype=torch.bool))
        return Stage2Batch(clips=clips, questions=[asked[i].question for i in keep],
                           answers=[texts[i] for i in keep], side=side[keep], known=known[keep],
                           coarse=coarse[keep], fine=fine[keep], cut=cut)  # fmt: skip

    return source


def run(stage: Stage2, out: Path, **options: Any) -> Stage2:
    """Train into ``out``; resumes by itself."""
    fit(stage, out, log_every=5, **options)
    return stage
