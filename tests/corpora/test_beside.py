"""What owners deliver beside the table that counts, and other names for the same things."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load

PART_A = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]


def casme2_clip(make, folder="CASME2_RAW_selected", form="img{}.jpg"):
    make.casme2("CASME2-coding-20190701.xlsx", [[31, "EP41_02f", None, 46, 59, 86, None, "4", "disgust", 3]])
    make.frames(f"{folder}/sub31/EP41_02f", range(40, 90), form)


def test_casme2_objective_classes_alone_are_no_coding(make, kinds):
    casme2_clip(make)
    make.xlsx(
        "CASME2-ObjectiveClasses.xlsx", [["Subject", "Filename", "Objective Class"], [31, "EP41_02f", 7]]
    )
    make.csv("combined_3class_gt.csv", "casme2,sub31,EP41_02f,0\n")
    corpus = load("casme2", make.root)
    assert kinds(corpus) == [] and kinds(corpus, "note") == []
    assert [clip.objective for clip in corpus.clips] == ["III"]


@pytest.mark.parametrize(
    ("folder", "form"),
    [("CASME2-RAW", "img{}.jpg"), ("CASME2_RAW_selected", "img{}.jpg"), ("Cropped", "reg_img{}.jpg"),
     ("cropped", "reg_img{}.JPG")],
)  # fmt: skip
def test_casme2_folder_names(make, kinds, folder, form):
    casme2_clip(make, folder, form)
    (clip,) = load("casme2", make.root).clips
    assert clip.source.frames[clip.onset] == form.format(46)


def test_subjects_of_two_corpora_with_one_name_stay_apart(make):
    casme2_clip(make)
    header = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", "AU", "Emotion"]
    make.xlsx("casme.xlsx", [header, [31, "EP41_2", None, 10, 14, 16, 22, "4", "disgust"]])
    make.frames("CASME_raw_selected/sub31/EP41_2", range(1, 31), "{}.jpg")
    one, two = load("casme2", make.root).clips[0], load("casme", make.root).clips[0]
    assert (one.subject, two.subject) == ("casme2/sub31", "casme/sub31")


@pytest.mark.parametrize(("form", "width"), [("crop_{}.jpg", 4), ("006_{}.jpg", 5), ("006_{}.jpg", 6)])
def test_samm_crops_and_padding(make, kinds, form, width):
    row = [6, "006_7_2", 7, 562, 588, 632, 71, "Micro - 1/2", "4", "Anger", 3, None]
    make.samm("SAMM_Micro_FACS_Codes_v2.xlsx", [row])
    numbers = [str(number).zfill(width) for number in range(562, 633)]
    make.frames("SAMM_CROP/006/006_7_2", numbers, form)
    corpus = load("samm", make.root)
    assert kinds(corpus) == []
    assert corpus.clips[0].source.frames[26] == form.format("588".zfill(width))


def test_samm_values_that_are_possible_are_left_as_the_owners_wrote_them(make, kinds):
    """Others change this apex and this offset; the table's own are not impossible."""
    rows = [[32, "032_3_2", 3, 5100, 5127, 5160, 61, "Micro - 1/2", "4", "Anger", 3, None],
            [13, "013_1_9", 1, 200, 230, 260, 61, "Micro - 1/2", "4", "Anger", 3, None]]  # fmt: skip
    make.samm("SAMM.xlsx", rows)
    for row in rows:
        make.frames(f"SAMM/{row[0]:03d}/{row[1]}", range(row[3], row[5] + 1), "x_{}.jpg")
    corpus = load("samm", make.root)
    assert kinds(corpus) == [] and kinds(corpus, "note") == []
    assert sorted((clip.apex, clip.offset) for clip in corpus.clips) == [(27, 60), (30, 60)]


def test_smic_uses_the_table_that_is_not_the_original_edition(make, kinds):
    header = ["Subject", "Filename", "FirstF", "OnsetF", "OffsetF", "Emotion"]
    make.xlsx("SMIC-HS-E_annotation_orig.xlsx", [header, [1, "s1_ne_01", 100, 101, 105, "negative"]])
    make.xlsx("SMIC-HS-E_annotation.xlsx", [header, [1, "s1_ne_01", 100, 103, 108, "negative"]])
    make.frames("SMIC_HS_E/s1/s1_ne_01", range(100, 115), "img{}.jpg")
    corpus = load("smic", make.root)
    assert [(clip.onset, clip.offset) for clip in corpus.clips] == [(3, 8)]
    assert "orig" not in corpus.coding and kinds(corpus) == []


