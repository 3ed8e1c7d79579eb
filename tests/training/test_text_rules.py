"""Which Action Units a training answer may name."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.facs.emotions import FINE
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth
from deft_llm.training.flow_shards import FlowBatch
from deft_llm.training.text_rules import miscoded, shown_sides, sides_of, units_of
from recipes.flow_samples import targets_of


@pytest.fixture(scope="module")
def clips() -> FlowBatch:
    """Plain movements of a few validation identities."""
    config = FlowConfig(identities=4, amplitude=(3.0, 6.0), amplitude_weak_chance=0.0)
    return targets_of(FlowSynth("validation", config).batch(60, 5))


def agreement(named: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Precision and recall of AUs (N, A, 2), sides aside."""
    named, truth = named.any(-1), truth.any(-1)
    return (named & truth).sum() / max(named.sum(), 1), (named & truth).sum() / truth.sum()


def test_sides_and_units_are_the_same_statement() -> None:
    row = sides_of([(12, "right"), (1, "left"), (4, "both"), (99, "both")])
    assert row.sum() == 4
    assert {unit.number: unit.side for unit in units_of(row)} == {12: "right", 1: "left", 4: "both"}


def test_no_share_of_false_labels_changes_nothing(clips: FlowBatch) -> None:
    labels = clips.side.astype(np.float32)
    assert miscoded(labels, 0.0, np.random.default_rng(0)) is labels


def test_false_labels_are_about_their_share_and_keep_their_number(clips: FlowBatch) -> None:
    labels = clips.side.astype(np.float32)
    wrong = miscoded(labels, 0.3, np.random.default_rng(0))
    changed = (wrong != labels).any(-1) & labels.any(-1)
    assert 0.15 < changed.sum() / labels.any(-1).sum() < 0.45
    assert np.all(wrong.any(-1).sum(1) <= labels.any(-1).sum(1))


def test_both_constraints_refuse_false_labels_and_flow_alone_reads_none(clips: FlowBatch) -> None:
    rng = np.random.default_rng(1)
    truth = clips.side.astype(np.float32)
    maps, labels = clips.maps[:, 0].astype(np.float32), miscoded(truth, 0.3, rng)
    named = {rule: shown_sides(rule, maps, labels, clips.fine, rng) for rule in ("both", "labels", "flow")}
    assert named["labels"] is labels
    assert np.all(named["both"] <= labels)
    assert agreement(named["both"], truth)[0] > agreement(labels, truth)[0] + 0.1
    other = shown_sides("flow", maps, np.zeros_like(labels), clips.fine, rng)
    assert np.array_equal(other, named["flow"])
    assert agreement(named["flow"], truth)[0] > 0.5


def test_neither_draws_what_is_usual_for_the_class_alone(clips: FlowBatch) -> None:
    maps = clips.maps[:2, 0].astype(np.float32)
    labels = np.zeros((2, len(EXPERT_AUS), 2), np.float32)
    happy = np.full(2, FINE.index("happiness"))
    named = shown_sides("neither", maps, labels, happy, np.random.default_rng(0))
    assert named[:, AU_INDEX[12]].all() or named[:, AU_INDEX[6]].any()
    assert not shown_sides("neither", maps, labels, np.full(2, -1), np.random.default_rng(0)).any()
