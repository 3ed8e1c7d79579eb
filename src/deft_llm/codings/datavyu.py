"""Datavyu's CSV export by cells: columns side by side, each with ordinal, onset, offset (ms) and codes."""

from __future__ import annotations

import csv
import io
from itertools import zip_longest
from pathlib import Path

from deft_llm.codings.events import (
    INTENSITIES,
    PHASES,
    SIDES,
    STATUSES,
    AUName,
    CodedEvent,
    Coding,
    FrameClock,
    choice_in,
    event_at,
    reader_of,
    rows_in,
    stated_or_named,
    whole_number_in,
)  # fmt: skip
from deft_llm.codings.tiers import NO_EVENTS, parse_tier, unread_of
from deft_llm.corpora.tables import with_point
from deft_llm.errors import DeftError
from deft_llm.files import write_text

CODES = ("phase", "intensity", "apex", "face", "status", "note")
"""Codes of a cell; ``apex`` in milliseconds, as onset and offset are."""
TIMES = ("onset", "apex", "offset")


def write(coding: Coding, path: Path) -> None:
    """Write ``coding``; the export holds no media, no coder and no frame rate."""
    columns: dict[str, list[CodedEvent]] = {}
    for event in coding.sorted().events:
        columns.setdefault(event.name.replace(" ", "_"), []).append(event)
    names = sorted(columns) or [NO_EVENTS.replace(" ", "_")]  # a sheet without columns is none
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f"{name}.{part}" for name in names for part in ("ordinal", "onset", "offset", *CODES)])
    width = 3 + len(CODES)
    for cells in zip_longest(*(list(enumerate(columns.get(name, ()), 1)) for name in names)):
        writer.writerow([value for cell in cells for value in (_cell(*cell) if cell else [""] * width)])
    write_text(path, out.getvalue())


def _cell(ordinal: int, event: CodedEvent) -> list[str]:
    ms = lambda time: "" if time is None else str(round(time * 1000))  # noqa: E731
    return [
        str(ordinal), ms(event.onset_time), ms(event.offset_time), event.phase, event.intensity or "",
        ms(event.apex_time), str(event.face), event.status, event.note,
    ]  # fmt: skip


def reads(header: list[str]) -> bool:
    """Whether a CSV header is of this format."""
    return any(name.endswith(".ordinal") for name in header)


def read(path: Path, clock: FrameClock | None, text: str, delimiter: str) -> Coding:
    """The cells of all columns whose name is an AU ("AU12_left"); other columns are not events.

    Raises: DeftError without a clock (the export holds no frame rate) and for cells that are no times.
    """
    if clock is None:
        raise DeftError(f"{path}: a Datavyu export holds no frame rate; give it with --fps or --media.")
    reader = reader_of(text, delimiter)
    rows = [(reader.line_num, row) for row in rows_in(reader, path)]
    header = rows[0][1] if rows else []
    events = []
    names = dict.fromkeys(cell.rsplit(".", 1)[0] for cell in header if "." in cell)
    columns = {name: parse_tier(name.replace("_", " "), path) for name in names}
    for name, named in columns.items():
        if named is None:
            continue
        if doubled := next((cell for cell in header if header.count(cell) > 1), None):
            raise DeftError(f"{path}: the column {doubled!r} is there twice; rename or remove one of them.")
        place = {cell.rsplit(".", 1)[1]: i for i, cell in enumerate(header) if cell.rsplit(".", 1)[0] == name}
        for line, row in rows[1:]:
            cell = {part: row[i].strip() if i < len(row) else "" for part, i in place.items()}
            cell |= {part: with_point(cell[part], delimiter) for part in TIMES if part in cell}
            if any(cell.values()):
                events.append(_event(f"{path}, line {line}, {name}", named, cell, clock))
    return Coding(fps=clock.fps, events=events, unread=unread_of(columns)).sorted()


def _event(where: str, named: AUName, cell: dict[str, str], clock: FrameClock) -> CodedEvent:
    known = {"ordinal", "onset", "offset", "side", *CODES}
    more = [value for part, value in cell.items() if part not in known and value]
    chosen = {
        part: choice_in(cell[part], choices, f"{where}: {part}")
        for part, choices in (("phase", PHASES), ("intensity", INTENSITIES), ("status", STATUSES))
        if cell.get(part)
    }
    side = choice_in(cell.get("side") or named.side, SIDES, f"{where}: side")
    side = stated_or_named(side, named.side, "side", where)
    chosen["intensity"] = stated_or_named(chosen.get("intensity"), named.intensity, "intensity", where)
    face = whole_number_in(cell.get("face"), f"{where}: face")
    return event_at(
        clock, where=where, au=named.au, side=side, onset_time=_seconds(cell.get("onset"), where),
        apex_time=_seconds(cell.get("apex"), where), offset_time=_seconds(cell.get("offset"), where),
        face=named.face if face is None else face,
        note="; ".join(filter(None, [*more, cell.get("note", "")])), **chosen,
    )  # fmt: skip


def _seconds(text: str | None, where: str) -> float | None:
    """Milliseconds, or ``hh:mm:ss:mmm`` as Datavyu shows them."""
    if not text:
        return None
    try:
        if ":" in text:
            hours, minutes, seconds, ms = (int(part) for part in text.replace(".", ":").split(":"))
            return hours * 3600 + minutes * 60 + seconds + ms / 1000
        return float(text) / 1000
    except ValueError as error:
        raise DeftError(f"{where}: {text[:40]!r} is no time in milliseconds; correct the cell.") from error
