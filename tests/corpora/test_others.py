"""MMEW, 4DME, DFME and your own folder of videos."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load
from deft_llm.errors import DeftError


def test_mmew_both_layouts(make, kinds, by_id):
    header = [
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ]
    rows = [
        [41, "S41-01-001", 1, 9, 20, "R10+12L", "disgust", None],
        [41, "S41-02-003", 1, 8, 20, "4R+7", "others", "hm"],
        [42, "S42-01-002", 1, 30, 20, 12, "happiness", None],
        [43, "S43-01-001", 1, 8, 20, "4", "fear", None],
    ]
    make.xlsx("MMEW_Micro_Exp.xlsx", [header, *rows])
    make.frames("Micro_Expression/disgust/S41-01-001", range(1, 21), "{}.jpg")
    make.frames("Micro_Expression/others/S41-02-003", range(1, 21), "{}.jpg")
    make.frames("S42/happiness/S42-01-002", range(1, 21), "{}.jpg")
    make.frames("Micro_Expression/anger/S43-01-001", range(1, 21), "{}.jpg")
    corpus = load("mmew", make.root)
    clips = by_id(corpus)
    first = clips["mmew/S41/S41-01-001"]
    assert (first.onset, first.apex, first.offset, first.fps) == (0, 8, 19, 90.0)
    assert [(u.number, u.side) for u in first.aus] == [(10, "right"), (12, "left")]
    assert [(u.number, u.side) for u in clips["mmew/S41/S41-02-003"].aus] == [(4, "right"), (7, "both")]
    assert clips["mmew/S41/S41-02-003"].notes == ["remark in the table: hm"]
    assert clips["mmew/S42/S42-01-002"].source.path == "S42/happiness/S42-01-002"
    assert kinds(corpus) == ["apex-outside", "label-conflict"]


def test_fourdme_several_labels(make, kinds, by_id):
    header = [
        "sub_ID",
        "fold_name",
        "Emotion",
        "Onset",
        "Apex",
        "Offset",
        "AUs",
        "AU4",
        "AU7",
        "Positive",
        "Negative",
        "Surprise",
        "Repression",
        "Others",
    ]
    rows = [
        ["sub41", "41_a_7", "Negative", 10, 15, 22, "AU4(k)+AU7", 1, 1, 0, 1, 0, 0, 0],
        ["sub41", "41_b_7", "Negative+Surprise", 10, 15, 22, "AU1+AU4", 1, 0, 0, 1, 1, 0, 0],
        ["sub42", "42_a_7", "Repression", 10, 15, 22, "AU15", 0, 0, 0, 0, 0, 1, 0],
        ["sub42", "42_a_8", None, 10, 15, 22, "AU15", 0, 0, 0, 0, 0, 0, 0],
    ]
    make.xlsx("4DME_Labelling_Micro_release v1.xlsx", [header, *rows])
    for row in rows:
        make.frames(f"gray/{row[0]}/{row[1]}", range(5, 30), "{}.jpg")
    corpus = load("fourdme", make.root)
    clips = by_id(corpus)
    first = clips["fourdme/sub41/41_a_7"]
    assert (first.coarse, first.emotion) == ("negative", None)
    assert [(u.number, u.certain) for u in first.aus] == [(4, False), (7, True)]
    second = clips["fourdme/sub41/41_b_7"]
    assert second.coarse is None and second.notes == ["labels in the table: Negative, Surprise"]
    assert clips["fourdme/sub42/42_a_7"].emotion == "repression"
    assert kinds(corpus) == ["unknown-label"] and kinds(corpus, "note") == ["several-labels"]


HEADER_DFME = [
    "Subject",
    "Filename",
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    "Emotion",
    "EmotionId",
    "Fps",
    "AU",
]


@pytest.mark.parametrize("base", [0, 1])
def test_dfme_index_base_is_told_by_the_folders(make, kinds, by_id, base):
    rows = [
        ["sub0401", "416_e_0", base, 10 + base, 19 + base, "fear", 3, 500, "1+4+L10+AD38"],
        ["sub0401", "416_e_1", base, 9 + base, 19 + base, "contempt", 1, 300, "R14"],
        ["sub0402", "417_a_0", base, 9 + base, 40 + base, "anger", 0, 200, "4+M57"],  # beyond its folder
        ["sub0402", "417_a_1", base, 9 + base, 19 + base, "sadness", 6, 200, "15"],
    ]  # id of another emotion
    make.xlsx("training_full_with_AU.xlsx", [HEADER_DFME, *rows])
    for row in rows:
        make.frames(f"train/{row[1]}", [f"{n:05d}" for n in range(1, 21)], "{}.png")
    corpus = load("dfme", make.root)
    clips = by_id(corpus)
    first = clips["dfme/sub0401/416_e_0"]
    assert (first.onset, first.apex, first.offset, first.fps) == (0, 10, 19, 500.0)
    assert first.source.frames[0] == "00001.png" and first.aus[-1].kind == "AD"
    assert clips["dfme/sub0401/416_e_1"].fps == 300.0 and clips["dfme/sub0401/416_e_1"].emotion == "contempt"
    assert kinds(corpus) == ["label-conflict", "offset-outside"]
    told = [fault.message for fault in corpus.faults if fault.kind == "index-base"]
    assert f"counted from {base} (1 rows" in told[0]


def test_dfme_emotion_from_the_id_and_missing_folders(make, kinds, by_id):
    header = [name for name in HEADER_DFME if name != "Emotion"]
    make.xlsx(
        "testA_full_with_AU.xlsx",
        [
            header,
            ["sub0403", "500_a_0", 0, 5, 9, 6, 200, "1+2"],
            ["sub0403", "500_a_1", 0, 5, 9, 4, 200, "6+12"],
        ],
    )
    make.frames("test_data_A/500_a_0", [f"{n:05d}" for n in range(1, 11)], "{}.png")
    corpus = load("dfme", make.root)
    clips = by_id(corpus)
    assert [clips[f"dfme/sub0403/500_a_{n}"].emotion for n in (0, 1)] == ["surprise", "happiness"]
    assert kinds(corpus) == ["missing-frames"] and "testA" in clips["dfme/sub0403/500_a_0"].notes[0]


def test_dfme_ids_in_the_column_of_words(make, kinds, by_id):
    """DFME's own ids, not MEGC's coarse ones: 1 is contempt, no positive class."""
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "label", "Fps"]
    rows = [["sub0403", f"500_a_{number}", 0, 5, 9, number, 200] for number in (0, 1, 2, 6, 7)]
    make.xlsx("training_full_with_AU.xlsx", [header, *rows])
    for row in rows:
        make.frames(f"train/{row[1]}", [f"{n:05d}" for n in range(1, 11)], "{}.png")
    corpus = load("dfme", make.root)
    clips = by_id(corpus)
    assert [(clips[f"dfme/sub0403/500_a_{n}"].emotion, clips[f"dfme/sub0403/500_a_{n}"].coarse)
            for n in (0, 1, 2, 6, 7)] == [
        ("anger", "negative"), ("contempt", "negative"), ("disgust", "negative"), ("surprise", "surprise"),
        (None, None),
    ]  # fmt: skip
    assert kinds(corpus) == ["unknown-label"]


def test_folder_of_videos(make, kinds, by_id):
    make.frames("anna/take1", range(1, 12))
    (make.root / "ben").mkdir()
    (make.root / "ben" / "clip one.mp4").write_bytes(b"x")
    (make.root / "loose.avi").write_bytes(b"x")
    (make.root / "nothing").mkdir()
    corpus = load("folder", make.root)
    assert sorted((c.clip_id, c.subject, c.source.kind) for c in corpus.clips) == [
        ("folder/anna/take1", "folder/anna", "frames"),
        ("folder/ben/clip one", "folder/ben", "video"),
        ("folder/unknown/loose", "folder/unknown", "video"),
    ]
    assert kinds(corpus) == ["empty-folder"]


def test_folder_with_a_table(make, kinds, by_id):
    make.frames("a/take1", range(1, 12))
    make.frames("b/take1", range(1, 12))
    make.csv(
        "clips.csv",
        "path,subject,onset,apex,offset,fps,emotion,aus\n"
        "a/take1,anna,2,5,9,120,happiness,12\n"
        "a/take1/,anna,2,5,9,fast,,\n"
        "../../etc,anna,,,,,,\n"
        "/etc/passwd,anna,,,,,,\n"
        "a/gone.mp4,anna,,,,,joyless,\n"
        "b/take1,bert,9,5,2,30,,4?x\n"
        "a/take1,carl,,,,,,\n",
    )
    corpus = load("folder", make.root)
    clips = by_id(corpus)
    first = clips["folder/anna/a-take1"]
    assert (first.onset, first.apex, first.offset, first.fps, first.emotion) == (2, 5, 9, 120.0, "happiness")
    assert clips["folder/bert/b-take1"].onset is None
    assert kinds(corpus) == [
        "apex-outside",
        "bad-number",
        "duplicate-clip",
        "missing-frames",
        "two-subjects",
        "unknown-label",
        "unread-aus",
        "unsafe-name",
    ]


def test_the_top_folder_is_the_person(make, kinds):
    """Sessions are a person's own: as people they would stand on both sides of a fold."""
    for path in ("sub-01/ses-1/smile", "sub-01/ses-2/smile", "sub-02/ses-1/smile"):
        make.frames(path, range(1, 12))
    expected = [
        ("folder/sub-01/ses-1-smile", "folder/sub-01"),
        ("folder/sub-01/ses-2-smile", "folder/sub-01"),
        ("folder/sub-02/ses-1-smile", "folder/sub-02"),
    ]
    for table in (None, "path", "path,subject"):
        if table:
            rows = [f"sub-0{n}/ses-{m}/smile,sub-0{n}" for n, m in ((1, 1), (1, 2), (2, 1))]
            rows = rows if "subject" in table else [row.split(",")[0] for row in rows]
            make.csv("clips.csv", "\n".join([table, *rows]) + "\n")
        corpus = load("folder", make.root)
        assert [(clip.clip_id, clip.subject) for clip in corpus.clips] == expected
        assert kinds(corpus) == [] and kinds(corpus, "note") == (
            [] if table == "path,subject" else ["person-folder"]
        )
    make.csv("clips.csv", "path\nsub-01/ses-1/smile\n")
    assert "the person is the top folder, sub-01" in load("folder", make.root).faults[0].message


