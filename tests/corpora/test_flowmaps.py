"""Flow maps: the STSTNet/HTNet folder and manifest.csv, with everything that people's copies have in them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.corpora import load
from deft_llm.corpora.joining import clip_name, join_key, questions_by_clip
from deft_llm.corpora.mapfiles import read_map
from deft_llm.errors import DeftError, UsageError
from deft_llm.records import Clip, Source

CLIPS = {
    "sub01": {"0": ["sub01_EP41_02f"], "1": ["sub01_EP42_07"]},
    "sub02": {"2": ["sub02_EP41_02f"]},
    "006": {"0": ["006_006_7_2", "006_006_7_3"]},
    "s01": {"0": ["s01_s01_ne_09"], "2": ["s01_s01_sur_08"]},
}


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def rgb(seed: int = 0, size: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Every subject's folder repeats the whole corpus, as STSTNet's does; names end in a blank."""
    for subject in CLIPS:
        for owner, classes in CLIPS.items():
            split = "u_test" if owner == subject else "u_train"
            for number, names in classes.items():
                for name in names:
                    write_png(tmp_path / subject / split / number / f"{name} .png", rgb(len(name)))
    return tmp_path


def kinds(corpus, severity="fault"):
    return sorted({fault.kind for fault in corpus.faults if fault.severity == severity})


def test_clips_are_the_union_of_test_folders(root):
    corpus = load("flowmaps", root)
    assert {clip.clip_id: clip.coarse for clip in corpus.clips} == {
        "casme2/sub01/EP41_02f": "negative",
        "casme2/sub01/EP42_07": "positive",
        "casme2/sub02/EP41_02f": "surprise",
        "samm/006/006_7_2": "negative",
        "samm/006/006_7_3": "negative",
        "smic/s1/s1_ne_09": "negative",
        "smic/s1/s1_sur_08": "surprise",
    }
    assert corpus.faults == []
    clip = corpus.clips[0]
    assert (clip.corpus, clip.subject, clip.emotion, clip.aus) == ("casme2", "casme2/sub01", None, None)
    assert clip.source.kind == "flow" and clip.source.path == "sub01/u_test/0/sub01_EP41_02f .png"


def test_stray_files_and_missing_class_folders_do_no_harm(root):
    (root / ".DS_Store").write_bytes(b"x")
    (root / "sub01" / "u_test" / ".DS_Store").write_bytes(b"x")
    (root / "sub01" / "u_test" / "0" / "Thumbs.db").write_bytes(b"x")
    (root / "sub01" / "u_test" / "0" / "._sub01_EP41_02f .png").write_bytes(b"x")
    (root / "sub01" / "u_test" / "0" / "notes.txt").write_text("x")
    (root / "sub01" / "u_test" / "3").mkdir()
    (root / "results").mkdir()
    (root / "readme.txt").write_text("x")
    (root / "loop").symlink_to("loop")
    (root / "sub01" / "u_test" / "0" / "loop.png").symlink_to("loop.png")
    corpus = load("flowmaps", root)
    assert len(corpus.clips) == 7 and kinds(corpus) == []
    assert kinds(corpus, "note") == ["stray-file", "unknown-folder"]


def test_upper_case_suffix_and_folders(root):
    (root / "006" / "u_test").rename(root / "006" / "U_Test")
    old = root / "sub02" / "u_test" / "2" / "sub02_EP41_02f .png"
    old.rename(old.with_name("sub02_EP41_02f.PNG"))
    assert len(load("flowmaps", root).clips) == 7


def test_planted_faults_are_named(root):
    write_png(root / "sub01" / "u_test" / "2" / "sub01_EP42_07 .png", rgb())  # also in class 1
    write_png(root / "sub02" / "u_test" / "2" / "sub02_EP41_02f.png", rgb())  # twice in a class
    write_png(root / "sub02" / "u_train" / "1" / "sub09_EP01_01 .png", rgb())  # owned by nobody
    write_png(root / "sub02" / "u_train" / "2" / "006_006_7_2 .png", rgb())  # 0 where its owner is
    (root / "sub02" / "u_train" / "0" / "006_006_7_2 .png").unlink()
    (root / "sub05" / "u_test" / "0").mkdir(parents=True)
    (root / "sub06" / "u_train" / "0").mkdir(parents=True)
    corpus = load("flowmaps", root)
    assert kinds(corpus) == [
        "duplicate-clip",
        "empty-folder",
        "missing-folder",
        "training-only",
        "two-classes",
    ]
    twice = [fault for fault in corpus.faults if fault.kind == "two-classes"]
    assert {fault.clip_id for fault in twice} == {"casme2/sub01/EP42_07", None}
    by_id = {clip.clip_id: clip for clip in corpus.clips}
    assert by_id["casme2/sub01/EP42_07"].coarse is None, "a class that is in doubt is not guessed"
    assert by_id["casme2/sub02/EP41_02f"].coarse == "surprise" and len(corpus.clips) == 7


