"""LLaVA: a JSON list of ``{id, image, conversations}`` (LLaVA, docs/Finetune_Custom_Data.md).

Its loader takes one image a row (``image`` is a path): rows with several are refused, not squeezed in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError
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
    for key, paths in (("image", images), ("video", videos)):
        if len(paths) > 1:
            raise DeftError(
                f"llava: row {row.id} has {len(paths)} {key}s and LLaVA's loader takes one per row; export "
                "with --format llamafactory, messages or trl, which take several."
            )
        if paths:
            found[key] = paths[0]
    return found


def validate(path: Path) -> list[str]:
    """LLaVA's rules: id, alternating human and gpt beginning with human, one path a row with one tag."""
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
            if not isinstance(row.get(key, ""), str):
                faults.append(f"{where}: {key} is no path; LLaVA's loader takes one per row")
            elif text.count(tag) != (key in row):
                faults.append(f"{where}: {text.count(tag)} {tag} tags for {int(key in row)} files")
    return faults


def read(path: Path) -> list[list[tuple[str, str]]]:
    """The dialogues of an export, as (role, text) with our roles; for round trips."""
    back = {"human": "user", "gpt": "assistant"}
    return [[(back[turn["from"]], turn["value"]) for turn in row["conversations"]] for row in read_json(path)]