def test_a_row_that_names_nobody_is_left_out(make, kinds):
    for name in ("a", "b"):
        make.frames(f"{name}/take", range(1, 12))
    make.csv("clips.csv", "path,subject\na/take,anna\nb/take,\n")
    corpus = load("folder", make.root)
    assert [clip.subject for clip in corpus.clips] == ["folder/anna"] and kinds(corpus) == ["no-subject"]
    assert corpus.faults[0].message.startswith("clips.csv row 3: nothing says whom b/take shows")
    make.csv("clips.csv", "path\nloose.mp4\n")
    assert "no-subject" in kinds(load("folder", make.root))


def test_clips_in_no_folder_are_noted_as_one_person(make, kinds):
    for name in ("a.mp4", "b.mp4"):
        (make.root / name).write_bytes(b"x")
    corpus = load("folder", make.root)
    assert {clip.subject for clip in corpus.clips} == {"folder/unknown"}
    assert len(corpus.clips) == 2 and kinds(corpus, "note") == ["unknown-person"]


def test_what_the_path_tells_apart_is_two_clips(make, kinds):
    for path in ("A/s1/x", "A/s2/x", "A/take1.5", "A/take1.6", "B/x"):
        make.frames(path, range(1, 12))
    rows = ["A/s1/x,A,1", "A/s2/x,A,1", "A/take1.5,A,1", "A/take1.6,A,1", "B/x,A,1"]
    make.csv("clips.csv", "\n".join(["path,subject,onset", *rows, "B/x,A,6"]) + "\n")
    corpus = load("folder", make.root)
    assert [clip.clip_id.removeprefix("folder/A/") for clip in corpus.clips] == [
        "B-x", "s1-x", "s2-x", "take1.5", "take1.6",
    ]  # fmt: skip
    (fault,) = corpus.faults
    assert fault.kind == "duplicate-clip" and "in the column clip_id" in fault.message


def test_empty_folder_of_videos(make):
    with pytest.raises(DeftError, match="no video files"):
        load("folder", make.root)


@pytest.mark.parametrize("name", ["anna", "folder/anna", "Anna"])
def test_a_clip_is_named_below_its_persons_folder_however_the_table_writes_it(tmp_path, name):
    (tmp_path / "anna" / "a").mkdir(parents=True)
    (tmp_path / "anna" / "a" / "smile.mp4").write_bytes(b"x")
    (tmp_path / "clips.csv").write_text(f"path,subject\nanna/a/smile.mp4,{name}\n")
    (clip,) = load("folder", tmp_path).clips
    assert clip.clip_id.endswith("nna/a-smile") and clip.subject == f"folder/{name.removeprefix('folder/')}"
