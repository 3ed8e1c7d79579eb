"""A run's rows: a missing, doubled or foreign one is an error; order does not matter."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from deft_llm.errors import DeftError
from deft_llm.evaluation.compare import compare_runs, repeats
from deft_llm.evaluation.folds import FoldClip, make_folds, read_folds, read_splits, write_folds
from deft_llm.evaluation.report import NOT_PAIRED, Table, markdown, report_tables, run_names
from deft_llm.evaluation.rows import Run, classes_of, read_run
from deft_llm.evaluation.score import score_run
from deft_llm.files import write_jsonl
from deft_llm.records import ActionUnit, Prediction, PredictionTruth

LABELS = ("negative", "positive", "surprise")


def row(subject: int, number: int, label: str, truth: str, **values: object) -> Prediction:
    probabilities = {name: 0.9 if name == label else 0.05 for name in LABELS}
    return Prediction(
        method="m",
        clip_id=f"a/{subject}/{number}",
        corpus="a" if subject < 4 else "b",
        subject=f"a/{subject}",
        label_space="megc3",
        label=label,
        probabilities=probabilities,
        fold=f"a/{subject}",
        truth=PredictionTruth(label=truth, coarse=truth),
        **values,
    )  # type: ignore[arg-type]


def rows_of(wrong: int = 0) -> list[Prediction]:
    found = []
    for subject in range(8):
        for number in range(3):
            truth = LABELS[(subject + number) % 3]
            label = LABELS[(subject + number + 1) % 3] if len(found) < wrong else truth
            found.append(row(subject, number, label, truth))
    return found


def write_run(folder: Path, rows: list[Prediction]) -> Path:
    clips = [FoldClip(r.clip_id, r.corpus, r.subject, r.truth.label) for r in rows_of()]
    write_folds(folder / "folds.json", make_folds(clips, "loso"))
    write_jsonl(folder / "predictions.jsonl", rows)
    return folder


def test_perfect_predictions_score_one(tmp_path: Path) -> None:
    metrics = score_run(read_run(write_run(tmp_path, rows_of())))
    pooled = metrics["emotion"]["pooled"]
    for name in ("uf1", "uar", "acc", "wf1"):
        assert pooled[name] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(metrics["emotion"]["per_corpus"]) == {"a", "b"}


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = rows_of(wrong=7)
    first = score_run(read_run(write_run(tmp_path / "one", rows)))
    random.Random(3).shuffle(rows)
    assert score_run(read_run(write_run(tmp_path / "two", rows))) == first
    assert first["emotion"]["pooled"]["acc"]["value"] == pytest.approx(17 / 24)


def test_missing_doubled_and_foreign_rows(tmp_path: Path) -> None:
    rows = rows_of()
    with pytest.raises(DeftError, match="1 prediction.* missing, first clip a/7/2"):
        read_run(write_run(tmp_path / "missing", rows[:-1]))
    with pytest.raises(DeftError, match="clip a/0/0 is predicted twice"):
        read_run(write_run(tmp_path / "double", [*rows, rows[0]]))
    with pytest.raises(DeftError, match="not among the keys"):
        read_run(write_run(tmp_path / "foreign", [*rows, row(9, 0, "negative", "negative")]))
    moved = [r.model_copy(update={"fold": "a/1"}) if r.clip_id == "a/0/0" else r for r in rows]
    with pytest.raises(DeftError, match="is of fold a/1"):
        read_run(write_run(tmp_path / "moved", moved))
    half_leaky = [r.model_copy(update={"leaky": r.clip_id == "a/0/0"}) for r in rows]
    with pytest.raises(DeftError, match="rows mix leaky"):
        read_run(write_run(tmp_path / "mixed", half_leaky))
    with pytest.raises(DeftError, match="no predictions"):
        read_run(write_run(tmp_path / "empty", []))


def test_broken_lines_and_old_schemas(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"schema": 0}\n')
    with pytest.raises(DeftError, match="row 1 has schema 0"):
        read_run(path)
    for key in ("schema", "schema_version"):
        path.write_text(rows_of()[0].model_dump_json().replace('"schema":2', f'"{key}":99') + "\n")
        with pytest.raises(DeftError, match="row 1 has schema 99, this version reads 2"):
            read_run(path)
    path.write_text('{"method": "m"}\n')
    with pytest.raises(DeftError, match="row 1 is no prediction"):
        read_run(path)
    with pytest.raises(DeftError, match=r"no predictions\.jsonl"):
        read_run(tmp_path / "nowhere" if (tmp_path / "nowhere").mkdir() else tmp_path / "nowhere")


@pytest.mark.parametrize("field", ["subject", "corpus", "clip_id", "method", "label_space"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_rows_without_a_name_are_refused(field: str, empty: str, tmp_path: Path) -> None:
    """Folds, intervals and the keys of a run go by these names: rows without them would be one person."""
    rows = [r.model_dump(mode="json") for r in rows_of()]
    rows[1][field] = empty
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(DeftError, match=rf"row 2 is no prediction \({field}: is empty\); mend or remove"):
        read_run(path)


def test_leaky_runs_say_so(tmp_path: Path) -> None:
    leaky = [r.model_copy(update={"leaky": True}) for r in rows_of()]
    metrics = score_run(read_run(write_run(tmp_path, leaky)))
    assert metrics["leaky"] and metrics["warning"].startswith("LEAKY")


def test_class_from_text_is_scored_beside_the_head(tmp_path: Path) -> None:
    rows = [r.model_copy(update={"text_label": "negative"}) for r in rows_of()]
    text = score_run(read_run(write_run(tmp_path, rows)))["text"]
    assert text["uf1"] == pytest.approx(0.5 / 3) and text["agrees_with_head"] == pytest.approx(1 / 3)


def test_aus_beside_the_class(tmp_path: Path) -> None:
    rows = rows_of()
    for r in rows:
        r.truth.aus = [ActionUnit(number=12, side="left")] if r.truth.label == "positive" else []
        r.aus = {"12": 0.8 if r.label == "positive" else 0.1, "4": 0.6}
        r.sides = {"12": "left"}
    found = score_run(read_run(write_run(tmp_path, rows)))["au"]["pooled"]
    assert found["mean_f1"] == 1.0 and found["absent"] == {"4": 24} and found["sides"]["accuracy"] == 1.0


def test_comparison_needs_the_same_clips(tmp_path: Path) -> None:
    good = read_run(write_run(tmp_path / "good", rows_of()))
    bad = read_run(write_run(tmp_path / "bad", rows_of(wrong=20)))
    found = compare_runs(bad, good)
    assert found is not None and found["difference"] > 0.5 and found["p"] < 0.05
    write_jsonl(tmp_path / "part" / "predictions.jsonl", rows_of()[:3])
    with pytest.raises(DeftError, match="not the same clips"):
        compare_runs(good, read_run(tmp_path / "part"))


def test_seeds_are_repeats(tmp_path: Path) -> None:
    runs = [seeded(tmp_path / str(seed), seed, wrong) for seed, wrong in ((0, 0), (1, 6))]
    metrics = [score_run(run) for run in runs]
    (group,) = repeats(runs, metrics)
    values = [found["emotion"]["pooled"]["uf1"]["value"] for found in metrics]
    assert group["mean"] == pytest.approx(sum(values) / 2) and group["seeds"] == [0, 1]


def seeded(folder: Path, seed: int, wrong: int = 0, **told: object) -> Run:
    """A run with a seed; ``told``: of its benchmark.json."""
    write_run(folder, [r.model_copy(update={"seed": seed}) for r in rows_of(wrong)])
    (folder / "benchmark.json").write_text(json.dumps(told))
    return read_run(folder)


def test_runs_of_other_options_or_weights_and_doubled_seeds_are_no_repeats(tmp_path: Path) -> None:
    def table(*runs: Run) -> list[tuple[str, list[int]]]:
        return [
            (group["method"], group["seeds"]) for group in repeats(runs, [score_run(run) for run in runs])
        ]

    plain = seeded(tmp_path / "plain", 0, 3, inputs={"weights": "a"})
    wide = seeded(tmp_path / "wide", 1, 6, options={"refit": {"ridge": 2}}, inputs={"weights": "a"})
    trained = seeded(tmp_path / "trained", 1, 9, inputs={"weights": "b"})
    assert table(plain, wide, trained) == [], "one seed of each"
    again = seeded(tmp_path / "again", 0, 3, inputs={"weights": "a"})
    assert table(plain, again) == [], "the same seed twice"
    other = seeded(tmp_path / "other", 2, 9, options={"refit": {"ridge": 2}}, inputs={"weights": "a"})
    assert table(plain, wide, again, other) == [("m refit.ridge=2", [1, 2])]
    more = seeded(tmp_path / "more", 4, 6, inputs={"weights": "a"})
    (group,) = repeats([plain, again, more], [score_run(run) for run in (plain, again, more)])
    two = [score_run(run)["emotion"]["pooled"]["uf1"]["value"] for run in (plain, more)]
    assert group["seeds"] == [0, 4] and group["mean"] == pytest.approx(sum(two) / 2)


def test_the_class_set_is_that_of_the_truth() -> None:
    assert classes_of(rows_of()) == classes_of(rows_of()[:1]) == LABELS, "megc3 always has its three"
    native = [
        r.model_copy(update={"label_space": "native"}) for r in rows_of() if r.truth.label != "surprise"
    ]
    assert classes_of(native) == ("negative", "positive"), "whatever a method gives probabilities of"


def test_rows_without_a_true_class_are_counted_and_not_scored(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0].truth.label = None
    rows[1].truth.label = "others"
    metrics = score_run(read_run(write_run(tmp_path, rows)))
    assert metrics["unscored"] == 2 and metrics["emotion"]["pooled"]["clips"] == 22
    for r in rows:
        r.truth.label = None
    with pytest.raises(DeftError, match="no row has a true class"):
        score_run(read_run(write_run(tmp_path / "none", rows)))


def test_folds_that_leave_a_subject_out_are_refused(tmp_path: Path) -> None:
    clips = [FoldClip(r.clip_id, r.corpus, r.subject, r.truth.label) for r in rows_of()]
    folds = make_folds(clips, "loso")
    write_folds(tmp_path / "whole.json", folds)
    assert len(read_folds(tmp_path / "whole.json").folds) == 8
    short = folds.model_copy(update={"folds": folds.folds[1:]})
    write_folds(tmp_path / "folds.json", short)
    with pytest.raises(DeftError, match=r"folds\.json: no fold tests subject a/0"):
        read_folds(tmp_path / "folds.json")
    thin = folds.model_copy(deep=True)
    dropped = thin.folds[0].train.pop()
    write_folds(tmp_path / "thin.json", thin)
    with pytest.raises(DeftError, match=f"fold a/0: subject {dropped} .* neither in train"):
        read_folds(tmp_path / "thin.json")


def test_a_person_under_two_names_is_refused() -> None:
    clips = [FoldClip(f"folder/{s}/c", "folder", f"folder/{s}") for s in ("006", "007", "008", "6")]
    with pytest.raises(DeftError, match="folder/006 and folder/6 are one person"):
        make_folds(clips, "loso")


def test_splits_name_people_as_tables_do(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("subject,split\nfolder/6.0,train\nfolder/ 7,val\nFolder/008,test\n")
    clips = [FoldClip(f"folder/{s}/c", "folder", f"folder/{s}") for s in ("006", "007", "008")]
    (fold,) = make_folds(clips, "fixed", splits=read_splits(path)).folds
    assert (fold.train, fold.val, fold.test) == (["folder/006"], ["folder/007"], ["folder/008"])
    path.write_text("subject,split\n006,train\n6,test\n")
    with pytest.raises(DeftError, match="subject 6 is in two splits"):
        read_splits(path)


def test_names_from_outside_are_no_html_and_no_formula_in_a_report(tmp_path):
    """A method's option, a fold or a subject may have any name."""
    table = Table("t <b>", "t", ["name", "x"], [["<script>alert(1)</script>|x\n# y", "-0.5"]])
    text = markdown([table], ["<img src=x>"])
    assert "<script>" not in text and "<img" not in text and "<b>" not in text
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\|x\n# y" in text and "-0.5" in text


