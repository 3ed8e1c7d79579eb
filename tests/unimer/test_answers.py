"""Property test: any (C, E, R) answer that facts can make parses back to the same record."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_llm.answer import MAX_EVIDENCE, Answer, parse, render
from deft_llm.aus.sighting import word_side
from deft_llm.evaluation.questions import named_units, number_word
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, region_weights
from deft_llm.facs.directions import image_vector
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import FOLDS, REGION_INDEX
from deft_llm.facs.units import MICRO_AUS, entry, valid_directions, valid_sides
from deft_llm.motion.measure import motion_from_flow
from deft_llm.motion.table import region_table
from deft_llm.records import ActionUnit, Clip, ClipPhase, Evidence, Source
from deft_llm.unimer.build import READ
from deft_llm.unimer.facts import ClipFacts, facts_of
from deft_llm.unimer.plan import candidates
from deft_llm.unimer.readback import faults, outcome
from deft_llm.unimer.rewrite import keeps_facts
from deft_llm.unimer.tasks import clip_instructions
from deft_llm.unimer.vqa import whole_clip
from deft_llm.unimer.wording import description, full_answer


@st.composite
def evidence_rows(draw) -> Evidence:
    au = draw(st.sampled_from([au for au in MICRO_AUS if entry(au).motion]))
    region = draw(st.sampled_from([motion.region for motion in entry(au).motion]))
    word = draw(st.sampled_from(valid_sides(au)))
    side, part = (word, None) if word not in ("upper", "lower") else ("both", word)
    px = draw(st.one_of(st.none(), st.floats(0.05, 9.9)))
    return Evidence(
        au=au,
        side=side,
        part=part,
        region=region,
        direction=draw(st.sampled_from(valid_directions(au, region))),
        dx=0.5,
        dy=-0.5,
        px=px,
        iod_percent=None if px is None else px / 0.9,
        z=draw(st.floats(1, 40)),
        support=0.9,
        status="supported",
    )


@st.composite
def clip_facts(draw) -> ClipFacts:
    fine = draw(st.one_of(st.none(), st.sampled_from(FINE)))
    coarse = coarse_of(fine) if fine else draw(st.sampled_from([None, "negative", "positive", "surprise"]))
    rows = draw(st.lists(evidence_rows(), max_size=6, unique_by=lambda row: row.au))
    return ClipFacts(
        clip_id="toy/s/c",
        corpus="toy",
        subject="toy/s",
        fine=fine,
        coarse=coarse,
        labels=[],
        evidence=rows,
        supports={},
        regions=[],
        units="px",
        media=["flow"],
    )


CLIP = Clip(clip_id="a/b", corpus="a", subject="s", source=Source(kind="flow", path="b"))


@settings(max_examples=150, deadline=None)
@given(clip_facts())
def test_answers_round_trip(facts: ClipFacts):
    answer = full_answer(facts)
    text = render(answer)
    assert parse(text) == answer
    assert render(parse(text)) == text
    assert isinstance(answer, Answer) and len(answer.rationale) <= 400 and answer.rationale.isascii()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_clips_of_any_number_of_units_are_told_without_a_fault(seed: int, figures: bool):
    """Twelve units and more: all are listed and counted, an answer and its rationale keep to the same six."""
    rng = np.random.default_rng(seed)
    aus = [au for au in MICRO_AUS if entry(au).motion]
    for count in (5, 7, 9, 12, 13, len(aus)):
        rows = [moved(int(au), float(rng.uniform(0.5, 1))) for au in rng.permutation(aus)[:count]]
        facts = ClipFacts(
            clip_id="toy/s/c", corpus="toy", subject="toy/s", fine="happiness", coarse="positive", labels=[],
            evidence=rows, supports={}, regions=[], units="px", media=["flow"], figures=figures,
        )  # fmt: skip
        asked = {task: answer for task, _, _, answer, _ in whole_clip(facts, rng)}
        assert asked["vqa_count"] == {12: "twelve", 13: "13"}.get(count, number_word(count))
        assert len(named_units(asked["vqa_aus"])[0]) == count
        told = full_answer(facts)
        stated = {item.au for item in told.evidence}
        assert len(stated) == min(count, MAX_EVIDENCE)
        assert {int(au) for au in re.findall(r"AU(\d+)", told.rationale)} <= stated
        for row in clip_instructions(facts, {}, seed):
            assert not faults(row), row


def moved(au: int, support: float) -> Evidence:
    """An AU of both sides that moves its main region as FACS has it."""
    main = max(entry(au).motion, key=lambda motion: motion.weight)
    direction = valid_directions(au, main.region)[0]
    dx, dy = image_vector(main.medial, main.up, word_side(main.region, "both"))
    return Evidence(au=au, side="both", region=main.region, direction=direction, dx=dx, dy=dy,
                    support=support, status="supported")  # fmt: skip


@given(clip_facts(), st.sets(st.sampled_from(MICRO_AUS)), st.sampled_from(get_args(ClipPhase)))
def test_what_is_held_and_the_phase_are_asked_where_coders_saw_to_them(facts, numbers, phase):
    rng = np.random.default_rng(0)
    assert not {"vqa_state", "vqa_phase"} & {task for task, *_ in whole_clip(facts, rng)}
    held = [ActionUnit(number=number) for number in numbers]
    told = facts.model_copy(update={"held": held, "phase": phase})
    asked = [list(whole_clip(told, np.random.default_rng(seed))) for seed in range(12)]
    rows = {task: (answer, said) for row in asked for task, _, _, answer, said in row}
    assert rows["vqa_phase"] == (phase, phase)
    assert set(named_units(rows["vqa_state"][0])[0]) == numbers
    times = sum(task == "vqa_state" for row in asked for task, *_ in row)
    assert times == 12 if numbers else 0 < times < 12, "where nothing is held, some are asked"
    assert all(outcome(task, answer) == said for task, (answer, said) in rows.items())


@given(clip_facts(), st.sets(st.sampled_from(MICRO_AUS)))
def test_single_units_are_asked_for_at_the_onset_those_that_move_among_them(facts, numbers):
    supports = dict.fromkeys(MICRO_AUS, 0.0)
    assert not any(ask.task == "vqa_held" for ask in candidates(facts, 0)), "nobody coded the onset"
    held = [ActionUnit(number=number) for number in numbers]
    told = facts.model_copy(update={"held": held, "supports": supports})
    asks = {int(ask.group): ask.outcome for ask in candidates(told, 0) if ask.task == "vqa_held"}
    moving = {row.au for row in facts.supported if row.au}
    assert {au for au, said in asks.items() if said == "yes"} == numbers
    assert {au for au, said in asks.items() if said == "no"} >= moving - numbers


def test_the_turn_of_a_face_is_told_from_its_landmarks_where_it_is_clear():
    for degrees, said in ((0, "straight"), (7, None), (20, "left"), (-20, "right")):
        yaw = np.radians(degrees)
        turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        points = np.column_stack([CANONICAL_LANDMARKS, CANONICAL_DEPTH]) @ turn.T
        motion = motion_from_flow("clip", np.zeros((1, 2, 28, 28), np.float32), units="relative")
        assert facts_of(CLIP, motion).turn is None, "no face"
        seen = replace(motion, landmarks=points[None, :, :2], depth=points[None, :, 2])
        assert facts_of(CLIP, seen).turn == said
    assert {"landmarks", "depth"} <= set(READ), "the builder reads what this takes"


def test_what_moves_most_and_whether_it_goes_back_are_told_from_the_table_where_they_are_clear():
    weights, shape = region_weights(None, (28, 28)), (2, 2, 28, 28)
    still = motion_from_flow("clip", np.zeros(shape, np.float32), units="px")
    assert (facts_of(CLIP, still).most, facts_of(CLIP, still).back) == (None, None)
    lip = weights[REGION_INDEX["left lower lip"]] > 0
    for later, back in ((-1.0, True), (-0.4, None), (0.1, False)):
        flow = np.zeros(shape, np.float32)
        flow[0, 1, lip], flow[1, 1, lip] = 2.0, later * 2.0
        table = region_table(
            flow, weights=weights, units="px", iod_px=90.0, floor=np.full(len(weights), 0.05)
        )
        found = facts_of(CLIP, replace(still, flow=flow, regions=table))
        assert (found.most, found.back) == ("lower lip", back)
        one_phase = table.__class__(**{k: v[:1] if k in ("dx", "dy", "z", "magnitude", "px") else v
                                       for k, v in vars(table).items()})  # fmt: skip
        assert facts_of(CLIP, replace(still, flow=flow[:1], regions=one_phase)).back is None
    rows = {task: (answer, said) for task, _, _, answer, said in whole_clip(found, np.random.default_rng(0))}
    assert rows["vqa_most"] == ("lower lip", "lower lip") and rows["vqa_back"] == ("no", "no")
    assert outcome("vqa_most", "lower lip") == "lower lip" and outcome("vqa_most", "left lower lip") is None


@given(clip_facts(), st.dictionaries(st.sampled_from(list(FOLDS)), st.booleans(), max_size=4))
def test_folds_and_turn_are_asked_where_they_are_known(facts, folds):
    assert not any(ask.task == "vqa_fold" for ask in candidates(facts, 0)), "nobody judged folds"
    asks = [ask for ask in candidates(facts.model_copy(update={"folds": folds}), 0) if ask.task == "vqa_fold"]
    assert {ask.group: ask.outcome == "yes" for ask in asks} == folds
    assert "vqa_turn" not in {task for task, *_ in whole_clip(facts, np.random.default_rng(0))}
    turned = facts.model_copy(update={"turn": "straight"})
    rows = {task: (answer, said) for task, _, _, answer, said in whole_clip(turned, np.random.default_rng(0))}
    assert rows["vqa_turn"] == ("straight", "straight") and outcome("vqa_turn", "straight") == "straight"
    assert outcome("vqa_fold", "yes") == "yes" and outcome("vqa_turn", "up") is None


@settings(max_examples=100, deadline=None)
@given(clip_facts())
def test_a_rewording_that_changes_a_fact_is_rejected(facts: ClipFacts):
    text = description(facts)
    assert keeps_facts(text, text)
    for old, new in (
        ("left", "right"),
        ("up", "down"),
        ("AU1", "AU3"),
        ("both", "left"),
        ("outward", "inward"),
    ):
        if old in text:
            assert not keeps_facts(text, text.replace(old, new))
    assert not keeps_facts(text, text + " The person feels happy.")
