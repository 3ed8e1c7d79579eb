"""One account of a movement: class, units, figures and text say the same, and what they do not is marked.

A release has no class: its answer names what is released. Where a method's text states what the measurement
contradicts, the statement is marked where it stands.
"""

from __future__ import annotations

from deft_llm.answer import UNDETERMINED, AnswerError, parse
from deft_llm.explain.units import OPPOSITES
from deft_llm.facs.units import name
from deft_llm.facs.words import listed
from deft_llm.spotting.movement import Movement, MovementUnit

SURE = 0.5  # confidence from which a unit of the movement contradicts a statement


def release_answer(movement: Movement) -> str:
    """The answer for a movement that only ends an expression: no class, the units that are released."""
    said = "; ".join(_statement(unit) for unit in movement.units) or "none"
    named = listed([f"AU{unit.number} ({name(unit.number)})" for unit in movement.units])
    return (
        f"Class: {UNDETERMINED} ({UNDETERMINED})\nEvidence: {said}\nRationale: The face returns towards "
        f"its neutral: {named} {'is' if len(movement.units) == 1 else 'are'} released. The end of an "
        "expression is no expression of its own, so it has no class."
    )


def _statement(unit: MovementUnit) -> str:
    figures = ""
    if unit.px is not None and unit.iod_percent is not None:
        figures = f", {unit.px:.1f} px ({unit.iod_percent:.1f} % IOD)"
    return unit.words + figures


def contradicted(answer: str | None, movement: Movement) -> list[str]:
    """Statements of an answer that what was measured of the movement contradicts, each with why."""
    try:
        told = parse(answer or "")
    except AnswerError:
        return []
    found, rising = [], {unit.number for unit in movement.rises}
    for item in told.evidence:
        against = next((unit for unit in movement.units if _denies(unit, item.au)), None)
        if item.au in rising:
            against = None
        if against is not None:
            found.append(f"AU{item.au} {item.side_word}: the measurement shows {against.words} instead")
            continue
        same = next((unit for unit in movement.rises if unit.number == item.au), None)
        if same and {same.side, item.side} == {"left", "right"}:
            found.append(f"AU{item.au} {item.side}: the measurement shows it on the {same.side}")
    return found


def _denies(unit: MovementUnit, au: int) -> bool:
    """Whether a unit of the movement excludes the rise of ``au``."""
    if unit.confidence < SURE and unit.phase == "rise":
        return False
    if unit.phase == "release":
        return unit.number == au or unit.number in OPPOSITES.get(au, ())
    return au in OPPOSITES.get(unit.number, ()) and unit.number in OPPOSITES.get(au, ())
