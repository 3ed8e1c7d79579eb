"""The motion expert and what it reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deft_llm.model.experts import MotionExpert, MotionExpertConfig
from deft_llm.model.inputs import collate, maps_input
from deft_llm.model.predictor import MotionReader, mirrored
from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS, TOKEN_OF_AU, au_text

SMALL = MotionExpertConfig(width=32, stem=8, middle=16, blocks=1)


def random_maps(seed: int, size: int = 28, phases: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(phases, 3, size, size)).astype(np.float32)


def test_every_au_has_one_token_and_words() -> None:
    assert sorted(number for group in MOTION_TOKENS for number in group) == sorted(EXPERT_AUS)
    assert len(MOTION_TOKENS) == 16
    assert all(EXPERT_AUS[i] in MOTION_TOKENS[token] for i, token in enumerate(TOKEN_OF_AU))
    assert au_text(1) == "inner brow raiser: inner brow up, forehead up" or "inner brow up" in au_text(1)


def test_input_forgets_zero_and_scale_of_each_channel() -> None:
    maps = random_maps(0)
    stretched = (
        maps * np.array([3.0, 0.2, 7.0])[None, :, None, None]
        + np.array([5.0, -2.0, 1.0])[None, :, None, None]
    )
    assert np.allclose(maps_input(maps).maps, maps_input(stretched).maps, atol=1e-3)


@pytest.mark.parametrize("size", [28, 56, 224])
def test_any_map_size_is_read(size: int) -> None:
    item = maps_input(random_maps(1, size))
    assert item.maps.shape == (2, 3, 28, 28)
    assert item.phases.tolist() == [True, False]


def test_an_absent_second_phase_changes_nothing() -> None:
    expert = MotionExpert(SMALL).eval()
    one, two = maps_input(random_maps(2)), maps_input(random_maps(3, phases=2))
    alone = expert(*collate([one]))
    beside = expert(*collate([one, two]))
    assert torch.allclose(alone.au[0], beside.au[0], atol=1e-5)
    assert torch.allclose(alone.coarse[0], beside.coarse[0], atol=1e-5)


def test_aus_are_read_from_their_own_token_alone() -> None:
    expert = MotionExpert(SMALL).eval()
    tokens = torch.randn(1, 16, 32, requires_grad=True)
    rows = tokens[:, expert.token_of_au]
    logits = torch.einsum("bad,asd->bas", rows, expert.au_weight)
    index = EXPERT_AUS.index(12)
    (gradient,) = torch.autograd.grad(logits[0, index].sum(), tokens)
    moved = gradient[0].abs().sum(1).nonzero().flatten().tolist()
    assert moved == [TOKEN_OF_AU[index]]


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="28"):
        MotionExpert(SMALL)(torch.zeros(1, 1, 3, 32, 32))


def test_mirror_is_its_own_inverse_and_swaps_in_the_reading() -> None:
    item = maps_input(random_maps(4))
    assert np.array_equal(mirrored(mirrored(item)).maps, item.maps)
    reader = MotionReader([MotionExpert(SMALL)])
    there, back = reader.read([item]), reader.read([mirrored(item)])
    assert np.allclose(there.au_logits()[0], back.au_logits()[0][:, ::-1], atol=1e-5)
    assert np.allclose(there.coarse_logits(), back.coarse_logits(), atol=1e-5)
