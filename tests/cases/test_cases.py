"""The small inputs of this folder give the values that its README states."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from deft_llm.cli import main
from deft_llm.corpora import load

HERE = Path(__file__).parent


def run(*words: str | Path) -> int:
    """Exit code of a command."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def figure(metrics: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        metrics = metrics[key]
    return metrics


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("strs_class_never_spotted", "spotting.pooled.strs", 0.8 * 2 / 3),
        ("strs_class_never_spotted", "spotting.pooled.strs_hit_classes", 0.8),
        ("perfect_two_corpora_labels5", "emotion.per_corpus.casme2.uf1.value", 1.0),
        ("perfect_two_corpora_labels5", "emotion.per_corpus.samm.uf1.value", 1.0),
        ("perfect_two_corpora_labels5", "emotion.per_corpus.samm.uf1.low", 1.0),
        ("overlapping_truths", "spotting.pooled.tp", 2),
        ("overlapping_truths", "spotting.pooled.f1", 1.0),
        ("overlapping_truths", "spotting.pooled.megc.tp", 1),
        ("overlapping_truths", "spotting.pooled.f1_megc", 0.5),
    ],
)
def test_scores(file: str, path: str, value: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", HERE / f"{file}.jsonl", "--json") == 0
    assert figure(json.loads(capsys.readouterr().out), path) == pytest.approx(value)


@pytest.mark.parametrize(
    ("file", "field"), [("offset_null", "intervals.0.offset"), ("offset_text", "intervals.0.onset")]
)
def test_bad_rows_are_named(file: str, field: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", HERE / f"{file}.jsonl") == 1
    assert f"{file}.jsonl: row 1 is no prediction ({field}:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "aus", "kinds"),
    [
        (["v/1,anna,2,5,9,4 7"], {4, 7}, set()),
        (["v/1,anna,2,5,9,4;7"], {4, 7}, set()),
        (['v/1,anna,2,5,9,"4\n7"'], {4, 7}, set()),
        (["v/1,anna,2,5,9,12.1"], {12, 1}, {"aus-reading"}),
        (["v/1,anna,2,5,9,7-Apr"], None, {"unread-aus"}),
        (["v/1,anna,2,5,9,47"], None, {"unread-aus"}),
        (["v/1,006,2,5,9,4", "v/2,6,2,5,9,4", "v/3,6.0,2,5,9,4"], {4}, {"one-person"}),
        (["v/1,anna,2,2,9,4"], {4}, {"apex-equals-onset"}),
        (["v\\1,anna,2,5,9,4"], {4}, set()),
    ],
)
def test_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], aus: Any, kinds: Any
) -> None:
    for row in rows:
        folder = tmp_path / row.split(",")[0].replace("\\", "/")
        folder.mkdir(parents=True)
        for number in range(12):
            (folder / f"img{number}.png").write_bytes(b"x")
    (tmp_path / "clips.csv").write_text("\n".join(["path,subject,onset,apex,offset,aus", *rows]) + "\n")
    code = run("corpus", "check", "folder", tmp_path, "--json")
    found = json.loads(capsys.readouterr().out)
    said = {fault["kind"] for fault in found["faults"] + found["notes"]}
    assert said == kinds and code == (1 if found["faults"] else 0) and found["subjects"] == 1
    clip = load("folder", tmp_path).clips[0]
    assert (None if clip.aus is None else {unit.number for unit in clip.aus}) == aus


def test_the_same_codings_in_two_spellings_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("agree", HERE / "coder1.csv", HERE / "coder2.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 4 and found["aus"]["clips"] == 3 and found["aus"]["agreement"] == 1.0
    assert found["fine"]["same"] == 1.0 and found["disagreements"] == found["problems"] == []


def test_what_cannot_be_read_is_named_and_not_scored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("agree", HERE / "coder1.csv", HERE / "unreadable.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 2 and found["aus"]["clips"] == 1 and found["aus"]["agreement"] == 1.0
    assert found["problems"] == [
        "unreadable.csv row 2: emotion 'contemt!' is not known",
        "unreadable.csv row 2: AU '7-Apr' could not be read",
    ]


def test_contradictory_rows_are_named_and_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "twice.csv"
    table.write_text((HERE / "coder1.csv").read_text() + "samm,6.0,006_1_2,Contempt,4\n")
    assert run("agree", HERE / "coder1.csv", table) == 0
    out = capsys.readouterr().out
    assert (
        "not compared: twice.csv row 2: two values of aus: 12 in twice.csv row 2, 4 in twice.csv row 6" in out
    )
    assert "(2 clips coded by both)" in out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("a remark below\n", "row 6 ('a remark below') lacks subject and filename and was not read"),
        ("samm,,006_1_9,Anger,4\n", "row 6 ('samm') lacks subject and was not read"),
        ("samm,6,,Anger,4\n", "row 6 ('samm') lacks filename and was not read"),
    ],
)
def test_a_row_without_its_clip_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, told: str
) -> None:
    table = tmp_path / "more.csv"
    table.write_text((HERE / "coder1.csv").read_text() + more)
    assert run("agree", HERE / "coder2.csv", table, "--json") == 0
    assert json.loads(capsys.readouterr().out)["problems"] == [f"more.csv {told}"]


@pytest.mark.parametrize("seed", range(5))
def test_binary_noise_below_a_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    table = tmp_path / "noise.csv"
    table.write_bytes((HERE / "coder1.csv").read_bytes() + random.Random(seed).randbytes(100))
    assert run("agree", table, HERE / "coder2.csv") == 1
    said = capsys.readouterr().err
    assert f"{table}: the table cannot be read" in said and "line 6" in said
