"""Messages as JSON lines with media columns (ms-swift; OpenAI roles)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft_llm.files import read_jsonl, write_jsonl
from deft_llm.records import Instruction
from deft_llm.unimer.exports.flat import files, flat_turns, meta

FILE = "messages.jsonl"


def write(rows: Iterable[Instruction], path: Path) -> list[Path]:
    """Write the rows as JSON lines."""
    write_jsonl(path, (_row(row) for row in rows))
    return [path]


def _row(row: Instruction) -> dict[str, Any]:
    found: dict[str, Any] = {"id": row.id} | meta(row)
    found["messages"] = [{"role": role, "content": text} for role, text in flat_turns(row)]
    for key, kind in (("images", "image"), ("videos", "video")):
        if files(row, kind):
            found[key] = files(row, kind)
    return found


def validate(path: Path) -> list[str]:
    """Known roles; system only first; users and assistants alternate and end with an answer."""
    faults = []
    for number, row in enumerate(read_jsonl(path)):
        messages = row.get("messages", [])
        roles = [message.get("role") for message in messages]
        spoken = roles[1:] if roles[:1] == ["system"] else roles
        if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
            faults.append(f"row {number}: roles {roles} do not alternate")
        if not all(isinstance(message.get("content"), str) and message["content"] for message in messages):
            faults.append(f"row {number}: a message is empty or no text")
            continue
        text = "".join(message["content"] for message in messages)
        for tag, key in (("<image>", "images"), ("<video>", "videos")):
            if text.count(tag) != len(row.get(key, [])):
                faults.append(f"row {number}: {text.count(tag)} {tag} tags for {len(row.get(key, []))} {key}")
    return faults
