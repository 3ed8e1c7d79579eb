"""The runner: the same result for any workers, resumable, no leaks, honest about what it left out."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_llm.benchmark import runner
from deft_llm.benchmark import settings as runs
from deft_llm.benchmark.runner import run_benchmark
from deft_llm.benchmark.samples import blind, collect
from deft_llm.benchmark.settings import BenchmarkSettings
from deft_llm.errors import DeftError, UsageError
from deft_llm.evaluation.folds import read_folds
from deft_llm.evaluation.rows import read_rows, read_run
from deft_llm.evaluation.score import score_run
from deft_llm.files import read_json, read_jsonl, write_jsonl
from deft_llm.methods.protocol import Sample, Task, build_method
from deft_llm.methods.rules import Rules
from deft_llm.motion.measure import motion_from_flow
from deft_llm.records import Prediction
from deft_llm.store import Motion, Store
from tests.benchmark.conftest import make_store


def settings(method: str = "svm", **values: Any) -> BenchmarkSettings:
    return BenchmarkSettings(corpora=["test"], method=method, **{"workers": 1, **values})


class Spy:
    """A method that records what it is given and answers the first class."""

    name = "spy"
    needs = frozenset({"flow"})
    selection_only = False

    def __init__(self, task: Task) -> None:
        self.task = task
        self.calls: list[tuple[str, list[Sample], list[Sample]]] = []

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        self.calls.append(("prepare", list(samples), []))

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        self.calls.append((f"fit {self.selection_only}", list(train), list(val)))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.calls.append(("predict", list(samples), []))
        shares = {name: float(place == 0) for place, name in enumerate(self.task.classes)}
        return [
            Prediction(
                method="spy",
                clip_id=s.clip_id,
                corpus="wrong",
                subject="wrong",
                label_space="wrong",
                probabilities=shares,
                aus={"1": 0.9, "43": 0.8},
                sides={"1": "both", "43": "left"},
            )
            for s in samples
        ]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    made: list[Spy] = []

    def build(name: str, task: Task, **options: Any) -> Spy:
        made.append(Spy(task))
        return made[-1]

    monkeypatch.setattr(runner, "build_for", build)
    return made


def test_svm_reads_the_classes_and_majority_does_not(store: Path, tmp_path: Path) -> None:
    svm = run_benchmark(tmp_path / "svm", [store], settings())
    floor = run_benchmark(tmp_path / "majority", [store], settings("majority"))
    assert svm["emotion"]["pooled"]["uf1"]["value"] > 0.9
    assert floor["emotion"]["pooled"]["uf1"]["value"] < 0.4
    assert set(svm["emotion"]["per_corpus"]) == {"alpha", "beta"} and svm["folds"] == floor["folds"]
    assert score_run(read_run(tmp_path / "svm")) == read_json(tmp_path / "svm" / "metrics.json")


@pytest.mark.parametrize("method", ["rules", "deft"])
def test_no_motion_is_kept(store: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus's motion does not fit in memory: each is let go after it was read."""
    opened: list[weakref.ref[Motion]] = []
    most, load = [0], Store.motion

    def counted(self: Store, *given: Any, **fields: Any) -> Motion:
        motion = load(self, *given, **fields)
        most.append(sum(one() is not None for one in opened))
        opened.append(weakref.ref(motion))
        return motion

    monkeypatch.setattr(Store, "motion", counted)
    run_benchmark(tmp_path, [store], settings(method, zero_shot=True, protocol="zero-shot"))
    assert len(opened) >= 50 and max(most) <= 2


@pytest.mark.parametrize("method", ["ststnet", "motion_diff"])
def test_a_mirrored_input_is_that_of_the_mirrored_clip(method: str, flow_of: Callable[..., Any]) -> None:
    flow = flow_of("positive", np.random.default_rng(0), 0.1)
    flow[..., :14] *= 0.2
    mirrored = np.ascontiguousarray(flow[..., ::-1]) * np.array([-1, 1], np.float32)[:, None, None]
    made = build_method(method, Task(), mirror=True)
    one, other = (
        made.table.extract(
            Sample("a/b", "a", "a/s", lambda f=f: motion_from_flow("a/b", f, units="relative"))
        )
        for f in (flow, mirrored)
    )
    assert np.allclose(one[..., ::-1] * made.signs[:, None, None], other, atol=1e-4)


