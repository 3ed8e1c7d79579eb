"""Each question in its own short form: options by their likelihood, lists and (C, E, R) generated; one
account per clip."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deft_llm.answer import COARSE, MAX_EVIDENCE, parse
from deft_llm.evaluation.questions import asked_fold, combined_parts, named_units, question_kind
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import FOLDS, REGION_INDEX, REGION_NAMES
from deft_llm.facs.units import ENTRIES
from deft_llm.model import questions
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.decoding import answer_grammar
from deft_llm.model.heads import au_probabilities, seen_sides
from deft_llm.model.inputs import batch_of
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.predictor import Predictor
from deft_llm.model.questions import (
    DRAFTS,
    END_UNSEEN,
    FOLDS_UNREAD,
    ONSET_UNSEEN,
    OPTIONS,
    SKIN_UNSEEN,
    UNLEARNED,
    ask,
)
from deft_llm.model.readout import PHASES
from deft_llm.model.units import AU_INDEX
from deft_llm.rationale import agrees
from deft_llm.unimer.phrases import QUESTIONS
from deft_llm.unimer.vqa import FORMS
from tests.model.conftest import make_clips, make_face

SIX = [
    "What is the coarse expression class?",
    "What is the fine-grained expression class?",
    "What are the action units?",
    "Is the action unit brow lowerer shown on the face?",
    "Is the action unit lip corner puller located on the left or right face?",
    "What are the action units present, and based on them, what is the fine-grained expression and the "
    "coarse expression class?",
]


def test_every_wording_of_uni_mer_is_known_by_its_kind() -> None:
    kinds = {"vqa_aus_one": "aus", "vqa_aus_several": "aus", "vqa_aus_any": "aus", "vqa_held": "au_held",
             "vqa_combined_one": "combined", "vqa_combined_several": "combined"}  # fmt: skip
    for form, wordings in FORMS.items():
        for wording in wordings:
            text = wording.format(name="lid tightener", side="left", folds=FOLDS["crow's feet"])
            assert question_kind(text) == kinds.get(form, form.removeprefix("vqa_")), text


def test_questions_that_neither_yes_nor_a_side_answers_are_open() -> None:
    words = {"au": 12, "name": "lip corner puller", "first": 12, "first_name": "lip corner puller",
             "second": 6, "second_name": "cheek raiser", "region": "left mouth corner"}  # fmt: skip
    for task in ("side", "release", "contrast", "region", "why", "not_seen"):
        for wording in QUESTIONS[task]:
            assert question_kind(wording.format(**words)) == "other", wording
    for wording in QUESTIONS["au"]:
        assert question_kind(wording.format(**words)) == "au_present", wording


def test_the_six_forms_are_answered_in_their_form_and_agree(tiny_model, readout) -> None:
    for replies in ask(tiny_model, readout, [SIX, SIX]):
        coarse, fine, aus, shown, side, combined = (reply.text for reply in replies)
        assert coarse in COARSE and fine in FINE and coarse_of(fine) in (coarse, None)
        assert shown in ("yes", "no") and side in ("left", "right")
        units, strange = named_units(aus)
        assert not strange and (units or aus == "none")
        parts = combined_parts(combined)
        assert (parts["fine"], parts["coarse"]) == (fine, coarse)
        assert parts["aus"] == units
        assert all(0 < reply.probability <= 1 for reply in replies)
        for reply in replies:
            if reply.kind in OPTIONS:
                assert sum(reply.options.values()) == pytest.approx(1, abs=1e-4)
                assert reply.options[reply.text] == reply.probability


def test_class_and_label_of_the_full_answer_are_those_of_the_single_questions(tiny_model, readout) -> None:
    for full, fine in ask(tiny_model, readout, [[ANSWER_QUESTION, SIX[1]]] * 2):
        line = full.text.splitlines()[0]
        assert line == f"Class: {fine.text} ({coarse_of(fine.text) or 'undetermined'})"
        if full.text.endswith("."):
            assert parse(full.text).fine == fine.text


def test_the_likelihood_of_the_options_decides_and_not_their_order(tiny_model, readout) -> None:
    questions = [[SIX[3]], [SIX[3]]]
    first = ask(tiny_model, readout, questions)
    with torch.no_grad():  # by hand, from the language model itself
        embeds, _ = tiny_model.with_questions(tiny_model.prompts(readout)[:1], [SIX[3]])
        totals = []
        for word in ("yes", "no"):
            ids = [*tiny_model.tokenizer(word).input_ids, tiny_model.tokenizer.eos_token_id]
            words = tiny_model.llm.get_input_embeddings()(torch.tensor([ids]))
            logits = tiny_model.llm(inputs_embeds=torch.cat([embeds, words], 1)).logits[0]
            told = logits[embeds.shape[1] - 1 : -1].log_softmax(-1)
            totals.append(told[range(len(ids)), ids].sum())
    expected = torch.stack(totals).softmax(0)
    assert first[0][0].options["yes"] == pytest.approx(float(expected[0]), abs=1e-4)


def test_questions_of_a_clip_do_not_change_each_others_answers(tiny_model, readout) -> None:
    together = ask(tiny_model, readout, [SIX, SIX[3:4]])
    alone = ask(tiny_model, readout, [SIX[3:5], SIX[3:4]])
    assert together[0][3].options["yes"] == pytest.approx(alone[0][0].options["yes"], abs=1e-4)
    assert together[1][0].options == pytest.approx(alone[1][0].options, abs=1e-4)


def test_an_answer_that_declines_says_so(tiny_model, readout, monkeypatch) -> None:
    said = ["I cannot say. How skin moves does not show what somebody wants.", "It is a mouth."]
    monkeypatch.setattr(questions, "generate_constrained", lambda *_, **__: list(said))
    replies = ask(tiny_model, readout, [["What does she want?"], ["What is it?"]])
    assert [row[0].answered_by for row in replies] == ["declined", "language"]
    assert [row[0].text for row in replies] == said


def test_a_tasks_labels_narrow_the_fine_classes(tiny_model, readout) -> None:
    labels = ("happiness", "disgust", "others")
    replies = ask(tiny_model, readout, [SIX[:2]] * 2, fines=labels)
    assert all(set(row[1].options) == set(labels) for row in replies)


def test_what_is_dropped_changes_the_answers(tiny_model, readout) -> None:
    whole, without = (ask(tiny_model, readout, [SIX[3:4]] * 2, drop=drop) for drop in ((), (BELIEFS,)))
    assert whole[0][0].options != without[0][0].options


def test_figures_and_times_are_answered_from_the_measurement() -> None:
    import numpy as np

    from deft_llm.model.questions import measured_reply
    from deft_llm.motion.measure import motion_from_flow

    flow = np.zeros((1, 2, 224, 224), np.float32)
    flow[:, 1] = -1.0
    motion = motion_from_flow("a/b", flow, units="relative")
    for question in ("How far does the left brow move?", "How many pixels does AU12 move?"):
        reply = measured_reply(question, motion)
        assert reply is not None and reply.answered_by == "measurement" and "no scale" in reply.text
    motion.indices, motion.fps = (3, 15, 27), 200.0
    reply = measured_reply("When is the apex?", motion)
    assert reply is not None and "apex frame 15, 60 ms" in reply.text and "27, 60 ms later" in reply.text
    for question in (*SIX, ANSWER_QUESTION, "How many action units are shown on the face?"):
        assert measured_reply(question, motion) is None, question
    assert measured_reply("How far does it move?", None) is None
    for question in (
        "When did the passenger decide to attack?", "How much does the customer want to pay?",
        "When does the witness begin to deceive the court?", "How long has she planned it?",
    ):  # fmt: skip
        assert measured_reply(question, motion) is None, "no time or size of a face"


def test_a_predictor_answers_in_the_form_of_the_question(tiny_model) -> None:
    readout = tiny_model.read(batch_of(make_clips(1)))
    (short,) = Predictor(tiny_model, {}).answer(readout, [SIX[3]])
    assert short.text in ("yes", "no") and short.complete and short.answer is None
    assert 0.5 <= short.probability <= 1 and short.kind == "au_present"


def test_class_evidence_and_rationale_have_the_class_and_the_units_of_the_single_answers(
    tiny_model, readout
) -> None:
    for coarse, fine, aus, _, _, _, whole in ask(tiny_model, readout, [[*SIX, ANSWER_QUESTION]] * 2):
        said = parse(whole.text)
        assert (said.fine, said.coarse or coarse.text) == (fine.text, coarse.text)
        known = {number for number in named_units(aus.text)[0] if ENTRIES[number].motion}
        assert [item.au for item in said.evidence] == sorted(known)[:MAX_EVIDENCE]


def test_sides_are_the_readouts(tiny_model, readout) -> None:
    """The side that is asked for, and the sides in (C, E, R), are those on which the experts see a unit."""
    au = torch.full_like(readout.au, -6.0)
    au[0, AU_INDEX[12]], au[1, AU_INDEX[12]] = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
    given = replace(readout, au=au)
    asked = ask(tiny_model, given, [[SIX[4]]] * 2)
    assert [(row[0].text, row[0].answered_by) for row in asked] == [("left", "experts"), ("right", "experts")]
    assert seen_sides(au_probabilities(given))[1][12] == "right"
    grammar = answer_grammar(fines=["happiness"], aus=[12], every=True, sides={12: "right"}, open_class=False)
    assert '"AU12 " ("right")' in grammar and '"left"' not in grammar
    alone = ask(tiny_model, given, [[SIX[4]]] * 2, drop=[BELIEFS])
    assert all(row[0].answered_by == "language" for row in alone)


def test_what_the_onset_held_is_not_told_where_it_was_not_seen(tiny_model, readout) -> None:
    forms = ("vqa_state", "vqa_held", "vqa_phase", "vqa_turn")
    questions = [FORMS[form][0].format(name="dimpler") for form in forms]
    assert not readout.saw[:, EXPERTS.index("structure")].any()
    (said, _) = Predictor(tiny_model, {}).ask(readout, [questions, []])
    assert {(one.text, one.answered_by) for one in said} == {(ONSET_UNSEEN, "declined")}
    (said, _) = Predictor(tiny_model, {}).ask(readout, [questions, []], drop=["structure"])
    assert all(one.answered_by == "language" for one in said), "left out to see what it is worth"


def test_folds_are_not_told_by_experts_that_do_not_see_them(tiny_model, readout) -> None:
    question = FORMS["vqa_fold"][0].format(folds=FOLDS["chin"])
    (said, _) = Predictor(tiny_model, {}).ask(readout, [[question], []])
    assert (said[0].text, said[0].answered_by) == (FOLDS_UNREAD, "declined")


def test_folds_are_told_by_the_language_model_where_texture_saw_the_face(folds_model, readout) -> None:
    question = FORMS["vqa_fold"][0].format(folds=FOLDS["chin"])
    (said, _) = Predictor(folds_model, {}).ask(readout, [[question], []])
    assert (said[0].text, said[0].answered_by) == (SKIN_UNSEEN, "declined")
    (said, _) = Predictor(folds_model, {}).ask(readout, [[question], []], drop=["texture"])
    assert said[0].answered_by == "language", "left out to see what it is worth"
    seen = folds_model.read(batch_of(make_clips(1), [make_face(0)]))
    assert seen.folds.shape == (1, len(FOLDS))
    ((found,),) = Predictor(folds_model, {}).ask(seen, [[question]])
    assert set(found.options) == {"yes", "no"} and found.answered_by == "language"
    chin, alone = list(FOLDS).index("chin"), []
    for logit, said in ((9.0, "yes"), (-9.0, "no")):
        seen.folds[0, chin] = logit
        ((found,),) = Predictor(folds_model, {}).ask(seen, [[question]])
        assert found.text == said and found.probability > 0.8, "what the expert sees weighs more"
        ((left,),) = Predictor(folds_model, {}).ask(seen, [[question]], drop=["texture"])
        alone.append(left.options)
    assert alone[0] == alone[1], "left out, it tells nothing"


def test_phases_are_told_by_the_language_model_and_the_experts_together(folds_model, readout) -> None:
    question = FORMS["vqa_phase"][0]
    seen = folds_model.read(batch_of(make_clips(1), [make_face(0)]))
    ((alone,),) = Predictor(folds_model, {}).ask(seen, [[question]])
    for place, phase in enumerate(PHASES):
        seen.phase = torch.full((1, len(PHASES)), -9.0)
        seen.phase[0, place] = 9.0
        ((found,),) = Predictor(folds_model, {}).ask(seen, [[question]])
        assert found.text == phase and set(found.options) == set(alone.options) == set(PHASES)
        ((left,),) = Predictor(folds_model, {}).ask(seen, [[question]], drop=["beliefs"])
        assert left.options == pytest.approx(alone.options, abs=1e-4), "left out, they tell nothing"


def test_every_fold_is_known_by_its_name_in_a_question() -> None:
    for fold, words in FOLDS.items():
        assert all(asked_fold(form.format(folds=words)) == fold for form in FORMS["vqa_fold"])
    assert asked_fold("Does the nasolabial fold deepen?") == "nasolabial fold"
    assert asked_fold("Do the laugh lines deepen?") is None


def test_an_older_checkpoint_does_not_tell_what_it_was_never_asked(tiny_model, readout) -> None:
    tiny_model.config.prompt_version = 2
    saw = torch.ones_like(readout.saw)
    asked = [FORMS[form][0] for form in ("vqa_turn", "vqa_most", "vqa_back")]
    (said, _) = Predictor(tiny_model, {}).ask(replace(readout, saw=saw), [asked, []])
    assert [(one.text, one.answered_by) for one in said] == [(UNLEARNED, "declined")] * 3


def test_what_moves_most_is_a_part_of_the_face_and_a_way_back_must_be_measured(tiny_model, readout) -> None:
    asked = [FORMS[form][0] for form in ("vqa_most", "vqa_back")]
    (most, back), _ = Predictor(tiny_model, {}).ask(readout, [asked, []])
    assert most.text in REGION_NAMES and most.answered_by == "language"
    assert (back.text, back.answered_by) == (END_UNSEEN, "declined"), "relative maps have a scale per phase"
    seen = replace(readout, regions=torch.full((2, 2, len(REGION_INDEX), 3), 9.0))
    (_, back), _ = Predictor(tiny_model, {}).ask(seen, [asked, []])
    assert back.text in ("yes", "no") and back.answered_by == "language"


def test_a_rationale_that_contradicts_its_evidence_is_drafted_again(tiny_model, readout, monkeypatch) -> None:
    whole = [[ANSWER_QUESTION], [ANSWER_QUESTION]]
    monkeypatch.setattr(questions, "WARMTH", 30.0)  # the tiny model is very sure of itself
    monkeypatch.setattr(questions, "_agrees", lambda text: True)
    likeliest = [row[0].text for row in ask(tiny_model, readout, whole)]
    read: list[str] = []
    monkeypatch.setattr(questions, "_agrees", lambda text: read.append(text) or len(set(read)) > 4)
    drafted = [row[0].text for row in ask(tiny_model, readout, whole)]
    before = lambda text: text.partition("Rationale:")[0]  # noqa: E731
    assert list(map(before, drafted)) == list(map(before, likeliest)), "class and evidence stay as they are"
    assert drafted != likeliest
    monkeypatch.setattr(questions, "_agrees", lambda text: read.append(text) or False)
    read.clear()
    held = [row[0].text for row in ask(tiny_model, readout, whole)]
    assert all(agrees(parse(text)) for text in held), "no draft agrees: the rationale is held to its evidence"
    assert list(map(before, held)) == list(map(before, likeliest)) and held != likeliest
    assert len(set(read)) <= 2 * (DRAFTS + 1)
    alone = ask(tiny_model, readout.take([1]), [[ANSWER_QUESTION]])
    assert alone[0][0].text == held[1], "drafts of a clip do not depend on its neighbours"


@pytest.mark.parametrize(("text", "kind"), [
    ("Is the head turned to the left or to the right?", "turn"),
    ("How is the face turned at the onset?", "turn"),
    ("How far is the head turned?", "other"),
    ("How does the face look at the apex?", "other"),
    ("On which side of the face is the action unit lip corner puller located?", "au_side"),
    ("Is the action unit lip corner puller located on the left side of the face?", "on_side"),
    ("What are the AUs?", "aus"),
    ("Is the lip stretcher pulled straight back on the left or right side?", "au_side"),
    ("Which action units make the nasolabial folds deepen?", "aus"),
    ("How many pixels do the nasolabial folds deepen?", "other"),
    ("Do the dimples beside the mouth become deeper?", "fold"),
    ("Which region moves most?", "most"),
    ("Which action unit moves most?", "aus"),
    ("Has the smile gone back by the end?", "other"),
    ("Does the skin go back?", "back"),
])  # fmt: skip
def test_turns_and_folds_are_told_from_what_sounds_like_them(text, kind) -> None:
    assert question_kind(text) == kind


def test_whole_and_combined_answer_name_the_same_units(tiny_model, readout) -> None:
    (said, _) = Predictor(tiny_model, {}).ask(readout, [[SIX[5], ANSWER_QUESTION], []])
    assert combined_parts(said[0].text)["aus"] == {item.au for item in parse(said[1].text).evidence}
