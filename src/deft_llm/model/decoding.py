"""Constrained decoding: llguidance gives the token mask of a grammar, we apply it; batched, with a KV cache.

What a grammar leaves open is the model's choice: under ``answer_grammar()`` an answer's class, AUs, sides and
words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.answer import lark_grammar
from deft_llm.errors import DeftError
from deft_llm.model.units import EXPERT_AUS

if TYPE_CHECKING:
    import torch

ANSWER_TOKENS = 200
"""Tokens after which an answer is cut off."""

_TOKENIZERS: dict[int, tuple[Any, Any]] = {}


def answer_grammar(**options: Any) -> str:
    """The (C, E, R) grammar of ``answer.lark_grammar`` (its ``options``) over the experts' AUs, without
    figures: those are measured, not written."""
    return lark_grammar(**{"aus": EXPERT_AUS, "figures": False, **options})


def generate_constrained(
    model: Any,
    tokenizer: Any,
    grammar: str | Sequence[str],
    *,
    input_ids: torch.Tensor | None = None,
    inputs_embeds: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    max_new_tokens: int = 128,
    choose: Callable[[torch.Tensor, list[list[int]]], torch.Tensor] | None = None,
) -> list[str]:
    """Generate one text per row that follows ``grammar`` (Lark; one for all rows, or one per row).

    input_ids (B, L) int or inputs_embeds (B, L, D); rows of unequal length are padded on the left and
    attention_mask (B, L) says where. ``choose`` maps masked logits (B, V) and the tokens so far of each row
    to token ids (B,); greedy by default. A text that reaches ``max_new_tokens`` ends there, possibly before
    the grammar's end.
    Raises: DeftError for a grammar that llguidance refuses.
    """
    import torch

    prompt = input_ids if input_ids is not None else inputs_embeds
    if prompt is None:
        raise ValueError("generate_constrained needs input_ids or inputs_embeds")
    rows = prompt.shape[0]
    if attention_mask is None:
        attention_mask = torch.ones(prompt.shape[:2], dtype=torch.long, device=prompt.device)
    if rows > 1 and bool((attention_mask[:, -1] == 0).any()):
        raise ValueError("generate_constrained needs rows padded on the left")
    grammars = [grammar] * rows if isinstance(grammar, str) else list(grammar)
    masks = [TokenMask(tokenizer, text, _vocabulary(model)) for text in grammars]
    choose = choose or (lambda logits, tokens: logits.argmax(-1))
    forward: dict[str, Any] = {"input_ids": input_ids} if input_ids is not None else {"inputs_embeds": prompt}
    cache = None
    tokens: list[list[int]] = [[] for _ in range(rows)]
    with torch.inference_mode():
        while True:
            positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
            length = forward[next(iter(forward))].shape[1]
            output = model(
                **forward, attention_mask=attention_mask, position_ids=positions[:, -length:],
                past_key_values=cache, use_cache=True, **_last_logits_only(model),
            )  # fmt: skip
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            step = _step(masks, logits, choose, tokens, max_new_tokens)
            if not step:
                break
            forward = {"input_ids": torch.tensor(step, device=logits.device)}
            more = torch.ones_like(forward["input_ids"])
            attention_mask = torch.cat([attention_mask, more.to(attention_mask.dtype)], dim=1)
    return [tokenizer.decode(row, skip_special_tokens=True) for row in tokens]


def _step(
    masks: list[TokenMask], logits: torch.Tensor, choose: Any, tokens: list[list[int]], limit: int
) -> list[list[int]]:
    """Choose the next token of every row and append it; returns what to feed, [] when all rows are done.

    A single row feeds a forced run (" (positive)\\nEvidence: ") in one forward call; several rows feed one
    token each, so that a row's text is the same however many rows are decoded together.
    """
    import torch

    allowed = torch.from_numpy(np.stack([mask.allowed() for mask in masks])).to(logits.device)
    width = allowed.shape[1]
    chosen = choose(logits[:, :width].masked_fill(~allowed, -torch.inf), tokens).tolist()
    for mask, row, token in zip(masks, tokens, chosen):
        if not mask.done:
            mask.take(token)
            row.append(token)
            mask.done = mask.done or len(row) >= limit
    if all(mask.done for mask in masks):
        return []
    feed = [[row[-1] if row else 0] for row in tokens]
    if len(masks) == 1:
        while masks[0].forced and len(tokens[0]) < limit and not masks[0].done:
            token = masks[0].forced[0]
            masks[0].take(token)
            tokens[0].append(token)
            feed[0].append(token)
        if masks[0].done or len(tokens[0]) >= limit:
            return []
    return feed


class TokenMask:
    """The state of one row in its grammar: which tokens may come next, and which must."""

    def __init__(self, tokenizer: Any, grammar: str, vocabulary: int) -> None:
        from llguidance import LLMatcher

        compiled = _compiled(grammar)
        self._matcher = LLMatcher(_wrapped(tokenizer, vocabulary), compiled)
        if self._matcher.get_error():
            raise DeftError(f"answer grammar: llguidance refuses it ({self._matcher.get_error()}).")
        self._size = vocabulary
        self.forced: deque[int] = deque()
        self.done = False

    def allowed(self) -> np.ndarray:
        """bool (V,): the tokens that may come next; all where the row has ended."""
        if self.done:
            return np.ones(self._size, bool)
        if self.forced:
            only = np.zeros(self._size, bool)
            only[self.forced[0]] = True
            return only
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.get_error():
            raise DeftError(f"answer grammar: llguidance gives up ({self._matcher.get_error()}).")
        return np.unpackbits(bits, bitorder="little", count=None)[: self._size].astype(bool)

    def take(self, token: int) -> None:
        """Accept ``token``. Raises: DeftError where the grammar does not allow it."""
        if self.forced:
            self.forced.popleft()
        if not self._matcher.consume_token(token):
            raise DeftError(f"answer grammar: token {token} is not allowed ({self._matcher.get_error()}).")
        self.done = self._matcher.is_stopped()
        if not self.done and not self.forced:
            self.forced.extend(self._matcher.compute_ff_tokens())


@lru_cache(maxsize=32)
def _compiled(grammar: str) -> str:
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_lark(grammar)


def _wrapped(tokenizer: Any, vocabulary: int) -> Any:
    """llguidance's view of a tokenizer; about a second to build, so it is kept."""
    import llguidance.hf

    key = id(tokenizer)
    if key not in _TOKENIZERS or _TOKENIZERS[key][0] is not tokenizer:
        _TOKENIZERS[key] = (tokenizer, llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary))
    return _TOKENIZERS[key][1]


def _vocabulary(model: Any) -> int:
    """Rows of the output embedding: a logit for each."""
    return int(model.get_output_embeddings().weight.shape[0])


def _last_logits_only(model: Any) -> dict[str, int]:
    """Ask for the last position's logits only, where the model's forward can."""
    import inspect

    wanted = "logits_to_keep"
    inner = getattr(model, "get_base_model", lambda: model)()
    return {wanted: 1} if wanted in inspect.signature(inner.forward).parameters else {}
