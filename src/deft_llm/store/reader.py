"""Reads a store: one clip by id, or as a stream; never the whole store in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import open_tensors, read_object, read_rows, sha256_of
from deft_llm.records import Clip
from deft_llm.store.layout import HEADER, INDEX, MAKE_STORE_AGAIN, STORE_SCHEMA, Failure, IndexRow, shard_path
from deft_llm.store.motion import REGION_FIELDS, TENSOR_FIELDS, Motion, RegionTable


class Store:
    """A finished store at ``root``.

    Raises: DeftError where the folder is no store, is unfinished, or has another schema.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        if not (self.root / HEADER).exists():
            raise DeftError(f"{self.root}: is not a store (no store.json); make one with 'deft prepare'.")
        header = read_object(self.root / HEADER, mend=MAKE_STORE_AGAIN)
        if header.get("schema") != STORE_SCHEMA:
            raise DeftError(f"{self.root}: store of schema {header.get('schema')}, this version reads "
                            f"{STORE_SCHEMA}; prepare the corpus again.")  # fmt: skip
        if not (self.root / INDEX).exists():
            raise DeftError(f"{self.root}: the store is unfinished; run the command that makes it again.")
        if not isinstance(header.get("settings"), dict):
            raise DeftError(f"{self.root / 'store.json'}: has no settings; {MAKE_STORE_AGAIN}.")
        self.settings: dict[str, Any] = header["settings"]
        self._index_sha: str | None = header.get("index")

    @cached_property
    def rows(self) -> dict[str, IndexRow]:
        """All index rows by clip id, in order of clip id.

        Raises: DeftError where the index is damaged or was changed by hand.
        """
        path = self.root / INDEX
        rows = list(read_rows(IndexRow, path, mend=MAKE_STORE_AGAIN))
        if self._index_sha is not None and sha256_of(path) != self._index_sha:
            raise DeftError(f"{path}: is not as it was written; {MAKE_STORE_AGAIN}.")
        return {row.clip.clip_id: row for row in rows}

    @property
    def clips(self) -> list[Clip]:
        """All clip records in order of clip id."""
        return [row.clip for row in self.rows.values()]

    @property
    def failures(self) -> list[Failure]:
        """Clips that could not be prepared, with their reasons."""
        path = self.root / "failed.jsonl"
        return list(read_rows(Failure, path, mend=MAKE_STORE_AGAIN)) if path.exists() else []

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self.rows

    def row(self, clip_id: str) -> IndexRow:
        """Index row of one clip. Raises: DeftError for an id that is not there."""
        if clip_id not in self.rows:
            raise DeftError(f"{self.root}: no clip {clip_id}; see its index.jsonl for the ids.")
        return self.rows[clip_id]

    def motion(self, clip_id: str, fields: Sequence[str] | None = None) -> Motion:
        """One clip's motion; ``fields`` (of TENSOR_FIELDS, flow and strain always) limits what is read."""
        row = self.row(clip_id)
        with open_tensors(shard_path(self.root, row.shard), mend=MAKE_STORE_AGAIN) as handle:
            prefix = f"{row.group}/"
            names = {key.removeprefix(prefix) for key in handle.keys() if key.startswith(prefix)}  # noqa: SIM118
            wanted = names if fields is None else names & ({"flow", "strain", *fields} | _REGION_KEYS)
            arrays = {name: handle.get_slice(prefix + name)[row.row] for name in wanted}
            return _motion(row, arrays)

    def stream(self, fields: Sequence[str] | None = None) -> Iterator[tuple[Clip, Motion]]:
        """All clips in order of clip id, read one at a time."""
        for clip_id, row in self.rows.items():
            yield row.clip, self.motion(clip_id, fields)

    def shards(self, fields: Sequence[str]) -> Iterator[tuple[list[IndexRow], dict[str, np.ndarray]]]:
        """Groups of same-shaped clips with stacked tensors (N, ...), for bulk reading.

        ``fields`` are of TENSOR_FIELDS or "regions.dx" and so on.
        """
        groups: dict[tuple[int, str], list[IndexRow]] = {}
        for row in self.rows.values():
            groups.setdefault((row.shard, row.group), []).append(row)
        for (shard, group), rows in sorted(groups.items()):
            order = [row.row for row in rows]
            with open_tensors(shard_path(self.root, shard), mend=MAKE_STORE_AGAIN) as handle:
                there = set(handle.keys())
                arrays = {
                    name: handle.get_tensor(f"{group}/{name}")[order]
                    for name in fields
                    if f"{group}/{name}" in there
                }
            yield rows, arrays

    def hash(self) -> str:
        """SHA-256 over index and tensors: equal stores have equal hashes."""
        sha = hashlib.sha256((self.root / INDEX).read_bytes())
        for number in sorted({row.shard for row in self.rows.values()}):
            sha.update(shard_path(self.root, number).read_bytes())
        return sha.hexdigest()


_REGION_KEYS = {f"regions.{name}" for name in REGION_FIELDS}


def _motion(row: IndexRow, arrays: dict[str, np.ndarray]) -> Motion:
    wide = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in arrays.items()}
    regions = RegionTable(**{name: wide[f"regions.{name}"] for name in REGION_FIELDS})
    tensors: dict[str, Any] = {name: wide[name] for name in TENSOR_FIELDS if name in wide}
    return Motion(clip_id=row.clip.clip_id, units=row.units, regions=regions, iod_px=row.iod_px, fps=row.fps,
                  indices=row.indices, quality=row.quality, **tensors)  # fmt: skip
