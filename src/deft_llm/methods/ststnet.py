"""STSTNet (Liong et al., FG 2019): three shallow streams on 28x28 (u, v, strain), their features joined.

Kernels 3x3 with 3, 5 and 8 filters, each stream max-pooled by 3, joined to 16 maps, mean-pooled by 2, one
linear layer. Batch normalisation and dropout as in the authors' PyTorch release; here the epoch is chosen on
validation subjects and maps are relative (no min-max).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deft_llm.methods.features import flow_maps
from deft_llm.methods.network import NetworkMethod, NetworkOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Task

if TYPE_CHECKING:
    from torch import nn

FILTERS = (3, 5, 8)


def make_network(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The three streams for inputs (3, 28, 28)."""
    from torch import nn

    # A stream is a convolution of its own filters, and all layers up to the join act per filter: the three
    # streams side by side are one convolution of 3 + 5 + 8 filters, which trains three times as fast.
    side = ((shape[1] + 2 - 3) // 3 + 1) // 2
    width = sum(FILTERS)
    return nn.Sequential(
        nn.Conv2d(shape[0], width, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(width),
        nn.MaxPool2d(3, stride=3, padding=1),
        nn.Dropout(0.5),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(width * side * side, outputs),
    )


def build(task: Task, **options: Any) -> NetworkMethod:
    """Build the baseline; 100 epochs by default."""
    read = read_options(NetworkOptions, "ststnet", options)
    signs = (-1.0, 1.0, 1.0)  # u turns round in a mirror; v and strain stay
    return NetworkMethod("ststnet", frozenset({"flow"}), task, flow_maps, make_network, read, signs)
