"""Events as a plain CSV table: frame indices and seconds side by side; they must agree."""

from __future__ import annotations

import csv
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
    choice_in,
    clock_for,
    event_at,
    number_in,
    only_coder,
    parse_name,
    reader_of,
    rows_in,
    stated_or_named,
    whole_number_in,
)  # fmt: skip
from deft_llm.corpora.tables import with_point
from deft_llm.errors import DeftError
from deft_llm.files import plain_cell, write_csv

COLUMNS = (
    "file", "fps", "coder", "face", "au", "side", "phase", "intensity", "onset", "apex", "offset",
    "onset_time", "apex_time", "offset_time", "status", "note",
)  # fmt: skip
NUMBERS = ("fps", "onset", "apex", "offset", "onset_time", "apex_time", "offset_time")
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


def read(path: Path, clock: FrameClock | None, text: str, delimiter: str) -> Coding:
    """The coding in the CSV ``text`` of ``path``; ``clock`` as in ``clock_for``.

    Raises: DeftError for rows that cannot be read, each named by its line.
    """
    reader = csv.DictReader(())
    reader.reader = reader_of(text, delimiter)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    doubled = next((name for name in COLUMNS if names.count(name) > 1), None)
    if doubled is not None:
        raise DeftError(f"{path}: the column {doubled!r} is there twice; rename or remove one of them.")
    reader.fieldnames = names
    reader.restkey = BEYOND
    rows = [
        (reader.line_num, {k: plain_cell((v or "").strip()) for k, v in row.items() if k})
        for row in _whole(reader, path)
    ]
    for _, row in rows:
        row |= {name: with_point(row[name], delimiter) for name in NUMBERS if name in row}
    media = {row.get("file", "") for _, row in rows} - {""}
    if len(media) > 1:
        raise DeftError(
            f"{path}: holds events of {len(media)} videos ({', '.join(sorted(media)[:3])}); "
            "give one video per file."
        )
    coder = only_coder((row.get("coder", "") for _, row in rows), path)
    rates = (number_in(row["fps"], f"{path}: fps") for _, row in rows if row.get("fps"))
    clock = clock_for(clock, rates, path)
    if clock is None:
        raise DeftError(f"{path}: states no frame rate; give it with --fps or --media.")
    events = [
        _event(f"{path}, line {line}", row, clock) for line, row in rows
        if any(row.get(name) for name in ("au", "onset", "onset_time", "offset", "offset_time"))
    ]  # fmt: skip
    return Coding(media=media.pop() if media else "", fps=clock.fps, coder=coder, events=events).sorted()


def _whole(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table. Raises: DeftError for one with more cells than the header."""
    for row in rows_in(reader, path):
        if any(row.pop(BEYOND, ())):
            raise DeftError(
                f"{path}, line {reader.line_num}: has more cells than the header; put a cell that holds "
                "the delimiter into quotes."
            )
        yield row


def _event(where: str, row: Mapping[str, str], clock: FrameClock) -> CodedEvent:
    cell = row.get("au", "")
    named = parse_name(cell)
    if named is None:
        raise DeftError(f"{where}: AU {cell!r} is no code of FACS; write one AU per row, for example 12.")
    choice = {
        "phase": choice_in(row.get("phase") or "rise", PHASES, f"{where}: phase"),
        "status": choice_in(row.get("status") or "coded", STATUSES, f"{where}: status"),
    }
    intensity = row.get("intensity") or None
    if intensity is not None:
        intensity = choice_in(intensity.upper(), INTENSITIES, f"{where}: intensity")
    intensity = stated_or_named(intensity, named.intensity, "intensity", where)
    side = choice_in(row.get("side") or named.side, SIDES, f"{where}: side")
    side = stated_or_named(side, named.side, "side", where)
    points = ("onset", "apex", "offset")
    frames: dict[str, Any] = {n: whole_number_in(row.get(n), f"{where}: {n}") for n in points}
    seconds = ("onset_time", "apex_time", "offset_time")
    times: dict[str, Any] = {n: _time(row.get(n), f"{where}: {n}") for n in seconds}
    face = whole_number_in(row.get("face"), f"{where}: face")
    return event_at(
        clock, where=where, au=named.au, side=side, **choice, intensity=intensity,
        face=1 if face is None else face, note=row.get("note", ""), **frames, **times,
    )  # fmt: skip


def _time(text: str | None, where: str) -> float | None:
    return None if not text else number_in(text, where)
