"""What a video codec does to faint motion: skipped blocks, blocks that move as one."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.synth.flow.codec import QUARTER, Codec
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth

WORK = 56
HARD = {"coded_chance": 1.0, "coded_block": (14.0, 14.0), "coded_scale": (1.0, 1.0)}


def scene(moved: float = 1.0):
    """Texture in the left half alone; all of it moves to the right."""
    tensor = np.zeros((3, WORK * WORK), np.float32)
    left = np.tile(np.arange(WORK) < WORK // 2, WORK)
    tensor[0, left] = tensor[2, left] = 1.0
    u = np.full((2, WORK * WORK), moved, np.float32)
    return tensor, left, u, np.zeros_like(u)


def test_blocks_that_hardly_change_are_skipped() -> None:
    tensor, left, u, v = scene()
    codec = Codec(
        np.random.default_rng(0), FlowConfig(**HARD, coded_skip=(0.2, 0.2), coded_whole=(0, 0)), WORK
    )
    still = codec.apply(tensor, u, v)
    assert (u[still] == 0).all() and (u[~still] == 1.0).all()
    inside = (
        np.abs(np.arange(WORK) - WORK // 2) > 0.14 * WORK
    )  # a block may lie across the edge of the texture
    inside = np.tile(inside, WORK)
    assert still[:, inside & ~left].all() and not still[:, inside & left].any()


def test_a_block_moves_as_one_in_quarter_pixels() -> None:
    tensor, left, _, v = scene()
    ramp = np.tile(np.linspace(0, 2, WORK, dtype=np.float32), WORK)
    u = np.stack([ramp, -ramp])
    codec = Codec(
        np.random.default_rng(1), FlowConfig(**HARD, coded_skip=(1e-6, 1e-6), coded_whole=(1, 1)), WORK
    )
    still = codec.apply(tensor, u, v)
    moving = u[~still]
    assert np.allclose(moving / QUARTER, np.rint(moving / QUARTER)) and len(np.unique(moving)) > 3
    for block in np.unique(codec.block):
        assert np.ptp(u[:, codec.block == block], axis=1).max() == 0


def test_without_the_codec_nothing_changes_and_with_it_the_labels_stay() -> None:
    raw, none, coded = (
        FlowSynth("validation", FlowConfig(identities=2, **options)).batch(32, 3)
        for options in ({}, {"coded_chance": 0.0}, HARD)
    )
    assert np.array_equal(raw["maps"], none["maps"])
    assert not np.array_equal(raw["maps"], coded["maps"])
    for name in ("aus", "coarse", "fine", "strength", "clean"):
        assert np.array_equal(raw[name], coded[name], equal_nan=name == "clean"), name
    again = FlowSynth("validation", FlowConfig(identities=2, **HARD)).batch(32, 3)
    assert np.array_equal(coded["maps"], again["maps"])


@pytest.mark.parametrize("name", ["coded_block", "coded_skip", "coded_whole", "coded_scale"])
def test_every_setting_counts(name: str) -> None:
    tensor, _, u, v = scene(0.6)
    u = u * np.linspace(0.2, 1, u.shape[1], dtype=np.float32)
    plain = FlowConfig(
        coded_block=(14.0, 14.0), coded_skip=(0.2, 0.2), coded_whole=(0.5, 0.5), coded_scale=(1.0, 1.0)
    )
    changed = {"coded_block": 7.0, "coded_skip": 0.7, "coded_whole": 0.9, "coded_scale": 2.2}
    other = plain.model_copy(update={name: (changed[name], changed[name])})
    found = []
    for config in (plain, other):
        flow = (u.copy(), v.copy())
        Codec(np.random.default_rng(2), config, WORK).apply(tensor, *flow)
        found.append(flow[0])
    assert not np.array_equal(*found)
