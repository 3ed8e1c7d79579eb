"""Atomic files and JSON lines."""

from __future__ import annotations

import pytest

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, digest, read_jsonl, sha256_of, write_json, write_jsonl, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_lines_round_trip_and_bad_lines_are_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"a": 1}, {"b": "ü"}]
    assert write_jsonl(path, rows) == 2
    assert list(read_jsonl(path)) == rows
    path.write_text('{"a": 1}\nnot json\n')
    with pytest.raises(DeftError, match="line 2"):
        list(read_jsonl(path))
    path.write_text("[1]\n")
    with pytest.raises(DeftError, match="line 1 is not a JSON object"):
        list(read_jsonl(path))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeftError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_nan_is_refused_and_digests_are_stable(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    write_text(tmp_path / "a", "abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf")
