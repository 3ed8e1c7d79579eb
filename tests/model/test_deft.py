"""DeftModel: the one forward pass, the prompt, the loss, checkpoints."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deft_llm.answer import parse
from deft_llm.errors import DeftError
from deft_llm.model.checkpoint import CONFIG, WEIGHTS
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.inputs import batch_of, region_pool
from deft_llm.model.language import EXPERTS, add_lora, prompt_parts, tiny_backbone
from deft_llm.model.units import EXPERT_AUS, MOTION_TOKENS, TOKEN_OF_AU

from .conftest import FACES, SMALL, make_clips, make_face

ASK = "Give class, evidence and rationale."


def moved(first: Tensor, second: Tensor) -> list[int]:
    """Rows of (S, D) that differ."""
    return (first - second).abs().amax(-1).gt(1e-4).nonzero().flatten().tolist()


# -- read: experts and heads ------------------------------------------------------------------------------


def test_an_au_is_read_from_its_own_token_alone(tiny_model: DeftModel) -> None:
    """Another token's value changes no logit of the AU; its own changes it. On ``read``, not on a formula."""
    batch = batch_of(make_clips(1))
    expert = tiny_model.motion
    expert.out_norm.register_forward_hook(lambda _, __, tokens: tokens + bump)
    bump: Tensor | float = 0.0
    before = tiny_model.read(batch).au
    for index in (EXPERT_AUS.index(12), EXPERT_AUS.index(4), EXPERT_AUS.index(43)):
        for token in range(len(MOTION_TOKENS)):
            bump = torch.zeros(1, len(MOTION_TOKENS), 32)
            bump[0, token, ::2] = 1.0
            changed = (tiny_model.read(batch).au - before)[0, index].abs().max() > 1e-4
            assert bool(changed) == (token == TOKEN_OF_AU[index])


def test_a_clip_without_a_face_keeps_the_motion_experts_logits(tiny_model: DeftModel) -> None:
    items = make_clips(2)
    mixed = tiny_model.read(batch_of(items, [make_face(1), None]))
    alone = tiny_model.read(batch_of(items))
    for name in ("au", "coarse", "fine"):
        assert torch.allclose(getattr(mixed, name)[1], getattr(alone, name)[1], atol=1e-5)
        assert not torch.allclose(getattr(mixed, name)[0], getattr(alone, name)[0], atol=1e-3)
    assert mixed.saw.tolist() == [[True, True, True], [False, False, True]]
    assert not mixed.structure[1].any() and mixed.structure[0].any()
    assert alone.saw.tolist() == [[False, False, True]] * 2


def test_a_dropped_face_expert_is_not_read(tiny_model: DeftModel) -> None:
    batch = batch_of(make_clips(1), [make_face(0)])
    both = tiny_model.read(batch)
    for index, name in enumerate(EXPERTS[:2]):
        readout = tiny_model.read(batch, drop=(name,))
        assert getattr(readout, name) is None and not readout.saw[0, index]
        assert not torch.allclose(readout.au, both.au, atol=1e-4)
    neither = tiny_model.read(batch, drop=EXPERTS[:2])
    assert torch.equal(neither.au, tiny_model.read(batch_of(make_clips(1))).au)


def test_what_a_frozen_motion_expert_said_before_is_used(tiny_model: DeftModel) -> None:
    batch = batch_of(make_clips(2), [make_face(0), make_face(1)])
    known = tiny_model.motion(batch.maps, batch.phases, region_pool(batch.maps))
    assert torch.equal(tiny_model.read(batch, motion=known).au, tiny_model.read(batch).au)
    shifted = known._replace(au=known.au + 1)
    assert not torch.allclose(tiny_model.read(batch, motion=shifted).au, tiny_model.read(batch).au)


def test_without_the_region_table_the_expert_reads_something_else(tiny_model: DeftModel) -> None:
    batch = batch_of(make_clips(1))
    assert not torch.allclose(
        tiny_model.read(batch).au, tiny_model.read(replace(batch, with_table=False)).au, atol=1e-4
    )


def test_read_is_differentiable_down_to_the_maps(tiny_model: DeftModel) -> None:
    batch = batch_of(make_clips(1), [make_face(0)])
    batch.maps.requires_grad_()
    (gradient,) = torch.autograd.grad(tiny_model.read(batch).coarse[0, 0], batch.maps)
    assert gradient.abs().max() > 0


# -- prompt -----------------------------------------------------------------------------------------------


