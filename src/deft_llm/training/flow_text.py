"""Instruction text for flow-level samples: the same answers that Uni-MER writes, from the samples' own
truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.answer import COARSE, LABELLED, Answer, render
from deft_llm.facs.directions import octant
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import entry, is_valid, name, valid_directions
from deft_llm.model.language import ANSWER_QUESTION
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import AUSide, Evidence


@dataclass(frozen=True)
class Triple:
    """One training row: the sample's number, the question and the answer's text."""

    row: int
    question: str
    answer: str


def side_of(number: int, left: bool, right: bool) -> AUSide:
    """The side to state of an AU that moves on the subject's left, right or both."""
    if (left and right) or entry(number).scoring != "sides":
        return "both"
    return "left" if left else "right"


def evidence_of(side: np.ndarray) -> list[Evidence]:
    """Evidence of coded AUs; side (A, 2) in {0, 1} for the subject's left and right, order of EXPERT_AUS.

    Region and direction are FACS's own for the AU's main region: what the synthetic face was made to do.
    """
    rows = []
    for index, number in enumerate(EXPERT_AUS):
        left, right = bool(side[index, 0]), bool(side[index, 1])
        unit = entry(number)
        if not (left or right) or not unit.motion:
            continue
        where = side_of(number, left, right)
        main = max(unit.motion, key=lambda motion: motion.weight)
        direction = octant(main.medial, main.up)
        if unit.pattern in ("converging", "diverging"):
            direction = unit.pattern
        if direction not in valid_directions(number, main.region):
            direction = valid_directions(number, main.region)[0]
        if is_valid(number, where, main.region, direction):
            rows.append(Evidence(au=number, side=where, region=main.region, direction=direction, dx=0.0,
                                 dy=0.0, support=1.0, status="supported"))  # fmt: skip
    return rows[:6]


def answer_text(side: np.ndarray, fine: int, coarse: int) -> str:
    """The (C, E, R) text without figures, as the model is to write it."""
    from deft_llm.facs.words import listed, movement, sentence
    from deft_llm.unimer.readback import NO_LABEL, NO_UNIT

    rows = evidence_of(side)
    label = FINE[fine] if fine >= 0 else None
    klass = coarse_of(label) if label else (COARSE[coarse] if coarse >= 0 else None)
    parts = [f"{movement(r.region, r.side, r.direction, None, None)}, which is AU{r.au}" for r in rows]
    head = sentence(listed(parts)) if parts else f"{NO_UNIT}."
    word = label or klass
    tail = LABELLED.format(label=word) if word else f"{NO_LABEL}."
    rationale = f"{head} {tail}"
    while len(rationale) > 400 and len(parts) > 1:
        parts.pop()
        rationale = f"{sentence(listed(parts))} {tail}"
    return render(Answer.of(label, klass, rows, rationale), figures=False)


def triples(
    side: np.ndarray, fine: np.ndarray, coarse: np.ndarray, rows: np.ndarray, rng: np.random.Generator,
    full: float = 0.7,
) -> list[Triple]:  # fmt: skip
    """One question and answer for each of ``rows``: the full answer in a share ``full``, else a short
    question."""
    from deft_llm.facs.words import pick
    from deft_llm.unimer.phrases import QUESTIONS

    found = []
    for number, row in enumerate(rows):
        if rng.random() < full:
            questions = (ANSWER_QUESTION, *QUESTIONS["answer"])
            question = pick(questions, rng)[1] if rng.random() < 0.5 else ANSWER_QUESTION
            found.append(Triple(int(row), question, answer_text(side[number], fine[number], coarse[number])))
        else:
            found.append(Triple(int(row), *_short(side[number], int(fine[number]), int(coarse[number]), rng)))
    return found


def _short(side: np.ndarray, fine: int, coarse: int, rng: np.random.Generator) -> tuple[str, str]:
    from deft_llm.facs.words import pick
    from deft_llm.unimer.phrases import QUESTIONS

    seen = [number for number, row in zip(EXPERT_AUS, side) if row.any()]
    kinds = ["aus", "au"] + ["coarse"] * (coarse >= 0) + ["fine"] * (fine >= 0)
    kind = kinds[int(rng.integers(len(kinds)))]
    question = pick(QUESTIONS[kind], rng)[1]
    if kind == "coarse":
        return question, COARSE[coarse]
    if kind == "fine":
        return question, FINE[fine]
    if kind == "aus":
        return question, ", ".join(name(number) for number in seen) or "none"
    # Half of the yes/no questions ask for an AU that is there.
    there = bool(seen) and rng.random() < 0.5
    absent = [number for number in EXPERT_AUS if number not in seen]
    asked = int(rng.choice(seen if there else absent))
    return question.format(au=asked, name=name(asked)), "yes" if there else "no"
