"""DEFT as a method: zero-shot, refit on a fold, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import read_object, write_json
from deft_llm.methods import deft
from deft_llm.methods.protocol import Question, Sample, Task, build_method, digests_of
from deft_llm.methods.template import build_for
from deft_llm.model.heads import coarse_chances, presence_logits
from deft_llm.model.predictor import Predictor, WrittenAnswer
from deft_llm.model.units import AU_INDEX
from deft_llm.records import Prediction

CLASSES = ("negative", "positive", "surprise")


def patterned(label: int, seed: int) -> np.ndarray:
    """A flow (1, 2, 28, 28) whose moving place depends on the class, with noise."""
    rng = np.random.default_rng(seed)
    flow = 0.3 * rng.normal(size=(1, 2, 28, 28))
    rows, columns = ((4, 9), (18, 6), (4, 20))[label]
    flow[0, :, rows : rows + 6, columns : columns + 6] += np.array([1.5, -1.5])[:, None, None]
    return flow.astype(np.float32)


def samples(count: int = 30, start: int = 0) -> list[Sample]:
    from deft_llm.motion.measure import motion_from_flow

    found = []
    for number in range(start, start + count):
        label = number % 3
        name = f"made/s{number // 5}/c{number}"
        flow = patterned(label, number)
        found.append(
            Sample(
                name,
                "made",
                f"made/s{number // 5}",
                lambda f=flow, n=name: motion_from_flow(n, f, units="relative"),
                label=CLASSES[label],
                aus=frozenset({(4, 12, 1)[label]}),
            )  # fmt: skip
        )
    return found


def blind(sample: Sample) -> Sample:
    return Sample(sample.clip_id, sample.corpus, sample.subject, sample.load)


def test_zero_shot_predicts_without_fit_and_refuses_it(small_checkpoint, tmp_path) -> None:
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), zero_shot=True)
    items = samples(4)
    rows = method.predict([blind(item) for item in items])
    assert all(isinstance(row, Prediction) for row in rows)
    assert [row.clip_id for row in rows] == [item.clip_id for item in items]
    assert all(abs(sum(row.probabilities.values()) - 1) < 1e-4 for row in rows)
    assert set(rows[0].aus) == {"1", "2", "4", "5", "6", "7", "9", "10", "12", "14", "15", "17"}
    with pytest.raises(UsageError, match="zero-shot"):
        method.fit(items, [], seed=0, workdir=tmp_path)


def test_refit_learns_classes_of_new_subjects(small_checkpoint, tmp_path) -> None:
    items, new = samples(45), samples(15, 45)
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint))
    method.prepare([blind(item) for item in items + new], tmp_path)
    method.fit(items[:35], items[35:], seed=0, workdir=tmp_path)
    rows = method.predict([blind(item) for item in new])
    assert sum(row.label == item.label for row, item in zip(rows, new)) >= 13


def test_classes_are_read_from_what_is_told_of_coded_aus(small_checkpoint, tmp_path) -> None:
    items, new = samples(45), samples(15, 45)
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint))
    method.prepare([blind(item) for item in items + new], tmp_path)
    method.fit(items, [], seed=0, workdir=tmp_path)
    *_, machine = method._fitted.machines
    told = machine.rows * machine.scale + machine.mean
    assert np.allclose(told, method._aus.held), "of the clips it is fitted on, with their subject held out"
    assert len(method._fitted.machines) == len(method.feature_sets) + 1
    method.fit([replace(item, aus=None) for item in items], [], seed=0, workdir=tmp_path)
    assert len(method._fitted.machines) == len(method.feature_sets)


def test_a_fold_without_coded_aus_takes_none_from_the_fold_before(small_checkpoint, tmp_path) -> None:
    """As across corpora: one has no AUs, and is scored on what the other's coders marked."""
    coded, uncoded = samples(30), [replace(item, aus=None) for item in samples(30, 30)]
    found = []
    for folds in ([coded, uncoded], [uncoded]):
        method = build_method("deft", Task(), checkpoint=str(small_checkpoint))
        method.prepare([blind(item) for item in coded + uncoded], tmp_path)
        for fold in folds:
            method.fit(fold, [], seed=0, workdir=tmp_path)
        found.append(method.predict([blind(item) for item in coded]))
    assert [row.aus for row in found[0]] == [row.aus for row in found[1]]
    assert [row.probabilities for row in found[0]] == [row.probabilities for row in found[1]]


