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
from deft_llm.model.language import prompt_parts

IGNORED = -100
"""Label of a position that is not scored, as in transformers."""

MASKED_ATTENTION = ("sdpa", "eager")
"""Attention implementations of transformers that take a mask of one's own."""


class Turn(NamedTuple):
    """One question on a clip and its answers: the one that is taught, or options whose likelihood is wanted.
    ``weight`` of its loss; ``kind`` for the log."""

    question: str
    answers: tuple[str, ...]
    kind: str = ""
    weight: float = 1.0


@dataclass
class RowBatch:
    """R rows of N positions, padded on the right, that hold the turns of some clips with T answers in all.

    Row r begins with the prompt of clip ``clips[r]``. input_ids, labels, position_ids (R, N), ids of prompt
    and padding are 0; attention_mask (R, 1, N, N) of packed rows, True where a position (third axis) sees
    another, (R, N) of separate ones; before (R, N): the position whose logits predict a scored one; answer
    (R, N): number of the answer that a scored position belongs to, else -1; weights (T,).
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    before: Tensor
    answer: Tensor
    clips: list[int]
    weights: Tensor

    def to(self, device: Any) -> RowBatch:
        """The batch on another device."""
        moved: dict[str, Any] = {
            name: v.to(device) if isinstance(v, Tensor) else v for name, v in vars(self).items()
        }
        return RowBatch(**moved)


Branch = tuple[list[int], list[list[int]]]
"""Token ids of a question, and of each of its answers."""


class RowCollator:
    """Makes a ``RowBatch`` of the turns of some clips: one row per clip, or (``packed=False``) per answer.

    Call it with the length of each clip's prompt (all that comes before the question) and with its turns.
    """

    def __init__(self, tokenizer: Any, packed: bool = True) -> None:
        self.tokenizer, self.packed = tokenizer, packed
        self.end = int(tokenizer.eos_token_id)

    def __call__(self, starts: Sequence[int], turns: Sequence[Sequence[Turn]]) -> RowBatch:
        clips: list[list[Branch]] = [[self._branch(turn) for turn in row] for row in turns]
        if self.packed:
            rows = [(clip, parts) for clip, parts in enumerate(clips) if parts]
        else:
            rows = [(clip, [(question, [answer])]) for clip, parts in enumerate(clips)
                    for question, answers in parts for answer in answers]  # fmt: skip
        sizes = [starts[clip] + sum(len(q) + sum(map(len, a)) for q, a in parts) for clip, parts in rows]
        shape = (len(rows), max(sizes))
        ids, before = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        positions = torch.arange(shape[1]).repeat(shape[0], 1)
        labels, number = (torch.full(shape, value, dtype=torch.long) for value in (IGNORED, -1))
        see = torch.eye(shape[1], dtype=torch.bool).repeat(shape[0], 1, 1)  # padding sees itself
        count = 0
        for row, (clip, parts) in enumerate(rows):
            start = at = starts[clip]
            see[row, :start, :start] = _causal(start)
            for question, answers in parts:
                asked = slice(at, at + len(question))
                at = asked.stop
                ids[row, asked] = torch.tensor(question, dtype=torch.long)
                positions[row, asked] = start + torch.arange(len(question))
                see[row, asked, :start], see[row, asked, asked] = True, _causal(len(question))
                for answer in answers:
                    said = slice(at, at + len(answer))
                    at = said.stop
                    ids[row, said] = labels[row, said] = torch.tensor(answer)
                    number[row, said], count = count, count + 1
                    positions[row, said] = start + len(question) + torch.arange(len(answer))
                    before[row, said] = torch.arange(said.start - 1, said.stop - 1)
                    before[row, said.start] = asked.stop - 1
                    see[row, said, :start], see[row, said, asked] = True, True
                    see[row, said, said] = _causal(len(answer))
        mask = see[:, None] if self.packed else (torch.arange(shape[1]) < torch.tensor(sizes)[:, None]).long()
        weights = torch.tensor([turn.weight for row in turns for turn in row for _ in turn.answers])
        return RowBatch(ids, labels, positions, mask, before, number, [clip for clip, _ in rows], weights)

    def _branch(self, turn: Turn) -> Branch:
        encode = lambda text: self.tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
        question = prompt_parts(self.tokenizer, turn.question)[1]
        return question, [[*encode(answer), self.end] for answer in turn.answers]


def _causal(size: int) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool).tril()


def answer_losses(llm: Any, prompts: Sequence[Tensor], batch: RowBatch) -> tuple[Tensor, Tensor]:
    """Summed next-token loss of each answer and its tokens (T,), (T,), in the order of the turns: the first
    is -log of the answer's likelihood.

    prompts: (L, D) embeddings of each clip's prompt up to the question; gradients reach them.
    Raises: UsageError for a language model that cannot read packed rows.
    """
    words = llm.get_input_embeddings()(batch.input_ids).to(prompts[0].dtype)
    rows = [torch.cat([prompts[clip], row[len(prompts[clip]) :]]) for clip, row in zip(batch.clips, words)]
    mask = batch.attention_mask
    if mask.ndim == 4:
        refuse_unpackable(llm)
        mask = _added(mask, words.dtype)
    # Logits where an answer is predicted alone: the head over all words is half of a small model's cost.
    row, place = torch.nonzero(batch.labels != IGNORED, as_tuple=True)
    kept, column = torch.unique(batch.before[row, place], return_inverse=True)
    logits = llm(
        inputs_embeds=torch.stack(rows), attention_mask=mask, position_ids=batch.position_ids,
        logits_to_keep=kept, use_cache=False,
    ).logits  # fmt: skip
    each = F.cross_entropy(logits[row, column].float(), batch.labels[row, place], reduction="none")
    count, answer = len(batch.weights), batch.answer[row, place]
    return each.new_zeros(count).index_add(0, answer, each), torch.bincount(answer, minlength=count)


def text_loss(sums: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over answers of sum / sqrt(tokens): a long answer counts more than a short one, but not
    in full, or "yes" would drown in the words of (C, E, R)."""
    return (weights * sums / tokens.clamp(min=1).sqrt()).sum() / weights.sum()


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
