"""The motion-semantics expert: where and which way skin moved, as 16 tokens that each carry named AUs.

It reads relative maps only (``motion.normalise.relative``), so 28 x 28 min-max stretched files and 224 px
flow
meet it in one form. It never sees a face.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS, TOKEN_OF_AU

GRID = 28
TABLE_FEATURES = 3


class MotionExpertConfig(NamedTuple):
    """Sizes of the expert: ``width`` of tokens, channels of the trunk, attention heads, dropout."""

    width: int = 128
    stem: int = 32
    middle: int = 64
    heads: int = 4
    regions: int = 26
    blocks: int = 2
    dropout: float = 0.1
    fine_classes: int = 10


class MotionOutput(NamedTuple):
    """tokens (B, 16, width); au (B, A, 2) logits left, right; coarse (B, 3) and fine (B, F) logits;
    clean (B, 2, 14, 14) expression-only flow of the first phase, unit root mean square; pooled (B, width)."""

    tokens: Tensor
    au: Tensor
    coarse: Tensor
    fine: Tensor
    clean: Tensor
    pooled: Tensor


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.gelu(self.norm(x)))


class _Trunk(nn.Module):
    """Maps (N, 3, 28, 28) to features (N, width, 7, 7)."""

    def __init__(self, config: MotionExpertConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, config.stem, 5, stride=2, padding=2)
        self.middle = nn.Conv2d(config.stem, config.middle, 3, padding=1)
        self.norm = nn.GroupNorm(8, config.middle)
        self.down = nn.Conv2d(config.middle, config.width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*[_Residual(config.width) for _ in range(config.blocks)])

    def forward(self, maps: Tensor) -> Tensor:
        x = F.gelu(self.stem(maps))
        x = F.gelu(self.norm(self.middle(x)))
        return self.blocks(self.down(x))


class MotionExpert(nn.Module):
    """Relative maps (B, P, 3, 28, 28), P of 1 or 2, with ``phases`` (B, P) true where a phase is known.

    ``table`` (B, P, R, 3) holds the region table in relative form (dx, dy, divergence, see
    ``model.inputs``). Raises: ValueError for maps of another size.
    """

    token_of_au: Tensor

    def __init__(self, config: MotionExpertConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MotionExpertConfig()
        width = config.width
        self.trunk = _Trunk(config)
        self.place = nn.Parameter(torch.randn(49, width) * 0.02)
        self.phase = nn.Parameter(torch.randn(2, width) * 0.02)
        self.table = nn.Linear(TABLE_FEATURES, width)
        self.region = nn.Parameter(torch.randn(config.regions, width) * 0.02)
        self.query = nn.Parameter(torch.randn(len(MOTION_TOKENS), width) * 0.02)
        self.key_norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.token_norm = nn.LayerNorm(width)
        self.token_mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.out_norm = nn.LayerNorm(width)
        self.au_weight = nn.Parameter(torch.randn(len(EXPERT_AUS), 2, width) * width**-0.5)
        self.au_bias = nn.Parameter(torch.full((len(EXPERT_AUS), 2), -2.0))
        self.register_buffer("token_of_au", torch.tensor(TOKEN_OF_AU), persistent=False)
        self.pool = nn.Sequential(
            nn.Flatten(1), nn.Dropout(config.dropout), nn.Linear(len(MOTION_TOKENS) * width, width), nn.GELU()
        )
        self.drop = nn.Dropout(config.dropout)
        self.coarse = nn.Linear(width, 3)
        self.fine = nn.Linear(width, config.fine_classes)
        self.clean = nn.Conv2d(width, 8, 1)

    def forward(
        self, maps: Tensor, phases: Tensor | None = None, table: Tensor | None = None
    ) -> MotionOutput:
        batch, count, channels, height, width = maps.shape
        if (channels, height, width) != (3, GRID, GRID) or count not in (1, 2):
            raise ValueError(f"maps {tuple(maps.shape)}: the expert reads (B, 1 or 2, 3, {GRID}, {GRID})")
        if phases is None:
            phases = torch.ones(batch, count, dtype=torch.bool, device=maps.device)
        features = self.trunk(maps.flatten(0, 1)).unflatten(0, (batch, count))
        tokens = self._tokens(features, phases, table)
        pooled = self.pool(tokens)
        rows = tokens[:, self.token_of_au]
        au = torch.einsum("bad,asd->bas", rows, self.au_weight) + self.au_bias
        clean = F.pixel_shuffle(self.clean(features[:, 0]), 2)
        head = self.drop(pooled)
        return MotionOutput(tokens, au, self.coarse(head), self.fine(head), clean, pooled)

    def _tokens(self, features: Tensor, phases: Tensor, table: Tensor | None) -> Tensor:
        batch, count = phases.shape
        grid = features.flatten(3).transpose(2, 3) + self.place + self.phase[:count, None]
        keys = grid.flatten(1, 2)
        absent = (~phases).repeat_interleave(grid.shape[2], dim=1)
        if table is not None:
            rows = self.table(table) + self.region + self.phase[:count, None]
            keys = torch.cat([keys, rows.flatten(1, 2)], 1)
            absent = torch.cat([absent, (~phases).repeat_interleave(rows.shape[2], dim=1)], 1)
        keys = self.key_norm(keys)
        query = self.query.expand(batch, -1, -1)
        mask = absent if bool(absent.any()) else None
        found, _ = self.attend(query, keys, keys, key_padding_mask=mask, need_weights=False)
        tokens = query + found
        return self.out_norm(tokens + self.token_mlp(self.token_norm(tokens)))
