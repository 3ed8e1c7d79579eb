"""What a stranger's corpus may hold: bombs, pipes, names that are no names, numbers that are none."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from openpyxl import Workbook
from pydantic import ValidationError

from deft_llm.corpora import load
from deft_llm.corpora.check import check
from deft_llm.corpora.mapfiles import read_map
from deft_llm.corpora.tables import cell_integer, read_sheets
from deft_llm.errors import DeftError
from deft_llm.files import write_json, write_jsonl
from deft_llm.prepare import prepare
from deft_llm.records import Clip, Source


def test_one_far_cell_costs_no_memory(tmp_path: Path) -> None:
    book = Workbook()
    book.active["A1"], book.active["XFD1048576"] = "Subject", 1
    book.save(tmp_path / "far.xlsx")
    tracemalloc.start()
    with pytest.raises(DeftError, match=r"far\.xlsx: .*a cell in row 1048576, column 16384"):
        read_sheets(tmp_path / "far.xlsx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    book.active["XFD1048576"] = None
    book.active["B4"] = 7
    book.save(tmp_path / "near.xlsx")
    assert read_sheets(tmp_path / "near.xlsx")["Sheet"] == [["Subject"], [], [], [None, 7]]


def test_pipes_and_folders_are_no_tables(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DeftError, match=r"pipe\.csv: is not a regular file"):
        read_sheets(tmp_path / "pipe.csv")
    with pytest.raises(DeftError, match=r"folder\.csv: is a folder"):
        read_sheets(tmp_path / "folder.csv")


def test_a_pipe_among_the_clips_fails_alone(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    os.mkfifo(corpus / "pipe.png")
    np.save(corpus / "a.npy", np.random.default_rng(0).normal(size=(28, 28, 2)).astype(np.float32))
    (corpus / "manifest.csv").write_text("clip_id,subject,path\nx/1/a,x/1,a.npy\nx/1/b,x/1,pipe.png\n")
    store = prepare("flowmaps", corpus, tmp_path / "store")
    assert list(store.rows) == ["x/1/a"]
    assert [(f.clip_id, "not a regular file" in f.reason) for f in store.failures] == [("x/1/b", True)]


def test_a_name_that_is_no_utf8_costs_its_own_clip_only(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    image = np.random.default_rng(0).integers(0, 255, (28, 28, 3)).astype(np.uint8)
    png = cv2.imencode(".png", image)[1].tobytes()
    folder = corpus / "sub01" / "u_test" / "0"
    folder.mkdir(parents=True)
    (folder / "sub01_EP1.png").write_bytes(png)
    with open(os.fsencode(folder) + b"/sub01_\xff.png", "wb") as handle:
        handle.write(png)
    (folder / "sub01_E\x1b[31mP2.png").write_bytes(png)
    store = prepare("flowmaps", corpus, tmp_path / "store")
    assert list(store.rows) == ["casme2/sub01/EP1"]
    faults = [f for f in load("flowmaps", corpus).faults if f.kind == "unsafe-name"]
    assert len(faults) == 2 and all(f.message.isprintable() for f in faults)
    assert "\\udcff" in (tmp_path / "store" / "faults.json").read_text().replace("\\\\", "\\")


def test_a_frame_name_that_is_no_utf8_is_a_fault_of_its_clip(tmp_path: Path) -> None:
    clips = tmp_path / "corpus" / "s1"
    for name in ("good", "bad"):
        (clips / name).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(clips / name / f"img{number}.png"), np.zeros((8, 8, 3), np.uint8))
    os.rename(clips / "bad" / "img1.png", os.fsencode(clips / "bad") + b"/img1\xff.png")
    corpus = load("folder", tmp_path / "corpus")
    assert [clip.clip_id for clip in corpus.clips] == ["folder/s1/good"]
    assert any(f.kind == "unsafe-name" and f.clip_id == "folder/s1/bad" for f in corpus.faults)


@pytest.mark.parametrize(
    "name", ["../x", "x/../y", "a\nb", "a\x1b[2Jb", "a\udcffb", "", "/etc", "a//b", "a\\b"]
)
def test_records_refuse_names_that_are_none(name: str) -> None:
    source = Source(kind="flow", path="a.png")
    for fields in ({"clip_id": name}, {"subject": name}, {"corpus": name}):
        with pytest.raises(ValidationError, match="is no name"):
            Clip(**({"clip_id": "x/1/a", "corpus": "x", "subject": "x/1", "source": source} | fields))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_a_map_with_a_value_that_is_no_number_is_a_fault(value: float, suffix: str, tmp_path: Path) -> None:
    array = np.full((16, 16, 3), 0.5)
    array[3, 3, 0] = value
    path = tmp_path / f"map{suffix}"
    if suffix == ".tif":
        assert cv2.imwrite(str(path), array)
    elif suffix == ".npy":
        np.save(path, array)
    else:
        np.savez(path, flow=array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeftError, match=rf"map\{suffix}: holds values that are not finite"):
            read_map(path)


def test_numbers_without_end_are_no_numbers() -> None:
    assert cell_integer("9" * 5000) is None and cell_integer(float("inf")) is None
    assert cell_integer("12") == 12 and cell_integer(12.0) == 12


@pytest.mark.parametrize(("path", "kind"), [
    ("../other", "unsafe-name"), ("/etc", "unsafe-name"), ("frames\ns1", "unsafe-name"),
    ("gone", "missing-frames"), ("frames", "duplicate-clip"), ("frames/img9.jpg", "missing-frames"),
    ("9" * 5000, "missing-frames"), ("frames/" + "9" * 5000, "missing-frames"),
    ("frames/a\nb", "unsafe-name"), ("frames/", "missing-frames"),
])  # fmt: skip
def test_a_synthetic_record_that_leads_elsewhere_is_named_with_its_file(tmp_path: Path, path, kind) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "img1.jpg").write_bytes(b"x")
    path, _, frame = path.partition("/") if path.startswith("frames/") else (path, "", "img1.jpg")
    write_json(tmp_path / "corpus.json", {"schema": 1})
    rows = [
        Clip(clip_id="synthetic/s1/a", corpus="synthetic", subject="synthetic/s1",
             source=Source(kind="frames", path=where, frames=[name] if name else None))
        for where, name in (("frames", "img1.jpg"), (path, frame))
    ]  # fmt: skip
    if kind != "duplicate-clip":
        rows[1].clip_id = "synthetic/s1/b"
    write_jsonl(tmp_path / "records.jsonl", [row.model_dump(by_alias=True) for row in rows])
    corpus = load("synthetic", tmp_path)
    assert [clip.source.path for clip in corpus.clips][:1] == ["frames"]
    assert [fault.kind for fault in check(corpus).faults] == [kind]
    assert corpus.faults[0].message.startswith("records.jsonl: clip synthetic/s1/")


@pytest.mark.parametrize(("text", "said"), [
    ("clip_id,subject,path,emotion,aus\nx/1/a,1,a,disgust,4,7\n", "row 2 has 6 cells, the header 5"),
    ("clip_id;subject;path;onset;offset;aus\nx/1/a;1;a;0;4;4;7\n", "row 2 has 7 cells, the header 6"),
    ("clip_id,subject,path,aus,aus\nx/1/a,1,a,4,7\n", "the column 'aus' is there twice"),
    ("clip_id,subject,path,AU s,Emotion,emotion\nx/1/a,1,a,4,7,8\n", "the column 'Emotion' is there twice"),
])  # fmt: skip
def test_cells_of_unknown_columns_are_named(text: str, said: str, tmp_path: Path) -> None:
    """An unquoted comma in an AU cell would lose an AU without a word."""
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(DeftError, match=said):
        load("folder", tmp_path)


@pytest.mark.parametrize("other", ["a", "./a", "a/", ".\\a"])
def test_one_film_is_of_one_subject(other: str, tmp_path: Path) -> None:
    """Under two names it would stand in two folds: in training and in the test."""
    (tmp_path / "a").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "a" / f"{number:03d}.png"), np.full((8, 8), number, np.uint8))
    rows = ["path,subject,onset,offset,clip_id", "a,1,0,3,x", f"{other},2,4,7,y", "a,1,4,7,z"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    corpus = load("folder", tmp_path)
    assert [clip.clip_id for clip in corpus.clips] == ["x", "z"]
    assert [(fault.kind, fault.clip_id) for fault in corpus.faults] == [("two-subjects", "y")]
