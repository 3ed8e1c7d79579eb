"""Writes a store shard by shard; a shard is the unit of work, of resuming and of workers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, digest, read_object, sha256_of, write_json, write_jsonl
from deft_llm.records import Clip
from deft_llm.store.layout import (
    DAMAGED,
    HEADER,
    INDEX,
    STORE_SCHEMA,
    Failure,
    IndexRow,
    ShardInfo,
    read_shard,
    shard_path,
    sidecar_path,
    store_header,
    write_shard_info,
)
from deft_llm.store.motion import FLOAT16_FIELDS, REGION_FIELDS, TENSOR_FIELDS, Motion


class StoreWriter:
    """Opens (or makes) a store at ``root`` for one set of settings.

    Any number of writers may write different shards of one store at once; ``finish`` is called by one.
    Raises: DeftError where the folder holds a store of other settings.
    """

    def __init__(self, root: Path, settings: dict[str, Any]) -> None:
        self.root = Path(root)
        self.settings = settings
        header = self.root / HEADER
        if header.exists():
            found = read_object(header, mend="prepare into a new folder")
            if found.get("schema") != STORE_SCHEMA:
                raise DeftError(f"{header}: store of schema {found.get('schema')}, this version writes "
                                f"{STORE_SCHEMA}; prepare into a new folder.")  # fmt: skip
            if found.get("settings") != settings:
                raise DeftError(f"{header}: the store was made with other settings; "
                                "prepare into a new folder or remove this one.")  # fmt: skip
        else:
            write_json(header, store_header(settings))

    def work_key(self, parts: Sequence[Any]) -> str:
        """Address of a shard's work: its clips (and whatever else decides its content) and the settings."""
        return digest([list(parts), self.settings])

    def has_shard(self, number: int, key: str) -> bool:
        """Whether shard ``number`` is complete, unharmed and was made from the same clips and settings."""
        return self.why_not(number, key) is None

    def why_not(self, number: int, key: str) -> str | None:
        """Why shard ``number`` must be made (again), None where it is there as it was written.

        "DAMAGED..." where it was there and is not what was written: its tensors are hashed.
        """
        side, tensors = sidecar_path(self.root, number), shard_path(self.root, number)
        if not side.exists():
            return "is not there"
        try:
            info = read_shard(self.root, number)
        except DeftError as error:
            return f"{DAMAGED}{error}"
        if info.key != key:
            return "was made from other clips or settings"
        if any(failure.passing for failure in info.failures):
            return "has clips that failed for want of memory or the like"
        if not info.rows:
            return None
        if not tensors.is_file():
            return f"{DAMAGED}{tensors}: is not there."
        status = tensors.stat()
        if _hash(str(tensors), status.st_size, status.st_mtime_ns) != info.sha256:
            return f"{DAMAGED}{tensors}: is not as it was written."
        return None

    def write_shard(
        self, number: int, key: str, items: Sequence[tuple[Clip, Motion]], failures: Sequence[Failure] = ()
    ) -> None:
        """Write one shard atomically: tensors first, then the sidecar that makes it count.

        The store is unfinished from here on until ``finish``: an index of what was there before would lead
        to the new tensors.
        """
        tensors, rows = _stack(number, items)
        (self.root / INDEX).unlink(missing_ok=True)
        path = shard_path(self.root, number)
        sha = ""
        if rows:
            with atomic_path(path) as temporary:
                save_file(tensors, temporary)
            sha = sha256_of(path)
        for row in rows:
            row.sha256 = sha
        info = ShardInfo(number=number, key=key, rows=rows, failures=list(failures), sha256=sha)
        write_shard_info(self.root, info)

    def finish(self, shards: int, edition: dict[str, Any] | None = None) -> list[Failure]:
        """Merge the sidecars of shards 0..shards-1 into ``index.jsonl``, remove strays, return failures.

        ``edition``: of the annotation, for the header; None keeps the one that is there.
        """
        rows: list[IndexRow] = []
        failures: list[Failure] = []
        for number in range(shards):
            info = read_shard(self.root, number)
            rows += info.rows
            failures += info.failures
        for stray in (self.root / "shards").glob("*"):
            if not stray.stem.isdigit() or int(stray.stem) >= shards:
                stray.unlink()
        rows.sort(key=lambda row: row.clip.clip_id)
        twice = [
            a.clip.clip_id for a, b in zip(rows, rows[1:], strict=False) if a.clip.clip_id == b.clip.clip_id
        ]
        if twice:
            raise DeftError(
                f"{self.root}: clip {twice[0]} is there twice; remove the duplicate from the corpus."
            )
        write_jsonl(self.root / "failed.jsonl", sorted(failures, key=lambda f: f.clip_id))
        index, header = self.root / INDEX, self.root / HEADER
        edition = edition or read_object(header, mend="prepare into a new folder").get("edition")
        write_jsonl(index, (row_line(row) for row in rows))
        write_json(header, store_header(self.settings, sha256_of(index), edition))
        return failures


@lru_cache(maxsize=4096)
def _hash(path: str, size: int, modified: int) -> str:
    """SHA-256 of a shard; size and time only tell when a cached one is old."""
    return sha256_of(Path(path))


def row_line(row: IndexRow) -> dict[str, Any]:
    """An index row as plain JSON, without empty fields."""
    return row.model_dump(mode="json", by_alias=True, exclude_none=True)


def _arrays(motion: Motion) -> dict[str, np.ndarray]:
    found = {name: getattr(motion, name) for name in TENSOR_FIELDS if getattr(motion, name) is not None}
    found |= {f"regions.{name}": getattr(motion.regions, name) for name in REGION_FIELDS}
    return {name: _storable(name, value) for name, value in found.items()}


def _storable(name: str, value: np.ndarray) -> np.ndarray:
    value = np.asarray(value)
    if name in FLOAT16_FIELDS:
        return value.astype(np.float16)
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def _stack(number: int, items: Sequence[tuple[Clip, Motion]]) -> tuple[dict[str, np.ndarray], list[IndexRow]]:
    groups: dict[tuple[Any, ...], str] = {}
    stacks: dict[str, list[np.ndarray]] = {}
    rows: list[IndexRow] = []
    for clip, motion in items:
        arrays = _arrays(motion)
        shape = tuple((name, array.shape, array.dtype.str) for name, array in sorted(arrays.items()))
        group = groups.setdefault(shape, f"g{len(groups)}")
        row = len(stacks.get(f"{group}/flow", ()))
        for name, array in arrays.items():
            stacks.setdefault(f"{group}/{name}", []).append(array)
        rows.append(
            IndexRow(clip=clip, shard=number, group=group, row=row, units=motion.units, iod_px=motion.iod_px,
                     fps=motion.fps, indices=motion.indices, quality=motion.quality, has=sorted(motion.has))
        )  # fmt: skip
    return {name: np.ascontiguousarray(np.stack(arrays)) for name, arrays in stacks.items()}, rows
