"""Beliefs in the prompt: the likeliest AUs in real words, soft verdicts and sides, classes; switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deft_llm.answer import COARSE
from deft_llm.facs.emotions import FINE
from deft_llm.facs.regions import FOLDS, REGION_INDEX, REGIONS
from deft_llm.model.beliefs import (
    BELIEFS,
    NAMED_AUS,
    NAMED_REGIONS,
    Beliefs,
    BeliefWords,
    FoldWords,
    RegionWords,
    likeliest,
)
from deft_llm.model.deft import DeftModel
from deft_llm.model.heads import with_beliefs
from deft_llm.model.inputs import batch_of
from deft_llm.model.language import EXPERTS
from deft_llm.model.readout import Readout
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from tests.model.conftest import FACES, SMALL, make_clips, make_face, make_readout

MOTION = EXPERTS.index("motion")


def chances(**units: float | tuple[float, float]) -> torch.Tensor:
    """(1, A, 2): ``au12=(.9, .1)`` or one number for both sides."""
    au = torch.full((1, len(EXPERT_AUS), 2), 0.01)
    for key, p in units.items():
        au[0, AU_INDEX[int(key.removeprefix("au"))]] = torch.tensor(p)
    return au


def beliefs(au: torch.Tensor) -> Beliefs:
    coarse = torch.tensor([[0.7, 0.2, 0.1]])
    return Beliefs(au, coarse, torch.eye(10)[:1])


@pytest.fixture
def words(tiny_model: DeftModel) -> BeliefWords:
    return BeliefWords(tiny_model.tokenizer, tiny_model.llm.get_input_embeddings().weight, False)


def told(words: BeliefWords, model: DeftModel, au: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return words.told(beliefs(au), model._embedded)[0]


def test_an_action_unit_stands_there_by_its_name_with_its_verdict_and_its_side(words, tiny_model) -> None:
    row = told(words, tiny_model, chances(au12=(0.9, 0.3)))
    name = tiny_model._embedded(tiny_model.tokenizer(" AU12 lip corner puller").input_ids)
    assert torch.equal(row[: len(name)], name)
    verdict, side, comma = row[len(name) : len(name) + 3]
    assert torch.allclose(verdict, 0.9 * words.verdicts[0] + 0.1 * words.verdicts[1])
    assert torch.allclose(side, 0.75 * words.sides[0] + 0.25 * words.sides[1])
    assert torch.equal(comma, tiny_model._embedded(words.comma)[0])
    assert torch.allclose(row[-2], torch.tensor([0.7, 0.2, 0.1]) @ words.coarse)
    assert torch.allclose(row[-1], words.fine[0])
    yes, no = (words.verdicts[k].detach() for k in (0, 1))
    assert not torch.allclose(yes, no)


def test_the_likeliest_classes_stand_there_by_their_names_with_their_verdicts(words, tiny_model) -> None:
    table = tiny_model.llm.get_input_embeddings().weight
    naming = BeliefWords(tiny_model.tokenizer, table)
    before, whole = (told(one, tiny_model, chances(au12=0.9)) for one in (words, naming))
    assert torch.equal(whole[: len(before)], before)
    parts = []
    for name, chance in ((COARSE[0], 0.7), (COARSE[1], 0.2), (FINE[0], 1.0)):
        ids = tiny_model.tokenizer(f" {name}", add_special_tokens=False).input_ids + words.comma
        embedded = tiny_model._embedded(ids)
        verdict = chance * naming.verdicts[0] + (1 - chance) * naming.verdicts[1]
        parts += [embedded[:-1], verdict[None], embedded[-1:]]
    assert torch.allclose(whole[len(before) :], torch.cat(parts), atol=1e-6)


def test_phases_stand_there_where_the_onset_was_seen(tiny_model) -> None:
    table = tiny_model.llm.get_input_embeddings().weight
    naming = BeliefWords(tiny_model.tokenizer, table)
    one = beliefs(chances(au12=0.9))
    both = Beliefs(*(torch.cat([v, v]) for v in (one.au, one.coarse, one.fine)))
    both.phase = torch.tensor([[0.2, 0.77, 0.03], [torch.nan] * 3])
    with torch.no_grad():
        seen, unseen = naming.told(both, tiny_model._embedded)
    assert torch.equal(seen[: len(unseen)], unseen)
    parts = []
    for name, chance in (("release", 0.77), ("rise", 0.2)):
        ids = tiny_model.tokenizer(f" {name}", add_special_tokens=False).input_ids + naming.comma
        verdict = chance * naming.verdicts[0] + (1 - chance) * naming.verdicts[1]
        embedded = tiny_model._embedded(ids)
        parts += [embedded[:-1], verdict[None], embedded[-1:]]
    assert torch.allclose(seen[len(unseen) :], torch.cat(parts), atol=1e-6)


def test_phases_are_believed_where_the_structure_expert_saw_the_clip() -> None:
    saw = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]).bool()
    logits = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    found = Beliefs.of(make_readout(2, saw=saw, phase=logits)).phase
    assert found is not None and torch.allclose(found[0], logits[0].softmax(-1)) and found[1].isnan().all()
    assert Beliefs.of(make_readout(2, saw=saw)).phase is None


def test_beliefs_are_read_from_a_forward_pass_in_half_precision() -> None:
    one = make_readout(2)
    half = replace(one, au=one.au.bfloat16(), coarse=one.coarse.bfloat16(), fine=one.fine.bfloat16())
    assert torch.allclose(Beliefs.of(half).coarse, Beliefs.of(one).coarse)
    assert Beliefs.of(half).au.dtype == torch.float32


def test_a_checkpoint_of_the_first_prompt_names_no_classes(tiny_model, tmp_path) -> None:
    for version in (1, 2):
        tiny_model.config.prompt_version = version
        tiny_model.save_pretrained(tmp_path / str(version), half=False)
        loaded = DeftModel.from_pretrained(tmp_path / str(version))
        assert loaded.beliefs is not None and loaded.beliefs.named_classes == (version > 1)


def test_the_likeliest_are_named_in_the_order_of_their_numbers_and_one_at_least(words) -> None:
    au = torch.linspace(0.06, 0.5, len(EXPERT_AUS))
    assert sorted(likeliest(au, NAMED_AUS)) == list(range(len(EXPERT_AUS) - NAMED_AUS, len(EXPERT_AUS)))
    assert len(likeliest(torch.full((len(EXPERT_AUS),), 0.001), NAMED_AUS)) == 1


def test_the_likeliest_folds_stand_there_by_their_names_with_their_verdicts(tiny_model) -> None:
    folds = FoldWords(tiny_model.tokenizer, tiny_model.llm.get_input_embeddings().weight)
    chance = torch.full((2, len(FOLDS)), 0.01)
    chin = list(FOLDS).index("chin")
    chance[0, [0, chin]] = torch.tensor([0.3, 0.9])
    with torch.no_grad():
        both, one = folds(chance, tiny_model._embedded)
    parts = [tiny_model._embedded(folds.lead)]
    for row, share in ((0, 0.3), (chin, 0.9)):
        ids = tiny_model.tokenizer(f" {list(FOLDS.values())[row]}", add_special_tokens=False).input_ids
        embedded = tiny_model._embedded(ids + folds.comma)
        verdict = share * folds.verdicts[0] + (1 - share) * folds.verdicts[1]
        parts += [embedded[:-1], verdict[None], embedded[-1:]]
    assert torch.allclose(both, torch.cat(parts), atol=1e-6)
    assert len(one) < len(both), "one at least is named"


def test_folds_are_told_in_the_prompt_where_texture_saw_the_clip_and_is_not_left_out(folds_model) -> None:
    saw = torch.tensor([[True, True, True], [False, False, True]])
    shapes = {
        "motion": (16, SMALL["width"]),
        "structure": (4, FACES["width"]),
        "texture": (12, FACES["width"]),
    }
    tokens = {name: torch.zeros(2, *shape) for name, shape in shapes.items()}
    plain = make_readout(2, saw=saw, **tokens)
    told = replace(plain, folds=torch.full((2, len(FOLDS)), -9.0))
    told.folds[0, :2] = 9.0
    with torch.no_grad():
        before, after = folds_model.prompts(plain), folds_model.prompts(told)
        left_out = [folds_model.prompts(one, ["texture"])[0] for one in (plain, told)]
    assert len(after[0]) > len(before[0]) and torch.equal(after[1], before[1])
    assert torch.equal(*left_out)


def test_the_regions_that_move_are_told_with_their_way_and_what_becomes_of_it(tiny_model) -> None:
    regions = torch.zeros(2, 2, len(REGIONS), 3)
    left, chin = REGION_INDEX["left mouth corner"], REGION_INDEX["chin"]
    regions[0, :, left] = torch.tensor([[1.0, -1.0, 9.0], [-1.0, 1.0, 6.0]])  # up and outward, then back
    regions[0, :, chin] = torch.tensor([[0.0, 2.0, 5.0], [0.0, 0.1, 0.4]])  # down, and no further
    regions[1, 1] = torch.nan
    words = RegionWords(tiny_model.tokenizer)
    first, second = (tiny_model.tokenizer.decode(ids) for ids in words.told(regions))
    assert first == " moving: chin down stays most, left mouth corner up and outward back,"
    assert second == " moving: nothing,"
    for later, said in ((-0.4, " partly back"), (0.5, " on")):  # of the corner's motion
        regions[0, 1, left, :2] = later * regions[0, 0, left, :2]
        assert f"up and outward{said}," in tiny_model.tokenizer.decode(words.told(regions)[0])
    regions[1, 0, :, 1:] = torch.tensor([1.0, 7.0])
    (_, many) = words.told(regions)
    told = tiny_model.tokenizer.decode(many)
    assert (told.count(" down,"), told.count(" down most,")) == (NAMED_REGIONS - 1, 1), "an unknown phase"


def test_the_regions_go_with_the_motion_expert(tiny_model, readout) -> None:
    moving = replace(readout, regions=torch.full((2, 2, len(REGIONS), 3), 9.0))
    for drop, same in (((), False), (("motion",), True)):
        with torch.no_grad():
            first, second = (tiny_model.prompts(one, drop=drop)[0] for one in (readout, moving))
        assert (first.shape == second.shape) == same


def test_beliefs_stand_between_the_experts_and_the_question_and_can_be_left_out(tiny_model, readout) -> None:
    with torch.no_grad():
        whole, without = tiny_model.prompts(readout), tiny_model.prompts(readout, drop=[BELIEFS])
        soft = tiny_model.soft_tokens(readout, drop=[BELIEFS])[0]
        alone = tiny_model.prompts(readout, drop=EXPERTS)[0]
        words = tiny_model.alone["motion"](readout.alone[:1, MOTION].sigmoid(), tiny_model._embedded)[0]
        moving = tiny_model._embedded(tiny_model.moving.told(readout.regions[:1])[0])
    assert len(whole[0]) > len(soft)
    told = torch.cat([soft, words, moving])
    assert torch.allclose(without[0][-len(told) :], told, atol=1e-6)
    # without tokens and with beliefs: three absent experts between their delimiters, then the beliefs
    assert len(alone) == len(whole[0]) - len(soft) - len(moving) + 3 * len(EXPERTS)
    assert torch.equal(alone[-1], whole[0][-1])


def test_without_beliefs_the_prompt_does_not_depend_on_what_the_heads_say(tiny_model, readout) -> None:
    other = replace(readout, au=readout.au + 3, coarse=readout.coarse.flip(-1), fine=readout.fine.flip(-1))
    with torch.no_grad():
        for drop, same in (([BELIEFS], True), ([], False)):
            first, second = (tiny_model.prompts(one, drop=drop)[0] for one in (readout, other))
            assert (first.shape == second.shape and torch.equal(first, second)) == same


def test_without_tokens_the_prompt_does_not_depend_on_them(tiny_model, readout) -> None:
    other = replace(readout, motion=readout.motion.flip(0))
    with torch.no_grad():
        for drop, same in ((EXPERTS, True), ((), False)):
            first, second = (tiny_model.prompts(one, drop=drop)[0] for one in (readout, other))
            assert torch.equal(first, second) == same


@pytest.fixture
def seen(tiny_model: DeftModel) -> Readout:
    """Of two clips with faces."""
    with torch.no_grad():
        return tiny_model.read(batch_of(make_clips(2), [make_face(0), make_face(1)]))


def test_what_an_expert_by_itself_tells_follows_its_tokens_and_goes_with_it(tiny_model, seen) -> None:
    for index, name in enumerate(EXPERTS):
        drop = [BELIEFS] if name == "motion" else []
        alone = seen.alone.clone()
        alone[:, index] += 3.0
        other = replace(seen, alone=alone)
        with torch.no_grad():
            first, second = (tiny_model.prompts(one, drop=drop)[0] for one in (seen, other))
            gone = [tiny_model.prompts(one, drop=[*drop, name])[0] for one in (seen, other)]
        assert first.shape != second.shape or not torch.equal(first, second)
        assert torch.equal(*gone)


def test_what_the_motion_expert_alone_tells_is_not_said_twice(tiny_model, seen) -> None:
    """Beside the beliefs, which rest on it, its own words would only cost."""
    alone = seen.alone.clone()
    alone[:, MOTION] += 3.0
    with torch.no_grad():
        first, second = (tiny_model.prompts(one)[0] for one in (seen, replace(seen, alone=alone)))
    assert torch.equal(first, second)


def test_the_tokens_alone_tell_what_the_readout_says_they_tell(tiny_model, seen, readout) -> None:
    with torch.no_grad():
        found = [getattr(tiny_model, name).au_logits(getattr(seen, name)) for name in EXPERTS]
    assert torch.allclose(seen.alone, torch.stack(found, 1), atol=1e-5)
    assert not readout.alone[:, :MOTION].any()
    assert readout.alone[:, MOTION].any()


def test_beliefs_that_a_refit_adapted_condition_the_language_model(tiny_model, readout) -> None:
    import numpy as np

    adapted = with_beliefs(readout, {12: np.array([0.97, 0.02])}, {})
    found = Beliefs.of(adapted)
    assert found.au[:, AU_INDEX[12]].amax(-1).tolist() == pytest.approx([0.97, 0.02], abs=1e-3)
    assert AU_INDEX[12] in likeliest(found.au[0].amax(-1), NAMED_AUS)
    with torch.no_grad():
        assert not torch.equal(tiny_model.prompts(adapted)[0][:99], tiny_model.prompts(readout)[0][:99])


def test_a_checkpoint_keeps_its_belief_words(tiny_model, tmp_path) -> None:
    with torch.no_grad():
        tiny_model.beliefs.verdicts += 1
    tiny_model.save_pretrained(tmp_path)
    again = DeftModel.from_pretrained(tmp_path)
    assert torch.allclose(again.beliefs.verdicts, tiny_model.beliefs.verdicts, atol=1e-2)
