"""Instruction text for flow-level samples: the same answers that Uni-MER writes,
from the samples' own truth."""

from __future__ import annotations

import numpy as np

from deft_llm.answer import MAX_EVIDENCE
from deft_llm.facs.directions import octant
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import entry, is_valid, name, valid_directions
from deft_llm.facs.words import pick, sentence
from deft_llm.model.language import ANSWER_QUESTION
from deft_llm.model.packing import Turn
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE, AUSide, Evidence
from deft_llm.unimer.facts import ClipFacts
from deft_llm.unimer.phrases import QUESTIONS, REFUSAL_ANSWERS, REFUSALS
from deft_llm.unimer.vqa import asked, au_present_negatives, whole_clip
from deft_llm.unimer.wording import full_text
from deft_llm.unimer.wording import known as what_is_known

MOST_PRESENT = 2
"""So many Action Units that are there are asked for per clip, and as many that are not."""
ON_SIDE_SHARE = 0.4
"""Share of the seen Action Units of which it is asked whether they are on one given side."""
SIDE_WEIGHT = 2.0
"""Weight of questions about a side: few clips have a one-sided AU."""


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
    return rows


def turns_of(
    side: np.ndarray, shown: np.ndarray, known: np.ndarray, fine: int, coarse: int, rng: np.random.Generator,
    count: int = 9, full: float = 0.3, refusal: float = 0.1,
) -> list[Turn]:  # fmt: skip
    """Up to ``count`` of Uni-MER's questions on a clip with their answers, in an order that says nothing: the
    forms of ME-VQA, the full answer (C, E, R) in a share ``full`` of the clips, something that no movement
    shows in a share ``refusal``.

    side (A, 2) in {0, 1} as labelled; shown (A, 2): what some expert could see of it, which alone is named;
    known (A,) bool, which AUs somebody coded; fine, coarse: numbers or -1. Of a clip whose AUs nobody coded
    its classes alone are asked.
    """
    facts = facts_of(side, shown, known, fine, coarse)
    turns: list[Turn] = []
    if facts.labels is not None and rng.random() < full:
        question = ANSWER_QUESTION if rng.random() < 0.5 else pick(QUESTIONS["answer"], rng)[1]
        turns.append(Turn(question, (full_text(facts),), "answer"))
    if facts.labels is not None and rng.random() < refusal:
        question, topic = REFUSALS[int(rng.integers(len(REFUSALS)))]
        answer = pick(REFUSAL_ANSWERS, rng)[1].format(topic=topic, known=what_is_known(facts))
        turns.append(Turn(question, (sentence(answer),), "refusal"))
    short = [Turn(question, (answer,), task) for task, _, question, answer, _ in whole_clip(facts, rng)]
    short += _single_units(facts, rng) if facts.labels is not None else []
    turns += [short[i] for i in rng.permutation(len(short))][: max(count - len(turns), 0)]
    return [turns[i] for i in rng.permutation(len(turns))]


def facts_of(
    side: np.ndarray, shown: np.ndarray, known: np.ndarray, fine: int, coarse: int
) -> ClipFacts:  # fmt: skip
    """What Uni-MER is told of a sample: what some expert could see is supported, ``MAX_EVIDENCE`` AUs of it
    at most; what was labelled beyond that is rejected: neither named nor denied, and no list or count is
    asked for beside it; what was coded as absent may be asked for."""
    label = FINE[fine] if fine >= 0 else None
    there = np.maximum(side, shown)
    absent = (known > 0) & ~(there > 0).any(-1)
    evidence = evidence_of(shown)[:MAX_EVIDENCE]
    named = {row.au for row in evidence}
    unseen = {"status": "unsupported", "support": 0.0}
    evidence += [row.model_copy(update=unseen) for row in evidence_of(there) if row.au not in named]
    return ClipFacts(
        clip_id="flow/sample", corpus="flow", subject="flow", fine=label,
        coarse=coarse_of(label) or (COARSE[coarse] if coarse >= 0 else None),
        labels=[] if known.any() else None, evidence=evidence if known.any() else [],
        supports={number: 0.0 for number, gone in zip(EXPERT_AUS, absent) if gone}, regions=[],
        units="relative", media=["flow"], figures=False,
    )  # fmt: skip


def _single_units(facts: ClipFacts, rng: np.random.Generator) -> list[Turn]:
    """Questions about single AUs: as many that are there as are not, sides of those that are on one side."""
    rows = [facts.supported[i] for i in rng.permutation(len(facts.supported))]
    there = [row.au or 0 for row in rows[:MOST_PRESENT]]
    others = au_present_negatives(facts, set(facts.supports), rng, max(1, len(there)))
    turns = []
    for au, answer in [*((au, "yes") for au in there), *((au, "no") for au in others)]:
        question = asked("vqa_au_present", rng, name=name(au))[1]
        turns.append(Turn(question, (answer,), "vqa_au_present"))
    for row in rows:
        if entry(row.au or 0).scoring != "sides":
            continue
        unit = name(row.au or 0)
        if row.side != "both":
            question = asked("vqa_au_side", rng, name=unit)[1]
            turns.append(Turn(question, (row.side,), "vqa_au_side", SIDE_WEIGHT))
        if rng.random() < ON_SIDE_SHARE:
            side = "left" if rng.random() < 0.5 else "right"
            answer = "yes" if row.side in (side, "both") else "no"
            question = asked("vqa_on_side", rng, name=unit, side=side)[1]
            turns.append(Turn(question, (answer,), "vqa_on_side"))
    return turns
