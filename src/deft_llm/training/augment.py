"""Augmentation of relative motion maps that respects physics: what an estimator, a crop or a mirror can do.

All functions take maps (B, P, 3, S, S) of (u, v, strain) and the expression-only flow (B, 2, s, s).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from deft_llm.model.inputs import MIRROR_SIGN, relative_maps


class AugmentSettings(BaseModel):
    """Strengths; 0 switches a part off."""

    model_config = ConfigDict(extra="forbid")
    mirror: float = Field(0.5, ge=0, le=1, description="Share of clips in a mirror.")
    shift: float = Field(0.10, ge=0, le=1, description="Largest shift, of the map's width.")
    scale: float = Field(0.15, ge=0, lt=1, description="Largest change of width and of height.")
    rotate: float = Field(0.08, ge=0, le=3.2, description="Largest rotation, rad.")
    noise: float = Field(0.5, ge=0, le=10, description="Largest smooth false motion, standard deviations.")
    rigid: float = Field(
        0.4, ge=0, le=10, description="Largest remainder of head motion, standard deviations."
    )
    blob: float = Field(0.3, ge=0, le=1, description="Share of clips with one local false motion.")
    blur: float = Field(0.3, ge=0, le=1, description="Share of steps with blurred maps.")
    drop_strain: float = Field(0.1, ge=0, le=1, description="Share of clips without strain.")
    drop_patch: float = Field(0.15, ge=0, le=1, description="Share of clips with an empty rectangle.")


def mirror(maps: Tensor, clean: Tensor, au: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (N, P, 3, S, S), clean flow (N, 2, S, S) and AUs (N, A, 2) of the mirror image: u changes sign,
    left and right AUs change places."""
    sign = maps.new_tensor(MIRROR_SIGN)[:, None, None]
    return maps.flip(-1) * sign, clean.flip(-1) * sign[:2], au.flip(-1)


def smooth_field(
    count: int, channels: int, size: int, generator: torch.Generator, low: int = 3, high: int = 10
) -> Tensor:
    """Random smooth fields (count, channels, size, size) of unit standard deviation."""
    cells = int(torch.randint(low, high, (1,), generator=generator))
    coarse = torch.randn(count, channels, cells, cells, generator=generator)
    field = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    return field / field.std((2, 3), keepdim=True).clamp_min(1e-3)


def relative(maps: Tensor) -> Tensor:
    """``model.inputs.relative_maps`` of a tensor (..., 3, S, S)."""
    return torch.from_numpy(relative_maps(maps.numpy()))


def augment(
    maps: Tensor, clean: Tensor, au: Tensor, settings: AugmentSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Augmented (maps, clean, au); maps are relative before and after."""
    batch, phases, _, size, _ = maps.shape
    if settings.mirror:
        flip = torch.rand(batch, generator=generator) < settings.mirror
        m, c, a = mirror(maps, clean, au)
        maps = torch.where(flip[:, None, None, None, None], m, maps)
        clean = torch.where(flip[:, None, None, None], c, clean)
        au = torch.where(flip[:, None, None], a, au)
    maps, clean = _warp(maps, clean, settings, generator)
    flow, strain = maps[:, :, :2].clone(), maps[:, :, 2:].clone()
    rand = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    for phase in range(phases):
        amount = settings.noise * rand(batch, 1, 1, 1).square()
        flow[:, phase] += amount * smooth_field(batch, 2, size, generator)
        strain[:, phase] += amount * smooth_field(batch, 1, size, generator, 6, 16)
        flow[:, phase] += _rigid(batch, size, settings.rigid, generator)
        flow[:, phase] += _blob(batch, size, settings.blob, generator)
    if settings.blur and rand(1).item() < settings.blur:
        kernel = torch.tensor([0.25, 0.5, 0.25])
        kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
        maps = F.conv2d(torch.cat([flow, strain], 2).flatten(0, 1), kernel, padding=1, groups=3).view_as(maps)
    else:
        maps = torch.cat([flow, strain], 2)
    maps = relative(maps)
    keep = (rand(batch, 1, 1, 1) >= settings.drop_strain).float()
    maps = torch.cat([maps[:, :, :2], maps[:, :, 2:] * keep[:, None]], 2)
    return _drop_patch(maps, settings.drop_patch, generator), clean, au


def _warp(maps: Tensor, clean: Tensor, settings: AugmentSettings, generator: torch.Generator):
    batch = len(maps)
    unit = lambda: torch.rand(batch, generator=generator) * 2 - 1  # noqa: E731
    angle = unit() * settings.rotate
    scale_x, scale_y = 1 + unit() * settings.scale, 1 + unit() * settings.scale
    theta = torch.stack([
        torch.stack([scale_x * angle.cos(), -scale_y * angle.sin(), unit() * 2 * settings.shift], 1),
        torch.stack([scale_x * angle.sin(), scale_y * angle.cos(), unit() * 2 * settings.shift], 1),
    ], 1)  # fmt: skip
    moved = []
    for field in (maps.flatten(1, 2), clean):
        grid = F.affine_grid(theta, [batch, 1, *field.shape[2:]], align_corners=False)
        moved.append(F.grid_sample(field, grid, padding_mode="border", align_corners=False))
    return moved[0].view_as(maps), moved[1]


def _rigid(batch: int, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """A linear flow field: what is left of head motion."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    basis = torch.stack([x, y])
    amount = strength * torch.rand(batch, 1, 1, generator=generator)
    weights = torch.randn(batch, 2, 2, generator=generator) * amount
    return torch.einsum("bck,khw->bchw", weights, basis)


def _blob(batch: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """One local false motion (a blink, hair, an edge of the background) in a share of the clips."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    centre = torch.rand(batch, 2, 1, 1, generator=generator) * 2.2 - 1.1
    radius = 0.1 + 0.25 * torch.rand(batch, 1, 1, generator=generator)
    bump = torch.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / (2 * radius**2))
    vector = torch.randn(batch, 2, 1, 1, generator=generator) * 1.2
    there = (torch.rand(batch, 1, 1, 1, generator=generator) < share).float()
    return there * vector * bump[:, None]


def _drop_patch(maps: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A rectangle without information in a share of the clips (hair, glasses, a hand)."""
    if not share:
        return maps
    batch, _, _, size, _ = maps.shape
    there = torch.rand(batch, generator=generator) < share
    extent = torch.randint(size // 7, size // 3, (batch, 2), generator=generator)
    corner = (torch.rand(batch, 2, generator=generator) * (size - extent)).long()
    line = torch.arange(size)
    rows = (line >= corner[:, :1]) & (line < corner[:, :1] + extent[:, :1])
    columns = (line >= corner[:, 1:]) & (line < corner[:, 1:] + extent[:, 1:])
    hole = rows[:, :, None] & columns[:, None, :] & there[:, None, None]
    return maps.masked_fill(hole[:, None, None], 0.0)
