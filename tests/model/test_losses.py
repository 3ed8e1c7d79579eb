"""Losses: values by hand, and what they must react to."""

from __future__ import annotations

import math

import pytest
import torch

from deft_llm.model import losses


def test_asymmetric_loss_without_focus_is_binary_cross_entropy() -> None:
    logits, target = torch.tensor([[0.3, -1.2]]), torch.tensor([[1.0, 0.0]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert torch.allclose(losses.asymmetric_loss(logits, target, 0.0), expected)


def test_asymmetric_loss_ignores_unknown_labels() -> None:
    logits, target = torch.tensor([[0.0, 9.0]]), torch.tensor([[1.0, 0.0]])
    known = torch.tensor([[1.0, 0.0]])
    assert losses.asymmetric_loss(logits, target, 0.0, known=known).item() == pytest.approx(math.log(2))


def test_cross_entropy_without_any_label_is_zero() -> None:
    assert losses.masked_cross_entropy(torch.randn(3, 3), torch.tensor([-1, -1, -1])).item() == 0.0


def test_clean_flow_is_compared_in_shape_not_size() -> None:
    clean = torch.randn(2, 2, 4, 4)
    rms = clean.square().mean((1, 2, 3), keepdim=True).sqrt()
    assert losses.clean_flow_loss(clean / rms, clean * 7).item() < 1e-6


def test_text_contrast_falls_when_tokens_match_their_text() -> None:
    texts = torch.nn.functional.normalize(
        torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    present = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    aligned = torch.where(present[..., None] > 0, texts[None], -texts[None])
    assert losses.text_contrast(aligned, texts, present) < losses.text_contrast(-aligned, texts, present)
    # a clip of which it is not known whether it shows the unit is no counter-example
    known = torch.ones_like(present)
    known[1, 0] = 0
    other = aligned.clone()
    other[1, 0] = -other[1, 0]
    first, second = (losses.text_contrast(one, texts, present, known) for one in (aligned, other))
    assert first == second and first != losses.text_contrast(other, texts, present)


def test_cross_covariance_rises_with_dependence() -> None:
    measure = losses.cross_covariance
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(200, 3, generator=generator), torch.randn(200, 3, generator=generator)
    assert measure(a, b) < 0.1 * measure(a, a)


def test_adversary_turns_the_gradient_round() -> None:
    torch.manual_seed(0)
    adversary = losses.SubjectAdversary(4, 2, 3)
    features = torch.randn(6, 4, requires_grad=True)
    aus, subjects = torch.zeros(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    (reverse,) = torch.autograd.grad(adversary(features, aus, subjects), features)
    plain = torch.nn.functional.cross_entropy(adversary.net(torch.cat([features, aus], -1)), subjects)
    (forward,) = torch.autograd.grad(plain, features)
    assert torch.allclose(reverse, -forward)
