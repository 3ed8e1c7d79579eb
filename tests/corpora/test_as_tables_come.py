"""Tables and folders as people really write them: each oddity is read right, or named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.corpora import load
from deft_llm.corpora.frames import list_frames
from deft_llm.corpora.joining import read_annotations
from deft_llm.corpora.tables import find_table

COLUMNS = {"subject": ("subject",), "filename": ("filename",), "aus": ("aus",)}
AU_CELLS = [
    ("4 7", {4, 7}), ("4\n7", {4, 7}), ("4;7", {4, 7}), ("4 ; 7", {4, 7}), ("4/7", {4}), ("4.0", {4}),
    ("AU4+AU7", {4, 7}), ("4,7", {4, 7}), (" 4+7 ", {4, 7}),
]  # fmt: skip


def quoted(cell: str) -> str:
    return '"' + cell + '"'


def numbers(clip) -> set[int] | None:  # type: ignore[no-untyped-def]
    return None if clip.aus is None else {unit.number for unit in clip.aus}


def flow_map(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((28, 28, 3), np.uint8))


@pytest.mark.parametrize(("cell", "expected"), AU_CELLS)
def test_au_cells_in_every_reader(make, cell: str, expected: set[int]) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", f"path,subject,onset,apex,offset,aus\na/take1,anna,2,5,9,{quoted(cell)}\n")
    flow_map(make.root / "maps" / "m.png")
    make.csv("maps/manifest.csv", f"clip_id,subject,path,aus\nm/1/m,1,m.png,{quoted(cell)}\n")
    make.csv("join.csv", f"dataset,subject,filename,aus\nsamm,6,006_1_2,{quoted(cell)}\n")
    make.frames("coded/CASME2_RAW_selected/sub01/EP01_01", range(1, 12))
    make.casme2("coded/CASME2-coding-20140508.xlsx", [[1, "EP01_01", None, 1, 5, 9, None, cell, "disgust"]])
    folder = load("folder", make.root).clips[0]
    manifest = load("flowmaps", make.root / "maps").clips[0]
    (joined,) = read_annotations(make.root / "join.csv").clips.values()
    coded = load("casme2", make.root / "coded").clips[0]
    for found in (folder, manifest, joined, coded):
        assert numbers(found) == expected


@pytest.mark.parametrize("cell", ["7-Apr", "2026-04-07 00:00:00", "47", "4 L 7", "see notes 12x", "1234"])
def test_what_cannot_be_read_is_named_and_never_no_au(make, kinds, cell: str) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", f"path,subject,aus\na/take1,anna,{quoted(cell)}\n")
    corpus = load("folder", make.root)
    assert kinds(corpus) == ["unread-aus"] and corpus.clips[0].aus is None
    make.csv("join.csv", f"dataset,subject,filename,aus\nsamm,6,006_1_2,{quoted(cell)}\n")
    (joined,) = read_annotations(make.root / "join.csv").clips.values()
    assert joined.aus is None and "could not be read" in joined.problems[0]


@pytest.mark.parametrize("cell", ["-", "n/a", "nan", "?", "/", "NA", ""])
def test_a_missing_code_is_not_coded(make, cell: str) -> None:
    """ "no AU" would teach that nothing moves."""
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", f"path,subject,aus\na/take1,anna,{quoted(cell)}\n")
    make.csv("join.csv", f"dataset,subject,filename,aus\nsamm,6,006_1_2,{quoted(cell)}\n")
    make.frames("coded/CASME2_RAW_selected/sub01/EP01_01", range(1, 12))
    make.casme2("coded/CASME2-coding-20140508.xlsx", [[1, "EP01_01", None, 1, 5, 9, None, cell, "disgust"]])
    (joined,) = read_annotations(make.root / "join.csv").clips.values()
    for found in (load("folder", make.root).clips[0], joined, load("casme2", make.root / "coded").clips[0]):
        assert found.aus is None


@pytest.mark.parametrize(("cell", "expected"), [("none", set()), ("0", {0})])
def test_nothing_seen_is_coded(make, cell: str, expected: set[int]) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", f"path,subject,aus\na/take1,anna,{cell}\n")
    assert numbers(load("folder", make.root).clips[0]) == expected


def test_a_decimal_is_noted(make, kinds) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", "path,subject,aus\na/take1,anna,12.1\n")
    corpus = load("folder", make.root)
    assert numbers(corpus.clips[0]) == {12, 1} and kinds(corpus, "note") == ["aus-reading"]
    assert "12.1 is read as AU12 and AU1" in corpus.faults[0].message


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "latin-1"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_delimiters_and_notes_above(tmp_path: Path, encoding: str, delimiter: str) -> None:
    above = "notes, of the coder, with, commas, and; one more\r\n"
    head = delimiter.join(COLUMNS)
    row = delimiter.join(["006", "006_1_2", '"4+7"'])
    path = tmp_path / "t.csv"
    path.write_bytes((above + head + "\r\n" + (row + "\r\n") * 2).encode(encoding))
    table = find_table(path, COLUMNS, ("subject", "filename"))
    assert [(r.text("subject"), r.text("filename"), r.text("aus")) for r in table.rows] == [
        ("006", "006_1_2", "4+7")
    ] * 2


def test_lists_of_aus_do_not_choose_the_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("subject;filename;aus\n" + "".join(f"1;c{n};1,2,4,5\n" for n in range(9)))
    assert len(find_table(path, COLUMNS, ("subject", "filename", "aus")).rows) == 9


@pytest.mark.parametrize(
    "spellings", [("006", "6"), ("6", "6.0"), (" 6", "06"), ("S01", "s1"), ("Anna", "anna")]
)
def test_one_person_has_one_name(make, kinds, spellings: tuple[str, str]) -> None:
    rows = [f"v{n}.avi,{subject}" for n, subject in enumerate(spellings)]
    make.csv("clips.csv", "\n".join(["path,subject", *rows]) + "\n")
    corpus = load("folder", make.root)
    assert len({clip.subject for clip in corpus.clips}) == 1 and len(corpus.clips) == 2
    maps = make.root / "maps"
    rows = [f"m/{n}/c,{subject},{n}.png" for n, subject in enumerate(spellings)]
    make.csv("maps/manifest.csv", "\n".join(["clip_id,subject,path", *rows]) + "\n")
    assert len({clip.subject for clip in load("flowmaps", maps).clips}) == 1
    rows = [f"samm,{subject},006_1_2" for subject in spellings if subject.strip()[0].isdigit()]
    if rows:
        make.csv("join.csv", "\n".join(["dataset,subject,filename", *rows]) + "\n")
        assert len(read_annotations(make.root / "join.csv").clips) == 1


def test_semicolons_with_decimal_commas(make, kinds) -> None:
    """As a spreadsheet saves them where the comma is in numbers; between AUs it stays what it is."""
    make.frames("a/take1", range(1, 12))
    head, row = "path{0}subject{0}fps{0}onset{0}apex{0}aus", "a/take1{0}anna{0}{1}{0}2,0{0}5{0}4,7"
    text = "\n".join(["sep={0}", head, row, ""])
    make.csv("clips.csv", text.format(";", "29,97"))
    corpus = load("folder", make.root)
    (clip,) = corpus.clips
    assert (clip.fps, clip.onset, clip.apex, numbers(clip)) == (29.97, 2, 5, {4, 7}) and not corpus.faults
    make.csv("clips.csv", text.format("\t", "29,97"))
    assert "bad-number" in kinds(load("folder", make.root))


def test_two_names_are_noted(make, kinds) -> None:
    make.csv("clips.csv", "path,subject\na.avi,006\nb.avi,6\nc.avi,7\n")
    corpus = load("folder", make.root)
    assert [clip.subject for clip in corpus.clips] == ["folder/006", "folder/006", "folder/7"]
    assert kinds(corpus, "note") == ["one-person"]


@pytest.mark.parametrize("subject", ["../x", "a/../b", '"a\nb"', "\x1b[31m"])
def test_a_subject_that_no_path_may_hold(make, kinds, subject: str) -> None:
    make.csv("clips.csv", f"path,subject\na.avi,{subject}\n")
    corpus = load("folder", make.root)
    assert not corpus.clips and kinds(corpus) == ["unsafe-name"]


def test_apex_at_the_onset_is_named_and_left_to_spotting(make, kinds) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", "path,subject,onset,apex,offset\na/take1,anna,3,3,9\n")
    corpus = load("folder", make.root)
    (clip,) = corpus.clips
    assert kinds(corpus) == ["apex-equals-onset"]
    assert (clip.onset, clip.apex, clip.offset, clip.apex_is_annotated) == (3, None, 9, False)


def test_back_slashes(make, kinds) -> None:
    make.frames("a/take1", range(1, 12))
    make.csv("clips.csv", "path,subject\na\\take1,anna\n..\\..\\etc,anna\n")
    corpus = load("folder", make.root)
    assert [(clip.clip_id, len(clip.source.frames or ())) for clip in corpus.clips] == [
        ("folder/anna/a-take1", 11)
    ]
    assert kinds(corpus) == ["unsafe-name"]


def test_copies_and_files_without_a_number(make, kinds) -> None:
    make.frames("a/take1", range(1, 6), "img{}.png")
    make.frames("a/take1", ["3 (1)", "4 - Copy"], "img{}.png")
    make.frames("a/take1", ["cover"], "{}.png")
    found = list_frames(make.root / "a/take1")
    assert found.numbers == [1, 2, 3, 4, 5] and found.unnumbered == ("cover.png",)
    assert found.copies == ("img3 (1).png", "img4 - Copy.png")
    make.frames("b/take2", ["7 (1)", "8"], "img{}.png")
    assert list_frames(make.root / "b/take2").numbers == [7, 8], "a copy whose original is gone"
    assert kinds(load("folder", make.root), "note") == ["left-out-frame"]


@pytest.mark.parametrize("name", ["face", "S01"])
def test_files_that_were_renamed_together_have_the_number_in_brackets(make, name: str) -> None:
    make.frames("a", range(1, 13), name + " ({}).jpg")
    found = list_frames(make.root / "a")
    assert found.numbers == list(range(1, 13)) and found.names[9] == f"{name} (10).jpg"
    assert found.copies == () and found.unnumbered == ()


def test_smic_names(make, kinds, by_id) -> None:
    make.frames("HS/s2/micro/negative/s2_ng_01", range(1, 5))
    make.frames("HS/s02/micro/positive/s02_po_01", range(1, 5))
    make.frames("HS/s2/micro/surprise/second one", range(1, 5))
    corpus = load("smic", make.root)
    assert sorted(by_id(corpus)) == ["smic/s2/s2_ne_01", "smic/s2/s2_po_01"]
    assert kinds(corpus) == ["unread-name"]


def test_contradictory_rows_are_reported_and_left_open(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "dataset,subject,filename,emotion,aus\nsamm,6,006_1_2,anger,4\nsamm,006,006_1_2,anger,7\n"
        "samm,6,006_1_3,anger,4\nsamm,6,006_1_3,anger,4\n"
    )
    first, second = read_annotations(path).clips.values()
    assert first.aus is None and first.emotion == "anger"
    assert first.problems == ["two values of aus: 4 in t.csv row 2, 7 in t.csv row 3"]
    assert numbers(second) == {4} and not second.problems


def test_rows_that_name_no_clip_are_named(make, kinds) -> None:
    make.csv("clips.csv", "path,subject,aus\na.avi,anna,4\n,ben,7\n,,\n,,sums to 2\n")
    corpus = load("folder", make.root)
    assert len(corpus.clips) == 1 and [fault.kind for fault in corpus.faults].count("unread-row") == 2
    assert "unread-row" in kinds(corpus) and kinds(corpus, "note") == ["unread-row"]
    assert any("clips.csv row 3 ('ben') lacks path" in fault.message for fault in corpus.faults)
    make.frames("coded/CASME2_RAW_selected/sub01/EP01_01", range(1, 12))
    row = [1, "EP01_01", None, 1, 5, 9, None, "4", "disgust"]
    make.casme2("coded/CASME2-coding-20140508.xlsx", [row, [*[None] * 5, 9, None, "4", None]])
    assert "unread-row" in kinds(load("casme2", make.root / "coded"))
