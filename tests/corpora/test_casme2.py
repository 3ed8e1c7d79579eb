"""CASME II and CASME: blank columns, mixed cells, two codings, apexes that cannot be, two cameras."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load
from deft_llm.corpora.tables import find_table, read_sheets
from deft_llm.errors import DeftError

ROWS = [
    [31, "EP41_02f", None, 46, 59, 86, None, "4+L10", "disgust"],
    [31, "EP46_02_01", None, 5, 25, 40, None, 12, "happiness"],  # AU is a number, an extra part in the name
    [32, "EP43_07", None, 100, "/", 140, None, "4 or 7", "others"],  # apex is "/"
    [32, "EP49_05f", None, 69, 69, 123, None, "?", "others"],  # apex is the onset, AU unknown
    [33, "EP48_01", None, 10, 30, 30, None, "R14", "repression"],  # apex is the offset: allowed
]


@pytest.fixture
def corpus2014(make):
    make.casme2("CASME2-coding-20140508.xlsx", ROWS)
    for row in ROWS:
        folder = f"CASME2_RAW_selected/sub{row[0]:02d}/{row[1]}"
        make.frames(folder, range(max(1, row[3] - 5), row[5] + 6))
        make.frames(f"Cropped/sub{row[0]:02d}/{row[1]}", range(row[3], row[5] + 1), "reg_img{}.jpg")
    return make


def test_records_and_faults(corpus2014, kinds, by_id):
    corpus = load("casme2", corpus2014.root)
    clips = by_id(corpus)
    first = clips["casme2/sub31/EP41_02f"]
    assert (first.subject, first.fps, first.emotion, first.coarse) == (
        "casme2/sub31",
        200.0,
        "disgust",
        "negative",
    )
    assert (first.onset, first.apex, first.offset, first.apex_is_annotated) == (5, 18, 45, True)
    assert first.source.path == "CASME2_RAW_selected/sub31/EP41_02f" and first.source.frames[5] == "img46.jpg"
    assert [(unit.number, unit.side) for unit in first.aus] == [(4, "both"), (10, "left")]
    assert clips["casme2/sub31/EP46_02_01"].aus[0].number == 12
    missing = clips["casme2/sub32/EP43_07"]
    assert missing.apex is None and not missing.apex_is_annotated and missing.onset == 5
    assert clips["casme2/sub32/EP49_05f"].apex is None
    late = clips["casme2/sub33/EP48_01"]
    assert late.apex == late.offset
    assert kinds(corpus) == ["apex-equals-onset", "apex-missing", "unread-aus"]
    assert "2014 coding" in corpus.coding and "5 rows" in corpus.coding and "sha256" in corpus.coding


def test_frames_are_sorted_by_number_not_by_letters(corpus2014, by_id):
    clip = by_id(load("casme2", corpus2014.root))["casme2/sub32/EP43_07"]
    assert clip.source.frames[:2] == ["img95.jpg", "img96.jpg"] and clip.source.frames[5] == "img100.jpg"


def test_the_2019_coding_wins_and_differences_are_told(corpus2014, kinds, by_id):
    rows = [[*row, 3] for row in ROWS]
    rows[0][8], rows[1][7] = "surprise", "6+12"
    corpus2014.casme2("CASME2-coding-20190701.xlsx", rows)
    corpus = load("casme2", corpus2014.root)
    clip = by_id(corpus)["casme2/sub31/EP41_02f"]
    assert (clip.emotion, clip.objective) == ("surprise", "III") and "2019 coding" in clip.coding
    told = [fault.message for fault in corpus.faults if fault.kind == "other-coding"]
    assert len(told) == 1 and "1 emotions, 1 AU strings, 0 apexes" in told[0]
    chosen = load("casme2", corpus2014.root, corpus2014.root / "CASME2-coding-20140508.xlsx")
    assert by_id(chosen)["casme2/sub31/EP41_02f"].emotion == "disgust"


def test_disk_faults_are_named(corpus2014, kinds, by_id):
    root = corpus2014.root
    for folder in ("CASME2_RAW_selected/sub31/EP41_02f", "Cropped/sub31/EP41_02f"):
        (root / folder / ("img60.jpg" if "RAW" in folder else "reg_img60.jpg")).unlink()
    import shutil

    for folder in ("CASME2_RAW_selected", "Cropped"):
        shutil.rmtree(root / folder / "sub31" / "EP46_02_01")
    for path in (root / "CASME2_RAW_selected/sub33/EP48_01").iterdir():
        path.unlink()
    corpus2014.frames("CASME2_RAW_selected/sub34/EP47_01", range(3))
    corpus = load("casme2", root)
    assert {"frame-gap", "missing-frames", "empty-folder"} <= set(kinds(corpus))
    assert "not-annotated" in kinds(corpus, "note")
    assert by_id(corpus)["casme2/sub31/EP46_02_01"].source.frames is None, "its label still counts"


def test_table_faults_are_named(make, kinds):
    rows = [
        [31, "EP41_02f", None, 46, 59, 86, None, "4", "disgust"],
        [31, "EP41_02f", None, 46, 59, 86, None, "4", "disgust"],
        [31, "../../EP1", None, 1, 2, 3, None, "4", "disgust"],
        [31, "EP44_01", None, 50, 20, 90, None, "4+zz", "bliss"],
        [31, "EP45_01", None, 50, 60, 40, None, "4", "disgust"],
        [31, "EP45_02", None, 50, 60, 900, None, "4", "disgust"],
    ]
    make.casme2("CASME2-coding-20140508.xlsx", rows)
    for name in ("EP41_02f", "EP44_01", "EP45_01", "EP45_02"):
        make.frames(f"Cropped/sub31/{name}", range(40, 100))
    expected = "apex-outside duplicate-clip offset-outside unknown-label unread-aus unsafe-name"
    assert kinds(load("casme2", make.root)) == expected.split()


def test_xls_and_csv_read_the_same(make, by_id):
    xlsx = make.casme2("c/coding.xlsx", ROWS)
    rows = next(iter(read_sheets(xlsx).values()))
    xls = make.xls("a/CASME2_label_Ver_2.xls", rows)
    text = "\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in rows)
    csv = make.csv("b/coding.csv", text)
    found = [by_id(load("casme2", make.root, path)) for path in (xls, csv, xlsx)]
    for clips in found[1:]:
        assert {k: (c.aus, c.emotion) for k, c in clips.items()} == {
            k: (c.aus, c.emotion) for k, c in found[0].items()
        }


def test_unreadable_tables(corpus2014, make, kinds):
    (make.root / "CASME2-coding-20190701.xlsx").write_bytes(b"PK\x03\x04 broken")
    corpus = load("casme2", make.root)
    assert "unreadable-table" in kinds(corpus) and len(corpus.clips) == 5
    (make.root / "CASME2-coding-20140508.xlsx").write_bytes(b"nothing")
    with pytest.raises(DeftError, match="cannot be read"):
        load("casme2", make.root)
    with pytest.raises(DeftError, match="cannot be read"):
        read_sheets(make.root / "CASME2-coding-20140508.xlsx")
    with pytest.raises(DeftError, match="no sheet"):
        find_table(make.csv("x.csv", "a,b\n1,2\n"), {"a": ("other",)}, ("a",))


def test_shipped_corrections_turn_known_faults_into_notes(make, kinds, by_id):
    rows = [
        [4, "EP12_01f", None, 1, "/", 20, None, "4", "disgust"],
        [5, "EP09_05f", None, 1, 1, 20, None, "4", "disgust"],
    ]
    make.casme2("CASME2-coding-20190701.xlsx", rows)
    for row in rows:
        make.frames(f"Cropped/sub{row[0]:02d}/{row[1]}", range(1, 21))
    corpus = load("casme2", make.root)
    assert kinds(corpus) == [] and kinds(corpus, "note") == ["corrected"]
    assert all(clip.apex is None and "corrected: apex" in clip.notes[0] for clip in corpus.clips)
    assert "2 corrections (2026.11)" in corpus.coding


def test_casme_two_apex_columns_and_subjects_apart_from_casme2(make, kinds, by_id):
    header = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", "AU", "Emotion"]
    rows = [
        [31, "EP41_2", None, 10, 14, 16, 22, "4+7", "tense"],
        [31, "EP41_3", None, 10, 14, 14, 22, 1, "contempt"],
        [32, "EP42_1", None, 10, 9, "/", 22, "12", "happiness"],
    ]
    make.xlsx("casme.xlsx", [header, *rows])
    for row in rows:
        make.frames(f"CASME_raw_selected/sub{row[0]}/{row[1]}", range(1, 31), f"{row[1]}-{{}}.jpg")
    corpus = load("casme", make.root)
    clips = by_id(corpus)
    first = clips["casme/sub31/EP41_2"]
    assert (first.subject, first.fps, first.apex, first.emotion, first.coarse) == (
        "casme/sub31",
        60.0,
        13,
        "tense",
        None,
    )
    assert first.notes == ["second apex in the table: 16"] and clips["casme/sub31/EP41_3"].notes == []
    assert kinds(corpus) == ["apex-outside"]
