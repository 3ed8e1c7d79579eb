"""The hybrid objective of every part of the training: next token, emotion cross-entropy, asymmetric AU loss,
motion-text contrast, and the parts that hold the experts to what each is for.

One forward for all: ``TrainedModel`` reads the clips by ``DeftModel.read``, answers their questions where the
text counts, and adds up the parts; a part's weight of 0 switches it off, and what it needs is not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from deft_llm.model import losses
from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import STRUCTURE_TOKENS, MotionOutput
from deft_llm.model.inputs import DeftBatch
from deft_llm.model.language import EXPERTS, FACE_EXPERTS
from deft_llm.model.packing import RowCollator, Turn, answer_losses, text_loss
from deft_llm.model.readout import Readout
from deft_llm.model.units import EXPERT_AUS, TOKEN_OF_AU
from deft_llm.training.text import au_text_vectors

Tensors = TypeVar("Tensors")
CONTRAST_WIDTH = 64
"""Width of the space in which motion tokens and the words of AUs are compared."""
FEWEST_ROWS = 4
"""Clips from which on correlations between two experts' features are measured."""
LANDMARKS = 478


class Weights(BaseModel):
    """Weights of the parts of the loss; 0 switches a part off."""

    model_config = ConfigDict(extra="forbid")
    text: float = Field(0.0, ge=0, le=1e4, description="Next token of the answers.")
    au: float = Field(0.0, ge=0, le=1e4, description="Asymmetric loss on AUs and their sides.")
    coarse: float = Field(0.0, ge=0, le=1e4, description="Cross-entropy of the coarse class.")
    fine: float = Field(0.0, ge=0, le=1e4, description="Cross-entropy of the fine label.")
    clean: float = Field(0.0, ge=0, le=1e4, description="Expression-only flow, where it is known.")
    contrast: float = Field(0.0, ge=0, le=1e4, description="Motion tokens against the words of their AUs.")
    texture: float = Field(0.0, ge=0, le=1e4, description="AUs from the texture tokens by themselves.")
    structure: float = Field(0.0, ge=0, le=1e4, description="Onset shape and turn from the structure tokens.")
    held: float = Field(
        0.0, ge=0, le=1e4, description="AUs held at the onset, from the structure tokens by themselves."
    )
    phase: float = Field(
        0.0, ge=0, le=1e4, description="Whether the movement is a rise, a release or a transition."
    )
    course: float = Field(
        0.0, ge=0, le=1e4, description="The same from the shape's time course over the neutral alone."
    )
    folds: float = Field(0.0, ge=0, le=1e4, description="Skin folds that deepen, from the lines at them.")
    independence: float = Field(
        0.0, ge=0, le=1e4, description="Correlation of structure with motion and texture."
    )
    adversary: float = Field(
        0.0, ge=0, le=1e4, description="Subjects told from texture (and motion), gradient reversed."
    )


@dataclass
class Targets:
    """What is known of B clips: side (B, A, 2), known (B, A) in {0, 1}; coarse, fine (B,) numbers or -1.

    Where known, else None or NaN: clean (B, 2, 14, 14) flow; subject (B,) numbers; shape (B, 478 * 2) onset
    landmarks of about unit spread; turn (B, 2) yaw and pitch of the onset; held (B, A, 2) in {0, 1} whether
    the onset shows each AU already; phase (B,) numbers of ``readout.PHASES``, or -1; folds (B, F) in {0, 1}
    whether the folds of ``facs.regions.FOLDS`` deepen.
    """

    side: Tensor
    known: Tensor
    coarse: Tensor
    fine: Tensor
    clean: Tensor | None = None
    subject: Tensor | None = None
    shape: Tensor | None = None
    turn: Tensor | None = None
    held: Tensor | None = None
    phase: Tensor | None = None
    folds: Tensor | None = None


@dataclass
class TrainBatch:
    """The clips of a step with their targets; ``turns``: questions and answers per clip.

    ``drop``: experts, or beliefs, that are left out of the step; ``swap``: the heads read another clip's
    structure; ``motion``: what a frozen motion expert said of the clips before; ``toward`` (B,): by how much
    each clip's beliefs are moved toward its targets before they are told (``toward_truth``).
    """

    clips: DeftBatch
    targets: Targets
    turns: list[list[Turn]] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    swap: bool = False
    motion: MotionOutput | None = None
    toward: Tensor | None = None

    def to(self, device: Any) -> TrainBatch:
        """The batch on another device."""
        motion = None if self.motion is None else MotionOutput(*(value.to(device) for value in self.motion))
        clips, targets = moved(self.clips, device), moved(self.targets, device)
        toward = None if self.toward is None else self.toward.to(device)
        return replace(self, clips=clips, targets=targets, motion=motion, toward=toward)


def moved(part: Tensors, device: Any) -> Tensors:
    """A dataclass with its tensors on another device."""
    values = {f.name: getattr(part, f.name) for f in fields(part)}  # type: ignore[arg-type]
    found = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
    return replace(part, **found)  # type: ignore[type-var]


