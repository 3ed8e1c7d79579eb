"""The small inputs of this folder give the values that its README states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft_llm.cli import main

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