def test_experts_stand_in_the_prompt_in_their_order_between_their_delimiters(tiny_model: DeftModel) -> None:
    """Structure, texture, motion: a change of one expert's tokens shows at its own places of the prompt."""
    readout = tiny_model.read(batch_of(make_clips(1), [make_face(0)]))
    (soft,) = tiny_model.soft_tokens(readout)
    places = {"structure": range(1, 5), "texture": range(7, 19), "motion": range(21, 37)}
    assert len(soft) == 38
    for name, rows in places.items():
        other = replace(readout, **{name: torch.randn_like(getattr(readout, name))})
        (changed,) = tiny_model.soft_tokens(other)
        assert moved(soft, changed) == list(rows)
    starts = [0, 6, 20]
    ends = [5, 19, 37]
    assert torch.equal(soft[starts], tiny_model.delimiters[:, 0])
    assert torch.equal(soft[ends], tiny_model.delimiters[:, 1])


def test_a_believed_au_puts_its_words_into_its_token(tiny_model: DeftModel) -> None:
    """The AU's word vector, from the language model's own table, enters token by belief and nowhere else."""
    readout = tiny_model.read(batch_of(make_clips(1)))
    place = EXPERT_AUS.index(12)
    soft = []
    for logit in (-20.0, 20.0):
        au = readout.au.clone()
        au[:, place] = logit
        soft.append(tiny_model.soft_tokens(replace(readout, au=au))[0])
    first = 7  # both face experts absent: three tokens each, then the motion expert's left delimiter
    assert moved(*soft) == [first + TOKEN_OF_AU[place]]
    words = tiny_model.projectors["motion"].words[place].sum(0)
    assert torch.allclose((soft[1] - soft[0])[first + TOKEN_OF_AU[place]], words, atol=1e-4)
    table = tiny_model.llm.get_input_embeddings().weight
    spelled = tiny_model.tokenizer("lip corner puller", add_special_tokens=False).input_ids
    assert torch.nn.functional.cosine_similarity(words, table[spelled].mean(0), dim=0) > 0.5


def test_experts_that_saw_nothing_are_dropped_or_not_conditioned_on_are_absent(tiny_model: DeftModel) -> None:
    with_face, bare = batch_of(make_clips(1), [make_face(0)]), batch_of(make_clips(1))
    readout = tiny_model.read(with_face)
    short = tiny_model.soft_tokens(tiny_model.read(bare))[0]
    assert len(short) == 6 + 1 + 1 + 16
    assert torch.equal(short[[1, 4]], tiny_model.absent[:2])
    assert torch.equal(tiny_model.soft_tokens(readout, drop=("structure", "texture"))[0][:6], short[:6])
    assert len(tiny_model.soft_tokens(readout, drop=("motion",))[0]) == 6 + 4 + 12 + 1
    tiny_model.config.conditioned_on = ["texture", "motion"]
    assert len(tiny_model.soft_tokens(readout)[0]) == 6 + 1 + 12 + 16


def test_a_clips_prompt_does_not_depend_on_the_clips_beside_it(tiny_model: DeftModel) -> None:
    items = make_clips(2)
    beside = tiny_model.soft_tokens(tiny_model.read(batch_of(items, [make_face(0), None])))
    alone = tiny_model.soft_tokens(tiny_model.read(batch_of(items[1:])))
    assert len(beside[1]) == len(alone[0]) and not moved(beside[1], alone[0])


def test_a_prompt_is_words_the_soft_tokens_what_they_tell_and_the_question(tiny_model: DeftModel) -> None:
    """Padded on the left; each row is what it is alone."""
    readout, asked = tiny_model.read(batch_of(make_clips(2), [make_face(0), None])), [ASK, "What moved?"]
    rows, mask = tiny_model.with_questions(tiny_model.prompts(readout, drop=["beliefs"]), asked)
    soft = tiny_model.soft_tokens(readout, drop=["beliefs"])
    embed = tiny_model.llm.get_input_embeddings()
    for row, seen, tokens, question in zip(rows, mask, soft, asked, strict=True):
        parts = prompt_parts(tiny_model.tokenizer, question)
        before, after = (embed(torch.tensor(ids, dtype=torch.long)) for ids in parts)
        start, whole = torch.cat([before, tokens]), int(seen.sum())
        assert bool(seen[-whole:].all()) and whole > len(start) + len(after)
        assert not moved(row[-whole:][: len(start)], start)
        assert not moved(row[-len(after) :], after)


