"""LLaMA-Factory: ShareGPT rows and the dataset_info.json that registers them.

Its loader skips rows whose turns do not alternate or are odd in number, and raises where tags and files
differ in number.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft_llm.files import read_json, write_json
from deft_llm.records import Instruction
from deft_llm.unimer.exports.flat import files, flat_turns, meta
from deft_llm.unimer.exports.llava import write_list

FILE, INFO, NAME = "data.json", "dataset_info.json", "unimer"
ROLES = {"user": "human", "assistant": "gpt"}
MEDIA = (("<image>", "images"), ("<video>", "videos"))


def write(rows: Iterable[Instruction], path: Path) -> list[Path]:
    """Write ``path`` and dataset_info.json beside it; media columns that nothing uses are left out."""
    used: set[str] = set()
    write_list(path, (_row(row, used) for row in rows))
    columns = {"messages": "conversations", "system": "system"} | {name: name for name in sorted(used)}
    tags = {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
        "system_tag": "system",
    }
    info = {NAME: {"file_name": path.name, "formatting": "sharegpt", "columns": columns, "tags": tags}}
    write_json(path.with_name(INFO), info)
    return [path, path.with_name(INFO)]


def _row(row: Instruction, used: set[str]) -> dict[str, Any]:
    turns = flat_turns(row)
    found: dict[str, Any] = {"id": row.id} | meta(row)
    found["system"] = "\n".join(text for role, text in turns if role == "system")
    found["conversations"] = [{"from": ROLES[role], "value": text} for role, text in turns if role in ROLES]
    for key, kind in (("images", "image"), ("videos", "video")):
        if files(row, kind):
            found[key] = files(row, kind)
            used.add(key)
    return found


def validate(path: Path) -> list[str]:
    """LLaMA-Factory's rules on both files."""
    info = read_json(path.with_name(INFO))
    faults: list[str] = []
    for name, entry in info.items():
        if entry.get("formatting") != "sharegpt" or not path.with_name(entry.get("file_name", "-")).is_file():
            return [f"dataset_info.json: {name} is not sharegpt or its file is missing"]
        columns, tags = entry["columns"], entry["tags"]
        for number, row in enumerate(read_json(path.with_name(entry["file_name"]))):
            faults += [f"row {number}: {fault}" for fault in _row_faults(row, columns, tags)]
    return faults


def _row_faults(row: dict[str, Any], columns: dict[str, str], tags: dict[str, str]) -> list[str]:
    turns = row.get(columns["messages"], [])
    roles = [turn.get(tags["role_tag"]) for turn in turns]
    if not turns or len(turns) % 2 or roles != [tags["user_tag"], tags["assistant_tag"]] * (len(turns) // 2):
        return ["skipped: turns do not alternate user and assistant in even number"]
    text = "".join(turn[tags["content_tag"]] for turn in turns)
    faults = []
    for tag, key in MEDIA:
        given = row.get(columns.get(key, key), []) or []
        if key in row and key not in columns:
            faults.append(f"{key} are there but not registered as a column")
        if text.count(tag) != len(given):
            faults.append(f"{text.count(tag)} {tag} tags for {len(given)} {key}")
    return faults
