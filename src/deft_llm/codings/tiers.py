"""Events on the tiers of annotation programs: a tier per AU, side and face, and what an annotation says.

A value is phase, intensity and status ("rise C", "release", "rise proposed"), or free text; the apex is a
mark on a tier of its own, inside the annotation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deft_llm.codings.events import (
    INTENSITIES,
    PHASES,
    STATUSES,
    AUName,
    CodedEvent,
    Intensity,
    parse_name,
    stated_or_named,
)  # fmt: skip
from deft_llm.errors import DeftError
from deft_llm.facs.notation import parse_aus
from deft_llm.facs.units import valid_sides


def tier_name(event: CodedEvent, number: int = 1) -> str:
    """Name of the event's tier: "AU12 left", "AU12 left face 2", "AU12 left #2" where events overlap."""
    face = "" if event.face == 1 else f" face {event.face}"
    return event.name + face + ("" if number == 1 else f" #{number}")


_SPELLED = re.compile(
    r"(?:(?:left|right|both|bilateral|asymmetric|[LRAB])[\s_.-]*)?AU[\s_.-]*\d.*"
    r"|[LR]\d{1,2}[A-E]?[LR]?",
    re.I | re.S,
)
"""Names that mean an AU, whether or not there is such a one: with "AU", or a side before the number."""
_CODE = re.compile(r"[LRATB]{0,2}\d{1,2}[A-E]?[LR]?", re.I)
_BESIDE = (" apex", " note")
"""Ends of the names of tiers that go with one of events."""
NO_EVENTS = "no events"
"""The tier or column of a coding without events, where a file without one is none."""


def parse_tier(text: str, path: Path) -> AUName | None:
    """AU, side, intensity and face of the name of a tier, behaviour or column of ``path``; None where it
    names no AU ("speech", "V2"), or a code with a letter that FACS does not give that AU ("T1", "A3").

    Raises: DeftError for a name that means AUs and is not one of one AU and side ("AU12+25", "AU99", "T23"):
    its events would be taken for none.
    """
    name = text.strip()
    found = re.fullmatch(r"(.*?)(?: face (\d{1,3}))?(?: #\d+)?", name, re.S)
    named = parse_name(found[1]) if found else None
    if found is not None and named is not None and (_SPELLED.match(name) or _scored(named.au, named.side)):
        return named._replace(face=int(found[2] or 1) or 1)
    if _means_aus(name):
        raise DeftError(
            f"{path}: the name {text[:40]!r} is not that of one AU; call it as 'AU12', 'AU12 left' or "
            "'AU12 right', or otherwise where it is none."
        )
    return None


def _means_aus(name: str) -> bool:
    """Whether a name is meant as that of AUs: spelled as one, or in FACS notation, which may hold a number
    that FACS does not have beside others ("12+99")."""
    if name.endswith(_BESIDE):
        return False
    if _SPELLED.fullmatch(name):
        return True
    read = parse_aus(name)
    codes = all(_CODE.fullmatch(piece) for piece in read.unread)
    return codes and any(_scored(unit.number, unit.part or unit.side) for unit in read.aus)


def _scored(au: int, word: str) -> bool:
    """Whether FACS gives an AU that side or part of the lips; coders write left and right of any."""
    return word in ("left", "right") or word in valid_sides(au)


def unread_of(named: Mapping[str, AUName | None]) -> list[str]:
    """Of the names in a file, each with what it says (``parse_tier``), those whose events are not read."""
    own = lambda name: name.endswith(_BESIDE) or name.replace("_", " ") == NO_EVENTS  # noqa: E731
    return [name for name, found in named.items() if found is None and not own(name)]


def unread_line(names: Sequence[str]) -> str:
    """One line that tells of ``Coding.unread``: "not read, no names of AUs: speech, T1"."""
    return f"not read, no names of AUs: {', '.join(names)}"


def on_tiers(
    events: Sequence[CodedEvent], span: Callable[[CodedEvent], tuple[float, float]]
) -> list[tuple[int, CodedEvent]]:
    """Events, which come in order of onset, with the number of the tier that each is put on: 1, or more where
    two of one AU, side and face overlap. ``span``: start and end of the annotation; the end is outside it.
    """
    ends: dict[str, float] = {}
    placed = []
    for event in events:
        start, end = span(event)
        number = 1
        while ends.get(tier_name(event, number), start) > start:
            number += 1
        ends[tier_name(event, number)] = end
        placed.append((number, event))
    return placed


def take_inside(marks: list[float], start: float, end: float) -> float | None:
    """The first of the marks, in order, that lies in [start, end]: the apex of that annotation and of no
    other, so it is taken from ``marks``.
    """
    place = next((i for i, mark in enumerate(marks) if start <= mark <= end), None)
    return None if place is None else marks.pop(place)


def value_of(event: CodedEvent) -> str:
    """ "rise C", "release", "rise B proposed"."""
    words = [event.phase, event.intensity, None if event.status == "coded" else event.status]
    return " ".join(word for word in words if word)


_CODES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("phase", PHASES), ("intensity", INTENSITIES), ("status", STATUSES),
)  # fmt: skip


def words_of(values: Sequence[str], note: str, graded: Intensity | None, where: str) -> dict[str, Any]:
    """Phase, intensity and status in the values of an annotation, with the note; ``graded``: the intensity in
    its tier's name.

    A value with a word that is none of them, or with two of a kind, is free text: all of it joins the note.
    Raises: DeftError where a value contradicts ``graded``.
    """
    found: dict[str, Any] = {}
    rest = []
    for value in values:
        codes = _codes_of(value)
        if codes is None or found.keys() & codes.keys():
            rest.append(" ".join(value.split()))
        else:
            found |= codes
    found["intensity"] = stated_or_named(found.get("intensity"), graded, "intensity", where)
    return found | {"note": " ".join(filter(None, [*rest, note]))}


def _codes_of(value: str) -> dict[str, str] | None:
    """Phase, intensity and status, each once at most, that a value is made of; None for any other text."""
    found: dict[str, str] = {}
    for word in value.split():
        code = next(
            ((kind, one) for kind, known in _CODES for one in known if one.lower() == word.lower()), None
        )
        if code is None or code[0] in found:
            return None
        found[code[0]] = code[1]
    return found
