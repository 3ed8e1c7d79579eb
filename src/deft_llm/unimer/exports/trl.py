"""TRL: structured messages with an ``images`` column, as JSON lines for its SFT trainer.

Contents stay lists of parts: a string with "<image>" would get an image block and keep the literal tag.
TRL's trainer knows images only (no video column); ``max_length=None`` keeps it from cutting image tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft_llm.files import read_jsonl, write_jsonl
from deft_llm.records import Instruction
from deft_llm.unimer.exports.flat import files, meta

FILE = "trl.jsonl"


def write(rows: Iterable[Instruction], path: Path) -> list[Path]:
    """Write JSON lines: ``images`` (paths) and ``messages``."""
    write_jsonl(path, (_row(row) for row in rows))
    return [path]


def _row(row: Instruction) -> dict[str, Any]:
    messages = []
    for message in row.messages:
        parts = [
            {"type": "text", "text": part["text"]} if part["type"] == "text" else {"type": "image"}
            for part in message["content"]
            if part["type"] == "text" or row.media[part["ref"]].type != "video"
        ]
        messages.append({"role": message["role"], "content": parts})
    return {"id": row.id} | meta(row) | {"images": files(row), "messages": messages}


def validate(path: Path) -> list[str]:
    """Known roles, contents as lists of typed parts, an image part for every image, an answer at the end."""
    faults = []
    for number, row in enumerate(read_jsonl(path)):
        messages = row.get("messages", [])
        if any(message.get("role") not in ("system", "user", "assistant") for message in messages):
            faults.append(f"row {number}: unknown role")
        if not messages or messages[-1].get("role") != "assistant":
            faults.append(f"row {number}: does not end with an answer")
        parts = [
            part for message in messages for part in message.get("content", []) if isinstance(part, dict)
        ]
        if any(isinstance(message.get("content"), str) for message in messages):
            faults.append(f"row {number}: content is a string, TRL would add its own image block")
        count = sum(part.get("type") == "image" for part in parts)
        if count != len(row.get("images", [])):
            faults.append(f"row {number}: {count} image parts for {len(row.get('images', []))} images")
        if any("<image>" in part.get("text", "") for part in parts):
            faults.append(f"row {number}: a literal <image> stays in the text")
    return faults