def test_refit_of_aus_decides_at_one_half(small_checkpoint, tmp_path) -> None:
    items, new = samples(45), samples(15, 45)
    method = build_method("deft", Task(name="au", aus=(1, 4, 12)), checkpoint=str(small_checkpoint))
    method.prepare([blind(item) for item in items + new], tmp_path)
    method.fit(items, [], seed=0, workdir=tmp_path)
    rows = method.predict([blind(item) for item in new])
    right = sum(
        (row.aus[str(a)] >= 0.5) == (a in item.aus) for row, item in zip(rows, new) for a in (1, 4, 12)
    )
    assert right >= 40
    assert not rows[0].probabilities


def test_what_is_adapted_is_what_answers(small_checkpoint, tmp_path, monkeypatch) -> None:
    """The language model is conditioned on the refit's beliefs: the readout that it gets says
    what is scored."""
    seen = []

    def answer(self, readout, questions, motions, *, fines=None):
        seen.append(readout)
        return [WrittenAnswer.of("nothing") for _ in questions]

    monkeypatch.setattr(Predictor, "answer", answer)
    items, new = samples(45), samples(9, 45)
    for fitted in (False, True):
        method = build_method("deft", Task(aus=(1, 4, 12)), checkpoint=str(small_checkpoint), answers=True)
        method.prepare([blind(item) for item in items + new], tmp_path)
        if fitted:
            method.fit(items, [], seed=0, workdir=tmp_path)
        rows = method.predict([blind(item) for item in new])
        readout = seen.pop()
        chances = coarse_chances(readout, method.calibration)
        there = expit(presence_logits(readout, method.calibration))
        for row, chance, aus in zip(rows, chances, there, strict=True):
            assert chance == pytest.approx(list(row.probabilities.values()), abs=1e-3)
            assert [aus[AU_INDEX[a]] for a in (1, 4, 12)] == pytest.approx(list(row.aus.values()), abs=1e-3)
        untouched = torch.equal(readout.au, method.readout(new).au)
        assert untouched != fitted


def test_clips_that_were_not_prepared_are_read_for_the_call_alone(small_checkpoint, tmp_path) -> None:
    items, new = samples(45), samples(6, 45)
    method = build_method("deft", Task(aus=(1, 4, 12)), checkpoint=str(small_checkpoint))
    method.prepare([blind(item) for item in items], tmp_path)
    method.fit(items, [], seed=0, workdir=tmp_path)
    kept = build_method("deft", Task(aus=(1, 4, 12)), checkpoint=str(small_checkpoint))
    kept.prepare([blind(item) for item in items + new], tmp_path)
    kept.fit(items, [], seed=0, workdir=tmp_path)
    alone, joined = (method.predict([blind(item) for item in some]) for some in (new, [*new, *items[:2]]))
    for rows in (alone, joined):
        for row, same in zip(rows, kept.predict([blind(item) for item in [*new, *items[:2]]])):
            assert list(row.probabilities.values()) == pytest.approx(
                list(same.probabilities.values()), abs=1e-2
            )
            assert list(row.aus.values()) == pytest.approx(list(same.aus.values()), abs=1e-2)
    assert len(method._kept[0]) == len(method._kept[1].pixels) == len(items)
    other = replace(blind(new[0]), load=new[1].load)  # another motion under the same id
    assert method.predict([other])[0].probabilities == method.predict([blind(new[1])])[0].probabilities


def test_clips_are_opened_for_a_batch_of_answers_and_once(small_checkpoint, monkeypatch) -> None:
    asked, opened = [], []

    def answer(self, readout, questions, motions, *, fines=None):
        asked.append([motion.clip_id for motion in motions])
        assert len(readout) == len(questions) == len(motions)
        return [WrittenAnswer.of(motion.clip_id) for motion in motions]

    monkeypatch.setattr(Predictor, "answer", answer)
    monkeypatch.setattr(deft, "READ_BATCH", 4)
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), zero_shot=True, answers=True)
    items = [
        replace(blind(item), load=lambda one=item: opened.append(one.clip_id) or one.load(),
                question=Question(str(n), "How many action units are shown on the face?", "count"))
        for item in samples(3) for n in (0, 1)
    ]  # fmt: skip
    rows = method.predict(items)
    assert [len(batch) for batch in asked] == [4, 2]
    assert [row.answer for row in rows] == [item.clip_id for item in items]
    assert opened == 2 * [item.clip_id for item in items[::2]], "read, then answered"


def test_selection_only_never_trains_on_validation(small_checkpoint, tmp_path) -> None:
    items = samples(30)
    wrong = [
        Sample(
            i.clip_id, i.corpus, i.subject, i.load, label=CLASSES[(CLASSES.index(i.label) + 1) % 3], aus=i.aus
        )
        for i in samples(30, 30)
    ]
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint))
    method.selection_only = True
    method.prepare([blind(item) for item in items + wrong], tmp_path)
    method.fit(items, wrong, seed=0, workdir=tmp_path)
    rows = len(method._fitted.machines[0].rows)
    assert rows == 2 * len(items)


