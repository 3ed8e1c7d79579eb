"""The three experts: structure (onset geometry and appearance, never a second frame), dynamic texture (how
the skin's appearance changes, never how it is) and motion-semantics (where and which way skin moved).

The motion expert emits 16 tokens that each carry named AUs. It reads relative maps only
(``motion.normalise.relative``), so min-max stretched 28 x 28 files and 224 px flow meet it in one form; it
never sees a face.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS, TOKEN_OF_AU

GRID = 28
TABLE_FEATURES = 3
APPEARANCE = 64
CHANGE = 56
CHANGE_CHANNELS = 4
LINE_FEATURES = 6
COURSE_FEATURES = 13
POINT = 32
TURN = 3
STRUCTURE_TOKENS = ("brows and eyes", "nose and cheeks", "mouth and chin", "onset appearance")
TEXTURE_TOKENS = (
    "forehead", "glabella", "right brow", "left brow", "right eye", "left eye", "nose",
    "right cheek and fold", "left cheek and fold", "upper lip", "mouth corners", "lower lip and chin",
)  # fmt: skip


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
    """Features (N, channels, h, w) plus a normalised convolution of them, of the same shape."""

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
        au = self.au_logits(tokens)
        clean = F.pixel_shuffle(self.clean(features[:, 0]), 2)
        head = self.drop(pooled)
        return MotionOutput(tokens, au, self.coarse(head), self.fine(head), clean, pooled)

    def au_logits(self, tokens: Tensor) -> Tensor:
        """(B, A, 2) logits left and right that tokens (B, 16, width) tell."""
        rows = tokens[:, self.token_of_au]
        return torch.einsum("bad,asd->bas", rows, self.au_weight) + self.au_bias

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


class FaceExpertConfig(NamedTuple):
    """Token width, first channels and landmark count of both face experts. The structure expert is given
    ``space`` main components of the shape in space beside the head's turn, and ``neutral`` channels of the
    shape over the person's neutral; the head that tells rise from release has ``phase`` hidden numbers, and
    ``course`` for the time course of the shape over the neutral; the texture expert is given the lines at
    ``folds`` families of skin folds (``facs.regions``) and tells whether they deepen (0, as in checkpoints
    without the fields: none)."""

    width: int = 96
    channels: int = 16
    landmarks: int = 478
    space: int = 0
    neutral: int = 0
    phase: int = 0
    folds: int = 0
    course: int = 0


class ExpertOutput(NamedTuple):
    """tokens (B, T, width) and pooled (B, width); folds (B, F) logits that skin folds deepen, None where the
    expert was not made for them."""

    tokens: Tensor
    pooled: Tensor
    folds: Tensor | None = None


def _strided(*steps: int) -> list[nn.Module]:
    """One strided convolution from each number of channels to the next: each halves the sides."""
    layers: list[nn.Module] = []
    for before, after in zip(steps, steps[1:]):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.GELU()]
    return layers


class StructureExpert(nn.Module):
    """Onset landmarks (B, 478, 2), centred on the eyes in inter-ocular distances, the onset's grey face
    (B, 1, 64, 64) and, where made for them, ``inputs.space_input`` (B, 1437) and the onset's shape over the
    person's neutral (B, C) to 4 tokens: three parts of the geometry and the appearance. Static by
    construction. NaN or None: not known."""

    mean_shape: Tensor
    axes: Tensor

    def __init__(self, config: FaceExpertConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FaceExpertConfig()
        self.register_buffer("part", _landmark_parts(config.landmarks), persistent=False)
        self.point = nn.Linear(2, POINT)
        self.where = nn.Parameter(torch.randn(config.landmarks, POINT) * 0.02)
        self.mix = nn.Linear(POINT, config.width)
        self.linear = nn.Linear(config.landmarks * 2, 3 * config.width)
        if config.space:
            self.register_buffer("mean_shape", torch.zeros(3 * config.landmarks))
            self.register_buffer("axes", torch.zeros(config.space, 3 * config.landmarks))
            self.space = nn.Linear(config.space + TURN, 3 * config.width)
        if config.neutral:
            last = nn.Linear(3 * config.width, 3 * config.width)
            nn.init.zeros_(last.weight)  # at first as if no neutral were known
            nn.init.zeros_(last.bias)
            self.over = nn.Sequential(nn.Linear(config.neutral, 3 * config.width), nn.GELU(), last)
        channels = config.channels
        self.trunk = nn.Sequential(*_strided(1, channels, 2 * channels, 3 * channels, config.width))
        self.norm = nn.LayerNorm(config.width)
        self.held = nn.Linear(len(STRUCTURE_TOKENS) * config.width, len(EXPERT_AUS) * 2)

    def au_logits(self, tokens: Tensor) -> Tensor:
        """(B, A, 2) logits left and right that an AU is held at the onset, as tokens (B, 4, width) tell."""
        return self.held(tokens.flatten(1)).unflatten(1, (-1, 2))  # type: ignore[no-any-return]

    def forward(
        self, landmarks: Tensor, appearance: Tensor, space: Tensor | None = None, over: Tensor | None = None
    ) -> ExpertOutput:
        points = F.gelu(self.point(landmarks) + self.where)
        geometry = self.mix(torch.einsum("kl,blw->bkw", self.part, points))
        geometry = geometry + self.linear(landmarks.flatten(1)).unflatten(1, (3, -1))
        if self.config.space and space is not None:
            geometry = geometry + self._of_space(space)
        if self.config.neutral and over is not None:
            known = over.isfinite().all(1)[:, None]
            told = self.over(torch.where(known, over, 0.0)) * known
            geometry = geometry + told.unflatten(1, (3, -1))
        look = self.trunk(appearance).mean((2, 3))
        tokens = self.norm(torch.cat([geometry, look[:, None]], 1))
        return ExpertOutput(tokens, tokens.mean(1))

    def _of_space(self, space: Tensor) -> Tensor:
        """(B, 3, width) of shape and turn in space; zero where they are not known."""
        known = space.isfinite().all(1)[:, None]
        shape, turn = torch.where(known, space, 0.0).split([len(self.mean_shape), TURN], 1)
        main = (shape - self.mean_shape) @ self.axes.t()
        return (self.space(torch.cat([main, turn], 1)) * known).unflatten(1, (3, -1))

    def choose_axes(self, space: Tensor) -> None:
        """Take mean and main components (scaled to unit spread) of the shapes in ``space`` (N, 1437): those
        of small spread matter for how the head is turned, and would be lost beside the large ones."""
        shapes = space[space.isfinite().all(1)][:, : len(self.mean_shape)]
        if len(shapes) < 2:
            return
        mean = shapes.mean(0)
        _, spread, axes = torch.linalg.svd(shapes - mean, full_matrices=False)
        count = min(self.config.space, len(shapes) - 1)
        scale = (len(shapes) - 1) ** 0.5 / spread[:count, None].clamp_min(1e-6)
        self.mean_shape.copy_(mean)
        self.axes[:count].copy_(axes[:count] * scale)


def _landmark_parts(count: int) -> Tensor:
    """(3, L) averaging weights: upper, middle and lower third of the mean face."""
    if count == 478:
        height = torch.from_numpy(CANONICAL_LANDMARKS[:, 1].copy()).float()
    else:
        height = torch.linspace(0, 224, count)
    edges = torch.quantile(height, torch.tensor([0.36, 0.62]))
    rank = (height > edges[0]).long() + (height > edges[1]).long()
    return F.one_hot(rank, 3).t().float() / F.one_hot(rank, 3).sum(0).clamp_min(1)[:, None]


class TextureExpert(nn.Module):
    """Change images (B, 4, 56, 56), two phase-aware dynamic images and two motion-compensated differences,
    each of unit spread, to 12 region tokens and, where made for them, ``inputs.fold_lines`` (B, F, 6) to
    logits that skin folds deepen. It never sees an image of the face itself. None: not known."""

    def __init__(self, config: FaceExpertConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FaceExpertConfig()
        layers = _strided(CHANGE_CHANNELS, config.channels, 2 * config.channels, config.width)
        self.trunk = nn.Sequential(*layers, nn.Conv2d(config.width, config.width, 3, padding=1))
        side = CHANGE // 8
        self.place = nn.Parameter(torch.randn(side * side, config.width) * 0.02)
        self.query = nn.Parameter(torch.randn(len(TEXTURE_TOKENS), config.width) * 0.02)
        self.attend = nn.MultiheadAttention(config.width, 4, batch_first=True)
        self.norm = nn.LayerNorm(config.width)
        self.au = nn.Linear(len(TEXTURE_TOKENS) * config.width, len(EXPERT_AUS) * 2)
        if config.folds:
            self.lines = nn.Linear(LINE_FEATURES, config.width)
            self.fold_place = nn.Parameter(torch.randn(config.folds, config.width) * 0.02)
            self.fold = nn.Linear(config.width, 1)

    def au_logits(self, tokens: Tensor) -> Tensor:
        """(B, A, 2) logits left and right of the movement's AUs, as tokens (B, 12, width) tell."""
        return self.au(tokens.flatten(1)).unflatten(1, (-1, 2))  # type: ignore[no-any-return]

    def forward(self, change: Tensor, lines: Tensor | None = None) -> ExpertOutput:
        grid = self.trunk(change).flatten(2).transpose(1, 2) + self.place
        folds = None
        if self.config.folds:
            if lines is None:
                lines = change.new_zeros(len(change), self.config.folds, LINE_FEATURES)
            rows = F.gelu(self.lines(lines) + self.fold_place)
            folds = self.fold(rows)[..., 0]
        query = self.query.expand(len(change), -1, -1)
        found, _ = self.attend(query, grid, grid, need_weights=False)
        tokens = self.norm(query + found)
        return ExpertOutput(tokens, tokens.mean(1), folds)
