"""The face experts: structure and dynamic texture learn beside a frozen motion expert, from clips with faces.

What the motion expert says of every clip is computed once, so a step costs two small networks and the heads
that fuse them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from deft_llm.facs.regions import FOLDS
from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import FaceExpertConfig, MotionOutput
from deft_llm.model.inputs import (
    CLIP,
    TURN_UNIT,
    DeftBatch,
    batch_of,
    mirrored,
    mirrored_landmarks,
    mirrored_lines,
    mirrored_over,
    mirrored_space,
    region_pool,
)
from deft_llm.model.readout import Readout
from deft_llm.state.onset import ONSET_CHANNELS
from deft_llm.synth.core.coder import SEEN_PX
from deft_llm.training.loop import MOST_BATCH, Part, PartSettings
from deft_llm.training.motion import checked_sizes, scores
from deft_llm.training.objective import Objective, Targets, TrainBatch, TrainedModel, Weights, moved
from deft_llm.training.store_data import StoreData

FaceExpert = Literal["structure", "texture"]
READ = 128
"""Clips that the motion expert reads at once."""
STRANGERS = 0.6
"""Share of clips whose neutral is known that are learned from with another person's face."""
SPACE_NOISE, OVER_NOISE = 0.004, 0.3
"""Standard deviations of the landmarker's noise in ``space_input`` and ``over_input``."""
COURSE_NOISE = 0.1
"""Standard deviation of the noise that is added to ``course_input``."""
LINE_NOISE, LINE_GAIN = 0.15, 0.3
"""Standard deviations of the noise that is added to ``fold_lines``, and of the logarithm of their
strength."""
OVER_UNKNOWN = 0.3
"""Share of clips whose neutral is not told, as that of a corpus of short clips is not."""
LEAST_SPREAD = 0.005
"""Inter-ocular distances: landmarks that vary less are not scaled up further."""


class FaceConfig(PartSettings):
    """Settings of the face experts' training."""

    parts = frozenset({
        "au", "coarse", "fine", "texture", "structure", "held", "phase", "course", "folds", "independence",
        "adversary",
    })  # fmt: skip
    steps: int = Field(700, ge=0, description="Steps of the optimiser.")
    batch: int = Field(48, ge=1, le=MOST_BATCH, description="Clips per step, all processes together.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Rate between warm-up and cool-down.")
    weight_decay: float = Field(0.05, ge=0, le=1, description="Weight decay of AdamW.")
    cooldown_steps: int = Field(250, ge=0, description="Last steps, over which the rate falls.")
    validate_every: int = Field(100, ge=0, description="Steps between validations; 0: none.")
    losses: Weights = Field(
        default_factory=lambda: Weights(
            au=20, coarse=1, fine=0.5, texture=20, structure=2, held=20, phase=2, course=2, folds=2,
            independence=1, adversary=0.1,
        ),
        description="Weights of the loss.",
    )  # fmt: skip
    experts: list[FaceExpert] = Field(
        default=["structure", "texture"], description="Experts that are trained."
    )
    anew: bool = Field(False, description="Whether they begin as new experts although the start has some.")
    sizes: dict[str, int] = Field(
        default_factory=lambda: {
            "space": 40,
            "neutral": len(ONSET_CHANNELS),
            "phase": 64,
            "folds": len(FOLDS),
            "course": 16,
        },
        description="Sizes of new experts: width, channels, space, neutral, phase, folds, course. Those that "
        "are trained on keep their own, but for neutral, phase, folds and course.",
    )
    swap: float = Field(
        0.5, ge=0, le=1, description="Share of steps in which the heads read another clip's structure."
    )
    expert_dropout: float = Field(
        0.15, ge=0, lt=1, description="Chance that an expert is left out of a step."
    )
    augment: bool = Field(True, description="Whether faces are mirrored, moved, relit and made noisy.")

    @field_validator("sizes")
    @classmethod
    def _known_sizes(cls, sizes: dict[str, int]) -> dict[str, int]:
        return checked_sizes(sizes, FaceExpertConfig._fields)


