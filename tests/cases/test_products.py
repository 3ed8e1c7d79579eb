"""A command never writes into the folder of another command's product."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from deft_llm.cli import main
from deft_llm.files import PRODUCTS

COMMANDS = {
    "benchmark": ("benchmark store {store} --method svm --protocol loso --out {out}", {"benchmark.json"}),
    "predict": ("predict shipped {store} --out {out}", {"benchmark.json"}),
    "train": ("train {store} --out {out} --start null parts=[motion]", {"config.yaml"}),
    "build": ("unimer build {store} --out {out}", {"build.json"}),
    "import": ("unimer import {rows} {store} --out {out}", set()),
    "export": ("unimer export {rows} --format messages --out {out}", {"build.json"}),
    "report": ("report {rows} --out {out}", {"summary.csv"}),
    "validate": ("validate store {store} --out {out}", {"report.json"}),
    "prepare": ("prepare flowmaps {maps} --store {out}", {"store.json"}),
    "synth flow": ("synth {out} --level flow --clips 4 --subjects 2", {"synth.json"}),
    "synth maps": ("synth {out} --level flow --clips 4 --subjects 2 --layout flowmaps", {"synth.json"}),
    "synth keys": ("synth {out} --film keys --clips 4 --subjects 2", {"store.json"}),
    "synth video": ("synth {out} --clips 4 --subjects 2", {"corpus.json"}),
    "analyze": ("analyze {film} --method rules --out {out}", {"result.json"}),
    "analyze two": ("analyze {film} {store}/b.mp4 --method rules --out {out}", {"index.html"}),
    "demo": ("demo --method rules --out {out}", set()),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    here = tmp_path_factory.mktemp("products")
    for words in ("{store} --clips 12 --subjects 3", "{maps} --clips 4 --subjects 2 --layout flowmaps"):
        command = f"synth --level flow {words}".format(store=here / "store", maps=here / "maps")
        assert run(command) == 0
    (here / "film.mp4").write_bytes(b"x")
    (here / "rows.jsonl").write_text("{}\n")
    return {"store": here / "store", "maps": here / "maps", "film": here / "film.mp4",
            "rows": here / "rows.jsonl"}  # fmt: skip


def run(command: str) -> int:
    try:
        main(command.split())
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", COMMANDS)
def test_another_product_is_left_as_it_is(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, own = COMMANDS[name]
    for marker in sorted({*PRODUCTS} - own):
        out = tmp_path / marker.replace(".", "-")
        out.mkdir()
        (out / marker).write_text("what was there")
        before = tree(out)
        assert run(words.format(**inputs, out=out)) == 2, marker
        said = capsys.readouterr().err
        assert str(out) in said and tree(out) == before and len(list(out.iterdir())) == 1
    file = tmp_path / "a-file"
    file.write_text("x")
    if name != "export":
        assert run(words.format(**inputs, out=file)) == 2
        assert str(file) in capsys.readouterr().err and file.read_text() == "x"


def test_a_store_is_no_place_for_a_run(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(inputs["store"], store)
    before = tree(store)
    for name in ("benchmark", "build", "train", "analyze"):
        assert run(COMMANDS[name][0].format(**{**inputs, "store": store}, out=store)) == 2
        assert tree(store) == before
        assert "choose another folder" in capsys.readouterr().err


def test_a_corpus_is_no_place_for_its_store(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "maps"
    shutil.copytree(inputs["maps"], maps)
    (maps / "synth.json").unlink()
    assert run(f"prepare flowmaps {maps} --store {maps}") == 2
    assert f"{maps}: is the corpus itself" in capsys.readouterr().err and not (maps / "store.json").exists()
