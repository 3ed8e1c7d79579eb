"""Packed rows: a clip's prompt is read once, and its questions with their answers are branches of one row.

A branch sees the prompt and itself, by a 4-D attention mask, and its positions begin anew behind the prompt;
so its losses and gradients are those of a row of its own. What must hold of the language model for that is
checked by ``refuse_unpackable``; other models are trained on separate rows (``packed=False``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from deft_llm.errors import UsageError
from deft_llm.model.prompt import prompt_parts

IGNORED = -100
"""Label of a position that is not scored, as in transformers."""

MASKED_ATTENTION = ("sdpa", "eager")
"""Attention implementations of transformers that take a mask of one's own."""


class Turn(NamedTuple):
    """One question on a clip and the answer that is taught; ``weight`` of its loss; ``kind`` for the log."""

    question: str
    answer: str
    kind: str = ""
    weight: float = 1.0


@dataclass
class RowBatch:
    """R rows of N positions, padded on the right, that hold the T turns of some clips.

    Row r begins with the prompt of clip ``clips[r]``. input_ids, labels, position_ids (R, N), ids of prompt
    and padding are 0; attention_mask (R, 1, N, N) of packed rows, True where a position (third axis) sees
    another, (R, N) of separate ones; turn (R, N): number of the turn that a scored position belongs to, else
    -1; weights (T,).
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    turn: Tensor
    clips: list[int]
    weights: Tensor

    def to(self, device: Any) -> RowBatch:
        """The batch on another device."""
        return RowBatch(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in vars(self).items()})


class RowCollator:
    """Makes a ``RowBatch`` of the turns of some clips: one row per clip, or one per turn (``packed=False``).

    Call it with the length of each clip's prompt (all that comes before the question) and with its turns.
    """

    def __init__(self, tokenizer: Any, packed: bool = True) -> None:
        self.tokenizer, self.packed = tokenizer, packed
        self.end = int(tokenizer.eos_token_id)

    def __call__(self, starts: Sequence[int], turns: Sequence[Sequence[Turn]]) -> RowBatch:
        branches = [[self._branch(turn) for turn in row] for row in turns]
        if self.packed:
            rows = [(clip, parts) for clip, parts in enumerate(branches) if parts]
        else:
            rows = [(clip, [part]) for clip, parts in enumerate(branches) for part in parts]
        sizes = [starts[clip] + sum(len(q) + len(a) for q, a in parts) for clip, parts in rows]
        shape = (len(rows), max(sizes))
        ids, positions = torch.zeros(shape, dtype=torch.long), torch.arange(shape[1]).repeat(shape[0], 1)
        labels, turn = (torch.full(shape, value, dtype=torch.long) for value in (IGNORED, -1))
        number = 0
        for row, (clip, parts) in enumerate(rows):
            at = starts[clip]
            for question, answer in parts:
                end, scored = at + len(question) + len(answer), at + len(question)
                ids[row, at:end] = torch.tensor(question + answer)
                labels[row, scored:end] = ids[row, scored:end]
                turn[row, scored:end] = number
                positions[row, at:end] -= at - starts[clip]
                number, at = number + 1, end
        clips = [clip for clip, _ in rows]
        if self.packed:
            lengths = [[len(q) + len(a) for q, a in parts] for _, parts in rows]
            mask = branch_mask([starts[clip] for clip in clips], lengths, shape[1])
        else:
            mask = (torch.arange(shape[1]) < torch.tensor(sizes)[:, None]).long()
        weights = torch.tensor([one.weight for row in turns for one in row])
        return RowBatch(ids, labels, positions, mask, turn, clips, weights)

    def _branch(self, turn: Turn) -> tuple[list[int], list[int]]:
        question = prompt_parts(self.tokenizer, turn.question)[1]
        return question, [*self.tokenizer(turn.answer, add_special_tokens=False).input_ids, self.end]


def branch_mask(starts: Sequence[int], lengths: Sequence[Sequence[int]], width: int) -> Tensor:
    """(R, 1, width, width) bool: prompt of ``starts[r]`` positions, branches of ``lengths[r]`` behind it that
    do not see each other; padding sees itself, for a row of a mask without any True has no softmax."""
    see = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(starts), 1, 1)
    for row, (start, sizes) in enumerate(zip(starts, lengths, strict=True)):
        at = start
        for size in sizes:
            see[row, at : at + size, start:at] = False
            at += size
        see[row, at:] = torch.eye(width, dtype=torch.bool)[at:]
    return see[:, None]


def answer_losses(llm: Any, prompts: Sequence[Tensor], batch: RowBatch) -> Tensor:
    """Mean next-token loss of each answer (T,), in the order of the turns through the batch.

    prompts: (L, D) embeddings of each clip's prompt up to the question; gradients reach them.
    Raises: UsageError for a language model that cannot read packed rows.
    """
    words = llm.get_input_embeddings()(batch.input_ids).to(prompts[0].dtype)
    rows = [torch.cat([prompts[clip], row[len(prompts[clip]) :]]) for clip, row in zip(batch.clips, words)]
    mask = batch.attention_mask
    if mask.ndim == 4:
        refuse_unpackable(llm)
        mask = _added(mask, words.dtype)
    # Logits at answer positions alone: the head over the whole vocabulary is half of a small model's cost.
    wanted = torch.nonzero((batch.labels != IGNORED).any(0)).squeeze(1)
    logits = llm(
        inputs_embeds=torch.stack(rows), attention_mask=mask, position_ids=batch.position_ids,
        logits_to_keep=wanted - 1, use_cache=False,
    ).logits  # fmt: skip
    labels, turn = batch.labels[:, wanted], batch.turn[:, wanted]
    scored = labels != IGNORED
    each = F.cross_entropy(logits[scored].float(), labels[scored], reduction="none")
    count = len(batch.weights)
    sums = each.new_zeros(count).index_add(0, turn[scored], each)
    return sums / torch.bincount(turn[scored], minlength=count).clamp(min=1)


def _added(see: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask as attention adds it: 0, or the least number of the type that attention works in."""
    if torch.is_autocast_enabled(see.device.type):
        dtype = torch.get_autocast_dtype(see.device.type)
    return torch.zeros(see.shape, dtype=dtype, device=see.device).masked_fill(~see, torch.finfo(dtype).min)


def refuse_unpackable(llm: Any) -> None:
    """Raise UsageError where ``llm`` would not read a branch as it reads a row of its own: flash attention
    takes no mask, a sliding window knows of no branches, a recurrent layer sees all that came before."""
    config = llm.config
    how = config._attn_implementation
    if how not in MASKED_ATTENTION:
        raise UsageError(
            f"packed rows: {config.model_type} runs with {how}, which takes no mask of one's own; load it"
            f' with attn_implementation="sdpa", or train it with packed=false.'
        )
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in kinds or (window and not kinds):
        raise UsageError(
            f"packed rows: {config.model_type} looks back {window} tokens (sliding window), which would go"
            " unheeded; train it with packed=false."
        )
    if kinds - {"full_attention"}:
        raise UsageError(
            f"packed rows: {config.model_type} has layers of the kind {', '.join(sorted(kinds))}, which see"
            " other branches; train it with packed=false."
        )
