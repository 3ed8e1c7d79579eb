"""The structured multimodal prompt: delimited soft tokens of each expert, then the question."""

from __future__ import annotations

from typing import Any

PROMPT_VERSION = 1
EXPERTS = ("structure", "texture", "motion")
"""Order of the experts in the prompt; each stands between its own two delimiter vectors."""

ANSWER_QUESTION = "Give class, evidence and rationale."


def prompt_parts(tokenizer: Any, question: str) -> tuple[list[int], list[int]]:
    """Token ids before and after the soft tokens, in the model's own chat form where it has one."""
    marker = "\u0001"
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(
            [{"role": "system", "content": "Facial motion, read by experts."},
             {"role": "user", "content": f"{marker}\n{question}"}],
            tokenize=False, add_generation_prompt=True,
        )  # fmt: skip
    else:
        text = f"{marker}\nQuestion: {question}\nAnswer: "
    before, after = text.split(marker)
    encode = lambda part: tokenizer(part, add_special_tokens=False).input_ids  # noqa: E731
    return encode(before), encode(after)
