"""What the motion expert learns from: augmentation that respects physics, text that parses back, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deft_llm.answer import parse
from deft_llm.facs.notation import parse_aus
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import Clip, Source
from deft_llm.training.augment import AugmentSettings, augment, mirror
from deft_llm.training.flow_text import evidence_of, facts_of, turns_of
from deft_llm.training.motion import MotionConfig, MotionPart
from deft_llm.training.store_data import StoreData, targets_of_clip
from deft_llm.unimer.wording import full_text


def test_mirror_turns_u_round_and_swaps_sides() -> None:
    maps, clean = torch.randn(2, 1, 3, 28, 28), torch.randn(2, 2, 14, 14)
    side = torch.zeros(2, len(EXPERT_AUS), 2)
    side[:, AU_INDEX[12], 0] = 1
    m, c, s = mirror(maps, clean, side)
    assert torch.equal(m[:, :, 0], -maps[:, :, 0].flip(-1))
    assert torch.equal(m[:, :, 1:], maps[:, :, 1:].flip(-1))
    assert torch.equal(c[:, 0], -clean[:, 0].flip(-1))
    assert s[0, AU_INDEX[12]].tolist() == [0, 1]


def test_augmentation_is_seeded_and_keeps_shapes() -> None:
    maps, clean = torch.randn(4, 2, 3, 28, 28), torch.randn(4, 2, 14, 14)
    side = torch.zeros(4, len(EXPERT_AUS), 2)
    first = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(1))
    again = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(1))
    other = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == maps.shape and torch.isfinite(first[0]).all()


def test_every_training_answer_parses_back_to_its_aus() -> None:
    rng, known = np.random.default_rng(0), np.ones(len(EXPERT_AUS), bool)
    for _ in range(200):
        side = np.zeros((len(EXPERT_AUS), 2), np.uint8)
        for row in rng.choice(len(EXPERT_AUS), 3, replace=False):
            side[row] = ((1, 1), (1, 0), (0, 1))[int(rng.integers(3))]
        answer = parse(full_text(facts_of(side, side, known, int(rng.integers(-1, 10)), -1)))
        assert {item.au for item in answer.evidence} <= {n for n, r in zip(EXPERT_AUS, side) if r.any()}
        assert len(answer.rationale) <= 400


def test_questions_never_tell_the_answer_and_differ() -> None:
    side = np.zeros((len(EXPERT_AUS), 2), np.uint8)
    side[AU_INDEX[4]] = 1
    known, rng = np.ones(len(EXPERT_AUS), bool), np.random.default_rng(0)
    for _ in range(20):
        turns = turns_of(side, side, known, 4, 0, rng, count=6, refusal=0.0)
        assert len(turns) == len({turn.question for turn in turns}) == 6
        assert {turn.answers[0] for turn in turns if turn.kind == "vqa_au_present"} <= {"yes", "no"}
        assert not any("anger" in turn.question for turn in turns)


def test_what_no_expert_could_see_is_neither_named_nor_denied() -> None:
    side, known = np.zeros((len(EXPERT_AUS), 2)), np.ones(len(EXPERT_AUS), bool)
    side[AU_INDEX[12]], side[AU_INDEX[4], 0] = 1, 1
    shown = side.copy()
    shown[AU_INDEX[4]] = 0
    for seed in range(40):
        for turn in turns_of(side, shown, known, 0, 1, np.random.default_rng(seed), count=20, full=1.0):
            assert not re.search(r"brow lowerer|AU4\b", turn.question + turn.answers[0]), turn


def turns_on(side: np.ndarray, shown: np.ndarray) -> dict[str, set[str]]:
    """Answers of a clip by kind of question, over many draws."""
    found: dict[str, set[str]] = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for turn in turns_of(side, shown, np.ones(len(EXPERT_AUS), bool), 0, 1, rng, count=40, full=1.0):
            found.setdefault(turn.kind, set()).add(turn.answers[0])
    return found


def sides(*aus: int) -> np.ndarray:
    """Both sides of some AUs (A, 2)."""
    side = np.zeros((len(EXPERT_AUS), 2), np.uint8)
    side[[AU_INDEX[au] for au in aus]] = 1
    return side


@pytest.mark.parametrize("shown", [(12,), ()])
def test_no_list_or_count_is_asked_where_a_label_is_not_shown(shown: tuple[int, ...]) -> None:
    """It would be taught as complete: "one" of three, or "none"."""
    whole = {"vqa_aus", "vqa_count", "vqa_combined"}
    assert whole <= set(turns_on(sides(4, 7, 12), sides(4, 7, 12)))
    found = turns_on(sides(4, 7, 12), sides(*shown))
    assert not whole & set(found) and {"vqa_coarse", "vqa_fine", "answer"} <= set(found)


def test_more_units_than_an_answer_names_are_never_counted_as_fewer() -> None:
    seven = sides(1, 4, 6, 10, 12, 15, 25)
    assert len(evidence_of(seven)) == 7
    found = turns_on(seven, seven)
    assert "six" not in found.get("vqa_count", set())
    assert all(len(parse(text).evidence) == 6 for text in found["answer"])


def test_one_unit_that_is_coded_on_each_side_is_learned_on_both() -> None:
    clip = Clip(clip_id="a/b", corpus="a", subject="a/s", source=Source(kind="flow", path="-"),
                aus=parse_aus("L12B+R12C").aus)  # fmt: skip
    side, known, _, _ = targets_of_clip(clip)
    assert np.array_equal(side, sides(12)) and known.all()


def test_of_a_clip_whose_aus_nobody_coded_its_class_alone_is_asked() -> None:
    side, known = np.zeros((len(EXPERT_AUS), 2)), np.zeros(len(EXPERT_AUS), bool)
    for seed in range(10):
        turns = turns_of(side, side, known, -1, 1, np.random.default_rng(seed), full=1.0)
        assert {(turn.kind, turn.answers[0]) for turn in turns} == {("vqa_coarse", "positive")}
    assert turns_of(side, side, known, -1, -1, np.random.default_rng(0)) == []


def test_a_clip_with_one_phase_is_never_read_with_two(seen_store: Path, model_of: Any) -> None:
    """What a store does not know of the way back is no motion of zero."""
    part = MotionPart(model_of(), MotionConfig(batch=4, both_phases=1.0), StoreData([seen_store]))
    batch = part.batch_of(0)
    assert batch.clips.phases.tolist() == [[True, False]] * 4


def test_weights_without_effect_are_refused() -> None:
    with pytest.raises(ValueError, match="text has no effect here"):
        MotionConfig(losses={"text": 1.0})
    changed = MotionConfig(losses={"au": 0.0}).losses
    assert changed.au == 0 and changed.coarse == 1, "the other weights stay as they are"
