"""Names and index rows of a store folder.

``store.json`` (schema, settings), ``shards/NNNNN.safetensors`` (tensors, clips of one shape stacked as a
group), ``shards/NNNNN.json`` (its rows, failures and work key), ``index.jsonl`` (all rows by clip id).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deft_llm.records import Clip, Units

STORE_SCHEMA = 1


class Failure(BaseModel):
    """One clip that could not be prepared, and why; never silently dropped."""

    model_config = ConfigDict(extra="forbid")
    clip_id: str
    reason: str


class IndexRow(BaseModel):
    """Where one clip lies in the store, with the scalars of its motion."""

    model_config = ConfigDict(extra="forbid")
    clip: Clip
    shard: int
    group: str
    row: int
    units: Units
    iod_px: float | None = None
    fps: float | None = None
    indices: tuple[int, int, int | None] | None = None
    quality: dict[str, float] = Field(default_factory=dict)
    has: list[str] = Field(default_factory=list)


class ShardInfo(BaseModel):
    """Sidecar of one shard; ``key`` addresses the work by its clips and settings."""

    model_config = ConfigDict(extra="forbid")
    number: int
    key: str
    rows: list[IndexRow]
    failures: list[Failure] = Field(default_factory=list)
    sha256: str = ""


def shard_path(root: Path, number: int) -> Path:
    """The tensor file of shard ``number``."""
    return Path(root) / "shards" / f"{number:05d}.safetensors"


def sidecar_path(root: Path, number: int) -> Path:
    """The sidecar of shard ``number``."""
    return Path(root) / "shards" / f"{number:05d}.json"


def store_header(settings: dict[str, Any]) -> dict[str, Any]:
    """Content of ``store.json``."""
    return {"schema": STORE_SCHEMA, "settings": settings}
