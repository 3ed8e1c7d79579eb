"""Rationales are read back sentence by sentence, and held against the evidence and the class."""

import itertools
import json
import re

import numpy as np
import pytest

from deft_llm.answer import parse
from deft_llm.model.units import EXPERT_AUS
from deft_llm.rationale import Claim, agreeing_grammar, agrees, read_rationale
from deft_llm.training.flow_text import facts_of
from deft_llm.unimer.wording import full_text


def taught(side: np.ndarray, fine: int, coarse: int) -> str:
    """The answer that a model learns to write of coded sides (A, 2)."""
    return full_text(facts_of(side, side, np.ones(len(EXPERT_AUS), bool), fine, coarse))


SMILE = "Both mouth corners move up and outward, which is AU12. Coders would label this happiness."


def test_reads_movements_sides_and_label() -> None:
    read = read_rationale(SMILE)
    assert read is not None and read.label == "happiness"
    assert [claim[:3] for claim in read.claims] == [(12, "both", "mouth corner")]


@pytest.mark.parametrize(
    "text",
    [
        "She is happy. Coders would label this happiness.",
        "Both mouth corners move up and outward, which is AU4. Coders would label this happiness.",
        "Both mouth corners move up and outward, which is AU12.",
        "Both mouth corners move up and outward. Coders would label this happiness.",
        "Coders would label this happiness, which shows joy.",
        "",
    ],
)
def test_a_sentence_that_says_something_else_is_not_read(text) -> None:
    assert read_rationale(text) is None


def test_every_taught_answer_agrees_with_itself() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        side = (rng.random((len(EXPERT_AUS), 2)) < rng.choice([0.0, 0.05, 0.15])).astype(int)
        assert agrees(parse(taught(side, int(rng.integers(-1, 10)), int(rng.integers(-1, 3)))))


def test_disagreement_in_unit_side_or_label_is_found() -> None:
    side = np.zeros((len(EXPERT_AUS), 2), int)
    side[EXPERT_AUS.index(12)] = 1
    text = taught(side, -1, 1)
    assert agrees(parse(text))
    for old, new in (
        ("AU12 both, ", "AU12 left, "),
        ("(positive)", "(negative)"),
        ("which is AU12", "which is AU6"),
        ("both mouth corners", "the left mouth corner"),
        ("Both mouth corners", "The left mouth corner"),
    ):
        if old in text:
            assert not agrees(parse(text.replace(old, new))), (old, text)
    assert Claim(12, "both", "mouth corner", "up-lateral") in read_rationale(SMILE).claims


@pytest.mark.parametrize(
    ("words", "claim"),
    [
        ("The mouth corners move up and outward, which is AU12", (12, "both", "mouth corner", "up-lateral")),
        ("The chin moves up and sideways, which is AU17", (17, "both", "chin", "up-lateral")),
        ("The chin moves up and outward, which is AU17", (17, "both", "chin", "up-lateral")),
    ],
)
def test_a_movement_is_read_in_the_words_that_people_use_too(words, claim) -> None:
    read = read_rationale(f"{words}. Coders would label this happiness.")
    assert read is not None and read.claims == (claim,)


@pytest.mark.parametrize("evidence", [
    "AU1 both, inner brow, up; AU2 left, outer brow, up; AU25 both, lower lip, diverging", "none",
])  # fmt: skip
@pytest.mark.parametrize("head", ["surprise (surprise)", "undetermined (positive)"])
def test_every_text_of_the_agreeing_grammar_agrees(evidence, head) -> None:
    from llguidance import LLMatcher

    answer = parse(f"Class: {head}\nEvidence: {evidence}\nRationale: The lips move.")
    assert not agrees(answer)
    grammar = agreeing_grammar(answer)
    assert not LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar))
    start, *moves = [line.partition(": ")[2] for line in grammar.splitlines()]
    head, *_, end = [json.loads(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"', start)]
    options = [[json.loads(word) for word in move.split(" | ")] for move in moves]
    texts = [head + "".join(parts) + end for parts in itertools.product(*options)] if moves else []
    assert len(texts) == (0 if evidence == "none" else 2 * 3 * 3)
    assert all(agrees(parse(text)) for text in texts)
