"""Packed rows: the losses and gradients of separate rows, on several families of language models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from deft_llm.answer import Answer, render
from deft_llm.errors import UsageError
from deft_llm.model.language import add_lora, tiny_backbone
from deft_llm.model.packing import RowCollator, Turn, answer_losses, refuse_unpackable, text_loss
from deft_llm.records import Evidence

FULL = render(
    Answer.of(
        "happiness",
        "positive",
        [
            Evidence(
                au=12,
                side="left",
                region="lip corners",
                direction="up-lateral",
                dx=0.0,
                dy=0.0,
                support=1.0,
                status="supported",
            )
        ],  # fmt: skip
        "The left lip corner moved up and outward, which is AU12. Coders would label it happiness.",
    ),
    figures=False,
)
TURNS = [
    [
        Turn("What is the coarse expression class?", ("positive",)),
        Turn("Give class, evidence and rationale.", (FULL,)),
        Turn("Is the action unit lip corner puller shown on the face?", ("yes", "no", "not at all")),
    ],
    [Turn("What are the action units?", ("brow lowerer, lid tightener",)), Turn("Which side?", ("left",))],
]
WIDTH = 32
SIZES = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 257, "max_position_embeddings": 2048, "bos_token_id": 0,
         "eos_token_id": 0, "pad_token_id": 0}  # fmt: skip
FAMILIES = {
    "llama": {},
    "smollm2": {"tie_word_embeddings": True, "rope_theta": 100000.0, "num_attention_heads": 9,
                "num_key_value_heads": 3, "hidden_size": 36},
    "qwen2": {},
    "gemma": {"head_dim": 8},
    "gpt2": {},
}  # fmt: skip


def language_model(family: str, **changes: object):
    """A random causal LM of a family, made from its configuration class."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = "llama" if family == "smollm2" else family
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **{**SIZES, **FAMILIES.get(family, {}), **changes})
    ).eval()


def prompts_of(llm, lengths: tuple[int, ...] = (7, 12)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    width = llm.get_input_embeddings().weight.shape[1]
    return [(0.3 * torch.randn(n, width, generator=generator)).requires_grad_() for n in lengths]


def read(llm, packed: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Losses of all turns, and the gradients of their sum in the prompts and in the model."""
    prompts = prompts_of(llm)
    batch = RowCollator(tiny_backbone()[1], packed)([len(p) for p in prompts], TURNS)
    sums, tokens = answer_losses(llm, prompts, batch)
    losses = sums / tokens
    llm.zero_grad()
    losses.sum().backward()
    named = [p.grad for p in llm.parameters() if p.requires_grad and p.grad is not None]
    return losses.detach(), [p.grad for p in prompts] + [g.clone() for g in named]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_have_the_losses_and_gradients_of_separate_rows(family: str, attention: str) -> None:
    llm = add_lora(language_model(family, attn_implementation=attention), rank=2, alpha=4)
    for name, weight in llm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    together, gradients = read(llm, packed=True)
    apart, expected = read(llm, packed=False)
    assert together.shape == (7,) and float(together.min()) > 1.0
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=1e-5)
    assert len(gradients) == len(expected) > 8
    for mine, wanted in zip(gradients, expected):
        torch.testing.assert_close(mine, wanted, atol=5e-5, rtol=1e-3)


def test_a_branch_that_sees_its_neighbour_would_be_found() -> None:
    llm = language_model("llama")
    prompts = prompts_of(llm)
    batch = RowCollator(tiny_backbone()[1])([len(p) for p in prompts], TURNS)
    own = answer_losses(llm, prompts, batch)[0]
    positions = torch.arange(batch.input_ids.shape[1]).expand_as(batch.position_ids)
    assert not torch.allclose(answer_losses(llm, prompts, replace(batch, position_ids=positions))[0], own)
    causal = torch.ones_like(batch.attention_mask).tril()
    assert not torch.allclose(answer_losses(llm, prompts, replace(batch, attention_mask=causal))[0], own)


def test_a_packed_row_holds_the_prompt_once_and_scores_answers_alone() -> None:
    tokenizer = tiny_backbone()[1]
    starts = [7, 12]
    packed, apart = (RowCollator(tokenizer, p)(starts, TURNS) for p in (True, False))
    assert len(packed.input_ids) == 2 and len(apart.input_ids) == 7
    assert packed.clips == [0, 1] and apart.clips == [0, 0, 0, 0, 0, 1, 1]
    text = tokenizer.decode(packed.input_ids[1][packed.answer[1] == 5], skip_special_tokens=True)
    assert text == "brow lowerer, lid tightener"
    assert int((packed.labels != -100).sum()) == int((apart.labels != -100).sum())
    # every branch begins where the prompt ends
    assert int((packed.position_ids[0] == 7).sum()) == 3


def test_a_long_answer_counts_more_than_a_short_one_but_not_in_full() -> None:
    sums, tokens = torch.tensor([2.0, 32.0]), torch.tensor([1, 16])
    assert float(text_loss(sums, tokens, torch.ones(2))) == pytest.approx((2.0 + 8.0) / 2)
    assert float(text_loss(sums, tokens, torch.tensor([3.0, 1.0]))) == pytest.approx((6.0 + 8.0) / 4)


def test_weights_and_kinds_go_with_their_turns() -> None:
    batch = RowCollator(tiny_backbone()[1])(
        [3], [[Turn("?", ("a",), weight=0.5), Turn("??", ("b", "c"), weight=2.0)]]
    )
    assert batch.weights.tolist() == [0.5, 2.0, 2.0]


def test_models_that_know_no_branches_are_refused_with_the_setting_to_use() -> None:
    with pytest.raises(UsageError, match=r"mistral looks back 64 tokens .*packed=false"):
        refuse_unpackable(language_model("mistral", sliding_window=64))
    with pytest.raises(UsageError, match=r"gemma2.*sliding window.*packed=false"):
        refuse_unpackable(language_model("gemma2", head_dim=8, sliding_window=16))
    flash = language_model("llama")
    flash.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UsageError, match='flash_attention_2.*attn_implementation="sdpa"'):
        read(flash, packed=True)


def test_a_sliding_window_trains_on_separate_rows() -> None:
    llm = language_model("mistral", sliding_window=64)
    losses, _ = read(llm, packed=False)
    assert losses.shape == (7,) and bool(torch.isfinite(losses).all())
    with pytest.raises(UsageError, match="sliding window"):
        read(llm, packed=True)


def test_the_benchmark_of_packed_rows_runs(monkeypatch, capsys) -> None:
    import benchmarks.packing

    monkeypatch.setattr("sys.argv", ["packing.py", "--backbone", "tiny-random", "--repeat", "1"])
    benchmarks.packing.main()
    found = json.loads(capsys.readouterr().out)
    assert found["answers"] == 16 and found["tokens_packed"] < found["tokens_separate"]
