"""Names and index rows of a store folder.

``store.json`` (schema, settings, hash of the index, edition of the annotation where a corpus was prepared),
``shards/NNNNN.safetensors`` (tensors, clips of one shape stacked as a group), ``shards/NNNNN.json`` (its
rows, failures, work key, hash of the tensors, check of itself), ``index.jsonl`` (all rows by clip id).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import DeftError
from deft_llm.files import digest, read_model, write_text
from deft_llm.records import Clip, Units

STORE_SCHEMA = 1
HEADER = "store.json"
INDEX = "index.jsonl"
DAMAGED = "damaged: "
MAKE_STORE_AGAIN = "run the command that made the store again"


class Failure(BaseModel):
    """One clip that could not be prepared, and why; never silently dropped.

    ``passing``: the reason lies in the machine (no memory, a disk error), so the clip is tried again.
    """

    model_config = ConfigDict(extra="forbid")
    clip_id: str
    reason: str
    passing: bool = False


class IndexRow(BaseModel):
    """Where one clip lies in the store, with the scalars of its motion.

    ``sha256``: of the shard's tensor file, so that the index names the maps too: its own hash addresses the
    store.
    """

    model_config = ConfigDict(extra="forbid")
    clip: Clip
    shard: int = Field(ge=0)
    group: str
    row: int = Field(ge=0)
    sha256: str = ""
    units: Units
    iod_px: float | None = None
    fps: float | None = None
    indices: tuple[int, int, int | None] | None = None
    quality: dict[str, float] = Field(default_factory=dict)
    has: list[str] = Field(default_factory=list)


class ShardInfo(BaseModel):
    """Sidecar of one shard; ``key`` addresses the work by its clips and settings.

    ``sha256``: of the tensor file; ``check``: digest of all else here, so that a change by hand is noticed.
    """

    model_config = ConfigDict(extra="forbid")
    number: int
    key: str
    rows: list[IndexRow]
    failures: list[Failure] = Field(default_factory=list)
    sha256: str = ""
    check: str = ""

    def checked(self) -> str:
        """What ``check`` must be."""
        return digest(self.model_dump(mode="json", exclude={"check"}, exclude_none=True))


def read_shard(root: Path, number: int) -> ShardInfo:
    """The sidecar of shard ``number``. Raises: DeftError where it is damaged or was changed by hand."""
    path = sidecar_path(root, number)
    info = read_model(ShardInfo, path, mend=MAKE_STORE_AGAIN)
    if info.number != number or (info.check and info.check != info.checked()):
        raise DeftError(f"{path}: is not as it was written; {MAKE_STORE_AGAIN}.")
    return info


def write_shard_info(root: Path, info: ShardInfo) -> None:
    """Write the sidecar that makes a shard count."""
    info.check = info.checked()
    write_text(sidecar_path(root, info.number), info.model_dump_json(by_alias=True, exclude_none=True) + "\n")


def shard_path(root: Path, number: int) -> Path:
    """The tensor file of shard ``number``."""
    return Path(root) / "shards" / f"{number:05d}.safetensors"


def sidecar_path(root: Path, number: int) -> Path:
    """The sidecar of shard ``number``."""
    return Path(root) / "shards" / f"{number:05d}.json"


def store_header(
    settings: dict[str, Any], index: str | None = None, edition: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Content of ``store.json``; ``index``: SHA-256 of index.jsonl, where the store is finished;
    ``edition``: of the annotation that its clips come from, where one was given (``Corpus.edition``)."""
    known = {"index": index, "edition": edition}
    return {"schema": STORE_SCHEMA, "settings": settings} | {k: v for k, v in known.items() if v}
