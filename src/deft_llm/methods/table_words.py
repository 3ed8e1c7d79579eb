"""A clip's region table in words, and the prompt that ``flow2text`` reads: the same in training and use.

The words tell relative motion, as the motion expert reads it: prepared stores in px, published flow maps of
unknown scale and training shards all give words alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.facs.directions import direction_word
from deft_llm.facs.regions import REGION_INDEX, REGION_NAMES, REGIONS

if TYPE_CHECKING:
    from deft_llm.store import Motion

SYSTEM = "Facial motion, told region by region."
INSTRUCTION = (
    "Facial skin moved in a video as listed, most first (region on the subject's own left, right or both "
    "sides, direction, size from 1 to 9). Say which label coders of micro-expressions would give, the FACS "
    "Action Units with side, region and direction, and why."
)
STILL = "nothing moved above the noise"
LARGEST = 9
ALIKE = 0.5
"""Both sides are told as one where they move one way and the weaker at least so much as the stronger."""
NOISE_Z = 2.0


def table_words(table: np.ndarray, most: int = 8) -> str:
    """The ``most`` regions that move most, a line each: "both mouth corner up-lateral 9".

    table: (R, >=2), relative dx (right) and dy (down) in the order of ``facs.regions.REGIONS``. Sizes are
    ninths of the largest region's motion.
    """
    size = np.hypot(table[:, 0], table[:, 1])
    ways = [
        direction_word(float(dx), float(dy), region.side) for (dx, dy), region in zip(table[:, :2], REGIONS)
    ]
    told: list[tuple[float, str]] = []
    for name in REGION_NAMES:
        if name in REGION_INDEX:
            row = REGION_INDEX[name]
            told.append((float(size[row]), f"{name} {ways[row]}"))
            continue
        left, right = (REGION_INDEX[f"{side} {name}"] for side in ("left", "right"))
        low, high = sorted((float(size[left]), float(size[right])))
        if ways[left] == ways[right] and low >= ALIKE * high:
            told.append((high, f"both {name} {ways[left]}"))
        else:
            told += [(float(size[row]), f"{REGIONS[row].key} {ways[row]}") for row in (left, right)]
    told.sort(key=lambda line: -line[0])
    top = told[0][0]
    if not top > 0:
        return STILL
    sizes = [round(LARGEST * amount / top) for amount, _ in told[:most]]
    return "\n".join(f"{words} {number}" for number, (_, words) in zip(sizes, told) if number)


def motion_words(motion: Motion, most: int = 8) -> str:
    """``table_words`` of a clip's first phase; where it is known that no region left the noise, that."""
    z = motion.regions.z[0]
    if motion.units == "px" and np.isfinite(z).any() and np.nanmax(z) < NOISE_Z:
        return STILL
    return table_words(relative_table(motion), most)


def relative_table(motion: Motion) -> np.ndarray:
    """(R, 2) relative dx, dy of a clip's own regions, first phase: each axis minus the map's median, over
    its spread, as ``motion.normalise.relative`` does it (maps that are relative already stay as they are)."""
    flow = motion.flow[0].astype(np.float32).reshape(2, -1)
    flow = np.where(np.isfinite(flow), flow, np.nan)
    measured = np.stack([motion.regions.dx[0], motion.regions.dy[0]], -1).astype(np.float32)
    return (measured - np.nanmedian(flow, -1)) / np.maximum(np.nanstd(flow, -1), 1e-6)


def prompt_text(tokenizer: Any, words: str, question: str) -> str:
    """The prompt in the model's own chat form where it has one; what all clips share stands first."""
    asked = f"{INSTRUCTION}\n{words}\n"
    if not getattr(tokenizer, "chat_template", None):
        return f"{SYSTEM}\n{asked}Question: {question}\nAnswer: "
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"{asked}{question}"}]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
