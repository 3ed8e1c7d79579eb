"""Commands of this folder's README: what they leave, say and refuse."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.corpora import load
from deft_llm.evaluation.folds import FoldClip, make_folds
from deft_llm.explain.samples import Injected, living_portrait, save_video
from deft_llm.faces.video import x264_options
from deft_llm.files import read_jsonl
from deft_llm.store import Store

FPS, ONSET, APEX, OFFSET = 50, 60, 69, 82  # 1.20, 1.38, 1.64 s


def test_a_cut_off_shard_is_named_and_made_again(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps, store = tmp_path / "fm", tmp_path / "store"
    assert run("synth", maps, "--level", "flow", "--clips", 4, "--subjects", 2, "--layout", "flowmaps") == 0
    assert run("prepare", "flowmaps", maps, "--store", store) == 0
    shard = store / "shards" / "00000.safetensors"
    whole = shard.read_bytes()
    os.truncate(shard, 1000)
    capsys.readouterr()
    assert run("prepare", "flowmaps", maps, "--store", store) == 0
    said = capsys.readouterr().out
    assert f"damaged, made again: {shard}: is not as it was written." in said and "(0 were there" in said
    assert shard.read_bytes() == whole


def test_as_many_subjects_as_asked(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--level", "flow", "--clips", 60, "--subjects", 6, "--seed", 1)
    assert run("synth", tmp_path / "C", *words) == 0
    assert "60 clips of 6 subjects" in capsys.readouterr().out
    assert len({clip.subject for clip in Store(tmp_path / "C").clips}) == 6


def test_what_cannot_be_scored_is_left_out_before_training(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--level", "flow", "--clips", 500, "--subjects", 12, "--seed", 4)
    assert run("synth", tmp_path / "s", *words) == 0
    clips = Store(tmp_path / "s").clips
    odd = [clip.clip_id for clip in clips if clip.coarse and clip.truth and clip.truth.coarse is None]
    assert odd, "a coder named a class where the truth is none of the three"
    run_words = ("--method", "svm", "--protocol", "loso", "--workers", 1, "--out", tmp_path / "r")
    assert run("benchmark", "store", tmp_path / "s", *run_words) == 0
    rows = list(read_jsonl(tmp_path / "r" / "predictions.jsonl"))
    assert not {row["clip_id"] for row in rows} & set(odd)
    left_out = json.loads((tmp_path / "r" / "folds.json").read_text())["left_out"]
    assert set(odd) <= set(left_out) and len(rows) + len(left_out) == len(clips)
    assert f"{len(left_out)} clips left out" in capsys.readouterr().out


def test_annotations_without_effect_are_refused(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synth", tmp_path / "S", "--level", "flow", "--clips", 4, "--subjects", 2) == 0
    words = ("--method", "majority", "--protocol", "loso", "--out", tmp_path / "r")
    assert run("benchmark", "store", tmp_path / "S", *words, "--annotations", "/etc/passwd") == 2
    assert "--annotations /etc/passwd: no effect" in capsys.readouterr().err and not (tmp_path / "r").exists()


def test_one_person_in_two_spellings_is_one_fold(tmp_path: Path) -> None:
    rows = [f"v{number}.avi,{subject}" for number, subject in enumerate(("006", "6", "6.0", "7", "8"))]
    (tmp_path / "clips.csv").write_text("\n".join(["path,subject", *rows]) + "\n")
    clips = load("folder", tmp_path).clips
    folds = make_folds([FoldClip(clip.clip_id, clip.corpus, clip.subject) for clip in clips], "loso")
    assert sorted(fold.test for fold in folds.folds) == [["folder/006"], ["folder/7"], ["folder/8"]]


@pytest.mark.slow
def test_a_clip_whose_apex_is_its_onset_is_not_lost(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = living_portrait([Injected(12, "right", 8, 16, 26, 2.0)], 36, fps=50.0, seed=1)
    (tmp_path / "me" / "take").mkdir(parents=True)
    for number, picture in enumerate(pictures):
        name = tmp_path / "me" / "take" / f"img{number:03d}.png"
        cv2.imwrite(str(name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    (tmp_path / "clips.csv").write_text("path,subject,onset,apex,offset,fps\nme/take,me,8,8,26,50\n")
    assert run("corpus", "check", "folder", tmp_path) == 1
    assert "apex-equals-onset" in capsys.readouterr().out
    run("prepare", "folder", tmp_path, "--store", tmp_path.with_name("store"))
    said = capsys.readouterr().out
    assert "1 of 1 clips" in said and "it was found by spotting" in said


def variable(path: Path, pictures: list[np.ndarray]) -> Path:
    """The pictures as a film that drops every seventh and keeps the times of the others."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=x264_options(10, "medium"))
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, FPS)
        for number, picture in enumerate(pictures):
            if number % 7 == 3:
                continue
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crf28", "vfr"])
def test_a_coded_film_shows_its_unit_or_none(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    smile = Injected(12, "right", ONSET, APEX, OFFSET, 1.0)
    pictures = list(living_portrait([smile], 130, fps=FPS, seed=3))
    path = tmp_path / f"{kind}.mp4"
    save_video(path, pictures, FPS, quality=28) if kind == "crf28" else variable(path, pictures)
    assert run("analyze", path, "--method", "rules", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    units = [(unit["number"], unit["side"], unit["phase"]) for m in found["movements"] for unit in m["aus"]]
    assert set(units) <= {(12, "right", "rise")}, units
    if kind == "crf28":
        assert units or "compressed" in json.dumps(found["cannot_judge"])
        return
    (unit,) = [unit for m in found["movements"] for unit in m["aus"]]
    assert unit["onset_time"] == pytest.approx(ONSET / FPS, abs=0.06)
    assert unit["apex_time"] == pytest.approx(APEX / FPS, abs=0.06)


@pytest.mark.parametrize("layout", ["flowmaps", "ststnet"])
def test_maps_that_were_damaged_are_made_again(run: Callable[..., int], tmp_path: Path, layout: str) -> None:
    words = ("--level", "flow", "--clips", 24, "--subjects", 3, "--layout", layout)
    assert run("synth", tmp_path / "maps", *words) == 0
    files = {path: path.read_bytes() for path in sorted((tmp_path / "maps").rglob("*")) if path.is_file()}
    pictures = [path for path in files if path.suffix == ".png"]
    rows = [path for path in files if path.name.startswith("00000.")]
    assert pictures and len(rows) >= 2
    for damaged in (pictures[0], pictures[-1], *rows):
        os.truncate(damaged, len(files[damaged]) // 2)
        assert run("synth", tmp_path / "maps", *words) == 0
        assert {path: path.read_bytes() for path in files} == files, damaged
