"""Answers render and parse to the same value; the grammar admits all of them and nothing malformed."""

import llguidance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_llm.answer import Answer, AnswerError, Statement, fill_figures, lark_grammar, parse, render
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import ENTRIES, valid_directions, valid_sides
from deft_llm.records import Evidence

TRIPLES = [
    (number, side, motion.region, direction)
    for number, code in ENTRIES.items()
    for side in (valid_sides(number) if code.motion else ())
    for motion in code.motion
    for direction in valid_directions(number, motion.region)
]
tenths = st.integers(0, 99).map(lambda value: value / 10)


@st.composite
def statements(draw, figures=True):
    number, word, region, direction = draw(st.sampled_from(TRIPLES))
    kind = draw(st.sampled_from(["px", "z", "none"])) if figures else "none"
    return Statement(
        au=number,
        side="both" if word in ("upper", "lower") else word,
        part=word if word in ("upper", "lower") else None,
        region=region,
        direction=direction,
        px=draw(tenths) if kind == "px" else None,
        iod_percent=draw(tenths) if kind == "px" else None,
        z=draw(tenths) if kind == "z" else None,
    )


@st.composite
def answers(draw, figures=True):
    fine = draw(st.sampled_from([None, *FINE]))
    coarse = coarse_of(fine) if fine else draw(st.sampled_from([None, "negative", "positive", "surprise"]))
    rationale = draw(st.from_regex(r"[A-Z][a-zA-Z0-9 ,.()%]{0,80}[a-z.]", fullmatch=True))
    return Answer(
        fine=fine,
        coarse=coarse,
        evidence=tuple(draw(st.lists(statements(figures), max_size=6))),
        rationale=" ".join(rationale.split()),
    )


@given(answers())
def test_text_reads_back(answer):
    assert parse(render(answer)) == answer


def consume(matcher_grammar: str, text: str) -> bool:
    """Whether the grammar accepts the whole text, byte by byte."""
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(matcher_grammar))
    assert not matcher.get_error()
    data = list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


PLAIN, FIGURED = lark_grammar(), lark_grammar(figures=True)


@settings(max_examples=40, deadline=None)
@given(answers(figures=False))
def test_grammar_admits_every_answer(answer):
    assert consume(PLAIN, render(answer))


@settings(max_examples=40, deadline=None)
@given(answers())
def test_grammar_admits_figures(answer):
    assert consume(FIGURED, render(answer))
    assert consume(PLAIN, render(answer, figures=False))


@pytest.mark.parametrize(
    "text",
    ["Class: joy (positive)\nEvidence: none\nRationale: x",
     "Class: happiness (negative)\nEvidence: none\nRationale: x",
     "Class: fear (negative)\nEvidence: AU12 both, chin, up\nRationale: x",
     "Class: fear (negative)\nEvidence: AU26 left, chin, down\nRationale: x",
     "Class: fear (negative)\nEvidence: none", "Class: fear (negative)\nEvidence: \nRationale: x"],
)  # fmt: skip
def test_grammar_refuses(text):
    assert not consume(PLAIN, text)


def test_grammar_for_a_task():
    three = lark_grammar(fines=(), stop_after="class")
    assert consume(three, "Class: undetermined (surprise)")
    assert not consume(three, "Class: happiness (positive)")
    assert consume(lark_grammar(stop_after="evidence"), "Class: fear (negative)\nEvidence: none")


@pytest.mark.parametrize(
    "text",
    ["", "hello", "Class: happiness (positive)", "Class: happiness (negative)\nEvidence: none\nRationale: x",
     "Class: joy (positive)\nEvidence: none\nRationale: x",
     "Class: fear (negative)\nEvidence: AU12\nRationale: x",
     "Evidence: none\nClass: fear (negative)\nRationale: x"],
)  # fmt: skip
def test_parse_refuses(text):
    with pytest.raises(AnswerError):
        parse(text)


def test_render_refuses_a_contradiction():
    with pytest.raises(AnswerError):
        render(Answer(fine="happiness", coarse="negative"))


