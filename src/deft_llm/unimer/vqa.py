"""The question forms of ME-VQA (MEGC) on the facts of a clip: short answers, many wordings, hard negatives.

The organisers' own wording is one of each form's. An answer names what the flow supports; what a coder
wrote and the flow does not show is neither named nor denied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from deft_llm.evaluation.questions import number_word
from deft_llm.facs.emotions import FINE, usual_aus
from deft_llm.facs.units import entry, name
from deft_llm.facs.words import pick
from deft_llm.records import Evidence
from deft_llm.unimer.exports.megc import (
    AUS_QUESTION,
    COARSE_QUESTION,
    COMBINED,
    COMBINED_ANSWER,
    FINE_QUESTION,
    SIDE,
    YES_NO,
)
from deft_llm.unimer.facts import ClipFacts

NONE = "none"
ONE_COMBINED = (
    "What is the action unit present, and based on it, what is the fine-grained expression and the coarse "
    "expression class?"
)
ONE_COMBINED_ANSWER = COMBINED_ANSWER.replace("units present are", "unit present is")

FORMS: dict[str, tuple[str, ...]] = {
    "vqa_coarse": (
        COARSE_QUESTION,
        "Which coarse expression class is this?",
        "Name the coarse class of the expression.",
        "To which coarse class does the expression belong?",
        "What coarse class would coders give to this expression?",
        "In one word, what is the coarse class?",
    ),
    "vqa_fine": (
        FINE_QUESTION,
        "Which fine-grained expression class is this?",
        "Name the fine-grained class of the expression.",
        "To which fine-grained class does the expression belong?",
        "What fine-grained label would coders give to this expression?",
        "In one word, what is the fine-grained class?",
    ),
    # The organisers write the singular exactly where one unit was coded.
    "vqa_aus_one": (
        "What is the action unit?",
        "Which action unit is shown on the face?",
        "Name the one action unit of this expression.",
        "Which single action unit acts here?",
    ),
    "vqa_aus_several": (
        AUS_QUESTION,
        "Which action units are shown on the face?",
        "Name the action units of this expression.",
        "Which action units act together here?",
    ),
    "vqa_aus_any": (
        "Which action units are shown on the face, if any?",
        "List every action unit of this clip, or say none.",
        "Give all action units that can be seen, be it one, several or none.",
        "Is any action unit shown, and which?",
    ),
    "vqa_count": (
        "How many action units are shown on the face?",
        "Count the action units of this expression.",
        "What is the number of action units here?",
        "How many different action units act in this clip?",
    ),
    "vqa_au_present": (
        YES_NO,
        "Is the action unit {name} visible on the face?",
        "Is the action unit {name} present in this clip?",
        "Does the face show the action unit {name}?",
        "Can the action unit {name} be seen here?",
        "Is there a {name} in this expression?",
    ),
    "vqa_au_side": (
        SIDE,
        "Is the action unit {name} shown on the left or right side of the face?",
        "Left or right: where is the action unit {name} seen?",
        "Which side of the face shows the action unit {name}, left or right?",
    ),
    "vqa_on_side": (
        "Is the action unit {name} shown on the {side} side of the face?",
        "Does the {side} half of the face show the action unit {name}?",
        "Is there a {name} on the {side}?",
        "Can the action unit {name} be seen on the subject's {side}?",
    ),
    "vqa_combined_one": (
        ONE_COMBINED,
        "Which action unit is present, and what are the fine-grained and the coarse expression class based on"
        " it?",
        "Name the action unit, then the fine-grained and the coarse expression class that go with it.",
        "Give the action unit that is present and, based on it, both classes, fine-grained and coarse.",
    ),
    "vqa_combined_several": (
        COMBINED,
        "Which action units are present, and what are the fine-grained and the coarse expression class based"
        " on them?",
        "Name the action units, then the fine-grained and the coarse expression class that go with them.",
        "Give the action units that are present and, based on them, both classes, fine-grained and coarse.",
    ),
    # Not ME-VQA's: what no head is asked for. The pictures show it, the motion does not.
    "vqa_state": (
        "Which action units does the face hold before it moves, if any?",
        "Which action units are there at the onset already? Name them, or say none.",
        "Before anything moves, which action units does the face show?",
        "Name the action units that the face shows at the onset already, or say none.",
    ),
    "vqa_held": (
        "Is the action unit {name} there at the onset already?",
        "Does the face hold the action unit {name} before it moves?",
        "Is the action unit {name} shown before anything moves?",
        "Before the movement begins, does the face show the action unit {name}?",
    ),
    "vqa_turn": (
        "Is the face turned to its left, to its right or straight to the camera at the onset?",
        "Left, right or straight: how is the face turned before it moves?",
        "How does the head stand at the onset: turned to its left, to its right, or straight?",
        "Before the movement, does the face look to its left, to its right or straight ahead?",
    ),
    # Nor these, of the movement as a whole: regions tell them, units do not.
    "vqa_most": (
        "Which part of the face moves most?",
        "Where on the face is the motion largest?",
        "Name the part of the face that moves most from onset to apex.",
        "What part of the face shows the largest motion?",
    ),
    "vqa_back": (
        "Does the movement go back before the clip ends?",
        "Has what moved gone back by the end of the clip?",
        "After the apex, does the skin go back to where it was?",
        "Does the face go back from this movement by the offset?",
    ),
    # Nor are these: the skin's appearance shows them, its motion does not.
    "vqa_fold": (
        "Do {folds} deepen?",
        "Do {folds} become deeper from onset to apex?",
        "Does the skin fold more: do {folds} deepen?",
        "Can it be seen that {folds} deepen?",
    ),
    "vqa_phase": (
        "Is this movement a rise, a release, or a transition from one expression to another?",
        "Rise, release or transition: which is it?",
        "Does an expression rise here, is one released, or is it a transition?",
        "What is seen from onset to apex: the rise of an expression, its release, or a transition?",
    ),
}  # fmt: skip
VQA_TASKS = (
    "vqa_coarse", "vqa_fine", "vqa_aus", "vqa_count", "vqa_au_present", "vqa_au_side", "vqa_on_side",
    "vqa_combined", "vqa_state", "vqa_held", "vqa_phase", "vqa_turn", "vqa_fold", "vqa_most", "vqa_back",
)  # fmt: skip
NOTHING_HELD_SHARE = 0.5
"""Share of the clips whose onset shows nothing that are asked what it shows."""
NONE_SHARE = 0.25
"""Share of the clips without an Action Unit (releases, mostly) whose list and count are asked for: or else
"none" is the commonest answer wherever there are pictures. Their whole answer is asked for as rarely."""
ORGANISERS_SHARE = 0.5
"""Share of the rows of a form that are asked in the organisers' own words."""