class FaceData:
    """Clips with faces as tensors, with what a frozen motion expert says of each, in a mirror too.

    ``motion``: for the clips as they are and for their mirror images; ``subjects``: how many there are.
    """

    def __init__(self, data: StoreData, deft: DeftModel) -> None:
        rows = data.with_faces
        self.batch_all = batch_of([data.inputs[row] for row in rows], [data.faces[row] for row in rows])
        views = (self.batch_all, mirrored(self.batch_all))
        self.motion = [motion_of(deft, view) for view in views]
        looks = np.stack([data.looks[row] for row in rows if data.looks[row] is not None])
        self.look = torch.from_numpy(looks.astype(np.float32))[:, None]
        as_float = lambda values: torch.from_numpy(values[rows].astype(np.float32))  # noqa: E731
        as_long = lambda values: torch.from_numpy(values[rows].astype(np.int64))  # noqa: E731
        names, subject = np.unique(data.subject[rows], return_inverse=True)
        self.subjects, self.rows = len(names), rows
        self.targets = Targets(
            as_float(data.side), as_float(data.known), as_long(data.coarse), as_long(data.fine),
            subject=torch.from_numpy(subject.astype(np.int64)), turn=as_float(data.turn) / TURN_UNIT,
            held=seen_held(as_float(data.held)), phase=as_long(data.phase), folds=as_float(data.folds),
        )  # fmt: skip
        self.landmarks, self.space = _there(self.batch_all.landmarks), _there(self.batch_all.space)
        self.over, self.change = _there(self.batch_all.over), _there(self.batch_all.change)
        self.lines, self.course = _there(self.batch_all.lines), _there(self.batch_all.course)
        both = torch.cat([self.landmarks, mirrored_landmarks(self.landmarks)])
        self.mean_shape = both.mean(0)
        self.spread = both.std(0, unbiased=False).clamp_min(LEAST_SPREAD)

    def __len__(self) -> int:
        return len(self.look)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> TrainBatch:
        """Some of the clips; with ``rng`` each is mirrored by chance, moved, relit and made noisy, and in a
        share STRANGERS another clip's face holds what its own shows over the neutral."""
        index = torch.from_numpy(np.asarray(rows))
        face, over = index, self.over[index]
        if rng is not None:
            over = blurred(over, rng, OVER_NOISE, OVER_UNKNOWN)
            face = self._strangers(index, over, rng)
        flip = torch.zeros(len(rows), dtype=torch.bool)
        if rng is not None:
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
        turned = lambda own, other: torch.where(flip.view(-1, *[1] * (own.ndim - 1)), other, own)  # noqa: E731
        landmarks, look, space = (value[face] for value in (self.landmarks, self.look, self.space))
        change, lines, course = self.change[index], self.lines[index], self.course[index]
        landmarks = turned(landmarks, mirrored_landmarks(landmarks))
        space, over = turned(space, mirrored_space(space)), turned(over, mirrored_over(over))
        look, change = turned(look, look.flip(-1)), turned(change, change.flip(-1))
        lines = turned(lines, mirrored_lines(lines))
        if rng is not None:
            landmarks, look, change = relit(landmarks, look, change, rng)
            lines = noisy_lines(lines, rng)
            space, course = blurred(space, rng, SPACE_NOISE), blurred(course, rng, COURSE_NOISE)
        own = [turned(*(getattr(view, name)[index] for view in self.motion)) for name in MotionOutput._fields]
        all_of = self.targets
        assert all_of.turn is not None and all_of.held is not None
        assert all_of.subject is not None and all_of.phase is not None and all_of.folds is not None
        side, turn, held = all_of.side[index], all_of.turn[face], all_of.held[index]
        targets = Targets(
            turned(side, side.flip(-1)), all_of.known[index], all_of.coarse[index], all_of.fine[index],
            subject=all_of.subject[index], turn=turned(turn, turn * turn.new_tensor([-1.0, 1.0])),
            held=turned(held, held.flip(-1)), phase=all_of.phase[index], folds=all_of.folds[index],
            shape=((landmarks - self.mean_shape) / self.spread).flatten(1),
        )  # fmt: skip
        clips = DeftBatch(
            self.batch_all.maps[index],
            self.batch_all.phases[index],
            landmarks,
            spread_out(look),
            change,
            space,
            over,
            lines,
            course,
        )
        return TrainBatch(clips, targets, motion=MotionOutput(*own))

    def _strangers(self, index: Tensor, over: Tensor, rng: np.random.Generator) -> Tensor:
        """(B,) clips whose face the clips ``index`` are given, where ``over`` (B, C) is known: a face tells
        who it is, and an expert that learns from some hundred people would know by heart what each holds."""
        told = over.isfinite().all(1) & torch.from_numpy(rng.random(len(index)) < STRANGERS)
        other = torch.from_numpy(rng.integers(0, len(self), len(index)))
        return torch.where(told, other, index)


