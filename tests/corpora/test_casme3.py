"""CAS(ME)^3 parts A and C and CAS(ME)^2: zero indices, typos, missing apexes, tables without header."""

from __future__ import annotations

import pytest

from deft_llm.benchmark.spotting import videos_of
from deft_llm.corpora import load
from deft_llm.errors import DeftError
from deft_llm.prepare.sources import source_files

HEADER_A = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]


@pytest.fixture
def part_a(make):
    rows = [
        ["spNO.301", "a", 355, 360, 371, "4+7", "III", "disgust"],
        ["spNO.301", "a", 390, 394, 402, "1+2", "II", "surprise"],  # two in one video
        ["spNO.301", "J", 40, 40, 52, "5", "II", "fear"],  # upper-case J, apex at the onset
        ["spNO.302", "b", 112, 83, 158, "4", "III", "Others"],  # apex before onset, capital Others
        ["spNO.302", "c", 60, 66, 0, "6+12", "I", "happy"],  # offset 0
        ["spNO.302", "d", 0, 4, 9, "4/9", "IV", "anger"],  # counted from 0, frames from 1
        ["spNO.302", "e", 3647, 2668, 2694, "4", "III", "sad"],  # onset is a typing slip
        ["spNO.303", "f", 10, 14, 20, "4", "III", "disgust"],  # a cut-out clip instead of the long video
    ]
    make.xlsx("annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [HEADER_A, *rows], sheet="label")
    for subject, letters in (("spNo.301", "aJ"), ("spNo.302", "bcd")):
        for letter in letters:
            make.frames(f"part_A_split/part_A/{subject}/{letter}/color", range(1, 420), "{}.jpg")
            make.frames(f"part_A_split/part_A/{subject}/{letter}/depth", range(1, 420), "{}.png")
    make.frames("part_A_split/part_A/spNo.302/e/color", range(2600, 2700), "{}.jpg")
    for kind in ("frame", "depth"):
        make.frames(f"Part_A_ME_clip/{kind}/spNO.303_f_10", range(10, 21), "{}.jpg")
    return make


def test_part_a(part_a, kinds, by_id):
    corpus = load("casme3", part_a.root)
    clips = by_id(corpus)
    first = clips["casme3/spNO.301/a_355"]
    assert (first.subject, first.emotion, first.objective, first.fps) == (
        "casme3/spNO.301",
        "disgust",
        "III",
        30.0,
    )
    assert first.source.path.endswith("spNo.301/a/color") and first.source.frames[first.onset] == "355.jpg"
    assert first.source.frames[first.apex] == "360.jpg" and len(first.source.frames) == 17 + 2 * 3
    assert "casme3/spNO.301/a_390" in clips and "casme3/spNO.301/j_40" in clips
    assert clips["casme3/spNO.301/j_40"].apex is None
    assert (clips["casme3/spNO.302/b_112"].emotion, clips["casme3/spNO.302/b_112"].apex) == ("others", None)
    held = clips["casme3/spNO.302/c_60"]
    assert held.offset == held.apex and held.emotion == "happiness"
    zero = clips["casme3/spNO.302/d_0"]
    assert zero.onset == 0 and zero.source.frames[0] == "1.jpg"
    slip = clips["casme3/spNO.302/e_3647"]
    assert slip.onset is None and slip.apex is not None
    cut = clips["casme3/spNO.303/f_10"]
    assert cut.source.path == "Part_A_ME_clip/frame/spNO.303_f_10" and len(cut.source.frames) == 11
    assert kinds(corpus) == ["apex-outside", "onset-outside"]
    assert {"corrected", "offset-zero", "zero-index"} <= set(kinds(corpus, "note"))


def test_part_a_known_slip_is_corrected_from_the_owners_other_table(make, by_id, kinds):
    rows = [["spNO.216", "d", 9999, 2668, 2694, "4", "III", "sad"]]
    make.xlsx("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [HEADER_A, *rows], sheet="label")
    make.frames("part_A/spNO.216/d/color", range(2600, 2700), "{}.jpg")
    clip = load("casme3", make.root).clips[0]
    assert clip.source.frames[clip.onset] == "2647.jpg"


def test_first_edition_is_named_as_superseded(make, kinds):
    rows = [["spNO.301", "a", 5, 6, 9, "4", "III", "sad", None, "x"]]
    make.xls("cas(me)3_part_A_ME_label_JpgIndex.xls", [[*HEADER_A, None, None], *rows], sheet="label")
    make.frames("part_A/spNO.301/a/color", range(1, 20), "{}.jpg")
    corpus = load("casme3", make.root)
    assert "superseded" in kinds(corpus, "note") and len(corpus.clips) == 1


def test_part_c(make, kinds, by_id):
    header = ["sub", "count", "onset", "offset", "au", "emotion"]
    rows = [
        [7, 1, 100, 111, "4,7,", "negative"],
        [7, 2, 200, 209, "1，2", "surprise"],
        [8, 1, 30, 41, "13?", "others"],
        [8, 2, 60, 71, "6,12", "positive"],
    ]
    make.xlsx("CAS(ME)3_part_C_ME.xlsx", [header, *rows])
    for person, count in ((7, 1), (7, 2), (8, 1), (8, 2)):
        make.frames(f"part_C/{person}/{count}/color", range(1, 260), "{}.jpg")
    corpus = load("casme3", make.root)
    clips = by_id(corpus)
    first = clips["casme3/C7/1"]
    assert first.subject == "casme3/C7", "other people than part A's"
    assert (first.emotion, first.coarse, first.apex) == (None, "negative", None)
    assert [unit.number for unit in first.aus] == [4, 7]
    assert [unit.number for unit in clips["casme3/C7/2"].aus] == [1, 2]
    assert clips["casme3/C8/1"].aus[0].certain is False and clips["casme3/C8/1"].emotion == "others"
    assert kinds(corpus) == []


def test_casme3_without_tables(make):
    with pytest.raises(DeftError, match="annotation table"):
        load("casme3", make.root)


@pytest.fixture
def square(make):
    """CAS(ME)^2: no header; rules for subjects and videos on two further sheets."""
    coding = [
        [1, "disgust1_1", 557, 572, 608, "4+9", "negative", "macro-expression", "disgust"],
        [1, "disgust1_2", 50, 55, 61, 4, "negative", "micro-expression", "disgust"],
        [2, "happy4_1", 20, 24, 0, "6+12", "happyiness", "micro-expression", "happy"],  # offset 0, a slip
        [2, "anger1_3", 30, 33, 40, "4", "others", "micro-expression", None],
        [9, "anger1_3", 30, 33, 40, "4", "negative", "micro-expression", None],  # nobody's number
    ]
    make.xlsx(
        "CAS(ME)^2code_final.xlsx",
        coding,
        sheet="CASFEcode_final",
        naming_rule2=[[None, "s45", 1], [None, "s46", 2]],
        naming_rule1=[[101, "disgust1"], ["0503", "happy4"], ["0401", "anger1"]],
    )
    make.frames("rawpic/s45/45_0101disgustingteeth", [f"{n:03d}" for n in range(1, 1101)], "img{}.jpg")
    make.frames("rawpic/s46/46_0503unnyfarting", [f"{n:03d}" for n in range(1, 100)], "img{}.jpg")
    make.frames("selectedpic/s46/anger1_3", range(30, 41), "img{}.jpg")
    return make


def test_casme_sq2(square, kinds, by_id):
    corpus = load("casme_sq2", square.root)
    clips = by_id(corpus)
    assert sorted(clips) == ["casme_sq2/s45/disgust1_2", "casme_sq2/s46/anger1_3", "casme_sq2/s46/happy4_1"]
    first = clips["casme_sq2/s45/disgust1_2"]
    assert (first.coarse, first.emotion, first.fps, first.subject) == (
        "negative",
        None,
        30.0,
        "casme_sq2/s45",
    )
    assert first.source.frames[first.apex] == "img055.jpg" and first.aus[0].number == 4
    held = clips["casme_sq2/s46/happy4_1"]
    assert held.coarse == "positive" and held.offset == held.apex
    other = clips["casme_sq2/s46/anger1_3"]
    assert (other.emotion, other.coarse) == (
        "others",
        None,
    ) and other.source.path == "selectedpic/s46/anger1_3"
    assert kinds(corpus) == ["unknown-subject"]
    assert kinds(corpus, "note") == ["left-out", "offset-zero", "spelling"]


def test_a_clip_of_a_long_video_is_cut_around_what_is_known(make, kinds, by_id):
    """Never the whole video: its spotting would find any movement."""
    rows = [
        ["spNO.301", "a", 900, 200, 215, "4", "III", "sad"],  # the onset is a typing slip
        ["spNO.301", "b", 900, 910, 920, "4", "III", "sad"],  # of another video
    ]
    make.xlsx("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [HEADER_A, *rows], sheet="label")
    for letter in "ab":
        make.frames(f"part_A/spNO.301/{letter}/color", range(1, 420), "{}.jpg")
    corpus = load("casme3", make.root)
    clips = by_id(corpus)
    cut = clips["casme3/spNO.301/a_900"]
    assert cut.onset is None and cut.source.frames[cut.apex] == "200.jpg"
    assert (cut.source.frames[0], cut.source.frames[-1]) == ("185.jpg", "218.jpg")  # half a second before
    lost = clips["casme3/spNO.301/b_900"]
    assert lost.source.frames is None and lost.apex is None
    assert kinds(corpus) == ["apex-outside", "offset-outside", "onset-outside", "unplaced"]
    with pytest.raises(DeftError, match="no frames of it were found .*'deft corpus check' says why"):
        source_files(make.root, lost)
    videos, left_out = videos_of(corpus, "megc3")
    assert videos == [] and set(left_out) == set(clips), "what is in these videos is not known"


def test_no_copy_of_an_annotated_video_is_an_empty_one(make):
    rows = [["spNO.301", "a", 10, 14, 20, "4", "III", "sad"]]
    make.xlsx("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [HEADER_A, *rows], sheet="label")
    for root in ("part_A", "backup/part_A"):
        for letter in "ab":
            make.frames(f"{root}/spNO.301/{letter}/color", range(1, 30), "{}.jpg")
    make.frames("Part_A_ME_clip/frame/spNO.301_a_10", range(10, 21), "{}.jpg")
    found = [(clip.subject, clip.source.path) for clip in load("casme3", make.root).empty_videos]
    assert found == [("casme3/spNO.301", "part_A/spNO.301/b/color")]


def test_empty_videos_of_casme_sq2_are_those_that_no_row_may_mean(make, kinds):
    coding = [
        [1, "disgust1_2", 50, 55, 61, 4, "negative", "micro-expression", "disgust"],
        [9, "anger1_3", 30, 33, 40, "4", "negative", "micro-expression", None],  # nobody's number
    ]
    rules = {
        "naming_rule2": [[None, "s45", 1], [None, "s46", 2]],
        "naming_rule1": [[101, "disgust1"], ["0401", "anger1"], ["0502", "happy2"]],
    }
    make.xlsx("CAS(ME)^2code_final.xlsx", coding, sheet="CASFEcode_final", **rules)
    for pack in ("cropped", "rawpic"):
        for video in ("s45/45_0101disgustingteeth", "s46/46_0401anger", "s46/46_0502happy"):
            make.frames(f"{pack}/{video}", [f"{n:03d}" for n in range(1, 80)], "img{}.jpg")
    corpus = load("casme_sq2", make.root)
    assert [clip.source.path for clip in corpus.empty_videos] == ["rawpic/s46/46_0502happy"]
    assert kinds(corpus) == ["unknown-subject"]
