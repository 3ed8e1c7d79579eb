"""Constrained decoding: any model, however weak, writes answers of the grammar; batching changes nothing."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from deft_llm.answer import lark_grammar, parse
from deft_llm.errors import DeftError
from deft_llm.model.decoding import TokenMask, generate_constrained
from deft_llm.setup.weights import require

GRAMMAR = lark_grammar(max_evidence=2, max_rationale=12)


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<end>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(
        ["Class: happiness (positive)\nEvidence: AU12 both, mouth corner, up"] * 5, trainer
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2)  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def embedded_tokenizer():
    from transformers import AutoTokenizer

    try:
        folder = require("llm")
    except DeftError:
        pytest.skip("the language model is not there: `deft setup`")
    return AutoTokenizer.from_pretrained(folder)


def padded(tokenizer, prompts):
    tokenizer.padding_side = "left"
    return tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)


PROMPTS = ["What moved?", "brow", "A face whose mouth corner went up and out."]


def test_random_model_writes_answers(model, tokenizer):
    texts = generate_constrained(model, tokenizer, GRAMMAR, **padded(tokenizer, PROMPTS), max_new_tokens=300)
    for text in texts:
        parse(text)


def test_rows_do_not_depend_on_each_other(model, tokenizer):
    together = generate_constrained(
        model, tokenizer, GRAMMAR, **padded(tokenizer, PROMPTS), max_new_tokens=300
    )
    alone = [
        generate_constrained(model, tokenizer, GRAMMAR, **padded(tokenizer, [prompt]), max_new_tokens=300)[0]
        for prompt in PROMPTS
    ]
    assert together == alone


def test_embeddings_say_the_same(model, tokenizer):
    inputs = padded(tokenizer, PROMPTS)
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach()
    mask = inputs["attention_mask"]
    from_ids = generate_constrained(model, tokenizer, GRAMMAR, **inputs, max_new_tokens=40)
    assert from_ids == generate_constrained(
        model, tokenizer, GRAMMAR, inputs_embeds=embeds, attention_mask=mask, max_new_tokens=40
    )


def test_one_grammar_a_row_and_the_model_chooses(model, tokenizer):
    grammars = [lark_grammar(fines=(), stop_after="class"), 'start: "yes" | "no"']
    texts = generate_constrained(model, tokenizer, grammars, **padded(tokenizer, PROMPTS[:2]))
    assert texts[0].startswith("Class: undetermined (") and texts[1] in ("yes", "no")

    def last(logits, tokens):  # a sampler that prefers the other answer
        return (-logits).masked_fill(~torch.isfinite(logits), -torch.inf).argmax(-1)

    other = generate_constrained(
        model, tokenizer, grammars[1], **padded(tokenizer, PROMPTS[1:2]), choose=last
    )
    assert {other[0], texts[1]} == {"yes", "no"}


def test_length_limit(model, tokenizer):
    (text,) = generate_constrained(model, tokenizer, GRAMMAR, **padded(tokenizer, ["x"]), max_new_tokens=3)
    assert "Class: happiness (positive)\nEvidence: none\nRationale: ".startswith(text[:5])
    assert len(tokenizer(text)["input_ids"]) <= 3


def test_bad_calls(model, tokenizer):
    with pytest.raises(DeftError, match="grammar"):
        generate_constrained(model, tokenizer, "start: (", **padded(tokenizer, ["x"]))
    with pytest.raises(ValueError, match="input_ids"):
        generate_constrained(model, tokenizer, GRAMMAR)
    ids = torch.ones((2, 3), dtype=torch.long)
    with pytest.raises(ValueError, match="left"):
        generate_constrained(
            model, tokenizer, GRAMMAR, input_ids=ids, attention_mask=torch.tensor([[1, 1, 1], [1, 1, 0]])
        )


def test_a_side_that_no_unit_has_is_never_offered_for_the_rationale(embedded_tokenizer):
    """With the vocabulary of a real model, in which a word may begin in the middle of a token."""
    grammar = lark_grammar(
        fines=("happiness",), aus=(12,), once=True, every=True, open_class=False, sides={12: "both"}
    )
    said = (
        "Class: happiness (positive)\nEvidence: AU12 both, mouth corner, up\nRationale: Both mouth corners "
        "move up, which is AU12. Coders would label this happiness."
    )
    for text, refused in ((said, None), (said.replace("Both", "The left"), " left")):
        mask = TokenMask(embedded_tokenizer, grammar, len(embedded_tokenizer))
        tokens = embedded_tokenizer(text, add_special_tokens=False).input_ids
        offered = []
        for token in tokens:
            offered.append(bool(mask.allowed()[token]))
            if not offered[-1]:
                break
            mask.take(token)
        assert all(offered[:-1]) and offered[-1] == (refused is None)
        if refused:
            assert embedded_tokenizer.decode([tokens[len(offered) - 1]]) == refused
