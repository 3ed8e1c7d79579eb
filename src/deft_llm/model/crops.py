"""Other crops of a clip's maps: the expert reads several and averages, since real crops differ.

A face detector places and scales a face a little differently from corpus to corpus; 28 x 28 maps come as they
were cropped. Averaging over small zooms and vertical shifts lowers the variance that this leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deft_llm.model.inputs import MotionInput, region_pool


class Crop(NamedTuple):
    """Zoom of the content about the middle, and its shift right and down in px of the map."""

    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0


CROPS: tuple[Crop, ...] = (
    Crop(),
    Crop(zoom=0.93),
    Crop(zoom=1.07),
    Crop(down=1.2),
    Crop(down=-1.2),
)
"""What the reader averages over; the first is the clip as it is."""


def recrop(item: MotionInput, crop: Crop) -> MotionInput:
    """The clip as another crop would show it; the region table is measured again. Edges are repeated."""
    if crop == Crop():
        return item
    import cv2

    middle = (item.maps.shape[-1] - 1) / 2.0
    matrix = np.array(
        [
            [crop.zoom, 0.0, middle * (1 - crop.zoom) + crop.right],
            [0.0, crop.zoom, middle * (1 - crop.zoom) + crop.down],
        ],
        np.float32,
    )
    size = item.maps.shape[-2:][::-1]
    maps = np.empty_like(item.maps)
    for place in np.ndindex(item.maps.shape[:-2]):
        maps[place] = cv2.warpAffine(
            item.maps[place], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return MotionInput(maps, item.phases, region_pool(maps))


def recropped(items: Sequence[MotionInput], crop: Crop) -> list[MotionInput]:
    """``recrop`` of every clip."""
    return [recrop(item, crop) for item in items]
