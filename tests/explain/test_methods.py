"""The baselines that answer without training: rules, and the untrained language model that says so."""

from dataclasses import replace

import numpy as np
import pytest

from deft_llm.answer import parse
from deft_llm.aus.readout import describe, rationale
from deft_llm.claims import find_claims
from deft_llm.errors import UsageError
from deft_llm.explain.samples import Injected
from deft_llm.facs.emotions import emotion_scores
from deft_llm.facs.regions import REGION_INDEX, REGIONS
from deft_llm.methods.flow2text import Flow2Text, Flow2TextOptions, class_lines, evidence_of
from deft_llm.methods.protocol import Sample, Task, build_method
from deft_llm.methods.rules import class_probabilities
from deft_llm.methods.table_words import STILL, motion_words, table_words
from deft_llm.motion.measure import measure_clip
from deft_llm.records import BY_SHAPE, Evidence


@pytest.fixture(scope="module")
def sample(make_frames):
    """A measured pull of the subject's right lip corner."""
    frames = make_frames([Injected(12, "right", 4, 13, 26, 1.2)], 32, seed=3)
    motion = measure_clip(frames, onset=4, apex=13, offset=26, fps=50.0, clip_id="test/a/b")
    return Sample("test/a/b", "test", "test/a", lambda: motion, motion.has)


def test_rules_name_unit_side_and_class(sample):
    (row,) = build_method("rules", Task(), zero_shot=True).predict([sample])
    assert row.evidence[0].au == 12 and row.sides["12"] == "right" and row.aus["12"] > 0.5
    assert row.label == "positive" and sum(row.probabilities.values()) == pytest.approx(1.0)
    assert parse(row.answer).evidence[0].au == 12 and find_claims(row.answer) == []


