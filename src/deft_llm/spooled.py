"""Arrays that lie on the disk while nobody looks at them, so that hours of video need little memory.

Small ones stay in memory. What lies on the disk comes back as a read-only memory map, a fresh one each time
that it is asked for: the pages that were read of it are let go with it. The files have no name and vanish
with the process, however it ends.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import IO, Any, Generic, TypeVar

import numpy as np

LARGE = 1 << 15  # bytes from which an array goes to the disk
PART = 4096  # frames that are worked on at once
BLOCK = 512  # rows that are packed into arrays at once
KEPT_BLOCKS = 8  # blocks that stay in memory: shorter videos never touch the disk

Key = TypeVar("Key")
Value = TypeVar("Value")
Kept = TypeVar("Kept", covariant=True)


def in_parts(count: int) -> Iterator[slice]:
    """Slices that cover ``count`` frames, PART at a time."""
    for start in range(0, count, PART):
        yield slice(start, min(start + PART, count))


Files = Callable[[str], IO[bytes]]


def _nameless_file(_: str = "") -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)


class Stored(ABC, Generic[Kept]):
    """Something on the disk."""

    @abstractmethod
    def open(self) -> Kept:
        """It, with fresh maps of its arrays."""


class Spooled(Stored[np.ndarray]):
    """One array in an unbuffered file, from byte ``offset`` on."""

    def __init__(self, handle: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._handle, self._offset, self.shape, self.dtype = handle, offset, shape, dtype

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the array in its memory."""
        return np.array, (self.open(),)

    @property
    def nbytes(self) -> int:
        """Bytes on the disk."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def open(self) -> np.ndarray:
        """A fresh read-only map, of the shape that was given."""
        if not self.nbytes:
            return np.empty(self.shape, self.dtype)
        return np.asarray(np.memmap(self._handle, self.dtype, "r", self._offset, self.shape))

    def write(self, start: int, rows: np.ndarray) -> None:
        """Set the rows from ``start`` on."""
        self._handle.seek(self._offset + start * self.nbytes // max(self.shape[0], 1))
        self._handle.write(np.ascontiguousarray(rows, self.dtype).tobytes())


class Spool(MutableMapping[Key, np.ndarray]):
    """A mapping to arrays whose large ones lie in one temporary file."""

    def __init__(self, arrays: Mapping[Key, np.ndarray] | None = None) -> None:
        self._held: dict[Key, np.ndarray | Spooled] = {}
        self._handle: IO[bytes] | None = None
        self._end = 0
        self.update(arrays or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process keeps the arrays in a file of its own."""
        return Spool, (dict(self),)

    def __getitem__(self, key: Key) -> np.ndarray:
        held = self._held[key]
        return held.open() if isinstance(held, Spooled) else held

    def __setitem__(self, key: Key, array: np.ndarray) -> None:
        self._held.pop(key, None)
        self.put(key, array, 0, len(array))

    def __delitem__(self, key: Key) -> None:
        del self._held[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def put(self, key: Key, rows: np.ndarray, start: int, total: int) -> None:
        """Set the rows from ``start`` on of an array of ``total`` rows."""
        held = self._held.get(key)
        if held is None:
            if not start and len(rows) == total and rows.nbytes < LARGE:
                self._held[key] = rows
                return
            held = self._held[key] = self._new((total, *rows.shape[1:]), rows.dtype)
        if isinstance(held, Spooled):
            held.write(start, rows)
        else:
            held[start : start + len(rows)] = rows

    def _new(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | Spooled:
        size = int(np.prod(shape)) * dtype.itemsize
        if size < LARGE:
            return np.empty(shape, dtype)
        if self._handle is None:
            self._handle = _nameless_file()
        found = Spooled(self._handle, self._end, shape, dtype)
        self._end += -(-size // dtype.itemsize) * dtype.itemsize
        self._end += -self._end % 64
        self._handle.truncate(self._end)
        return found


class Recorded:
    """Columns that grow row by row; ``empty``: name of a column -> its row where nothing is seen, which sets
    its shape and type. ``files``: name of a column -> the file that it goes to (a nameless one without)."""

    def __init__(self, empty: Mapping[str, Any], files: Files | None = None) -> None:
        self._opened = files or _nameless_file
        self._empty = {name: np.asarray(row) for name, row in empty.items()}
        self._rows: list[Mapping[str, Any]] = []
        self._blocks: dict[str, list[np.ndarray]] = {name: [] for name in self._empty}
        self._files: dict[str, IO[bytes]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row; columns that it lacks are empty."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) == BLOCK:
            self._pack()

    def _pack(self) -> None:
        rows, self._rows = self._rows, []
        for name, empty in self._empty.items():
            block = np.stack([np.asarray(row.get(name, empty), empty.dtype) for row in rows])
            self._blocks[name].append(block)
        if self._files or self._count > KEPT_BLOCKS * BLOCK:
            self._write()

    def _write(self) -> None:
        for name, blocks in self._blocks.items():
            if name not in self._files:
                self._files[name] = self._opened(name)
            for block in blocks:
                self._files[name].write(block.tobytes())
            blocks.clear()

    def flush(self) -> int:
        """Put all rows on the disk; their number."""
        if self._rows:
            self._pack()
        self._write()
        return self._count

    def resume(self, count: int) -> None:
        """Take the first ``count`` rows that lie in the files; what comes behind them is cut off.

        Raises: ValueError where a file holds fewer.
        """
        for name, empty in self._empty.items():
            file = self._files[name] = self._opened(name)
            if file.seek(0, 2) < count * empty.nbytes:
                raise ValueError(f"column {name} holds fewer than {count} rows")
            file.truncate(count * empty.nbytes)
            file.seek(0, 2)
        self._count = count

    def finish(self) -> dict[str, np.ndarray | Spooled]:
        """All columns (T, ...)."""
        if self._rows:
            self._pack()
        if self._files:
            return {
                name: Spooled(file, 0, (self._count, *self._empty[name].shape), self._empty[name].dtype)
                for name, file in self._files.items()
            }
        found: dict[str, np.ndarray | Spooled] = {}
        for name, empty in self._empty.items():
            blocks = self._blocks.pop(name) or [np.empty((0, *empty.shape), empty.dtype)]
            found[name] = np.concatenate(blocks)
        return found


class OnDisk(Generic[Value]):
    """A dataclass' field that takes what is ``Stored`` on the disk too, and opens it anew each time."""

    def __init__(self, *default: Value) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> Value:
        if instance is None:
            if self._default:
                return self._default[0]
            raise AttributeError(self._name)  # the field has no default
        held = instance.__dict__[self._name]
        return held.open() if isinstance(held, Stored) else held

    def __set__(self, instance: object, value: Value | Stored[Value]) -> None:
        instance.__dict__[self._name] = value


def standing(builder: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What an object with ``_rows`` (``Recorded``) knows, its rows as their number: they are on the disk."""
    return {name: value for name, value in vars(builder).items() if name not in (*without, "_rows")} | {
        "_rows": builder._rows.flush()
    }


def resumed(builder: Any, state: Mapping[str, Any]) -> None:
    """Give an object what ``standing`` told. Raises: ValueError where its rows are not there."""
    builder._rows.resume(state["_rows"])
    vars(builder).update({name: value for name, value in state.items() if name != "_rows"})


def loaded(held: np.ndarray | Spooled) -> np.ndarray:
    """The array in memory, of the shape that was given."""
    return np.array(held.open()) if isinstance(held, Spooled) else held
