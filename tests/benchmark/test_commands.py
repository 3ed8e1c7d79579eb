"""The commands on a folder of stretched flow maps, as users have it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., int]
NAMES = {"casme2": ("sub01", "sub02", "sub03"), "samm": ("006", "007"), "smic": ("s01", "s02")}
UNITS = {"negative": "4+7", "positive": "12", "surprise": "1+2"}


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory, flow_of: Callable[..., np.ndarray]) -> Path:
    """STSTNet's layout: <root>/<subject>/u_test/<class>/<name> .png of three corpora with a blank before the
    suffix, every channel stretched to 0..255, and each subject's u_train repeating the others' maps."""
    import cv2

    root = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(5)
    rows: list[list[str]] = [["corpus", "subject", "filename", "aus"]]
    made: list[tuple[str, str, np.ndarray]] = []
    for corpus, subjects in NAMES.items():
        for subject in subjects:
            for number in range(6):
                place = number % 3
                kind = list(UNITS)[place]
                flow = flow_of(kind, rng, 0.15)[0]
                stack = np.stack([*flow, np.hypot(*flow)])
                low, high = stack.min((1, 2), keepdims=True), stack.max((1, 2), keepdims=True)
                picture = np.round(255 * (stack - low) / (high - low)).astype(np.uint8)
                name = (
                    f"{subject}_EP{number:02d}_01f"
                    if corpus == "casme2"
                    else f"{subject}_{subject}_{number}_1"
                )
                made.append((subject, f"{place}/{name} .png", picture[::-1].transpose(1, 2, 0)))
                if corpus != "smic":
                    file = name.partition("_")[2]
                    rows.append([corpus, subject, file, UNITS[kind]])
    for owner in sum(NAMES.values(), ()):
        for subject, name, picture in made:
            file = root / owner / ("u_test" if owner == subject else "u_train") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), np.ascontiguousarray(picture))
    with (root.parent / f"{root.name}.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return root


@pytest.fixture
def bench(run: Run, maps: Path) -> Run:
    """Exit code of a benchmark on the maps, one worker, stores beside the run."""

    def call(out: Path, *words: object, protocol: str = "loso") -> int:
        fixed = ("--protocol", protocol, "--out", out, "--store", out.parent / "store", "--workers", 1)
        return run("benchmark", "flowmaps", maps, *fixed, *words)

    return call


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command printed as JSON."""
    return json.loads(capsys.readouterr().out)


