"""Crops of maps that the expert averages over."""

import numpy as np

from deft_llm.model.crops import CROPS, Crop, recrop
from deft_llm.model.experts import MotionExpert, MotionExpertConfig
from deft_llm.model.inputs import maps_input, region_pool
from deft_llm.model.predictor import MotionReader

SMALL = MotionExpertConfig(width=16, stem=8, middle=8, heads=2, blocks=1)


def bump(row: float, column: float) -> np.ndarray:
    y, x = np.mgrid[:28, :28]
    hill = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60.0)
    return np.stack([hill, -hill, hill])[None].astype(np.float32)


def peak(item) -> tuple[int, int]:
    return np.unravel_index(item.maps[0, 0].argmax(), (28, 28))


def test_a_shift_moves_the_motion_down_and_a_zoom_moves_it_from_the_middle():
    item = maps_input(bump(10, 8))
    assert peak(recrop(item, Crop(down=3.0))) == (13, 8)
    row, column = peak(recrop(item, Crop(zoom=1.5)))
    assert row < 10 and column < 8


def test_the_region_table_follows_the_crop():
    item = recrop(maps_input(bump(10, 8)), Crop(down=3.0))
    np.testing.assert_allclose(item.table, region_pool(item.maps))
    assert not np.allclose(item.table, maps_input(bump(10, 8)).table)


def test_the_reader_averages_over_crops_and_the_first_is_the_clip_itself():
    item = maps_input(bump(10, 8))
    assert recrop(item, CROPS[0]) is item
    expert = MotionExpert(SMALL)
    alone = [MotionReader([expert], crops=[crop]).read([item]).coarse for crop in CROPS]
    together = MotionReader([expert]).read([item]).coarse
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-5)
    assert not np.allclose(together, alone[0])