def test_a_readout_is_kept_in_the_work_folder(small_checkpoint, tmp_path) -> None:
    items = samples(3)
    build_method("deft", Task(), checkpoint=str(small_checkpoint)).prepare(items, tmp_path)
    (file,) = tmp_path.glob("readout-*.npz")
    stamp = file.stat().st_mtime_ns
    again = build_method("deft", Task(), checkpoint=str(small_checkpoint))
    again.prepare(items, tmp_path)
    assert file.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("subject", ["synthetic/seen", "synthetic/held"])
def test_a_subject_it_was_trained_on_or_chosen_by_is_refused(small_checkpoint, subject) -> None:
    known = Sample(f"{subject}/1", "synthetic", subject, samples(1)[0].load)
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), zero_shot=True)
    with pytest.raises(DeftError, match=f"trained or validated on {subject}"):
        method.predict([known])


@pytest.mark.parametrize("name", ["Synthetic/006", "synthetic/sub06", "synthetic/6"])
def test_a_subject_that_it_knows_by_another_name_is_refused(small_checkpoint, name) -> None:
    config = read_object(small_checkpoint / "config.json")
    config["trained_on"]["subjects"].append("synthetic/06")
    write_json(small_checkpoint / "config.json", config)
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), zero_shot=True)
    with pytest.raises(DeftError, match="trained or validated on"):
        method.predict([Sample(f"{name}/1", "synthetic", name, samples(1)[0].load)])


def test_another_motion_under_the_same_name_is_measured_anew(small_checkpoint) -> None:
    method = build_for("template", Task("vqa"), checkpoint=str(small_checkpoint), zero_shot=True)
    first, other = samples(2)
    renamed = replace(other, clip_id=first.clip_id)
    found = [method._read([blind(one)])[first.clip_id].measured for one in (first, renamed)]
    assert found[0] != found[1]


def test_unknown_refit_option_and_class_are_named(small_checkpoint, tmp_path) -> None:
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), refit={"rigde": 1})
    with pytest.raises(UsageError, match="rigde"):
        method.fit(samples(9), [], seed=0, workdir=tmp_path)
    odd = build_method(
        "deft", Task(classes=("joy", "gloom")), checkpoint=str(small_checkpoint), zero_shot=True
    )
    with pytest.raises(UsageError, match="joy"):
        odd.predict(samples(1))


def test_checkpoints_are_told_apart_by_their_files(small_checkpoint, tmp_path) -> None:
    method = build_method("deft", Task(), checkpoint=str(small_checkpoint), zero_shot=True)
    heads = build_method("template", Task("vqa"), checkpoint=str(small_checkpoint), zero_shot=True)
    first = digests_of(method)
    assert set(first) == {"weights", "config"} and digests_of(heads) == first
    config = small_checkpoint / "config.json"
    config.write_text(config.read_text() + " ")  # a new calibration is written there
    second = digests_of(method)
    assert second["weights"] == first["weights"] and second["config"] != first["config"]
    with (small_checkpoint / "model.safetensors").open("ab") as handle:
        handle.write(b" ")
    assert digests_of(method)["weights"] != first["weights"]
    words = build_method("flow2text", Task(), adapter=str(tmp_path))
    assert digests_of(words) == {} == digests_of(build_method("rules", Task()))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    assert len(digests_of(words)["adapter"]) == 16


@pytest.mark.parametrize("name", ["deft", "template"])
def test_coarse_questions_are_answered_where_no_aus_are_coded(small_checkpoint, tmp_path, name) -> None:
    """As on SMIC: classes alone are refitted, and what asks for AUs is declined."""
    coarse = Question("c", "What is the coarse expression class?", "coarse")
    count = Question("n", "How many action units are shown on the face?", "count")
    items = [replace(item, aus=None) for item in samples(45)]
    new = [replace(blind(item), question=one) for item in samples(9, 45) for one in (coarse, count)]
    method = build_for(name, Task("vqa"), checkpoint=str(small_checkpoint))
    method.prepare([blind(item) for item in [*items, *new]], tmp_path)
    method.fit(items[:35], items[35:], seed=0, workdir=tmp_path)
    rows = method.predict(new)
    assert sum(row.answer == CLASSES[number % 3] for number, row in enumerate(rows[::2], 45)) >= 7
    assert {(row.answer, row.answered_by) for row in rows[1::2]} == {(None, "declined")}
