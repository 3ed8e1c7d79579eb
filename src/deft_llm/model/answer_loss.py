"""The next-token loss of answers behind prompts of embeddings, as every language part here is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def left_padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Embeddings (B, L, D) and mask (B, L) of prompts (L_i, D), padded on the left."""
    longest = max(len(row) for row in rows)
    embeds = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    ones = [torch.ones(len(row), dtype=torch.long, device=row.device) for row in rows]
    return embeds, torch.stack([F.pad(row, (longest - len(row), 0)) for row in ones])


def answer_loss(
    llm: Any, tokenizer: Any, embeds: Tensor, mask: Tensor, answers: Sequence[str], *, cut: bool = False,
    shared: int = 0,
) -> Tensor:  # fmt: skip
    """Mean next-token loss on the answers' tokens; prompts (B, L, D) and their mask as ``left_padded`` makes
    them.

    ``cut``: the answers stop before their end, so none is taught there. ``shared``: so many tokens at the
    start of every prompt are the same; they are read once and carry no gradient.
    """
    end = tokenizer.eos_token_id
    ids = [tokenizer(text, add_special_tokens=False).input_ids + [end] * (not cut) for text in answers]
    longest = max(len(row) for row in ids)
    target = torch.full((len(ids), longest), -100)
    fed = torch.full((len(ids), longest), end)
    for index, row in enumerate(ids):
        target[index, : len(row)] = torch.tensor(row)
        fed[index, : len(row)] = torch.tensor(row)
    target, fed = target.to(embeds.device), fed.to(embeds.device)
    words = llm.get_input_embeddings()(fed).to(embeds.dtype)
    full = torch.cat([embeds, words], 1)
    mask = torch.cat([mask, (target != -100).long()], 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    if shared:
        full, mask, positions, cache = _behind_prefix(llm, full, mask, positions, shared)
    # Logits at answer positions only: the head over the whole vocabulary is half of a small model's cost.
    logits = llm(
        inputs_embeds=full, attention_mask=mask, position_ids=positions, logits_to_keep=longest + 1,
        **({"past_key_values": cache, "use_cache": True} if shared else {"use_cache": False}),
    ).logits[:, :-1]  # fmt: skip
    flat = logits.float().flatten(0, 1)
    total = F.cross_entropy(flat, target.flatten(), ignore_index=-100, reduction="sum")
    return total / _tokens_a_process((target != -100).sum())


def repeated(read: Any, rows: int) -> Any:
    """The cache of one row as the cache of ``rows`` rows that begin alike."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for index, layer in enumerate(read.layers):
        cache.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
    return cache


def _behind_prefix(
    llm: Any, full: Tensor, mask: Tensor, positions: Tensor, shared: int
) -> tuple[Tensor, Tensor, Tensor, Any]:
    """The rows without their common start, and the cache of that start read once for all rows."""
    rows, length = mask.shape
    first = int(mask[:, 0].argmax())  # the longest prompt: it has no padding on its left
    with torch.no_grad():
        read = llm(
            inputs_embeds=full[first : first + 1, :shared], logits_to_keep=1, use_cache=True
        ).past_key_values
    # What a shorter row still holds of the prefix behind its padding is masked: it is in the cache.
    padding = (mask.cumsum(-1) == 0).sum(-1)
    source = torch.arange(shared, length, device=mask.device).expand(rows, -1)
    inside = source >= (padding + shared)[:, None]
    ones = torch.ones(rows, shared, dtype=mask.dtype, device=mask.device)
    rest = mask[:, shared:] * inside.to(mask.dtype)
    return full[:, shared:], torch.cat([ones, rest], 1), positions[:, shared:], repeated(read, rows)


def _tokens_a_process(count: Tensor) -> Tensor:
    """Answer tokens of all processes over their number: their averaged losses are then one process's loss."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return count
    everywhere = count.clone()
    distributed.all_reduce(everywhere)
    return everywhere / distributed.get_world_size()