def test_workers_and_repetition_change_nothing(store: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        run_benchmark(tmp_path / name, [store], settings("ststnet", workers=workers, options={"epochs": 2}))
    for file in ("predictions.jsonl", "metrics.json", "folds.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_methods_see_no_labels_and_no_test_subject(store: Path, tmp_path: Path, spy: list[Spy]) -> None:
    run_benchmark(tmp_path, [store], settings("spy"))
    calls = spy[0].calls
    assert calls[0][0] == "prepare"
    for kind, first, _ in calls:
        if kind in ("prepare", "predict"):
            assert all(s.label is None and s.fine is None and s.aus is None for s in first)
    for (kind, train, val), (_, test, _) in zip(calls[1::2], calls[2::2]):
        assert kind == "fit False"
        sides = [{s.subject for s in side} for side in (train, val, test)]
        assert not sides[0] & sides[1] and not (sides[0] | sides[1]) & sides[2]
        assert all(s.label is not None for s in [*train, *val])
    rows = read_rows(tmp_path / "predictions.jsonl")
    assert {row.method for row in rows} == {"spy"} and all(row.subject == row.fold for row in rows)
    assert {row.label_space for row in rows} == {"megc3"} and all(row.truth.aus for row in rows)


def test_leak_gives_the_test_subject_as_validation_and_stamps_every_row(
    store: Path, tmp_path: Path, spy: list[Spy]
) -> None:
    metrics = run_benchmark(tmp_path, [store], settings("spy", leak=True))
    (kind, train, val), (_, test, _) = spy[0].calls[1:3]
    assert kind == "fit True"
    assert [s.clip_id for s in val] == [s.clip_id for s in test] and val[0].label is not None
    assert not {s.subject for s in train} & {s.subject for s in test}
    assert metrics["leaky"] and all(row.leaky for row in read_rows(tmp_path / "predictions.jsonl"))


def test_resumes_fold_by_fold(store: Path, tmp_path: Path, spy: list[Spy]) -> None:
    first = run_benchmark(tmp_path, [store], settings("spy"))
    shards = sorted((tmp_path / "folds").glob("*.jsonl"))
    before = {shard: shard.stat().st_mtime_ns for shard in shards}
    shards[0].unlink()
    (tmp_path / "predictions.jsonl").unlink()
    assert run_benchmark(tmp_path, [store], settings("spy")) == first
    assert [kind for kind, _, _ in spy[1].calls] == ["prepare", "fit False", "predict"]
    assert all(shard.stat().st_mtime_ns == before[shard] for shard in shards[1:])


@pytest.mark.parametrize("damage", ["a line lost", "cut off", "a digit changed", "a pipe"])
def test_a_damaged_fold_is_run_again(store: Path, tmp_path: Path, spy: list[Spy], damage: str) -> None:
    first = run_benchmark(tmp_path, [store], settings("spy"))
    before = (tmp_path / "predictions.jsonl").read_bytes()
    shard = min((tmp_path / "folds").glob("*.jsonl"))
    text = shard.read_text()
    if damage == "a pipe":
        shard.unlink()
        os.mkfifo(shard)
    else:
        shard.write_text({
            "a line lost": "".join(text.splitlines(keepends=True)[1:]), "cut off": text[:100],
            "a digit changed": text.replace("1", "2", 1),
        }[damage])  # fmt: skip
    assert run_benchmark(tmp_path, [store], settings("spy")) == first
    assert (tmp_path / "predictions.jsonl").read_bytes() == before
    assert [kind for kind, _, _ in spy[1].calls] == ["prepare", "fit False", "predict"]


def test_a_folder_holds_one_benchmark(store: Path, tmp_path: Path) -> None:
    run_benchmark(tmp_path, [store], settings("majority"))
    with pytest.raises(DeftError, match="another benchmark .method differs"):
        run_benchmark(tmp_path, [store], settings("svm"))
    with pytest.raises(DeftError, match="seed differs"):
        run_benchmark(tmp_path, [store], settings("majority", seed=1))


def test_other_maps_of_the_same_clips_are_another_benchmark(tmp_path: Path) -> None:
    """A store that was made again: neither finished folds nor features of the old maps are kept."""
    store = make_store(tmp_path / "store", {"alpha": 6})
    run_benchmark(tmp_path / "run", [store], settings())
    make_store(store, {"alpha": 6}, noise=5.0, seed=7)
    with pytest.raises(DeftError, match=r"another benchmark \(store 0 differs\)"):
        run_benchmark(tmp_path / "run", [store], settings())
    make_store(store, {"alpha": 6})
    run_benchmark(tmp_path / "run", [store], settings())


def test_what_other_code_began_is_not_gone_on_with(
    store: Path, tmp_path: Path, spy: list[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_benchmark(tmp_path, [store], settings("spy"))
    monkeypatch.setattr(runs, "code_digest", lambda: "newer")
    assert run_benchmark(tmp_path, [store], settings("spy")) == first, "a finished run can be scored anew"
    min((tmp_path / "folds").glob("*.jsonl")).unlink()
    with pytest.raises(DeftError, match=r"unfinished and was begun by other code .*choose another --out"):
        run_benchmark(tmp_path, [store], settings("spy"))
    monkeypatch.undo()
    assert runs.code_digest() == read_json(tmp_path / "benchmark.json")["code"]


def test_features_of_other_code_are_not_exported_beside_folds(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(features=True)
    run_benchmark(tmp_path, [store], asked)
    monkeypatch.setattr(runs, "code_digest", lambda: "newer")
    run_benchmark(tmp_path, [store], asked)
    (tmp_path / "features.npz").unlink()
    with pytest.raises(DeftError, match="was begun by other code"):
        run_benchmark(tmp_path, [store], asked)


def test_code_is_the_same_until_a_file_of_the_package_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PACKAGE", tmp_path)
    digest = runs.code_digest.__wrapped__
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "one.py").write_text("one = 1\n")
    before = digest()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "one.pyc").write_bytes(b"1")
    assert digest() == before
    (tmp_path / "part" / "one.py").write_text("one = 2\n")
    assert digest() != before


def test_folds_are_reused_by_other_methods(store: Path, tmp_path: Path) -> None:
    run_benchmark(tmp_path / "a", [store], settings("majority", protocol="kfold", k=2))
    again = run_benchmark(
        tmp_path / "b", [store], settings("svm", protocol="kfold"), folds_file=tmp_path / "a" / "folds.json"
    )
    assert again["folds"] == read_folds(tmp_path / "a" / "folds.json").hash
    with pytest.raises(UsageError, match="holds folds of kfold; give --protocol kfold"):
        run_benchmark(tmp_path / "d", [store], settings("svm"), folds_file=tmp_path / "a" / "folds.json")
    with pytest.raises(DeftError, match="its clips or their subjects are not this run's"):
        raw = json.loads((tmp_path / "a" / "folds.json").read_text())
        raw["clips"]["alpha/001"].pop()
        (tmp_path / "other.json").write_text(json.dumps(raw))
        wanted = settings("majority", protocol="kfold")
        run_benchmark(tmp_path / "c", [store], wanted, folds_file=tmp_path / "other.json")


@pytest.mark.parametrize("protocol", ["cde", "hde", "cross", "kfold"])
def test_every_protocol_predicts_every_clip_once(store: Path, tmp_path: Path, protocol: str) -> None:
    metrics = run_benchmark(tmp_path, [store], settings("majority", protocol=protocol, k=3))
    assert metrics["rows"] == 50 and metrics["protocol"] == protocol


def test_aus_are_detected_with_thresholds_of_other_subjects(store: Path, tmp_path: Path) -> None:
    metrics = run_benchmark(tmp_path, [store], settings(task="au"))
    pooled = metrics["au"]["pooled"]
    assert pooled["mean_f1"] > 0.9 and set(pooled["absent"]) == {"5", "9", "10", "14", "15", "17"}
    assert "emotion" not in metrics


def test_aus_beyond_the_benchmarks_are_left_out(store: Path, tmp_path: Path, spy: list[Spy]) -> None:
    """Scores of methods are over the same AUs, whatever else one of them reads."""
    for task in ("au", "emotion"):
        run_benchmark(tmp_path / task, [store], settings("spy", task=task))
        rows = list(read_jsonl(tmp_path / task / "predictions.jsonl"))
        assert {tuple(row["aus"]) for row in rows} == {tuple(row["sides"]) for row in rows} == {("1",)}


def test_a_method_at_fault_is_named(
    store: Path, tmp_path: Path, spy: list[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spy, "predict", lambda self, samples: [])
    with pytest.raises(DeftError, match="asked 5 predictions and got 0"):
        run_benchmark(tmp_path, [store], settings("spy"))


def test_zero_shot_never_fits(store: Path, tmp_path: Path, spy: list[Spy]) -> None:
    metrics = run_benchmark(tmp_path, [store], settings("spy", zero_shot=True, protocol="zero-shot"))
    assert [kind for kind, _, _ in spy[0].calls] == ["prepare", "predict"]
    assert metrics["protocol"] == "zero-shot" and len(spy[0].calls[1][1]) == 50
    with pytest.raises(UsageError, match="--leak needs training"):
        run_benchmark(tmp_path / "x", [store], settings("spy", zero_shot=True, leak=True))


def test_what_a_method_cannot_do_is_said(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DeftError, match="lbptop_svm needs faces, which these clips lack"):
        run_benchmark(tmp_path / "a", [store], settings("lbptop_svm"))
    with pytest.raises(UsageError, match="svm must be trained"):
        run_benchmark(tmp_path / "b", [store], settings(zero_shot=True))
    with pytest.raises(UsageError, match="unknown option epoch; did you mean epochs"):
        run_benchmark(tmp_path / "c", [store], settings("ststnet", options={"epoch": 3}))


@pytest.mark.parametrize("method", ["lbptop_svm", "mdmo_svm"])
def test_other_svm_baselines_beat_majority(face_store: Path, tmp_path: Path, method: str) -> None:
    assert run_benchmark(tmp_path, [face_store], settings(method))["emotion"]["pooled"]["uf1"]["value"] > 0.6


@pytest.mark.parametrize(("method", "epochs"), [("ststnet", 40), ("dynamic_image", 15), ("motion_diff", 30)])
def test_networks_learn(face_store: Path, tmp_path: Path, method: str, epochs: int) -> None:
    found = settings(method, protocol="kfold", k=2, options={"epochs": epochs, "batch": 8})
    assert run_benchmark(tmp_path, [face_store], found)["emotion"]["pooled"]["uf1"]["value"] > 0.5


@pytest.mark.parametrize("task", ["emotion", "au"])
@pytest.mark.parametrize("method", ["majority", "rules", "svm", "mdmo_svm", "lbptop_svm", "ststnet"])
def test_a_fit_keeps_nothing_of_the_fold_before(
    face_store: Path, tmp_path: Path, method: str, task: str
) -> None:
    """One method serves all folds of a worker: subjects of a fold's test side were in the fold before."""
    everybody = [s for group in collect([Store(face_store)], task, "megc3").samples.values() for s in group]
    asked = Task(task, "megc3", Task().classes, (4, 6, 12))
    options = {"epochs": 2} if method == "ststnet" else {}
    first, second, val = (
        [s for s in everybody if int(s.subject[-3:]) in subjects] for subjects in ((1, 2, 3), (4, 5), (6,))
    )
    val = [s for s in val if task == "emotion" or 12 not in (s.aus or ())]
    found = []
    for folds in ([(first, second), (second, val)], [(second, val)]):
        one = build_method(method, asked, **options)
        if hasattr(one, "prepare"):
            one.prepare([blind(s) for s in everybody], tmp_path)
        for train, beside in folds:
            one.fit(train, beside, seed=0, workdir=tmp_path / "fit")
        thresholds = dict(one.thresholds) if isinstance(one, Rules) else {}
        found.append((one.predict([blind(s) for s in first]), thresholds))
    assert found[0] == found[1]


def test_questions_are_joined_and_answered(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    names = {
        "negative": "brow lowerer, lid tightener",
        "positive": "cheek raiser, lip corner puller",
        "surprise": "inner brow raiser, outer brow raiser",
    }
    fine = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
    rows = []
    for subject in range(1, 7):
        for number in range(5):
            coarse = ("negative", "positive", "surprise")[(subject + number) % 3]
            base = {"dataset": "alpha", "subject": str(subject), "filename": f"{subject:03d}_{number}"}
            asked = [
                ("What is the coarse expression class?", coarse),
                ("What is the fine-grained expression class?", fine[coarse]),
                ("What are the action units?", names[coarse]),
                (
                    "Is the action unit lip corner puller shown on the face?",
                    "yes" if coarse == "positive" else "no",
                ),
            ]
            rows += [
                {**base, "id": f"{subject}-{number}-{i}", "question": q, "answer": a}
                for i, (q, a) in enumerate(asked)
            ]
    rows.append({**rows[0], "id": "stranger", "subject": "99"})
    write_jsonl(file, rows)
    metrics = run_benchmark(tmp_path / "run", [store], settings(task="vqa"), questions=file)
    pooled = metrics["vqa"]["pooled"]
    assert metrics["rows"] == 120 and metrics["clips"] == 30 and metrics["left_out"] == 20
    for name in ("uf1_coarse", "uf1_fine", "exact"):
        assert pooled[name] > 0.9, name
    assert pooled["by_kind"]["aus"]["au_f1"] > 0.9
    assert pooled["answered_by"] == {"template": 120}
    blind = run_benchmark(tmp_path / "prior", [store], settings("prior", task="vqa"), questions=file)
    blind = blind["vqa"]["pooled"]
    assert blind["answered_by"] == {"prior": 120} and blind["uf1_coarse"] < 0.5 < pooled["uf1_coarse"]
    write_jsonl(file, [{**rows[0], "subject": "99"}])
    with pytest.raises(DeftError, match="none of its 1 questions"):
        run_benchmark(tmp_path / "none", [store], settings(task="vqa"), questions=file)
    write_jsonl(file, [rows[0], rows[0]])
    with pytest.raises(DeftError, match="is there twice"):
        run_benchmark(tmp_path / "twice", [store], settings(task="vqa"), questions=file)
    for answer, said in (
        (0.5, "the answer '0.5' names none of"),
        (None, "has no answer"),
        ([1], "line 1: ans"),
    ):
        write_jsonl(file, [{**rows[0], "answer": answer}])
        with pytest.raises(DeftError, match=said):
            run_benchmark(tmp_path / "odd", [store], settings(task="vqa"), questions=file)


def test_other_weights_are_another_benchmark(
    store: Path, tmp_path: Path, spy: list[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds of two checkpoints in one folder (the same path, trained on meanwhile) are never pooled."""
    monkeypatch.setattr(Spy, "digests", lambda self: {"weights": "a" * 64}, raising=False)
    first = run_benchmark(tmp_path, [store], settings("spy"))
    assert read_json(tmp_path / "benchmark.json")["inputs"]["weights"] == "a" * 16
    assert run_benchmark(tmp_path, [store], settings("spy")) == first
    monkeypatch.setattr(Spy, "digests", lambda self: {"weights": "b" * 64})
    with pytest.raises(DeftError, match=r"another benchmark \(weights differs\)"):
        run_benchmark(tmp_path, [store], settings("spy"))


def test_a_splits_file_that_does_not_fit_is_named(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    fixed = settings("majority", protocol="fixed")
    file.write_text("subject,split\nalpha/001,train\n")
    with pytest.raises(UsageError, match=r"splits\.csv: the splits file does not name subject alpha/002"):
        run_benchmark(tmp_path / "run", [store], fixed, folds_file=file)
    people = [f"alpha/{n:03d}" for n in range(1, 7)] + [f"beta/{n:03d}" for n in range(1, 5)]
    file.write_text("subject,split\n" + "".join(f"{name},train\n" for name in people))
    with pytest.raises(UsageError, match=r"splits\.csv: the splits file leaves train or test empty"):
        run_benchmark(tmp_path / "run", [store], fixed, folds_file=file)


@pytest.mark.parametrize("method", ["svm", "majority"])
def test_questions_on_clips_without_aus_are_answered(bare_store: Path, tmp_path: Path, method: str) -> None:
    """SMIC: a coarse class and no AUs. What asks for AUs is declined."""
    file = tmp_path / "questions.jsonl"
    asked = {"c": "What is the coarse expression class?", "n": "How many action units are shown on the face?"}
    rows = []
    for subject in range(1, 7):
        for number in range(5):
            answers = {"c": ("negative", "positive", "surprise")[(subject + number) % 3], "n": "two"}
            base = {"dataset": "alpha", "subject": str(subject), "filename": f"{subject:03d}_{number}"}
            rows += [
                {**base, "id": f"{subject}-{number}-{i}", "question": asked[i], "answer": answers[i]}
                for i in asked
            ]
    write_jsonl(file, rows)
    metrics = run_benchmark(tmp_path / "run", [bare_store], settings(method, task="vqa"), questions=file)
    assert metrics["rows"] == 60
    assert metrics["vqa"]["pooled"]["answered_by"] == {"template": 30, "declined": 30}
    if method == "svm":
        assert metrics["vqa"]["pooled"]["uf1_coarse"] > 0.8


def test_a_network_without_anything_to_validate_on_says_so(face_store: Path, tmp_path: Path) -> None:
    found = collect([Store(face_store)], "au", "megc3").samples.values()
    samples = [sample for group in found for sample in group]
    method = build_method("ststnet", Task("au", "megc3", Task().classes, (4, 6, 12)), epochs=1)
    method.prepare([blind(sample) for sample in samples], tmp_path)
    with pytest.raises(DeftError, match=r"validation subjects .*\(AUs\); give --folds"):
        method.fit(samples, [blind(sample) for sample in samples[:3]], seed=0, workdir=tmp_path)
