"""The commands: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft_llm.cli import main
from deft_llm.store import Store


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    try:
        main(["unimer", *words])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().out


def test_support_prints_auc_per_au(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out = run(capsys, "support", str(store.root), "--json", "--out", str(tmp_path / "s.jsonl"))
    found = json.loads(out)
    auc = {row["au"]: row["auc"] for row in found["aus"]}
    assert code == 0 and found["clips"] == len(store) and auc[12] > 0.95 and auc[1] > 0.9
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == len(store)
    rows = {row["au"]: row for row in found["aus"]}
    assert rows[12]["found"] > 0.9 and rows[12]["kept"] > 0.8
    assert rows[26]["kept"] < 0.2, "every fifth clip has a label that nothing in the motion supports"
    code, text = run(capsys, "support", str(store.root))
    assert code == 0 and text.startswith("AU  name") and " found   kept" in text.splitlines()[0]


def test_check_exit_codes(built: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out = run(capsys, "check", str(built), "--json")
    assert code == 0 and json.loads(out)["ok"]
    code, _ = run(capsys, "check", str(built), "--media-root", str(tmp_path))
    assert code == 1


def test_export_and_wrong_usage(built: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out = run(capsys, "export", str(built), "--format", "llava", "--out", str(tmp_path), "--json")
    assert code == 0 and Path(json.loads(out)["files"][0]).exists()
    assert run(capsys, "export", str(built), "--format", "nope", "--out", str(tmp_path))[0] == 2
    assert run(capsys, "build", str(tmp_path / "none"), "--out", str(tmp_path / "o"))[0] == 1
    assert run(capsys, "build", str(built), "--out", str(tmp_path / "o"), "--engine", "spark")[0] != 0