@pytest.mark.parametrize(
    "told", ['{"options": "megc3"}', '{"options": [1]}', '{"zero_shot": "x"}', "[]", "{"]
)
def test_settings_of_another_shape_are_named(tmp_path: Path, told: str) -> None:
    path = write_run(tmp_path, rows_of())
    (path / "benchmark.json").write_text(told)
    with pytest.raises(DeftError, match=r"benchmark\.json: "):
        read_run(path)


def test_a_corpus_word_before_a_number_makes_no_other_person() -> None:
    clips = [FoldClip(f"mmew/{s}/c", "mmew", f"mmew/{s}") for s in ("sub01", "1", "02", "03")]
    with pytest.raises(DeftError, match="mmew/1 and mmew/sub01 are one person"):
        make_folds(clips, "loso")
    others = [FoldClip(f"a/{s}/c", "a", f"a/{s}") for s in ("A1", "B1", "C1")]
    assert len(make_folds(others, "loso").folds) == 3


def coded(said: bool) -> list[Prediction]:
    """24 clips that show AU12; of 18 the method says no, or says nothing."""
    rows = [r.model_copy(update={"task": "au"}) for r in rows_of()]
    for number, r in enumerate(rows):
        r.truth.aus = [ActionUnit(number=12)]
        r.aus = {"12": 0.9} if number < 6 else {"12": 0.1} if said else {}
    return rows


