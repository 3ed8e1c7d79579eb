"""Projectors: expert tokens into the language model's embedding space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS


class Projector(nn.Module):
    """Two-layer MLP (B, T, width) to (B, T, llm_width), output scaled like the LM's own word vectors."""

    def __init__(self, width: int, llm_width: int, scale: float = 1.0) -> None:
        super().__init__()
        last = nn.Linear(llm_width, llm_width)
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, llm_width), nn.GELU(), last)
        self.gain = nn.Parameter(torch.tensor(float(scale)))
        with torch.no_grad():
            last.weight.mul_(0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.gain * self.net(tokens)


class MotionProjector(nn.Module):
    """Motion tokens to soft words: a learned projection plus the AUs' own word vectors, by the expert's
    belief.

    Token k adds sum over its AUs and sides of p(AU, side) * word(AU, side); ``words`` starts from the LM's
    embeddings of the AUs' texts (the motion-text alignment carried into the LM) and is trained on.
    """

    home: Tensor

    def __init__(self, width: int, llm_width: int, words: Tensor | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.free = Projector(width, llm_width, scale)
        start = torch.zeros(len(EXPERT_AUS), llm_width) if words is None else words.float()
        self.words = nn.Parameter(torch.stack([start, start], 1))
        home = torch.zeros(len(MOTION_TOKENS), len(EXPERT_AUS))
        for token, group in enumerate(MOTION_TOKENS):
            for number in group:
                home[token, EXPERT_AUS.index(number)] = 1.0
        self.register_buffer("home", home, persistent=False)

    def forward(self, tokens: Tensor, au_logits: Tensor) -> Tensor:
        """tokens (B, 16, width), au_logits (B, A, 2) left and right."""
        belief = torch.sigmoid(au_logits.float()).to(tokens.dtype)
        words = torch.einsum("bas,asd,ka->bkd", belief, self.words, self.home)
        return self.free(tokens) + words
