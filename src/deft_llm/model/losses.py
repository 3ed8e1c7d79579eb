"""Losses on what the experts say: asymmetric AU loss, emotion cross-entropy, motion-text contrast, denoised
flow, independence, adversary; ``training.objective`` weighs them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def asymmetric_loss(logits: Tensor, target: Tensor, gamma_negative: float = 2.0, gamma_positive: float = 0.0,
                    known: Tensor | None = None) -> Tensor:  # fmt: skip
    """Asymmetric loss for many-label targets (Ridnik et al., ICCV 2021): scalar, mean over known entries.

    logits, target: same shape, target in [0, 1]; known: same shape, False where a label is not known.
    """
    probability = torch.sigmoid(logits)
    positive = target * (1 - probability).pow(gamma_positive) * F.logsigmoid(logits)
    negative = (1 - target) * probability.pow(gamma_negative) * F.logsigmoid(-logits)
    loss = -(positive + negative)
    if known is None:
        return loss.mean()
    return (loss * known).sum() / known.sum().clamp_min(1)


def masked_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Scalar cross-entropy of logits (N, C) over rows whose target (N,) is not -1; 0 without any."""
    keep = target >= 0
    if not bool(keep.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[keep], target[keep], weight=weight, label_smoothing=0.05)


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Scalar ``masked_cross_entropy`` of logits (N, C) in which every class that occurs in target (N,) weighs
    as much as the others."""
    counts = torch.bincount(target[target >= 0], minlength=logits.shape[1])
    return masked_cross_entropy(logits, target, counts.sum() / counts.clamp_min(1).to(logits))


def clean_flow_loss(predicted: Tensor, clean: Tensor) -> Tensor:
    """Scalar smooth L1 distance to the expression-only flow (B, 2, h, w), which is scaled to unit root mean
    square; rows whose target has no motion ask for zeros.
    """
    rms = clean.square().mean((1, 2, 3), keepdim=True).sqrt()
    target = torch.where(rms > 1e-6, clean / rms.clamp_min(1e-6), torch.zeros_like(clean))
    return F.smooth_l1_loss(predicted, target, beta=0.5)


def text_contrast(
    tokens: Tensor, texts: Tensor, present: Tensor, known: Tensor | None = None, temperature: float = 0.1
) -> Tensor:  # fmt: skip
    """Text-to-motion contrast: an AU's text must be nearer to its tokens in clips that show it.

    tokens (B, A, D) the token that carries each AU, texts (A, D), both unit length; present and ``known``
    (None: all are) (B, A) in {0, 1}: a clip of which nobody knows whether it shows an AU counts for neither.
    For every AU that some clips show and others don't: -log of the share that showing clips hold in the
    softmax over the batch, per positive (InfoNCE with several positives, Khosla et al. 2020).
    """
    similarity = torch.einsum("bad,ad->ab", tokens, texts) / temperature
    positive = present.t() > 0.5
    there = torch.ones_like(positive) if known is None else known.t() > 0.5
    positive = positive & there
    negative = ~positive & there
    usable = positive.any(1) & negative.any(1)
    if not bool(usable.any()):
        return similarity.sum() * 0.0
    similarity, positive, negative = similarity[usable], positive[usable], negative[usable]
    negatives = torch.logsumexp(similarity.masked_fill(~negative, -torch.inf), 1, keepdim=True)
    each = F.softplus(negatives - similarity)
    return ((each * positive).sum(1) / positive.sum(1)).mean()


def cross_covariance(first: Tensor, second: Tensor) -> Tensor:
    """Scalar mean squared correlation between the features of two experts (B, D1), (B, D2); 0 where they
    are linearly unrelated."""
    first = (first - first.mean(0)) / (first.std(0) + 1e-4)
    second = (second - second.mean(0)) / (second.std(0) + 1e-4)
    return (first.t() @ second / max(len(first) - 1, 1)).square().mean()


class _Reverse(torch.autograd.Function):
    """The identity, x of any shape to the same; its gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx, x: Tensor, strength: float) -> Tensor:  # type: ignore[override]
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        return -ctx.strength * gradient, None


class SubjectAdversary(nn.Module):
    """Tells subjects from expert features and AUs; its gradient reaches the expert reversed (Ganin 2016).

    It is given the AUs, so that the expert is not punished for AUs that few subjects show. ``forward``:
    features (B, width), aus (B, A) and subjects (B,) to a scalar cross-entropy.
    """

    def __init__(self, width: int, aus: int, subjects: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width + aus, 128), nn.ReLU(), nn.Linear(128, subjects))

    def forward(self, features: Tensor, aus: Tensor, subjects: Tensor, strength: float = 1.0) -> Tensor:
        reversed_features = _Reverse.apply(features, strength)
        logits = self.net(torch.cat([reversed_features, aus], -1))
        return F.cross_entropy(logits, subjects)


def left_padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Embeddings (B, L, D) and mask (B, L) of prompts (L_i, D), padded on the left."""
    longest = max(len(row) for row in rows)
    embeds = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    ones = [torch.ones(len(row), dtype=torch.long, device=row.device) for row in rows]
    return embeds, torch.stack([F.pad(row, (longest - len(row), 0)) for row in ones])
