"""Coders' events become a table of clips, or corrections of a corpus' table; both name the coder."""

from __future__ import annotations

import csv
import json

import pytest

from deft_llm.codings.as_data import movements_of
from deft_llm.codings.events import Coding, FrameClock, event_at
from deft_llm.codings.formats import write_coding
from deft_llm.corpora import load
from deft_llm.errors import UsageError
from deft_llm.explain.samples import save_video

CLOCK = FrameClock(50.0)


def event(au: int, onset: int, apex: int | None, offset: int, **rest):
    return event_at(CLOCK, where="test", au=au, onset=onset, apex=apex, offset=offset, **rest)


def code(folder, clip: str, *events, coder: str = "anna") -> None:
    path = folder / coder / f"{clip}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_coding(Coding(media=clip, fps=50, coder=coder, events=list(events)), path)


def test_aus_that_begin_together_are_one_movement():
    found = movements_of(Coding(fps=50, events=[
        event(12, 10, 18, 30, intensity="C"), event(6, 14, 20, 28, intensity="B"), event(4, 25, 30, 40),
        event(1, 12, 15, 20, status="rejected"), event(2, 12, 15, 20, status="proposed"),
        event(12, 50, 55, 60, phase="release"),
    ]))  # fmt: skip
    assert [(m.onset, m.apex, m.offset, [u.number for u in m.aus]) for m in found] == [
        (10, 18, 30, [6, 12]), (25, 30, 40, [4]),
    ]  # fmt: skip


@pytest.fixture
def coded(tmp_path):
    """Two videos of two people, coded by anna: the one with two movements, the other with none."""
    import numpy as np

    clips = tmp_path / "clips"
    for name in ("s1/a.mp4", "s2/b.mp4"):
        (clips / name).parent.mkdir(parents=True)
        save_video(clips / name, [np.full((32, 32, 3), 90, np.uint8)] * 60, 50.0)
    smile = event(12, 10, 18, 30, side="left", intensity="C", status="corrected")
    code(clips / "codings", "s1/a.mp4", smile, event(4, 40, None, 50))
    code(clips / "codings", "s2/b.mp4")
    return clips


def test_a_table_of_clips_names_the_coder(coded, run, capsys):
    out = coded / "anna.csv"
    assert run("corpus", "from-codings", coded / "codings/anna", "--out", out) == 0
    assert "2 clips" in capsys.readouterr().out
    corpus = load("folder", coded, annotations=out)
    assert not [fault for fault in corpus.faults if fault.severity == "fault"]
    first, second = corpus.clips
    assert (first.clip_id, first.subject, first.fps) == ("folder/s1/s1-a-10", "folder/s1", 50.0)
    assert (first.onset, first.apex, first.offset, first.apex_is_annotated) == (10, 18, 30, True)
    assert [(u.number, u.side, u.intensity) for u in first.aus] == [(12, "left", "C")]
    assert first.coder == second.coder == "anna" and second.apex is None


def test_people_must_be_known(coded, run, capsys):
    code(coded / "codings", "top.mp4", event(1, 5, 8, 9))
    out = coded / "anna.csv"
    assert run("corpus", "from-codings", coded / "codings/anna", "--out", out) == 2
    assert "--subjects" in capsys.readouterr().err and not out.exists()
    table = coded / "people.csv"
    table.write_text("clip,subject\ntop.mp4,p7\ns1/a.mp4,p1\ns2/b.mp4,p2\n")
    assert run("corpus", "from-codings", coded / "codings/anna", "--out", out, "--subjects", table) == 0
    assert {row["subject"] for row in csv.DictReader(out.open())} == {"p1", "p7"}
    table.write_text("sep=;\nclip;subject\ntop.mp4;p8\ns1/a.mp4;p1\ns2/b.mp4;p2\n")
    assert run("corpus", "from-codings", coded / "codings/anna", "--out", out, "--subjects", table) == 0
    assert {row["subject"] for row in csv.DictReader(out.open())} == {"p1", "p8"}
    table.write_text("clip,who\ntop.mp4,p7\n")
    assert run("corpus", "from-codings", coded / "codings/anna", "--out", out, "--subjects", table) == 1
    assert "columns clip, subject; give a row for each clip" in capsys.readouterr().err


@pytest.fixture
def casme2(make):
    """Two clips of CASME II with file numbers from 40; anna coded one of them otherwise, one not at all."""
    make.casme2("CASME2-coding-20140508.xlsx", [
        [31, "EP1", None, 45, 50, 60, None, "4+R12B", "disgust"],
        [31, "EP2", None, 45, 50, 60, None, "1", "surprise"],
    ])  # fmt: skip
    for name in ("EP1", "EP2"):
        make.frames(f"CASME2_RAW_selected/sub31/{name}", range(40, 70))
    code(make.root / "codings", "CASME2_RAW_selected/sub31/EP1",
         event(4, 6, 12, 20), event(12, 7, 12, 18, side="right", intensity="B"))  # fmt: skip
    code(make.root / "codings", "CASME2_RAW_selected/sub31/EP2")
    return make.root


def test_corrections_apply_to_the_table_they_were_made_for(casme2, run, capsys):
    out = casme2 / "anna.yaml"
    words = ["corpus", "from-codings", casme2 / "codings/anna", "--corpus", "casme2", "--root", casme2]
    assert run(*words, "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["corrections"] == 2 and found["unseen"] == [
        "casme2/sub31/EP2"
    ]  # 45 -> 46, 50 -> 52; rest equal
    corpus = load("casme2", casme2, corrections=[out])
    clip = corpus.clips[0]
    assert (clip.onset, clip.apex, clip.offset) == (6, 12, 20)
    assert any("coded by anna" in note for note in clip.notes) and "anna.yaml anna " in corpus.coding
    assert load("casme2", casme2).clips[0].onset == 5


def test_clips_elsewhere_are_refused(casme2, tmp_path, run, capsys):
    words = ["corpus", "from-codings", casme2 / "codings/anna", "--corpus", "casme2", "--root"]
    (tmp_path / "other").mkdir()
    assert run(*words, casme2, "--clips", tmp_path.parent, "--out", tmp_path / "x.yaml") == 2
    assert "is not in --root" in capsys.readouterr().err
    assert run("corpus", "from-codings", casme2 / "codings/anna", "--root", casme2, "--out", "x") == 2
    with pytest.raises(UsageError):
        load("nonesuch", casme2)
