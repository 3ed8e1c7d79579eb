"""The motion expert learns AUs, emotions, denoised motion
and the words of AUs from measured or synthetic flow."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field, field_validator

from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import MotionExpertConfig
from deft_llm.model.inputs import DeftBatch
from deft_llm.training.augment import AugmentSettings, augment, relative
from deft_llm.training.flow_shards import FlowBatch
from deft_llm.training.loop import MOST_BATCH, Part, PartSettings
from deft_llm.training.objective import Objective, Targets, TrainBatch, TrainedModel, Weights, moved

MOST = 4096
"""No size of an expert is larger."""


class Samples(Protocol):
    """What ``FlowShards`` and ``StoreData`` offer: labelled maps of clips."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> FlowBatch:
        """The clips ``rows``, stacked."""
        ...


class MotionConfig(PartSettings):
    """Settings of the motion expert's training."""

    parts = frozenset({"au", "coarse", "fine", "clean", "contrast"})
    steps: int = Field(4000, ge=0, description="Steps of the optimiser.")
    batch: int = Field(128, ge=1, le=MOST_BATCH, description="Clips per step, all processes together.")
    learning_rate: float = Field(1.5e-3, gt=0, le=1, description="Rate between warm-up and cool-down.")
    weight_decay: float = Field(0.03, ge=0, le=1, description="Weight decay of AdamW.")
    warmup_steps: int = Field(100, ge=0, description="First steps, over which the rate rises.")
    cooldown_steps: int = Field(400, ge=0, description="Last steps, over which the rate falls.")
    cooldown: Literal["linear", "1-sqrt", "cosine"] = Field("1-sqrt", description="Shape of the cool-down.")
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the weight average that is kept; 0: none.")
    start_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the expert that the run begins with in the mean of weights that is kept.",
    )
    validate_every: int = Field(500, ge=0, description="Steps between validations; 0: none.")
    save_every: int = Field(500, ge=1, description="Steps between saved states.")
    both_phases: float = Field(0.3, ge=0, le=1, description="Share of steps that see apex to offset too.")
    table: float = Field(0.7, ge=0, le=1, description="Share of steps that see the region table.")
    losses: Weights = Field(
        default_factory=lambda: Weights(au=20, coarse=1, fine=0.5, clean=1, contrast=0.1),
        description="Weights of the loss.",
    )
    expert: dict[str, int | float] = Field(
        default_factory=dict,
        description="Sizes of a new expert: width, stem, middle, heads, blocks, dropout. One that is trained "
        "on keeps its own.",
    )

    @field_validator("expert")
    @classmethod
    def _known_sizes(cls, sizes: dict[str, int | float]) -> dict[str, int | float]:
        return checked_sizes(sizes, MotionExpertConfig._fields)

    augment: AugmentSettings | None = Field(
        default_factory=AugmentSettings, description="Augmentation of the maps; null: none."
    )


