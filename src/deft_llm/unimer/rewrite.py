"""Optional rewording of answers by a local LLM, thrown away wherever it changes, adds or drops a fact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from deft_llm.claims import find_claims
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import FINE
from deft_llm.facs.regions import MIDLINE_REGIONS, PAIRED_REGIONS
from deft_llm.facs.units import ENTRIES
from deft_llm.records import COARSE, Instruction
from deft_llm.setup.weights import require
from deft_llm.unimer.readback import outcome
from deft_llm.unimer.rows import texts

REWORDED = ("description", "region", "au", "side", "contrast")
PROMPT = (
    "Reword the sentence in other words. Keep every number, every AU code, every body part, every direction "
    "and every side. Add nothing.\nSentence: {text}\nReworded:"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORDS = {
    "side": ("left", "right", "both", "neither"),
    "direction": ("up", "down", "inward", "outward", "sideways", "together", "apart"),
    "region": tuple({word for name in (*PAIRED_REGIONS, *MIDLINE_REGIONS) for word in name.split()}),
    "label": (*FINE, *COARSE),
    "denial": ("not", "no", "neither", "still", "without", "nothing", "never", "cannot"),
    "phase": ("onset", "apex", "offset", "held", "falls"),
    "strength": ("half", "tenth", "about", "less"),
}
_NAMES = tuple(sorted({entry.name for entry in ENTRIES.values() if entry.kind == "AU" and entry.number}))


def facts_in(text: str) -> Counter[str]:
    """Every checkable fact of a text: numbers, AUs, sides, directions, regions, labels, denials, phases."""
    low = text.lower()
    found: Counter[str] = Counter(f"number {number}" for number in _NUMBER.findall(low))
    for kind, words in _WORDS.items():
        for word in words:
            count = len(re.findall(rf"\b{word}s?\b", low))
            if count:
                found[f"{kind} {word}"] = count
    for name in _NAMES:
        if name in low:
            found[f"name {name}"] = low.count(name)
    return found


def keeps_facts(before: str, after: str, task: str = "description") -> bool:
    """Whether a rewording states the same facts: none lost, none new, no claim, the same outcome."""
    if not after.strip() or find_claims(after) or len(after) > 2 * len(before) + 40:
        return False
    if facts_in(before) != facts_in(after):
        return False
    return outcome(task, before) == outcome(task, after)


class Rewriter:
    """Rewords answers with ``say`` (prompt -> text), or with a causal LM by name or folder ("embedded")."""

    def __init__(self, model: str | Callable[[str], str]) -> None:
        self._say = model if callable(model) else _generator(model)
        self.name = "callable" if callable(model) else model
        self.kept = self.rejected = 0

    def rewritten(self, rows: Iterable[Instruction]) -> Iterator[Instruction]:
        """The rows, reworded where every fact stays; ``source.rewritten`` says which."""
        for row in rows:
            if row.task not in REWORDED:
                yield row
                continue
            before = texts(row, "assistant")[0]
            after = " ".join(self._say(PROMPT.format(text=before)).split())
            if after == before or not keeps_facts(before, after, row.task):
                self.rejected += 1
                yield row
                continue
            self.kept += 1
            messages = [dict(message) for message in row.messages]
            messages[-1] = {"role": "assistant", "content": [{"type": "text", "text": after}]}
            yield row.model_copy(
                update={"messages": messages, "source": row.source | {"rewritten": self.name}}
            )


def _generator(name: str) -> Callable[[str], str]:
    """Greedy decoding with a causal LM; the same text every time."""
    from typing import Any

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = name
    if name == "embedded":
        where = str(require("llm"))
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where).eval()
    except (OSError, ValueError) as error:
        raise DeftError(f"--rewrite {name}: cannot be loaded ({str(error).splitlines()[0]}).") from error

    def say(prompt: str) -> str:
        turns = [{"role": "user", "content": prompt}]
        inputs: Any = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=160, do_sample=False, pad_token_id=tokenizer.eos_token_id
            )
        return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    return say
