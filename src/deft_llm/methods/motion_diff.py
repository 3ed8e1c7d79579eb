"""Tokens of face patches weighted by how much they move (the token weighting of
"From Coarse to Nuanced", 2025).

A patch token is its flow and strain, and where faces are stored its grey-level difference onset->apex; the
token's weight is a softmax of its motion energy with a learned temperature, before a small transformer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.methods.features import maps_of, resized
from deft_llm.methods.network import NetworkMethod, NetworkOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Sample, Task

if TYPE_CHECKING:
    from torch import nn

PATCH = 4
WIDTH = 48


class MotionDifferenceOptions(NetworkOptions):
    """Training of the token network; without mirroring, shifts and noise it learns a few hundred clips by
    heart (validation .48 where training reached .97)."""

    epochs: int = 60
    batch: int = 32
    noise: float = 0.5
    mirror: bool = True
    shift: int = 1
    limit: float = 4.0


def difference_maps(sample: Sample) -> np.ndarray:
    """Maps (4, 28, 28): u, v, strain (relative) and the grey-level difference (zeros without faces)."""
    motion = sample.motion
    maps, faces = maps_of(motion), motion.faces
    difference = np.zeros((1, *maps.shape[1:]), np.float32)
    if faces is not None:
        grey = resized(faces[:2].astype(np.float32).mean(-1), maps.shape[-1])
        change = grey[1] - grey[0]
        difference[0] = (change - np.median(change)) / max(float(change.std()), 1e-6)
    return np.concatenate([maps, difference])


def make_network(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Patch tokens, motion weights, two transformer layers, one linear layer."""
    import torch
    from torch import nn

    count = (shape[1] // PATCH) * (shape[2] // PATCH)

    class WeightedTokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(shape[0], WIDTH, PATCH, stride=PATCH)
            self.places = nn.Parameter(0.02 * torch.randn(1, count, WIDTH))
            self.temperature = nn.Parameter(torch.zeros(()))
            layer = nn.TransformerEncoderLayer(WIDTH, 4, 96, dropout=0.2, batch_first=True, norm_first=True)
            self.encode = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.decide = nn.Sequential(nn.LayerNorm(WIDTH), nn.Dropout(0.3), nn.Linear(WIDTH, outputs))

        def forward(self, maps: Any) -> Any:
            energy = (
                nn.functional.avg_pool2d((maps[:, :2] ** 2).sum(1, keepdim=True), PATCH).flatten(1).sqrt()
            )
            weight = torch.softmax(energy * self.temperature.exp(), dim=1).unsqueeze(-1)
            tokens = self.embed(maps).flatten(2).transpose(1, 2) + self.places
            encoded = self.encode(tokens * (1 + count * weight) / 2)
            return self.decide((encoded * weight).sum(1) + encoded.mean(1))

    return WeightedTokens()


def build(task: Task, **options: Any) -> NetworkMethod:
    """Build the baseline."""
    read = read_options(MotionDifferenceOptions, "motion_diff", options)
    signs = (-1.0, 1.0, 1.0, 1.0)  # u turns round in a mirror; v, strain and the grey difference stay
    return NetworkMethod("motion_diff", frozenset({"flow"}), task, difference_maps, make_network, read, signs)
