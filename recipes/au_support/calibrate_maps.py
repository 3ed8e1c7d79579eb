"""Fits the filter bank for flow maps (``aus.dense``) on synthetic maps of calibration subjects.

Needs only numpy at run time; fitting uses torch. Called by ``python -m recipes.au_support.calibrate``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from deft_llm.aus.dense import MAP_SIZE, Layer, MapFilters, prepared
from deft_llm.training.augment import AugmentSettings, augment

CHANNELS = (3, 24, 48, 96)
KERNELS = (5, 3, 3)
HIDDEN = 96
HARD = AugmentSettings(noise=1.0, rigid=0.6)
"""What estimators, crops and heads add to the maps that the filters learn from and that thresholds are set
on: published maps are noisier than any that were made here (docs/explanation/flow-synthesis.md)."""
SIDE_LEAST = 0.1  # px of 280 from which a side counts as moving
TAKES = 4  # maps that share a crop and an estimator: few, for variety


@dataclass
class MapScenes:
    """Synthetic maps (n, 3, S, S) relative, and truth (n, 3, A): AU coded; its left, its right side moves."""

    maps: np.ndarray
    truth: np.ndarray
    numbers: tuple[int, ...]
    strength: np.ndarray
    calm: np.ndarray


def draw_maps(split: str, count: int, seed: int, *, identities: int = 96, skip: int = 0) -> MapScenes:
    """``count`` stretched maps of ``split`` subjects from SYNTH's flow level, identities from ``skip`` on."""
    from deft_llm.motion.normalise import relative
    from deft_llm.synth.core.identity import SEED_RANGES
    from deft_llm.synth.core.unit_map import SYNTH_AUS
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.synth.flow.sampler import FlowSynth

    seeds = SEED_RANGES[split]  # type: ignore[index]
    half = len(seeds) // 2
    part = seeds[:half] if skip == 0 else seeds[half:]
    settings = {
        "phases": 1,
        "identities": identities,
        "neutral_chance": 0.05,
        "size": MAP_SIZE,
        "takes": TAKES,
    }
    source = FlowSynth(part, FlowConfig.model_validate(settings))
    maps, truth, strengths, calm = [], [], [], []
    for start in range(0, count, 400):
        batch = source.batch(min(400, count - start), seed, start=start)
        maps.append(prepared(relative(batch["maps"][:, 0].astype(np.float32))))
        sides = (batch["strength"] > SIDE_LEAST) & (batch["aus"][..., None] > 0)
        truth.append(np.stack([batch["aus"] > 0, sides[..., 0], sides[..., 1]], 1))
        strengths.append(batch["strength"].max(-1))
        calm.append(batch["fine"] < 0)
    return MapScenes(
        np.concatenate(maps),
        np.concatenate(truth),
        tuple(int(au) for au in SYNTH_AUS),
        np.concatenate(strengths),
        np.concatenate(calm),
    )


def fit_filters(scenes: MapScenes, *, epochs: int = 8, seed: int = 0) -> MapFilters:
    """Train the filter bank by logistic loss; batch normalisation is folded into the convolutions."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    parts: list[nn.Module] = []
    for index, kernel in enumerate(KERNELS):
        parts += [
            nn.Conv2d(CHANNELS[index], CHANNELS[index + 1], kernel, 2, kernel // 2),
            nn.BatchNorm2d(CHANNELS[index + 1]),
            nn.ReLU(),
        ]
    side = -(-MAP_SIZE // 8)
    outputs = 3 * len(scenes.numbers)
    flat = CHANNELS[-1] * side * side
    parts += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(flat, HIDDEN), nn.ReLU(), nn.Dropout(0.2)]
    network = nn.Sequential(*parts, nn.Linear(HIDDEN, outputs))
    steps = epochs * (len(scenes.maps) // 128)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps + 1)
    for _ in range(epochs):
        order = rng.permutation(len(scenes.maps))
        for start in range(0, len(order) - 127, 128):
            rows = order[start : start + 128]
            maps, truth = hardened(scenes.maps[rows], scenes.truth[rows], int(rng.integers(2**31)))
            wanted = torch.from_numpy(truth.reshape(len(rows), -1).astype(np.float32))
            loss = nn.functional.binary_cross_entropy_with_logits(network(torch.from_numpy(maps)), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    rate = np.clip(scenes.truth.mean(0), 1e-3, 1 - 1e-3)
    return MapFilters(
        numbers=list(scenes.numbers),
        layers=_folded(network.eval()),
        offsets=np.round(logit(rate), 4).tolist(),
    )


def hardened(maps: np.ndarray, truth: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (N, 3, S, S) with what ``HARD`` adds, and their truth (N, 3, A): a mirror swaps sides."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    sides = torch.from_numpy(np.moveaxis(truth[:, 1:], 1, 2).astype(np.float32))
    clean = torch.zeros(len(maps), 2, 2, 2)
    taken, _, sides = augment(torch.from_numpy(maps)[:, None], clean, sides, HARD, generator)
    found = np.concatenate([truth[:, :1], np.moveaxis(sides.numpy(), 2, 1) > 0], 1)
    return prepared(taken[:, 0].numpy()), found


def _folded(network) -> list[Layer]:  # type: ignore[no-untyped-def]
    """Convolutions with their batch normalisation folded in, then the linear layers."""
    from torch import nn

    layers: list[Layer] = []
    modules = list(network)
    for index, module in enumerate(modules):
        if isinstance(module, nn.Conv2d):
            norm = modules[index + 1]
            factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
            weights = module.weight.detach().numpy() * factor[:, None, None, None]
            bias = (module.bias - norm.running_mean).detach().numpy() * factor + norm.bias.detach().numpy()
            layers.append(Layer.of(weights, bias, stride=2))
        elif isinstance(module, nn.Linear):
            layers.append(Layer.of(module.weight.detach().numpy(), module.bias.detach().numpy()))
    return layers
