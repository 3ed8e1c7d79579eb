"""The language part: what moves at which rate, what is asked, which AUs answers name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import read_jsonl, write_jsonl
from deft_llm.model.beliefs import BELIEFS
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.joint import JointConfig, JointPart
from deft_llm.training.language import LanguageConfig, LanguagePart, text_source, unimer_source, validate
from deft_llm.training.loop import fit
from deft_llm.training.run import Data, language_source
from deft_llm.training.store_data import StoreData
from deft_llm.unimer.vqa import VQA_TASKS

QUICK: dict[str, Any] = {"steps": 2, "batch": 4, "autocast": False, "warmup_steps": 0, "learning_rate": 0.01}


def before_and_after(part: Any, folder: Path) -> dict[str, torch.Tensor]:
    """How far each tensor moves in a training."""
    own = part.model.deft.own_tensors()
    first = {name: value.clone() for name, value in own.items()}
    fit(part, folder)
    return {name: (value - first[name]).abs().max() for name, value in part.model.deft.own_tensors().items()}


def test_the_language_part_alone_moves_and_experts_move_in_the_joint_training(
    shards: Path, model_of: Any, tmp_path: Path
) -> None:
    for kind, settings in ((LanguagePart, LanguageConfig(**QUICK)), (JointPart, JointConfig(**QUICK))):
        part = kind(model_of(language=True), settings, text_source(FlowShards(shards), settings))
        moved = {
            n.split(".")[0] for n, far in before_and_after(part, tmp_path / kind.__name__).items() if far
        }
        assert {"llm", "projectors", "delimiters"} <= moved
        assert ("motion" in moved) == (kind is JointPart)
        assert not any(name.endswith("base_layer.weight") for name in part.tensors())


def test_flow_level_samples_are_learned_from_in_half_precision_too(shards: Path, model_of: Any) -> None:
    """What is told of regions in words is read from numbers, whatever type the forward pass has."""
    settings = LanguageConfig(**{**QUICK, "autocast": True})
    part = LanguagePart(model_of(language=True), settings, text_source(FlowShards(shards), settings))
    total, parts = part.model(part.batch_of(0))
    assert torch.isfinite(total) and parts["text"] > 0


def test_projectors_and_experts_move_at_their_share_of_the_rate(
    shards: Path, model_of: Any, tmp_path: Path
) -> None:
    """AdamW's first step is as long as the rate, whatever the gradient."""
    rates = {"projector_rate": 0.5, "expert_rate": 0.1, "steps": 1, "weight_decay": 0.0, "cooldown_steps": 0}
    settings = JointConfig(**{**QUICK, **rates})
    part = JointPart(model_of(language=True), settings, text_source(FlowShards(shards), settings))
    far = before_and_after(part, tmp_path)
    longest = {word: max(float(v) for n, v in far.items() if n.startswith(word))
               for word in ("llm", "projectors", "delimiters", "motion")}  # fmt: skip
    assert longest == pytest.approx(
        {"llm": 0.01, "projectors": 0.005, "delimiters": 0.005, "motion": 0.001}, rel=0.02
    )


def test_experts_are_left_out_of_steps_at_their_chance(shards: Path, model_of: Any) -> None:
    for chance in (0.0, 0.5):
        settings = LanguageConfig(**QUICK, expert_dropout=chance)
        source = text_source(FlowShards(shards), settings)
        part = LanguagePart(model_of(("structure", "texture", "motion"), language=True), settings, source)
        drops = [part.batch_of(step).drop for step in range(40)]
        share = np.mean(["structure" in drop for drop in drops])
        assert (share == 0) if chance == 0 else 0.25 < share < 0.75
        assert not any("motion" in drop for drop in drops), "the clips have no faces: nothing would be left"


def test_beliefs_are_left_out_and_adapted_in_their_shares(shards: Path, model_of: Any) -> None:
    for share in (0.0, 0.5):
        settings = LanguageConfig(**QUICK, belief_dropout=share, adapted_beliefs=share)
        source = text_source(FlowShards(shards), settings)
        part = LanguagePart(model_of(("motion",), language=True), settings, source)
        batches = [part.batch_of(step) for step in range(40)]
        without = np.mean([BELIEFS in batch.drop for batch in batches])
        adapted = torch.cat([batch.toward for batch in batches if batch.toward is not None])
        assert (without == 0) if share == 0 else 0.25 < without < 0.75
        assert len(adapted) == 160 and adapted.min() >= 0
        found = float((adapted > 0).float().mean())
        assert (found == 0) if share == 0 else 0.35 < found < 0.65


def test_what_adapted_beliefs_say_is_named(shards: Path, model_of: Any) -> None:
    """A unit whose logit lies below the floor is named where the beliefs that are told lie above it."""
    for share, named in ((0.0, False), (1.0, True)):
        settings = LanguageConfig(**QUICK, evidence_floor=1.0, full_answers=1.0, adapted_beliefs=share)
        source = text_source(FlowShards(shards), settings, model_of())
        turns = [turn for step in range(6) for row in source(step, 0, 1).turns for turn in row]
        answers = [turn.answers[0] for turn in turns if turn.kind == "answer"]
        assert any("AU" in text.partition("Evidence:")[2] for text in answers) == named


