"""Events as a plain CSV table: frame indices and seconds side by side; they must agree."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deft_llm.codings.events import (
    INTENSITIES,
    PHASES,
    SIDES,
    STATUSES,
    CodedEvent,
    Coding,
    FrameClock,
    event_at,
    parse_name,
)  # fmt: skip
from deft_llm.errors import DeftError
from deft_llm.files import write_csv

COLUMNS = (
    "file", "fps", "coder", "face", "au", "side", "phase", "intensity", "onset", "apex", "offset",
    "onset_time", "apex_time", "offset_time", "status", "note",
)  # fmt: skip
BEYOND = "beyond the header"


def write(coding: Coding, path: Path) -> None:
    """Write ``coding`` as CSV, one row per event."""
    rows: list[Mapping[str, Any]] = [
        {"file": coding.media, "fps": f"{coding.fps:.10g}", "coder": coding.coder, **event.model_dump()}
        for event in coding.sorted().events
    ]
    if not rows:  # who coded what, though nothing was seen
        rows = [{"file": coding.media, "fps": f"{coding.fps:.10g}", "coder": coding.coder}]
    write_csv(path, COLUMNS, rows)


def reads(header: list[str]) -> bool:
    """Whether a CSV header is of this format."""
    names = {name.strip().lower() for name in header}
    return "au" in names and bool({"onset", "onset_time"} & names)


def read(path: Path, clock: FrameClock | None, text: str) -> Coding:
    """The coding in the CSV ``text`` of ``path``; ``clock`` overrules its ``fps`` column.

    Raises: DeftError for rows that cannot be read, each named by its line.
    """
    reader = csv.DictReader(io.StringIO(text))
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    doubled = next((name for name in COLUMNS if names.count(name) > 1), None)
    if doubled is not None:
        raise DeftError(f"{path}: the column {doubled!r} is there twice; rename or remove one of them.")
    reader.fieldnames = names
    reader.restkey = BEYOND
    rows = [
        (reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}) for row in _whole(reader, path)
    ]
    media = {row.get("file", "") for _, row in rows} - {""}
    if len(media) > 1:
        raise DeftError(
            f"{path}: holds events of {len(media)} videos ({', '.join(sorted(media)[:3])}); "
            "give one video per file."
        )
    rates = {row.get("fps", "") for _, row in rows} - {""}
    if clock is None:
        if len(rates) != 1:
            what = "states no frame rate" if not rates else f"states {len(rates)} frame rates"
            raise DeftError(f"{path}: {what}; give it with --fps or --media.")
        clock = FrameClock(_number(rates.pop(), f"{path}: fps"))
    coders = {row.get("coder", "") for _, row in rows} - {""}
    events = [
        _event(f"{path}, line {line}", row, clock) for line, row in rows
        if any(row.get(name) for name in ("au", "onset", "onset_time", "offset", "offset_time"))
    ]  # fmt: skip
    return Coding(
        media=media.pop() if media else "", fps=clock.fps, coder=", ".join(sorted(coders)), events=events
    ).sorted()


def _whole(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table. Raises: DeftError for one with more cells than the header."""
    for row in reader:
        if any(row.pop(BEYOND, ())):
            raise DeftError(
                f"{path}, line {reader.line_num}: has more cells than the header; put a cell that holds a "
                "comma into quotes."
            )
        yield row


def _event(where: str, row: Mapping[str, str], clock: FrameClock) -> CodedEvent:
    cell = row.get("au", "")
    named = parse_name(cell)
    if named is None:
        raise DeftError(f"{where}: AU {cell!r} is no code of FACS; write one AU per row, for example 12.")
    choice = {
        "side": _choice(where, "side", row.get("side") or named[1], SIDES),
        "phase": _choice(where, "phase", row.get("phase") or "rise", PHASES),
        "status": _choice(where, "status", row.get("status") or "coded", STATUSES),
    }
    intensity = row.get("intensity") or None
    if intensity is not None:
        intensity = _choice(where, "intensity", intensity.upper(), INTENSITIES)
    frames: dict[str, Any] = {n: _frame(row.get(n), f"{where}: {n}") for n in ("onset", "apex", "offset")}
    seconds = ("onset_time", "apex_time", "offset_time")
    times: dict[str, Any] = {n: _time(row.get(n), f"{where}: {n}") for n in seconds}
    face = _frame(row.get("face"), f"{where}: face")
    note = row.get("note", "")
    note = note[1:] if note[:1] == "'" and note[1:2] in ("=", "+", "-", "@") else note
    return event_at(
        clock, where=where, au=named[0], **choice, intensity=intensity, face=1 if face is None else face,
        note=note, **frames, **times,
    )  # fmt: skip


def _choice(where: str, name: str, word: str, known: tuple[str, ...]) -> Any:
    for option in known:
        if word.lower() == option.lower():
            return option
    raise DeftError(f"{where}: {name} {word!r} is unknown; write one of {', '.join(known)}.")


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DeftError(f"{where}: {text[:40]!r} is no number; correct the cell.") from error


def _time(text: str | None, where: str) -> float | None:
    return None if not text else _number(text, where)


def _frame(text: str | None, where: str) -> int | None:
    if not text:
        return None
    value = _number(text, where)
    if value != value or abs(value) > 1e9 or value != int(value) or value < 0:
        raise DeftError(f"{where}: {text[:40]!r} is no frame index; write a whole number from 0.")
    return int(value)
