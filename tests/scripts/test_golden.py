"""The comparison of two runs finds what moved, and nothing where nothing did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes.golden import main


def prediction(clip: str, **changes: object) -> dict:
    row = {
        "clip_id": clip, "question_id": None, "seed": 0, "fold": "a", "label": "negative",
        "coarse": "negative", "fine": None, "probabilities": {"negative": 0.7, "positive": 0.3},
        "aus": {"12": 0.2}, "sides": {"12": "left"}, "answer": "Class: one",
    }  # fmt: skip
    return row | changes


def written(folder: Path, *rows: dict) -> Path:
    folder.mkdir()
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return written(tmp_path / "before", prediction("a"), prediction("b"))


def test_equal_runs_pass(before: Path, tmp_path: Path, capsys) -> None:
    after = written(tmp_path / "after", prediction("b"), prediction("a"))
    assert main([str(before), str(after)]) == 0
    assert "class: 0.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"aus": {"12": 0.25}}, 1, "AU12: 0.0500 (b 0 a presence); beyond 0.01: 1"),
        ({"aus": {"12": 0.205}}, 0, "AU12: 0.0050 (b 0 a presence); beyond 0.01: 0"),
        ({"aus": {}}, 1, "AU12: 0.2000"),
        ({"probabilities": {"negative": 0.6, "positive": 0.4}}, 1, "class: 0.1000"),
        ({"label": "positive"}, 1, "b 0 a: label negative -> positive"),
        ({"sides": {"12": "both"}}, 1, "b 0 a: side of AU12 left -> both"),
        ({"answer": "Class: two"}, 0, "'Class: two'"),
    ],
)
def test_what_moved_is_told(
    before: Path, tmp_path: Path, capsys, changes: dict, code: int, told: str
) -> None:
    """Answers may change: they are listed alone."""
    after = written(tmp_path / "after", prediction("a"), prediction("b", **changes))
    assert main([str(before), str(after)]) == code
    assert told in capsys.readouterr().out


def test_other_clips_are_refused(before: Path, tmp_path: Path, capsys) -> None:
    after = written(tmp_path / "after", prediction("a"), prediction("c"))
    assert main([str(before), str(after)]) == 1
    assert "compare runs on the same clips" in capsys.readouterr().err
    assert main([str(before), str(tmp_path / "nothing")]) == 1


def test_movements_of_an_analysis_are_compared(tmp_path: Path, capsys) -> None:
    def result(p: float, side: str) -> str:
        unit = {"number": 12, "side": side, "phase": "rise", "confidence": p}
        klass = {"label": "positive", "coarse": "positive", "fine": None, "probabilities": {"positive": p}}
        movement = {"face": 1, "onset": 3, "apex": 9, "class": klass, "answer": None, "aus": [unit]}
        return json.dumps({"movements": [movement]})

    for name, p, side in (("one", 0.8, "left"), ("two", 0.9, "right")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(result(p, side))
    assert main([str(tmp_path / "one"), str(tmp_path / "one")]) == 0
    assert main([str(tmp_path / "one"), str(tmp_path / "two")]) == 1
    told = capsys.readouterr().out
    assert "class: 0.1000" in told and "AU12: 0.1000" in told and "side of AU12 left -> right" in told
