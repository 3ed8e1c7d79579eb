"""SMIC: labels of folder names, no apex, three cameras, SMIC-E tables with remarks below."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load
from deft_llm.errors import DeftError


def clip(make, folder, count=12, start=13480, suffix="bmp"):
    make.frames(folder, [f"{n:06d}" for n in range(start, start + count)], f"reg_image{{}}.{suffix}")


def test_folder_names_are_the_labels(make, kinds, by_id):
    clip(make, "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01")
    clip(make, "SMIC_all_cropped/HS/s01/micro/surprise/s01_sur_02")
    clip(make, "SMIC_all_cropped/HS/s20/micro/positive/s20_po_11")
    clip(make, "SMIC_all_cropped/HS/s20/non_micro/positive/s20_po_12")
    clip(make, "SMIC_all_cropped/VIS/s11/micro/negative/s11_ne_01", 6)
    clip(make, "SMIC_all_cropped/NIR/s11/micro/positive/s11_ne_02", 6)  # wrong folder
    corpus = load("smic", make.root)
    clips = by_id(corpus)
    assert {key: c.coarse for key, c in clips.items()} == {
        "smic/s1/s1_ne_01": "negative",
        "smic/s1/s1_sur_02": "surprise",
        "smic/s20/s20_po_11": "positive",
    }
    first = clips["smic/s1/s1_ne_01"]
    assert (first.onset, first.apex, first.offset, first.fps) == (0, None, 11, 100.0)
    assert first.emotion is None and first.aus is None and not first.apex_is_annotated
    assert kinds(corpus) == []
    vis = load("smic_vis", make.root)
    assert [(c.clip_id, c.subject, c.fps) for c in vis.clips] == [
        ("smic_vis/s11/s11_ne_01", "smic/s11", 25.0)
    ]
    nir = load("smic_nir", make.root)
    assert kinds(nir) == ["label-conflict"] and nir.clips[0].coarse == "negative"


def test_raw_frames_are_taken_before_crops(make):
    clip(make, "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01")
    clip(make, "SMIC_all_raw/HS/s1/micro/negative/s1_ne_01", 30)
    assert [c.source.path for c in load("smic", make.root).clips] == [
        "SMIC_all_raw/HS/s1/micro/negative/s1_ne_01"
    ]


def test_smic_e_table(make, kinds, by_id):
    header = ["Subject", "Filename", "FirstF", "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Emotion"]
    rows = [
        [1, "s1_ne_01", 13000, 13485, 13489, None, None, "negative"],
        [1, "s1_po_02", 2000, 2003, 2008, 2011, 2012, "positive"],
        [1, "s1_po_05", 2000, 2003, 2008, None, None, "positive"],
        [None, None, None, None, None, None, None, None],
        ["frames of s3 were lost", None, None, None, None, None, None, None],
    ]
    make.xlsx("SMIC-HS-E_annotation.xlsx", [header, *rows])
    clip(make, "SMIC_HS_E/s01/s01_ne_01")
    make.frames("SMIC_HS_E/s01/s01_po_02", range(1, 15), "img{}.jpg")  # renumbered: index = OnsetF - FirstF
    corpus = load("smic", make.root)
    clips = by_id(corpus)
    assert (clips["smic/s1/s1_ne_01"].onset, clips["smic/s1/s1_ne_01"].offset) == (5, 9)
    assert (clips["smic/s1/s1_po_02"].onset, clips["smic/s1/s1_po_02"].offset) == (3, 8)
    assert "second movement" in clips["smic/s1/s1_po_02"].notes[0]
    assert kinds(corpus) == ["missing-frames"] and "3 rows" in corpus.coding


def test_nothing_there(make):
    with pytest.raises(DeftError, match="s1_ne_01"):
        load("smic", make.root)