def seen_held(px: Tensor) -> Tensor:
    """(N, A, 2), of strengths ``px`` (N, A, 2): 1 where the onset shows an AU by so much that a coder sees
    it, else 0; NaN where that is not known."""
    return torch.where(px.isfinite(), (px >= SEEN_PX).float(), torch.nan)


def _there(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


@torch.inference_mode()
def motion_of(deft: DeftModel, batch: DeftBatch) -> MotionOutput:
    """What the motion expert says of clips, in eval mode, no gradients."""
    deft.motion.eval()
    found = []
    for start in range(0, len(batch), READ):
        part = batch.take(slice(start, start + READ))
        found.append(deft.motion(part.maps, part.phases, region_pool(part.maps)))
    return MotionOutput(*(torch.cat(values).clone() for values in zip(*found)))


def choose_axes(deft: DeftModel, data: FaceData) -> None:
    """Give a new structure expert the main components of the clips' shapes in space."""
    if deft.structure is not None and deft.structure.config.space:
        deft.structure.choose_axes(torch.cat([data.space, mirrored_space(data.space)]))


class FacePart(Part):
    """The face experts as a part of the training."""

    settings: FaceConfig
    model: TrainedModel

    def __init__(self, deft: DeftModel, settings: FaceConfig, data: FaceData) -> None:
        torch.manual_seed(settings.seed or 0)
        self.data = data
        objective = Objective(
            settings.losses, deft, settings.experts, data.subjects, gamma_negative=settings.gamma_negative
        )
        trained = [f"deft.{name}." for name in settings.experts]
        groups = [((*trained, "deft.fusion.", "objective."), 1.0)]
        super().__init__(TrainedModel(deft, objective), settings, groups)

    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> TrainBatch:
        """The clips of a step, augmented; which experts are left out and whether structure is swapped."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed or 0, step, 31])
        rows = rng.integers(0, len(self.data), settings.batch)[rank::world]
        drop = [name for name in settings.experts if rng.random() < settings.expert_dropout]
        batch = self.data.batch(rows, rng if settings.augment else None)
        batch.drop = [] if len(drop) == len(settings.experts) else list(drop)
        batch.swap = bool(rng.random() < settings.swap)
        return batch

    def result(self) -> DeftModel:
        """The model, in eval mode."""
        return self.model.deft.eval()


@torch.inference_mode()
def read_faces(
    deft: DeftModel, data: FaceData, drop: tuple[str, ...] = (), structure_of: np.ndarray | None = None
) -> Readout:
    """What all experts say of the clips; ``structure_of`` (N,): rows whose structure the heads read instead
    of the clips' own."""
    deft.eval()
    found, device = [], next(deft.parameters()).device
    for start in range(0, len(data), READ):
        rows = np.arange(start, min(start + READ, len(data)))
        batch = data.batch(rows).to(device)
        readout = deft.read(batch.clips, drop=drop, motion=batch.motion)
        if structure_of is not None:
            other = data.batch(structure_of[rows]).to(device)
            structure = deft.read(other.clips, drop=drop, motion=other.motion).structure
            exchanged = replace(readout, structure=structure)
            readout = deft.read(batch.clips, motion=batch.motion, faces=exchanged)
        found.append(moved(readout, "cpu"))
    return Readout.joined(found)


def validate(deft: DeftModel, data: FaceData) -> dict[str, float]:
    """``training.motion.scores`` of the fused heads."""
    readout = read_faces(deft, data)
    return scores(readout.au.numpy(), readout.coarse.numpy(), data.targets)


# -- augmentation -----------------------------------------------------------------------------------------


def blurred(values: Tensor, rng: np.random.Generator, noise: float, unknown: float = 0.1) -> Tensor:
    """Inputs (B, K) with the landmarker's ``noise``; at random a share ``unknown`` of the clips has none."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noisy = values + noise * torch.randn(values.shape, generator=generator)
    known = torch.rand(len(values), 1, generator=generator) >= unknown
    return torch.where(known, noisy, torch.nan)


def spread_out(look: Tensor) -> Tensor:
    """``inputs.spread`` of grey faces (B, 1, H, W)."""
    flat = look.flatten(1)
    centred = flat - flat.median(1, keepdim=True).values
    scale = centred.std(1, unbiased=False, keepdim=True).clamp_min(1e-3)
    return (centred / scale).clamp(-CLIP, CLIP).view_as(look)


def relit(
    landmarks: Tensor, look: Tensor, change: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks (N, K, 2) with jitter, looks (N, 1, S, S) under another lamp and with noise,
    changes (N, 4, S, S) shifted and with noise."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    count, size = len(look), look.shape[-1]
    line = torch.linspace(-1, 1, size)
    slope = 0.35 * torch.randn(count, 2, 1, 1, generator=generator)
    lamp = 1 + slope[:, :1] * line[None, None, None] + slope[:, 1:] * line[None, None, :, None]
    look = look * lamp.clamp_min(0.2) + 2.0 * torch.randn(look.shape, generator=generator)
    landmarks = bent(landmarks, generator) + 0.004 * torch.randn(landmarks.shape, generator=generator)
    shift = torch.randint(-2, 3, (2,), generator=generator)
    change = change.roll((int(shift[0]), int(shift[1])), (-2, -1))
    loud = 0.4 * torch.rand(count, 4, 1, 1, generator=generator)
    change = change + loud * torch.randn(change.shape, generator=generator)
    there = (torch.rand(count, 4, 1, 1, generator=generator) > 0.1).float()
    return landmarks, look, change * there


def noisy_lines(lines: Tensor, rng: np.random.Generator) -> Tensor:
    """``inputs.fold_lines`` (N, F, 6), stronger or weaker, and with noise."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    gain = (LINE_GAIN * torch.randn(len(lines), 1, 1, generator=generator)).exp()
    return gain * lines + LINE_NOISE * torch.randn(lines.shape, generator=generator)


def bent(landmarks: Tensor, generator: torch.Generator, bumps: int = 6, strength: float = 0.03) -> Tensor:
    """Landmarks (B, L, 2) of a face of another shape: smooth bumps, half an inter-ocular distance wide."""
    count = len(landmarks)
    place = torch.rand(count, bumps, 2, generator=generator) * torch.tensor([2.4, 3.0])
    push = strength * torch.randn(count, bumps, 2, generator=generator)
    near = torch.exp(-torch.cdist(landmarks, place - torch.tensor([1.2, 0.9])).square() / 0.5)
    return landmarks + near @ push