def test_loso_evaluate_report_agree(
    run: Run, bench: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path / "svm", "--method", "svm") == 0
    assert "UF1" in capsys.readouterr().out
    assert bench(tmp_path / "majority", "--method", "majority", "--json") == 0
    assert printed(capsys)["clips"] == 42
    assert run("evaluate", tmp_path / "svm", "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((tmp_path / "svm" / "metrics.json").read_text())
    assert (
        set(metrics["emotion"]["per_corpus"]) == set(NAMES)
        and metrics["emotion"]["pooled"]["uf1"]["value"] > 0.8
    )
    assert run("report", tmp_path / "svm", tmp_path / "majority", "--out", tmp_path / "report") == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'src="data:image/png' in page and "http" not in page.replace("http-equiv", "")
    assert "svm" in (tmp_path / "report" / "report.md").read_text()
    assert "majority,svm" in (tmp_path / "report" / "paired.csv").read_text()
    capsys.readouterr()
    assert run("agree", tmp_path / "svm", tmp_path / "svm", "--json") == 0
    assert json.loads(capsys.readouterr().out)["coarse"]["kappa"] == 1.0


def test_aus_from_annotations(
    run: Run, bench: Run, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = maps.parent / f"{maps.name}.csv"
    words = ("--method", "svm", "--task", "au", "--annotations", table, "--json")
    assert bench(tmp_path / "au", *words) == 0
    metrics = printed(capsys)
    assert metrics["clips"] == 30 and metrics["left_out"] == 12, "SMIC has no AUs"
    assert metrics["au"]["pooled"]["mean_f1"] > 0.8
    assert run("agree", table, tmp_path / "au") == 0
    assert "AUs: agreement" in capsys.readouterr().out


def test_deletion_curves_and_probes(
    run: Run, bench: Run, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "svm"
    table = maps.parent / f"{maps.name}.csv"
    words = ("--method", "svm", "--annotations", table, "--deletion", 12, "--features", "--json")
    assert bench(out, *words, protocol="kfold") == 0
    deletion = printed(capsys)["deletion"]
    assert deletion["clips"] == 12 and deletion["deletion_gain"] > 0, "what moves decides"
    assert run("evaluate", out, "--probes", out / "features.npz", "--json") == 0
    metrics = printed(capsys)
    assert metrics["deletion"] == deletion, "rescoring gives the same"
    assert metrics["probes"]["svm"]["class"]["score"] > 0.7 > metrics["probes"]["svm"]["class"]["permuted"]
    assert run("evaluate", out, "--probes", out / "features.npz") == 0
    assert "probes: svm.class.score" in capsys.readouterr().out
    assert bench(tmp_path / "m", "--method", "majority", "--annotations", table, "--features") == 2
    assert "has no features" in capsys.readouterr().err


def test_a_finished_store_stands_for_a_corpus(run: Run, store: Path, tmp_path: Path) -> None:
    words = ("--method", "majority", "--protocol", "loso", "--workers", 1, "--out", tmp_path / "run")
    assert run("benchmark", "store", store, *words) == 0
    assert run("benchmark", "store", tmp_path / "run", "--method", "majority", "--protocol", "loso",
               "--out", tmp_path / "other") == 1  # fmt: skip
    assert run("benchmark", "store", store, *words, "--annotations", Path(__file__)) == 2
    assert run("benchmark", "store", store, *words, "--store", tmp_path / "elsewhere") == 2
    spotting = ("--task", "spotting", "--method", "svm", "--protocol", "loso", "--out", tmp_path / "s")
    assert run("benchmark", "store", store, *spotting) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "svm"], "--protocol is missing"),
        (["--method", "magic", "--protocol", "loso"], "--method magic: unknown"),
        (["--method", "svm", "--protocol", "clips"], "--protocol clips: unknown"),
        (["--method", "svm", "--protocol", "loso", "--task", "vqa"], "--questions FILE go together"),
        (["--method", "svm", "--protocol", "loso", "--labels", "9"], "--labels 9: unknown"),
        (["--method", "svm", "--protocol", "loso", "--annotations", "nowhere.csv"], "no such file"),
        (["--method", "svm", "--protocol", "loso", "trees=5"], "unknown option trees"),
        (["--method", "deft", "--zero-shot", "options.checkpoint=run"], "unknown option options"),
        (["--method", "rules", "--zero-shot", "--task", "au", "--deletion", "3"], "--task emotion"),
        (["--method", "svm", "--protocol", "loso", "--k", "3"], "--k: no effect"),
        (["--method", "svm", "--protocol", "kfold", "--folds", "nowhere.json"], "no such file"),
        (["--method", "rules", "--zero-shot", "--folds", "nowhere.json"], "--folds: no effect"),
    ],
)
def test_wrong_use_is_exit_code_2(
    run: Run, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    fixed = ("--out", tmp_path / "run", "--store", tmp_path / "store")
    assert run("benchmark", "flowmaps", maps, *fixed, *words) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_is_none(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", tmp_path) == 1
    assert "holds no predictions.jsonl" in capsys.readouterr().err
    assert run("benchmark", "flowmaps", "--method", "svm", "--protocol", "loso", "--out", tmp_path) == 2
    assert run("agree", tmp_path / "a.csv", tmp_path / "b.csv") == 1


def test_validation_report_names_nobody(
    run: Run, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deft_llm.benchmark import validate

    monkeypatch.setattr(
        validate.validate_corpus,
        "__kwdefaults__",
        {**validate.validate_corpus.__kwdefaults__, "methods": ("majority", "svm")},
    )
    table = maps.parent / f"{maps.name}.csv"
    words = ("--annotations", table, "--store", tmp_path / "store", "--workers", 1, "--json")
    assert run("validate", "flowmaps", maps, "--out", tmp_path / "v", *words) == 0
    report = printed(capsys)
    done = {r["run"]: r for r in report["runs"]}
    assert done["svm emotion LOSO"]["uf1"]["value"] > 0.8 and done["svm au LOSO"]["mean_f1"] > 0.8
    assert report["facts"]["clips"] == 42 and not report["facts"]["faces"]
    support = report["support"]
    assert support["clips"] == 30 and support["labels"] + support["labels_not_measured"] == 50
    for file in ("report.md", "report.json"):
        text = (tmp_path / "v" / file).read_text()
        for subjects in NAMES.values():
            assert not any(f"/{subject}" in text or f"{subject}_" in text for subject in subjects), file
        assert str(tmp_path) not in text
    assert "flow only" in (tmp_path / "v" / "report.md").read_text()


def test_clips_whose_true_class_is_outside_are_left_out_before_training(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A simulated coder names a class where the truth is "others": nothing to score, so nothing to train."""
    words = ("--level", "flow", "--clips", 300, "--subjects", 6, "--seed", 5, "--json")
    assert run("synth", tmp_path / "s", *words) == 0
    capsys.readouterr()
    words = ("--method", "majority", "--protocol", "loso", "--workers", 1, "--out", tmp_path / "r")
    assert run("benchmark", "store", tmp_path / "s", *words, "--json") == 0
    metrics = printed(capsys)
    why = "cannot be scored: the coder's class is in --labels megc3, the true one is not"
    assert metrics["left_out_because"][why] > 0 and metrics["unscored"] == 0
    assert metrics["clips"] + metrics["left_out"] == 300
    assert run("evaluate", tmp_path / "r") == 0
    assert why in capsys.readouterr().out


def test_predicting_with_no_checkpoint_leaves_nothing(run: Run, store: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "run").mkdir()
    assert run("predict", tmp_path / "run", store, "--out", tmp_path / "out") == 1
    assert "no checkpoint here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_store_of_another_annotation_is_refused_and_kept(
    bench: Run, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = maps.parent / f"{maps.name}.csv"
    annotated = ("--method", "majority", "--annotations", table)
    assert bench(tmp_path / "one", *annotated) == 0
    header = tmp_path / "store" / "store.json"
    before = header.read_bytes()
    capsys.readouterr()
    assert bench(tmp_path / "two", "--method", "majority") == 2
    assert "was prepared from another annotation" in capsys.readouterr().err
    other = tmp_path / table.name  # a table of the same name with other AUs
    other.write_text(table.read_text().replace("4+7", "4"))
    assert bench(tmp_path / "three", "--method", "majority", "--annotations", other) == 2
    assert header.read_bytes() == before
    assert bench(tmp_path / "four", *annotated) == 0
    written = json.loads(before)  # as earlier versions wrote it
    header.write_text(json.dumps({name: value for name, value in written.items() if name != "edition"}))
    assert bench(tmp_path / "five", "--method", "majority") == 0
