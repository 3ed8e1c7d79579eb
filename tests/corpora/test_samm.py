"""SAMM and SAMM Long Videos: notes above the header, integer subjects, impossible rows, joined emotions."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load

ROWS = [
    [6, "006_7_2", 7, 5562, 5588, 5632, 71, "Micro - 1/2", "4D+ref(6)+7C+43E", "Anger", 3, None],
    [6, "006_7_3", 7, 62, 80, 99, 38, "Micro - 1/2", "A12B", "Happiness", 1, None],
    [45, "045_4_1", 4, 1071, 1143, 1134, 64, "Micro - 1/2", "L14", "Other", 7, "x"],  # apex after the offset
    [45, "045_3_1", 3, 4896, 1930, 4970, 75, "Micro - 1/2", 12, "Contempt", 7, None],  # apex far before
]


@pytest.fixture
def samm(make):
    make.samm("SAMM_Micro_FACS_Codes_v2.xlsx", ROWS)
    for row in ROWS:
        width = 5 if row[3] > 1000 else 4
        numbers = [str(number).zfill(width) for number in range(row[3], row[5] + 1)]
        make.frames(f"SAMM/{row[0]:03d}/{row[1]}", numbers, f"{row[0]:03d}_{{}}.jpg")
    return make


def test_records(samm, kinds, by_id):
    corpus = load("samm", samm.root)
    clips = by_id(corpus)
    first = clips["samm/006/006_7_2"]
    assert (first.subject, first.emotion, first.objective) == ("samm/006", "anger", "III")
    assert (first.onset, first.apex, first.offset) == (0, 26, 70) and first.source.frames[
        0
    ] == "006_05562.jpg"
    assert [(u.number, u.referred, u.intensity) for u in first.aus] == [
        (4, False, "D"),
        (6, True, None),
        (7, False, "C"),
        (43, False, "E"),
    ]
    second = clips["samm/006/006_7_3"]
    assert second.aus[0].side == "asymmetric" and second.source.frames[0] == "006_0062.jpg"
    assert clips["samm/045/045_4_1"].emotion == "others" and clips["samm/045/045_4_1"].coarse is None
    assert kinds(corpus) == ["apex-outside"] and clips["samm/045/045_3_1"].apex is None
    assert "spelling" not in kinds(corpus, "note")


def test_objective_class_against_aus_and_label_against_aus(make, kinds):
    rows = [
        [6, "006_1_9", 1, 1, 5, 9, 9, "Micro - 1/2", "4", "Happiness", 1, None],
        [6, "007_1_8", 1, 1, 5, 9, 12, "Micro - 1/2", "6+12", "Disgust", 1, None],
    ]
    make.samm("SAMM.xlsx", rows)
    for row in rows:
        make.frames(f"SAMM/006/{row[1]}", range(1, 10), "x_{}.jpg")
    corpus = load("samm", make.root)
    assert kinds(corpus) == ["subject-differs"]
    assert kinds(corpus, "note") == ["duration-differs", "label-against-aus", "objective-differs"]


def test_shipped_corrections(make, kinds):
    rows = [
        [28, "028_4_1", 4, 10, 50, 40, 31, "Micro - 1/2", "4", "Anger", 3, None],
        [32, "032_3_1", 3, 100, 3, 140, 41, "Micro - 1/2", "4", "Anger", 3, None],
    ]
    make.samm("SAMM.xlsx", rows)
    make.frames("SAMM/028/028_4_1", range(10, 41), "028_{}.jpg")
    make.frames("SAMM/032/032_3_1", range(100, 141), "032_{}.jpg")
    corpus = load("samm", make.root)
    assert kinds(corpus) == [] and [clip.apex for clip in corpus.clips] == [None, None]


def test_long_videos(samm, kinds, by_id):
    header = [
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset",
        "Apex",
        "Offset",
        "Duration",
        "Type",
        "Action Units",
        "Notes",
    ]
    rows = [
        [6, "006_7_2", 7, 5562, 5588, 5632, 71, "Micro - 1/2", "4(B/C)+7B", None],
        [6, "006_7_3", 7, 70, 80, 99, 30, "Micro - 1/2", "12", None],  # another onset than SAMM's table
        [6, "006_7_4", 7, 200, 300, 400, 201.5, "Macro", "12", None],
        [6, "006_7_9", 7, 0, 20, 40, 41, "Micro - 1/2", "12", None],  # onset 0; not in SAMM's table
    ]
    above = [[f"about {number}"] for number in range(9)]
    samm.xlsx("SAMM_LongVideos_V2_Release.xlsx", [header, *rows], above=above)
    samm.frames(
        "SAMM_longvideos/006_7",
        [str(n).zfill(4) for n in [*range(1, 150), *range(5500, 5700)]],
        "006_7_{}.jpg",
    )
    samm.frames("SAMM_longvideos/007_1", ["0001", "0002"], "007_1_{}.jpg")
    corpus = load("samm_lv", samm.root)
    clips = by_id(corpus)
    assert [(v.subject, v.source.path) for v in corpus.empty_videos] == [
        ("samm/007", "SAMM_longvideos/007_1")
    ]
    assert sorted(clips) == ["samm_lv/006/006_7_2", "samm_lv/006/006_7_3", "samm_lv/006/006_7_9"]
    first = clips["samm_lv/006/006_7_2"]
    assert first.subject == "samm/006", "the same people as SAMM: folds must keep them together"
    assert first.emotion == "anger" and first.aus[0].alternatives[0].intensity == "C"
    assert len(first.source.frames) == 71 + 2 * 20 and (first.onset, first.apex, first.offset) == (20, 46, 90)
    assert kinds(corpus) == ["not-joined", "onset-differs"]
    assert {"left-out", "zero-index"} <= set(kinds(corpus, "note"))
    alone = load("samm_lv", samm.root, samm.root / "SAMM_LongVideos_V2_Release.xlsx")
    assert len(alone.clips) == 3


def test_no_copy_of_an_annotated_long_video_is_an_empty_one(make):
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units"]
    make.xlsx("SAMM_LongVideos_V2_Release.xlsx", [header, [6, "006_7_2", 20, 30, 40, "Micro - 1/2", "12"]])
    for root in ("SAMM_longvideos", "backup/SAMM_longvideos"):
        for video in ("006_7", "007_1"):
            make.frames(f"{root}/{video}", [f"{n:04d}" for n in range(1, 60)], video + "_{}.jpg")
    found = [(clip.subject, clip.source.path) for clip in load("samm_lv", make.root).empty_videos]
    assert found == [("samm/007", "SAMM_longvideos/007_1")]
