"""Dense optical flow behind one signature; ``dis`` with finest scale 0 is the default.

Stock DIS presets and TV-L1 shrink sub-pixel motion by 30-58 %; DIS at the finest scale keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from deft_llm.errors import UsageError

Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]
METHODS: dict[str, Callable[[], Estimator]] = {}
MIN_SIDE = 16


def flow_method(name: str) -> Callable[[Callable[[], Estimator]], Callable[[], Estimator]]:
    """Register a maker of estimators: (uint8 grey, uint8 grey) -> (H, W, 2) float32."""

    def add(make: Callable[[], Estimator]) -> Callable[[], Estimator]:
        METHODS[name] = make
        return make

    return add


@flow_method("dis")
def _dis() -> Estimator:
    """Dense inverse search (Kroeger et al. 2016), medium preset, finest scale 0."""
    import cv2

    engine: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    return lambda first, second: engine.calc(first, second, None)


def _expansion(stretch: float) -> Estimator:
    """Polynomial expansion (Farneback 2003) on grey levels times ``stretch``."""
    import cv2

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pictures = [image.astype(np.float32) * np.float32(stretch) for image in (first, second)]
        return cv2.calcOpticalFlowFarneback(
            *pictures,
            None,
            pyr_scale=0.5,
            levels=3,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )  # type: ignore[call-overload,no-any-return]

    return flow


@flow_method("farneback")
def _farneback() -> Estimator:
    """Polynomial expansion whose answer does not depend on contrast.

    OpenCV adds a fixed 1e-3 to each pixel's determinant, which goes with the fourth power of the grey levels:
    at 0-255 it shrinks the motion of plain skin to as little as a third, at 16 times that it does nothing.
    """
    return _expansion(16.0)


@flow_method("farneback8")
def _farneback8() -> Estimator:
    """Polynomial expansion on plain 8-bit grey levels, as published maps were made; shrinks plain skin."""
    return _expansion(1.0)


@flow_method("tvl1")
def _tvl1() -> Estimator:
    """Dual TV-L1 (Zach et al. 2007), the field's usual: least false motion, slow, shrinks small motion."""
    import cv2

    engine: Any = cv2.optflow.DualTVL1OpticalFlow.create()
    return lambda first, second: engine.calc(first, second, None)


@lru_cache(maxsize=8)
def _engine(method: str) -> Estimator:
    if method not in METHODS:
        raise UsageError(f"flow method {method}: unknown; choose one of {', '.join(METHODS)}.")
    return METHODS[method]()


def estimate(first: np.ndarray, second: np.ndarray, method: str = "dis") -> np.ndarray:
    """Flow (2, H, W) float32 from ``first`` to ``second``: u px to the right, v px down.

    Both are uint8 grey (H, W) or RGB (H, W, 3) of one size. Raises: UsageError for an unknown method,
    unequal sizes, another type, or sides under 16 px.
    """
    engine = _engine(method)
    first, second = _grey(first), _grey(second)
    if first.shape != second.shape:
        raise UsageError(f"flow needs two images of one size, not {first.shape} and {second.shape}.")
    if min(first.shape) < MIN_SIDE:
        raise UsageError(f"flow needs images of at least {MIN_SIDE} px per side, not {first.shape}.")
    flow = engine(first, second)
    return np.ascontiguousarray(np.moveaxis(flow, -1, 0), np.float32)


@lru_cache(maxsize=1)
def _coarse() -> Any:
    import cv2

    engine: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(1)
    return engine


def estimate_small(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow (2, H, W) of uint8 grey pictures of a face that was enlarged three times and more.

    DIS from its second scale on: such pictures hold nothing finer, and its patches then cover more skin.
    """
    return np.ascontiguousarray(np.moveaxis(_coarse().calc(first, second, None), -1, 0), np.float32)


def _grey(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        raise UsageError(f"flow needs uint8 images, not {image.dtype}.")
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def round_trip(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """forward + backward at its end, (2, H, W) px: zero where both agree."""
    import cv2

    rows, columns = np.mgrid[0 : forward.shape[1], 0 : forward.shape[2]].astype(np.float32)
    back = cv2.remap(np.moveaxis(backward, 0, -1).astype(np.float32), columns + forward[0].astype(np.float32),
                     rows + forward[1].astype(np.float32), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return forward + np.moveaxis(back, -1, 0)