def test_casme3_other_tables_of_the_owners_are_not_mistaken(make, kinds):
    row = ["spNO.301", "a", 355, 360, 371, "4", "III", "disgust"]
    make.xlsx("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [PART_A, row], sheet="label")
    both = [*PART_A[:6], "Expression type", PART_A[6]]
    make.xls("CAS(ME)3_part_A_v2.xls", [both, ["spNO.301", "a", 1, 5, 90, "12", "macro", "I"]], "AU+Emotion")
    risks = ["Subject", "Onset", "Offset", "diff", "Exp_type", "risk"]
    make.xls("CAS(ME)3_part_C.xls", [risks, [7, 100, 140, 40, 1, 0]])
    make.csv("exception/error_info_damaged_image_partA.txt", "spNO.3 J\n")
    make.frames("part_A/spNO.301/a/color", range(300, 400), "{}.jpg")
    corpus = load("casme3", make.root)
    assert [clip.clip_id for clip in corpus.clips] == ["casme3/spNO.301/a_355"] and kinds(corpus) == []


def test_casme3_both_zero_and_dropped_frames(make, kinds, by_id):
    """Onset and apex 0 where frames begin at 1; a long video with frames that the recorder dropped."""
    rows = [
        ["spNO.301", "e", 0, 0, 9, "4", "III", "disgust"],
        ["spNO.301", "f", 30, 34, 40, "4", "III", "sad"],
    ]
    make.xlsx("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [PART_A, *rows], sheet="label")
    make.frames("part_A/spNO.301/e/color", range(1, 30), "{}.jpg")
    make.frames("part_A/spNO.301/f/color", [n for n in range(1, 60) if n not in (36, 37)], "{}.jpg")
    corpus = load("casme3", make.root)
    clips = by_id(corpus)
    first = clips["casme3/spNO.301/e_0"]
    assert (first.onset, first.apex) == (0, None) and first.source.frames[0] == "1.jpg"
    second = clips["casme3/spNO.301/f_30"]
    assert second.source.frames[second.apex] == "34.jpg" and second.source.frames[second.offset] == "40.jpg"
    assert [fault.clip_id for fault in corpus.faults if fault.kind == "frame-gap"] == ["casme3/spNO.301/f_30"]
    assert {"corrected", "zero-index"} <= set(kinds(corpus, "note"))


def test_casme_sq2_cropped_and_updated(make, kinds):
    coding = [[1, "disgust1_2", 50, 55, 61, 4, "negative", "micro-expression", "disgust"]]
    rules = {"naming_rule2": [[None, "s45", 1]], "naming_rule1": [[101, "disgust1"]]}
    make.xlsx("CAS(ME)^2code_final(Updated).xlsx", coding, sheet="CASFEcode_final", **rules)
    make.frames("cropped/s45/45_0101disgustingteeth", [f"{n:03d}" for n in range(40, 80)], "img{}.jpg")
    corpus = load("casme_sq2", make.root)
    (clip,) = corpus.clips
    assert clip.source.frames[clip.apex] == "img055.jpg" and kinds(corpus) == []


def test_fourdme_extras_do_not_replace_the_release(make, kinds):
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive", "Negative"]
    row = ["sub41", "41_a_7", "Negative", 10, 15, 22, "AU4(k)", 0, 1]
    make.xlsx("4DME_Labelling_Micro_release v1.xlsx", [header, row])
    make.xlsx(
        "4DME_Labelling_Micro_extras v1.xlsx", [header, ["sub41", "41_z_7", "Positive", 1, 2, 3, "12", 1, 0]]
    )
    make.frames("gray/sub41/41_a_7", range(5, 30), "{}.jpg")
    corpus = load("fourdme", make.root)
    assert [clip.clip_id for clip in corpus.clips] == ["fourdme/sub41/41_a_7"] and kinds(corpus) == []
