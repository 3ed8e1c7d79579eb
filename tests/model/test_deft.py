"""DeftModel: prompt, loss, answers, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deft_llm.answer import parse
from deft_llm.errors import DeftError
from deft_llm.model.checkpoint import CONFIG, WEIGHTS
from deft_llm.model.deft import DeftModel, batch_of
from deft_llm.model.face_inputs import FaceInput
from deft_llm.model.inputs import maps_input

ASK = "Give class, evidence and rationale."


def clips(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [maps_input(rng.normal(size=(1, 3, 28, 28)).astype(np.float32)) for _ in range(count)]


def face(seed: int) -> FaceInput:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return FaceInput(draw(478, 2), draw(1, 64, 64), draw(4, 56, 56))


def test_answers_follow_the_grammar_and_do_not_depend_on_the_batch(tiny_model) -> None:
    items = clips(3)
    together = tiny_model.answer(batch_of(items), [ASK] * 3, max_new_tokens=700)
    alone = tiny_model.answer(batch_of(items[1:2]), [ASK], max_new_tokens=700)
    assert together[1] == alone[0]
    for text in together:
        parse(text)


def test_loss_counts_answer_tokens_only(tiny_model) -> None:
    batch = batch_of(clips(2))
    short = tiny_model(batch, [ASK] * 2, ["yes", "no"]).loss
    longer_question = tiny_model(batch, [ASK + " " + ASK] * 2, ["yes", "no"]).loss
    assert torch.isfinite(short)
    assert not torch.equal(short, longer_question)


def test_padding_of_unequal_answers_changes_nothing(tiny_model) -> None:
    items = clips(2)
    both = tiny_model(batch_of(items), [ASK] * 2, ["no", "a much longer answer than that"]).loss
    first = tiny_model(batch_of(items[:1]), [ASK], ["no"]).loss
    second = tiny_model(batch_of(items[1:]), [ASK], ["a much longer answer than that"]).loss
    tokens = [len("no") + 1, len("a much longer answer than that") + 1]
    expected = (first * tokens[0] + second * tokens[1]) / sum(tokens)
    assert torch.allclose(both, expected, atol=1e-4)


def test_dropped_experts_change_the_prompt_and_missing_ones_are_absent(tiny_model) -> None:
    with_face = batch_of(clips(1), [face(0)])
    without = batch_of(clips(1))
    out, bare = tiny_model.read(with_face), tiny_model.read(without)
    full = tiny_model.soft_tokens(out, with_face.has_faces)
    assert full.shape[1] == 6 + 4 + 12 + 16
    assert (
        tiny_model.soft_tokens(out, with_face.has_faces, drop=("structure", "texture")).shape[1]
        == 6 + 1 + 1 + 16
    )
    assert tiny_model.soft_tokens(bare, None).shape[1] == 6 + 1 + 1 + 16


def test_a_clip_without_a_face_keeps_the_motion_experts_logits(tiny_model) -> None:
    torch.nn.init.normal_(tiny_model.fusion.out.weight)
    items = clips(2)
    mixed = tiny_model.read(batch_of(items, [face(1), None]))
    alone = tiny_model.read(batch_of(items))
    assert torch.allclose(mixed.coarse[1], alone.coarse[1], atol=1e-5)
    assert not torch.allclose(mixed.coarse[0], alone.coarse[0], atol=1e-3)


def test_saved_model_answers_the_same(tiny_model, tmp_path) -> None:
    tiny_model.save_pretrained(tmp_path, half=False)
    again = DeftModel.from_pretrained(tmp_path)
    batch = batch_of(clips(2))
    assert tiny_model.answer(batch, [ASK] * 2, max_new_tokens=60) == again.answer(
        batch, [ASK] * 2, max_new_tokens=60
    )
    assert "llm.base_model.model.model.embed_tokens.weight" not in load_file(tmp_path / WEIGHTS)
    assert (tmp_path / "README.md").read_text().count("Not for")


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_a_checkpoint_that_does_not_fit_is_refused_with_both_sides(tiny_model, tmp_path, fault) -> None:
    tiny_model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    name = "motion.0.coarse.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "extra":
        tensors["motion.0.surplus"] = torch.zeros(2)
    else:
        tensors[name] = torch.zeros(5, 32)
    save_file(tensors, tmp_path / WEIGHTS)
    words = {"missing": "missing (the model has (3, 32))",
             "extra": "motion.0.surplus: extra (the file has (2,))",
             "shape": "the file has (5, 32), the model (3, 32)"}  # fmt: skip
    with pytest.raises(DeftError) as error:
        DeftModel.from_pretrained(tmp_path)
    assert words[fault] in str(error.value)


def test_older_schema_and_empty_folder_are_refused(tiny_model, tmp_path) -> None:
    with pytest.raises(DeftError, match="no checkpoint"):
        DeftModel.from_pretrained(tmp_path / "nothing")
    tiny_model.save_pretrained(tmp_path)
    config = (tmp_path / CONFIG).read_text().replace('"schema": 1', '"schema": 0')
    (tmp_path / CONFIG).write_text(config)
    with pytest.raises(DeftError, match="schema 0"):
        DeftModel.from_pretrained(tmp_path)


def test_an_adapter_is_added_without_a_warning() -> None:
    import warnings

    from deft_llm.model.language import add_lora, tiny_backbone

    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        add_lora(tiny_backbone()[0], rank=2, alpha=4)