def asked(form: str, rng: np.random.Generator, **words: str) -> tuple[str, str]:
    """(template, question) of a form: the organisers' own words or one of the others."""
    options = FORMS[form]
    number = 0 if rng.random() < ORGANISERS_SHARE else pick(options, rng)[0]
    return f"{form}/{number}", options[number].format(**words)


def names_of(rows: Sequence[Evidence]) -> str:
    """AU names in the order of their numbers, as the organisers list them; "none" without any."""
    return ", ".join(name(number) for number in sorted({row.au or 0 for row in rows})) or NONE


def combined_answer(rows: Sequence[Evidence], fine: str, coarse: str) -> str:
    """AUs, fine and coarse class in the organisers' sentence."""
    form = COMBINED_ANSWER if len({row.au for row in rows}) != 1 else ONE_COMBINED_ANSWER
    return form.format(aus=names_of(rows), fine=fine, coarse=coarse)


def whole_clip(facts: ClipFacts, rng: np.random.Generator) -> Iterator[tuple[str, str, str, str, str]]:
    """(task, template, question, answer, outcome) of the forms that ask about the clip as a whole."""
    if facts.coarse is not None:
        yield "vqa_coarse", *asked("vqa_coarse", rng), facts.coarse, facts.coarse
    if facts.fine is not None:
        yield "vqa_fine", *asked("vqa_fine", rng), facts.fine, facts.fine
    if facts.held is not None and (facts.held or rng.random() < NOTHING_HELD_SHARE):
        numbers = sorted({unit.number for unit in facts.held})
        answer = ", ".join(map(name, numbers)) or NONE
        yield "vqa_state", *asked("vqa_state", rng), answer, "+".join(map(str, numbers)) or NONE
    if facts.phase is not None:
        yield "vqa_phase", *asked("vqa_phase", rng), facts.phase, facts.phase
    if facts.turn is not None:
        yield "vqa_turn", *asked("vqa_turn", rng), facts.turn, facts.turn
    if facts.most is not None:
        yield "vqa_most", *asked("vqa_most", rng), facts.most, facts.most
    if facts.back is not None:
        said = "yes" if facts.back else "no"
        yield "vqa_back", *asked("vqa_back", rng), said, said
    if facts.labels is None or facts.rejected:
        return  # a label that the flow does not show may be there: the list would be short, or none
    rows = facts.supported
    numbers = sorted({row.au or 0 for row in rows})
    if not numbers and rng.random() >= NONE_SHARE:
        return
    outcome = "+".join(map(str, numbers)) or NONE
    counted = "one" if len(numbers) == 1 else "several"
    form = "vqa_aus_any" if not numbers or rng.random() < 0.25 else f"vqa_aus_{counted}"
    yield "vqa_aus", *asked(form, rng), names_of(rows), outcome
    count = number_word(len(numbers))
    yield "vqa_count", *asked("vqa_count", rng), count, count
    if numbers and facts.fine and facts.coarse:
        answer = combined_answer(rows, facts.fine, facts.coarse)
        yield "vqa_combined", *asked(f"vqa_combined_{counted}", rng), answer, outcome


def asks_whole_answer(facts: ClipFacts, rng: np.random.Generator) -> bool:
    """Whether a clip that has a class or an Action Unit, and whose AUs somebody coded, is asked for its
    (C, E, R): always where the flow supports a unit or figures are stated, else in ``NONE_SHARE`` of the
    clips without a rejected label."""
    drawn = not facts.rejected and rng.random() < NONE_SHARE
    known = facts.labels is not None and bool(facts.fine or facts.coarse or facts.supported)
    return known and (facts.figures or bool(facts.supported) or drawn)


def au_present_negatives(
    facts: ClipFacts, absent: set[int], rng: np.random.Generator, most: int
) -> list[int]:
    """Up to ``most`` AUs that are not there, to be asked for: half of them hard (look-alikes of what is
    there, or usual for the clip's class), the rest drawn alike: "no" is not the answer to odd questions."""
    present = {row.au for row in facts.supported if row.au}
    fine = facts.fine if facts.fine in FINE else None
    return drawn_negatives(present, fine, absent, rng, most, most // 2)


def drawn_negatives(
    present: set[int], fine: str | None, absent: set[int], rng: np.random.Generator, most: int, hard: int
) -> list[int]:
    """Up to ``most`` of the ``absent`` AUs, first up to ``hard`` look-alikes of the ``present`` or AUs that
    are usual for the class ``fine``, then any."""
    near = {other for au in present for other in entry(au).look_alikes} | set(usual_aus(fine or ""))
    first = [int(au) for au in rng.permutation(sorted(absent & near))][:hard]
    rest = [int(au) for au in rng.permutation(sorted(absent - set(first)))]
    return first + rest[: most - len(first)]
