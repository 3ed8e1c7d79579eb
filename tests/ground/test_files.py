"""Atomic files and JSON lines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import save_file

from deft_llm.errors import DeftError, printable
from deft_llm.files import (
    atomic_path,
    csv_cell,
    digest,
    is_whole,
    open_tensors,
    read_arrays,
    read_json,
    read_jsonl,
    read_model,
    read_object,
    read_rows,
    read_yaml,
    real_path,
    seal,
    sha256_of,
    write_json,
    write_jsonl,
    write_text,
)


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
    with pytest.raises(DeftError, match="line 1 holds a list where an object is meant"):
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


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    schema_: int = 1


def tensors(path: Path) -> np.ndarray:
    with open_tensors(path) as handle:
        return handle.get_tensor("flow")


READERS = {
    "json": read_json,
    "object": lambda path: read_object(path, schema=1),
    "model": lambda path: read_model(Row, path),
    "jsonl": lambda path: list(read_jsonl(path)),
    "rows": lambda path: list(read_rows(Row, path, schema=1)),
    "yaml": read_yaml,
    "tensors": tensors,
    "arrays": read_arrays,
}
BAD = [
    ("json", b'{"a": ', "is not valid JSON"),
    ("json", b"\xff\xfe{}", "is not UTF-8 text"),
    ("json", b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
    ("json", b'{"a": ' + b"9" * 5000 + b"}", "cannot be read .Exceeds the limit"),
    ("json", b'{"a": NaN}', "nan|NaN is not a finite number"),
    ("json", b'{"a": 1e999}', "1e999 is not a finite number"),
    ("json", b'{"a": "\\ud800"}', "a text holds half of a character"),
    ("json", b"", "is not valid JSON"),
    ("object", b"[1]", "holds a list where an object is meant"),
    ("object", b'{"schema": 99}', "is of schema 99, this version reads 1"),
    ("object", b'{"schema": true}', "is of schema True, this version reads 1"),
    ("model", b'{"number": "x"}', "number: Input should be a valid integer"),
    ("model", b'{"number": 1, "no": 2}', "no: Extra inputs"),
    ("jsonl", b'{"a": 1}\nnull\n', "line 2 holds null where an object is meant"),
    ("jsonl", b'{"a": 1}\n\xff\n', "is not UTF-8 text"),
    ("rows", b'{"number": 1}\n{"number": []}\n', "line 2: number: Input should be"),
    ("jsonl", b'{"a": ["\\uDC00\\ud83d"]}\n', "line 1 cannot be read .a text holds half of a character"),
    ("rows", b'{"number": 1, "schema": 2}\n', "line 1: is of schema 2"),
    ("yaml", b"a: [1, 2", "line 1"),
    ("yaml", b"a: &a [*a]", "more than 20000 values"),
    ("yaml", b"a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    ("tensors", b"\x00" * 30, "cannot be read"),
    ("tensors", b"", "cannot be read"),
    ("arrays", b"PK\x03\x04", "cannot be read"),
    ("arrays", b"", "ends too early"),
]


@pytest.mark.parametrize(("kind", "data", "fault"), BAD, ids=[f"{k}-{i}" for i, (k, *_) in enumerate(BAD)])
def test_what_is_wrong_with_a_file_is_one_sentence_with_its_name(kind, data, fault, tmp_path):
    path = tmp_path / "bad.file"
    path.write_bytes(data)
    with pytest.raises(DeftError, match=fault) as caught:
        READERS[kind](path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and message.endswith(".")
    assert ";" in message  # the mend


@pytest.mark.parametrize("kind", READERS)
def test_only_regular_files_are_read(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    socket.socket(socket.AF_UNIX).bind(str(tmp_path / "socket"))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    faults = {
        "pipe": "not a regular file", "socket": "not a regular file", "loop": "cannot be read|Too many",
        "folder": "is a folder where a file is meant", "gone": "no such file",
        "a" * 300: "File name too long",
    }  # fmt: skip
    for name, fault in faults.items():
        with pytest.raises(DeftError, match=fault):
            READERS[kind](tmp_path / name)
    with pytest.raises(DeftError, match="not a regular file"):
        READERS[kind](Path("/dev/zero"))


def test_a_loop_of_links_has_a_real_path_and_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "other").symlink_to(tmp_path / "folder", target_is_directory=True)
    assert real_path(tmp_path / "other" / "a") == tmp_path / "folder" / "a"
    with pytest.raises(DeftError, match="symbolic links"):
        sha256_of(real_path(tmp_path / "loop"))


def test_nested_yaml_anchors_are_counted_and_shared_ones_are_not_refused(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    write_text(tmp_path / "bomb.yaml", bomb)
    with pytest.raises(DeftError, match="more than 20000 values with its anchors"):
        read_yaml(tmp_path / "bomb.yaml")
    write_text(tmp_path / "good.yaml", "base: &b {rate: 0.1}\nmotion: *b\njoint: {<<: *b, steps: 3}\n")
    assert read_yaml(tmp_path / "good.yaml")["joint"] == {"rate": 0.1, "steps": 3}


def test_a_tensor_that_a_file_lacks_is_named(tmp_path):
    save_file({"strain": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(DeftError, match=r"a\.safetensors: .*flow"):
        tensors(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-4])
    with pytest.raises(DeftError, match=r"a\.safetensors: cannot be read"):
        tensors(tmp_path / "a.safetensors")


def test_a_passing_lack_of_memory_is_not_a_fault_of_the_file(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"a": 1})

    def exhausted(*_args, **_more):
        raise MemoryError

    monkeypatch.setattr(Path, "read_text", exhausted)
    with pytest.raises(MemoryError):
        read_json(tmp_path / "a.json")


def test_names_from_outside_are_never_shown_raw():
    message = str(DeftError("a\nb\x1b[31m\u202e\udcff.png: is bad " + "9" * 5000 + "; mend it."))
    assert message.isprintable() and "\\n" in message and "\\x1b[31m" in message and "\\udcff" in message
    assert len(message) < 500
    assert printable("Ünïcode ⇒ 表情 (50 %)") == "Ünïcode ⇒ 表情 (50 %)"
    assert printable(printable("a\nb")) == printable("a\nb")
    message.encode("utf-8")


KILLED = """
import os, signal, sys
from pathlib import Path
from deft_llm.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_ones_stays(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.b.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 1, "the killed writer left its temporary file"
    write_text(tmp_path / "foreign.part", "not ours")
    held, go = threading.Event(), threading.Event()

    def living() -> None:
        with atomic_path(tmp_path / "slow.json") as temporary:
            temporary.write_text("{}")
            held.set()
            go.wait(20)

    other = threading.Thread(target=living)
    other.start()
    held.wait(20)
    write_json(tmp_path / "c.json", {})
    go.set()
    other.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.json", "foreign.part", "slow.json"]
    assert json.loads((tmp_path / "slow.json").read_text()) == {}


def test_cells_that_a_spreadsheet_would_run_are_text():
    assert [csv_cell(v) for v in ("=1+1", "+cmd", "-x", "@sum", "\tx")] == [
        "'=1+1", "'+cmd", "'-x", "'@sum", "'\tx",
    ]  # fmt: skip
    assert [csv_cell(v) for v in (-0.5, "-1e-3", "+2", None, "a=b", "4+12")] == [
        "-0.5", "-1e-3", "+2", "", "a=b", "4+12",
    ]  # fmt: skip


def test_a_seal_tells_what_is_not_as_it_was_written(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.png"
    assert not is_whole(first, second)
    first.write_bytes(b"{}")
    second.write_bytes(b"12345678")
    seal(first, second)
    assert is_whole(first, second)
    for damage in (b"1234567", b"12345679", b""):
        second.write_bytes(damage)
        assert not is_whole(first, second)
    second.unlink()
    assert not is_whole(first, second)
    os.mkfifo(second)
    assert not is_whole(first, second)
    second.unlink()
    second.write_bytes(b"12345678")
    assert is_whole(first, second)
    seal_of_first = first.with_name("a.json.sha256")
    seal_of_first.unlink()
    seal_of_first.symlink_to("/proc/self/mem")  # a regular file that no one can read
    assert not is_whole(first, second)


def test_what_an_earlier_version_left_is_sealed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    assert is_whole(tmp_path / "a.json") and (tmp_path / "a.json.sha256").is_file()
    (tmp_path / "a.json").write_bytes(b"{} ")
    assert not is_whole(tmp_path / "a.json")