def test_a_clip_whose_aus_a_method_does_not_say_is_missed(tmp_path: Path) -> None:
    runs = [read_run(write_run(tmp_path / str(said), coded(said))) for said in (True, False)]
    scores = [score_run(run)["au"]["pooled"] for run in runs]
    assert scores[0]["mean_f1"] == scores[1]["mean_f1"] == pytest.approx(2 * 6 / (2 * 6 + 18))
    assert scores[1]["clips"] == 24 and compare_runs(*runs)["difference"] == 0  # type: ignore[index]


def test_a_comparison_needs_the_same_truth_and_people(tmp_path: Path) -> None:
    first = read_run(write_run(tmp_path / "first", coded(True)))
    other = coded(True)
    for r in other[:9]:
        r.truth.aus = []
    with pytest.raises(DeftError, match="its true Action Units are not those"):
        compare_runs(first, read_run(write_run(tmp_path / "other", other)))
    renamed = [r.model_copy(update={"subject": f"{r.subject}x"}) for r in coded(True)]
    write_jsonl(tmp_path / "renamed" / "predictions.jsonl", renamed)
    with pytest.raises(DeftError, match="its subjects are not those"):
        compare_runs(first, read_run(tmp_path / "renamed"))


def test_a_perfect_method_has_no_interval_however_rare_a_class_is(tmp_path: Path) -> None:
    rows = [row(s, n, label, label) for s in range(8) for n, label in enumerate(("negative", "positive"))]
    rows += [row(0, 2, "surprise", "surprise")]
    for r in rows:
        r.truth.aus = [ActionUnit(number=9 if r.label == "surprise" else 12)]
        r.aus = {"9": 0.9 if r.label == "surprise" else 0.1, "12": 0.1 if r.label == "surprise" else 0.9}
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    found = score_run(read_run(tmp_path))
    uf1, units = found["emotion"]["pooled"]["uf1"], found["au"]["pooled"]
    assert (uf1["value"], uf1["low"], uf1["high"]) == (1.0, 1.0, 1.0)
    assert (units["mean_f1"], units["mean_f1_low"], units["mean_f1_high"]) == (1.0, 1.0, 1.0)


def test_a_row_of_another_subject_than_its_clips_is_refused(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0].subject = "a/7"
    with pytest.raises(DeftError, match="clip a/0/0 is of subject a/7, folds.json says a/0"):
        read_run(write_run(tmp_path, rows))


def test_runs_of_other_class_sets_are_told_apart_and_what_is_not_tested_is_said(tmp_path: Path) -> None:
    for folder, space in (("one", "megc3"), ("two", "5"), ("three", "megc3")):
        rows = [r.model_copy(update={"label_space": space}) for r in rows_of()]
        write_jsonl(tmp_path / folder / "predictions.jsonl", rows)
    runs = [read_run(tmp_path / folder) for folder in ("one", "two", "three")]
    names = run_names(runs)
    assert names == ["m [megc3] seed 0 (one)", "m [5]", "m [megc3] seed 0 (three)"]
    paired = next(
        t for t in report_tables(runs, [score_run(run) for run in runs], names) if t.file == "paired"
    )
    assert [row[-1] == NOT_PAIRED for row in paired.rows] == [True, False, True]
