"""Two phase-aware dynamic images, one CNN each, joined by cross-attention (the idea of DIANet).

Dynamic images (rank pooling, Bilen et al. 2016) of onset->apex and apex->offset; a clip without the second
phase gives an empty second image, which the network sees as such.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.methods.features import resized
from deft_llm.methods.network import NetworkMethod, NetworkOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Sample, Task

if TYPE_CHECKING:
    from torch import nn


class DynamicImageOptions(NetworkOptions):
    """``size`` of the dynamic images; mirrored and moved in training, as they are few."""

    epochs: int = 60
    batch: int = 32
    noise: float = 0.3
    mirror: bool = True
    shift: int = 3
    limit: float = 4.0
    size: int = 56


def phase_images(sample: Sample, size: int) -> np.ndarray:
    """Two dynamic images (2, size, size), each with zero mean and unit deviation; zeros where absent."""
    images = sample.motion.dynamic
    assert images is not None
    pair = np.zeros((2, size, size), np.float32)
    for phase, image in enumerate(resized(images[:2], size)):
        pair[phase] = (image - image.mean()) / max(float(image.std()), 1e-6)
    return pair


def make_network(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Two CNNs of four layers, 32 channels of places, cross-attention both ways, one linear layer."""
    import torch
    from torch import nn

    def tower() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in ((1, 8), (8, 16), (16, 32)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(5), nn.Flatten(2))

    class TwoPhases(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers = nn.ModuleList(tower() for _ in range(2))
            self.places = nn.Parameter(0.02 * torch.randn(1, 25, 32))
            self.attend = nn.ModuleList(nn.MultiheadAttention(32, 4, batch_first=True) for _ in range(2))
            self.decide = nn.Sequential(nn.LayerNorm(128), nn.Dropout(0.3), nn.Linear(128, outputs))

        def forward(self, images: Any) -> Any:
            tokens = [
                t(images[:, i : i + 1]).transpose(1, 2) + self.places for i, t in enumerate(self.towers)
            ]
            joined = []
            for i, attend in enumerate(self.attend):
                other = tokens[1 - i]
                crossed, _ = attend(tokens[i], other, other, need_weights=False)
                joined += [tokens[i].mean(1), (tokens[i] + crossed).amax(1)]
            return self.decide(torch.cat(joined, dim=1))

    return TwoPhases()


def build(task: Task, **options: Any) -> NetworkMethod:
    """Build the baseline; it needs dynamic images, so flow maps alone do not do."""
    read = read_options(DynamicImageOptions, "dynamic_image", options)
    extract = partial(phase_images, size=read.size)
    return NetworkMethod("dynamic_image", frozenset({"dynamic"}), task, extract, make_network, read)
