"""What the experts say of clips, the one thing that heads, language model, refit and attribution take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import torch
from torch import Tensor

from deft_llm.records import ClipPhase

PHASES: tuple[ClipPhase, ...] = get_args(ClipPhase)
"""Order of the phases' logits."""


@dataclass
class Readout:
    """What the experts say of N clips, in the order of the inputs.

    motion (N, 16, W), structure (N, 4, V), texture (N, 12, V): tokens, None without that expert, zeros in the
    rows that it did not see; au (N, A, 2) logits left and right (order of ``units.EXPERT_AUS``), coarse (N,
    3) and fine (N, F) logits of all experts together; clean (N, 2, 14, 14) expression-only flow of the first
    phase; pooled (N, W) of the motion expert; saw (N, 3) bool: which experts saw the clip (order of
    ``language.EXPERTS``); alone (N, 3, A, 2) AU logits that the tokens of each expert by itself tell: held at
    the onset (structure), of the movement (texture, motion); 0 where it saw nothing; phase (N, 3) logits of
    ``PHASES``, 0 where the structure expert saw nothing, None without that head; course (N, 3) the part of
    these that the time course of the shape over the neutral tells, 0 where it is not known, None where it is
    not read; folds (N, F) logits that the skin folds of ``facs.regions.FOLDS`` deepen, 0 where the texture
    expert saw nothing, None where it tells none; regions (N, 2, R, 3) dx, dy and z of the face's regions in
    both phases, NaN where they were not measured; support (N, A, 2) logits left and right by which the flow
    alone supports each AU (``inputs.support_input``), NaN where it was not measured, None where nothing was.
    """

    motion: Tensor
    au: Tensor
    coarse: Tensor
    fine: Tensor
    clean: Tensor
    pooled: Tensor
    saw: Tensor
    alone: Tensor
    structure: Tensor | None = None
    texture: Tensor | None = None
    phase: Tensor | None = None
    course: Tensor | None = None
    folds: Tensor | None = None
    regions: Tensor | None = None
    support: Tensor | None = None

    def __len__(self) -> int:
        return len(self.au)

    def take(self, rows: Any) -> Readout:
        """The clips ``rows`` (an index of tensors)."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {name: None if v is None else v[rows] for name, v in values.items()}
        return Readout(**taken)

    def detached(self) -> Readout:
        """The same on the CPU, without gradients, in single precision."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = lambda v: v.detach().cpu() if v.dtype == torch.bool else v.detach().float().cpu()  # noqa: E731
        found: dict[str, Any] = {name: None if v is None else plain(v) for name, v in values.items()}
        return Readout(**found)

    @classmethod
    def joined(cls, parts: Sequence[Readout]) -> Readout:
        """The clips of several readouts of one model, one behind the other."""
        values = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        whole: dict[str, Any] = {n: None if v[0] is None else torch.cat(v) for n, v in values.items()}
        return cls(**whole)