def test_names_without_subject_prefix(tmp_path):
    write_png(tmp_path / "sub01" / "u_test" / "0" / "EP41_02f.png", rgb())
    write_png(tmp_path / "sub02" / "u_train" / "0" / "EP41_02f.png", rgb())
    write_png(tmp_path / "sub02" / "u_test" / "1" / "EP41_02f.png", rgb())
    corpus = load("flowmaps", tmp_path)
    assert [clip.clip_id for clip in corpus.clips] == ["casme2/sub01/EP41_02f", "casme2/sub02/EP41_02f"]
    assert kinds(corpus) == []


@pytest.mark.parametrize(
    ("subject", "file", "name"),
    [
        ("sub01", "sub01_EP02_01f .png", "EP02_01f"),
        ("006", "006_006_1_2 .png", "006_1_2"),
        ("006", "006_1_2.png", "006_1_2"),
        ("s01", "s01_s01_ne_01 .PNG", "s01_ne_01"),
        ("s1", "s1_ne_01", "s1_ne_01"),
        ("sub1", "sub01_EP02_01f", "EP02_01f"),
        ("sub02", "EP02_01f", "EP02_01f"),
    ],
)
def test_clip_names(subject, file, name):
    assert clip_name(subject, file) == name


def test_join_key_ignores_padding_and_corpus_spelling():
    assert join_key("SAMM", "6", "006_1_2") == join_key("samm", "006", "006_006_1_2 .png")
    assert join_key("CASME II", "1", "EP02_01f") == join_key("casme2", "sub01", "sub01_EP02_01f")
    assert join_key("smic", "s01", "s01_ne_01") == join_key("SMIC", "s1", "s1_ne_01")


def test_subjects_of_one_number_and_other_letters_are_two(tmp_path):
    for number, subject in enumerate(("A1", "B1")):
        write_png(tmp_path / "maps" / f"{subject}.png", rgb(number))
    (tmp_path / "maps" / "manifest.csv").write_text(
        "clip_id,corpus,subject,path\nlab/A1/clip,lab,A1,A1.png\nlab/B1/clip,lab,B1,B1.png\n"
    )
    (tmp_path / "aus.csv").write_text("corpus,subject,filename,aus\nlab,B1,clip,12\nlab,A01,clip,4\n")
    corpus = load("flowmaps", tmp_path / "maps", tmp_path / "aus.csv")
    assert {clip.subject: [unit.number for unit in clip.aus] for clip in corpus.clips} == {
        "lab/A1": [4],
        "lab/B1": [12],
    }
    assert kinds(corpus) == []


