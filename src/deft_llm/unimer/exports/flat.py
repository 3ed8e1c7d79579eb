"""Structured messages as plain text: media become tags, one for every file."""

from __future__ import annotations

from typing import Any

from deft_llm.records import Instruction

TAGS = {"image": "<image>", "video": "<video>", "flow": "<image>"}


def flat_turns(row: Instruction, *, tags: bool = True) -> list[tuple[str, str]]:
    """(role, text) of every message; a reference to media becomes its tag at that place.

    A literal tag in a text would be counted as media by every consumer, so it is defused.
    """
    turns = []
    for message in row.messages:
        text = ""
        for part in message["content"]:
            if part["type"] == "text":
                text += part["text"].replace("<image>", "< image >").replace("<video>", "< video >")
            elif tags:
                text += TAGS[row.media[part["ref"]].type] + "\n"
        turns.append((message["role"], text))
    return turns


def files(row: Instruction, kind: str = "image") -> list[str]:
    """Paths of a row's media of one kind, in order; flow pictures are images."""
    return [media.path for media in row.media if (media.type == "video") == (kind == "video")]


def meta(row: Instruction) -> dict[str, Any]:
    """What every export keeps so that folds can be cut by subject and answers scored."""
    return {"clip_id": row.clip_id, "corpus": row.corpus, "subject": row.subject, "task": row.task}
