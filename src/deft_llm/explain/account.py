"""One account of a movement: class, units, figures and text say the same, and what they do not is marked.

A release has no class: its answer names what is released. Where a method's text states what the measurement
contradicts, the statement is marked where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deft_llm.answer import (
    SIDE_WORDS,
    UNDETERMINED,
    Answer,
    AnswerError,
    Statement,
    fill_figures,
    parse,
    render,
    statement_of,
)
from deft_llm.aus.readout import LEAST_Z
from deft_llm.explain.units import OPPOSITES
from deft_llm.explain.unjudged import hidden_in
from deft_llm.facs.units import name
from deft_llm.facs.words import listed
from deft_llm.model.heads import ONE_SIDED
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import BY_SHAPE, AUSide, Evidence
from deft_llm.spotting.movement import Movement, MovementUnit
from deft_llm.state.intensity import part_of

SURE = 0.5  # confidence from which a unit of the movement contradicts a statement
UNSEEN = 0.05  # most that a unit is believed in whose part of the face is hidden, or speaks
_TOLD = re.compile(r"([^.]*?)\bAU(\d+)")


def stated_chances(movement: Movement) -> dict[int, tuple[float, float]]:
    """AU -> the probabilities of its left and its right, of units that the movement states or denies, and of
    those in a part of the face that cannot be judged meanwhile: ``Motion.stated``, to which the experts'
    beliefs are held before the language model is asked."""
    chances: dict[int, tuple[float, float]] = {}
    for unit in movement.rises:
        there = max(unit.confidence, SURE)
        elsewhere = min(1.0 - there, there - ONE_SIDED)
        chances[unit.number] = (
            elsewhere if unit.side == "right" else there, elsewhere if unit.side == "left" else there,
        )  # fmt: skip
    for au in sorted({*EXPERT_AUS, *(unit.number for unit in movement.units)} - chances.keys()):
        denied = max((unit.confidence for unit in movement.units if _denies(unit, au)), default=0.0)
        if denied > SURE:
            chances[au] = (1.0 - denied,) * 2
        elif hidden_in(part_of(au), movement.hidden):
            chances[au] = (UNSEEN,) * 2
    return chances


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


class Account(NamedTuple):
    """An answer held against what was measured: its text with marks, a row of evidence for each statement
    that was measured, and what the measurement has against it, each with why."""

    answer: str | None
    statements: list[Evidence]
    marks: list[str]


def account_of(
    answer: str | None, movement: Movement, rows: Sequence[Evidence] = (),
    not_judged: Mapping[int, str] | None = None, classes: Mapping[str, float] | None = None,
) -> Account:  # fmt: skip
    """Hold an answer against its movement, and its class against the experts' probabilities of ``classes``.

    ``rows``: what the skin's motion says of its statements; ``not_judged``: AU -> why the skin's motion says
    nothing of it; what is below the clip's noise is no evidence. Units that shape shows need no motion of the
    skin. The rationale is held to the measured sides as the evidence is. A text that is no (C, E, R) comes
    back as it is.
    """
    try:
        told = parse(answer or "")
    except AnswerError:
        return Account(answer, [], [])
    statements: list[Evidence] = []
    marks: list[str] = []
    for item in told.evidence:
        row = next((row for row in rows if _states(row, item)), None)
        refused = row is not None and row.status == "unsupported"
        why = _against(item, movement, {} if refused else not_judged or {})
        if why:
            statements.append(_refused(row or _unmeasured(item), why))
            marks.append(f"AU{item.au} {item.side_word}: {why}")
        elif row is not None and refused and _by_shape(item, movement):
            statements.append(_of_shape(row))
        elif row is not None:
            statements.append(row)
            if refused:
                marks.append(f"AU{item.au} {item.side_word}, {item.region}, {item.direction}: {row.reason}")
    for au, side in _sides_told(told):
        if why := _wrong_side(movement, au, side):
            marks.append(f"The rationale's AU{au} {side}: {why}")
    seen = [unit for unit in movement.rises if unit.confidence >= SURE]
    if seen and not told.evidence:
        marks.append(f"Evidence none: the measurement shows {listed([unit.words for unit in seen])}")
    elif movement.rises and not told.evidence and told.fine is not None:
        shown = f"what was measured ({listed([unit.words for unit in movement.rises])})"
        marks.append(f"Class {told.fine}: no evidence is named for it, and {shown} is of low confidence")
    marks += _other_class(told, classes or {})
    return Account(render(fill_figures(told, statements)) if statements else answer, statements, marks)


def _other_class(told: Answer, classes: Mapping[str, float]) -> list[str]:
    """What the method's own probabilities have against the class of a text."""
    own = next((label for label in (told.coarse, told.fine) if label in classes), None)
    likeliest = max(classes, key=lambda label: classes[label], default=None)
    if own is None or likeliest is None or classes[own] == classes[likeliest]:
        return []
    shares = f"{100 * classes[likeliest]:.0f} % against {100 * classes[own]:.0f} %"
    return [f"Class {own}: {likeliest} is likelier by its probabilities ({shares})"]


def _states(row: Evidence, item: Statement) -> bool:
    """Whether a row of evidence is that of a statement."""
    said = None if row.au is None else statement_of(row)
    return said is not None and all(
        getattr(said, key) == getattr(item, key) for key in ("au", "side", "part", "region", "direction")
    )


def _unmeasured(item: Statement) -> Evidence:
    return Evidence(
        au=item.au, side=item.side, part=item.part, region=item.region, direction=item.direction, dx=0.0,
        dy=0.0, px=item.px, iod_percent=item.iod_percent, z=item.z, support=0.0, status="unsupported",
    )  # fmt: skip


def _of_shape(row: Evidence) -> Evidence:
    """A row that the skin's motion does not bear out, of a unit that shape shows; what is below the noise is
    no figure."""
    said: dict[str, object] = {"status": "supported", "reason": BY_SHAPE}
    if row.z is None or row.z < LEAST_Z:
        said |= {"px": None, "iod_percent": None, "z": None}
    return row.model_copy(update=said)


def _refused(row: Evidence, why: str) -> Evidence:
    return row.model_copy(update={"status": "unsupported", "reason": why})


def _against(item: Statement, movement: Movement, not_judged: Mapping[int, str]) -> str:
    """What the movement has against a statement, "" where nothing."""
    if not any(unit.number == item.au for unit in movement.rises):
        denying = next((unit for unit in movement.units if _denies(unit, item.au)), None)
        if denying is not None:
            return f"the measurement shows {denying.words} instead"
        if why := hidden_in(part_of(item.au), movement.hidden):
            return why
        noise = not_judged.get(item.au, "")
        if noise.startswith("z "):
            return noise.replace(":", ",", 1)
    return _wrong_side(movement, item.au, item.side)


def _by_shape(item: Statement, movement: Movement) -> bool:
    """Whether shape and appearance show the unit that a statement names; its side was held against them."""
    return any(unit.number == item.au and unit.seen_by != "motion" for unit in movement.rises)


def _wrong_side(movement: Movement, au: int, side: AUSide) -> str:
    """Why a unit cannot be told on a side: it was measured on another one; else ""."""
    unit = next((unit for unit in movement.rises if unit.number == au), None)
    if unit is None or unit.side not in ("left", "right") or side in (unit.side, "asymmetric"):
        return ""
    return f"the measurement shows it on the {unit.side}"


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
