"""deft corpus list and check, correction files, table reading."""

from __future__ import annotations

import json

import pytest

from deft_llm.corpora import load, names
from deft_llm.corpora.base import safe_name, safe_path
from deft_llm.corpora.check import check
from deft_llm.corpora.frames import frame_number, list_frames
from deft_llm.corpora.overlays import read_overlay
from deft_llm.corpora.tables import cell_integer, cell_text, find_table
from deft_llm.errors import DeftError, UsageError
from deft_llm.records import loose, subject_number


@pytest.fixture
def casme2(make):
    make.casme2(
        "coding.xlsx",
        [
            [31, "EP41_02f", None, 10, 14, 20, None, "6+12", "happiness"],
            [31, "EP41_03", None, 10, 24, 20, None, "4", "disgust"],
        ],
    )
    for name in ("EP41_02f", "EP41_03"):
        make.frames(f"Cropped/sub31/{name}", range(5, 30))
    return make


def test_every_corpus_is_listed(run, capsys):
    assert run("corpus", "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (
        set(listed)
        == set(names())
        >= {
            "casme",
            "casme2",
            "casme_sq2",
            "casme3",
            "samm",
            "samm_lv",
            "smic",
            "smic_vis",
            "smic_nir",
            "mmew",
            "fourdme",
            "dfme",
            "folder",
            "flowmaps",
        }
    )
    assert all(len(about) > 20 for about in listed.values())


def test_check_prints_faults_and_exits_with_1(run, casme2, capsys):
    assert run("corpus", "check", "casme2", casme2.root) == 1
    out = capsys.readouterr().out
    assert "apex-outside" in out and "casme2/sub31/EP41_03" in out and "1 fault." in out
    assert "megc3: 2 clips of 1 subject (negative 1, positive 1)" in out


def test_check_json_is_only_json(run, casme2, capsys):
    assert run("corpus", "check", "casme2", casme2.root, "--json") == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["kinds"] == {"apex-outside": 1} and facts["clips"] == 2 and facts["with_annotated_apex"] == 1
    assert facts["labels"]["7"]["classes"] == {"disgust": 1, "happiness": 1}


def test_own_corrections_mend_it(run, casme2, capsys):
    path = casme2.csv(
        "mine.yaml",
        """
schema: 1
corpus: casme2
version: "1"
corrections:
  - {subject: 31, filename: EP41_03, field: apex, was: 24, value: 15, reason: checked on the frames}
  - {subject: 31, filename: EP41_02f, field: emotion, was: surprise, value: others, reason: from elsewhere}
""",
    )
    assert run("corpus", "check", "casme2", casme2.root, "--corrections", path) == 0
    assert "checked on the frames" in capsys.readouterr().out.replace("\n", " ")
    corpus = load("casme2", casme2.root, corrections=[path])
    by_name = {clip.clip_id[-7:]: clip for clip in corpus.clips}
    assert by_name["EP41_03"].apex == 10 and "mine.yaml 1" in corpus.coding
    assert corpus.clips[0].emotion == "happiness", "a correction of another edition is not applied"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 1\ncorpus: samm\nversion: '1'\ncorrections: []\n", "not of casme2"),
        ("schema: 9\ncorpus: casme2\nversion: '1'\ncorrections: []\n", "schema"),
        ("a: [", "not valid YAML"),
        (
            "schema: 1\ncorpus: casme2\nversion: '1'\ncorrections: [{subject: 1, filename: a, field: apex, "
            "was: 1, "
            "value: 2}]\n",
            "reason",
        ),
        (
            "schema: 1\ncorpus: casme2\nversion: '1'\ncorrections: [{subject: 1, filename: a, field: apex, "
            "value: 2, "
            "reason: because}]\n",
            "was and when",
        ),
        (
            "schema: 1\ncorpus: casme2\nversion: '1'\ncorrections: [{row: 4, field: apex, was: 1, value: 2, "
            "reason: because}]\n",
            "casme2.yaml",
        ),
    ],
)
def test_bad_correction_files(make, text, message):
    path = make.csv("casme2.yaml", text)
    with pytest.raises(DeftError, match=message):
        read_overlay(path, "casme2")


def test_order_is_checked_for_every_record(casme2):
    corpus = load("casme2", casme2.root)
    corpus.clips[0].offset = 99
    assert "casme2/sub31/EP41_02f" in {fault.clip_id for fault in check(corpus).faults}


def test_wrong_usage(run, make, capsys):
    assert run("corpus", "check", "casme2", make.root / "none") == 2
    assert run("corpus", "check", "CASMEII", make.root) == 2
    assert run("corpus", "check", "casme2", make.root, "--annotations", make.root / "none.xlsx") == 2
    with pytest.raises(UsageError, match="did you mean casme2"):
        load("CASME(2)", make.root)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "a\x00b", "a\\b", "c:x", "-rf"])
def test_unsafe_names(name):
    assert not safe_name(name)


def test_safe_paths(tmp_path):
    assert safe_path(tmp_path, "a/../b") == tmp_path / "b" == safe_path(tmp_path, "a\\..\\b")
    assert safe_name("EP02 01f")
    for path in ("../x", "a/../../x", "/etc/passwd", "", "..\\x", "C:\\x", "x\x00"):
        assert safe_path(tmp_path, path) is None


def test_names_and_numbers():
    assert loose("SUB01_EP02 ") == loose("sub1_ep2")
    same = ("sub07", "S7", "spNO.07", "Subject 7", "sub_7", "007", 7, 7.0)
    assert {subject_number(name) for name in same} == {"7"}
    others = ("A7", "B7", "C7", "7b", "S7-2", "anna")
    assert [subject_number(name) for name in others] == ["a7", "b7", "c7", "7b", "s7-2", "anna"]
    assert [frame_number(n) for n in ("img46.jpg", "006_05562.jpg", "reg_image013486.bmp", "x.png")] == [
        46,
        5562,
        13486,
        None,
    ]
    assert [cell_text(c) for c in (None, 3.0, " a\xa0", float("nan"), 2.5)] == ["", "3", "a", "", "2.5"]
    assert [cell_integer(c) for c in ("12", 12.0, "/", None, "1.5")] == [12, 12, None, None, None]


def test_repeated_and_hidden_frames(make):
    make.frames("x", ["1", "01", "2", "10"], "img{}.jpg")
    make.frames("x", ["3"], "._img{}.jpg")
    (make.root / "x" / "img4.jpg").symlink_to("img4.jpg")
    found = list_frames(make.root / "x")
    assert found.numbers == [1, 1, 2, 10] and found.repeated == [1] and found.gaps == [2]
    assert list_frames(make.root / "none").names == []


def test_header_is_found_below_notes_and_remarks_are_skipped(make):
    above = [["x"], ["Subject of these notes", None], [None, None]]
    path = make.xlsx(
        "t.xlsx", [["Subject", "Filename"], [1, "a"], [None, None], ["a remark", None]], above=above
    )
    table = find_table(path, {"subject": ("Subject",), "filename": ("Filename",)}, ("subject", "filename"))
    assert [(row.number, row.text("filename")) for row in table.rows] == [(5, "a")]


def test_empty_files_are_named(casme2):
    (casme2.root / "Cropped/sub31/EP41_02f/img9.jpg").write_bytes(b"")
    assert "empty-file" in {fault.kind for fault in check(load("casme2", casme2.root)).faults}