def test_figures_come_from_the_table_and_words_do_not():
    row = Evidence(au=12, side="right", region="right mouth corner", direction="up-lateral", dx=-0.6, dy=-0.7,
                   px=0.84, iod_percent=2.1, z=6.0, support=0.9, status="supported")  # fmt: skip
    said = Answer(
        fine="happiness",
        coarse="positive",
        evidence=(
            Statement(au=12, side="right", region="mouth corner", direction="lateral"),
            Statement(au=12, side="left", region="mouth corner", direction="up"),
        ),
        rationale="x",
    )
    first, second = fill_figures(said, [row]).evidence
    assert (first.px, first.direction) == (0.84, "lateral")
    assert second.px is None
    assert "0.8 px (2.1 % IOD)" in render(Answer.of("happiness", None, [row], "x"))


def test_named_units_come_once_in_order_and_bind_the_rationale() -> None:
    grammar = lark_grammar(aus=(1, 2, 12), once=True)
    start = "Class: fear (negative)\nEvidence: "
    one, two = "AU1 both, inner brow, up", "AU2 both, outer brow, up"
    reason = "\nRationale: Both brows move up, which is AU1 and AU2. Action Units end here."
    assert consume(grammar, f"{start}{one}; {two}{reason}")
    assert consume(grammar, f"{start}none\nRationale: No Action Unit can be measured.")
    for refused in (
        f"{start}{one}; {one}{reason}",
        f"{start}{two}; {one}{reason}",
        f"{start}AU4 both, inner brow, down",
        f"{start}{one}\nRationale: Brows, which is AU4.",
    ):
        assert not consume(grammar, refused), refused
    assert not consume(lark_grammar(aus=(), once=True), start + one)
    assert consume(lark_grammar(aus=(), once=True), start + "none\nRationale: No Action Unit moves.")


def test_every_unit_of_a_list_is_named_once() -> None:
    grammar = lark_grammar(aus=(1, 12), once=True, every=True, stop_after="evidence")
    start, one, two = "Class: fear (negative)\nEvidence: ", "AU1 both, forehead, up", "AU12 left, cheek, up"
    assert consume(grammar, f"{start}{one}; {two}")
    assert not consume(grammar, f"{start}none") and not consume(grammar, f"{start}{two}")


def test_a_rationale_names_no_side_that_its_evidence_has_not() -> None:
    grammar = lark_grammar(fines=("happiness",), aus=(1, 12), once=True, every=True, open_class=False,
                           sides={1: "both", 12: "right"})  # fmt: skip
    said = (
        "Class: happiness (positive)\nEvidence: AU1 both, inner brow, up; AU12 right, mouth corner, up\n"
        "Rationale: Both inner brows move up, which is AU1 and the right mouth corner moves up, which is "
        "AU12. Coders would label this happiness."
    )
    assert consume(grammar, said)
    assert not consume(grammar, said.replace("the right mouth", "the left mouth"))
    assert not consume(grammar, said.replace("Both inner", "Left inner"))
    assert consume(grammar, said.replace("Both inner", "Cleft inner")), "a word that holds a side's is free"


def test_an_answer_to_a_known_class_ends_with_its_label() -> None:
    grammar = lark_grammar(fines=("happiness",), aus=(12,), once=True, every=True, open_class=False)
    item = (
        "AU12 both, mouth corner, up\nRationale: It moves, which is AU12. Coders would label this happiness."
    )
    assert consume(grammar, f"Class: happiness (positive)\nEvidence: {item}")
    assert not consume(grammar, f"Class: undetermined (positive)\nEvidence: {item}")
    assert not consume(grammar, f"Class: undetermined (undetermined)\nEvidence: {item}")
    assert not consume(grammar, f"Class: undetermined (negative)\nEvidence: {item}")
    assert not consume(
        grammar, f"Class: happiness (positive)\nEvidence: {item.replace('this happiness', 'this fear')}"
    )
    assert not consume(
        grammar, f"Class: happiness (positive)\nEvidence: {item.replace('which is', 'no. Is')}"
    )
    assert not consume(grammar, "Class: happiness (positive)\nEvidence: none" + item.partition("up")[2])
