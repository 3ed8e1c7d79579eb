"""One account of a movement: class, units, figures and text say the same, and what they do not is marked.

A release has no class: its answer names what is released. Where a method's text states what the measurement
contradicts, the statement is marked where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from deft_llm.answer import SIDE_WORDS, UNDETERMINED, Answer, AnswerError, parse
from deft_llm.explain.units import OPPOSITES
from deft_llm.facs.units import name
from deft_llm.facs.words import listed
from deft_llm.records import AUSide
from deft_llm.spotting.movement import Movement, MovementUnit

SURE = 0.5  # confidence from which a unit of the movement contradicts a statement
_TOLD = re.compile(r"([^.]*?)\bAU(\d+)")


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


def contradicted(
    answer: str | None, movement: Movement, not_judged: Mapping[int, str] | None = None
) -> list[str]:
    """Statements of an answer that what was measured of the movement contradicts, each with why.

    ``not_judged``: AU -> why the skin's motion says nothing of it; what is below the clip's noise is no
    evidence. The rationale is held to the measured sides as the evidence is.
    """
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
        noise = (not_judged or {}).get(item.au, "")
        if item.au not in rising and noise.startswith("z "):
            found.append(f"AU{item.au} {item.side_word}: {noise.replace(':', ',', 1)}")
        found += _wrong_side(movement, item.au, item.side, "")
    for au, side in _sides_told(told):
        found += _wrong_side(movement, au, side, "The rationale's ")
    seen = [unit for unit in movement.rises if unit.confidence >= SURE]
    if seen and not told.evidence:
        found.append(f"Evidence none: the measurement shows {listed([unit.words for unit in seen])}")
    return found


def _wrong_side(movement: Movement, au: int, side: AUSide, whose: str) -> list[str]:
    """The mark of a unit that is told on another side than the one on which it was measured."""
    unit = next((unit for unit in movement.rises if unit.number == au), None)
    if unit is None or unit.side not in ("left", "right") or side in (unit.side, "asymmetric"):
        return []
    return [f"{whose}AU{au} {side}: the measurement shows it on the {unit.side}"]


def _sides_told(told: Answer) -> list[tuple[int, AUSide]]:
    """AU and side where a rationale names a unit after one side ("both mouth corners ..., which is AU12")."""
    found: list[tuple[int, AUSide]] = []
    for words, au in _TOLD.findall(told.rationale):
        sides = [side for side, word in SIDE_WORDS.items() if re.search(rf"\b{word}\b", words)]
        if len(sides) == 1:
            found.append((int(au), sides[0]))
    return found


def _denies(unit: MovementUnit, au: int) -> bool:
    """Whether a unit of the movement excludes the rise of ``au``."""
    if unit.confidence < SURE and unit.phase == "rise":
        return False
    if unit.phase == "release":
        return unit.number == au or unit.number in OPPOSITES.get(au, ())
    return au in OPPOSITES.get(unit.number, ()) and unit.number in OPPOSITES.get(au, ())