class Objective(nn.Module):
    """The parts of the loss on what the experts say, with the readouts that only training needs.

    ``trained``: experts that the part trains; ``subjects``: how many the adversary tells apart.
    """

    words: Tensor

    def __init__(
        self, weights: Weights, model: DeftModel, trained: Sequence[str], subjects: int = 0,
        gamma_negative: float = 2.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weights, self.gamma = weights, gamma_negative
        self.trained = tuple(trained)
        aus, face, width = len(EXPERT_AUS), model.fusion.face_width, model.motion.config.width
        if weights.contrast:
            words = torch.from_numpy(au_text_vectors())
            self.register_buffer("words", words, persistent=False)
            self.of_motion = nn.Linear(width, CONTRAST_WIDTH)
            self.of_words = nn.Linear(words.shape[1], CONTRAST_WIDTH)
        if weights.structure and "structure" in trained:
            self.shape = nn.Linear(len(STRUCTURE_TOKENS) * face, LANDMARKS * 2)
            # the appearance would tell who it is instead of how the face is turned
            self.turn = nn.Linear((len(STRUCTURE_TOKENS) - 1) * face, 2)
        self.adversaries = nn.ModuleDict()
        if weights.adversary and subjects > 1:
            widths = {"texture": face, "motion": width}
            self.adversaries.update({
                name: losses.SubjectAdversary(width, aus, subjects)
                for name, width in widths.items() if name in trained
            })  # fmt: skip

    def forward(
        self, readout: Readout, targets: Targets, text: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(total, parts): the weighted sum and its parts by name,
        those detached. ``text``: the answers' next-token loss."""
        weights, parts = self.weights, {}
        if text is not None:
            parts["text"] = text
        if weights.au:
            known = targets.known[..., None].expand_as(targets.side)
            parts["au"] = losses.asymmetric_loss(readout.au.float(), targets.side, self.gamma, known=known)
        if weights.coarse:
            parts["coarse"] = losses.masked_cross_entropy(readout.coarse.float(), targets.coarse)
        if weights.fine:
            parts["fine"] = losses.masked_cross_entropy(readout.fine.float(), targets.fine)
        if weights.clean and targets.clean is not None:
            rows = targets.clean.isfinite().flatten(1).all(1)
            if bool(rows.any()):
                parts["clean"] = losses.clean_flow_loss(readout.clean[rows].float(), targets.clean[rows])
        if weights.contrast:
            tokens = F.normalize(self.of_motion(readout.motion.float()[:, list(TOKEN_OF_AU)]), dim=-1)
            words = F.normalize(self.of_words(self.words), dim=-1)
            parts["contrast"] = losses.text_contrast(tokens, words, targets.side.amax(-1), targets.known)
        parts |= self._faces(readout, targets) | self._apart(readout, targets)
        parts = {name: value for name, value in parts.items() if getattr(weights, name)}
        zero = readout.au.sum() * 0.0
        total = sum((getattr(weights, name) * value for name, value in parts.items()), zero)
        return total, {name: value.detach() for name, value in parts.items()}

    def _faces(self, readout: Readout, targets: Targets) -> dict[str, Tensor]:
        """What the face experts' tokens must tell by themselves."""
        parts = {}
        texture, rows = _seen("texture", readout)
        if self.weights.texture and "texture" in self.trained and texture is not None:
            side = targets.side[rows]
            known = targets.known[rows][..., None].expand_as(side)
            own = readout.alone[rows, EXPERTS.index("texture")]
            parts["texture"] = losses.asymmetric_loss(own, side, self.gamma, known=known)
        folds, judged = readout.folds, targets.folds
        if self.weights.folds and "texture" in self.trained and folds is not None and judged is not None:
            there = judged[rows].isfinite()
            if bool(there.any()):
                deepen = folds[rows][there].float()
                parts["folds"] = F.binary_cross_entropy_with_logits(deepen, judged[rows][there])
        structure, rows = _seen("structure", readout)
        held = targets.held
        if self.weights.held and "structure" in self.trained and structure is not None and held is not None:
            there = held[rows].isfinite()
            own = readout.alone[rows, EXPERTS.index("structure")]
            wanted = torch.where(there, held[rows], 0.0)
            parts["held"] = losses.asymmetric_loss(own, wanted, self.gamma, known=there.float())
        logits, phase = readout.phase, targets.phase
        if self.weights.phase and structure is not None and logits is not None and phase is not None:
            parts["phase"] = losses.masked_cross_entropy(logits[rows].float(), phase[rows])
        if self.weights.course and readout.course is not None and phase is not None:
            parts["course"] = losses.balanced_cross_entropy(readout.course.float(), phase)
        if hasattr(self, "shape") and structure is not None:
            whole, geometry = structure.flatten(1), structure[:, :-1].flatten(1)
            told = [(self.shape(whole), targets.shape), (self.turn(geometry), targets.turn)]
            parts["structure"] = torch.stack([
                _distance(found, target[rows]) for found, target in told if target is not None
            ]).sum()  # fmt: skip
        return parts

    def _apart(self, readout: Readout, targets: Targets) -> dict[str, Tensor]:
        """Structure must not tell the movement; texture and motion must not tell the subject."""
        parts = {}
        structure, rows = _seen("structure", readout)
        texture, texture_rows = _seen("texture", readout)
        if self.weights.independence and structure is not None and int(rows.sum()) >= FEWEST_ROWS:
            others = [readout.pooled[rows].float()]
            if texture is not None and readout.texture is not None:
                others.append(readout.texture[rows].float().mean(1))
            found = [losses.cross_covariance(structure.flatten(1), other) for other in others]
            parts["independence"] = torch.stack(found).mean()
        if len(self.adversaries) and targets.subject is not None:
            aus, values = targets.side.amax(-1), []
            if "motion" in self.adversaries:
                values.append(self.adversaries["motion"](readout.pooled.float(), aus, targets.subject))
            if "texture" in self.adversaries and texture is not None:
                own = (texture.mean(1), aus[texture_rows], targets.subject[texture_rows])
                values.append(self.adversaries["texture"](*own))
            if values:
                parts["adversary"] = torch.stack(values).mean()
        return parts


def _seen(name: str, readout: Readout) -> tuple[Tensor | None, Tensor]:
    """(tokens of the clips that a face expert saw, None where it saw none; which clips these are)."""
    rows, tokens = readout.saw[:, EXPERTS.index(name)], getattr(readout, name)
    return (tokens[rows].float() if tokens is not None and bool(rows.any()) else None), rows


def _distance(found: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 distance over what is known of the target; 0 where nothing is."""
    known = target.isfinite()
    each = F.smooth_l1_loss(found, torch.where(known, target, 0.0), reduction="none") * known
    return each.sum() / known.sum().clamp_min(1)


def toward_truth(readout: Readout, targets: Targets, shift: Tensor) -> Readout:
    """The readout with logits moved by ``shift`` (B,) toward what is known of each clip: beliefs that a refit
    on a fold has adapted know more than the tokens, and the language model has to meet such."""
    by = lambda values: shift.view(-1, *[1] * (values.ndim - 1))  # noqa: E731
    side = (2 * targets.side - 1) * targets.known[..., None]
    moved = {"au": readout.au + by(side) * side}
    for name in ("coarse", "fine"):
        logits, number = getattr(readout, name), getattr(targets, name)
        known = (number >= 0)[:, None]
        moved[name] = logits + by(logits) * known * F.one_hot(number.clamp_min(0), logits.shape[1])
    return replace(readout, **moved)


class TrainedModel(nn.Module):
    """A DeftModel under the objective; ``forward(batch)`` gives (total loss, its parts).

    ``collator`` makes the rows of tokens of the clips' turns; ``autocast``: bfloat16 in the forward pass.
    """

    def __init__(
        self,
        deft: DeftModel,
        objective: Objective,
        collator: RowCollator | None = None,
        autocast: bool = False,
    ) -> None:
        super().__init__()
        self.deft, self.objective = deft, objective
        self.collator, self.autocast = collator, autocast

    def forward(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Read the clips, answer their questions where the text counts (the language model is not run where
        it does not), and weigh the parts."""
        with torch.autocast(batch.clips.maps.device.type, torch.bfloat16, enabled=self.autocast):
            heads = [name for name in batch.drop if name in FACE_EXPERTS]
            readout = self.deft.read(batch.clips, drop=heads, motion=batch.motion)
            text = None
            if self.objective.weights.text and any(batch.turns):
                text = self._text_loss(readout, batch)
            if batch.swap:
                readout = self._swapped(readout, batch)
        return self.objective(readout, batch.targets, text)  # type: ignore[no-any-return]

    def _text_loss(self, readout: Readout, batch: TrainBatch) -> Tensor:
        """``model.packing.text_loss`` over the answers of all processes."""
        deft = self.deft
        if self.collator is None:
            raise ValueError("turns need a collator")
        told = readout if batch.toward is None else toward_truth(readout, batch.targets, batch.toward)
        prompts = deft.prompts(told, batch.drop)
        rows = self.collator([len(prompt) for prompt in prompts], batch.turns).to(readout.au.device)
        own = rows.weights.sum()
        loss = text_loss(*answer_losses(deft.llm, prompts, rows), rows.weights)
        return loss * own / _per_process(own)

    def _swapped(self, readout: Readout, batch: TrainBatch) -> Readout:
        """The readout with the heads' logits as they are beside another clip's structure."""
        if readout.structure is None or batch.motion is None:
            return readout
        exchanged = replace(readout, structure=readout.structure.roll(1, 0))
        heads = self.deft.read(batch.clips, motion=batch.motion, faces=exchanged)
        return replace(readout, au=heads.au, coarse=heads.coarse, fine=heads.fine)


def _per_process(total: Tensor) -> Tensor:
    """A sum over all processes, over their number: their averaged losses are then one process's loss."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return total
    everywhere = total.clone()
    distributed.all_reduce(everywhere)
    return everywhere / distributed.get_world_size()