@pytest.mark.parametrize("rule", ["both", "neither"])
def test_answers_are_held_to_the_rule_of_the_config(shards: Path, rule: str) -> None:
    settings = LanguageConfig(**QUICK, text_rule=rule, false_labels=0.3, full_answers=1.0)
    first, again = (text_source(FlowShards(shards), settings)(4, 0, 1) for _ in range(2))
    free = text_source(FlowShards(shards), settings.model_copy(update={"text_rule": None}))(4, 0, 1)
    assert first.turns == again.turns
    assert first.turns != free.turns, "the true AUs"


def test_what_the_experts_do_not_see_is_not_named(shards: Path, model_of: Any) -> None:
    for floor, named in ((1e9, False), (-1e9, True)):
        settings = LanguageConfig(**QUICK, evidence_floor=floor, full_answers=1.0)
        batch = text_source(FlowShards(shards), settings, model_of())(0, 0, 1)
        answers = [turn.answers[0] for turns in batch.turns for turn in turns if turn.kind == "answer"]
        assert any("AU" in text.partition("Evidence:")[2] for text in answers) == named


def test_two_processes_share_the_clips_of_a_step(shards: Path) -> None:
    source = text_source(FlowShards(shards), LanguageConfig(**QUICK))
    whole, halves = source(3, 0, 1), [source(3, rank, 2) for rank in (0, 1)]
    assert [whole.turns[0::2], whole.turns[1::2]] == [half.turns for half in halves]
    assert torch.equal(whole.clips.maps[1::2], halves[1].clips.maps)
    assert torch.equal(whole.targets.side[0::2], halves[0].targets.side)


def test_text_of_a_store_is_its_own_labels_or_its_uni_mer_rows(
    face_store: Path, instructions: Path, model_of: Any
) -> None:
    data, settings = StoreData([face_store]), LanguageConfig(**QUICK, questions=3)
    own = text_source(data, settings)(0, 0, 1)
    assert own.clips.landmarks is not None and own.targets.subject is not None
    kinds = {turn.kind for turns in own.turns for turn in turns}
    assert kinds <= {"answer", "refusal", *VQA_TASKS} and len(kinds) > 2
    rows = unimer_source(data, [instructions], settings)(0, 0, 1)
    assert {turn.question for turns in rows.turns for turn in turns} == {"Which class?"}
    for turns, coarse in zip(rows.turns, rows.targets.coarse.tolist()):
        assert turns[0].answers[0] == ("negative", "positive", "surprise")[coarse]


def test_tasks_that_are_always_asked_come_before_others(
    face_store: Path, instructions: Path, tmp_path: Path
) -> None:
    def asking(row: dict[str, Any], task: str, question: str) -> dict[str, Any]:
        (asked, reply), kind = row["messages"], [{"type": "text", "text": question}]
        return {**row, "task": task, "messages": [{**asked, "content": kind}, reply]}

    rows = list(read_jsonl(instructions / "instructions.jsonl"))
    others = [asking(row, "vqa_fine", f"Which {number}?") for row in rows for number in range(6)]
    (tmp_path / "many").mkdir()
    write_jsonl(
        tmp_path / "many" / "instructions.jsonl",
        others + [asking(row, "vqa_phase", "A rise?") for row in rows],
    )
    for always, every in ((["vqa_phase"], True), ([], False)):
        settings = LanguageConfig(**QUICK, questions=2, always=always)
        source = unimer_source(StoreData([face_store]), [tmp_path / "many"], settings)
        turns = [one for step in range(5) for one in source(step, 0, 1).turns]
        assert all(len(one) == 2 for one in turns)
        assert all("A rise?" in {turn.question for turn in one} for one in turns) == every


def test_tasks_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no task vqa_sate"):
        LanguageConfig(always=["vqa_sate"])
    with pytest.raises(ValueError, match="vqa_phase is not among tasks"):
        LanguageConfig(tasks=["coarse"], always=["vqa_phase"])
    with pytest.raises(ValueError, match="held has no effect here"):
        JointConfig(losses={"held": 1.0})


def test_two_stores_with_the_same_clips_are_refused(face_store: Path) -> None:
    with pytest.raises(UsageError, match="is there twice"):
        StoreData([face_store, face_store])


def test_steps_are_shared_between_uni_mer_rows_and_flow_level_samples(
    face_store: Path, instructions: Path, shards: Path
) -> None:
    settings = LanguageConfig(**QUICK, questions=3, unimer_share=0.5)
    data = Data(StoreData([face_store]), None, FlowShards(shards), None, [instructions])
    source = language_source(data, settings, None)
    from_rows = [source(step, 0, 1).clips.landmarks is not None for step in range(20)]
    assert 3 < sum(from_rows) < 17
    assert all(source(s, 0, 1).turns[0][0].question == "Which class?" for s in range(20) if from_rows[s])
    with pytest.raises(DeftError, match="no instruction of the tasks release belongs"):
        language_source(data, settings.model_copy(update={"tasks": ["release"]}), None)


def test_validation_scores_the_class_in_the_text(shards: Path, model_of: Any) -> None:
    model = model_of(language=True)
    found = validate(model, FlowShards(shards), limit=4)
    assert set(found) == {"uf1", "head_uf1", "agree"} and all(0 <= value <= 1 for value in found.values())