@pytest.mark.parametrize("name", EXPERTS)
def test_each_experts_tokens_change_what_the_language_model_says_next(
    tiny_model: DeftModel, name: str
) -> None:
    readout = tiny_model.read(batch_of(make_clips(1), [make_face(0)]))
    other = replace(readout, **{name: torch.randn_like(getattr(readout, name))})
    logits = []
    for one in (readout, other):
        embeds, mask = tiny_model.with_questions(tiny_model.prompts(one), [ASK])
        logits.append(tiny_model.llm(inputs_embeds=embeds, attention_mask=mask).logits[0, -1])
    assert (logits[0] - logits[1]).abs().max() > 1e-3


# -- answers ----------------------------------------------------------------------------------------------


def test_answers_follow_the_grammar_and_do_not_depend_on_the_batch(tiny_model: DeftModel) -> None:
    items = make_clips(3)
    together = tiny_model.answer(tiny_model.read(batch_of(items)), [ASK] * 3, max_new_tokens=700)
    alone = tiny_model.answer(tiny_model.read(batch_of(items[1:2])), [ASK], max_new_tokens=700)
    assert together[1] == alone[0]
    for text in together:
        parse(text)


# -- files ------------------------------------------------------------------------------------------------


def test_saved_model_answers_the_same(tiny_model: DeftModel, tmp_path: Path, monkeypatch) -> None:
    tiny_model.save_pretrained(tmp_path, half=False)
    base = tiny_model.llm.get_base_model()

    def same_backbone(*_, **__):
        llm, tokenizer = tiny_backbone()
        llm.get_input_embeddings().weight.data.copy_(base.get_input_embeddings().weight)
        return llm, tokenizer

    monkeypatch.setattr("deft_llm.model.deft.load_backbone", same_backbone)
    again = DeftModel.from_pretrained(tmp_path)
    readout = tiny_model.read(batch_of(make_clips(2)))
    told = [model.answer(readout, [ASK] * 2, max_new_tokens=60) for model in (tiny_model, again)]
    assert told[0] == told[1] and again.read(batch_of(make_clips(2))).au.equal(readout.au)
    assert "llm.base_model.model.model.embed_tokens.weight" not in load_file(tmp_path / WEIGHTS)
    assert (tmp_path / "README.md").read_text().count("Not for")


def test_experts_alone_need_no_language_model(tiny_model: DeftModel, tmp_path: Path, monkeypatch) -> None:
    tiny_model.save_pretrained(tmp_path)
    monkeypatch.setattr("deft_llm.model.deft.load_backbone", lambda *_, **__: pytest.fail("it was loaded"))
    model = DeftModel.from_pretrained(tmp_path, language=False)
    assert model.llm is None
    with pytest.raises(DeftError, match="no language part"):
        model.answer(model.read(batch_of(make_clips(1))), [ASK])
    bare = tmp_path / "bare"
    DeftModel(DeftConfig(motion=SMALL, faces=FACES)).save_pretrained(bare)
    with pytest.raises(DeftError, match="no language part"):
        model.load_language(bare)


@pytest.mark.parametrize("part", ["motion.coarse.weight", "delimiters"])
@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_a_checkpoint_that_does_not_fit_is_refused_with_both_sides(
    tiny_model: DeftModel, tmp_path: Path, fault: str, part: str
) -> None:
    tiny_model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    shape = tuple(tensors[part].shape)
    if fault == "missing":
        del tensors[part]
    elif fault == "extra":
        tensors[f"{part}.surplus"] = torch.zeros(2)
    else:
        tensors[part] = torch.zeros(5, 32)
    save_file(tensors, tmp_path / WEIGHTS)
    words = {"missing": f"{part}: missing (the model has {shape})",
             "extra": f"{part}.surplus: extra (the file has (2,))",
             "shape": f"the file has (5, 32), the model {shape}"}  # fmt: skip
    with pytest.raises(DeftError) as error:
        DeftModel.from_pretrained(tmp_path)
    assert words[fault] in str(error.value)


def test_older_schema_and_empty_folder_are_refused(tiny_model: DeftModel, tmp_path: Path) -> None:
    with pytest.raises(DeftError, match="no checkpoint"):
        DeftModel.from_pretrained(tmp_path / "nothing")
    tiny_model.save_pretrained(tmp_path)
    config = (tmp_path / CONFIG).read_text().replace('"schema": 2', '"schema": 1')
    (tmp_path / CONFIG).write_text(config)
    with pytest.raises(DeftError, match="schema 1"):
        DeftModel.from_pretrained(tmp_path)


def test_an_adapter_is_added_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        add_lora(tiny_backbone()[0], rank=2, alpha=4)
