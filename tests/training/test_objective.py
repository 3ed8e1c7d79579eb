"""The hybrid objective: each part by its weight, and what each must react to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from deft_llm.facs.regions import FOLDS
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import COURSE_FEATURES
from deft_llm.model.inputs import CLIP, DeftBatch, region_pool
from deft_llm.model.language import prompt_parts
from deft_llm.model.packing import RowCollator, Turn
from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.loop import freeze_all_but
from deft_llm.training.objective import (
    Objective,
    Targets,
    TrainBatch,
    TrainedModel,
    Weights,
    toward_truth,
)

COUNT = 8
ALL = ("structure", "texture", "motion")
TURNS = [
    [Turn("Which class?", ("positive",)), Turn("What moved?", ("the left brow",))],
    [Turn("Which side?", ("left",))],
]


def batch_of(count: int = COUNT, faces: bool = True, **more: Any) -> TrainBatch:
    """Random clips with all targets known."""
    g = torch.Generator().manual_seed(0)
    normal = lambda *size: torch.randn(*size, generator=g)  # noqa: E731
    seen = {"landmarks": normal(count, 478, 2), "appearance": normal(count, 1, 64, 64),
            "change": normal(count, 4, 56, 56), "space": normal(count, 1437),
            "course": torch.linspace(-1, 1, count * COURSE_FEATURES).view(count, -1)}  # fmt: skip
    clips = DeftBatch(normal(count, 1, 3, 28, 28).clamp(-CLIP, CLIP), torch.ones(count, 1, dtype=torch.bool),
                      **(seen if faces else {}))  # fmt: skip
    aus = len(EXPERT_AUS)
    side = (torch.rand(count, aus, 2, generator=g) < 0.3).float()
    targets = Targets(
        side, torch.ones(count, aus), torch.arange(count) % 3, torch.arange(count) % 10,
        clean=normal(count, 2, 14, 14), subject=torch.arange(count) // 2, shape=normal(count, 956),
        turn=normal(count, 2), held=(normal(count, aus, 2) > 1).float(),
        phase=torch.arange(count) % 3, folds=(normal(count, len(FOLDS)) > 0).float(),
    )  # fmt: skip
    return TrainBatch(clips, targets, **more)


def trained(
    model: DeftModel, names: tuple[str, ...] = ALL, packed: bool = True, **weights: float
) -> TrainedModel:
    torch.manual_seed(0)
    objective = Objective(Weights(**weights), model, names, subjects=4)
    collator = RowCollator(model.tokenizer, packed) if model.llm is not None else None
    return TrainedModel(model, objective, collator).eval()


@pytest.fixture
def experts(model_of: Callable[..., DeftModel]) -> DeftModel:
    """All three experts; the heads see the face experts, for the fusion is not at its start."""
    model = model_of(ALL)
    torch.nn.init.normal_(model.fusion.out.weight)
    return model


@pytest.fixture
def speaking(model_of: Callable[..., DeftModel]) -> DeftModel:
    """All three experts with a language part."""
    return model_of(ALL, language=True)


@pytest.mark.parametrize("name", sorted(Weights.model_fields))
def test_each_part_has_a_weight_and_0_switches_it_off(name: str, speaking: DeftModel) -> None:
    batch = batch_of(2, turns=TURNS) if name == "text" else batch_of()
    total, parts = trained(speaking, **{name: 2.0})(batch)
    assert set(parts) == {name}
    assert total.item() == pytest.approx(2.0 * parts[name].item(), rel=1e-5) and parts[name] > 0
    total, parts = trained(speaking)(batch)
    assert not parts and total.item() == 0


def moved(model: TrainedModel, batch: TrainBatch) -> set[str]:
    """First words of the names of what the loss moves."""
    model.zero_grad()
    model(batch)[0].backward()
    return {
        name.removeprefix("deft.").split(".")[0] for name, value in model.named_parameters()
        if value.grad is not None and bool(value.grad.abs().sum() > 0) and not name.startswith("objective.")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "reached"),
    [("structure", {"structure"}), ("held", {"structure"}),
     ("phase", {"structure", "texture", "motion", "fusion"}), ("texture", {"texture"}),
     ("course", {"fusion"}), ("folds", {"texture"}),
     ("contrast", {"motion"}), ("clean", {"motion"}),
     ("independence", {"structure", "motion", "texture"}), ("adversary", {"texture", "motion"}),
     ("au", {"structure", "texture", "motion", "fusion"})],
)  # fmt: skip
def test_each_part_reaches_the_experts_that_it_is_for(part: str, reached: set[str], experts: Any) -> None:
    assert moved(trained(experts, **{part: 1.0}), batch_of()) == reached


def test_independence_falls_when_structure_and_motion_are_made_apart(experts: DeftModel) -> None:
    """Minimising it makes structure tell less of the movement: taken out, nothing would."""
    model, batch = trained(experts, independence=1.0), batch_of(24)
    freeze_all_but(model, ("deft.structure.",))
    learner = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.01)
    losses = []
    for _ in range(15):
        total, _ = model(batch)
        learner.zero_grad()
        total.backward()
        learner.step()
        losses.append(total.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_adversary_learns_subjects_and_the_expert_unlearns_them(experts: DeftModel) -> None:
    """One step on the adversary lowers its loss, the same step on the expert raises it."""
    model, batch = trained(experts, ("texture",), adversary=1.0), batch_of()
    before = model(batch)[0]
    model.zero_grad()
    before.backward()
    for name, sign in (("objective.adversaries", -1), ("deft.texture", 1)):
        changed = trained(experts, ("texture",), adversary=1.0)
        changed.load_state_dict(model.state_dict())
        with torch.no_grad():
            for (key, value), other in zip(changed.named_parameters(), model.parameters()):
                if key.startswith(name) and other.grad is not None:
                    value -= 0.01 * other.grad / other.grad.norm().clamp_min(1e-9)
            after = changed(batch)[0]
        model.load_state_dict(model.state_dict())
        assert (after - before).sign() == sign, name


INPUTS = {"structure": "landmarks", "texture": "change", "motion": "maps"}


@pytest.mark.parametrize("name", ALL)
def test_a_dropped_expert_feeds_neither_heads_nor_prompt(name: str, speaking: DeftModel) -> None:
    """With it another input changes both losses; without it neither (motion feeds the heads still)."""
    torch.nn.init.normal_(speaking.fusion.out.weight)
    model, batch = trained(speaking, au=1.0, text=1.0), batch_of(2, turns=TURNS)
    value = getattr(batch.clips, INPUTS[name])
    other = replace(batch, clips=replace(batch.clips, **{INPUTS[name]: value.flip(0)}))
    for drop in ([], [name]):
        one, two = (model(replace(part, drop=drop))[1] for part in (batch, other))
        assert torch.equal(one["text"], two["text"]) == bool(drop)
        assert torch.equal(one["au"], two["au"]) == (bool(drop) and name != "motion")


def test_swapping_changes_the_heads_alone(experts: DeftModel) -> None:
    """The heads read another clip's structure; what structure itself must tell stays the clip's own."""
    model, batch = trained(experts, au=1.0, coarse=1.0, structure=1.0, texture=1.0), batch_of()
    batch.motion = experts.motion(batch.clips.maps, batch.clips.phases, region_pool(batch.clips.maps))
    plain, swapped = model(batch)[1], model(replace(batch, swap=True))[1]
    for name, same in (("au", False), ("coarse", False), ("structure", True), ("texture", True)):
        assert torch.allclose(plain[name], swapped[name]) == same, name
    readout = experts.read(batch.clips, motion=batch.motion)
    assert readout.structure is not None
    au, *_ = experts.fusion(batch.motion, readout.structure.roll(1, 0), readout.texture)
    found = model._swapped(readout, batch)
    assert torch.equal(found.au, au)


@pytest.mark.parametrize("packed", [True, False])
def test_loss_counts_answer_tokens_only(packed: bool, speaking: DeftModel) -> None:
    """By hand: of each turn -log p of its answer's tokens and end, given prompt and question, over the root
    of their number."""
    model, batch = trained(speaking, packed=packed, text=1.0), batch_of(2, turns=TURNS)
    found = model(batch)[1]["text"]
    prompts = speaking.prompts(speaking.read(batch.clips))
    encode = lambda text: speaking.tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    embed, losses = speaking.llm.get_input_embeddings(), []
    for prompt, turns in zip(prompts, TURNS):
        for turn in turns:
            after = torch.tensor(prompt_parts(speaking.tokenizer, turn.question)[1])
            ids = [*encode(turn.answers[0]), speaking.tokenizer.eos_token_id]
            rows = torch.cat([prompt, embed(after), embed(torch.tensor(ids))])
            logits = speaking.llm(inputs_embeds=rows[None]).logits[0]
            told = logits[-len(ids) - 1 : -1].log_softmax(-1)
            losses.append(-told[range(len(ids)), ids].sum() / len(ids) ** 0.5)
    assert torch.allclose(found, torch.stack(losses).mean(), atol=1e-4)


def test_the_clip_changes_the_loss_of_the_text(speaking: DeftModel) -> None:
    model, batch = trained(speaking, text=1.0), batch_of(2, turns=TURNS)
    other = replace(batch, clips=batch_of().clips.take([3, 4]))
    assert not torch.allclose(model(batch)[0], model(other)[0], atol=1e-4)


def test_without_the_loss_of_the_text_the_language_part_is_not_run(
    speaking: DeftModel, monkeypatch: Any
) -> None:
    monkeypatch.setattr(speaking, "prompts", lambda *given: pytest.fail("the language part was run"))
    _, parts = trained(speaking, au=1.0)(batch_of(2, turns=TURNS))
    assert set(parts) == {"au"}


def test_unknown_targets_count_for_nothing(experts: DeftModel) -> None:
    model = trained(experts, clean=1.0, structure=1.0, held=1.0)
    batch = batch_of()
    assert batch.targets.clean is not None and batch.targets.held is not None
    batch.targets.clean[1:] = torch.nan
    batch.targets.held[:] = torch.nan
    batch.targets.turn = None
    total, parts = model(batch)
    assert torch.isfinite(total) and set(parts) == {"clean", "structure", "held"}
    assert parts["held"] == 0
    batch.targets.clean[:] = torch.nan
    assert set(model(batch)[1]) == {"structure", "held"}


def test_clips_without_faces_have_no_part_of_the_faces(experts: DeftModel) -> None:
    names = {name: 1.0 for name in Weights.model_fields if name != "text"}
    _, parts = trained(experts, **names)(batch_of(faces=False))
    assert set(parts) == {"au", "coarse", "fine", "clean", "contrast", "adversary"}


def test_frozen_parts_read_without_dropout_and_trained_ones_with_it(experts: DeftModel) -> None:
    model = trained(experts, au=1.0)
    frozen = freeze_all_but(model, ("deft.fusion.",))
    model.train()
    for module in frozen:
        module.eval()
    assert experts.fusion.mix.training and experts.fusion.mix[2].training
    assert not any(module.training for module in experts.motion.modules())
    assert np.array([p.requires_grad for p in experts.motion.parameters()]).sum() == 0


def test_beliefs_are_moved_toward_what_is_known_and_no_further(experts: DeftModel) -> None:
    batch = batch_of(3)
    batch.targets.known[:, 0], batch.targets.coarse[2] = 0, -1
    with torch.no_grad():
        before = experts.read(batch.clips)
    after = toward_truth(before, batch.targets, torch.tensor([0.0, 2.0, 2.0]))
    assert torch.equal(after.au[0], before.au[0]) and torch.equal(after.coarse[0], before.coarse[0])
    assert torch.equal(after.au[:, 0], before.au[:, 0])
    there = batch.targets.side[1:, 1:] > 0
    assert torch.allclose((after.au - before.au)[1:, 1:], torch.where(there, 2.0, -2.0), atol=1e-5)
    assert (after.coarse - before.coarse)[1].nonzero().tolist() == [[int(batch.targets.coarse[1])]]
    assert torch.equal(after.coarse[2], before.coarse[2])
    assert torch.equal(after.alone, before.alone) and torch.equal(after.motion, before.motion)


def test_the_language_part_is_told_the_moved_beliefs(speaking: DeftModel) -> None:
    """The heads' own losses are on what the experts say."""
    model, batch = trained(speaking, au=1.0, text=1.0), batch_of(2, turns=TURNS)
    plain, told = (model(replace(batch, toward=by))[1] for by in (None, torch.tensor([3.0, 3.0])))
    assert plain["text"] != told["text"]
    assert plain["au"] == told["au"]
    alone = [model(replace(batch, toward=by, drop=[BELIEFS]))[1] for by in (None, torch.tensor([3.0, 3.0]))]
    assert alone[0]["text"] == alone[1]["text"]