def checked_sizes(sizes: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """``sizes`` of an expert. Raises: ValueError for a name that is not ``known``, or a negative size."""
    for name, value in sizes.items():
        if name not in known or not 0 <= value < MOST:
            raise ValueError(f"{name}={value}: choose sizes from 0 on, of {', '.join(known)}")
    return sizes


class MotionPart(Part):
    """The motion expert as a part of the training."""

    settings: MotionConfig
    model: TrainedModel

    def __init__(self, deft: DeftModel, settings: MotionConfig, data: Samples) -> None:
        torch.manual_seed(settings.seed or 0)
        self.data = data
        self.begun = copy.deepcopy(deft.motion.state_dict()) if settings.start_share else None
        objective = Objective(settings.losses, deft, ("motion",), gamma_negative=settings.gamma_negative)
        super().__init__(
            TrainedModel(deft, objective), settings, [(("deft.motion.", "objective."), 1.0)],
            averaged=deft.motion,
        )  # fmt: skip

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> TrainBatch:
        """Clips of a step, augmented."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed or 0, step])
        rows = rng.integers(0, len(self.data), settings.batch)
        count = 2 if rng.random() < settings.both_phases else 1
        with_table = rng.random() < settings.table
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)) + rank)
        taken = self.data.take(rows[rank::world])
        maps, targets = tensors_of(taken, count)
        if settings.augment is not None:
            maps, targets = augmented(maps, targets, settings.augment, generator)
        phases = torch.from_numpy(taken.phases[:, :count])
        return TrainBatch(DeftBatch(maps, phases, with_table=with_table), targets)

    def result(self) -> DeftModel:
        """The model with the weight average in its motion expert, in eval mode.

        ``start_share`` of it is the expert that the run began with: the mean of both reads other maps than
        the new samples better than either (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
        """
        deft = copy.deepcopy(self.model.deft)
        if self.average is not None:
            deft.motion.load_state_dict(self.average.module.state_dict())
        if self.begun is not None:
            learned, share = deft.motion.state_dict(), self.settings.start_share
            deft.motion.load_state_dict({
                name: torch.lerp(value, self.begun[name].to(value), share) if value.is_floating_point()
                else value for name, value in learned.items()
            })  # fmt: skip
        return deft.eval()


def augmented(
    maps: torch.Tensor, targets: Targets, settings: AugmentSettings, generator: torch.Generator
) -> tuple[torch.Tensor, Targets]:
    """``augment`` of maps (N, P, 3, S, S) and of what of their targets it moves."""
    clean = torch.full((len(maps), 2, 14, 14), torch.nan) if targets.clean is None else targets.clean
    maps, targets.clean, targets.side = augment(maps, clean, targets.side, settings, generator)
    return maps, targets


def tensors_of(batch: FlowBatch, phases: int = 1) -> tuple[torch.Tensor, Targets]:
    """(relative maps (N, phases, 3, 28, 28), targets) of samples."""
    as_float = lambda values: torch.from_numpy(values.astype(np.float32))  # noqa: E731
    as_long = lambda values: torch.from_numpy(values.astype(np.int64))  # noqa: E731
    targets = Targets(
        as_float(batch.side), as_float(batch.known), as_long(batch.coarse), as_long(batch.fine),
        as_float(batch.clean),
    )  # fmt: skip
    return relative(as_float(batch.maps[:, :phases])), targets


def validate(deft: DeftModel, data: Samples, limit: int = 2000, batch: int = 250) -> dict[str, float]:
    """``scores`` of the heads on the first phase of the first ``limit`` clips."""
    taken = data.take(np.arange(min(limit, len(data))))
    maps, targets = tensors_of(taken)
    aus, classes, device = [], [], next(deft.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(maps), batch):
            part = maps[start : start + batch]
            clips = DeftBatch(part, torch.ones(len(part), 1, dtype=torch.bool))
            readout = deft.read(moved(clips, device))
            aus.append(readout.au.cpu())
            classes.append(readout.coarse.cpu())
    return scores(torch.cat(aus).numpy(), torch.cat(classes).numpy(), targets)


def scores(au: np.ndarray, coarse: np.ndarray, targets: Any, fewest: int = 5) -> dict[str, float]:
    """UF1 on the three classes and mean AUROC over AUs that ``fewest`` clips show and as many do not.

    au (N, A, 2), coarse (N, 3): logits. ``targets``: ``Targets``. NaN-free: 0 where nothing can be scored.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    truth = targets.coarse.numpy()
    keep = truth >= 0
    present, known, areas = targets.side.amax(-1).numpy(), targets.known.numpy() > 0, []
    for k in range(present.shape[1]):
        y, x = present[known[:, k], k], au.max(-1)[known[:, k], k]
        if fewest <= y.sum() <= len(y) - fewest:
            areas.append(roc_auc_score(y, x))
    uf1 = f1_score(truth[keep], coarse.argmax(-1)[keep], average="macro") if keep.any() else 0.0
    return {"uf1": float(uf1), "au_auroc": float(np.mean(areas)) if areas else 0.0}
