"""Instruction text for flow-level samples: the same answers that Uni-MER writes,
from the samples' own truth."""

from __future__ import annotations

import numpy as np

from deft_llm.answer import LABELLED, Answer, render
from deft_llm.facs.directions import octant
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import entry, is_valid, name, valid_directions
from deft_llm.facs.words import listed, movement, pick, sentence
from deft_llm.model.language import ANSWER_QUESTION
from deft_llm.model.packing import Turn
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE, AUSide, Evidence
from deft_llm.unimer.phrases import QUESTIONS
from deft_llm.unimer.readback import NO_LABEL, NO_UNIT


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


def turns_of(
    side: np.ndarray, known: np.ndarray, fine: int, coarse: int, rng: np.random.Generator, count: int = 6,
    full: float = 0.7,
) -> list[Turn]:  # fmt: skip
    """Up to ``count`` questions on a clip, no two alike, with their answers: the whole answer in a share
    ``full`` of the clips, short ones beside it.

    side (A, 2) in {0, 1}; known (A,) bool, which AUs somebody coded; fine, coarse: numbers or -1. Of a clip
    whose AUs nobody coded its class alone is asked.
    """
    turns: dict[str, Turn] = {}
    coded = bool(known.any())
    if coded and rng.random() < full:
        questions = (ANSWER_QUESTION, *QUESTIONS["answer"])
        question = pick(questions, rng)[1] if rng.random() < 0.5 else ANSWER_QUESTION
        turns[question] = Turn(question, (answer_text(side, fine, coarse),), "answer")
    kinds = ["aus", "au", "au"] * coded + ["coarse"] * (coarse >= 0) + ["fine"] * (fine >= 0)
    if not kinds:
        return list(turns.values())
    for kind in rng.permutation(kinds * count)[: 3 * count]:
        if len(turns) >= count:
            break
        turn = _short(str(kind), side, known, fine, coarse, rng)
        if kind == "au" or kind not in {other.kind for other in turns.values()}:
            turns.setdefault(turn.question, turn)
    return list(turns.values())


def _short(
    kind: str, side: np.ndarray, known: np.ndarray, fine: int, coarse: int, rng: np.random.Generator
) -> Turn:
    """One short question of a kind, and its answer."""
    seen = [number for number, row in zip(EXPERT_AUS, side) if row.any()]
    question = pick(QUESTIONS[kind], rng)[1]
    if kind == "coarse":
        return Turn(question, (COARSE[coarse],), kind)
    if kind == "fine":
        return Turn(question, (FINE[fine],), kind)
    if kind == "aus":
        return Turn(question, (", ".join(name(number) for number in seen) or "none",), kind)
    # Half of the yes/no questions ask for an AU that is there.
    absent = [number for number, sure in zip(EXPERT_AUS, known) if sure and number not in seen]
    there = bool(seen) and (not absent or rng.random() < 0.5)
    asked = int(rng.choice(seen if there else absent))
    return Turn(question.format(au=asked, name=name(asked)), ("yes" if there else "no",), kind)
