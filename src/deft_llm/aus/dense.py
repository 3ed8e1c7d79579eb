"""Support on flow maps whose zero, scale and crop are unknown: a small learned filter bank, run in numpy.

Regions cannot be placed on such maps (crops differ by half a face), so AU templates are learned as a few
convolution filters from synthetic maps of calibration subjects; see recipes/au_support/calibrate_maps.py.
"""

from __future__ import annotations

import base64
from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict

from deft_llm.motion.normalise import relative
from deft_llm.store.motion import Motion

MAP_SIZE = 28
LIMIT = 4.0


class Layer(BaseModel):
    """One layer: float16 weights as base64; ``stride`` 0 means fully connected."""

    model_config = ConfigDict(extra="forbid")
    shape: list[int]
    weights: str
    bias: str
    stride: int = 0

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the layer's ``shape`` and bias (outputs,), float32."""
        return _decoded(self.weights).reshape(self.shape), _decoded(self.bias)

    @classmethod
    def of(cls, weights: np.ndarray, bias: np.ndarray, stride: int = 0) -> Layer:
        """A layer from arrays."""
        return cls(shape=list(weights.shape), weights=_encoded(weights), bias=_encoded(bias), stride=stride)


class MapFilters(BaseModel):
    """The filter bank: ``numbers`` A Action Units; outputs (3, A) log odds of presence, left and right side.

    ``offsets`` (3, A) are subtracted, so that 0 is even odds where an AU is as often there as not.
    """

    model_config = ConfigDict(extra="forbid")
    numbers: list[int]
    layers: list[Layer]
    offsets: list[list[float]]

    def odds(self, maps: np.ndarray) -> np.ndarray:
        """Log odds (n, 3, A) of relative maps (n, 3, h, w): u, v, strain, seen as they are and mirrored."""
        maps = prepared(maps)
        turned = maps[..., ::-1].copy()
        turned[:, 0] *= -1
        straight, mirror = self._run(maps), self._run(turned)[:, [0, 2, 1]]
        return (straight + mirror) / 2 - np.array(self.offsets)

    def _run(self, maps: np.ndarray) -> np.ndarray:
        hidden = maps.astype(np.float32)
        for layer in self.layers[:-1]:
            weights, bias = layer.arrays
            if layer.stride:
                hidden = _convolved(hidden, weights, layer.stride) + bias[:, None, None]
            else:
                hidden = hidden.reshape(len(hidden), -1) @ weights.T + bias
            hidden = np.maximum(hidden, 0.0)
        weights, bias = self.layers[-1].arrays
        return (hidden @ weights.T + bias).reshape(len(maps), 3, len(self.numbers))


def prepared(maps: np.ndarray) -> np.ndarray:
    """Relative maps (n, 3, h, w) at the filters' size, outliers cut."""
    import cv2

    maps = np.clip(np.nan_to_num(np.asarray(maps, np.float32)), -LIMIT, LIMIT)
    if maps.shape[-2:] == (MAP_SIZE, MAP_SIZE):
        return maps
    small = [
        cv2.resize(np.moveaxis(one, 0, -1), (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
        for one in maps
    ]
    return np.moveaxis(np.stack(small), -1, 1)


def map_of(motion: Motion, phase: int = 0) -> np.ndarray | None:
    """(3, h, w) relative maps of a motion record: u, v, strain; None where it holds no maps."""

    if min(motion.flow.shape[-2:]) < 8:
        return None
    return relative(np.concatenate([motion.flow[phase], motion.strain[phase][None]]))


def _convolved(images: np.ndarray, weights: np.ndarray, stride: int) -> np.ndarray:
    """Cross-correlation (n, c, h, w) x (o, c, k, k), zero-padded by k // 2."""
    size = weights.shape[-1]
    pad = size // 2
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weights, optimize=True)


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, "<f2").tobytes()).decode()


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