def test_rules_keep_to_what_the_whole_measurement_states(sample):
    """Shape denies the smile and shows brows that go up: classes, units and evidence follow."""
    stated = replace(sample, stated={12: (0.05, 0.05), 1: (0.9, 0.9), 2: (0.9, 0.2)})
    (row,) = build_method("rules", Task(), zero_shot=True).predict([stated])
    assert row.aus["12"] == 0.05 and row.aus["1"] == 0.9 and "12" not in row.sides
    assert row.sides["1"] == "both" and row.sides["2"] == "left"
    assert not [one for one in row.evidence if one.au == 12] and row.label != "positive"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "both mouth corners moved up and outward by 1.0 px (2.0 % IOD)"),
        ({"side": "left"}, "the left mouth corner moved up and outward by 1.0 px (2.0 % IOD)"),
        ({"side": "asymmetric"}, "both mouth corners moved unevenly up and outward by 1.0 px (2.0 % IOD)"),
        ({"reason": BY_SHAPE}, "both mouth corners moved up and outward (seen by shape)"),
        ({"au": 17, "region": "chin", "direction": "up-lateral", "px": None},
         "the chin moved up and sideways"),
        ({"au": 25, "region": "lower lip", "direction": "diverging", "px": None}, "the lips moved apart"),
        ({"au": 4, "region": "inner brow", "side": "right", "direction": "converging", "px": None},
         "the inner brow on the right drew together"),
        ({"au": 23, "region": "upper lip", "direction": "down", "part": "upper", "px": None},
         "the upper lip moved down"),
    ],
)  # fmt: skip
def test_what_moved_is_said_as_people_say_it(change, said):
    row = Evidence(au=12, side="both", region="mouth corner", direction="up-lateral", dx=1.0, dy=-1.0,
                   px=1.0, iod_percent=2.0, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    assert describe(row.model_copy(update=change)) == said


def test_a_rationale_tells_every_unit_and_no_motion_twice():
    row = Evidence(au=6, side="both", region="cheek", direction="up", dx=0.0, dy=-1.0, px=1.0,
                   iod_percent=2.0, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    rows = [row, row.model_copy(update={"au": 12}), *(row.model_copy(update={"au": au, "region": region})
            for au, region in ((1, "inner brow"), (2, "outer brow")))]  # fmt: skip
    said = rationale(rows, None, 0.0)
    assert said.count("cheeks moved up") == 1 and all(f"AU{au} (" in said for au in (6, 12, 1, 2))
    assert said.endswith("These AUs do not determine a class.")
    assert rationale(rows[:1], None, 0.0).endswith("This AU does not determine a class.")


def test_rules_speak_in_any_class_list(sample):
    native = Task(label_space="native", classes=("happiness", "other", "anger"))
    assert build_method("rules", native).predict([sample])[0].label == "happiness"
    objective = Task(label_space="objective", classes=("I", "II", "III", "VII"))
    assert build_method("rules", objective).predict([sample])[0].label == "I"
    units = Task(name="au")
    assert build_method("rules", units).predict([sample])[0].probabilities == {}
    with pytest.raises(UsageError, match="joyful"):
        build_method("rules", Task(classes=("joyful",))).predict([sample])


def test_coarse_classes_add_up_their_fine_ones():
    scores = emotion_scores({1: 1.0, 2: 1.0})
    shares = class_probabilities(scores, None, ("negative", "positive", "surprise"))
    assert max(shares, key=shares.get) == "surprise" and sum(shares.values()) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def tiny_llm(tmp_path_factory):
    """A random language model and a byte tokenizer on disk."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<end>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}\n"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=4096,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llm")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_flow2text_answers_in_form_and_says_that_it_is_untrained(sample, tiny_llm):
    method = Flow2Text(Task(), Flow2TextOptions(model=tiny_llm, max_new_tokens=900))
    (row,) = method.predict([sample])
    assert row.parsed and parse(row.answer)
    assert row.extras["trained"] is False and "untrained" in row.extras["warning"]
    assert sum(row.probabilities.values()) == pytest.approx(1.0, abs=1e-4)


def test_flow2text_counts_what_it_cannot_parse(sample, tiny_llm):
    (row,) = Flow2Text(Task(), Flow2TextOptions(model=tiny_llm, max_new_tokens=9)).predict([sample])
    assert row.parsed is False and row.answer and row.fine is None and row.evidence == []


def test_table_words_name_what_moves_first(sample):
    lines = motion_words(sample.motion, 8).splitlines()
    assert lines[0].startswith("right ") and lines[0].endswith(" 9")
    assert any(line.startswith("right mouth corner up-lateral ") for line in lines)


def test_table_words_are_the_same_whatever_the_scale_and_join_sides_that_move_alike():
    table = np.zeros((len(REGIONS), 3), np.float32)
    for key, dx, dy in (("left inner brow", -0.1, -2.0), ("right inner brow", 0.1, -1.8), ("chin", 0, 1.0)):
        table[REGION_INDEX[key], :2] = dx, dy
    assert table_words(table).splitlines() == ["both inner brow up 9", "chin down 4"]
    assert table_words(3 * table) == table_words(table)
    table[REGION_INDEX["left inner brow"], 1] = -0.5
    assert table_words(table, 2).splitlines() == ["right inner brow up 9", "chin down 5"]
    assert table_words(0 * table) == STILL


def test_a_coarse_class_is_any_of_its_first_lines():
    assert class_lines("positive") == ["Class: happiness (positive)", "Class: undetermined (positive)"]
    assert class_lines("disgust") == ["Class: disgust (negative)"]
    assert len(class_lines("negative")) == 7 and class_lines("others") == ["Class: others (undetermined)"]


def test_figures_are_measured_whatever_is_claimed(sample):
    true = parse("Class: happiness (positive)\nEvidence: AU12 right, mouth corner, up-lateral\nRationale: x")
    wrong = parse("Class: anger (negative)\nEvidence: AU4 both, inner brow, down\nRationale: x")
    seen, unseen = (evidence_of(text.evidence[0], sample.motion) for text in (true, wrong))
    assert seen.status == "supported" and unseen.status == "unsupported"
    assert np.isfinite([seen.dx, seen.px, unseen.dx, unseen.px]).all() and seen.px > unseen.px
