"""Damages a file as transfers, editors, disks and people who mean harm do."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e300, "", "x", [], {}, [[]], 2**70, "9" * 5000, "\x1b[31m\n", "../x", "a\nb", "=1+1",
    {"__tensor__": "x"}, -(10**9), 0.5, "\ud800",
)  # fmt: skip
WORDS = (b"nan", b"inf", b"-1", b"1e999", b"9" * 5000, b"", b"\x1b[2J", b"../../x", b"\xff\xfe", b"\x00",
         b"=1+1", b"<script>", b"'", b'"', b"99999999999999999999", b"\xe2\x80\xae")  # fmt: skip


def mutate(path: Path, rng: random.Random) -> str:
    """Damage ``path`` in one way; returns what was done, in words."""
    if path.suffix in (".json", ".jsonl", ".boris") and rng.random() < 0.5:
        done = _json(path, rng)
        if done:
            return done
    name, change = rng.choice(sorted(_CHANGES.items()))
    change(path, rng)
    return name


def _json(path: Path, rng: random.Random) -> str | None:
    """Another value, or none, somewhere in a JSON file or in one of its lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    at = rng.randrange(len(lines)) if lines else 0
    try:
        value = json.loads(lines[at])
    except (ValueError, IndexError):
        return None
    places: list[tuple[Any, Any]] = []
    _places(value, places)
    if not places:
        return None
    inside, key = rng.choice(places)
    action = rng.choice(("set", "set", "remove", "rename", "swap"))
    if action == "set" or (action != "remove" and isinstance(inside, list)):
        new = rng.choice(VALUES)
        done = f"{key!r} = {str(new)[:20]!r}"
        inside[key] = new
    elif action == "remove":
        done = f"{key!r} removed"
        del inside[key]
    elif action == "rename":
        done = f"{key!r} renamed"
        inside[f"{key}x"] = inside.pop(key)
    else:
        other = rng.choice(list(inside))
        done = f"{key!r} and {other!r} swapped"
        inside[key], inside[other] = inside[other], inside[key]
    lines[at] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"JSON: {done}"


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    for key in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        found.append((value, key))
        _places(value[key], found)


def _bytes(
    change: Callable[[bytearray, random.Random], bytes | bytearray],
) -> Callable[[Path, random.Random], None]:
    def apply(path: Path, rng: random.Random) -> None:
        path.write_bytes(bytes(change(bytearray(path.read_bytes()), rng)))

    return apply


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 3, 30))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _head(data: bytearray, rng: random.Random) -> bytearray:
    for at in range(min(len(data), 64)):
        if rng.random() < 0.2:
            data[at] = rng.randrange(256)
    return data


def _piece(data: bytearray, rng: random.Random) -> slice:
    start = rng.randrange(len(data) + 1)
    return slice(start, start + rng.choice((1, 10, 200, 5000)))


def _without(data: bytearray, rng: random.Random) -> bytearray:
    del data[_piece(data, rng)]
    return data


def _twice(data: bytearray, rng: random.Random) -> bytearray:
    piece = _piece(data, rng)
    return data[: piece.stop] + data[piece.start :]


def _insert(data: bytearray, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((*WORDS, rng.randbytes(40))) + data[at:]


def _number(data: bytearray, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data)))
    if not found:
        return bytes(data)
    one = rng.choice(found[:2000])
    return bytes(data[: one.start()]) + rng.choice(WORDS) + bytes(data[one.end() :])


def _word(data: bytearray, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_]{2,}", bytes(data)))
    if not found:
        return bytes(data)
    one = rng.choice(found[:2000])
    return bytes(data[: one.start()]) + rng.choice(WORDS) + bytes(data[one.end() :])


def _lines(data: bytearray, rng: random.Random) -> bytes:
    lines = bytes(data).split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines[: rng.randrange(len(lines) + 1)])


def _utf16(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data).decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le", "utf-32")))


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "x").write_text("x")


def _pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice((path.name, "/dev/zero", "/dev/full", "/proc/self/mem", "gone", "/etc")))


_CHANGES: dict[str, Callable[[Path, random.Random], None]] = {
    "cut off": _bytes(lambda data, rng: data[: rng.randrange(len(data) + 1)]),
    "empty": _bytes(lambda data, rng: b""),
    "bits flipped": _bytes(_flip),
    "bits flipped again": _bytes(_flip),
    "header damaged": _bytes(_head),
    "piece lost": _bytes(_without),
    "piece doubled": _bytes(_twice),
    "bytes inserted": _bytes(_insert),
    "number replaced": _bytes(_number),
    "number replaced again": _bytes(_number),
    "word replaced": _bytes(_word),
    "lines shuffled and lost": _bytes(_lines),
    "other encoding": _bytes(_utf16),
    "zeros": _bytes(lambda data, rng: bytes(len(data))),
    "noise": _bytes(lambda data, rng: rng.randbytes(len(data))),
    "appended noise": _bytes(lambda data, rng: data + rng.randbytes(100)),
    "nested": _bytes(lambda data, rng: rng.choice((b"[", b'{"a":', b"a: [")) * 100_000),
    "one long line": _bytes(lambda data, rng: bytes(data).replace(b"\n", b" ") * 3),
    "folder": _folder,
    "pipe": _pipe,
    "link": _link,
}