def test_questions_that_may_be_about_two_clips_are_refused(tmp_path):
    row = {"id": "1", "dataset": "lab", "subject": "1", "filename": "clip", "question": "What?"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")

    def clip(subject):
        return Clip(clip_id=f"lab/{subject}/clip", corpus="lab", subject=f"lab/{subject}",
                    source=Source(kind="flow", path="-"))  # fmt: skip

    found, strangers = questions_by_clip(tmp_path / "q.jsonl", [clip("s01"), clip("A1"), clip("B1")])
    assert list(found) == ["lab/s01/clip"] and strangers == []
    with pytest.raises(DeftError, match="same for the clips lab/s01/clip and lab/sub1/clip; rename one"):
        questions_by_clip(tmp_path / "q.jsonl", [clip("s01"), clip("sub1")])


def test_csv_annotations(root, tmp_path):
    path = tmp_path.parent / f"{tmp_path.name}.csv"
    path.write_text(
        "dataset,subject,filename,emotion,aus\n"
        'casme2,1,EP41_02f,Disgust,"4,R12"\n'
        "samm,6,006_7_2,anger,brow lowerer;lip pressor\n"
        "samm,6,006_7_3,happiness,12\n"
        "samm,6,006_9_9,anger,4\n"
        "smic,s1,s1_ne_09,,4?x\n"
    )
    corpus = load("flowmaps", root, path)
    by_id = {clip.clip_id: clip for clip in corpus.clips}
    first = by_id["casme2/sub01/EP41_02f"]
    assert first.emotion == "disgust" and [(unit.number, unit.side) for unit in first.aus] == [
        (4, "both"),
        (12, "right"),
    ]
    assert [unit.number for unit in by_id["samm/006/006_7_2"].aus] == [4, 24]
    assert by_id["casme2/sub02/EP41_02f"].emotion is None and by_id["casme2/sub02/EP41_02f"].aus is None
    conflict = by_id["samm/006/006_7_3"]
    assert conflict.coarse == "negative" and conflict.emotion is None and conflict.aus[0].number == 12
    assert kinds(corpus) == ["label-conflict", "unread-annotation"]
    assert kinds(corpus, "note") == ["not-annotated", "unmatched-annotation"]
    assert "4 of 5 clips joined" in corpus.coding and path.name in corpus.coding


def test_me_vqa_annotations(root, tmp_path):
    def rows(dataset, subject, filename, *pairs):
        for number, (question, answer) in enumerate(pairs, 1):
            yield {
                "id": f"{dataset}_{subject}_{filename}_{number}",
                "dataset": dataset,
                "subject": subject,
                "image_id": f"{subject}_{filename}",
                "filename": filename,
                "question": question,
                "answer": answer,
            }

    lines = [
        *rows(
            "casme2",
            "sub01",
            "EP41_02f",
            ("What is the coarse expression class?", "negative"),
            ("What is the fine-grained expression class?", "disgust"),
            ("What are the action units?", "brow lowerer, nostril dilater"),
            ("Is the action unit brow lowerer shown on the face?", "yes"),
            ("Is the action unit brow lowerer located on the left or right face?", "left"),
        ),
        *rows(
            "samm",
            "6",
            "006_7_2",
            ("What is the action unit?", "lip corner puller"),
            ("What is the fine-grained expression class?", "other"),
        ),
        *rows("smic", "s01", "s01_ne_09", ("What is the coarse expression class?", "negative")),
    ]
    path = tmp_path.parent / f"{tmp_path.name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    corpus = load("flowmaps", root, path)
    by_id = {clip.clip_id: clip for clip in corpus.clips}
    first = by_id["casme2/sub01/EP41_02f"]
    assert first.emotion == "disgust"
    assert [(unit.number, unit.side) for unit in first.aus] == [(4, "left"), (38, "both")]
    assert by_id["samm/006/006_7_2"].emotion == "others" and by_id["samm/006/006_7_2"].aus[0].number == 12
    assert by_id["smic/s1/s1_ne_09"].aus is None
    assert kinds(corpus) == []


def test_annotations_of_other_maps_are_a_fault(root, tmp_path):
    path = tmp_path.parent / f"{tmp_path.name}.csv"
    path.write_text("dataset,subject,filename,emotion\nmmew,S01,S01-01-001,fear\n")
    assert kinds(load("flowmaps", root, path)) == ["unmatched-annotation"]


def test_manifest(tmp_path):
    write_png(tmp_path / "maps" / "a.png", rgb(1))
    for name in ("b.npy", "c.npy"):
        np.save(tmp_path / "maps" / name, np.ones((32, 40, 2), np.float32))
    (tmp_path / "manifest.csv").write_text(
        "clip_id,corpus,subject,path,path_offset,emotion,coarse,aus\n"
        "casme2/sub01/EP1,casme2,sub01,maps/a.png,maps/b.npy,repression,negative,4+7\n"
        "x1,,anna,maps/c.npy,,,,\n"
        "x1,,anna,maps/c.npy,,,,\n"
        "x2,,anna,../../secret.png,,,,\n"
        "x3,,anna,/etc/passwd,,,,\n"
        "../x4,,anna,maps/a.png,,,,\n"
        "x5,,anna,maps/none.png,,bliss,,4+zz\n"
        "x6,,,maps/a.png,,,,\n"
    )
    corpus = load("flowmaps", tmp_path)
    by_id = {clip.clip_id: clip for clip in corpus.clips}
    assert sorted(by_id) == ["casme2/sub01/EP1", "x1", "x5"]
    first = by_id["casme2/sub01/EP1"]
    assert (first.emotion, first.coarse, first.subject) == ("repression", "negative", "casme2/sub01")
    assert first.source.path_offset == "maps/b.npy" and [unit.number for unit in first.aus] == [4, 7]
    assert (by_id["x1"].subject, by_id["x1"].coarse, by_id["x1"].aus) == ("flowmaps/anna", None, None)
    assert kinds(corpus) == [
        "duplicate-clip",
        "empty-cell",
        "missing-frames",
        "unknown-label",
        "unread-aus",
        "unsafe-name",
    ]


def test_channels_are_u_v_strain_in_rgb(tmp_path):
    image = np.zeros((28, 28, 3), np.uint8)
    image[..., 2], image[..., 1], image[..., 0] = 255, 51, 102  # OpenCV writes B, G, R
    write_png(tmp_path / "map.png", image)
    flow, strain = read_map(tmp_path / "map.png")
    assert flow.shape == (2, 28, 28) and flow.dtype == np.float32
    np.testing.assert_allclose([flow[0, 0, 0], flow[1, 0, 0], strain[0, 0]], [1.0, 0.2, 0.4])


def test_float_maps(tmp_path):
    flow = np.random.default_rng(0).normal(size=(32, 40, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", flow)
    np.savez(tmp_path / "b.npz", flow=flow[..., :2].transpose(2, 0, 1))
    first, strain = read_map(tmp_path / "a.npy")
    second, none = read_map(tmp_path / "b.npz")
    np.testing.assert_array_equal(first, flow[..., :2].transpose(2, 0, 1))
    np.testing.assert_array_equal(strain, flow[..., 2])
    np.testing.assert_array_equal(first, second)
    assert none is None


def test_other_sizes_alpha_and_16_bit_are_read(tmp_path):
    write_png(tmp_path / "big.png", rgb(3, 56))
    write_png(tmp_path / "alpha.png", np.dstack([rgb(3), np.full((28, 28), 255, np.uint8)]))
    write_png(tmp_path / "deep.png", rgb(3).astype(np.uint16) * 257)
    assert read_map(tmp_path / "big.png")[0].shape == (2, 56, 56)
    np.testing.assert_allclose(
        read_map(tmp_path / "alpha.png")[0], read_map(tmp_path / "deep.png")[0], atol=1e-6
    )


@pytest.mark.parametrize("content", ["grey", "text", "empty", "cut", "tiny"])
def test_bad_maps_raise_one_sentence(tmp_path, content):
    path = tmp_path / "map.png"
    write_png(path, rgb()[..., 0] if content == "grey" else rgb(0, 4) if content == "tiny" else rgb())
    if content == "text":
        path.write_text("not a picture")
    elif content == "empty":
        path.write_bytes(b"")
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DeftError, match="map.png"):
        read_map(path)


def test_pickles_and_nan_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "b.npy", np.full((28, 28, 2), np.nan, np.float32))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(DeftError, match=name):
            read_map(tmp_path / name)


def test_wrong_roots(tmp_path):
    with pytest.raises(DeftError, match="u_test"):
        load("flowmaps", tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        load("flowmaps", tmp_path / "none")
    with pytest.raises(UsageError, match="unknown"):
        load("flowmap", tmp_path)


def test_check_reads_every_map(root):
    from deft_llm.corpora.check import check

    assert check(load("flowmaps", root)).ok
    write_png(root / "sub01/u_test/0/sub01_EP41_02f .png", rgb()[..., 0])
    (root / "006/u_test/0/006_006_7_2 .png").write_bytes(b"x")
    write_png(root / "006/u_test/0/006_006_7_3 .png", rgb(0, 40))
    result = check(load("flowmaps", root))
    assert {fault.clip_id for fault in result.faults} == {"casme2/sub01/EP41_02f", "samm/006/006_7_2"}
    assert {fault.kind for fault in result.faults} == {"unreadable-map"}
    assert [fault.kind for fault in result.notes] == ["map-sizes"]
    assert result.to_dict()["labels"]["megc3"]["classes"] == {"negative": 4, "positive": 1, "surprise": 2}


def test_a_manifest_names_each_person_one_way_and_each_map_once(tmp_path):
    for number in range(4):
        write_png(tmp_path / "m" / f"{number}.png", rgb(number))
    rows = [
        "a,casme2,sub01,m/0.png,negative",
        "b,casme2,casme2/01,m/1.png,positive",
        "c,casme2,1,m/2.png,surprise",
        "d,casme2,2,m/2.png,surprise",
        "e,casme2,3,m/3.png,negative",
    ]
    (tmp_path / "manifest.csv").write_text("clip_id,corpus,subject,path,coarse\n" + "\n".join(rows) + "\n")
    corpus = load("flowmaps", tmp_path)
    assert {clip.clip_id: clip.subject for clip in corpus.clips} == {
        "a": "casme2/sub01", "b": "casme2/sub01", "c": "casme2/sub01", "e": "casme2/sub03",
    }  # fmt: skip
    (fault,) = [fault for fault in corpus.faults if fault.kind == "two-subjects"]
    assert "m/2.png is casme2/sub01's already" in fault.message
