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


QUESTION = {"id": "q1", "dataset": "toy", "subject": "s0", "filename": "c0",
            "question": "Is the action unit lip corner puller shown on the face?"}  # fmt: skip


def test_import_says_what_it_cannot_do(store: Store, built: Path, tmp_path: Path, capsys) -> None:
    clip = store.clips[0]
    row = QUESTION | {"dataset": clip.corpus, "subject": clip.subject.split("/")[-1],
                      "filename": clip.clip_id.split("/")[-1]}  # fmt: skip
    path = tmp_path / "q.jsonl"

    def said(*rows: dict, out: Path = tmp_path / "out") -> tuple[int, str]:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(SystemExit) as stop:
            main(["unimer", "import", str(path), str(store.root), "--out", str(out)])
        return int(stop.value.code), capsys.readouterr().err

    code, words = said(row | {"subject": "99"})
    assert code == 1 and words.startswith(f"deft: {path}: none of its 1 questions is about a clip of ")
    bad = {"question": ["x"], "answer": {}, "subject": None, "id": [1], "filename": ""}
    for name, value in bad.items():
        code, words = said(row | {name: value})
        assert code == 1 and words.startswith(f"deft: {path}: line 1: {name}: ")
    assert "the id q1 is there twice" in said(row, row)[1]
    before = (built / "instructions.jsonl").read_bytes()
    code, words = said(row, out=built)
    assert code == 2 and str(built) in words and (built / "instructions.jsonl").read_bytes() == before


def test_questions_without_answers_come_in_and_are_told(store: Store, tmp_path: Path, capsys) -> None:
    clip = store.clips[0]
    row = QUESTION | {"dataset": clip.corpus, "subject": clip.subject.split("/")[-1],
                      "filename": clip.clip_id.split("/")[-1]}  # fmt: skip
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (row, row | {"id": "q2", "answer": "yes"})))
    out = tmp_path / "rows"
    assert run(capsys, "import", str(path), str(store.root), "--out", str(out))[0] == 0
    code, told = run(capsys, "check", str(out))
    assert code == 1 and "question without an answer: 1" in told
    code, _ = run(capsys, "export", str(out), "--format", "megc", "--out", str(tmp_path / "back.jsonl"))
    back = [json.loads(line) for line in (tmp_path / "back.jsonl").read_text().splitlines()]
    assert code == 0 and {line["question"] for line in back} == {row["question"]}


@pytest.mark.parametrize("messages", [
    [], [{"role": "user"}], [{"role": "judge", "content": []}], [{"role": "user", "content": "text"}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "image", "ref": 1}]}],
    [{"role": "user", "content": [{"type": "../x", "ref": 0}]}], [{"role": "user", "content": [[]]}],
    [{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}],
    [{"role": "user", "content": [{"type": "image", "ref": True}]}],
])  # fmt: skip
@pytest.mark.parametrize("command", ["check", "llava", "llamafactory", "messages", "trl", "megc"])
def test_a_dialogue_of_another_shape_is_named(messages, command, built: Path, tmp_path: Path, capsys) -> None:
    row = json.loads((built / "instructions.jsonl").read_text().splitlines()[0])
    row["media"] = row["media"][:1] or [{"type": "flow", "role": "flow", "path": "a.png"}]
    (tmp_path / "instructions.jsonl").write_text(json.dumps(row | {"messages": messages}) + "\n")
    words = ["check"] if command == "check" else ["export", "--format", command, "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as stop:
        main(["unimer", words[0], str(tmp_path), *words[1:]])
    error = capsys.readouterr().err
    assert stop.value.code == 1 and f"{tmp_path / 'instructions.jsonl'}: line 1: " in error


def test_splits_of_another_shape_and_empty_builds_are_named(built: Path, tmp_path: Path, capsys) -> None:
    splits = tmp_path / "splits.json"
    for text in ('{"train": "abc"}', '{"train": [1]}', "[]", '{"train": {"a": 1}}'):
        splits.write_text(text)
        with pytest.raises(SystemExit):
            main(["unimer", "check", str(built), "--splits", str(splits)])
        assert capsys.readouterr().err.startswith(f"deft: {splits}: ")
    (tmp_path / "instructions.jsonl").write_text("")
    with pytest.raises(SystemExit):
        main(["unimer", "check", str(tmp_path)])
    assert "holds no instruction" in capsys.readouterr().err
