"""LLaVA: a JSON list of ``{id, image, conversations}`` (LLaVA, docs/Finetune_Custom_Data.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft_llm.files import atomic_path, read_json
from deft_llm.records import Instruction
from deft_llm.unimer.exports.flat import files, flat_turns, meta

FILE = "llava.json"
ROLES = {"user": "human", "assistant": "gpt"}


def write(rows: Iterable[Instruction], path: Path) -> list[Path]:
    """Write the list, streamed."""
    write_list(path, (_row(row) for row in rows))
    return [path]


def write_list(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSON list, one row per line, never whole in memory."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for number, row in enumerate(rows):
            handle.write(("[\n" if number == 0 else ",\n") + json.dumps(row, ensure_ascii=False))
        handle.write("\n]\n" if handle.tell() else "[]\n")


def _row(row: Instruction) -> dict[str, Any]:
    turns = [{"from": ROLES[role], "value": text} for role, text in flat_turns(row) if role in ROLES]
    images, videos = files(row), files(row, "video")
    found: dict[str, Any] = {"id": row.id, "conversations": turns} | meta(row)
    if images:
        found["image"] = images[0] if len(images) == 1 else images
    if videos:
        found["video"] = videos[0] if len(videos) == 1 else videos
    return found


def validate(path: Path) -> list[str]:
    """LLaVA's rules: id, alternating human and gpt beginning with human, as many tags as files."""
    faults: list[str] = []
    ids: set[str] = set()
    for number, row in enumerate(read_json(path)):
        where = f"row {number} ({row.get('id')})"
        if not isinstance(row.get("id"), str) or row["id"] in ids:
            faults.append(f"{where}: id missing or there twice")
        ids.add(str(row.get("id")))
        turns = row.get("conversations", [])
        roles = [turn.get("from") for turn in turns]
        if not turns or len(turns) % 2 or roles != ["human", "gpt"] * (len(turns) // 2):
            faults.append(f"{where}: turns do not alternate between human and gpt")
        text = "".join(turn.get("value", "") for turn in turns)
        for tag, key in (("<image>", "image"), ("<video>", "video")):
            named = row.get(key, [])
            count = 1 if isinstance(named, str) else len(named)
            if text.count(tag) != count:
                faults.append(f"{where}: {text.count(tag)} {tag} tags for {count} files")
    return faults


def read(path: Path) -> list[list[tuple[str, str]]]:
    """The dialogues of an export, as (role, text) with our roles; for round trips."""
    back = {"human": "user", "gpt": "assistant"}
    return [[(back[turn["from"]], turn["value"]) for turn in row["conversations"]] for row in read_json(path)]
