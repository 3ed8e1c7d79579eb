"""Heads over all experts: the motion expert speaks, structure and texture correct it where they are there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deft_llm.model.experts import MotionOutput
from deft_llm.model.face_experts import STRUCTURE_TOKENS, TEXTURE_TOKENS, ExpertOutput
from deft_llm.model.units import EXPERT_AUS


class Fusion(nn.Module):
    """AU (B, A, 2), coarse (B, 3) and fine (B, F) logits: the motion expert's plus learned corrections.

    Corrections start at zero, so a model without face experts, or a clip without faces, keeps the motion
    expert's own logits.
    """

    def __init__(self, motion_width: int, face_width: int, fine_classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.sizes = (len(EXPERT_AUS) * 2, 3, fine_classes)
        tokens = len(STRUCTURE_TOKENS) + len(TEXTURE_TOKENS)
        self.counts = (len(STRUCTURE_TOKENS), len(TEXTURE_TOKENS))
        self.face_width = face_width
        self.squeeze = nn.Linear(face_width, 16)
        self.mix = nn.Sequential(nn.Linear(tokens * 16 + sum(self.sizes), hidden), nn.GELU(), nn.Dropout(0.1))
        self.out = nn.Linear(hidden, sum(self.sizes))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, motion: MotionOutput, structure: ExpertOutput | None, texture: ExpertOutput | None,
        has_faces: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Fused logits; rows where ``has_faces`` is False keep the motion expert's."""
        if structure is None and texture is None:
            return motion.au, motion.coarse, motion.fine
        count = len(motion.au)
        blocks = []
        for output, tokens in zip((structure, texture), self.counts):
            given = motion.au.new_zeros(count, tokens, self.face_width) if output is None else output.tokens
            blocks.append(self.squeeze(given).flatten(1))
        own = torch.cat([motion.au.flatten(1), motion.coarse, motion.fine], 1)
        judged = [motion.au.flatten(1), motion.coarse.log_softmax(-1), motion.fine.log_softmax(-1)]
        change = self.out(self.mix(torch.cat([*blocks, *judged], 1)))
        if has_faces is not None:
            change = change * has_faces[:, None].to(change.dtype)
        au, coarse, fine = (own + change).split(self.sizes, 1)
        return au.view_as(motion.au), coarse, fine
