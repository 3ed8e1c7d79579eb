"""The second simulator: what is asked for comes out, moves as FACS says, and looks like published set B."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.flow_statistics import REAL, folder_statistics
from deft_llm.corpora import load
from deft_llm.faces.regions import ANCHORS, TWIN
from deft_llm.facs.units import entry
from deft_llm.records import ActionUnit
from recipes import second_maps
from recipes.second_maps import EYE_LINE, HEIGHT, IOD, MOVING, WIDTH, draw_face, main, make, unit_field

CLIPS, SUBJECTS, WRONG = 32, 12, 0.25


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """32 clips of 12 subjects, a quarter of them miscoded."""
    root = tmp_path_factory.mktemp("second") / "maps"
    make(root, CLIPS, SUBJECTS, seed=5, wrong=WRONG)
    return root


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another call with the same options but for the miscoding."""
    root = tmp_path_factory.mktemp("second") / "maps"
    make(root, CLIPS, SUBJECTS, seed=5, wrong=0)
    return root


def test_the_loader_reads_what_was_asked_for(corpus) -> None:
    read = load("flowmaps", corpus)
    assert not read.faults
    assert len(read.clips) == CLIPS and len({clip.subject for clip in read.clips}) == SUBJECTS
    assert {clip.corpus for clip in read.clips} == {"seconda", "secondb", "secondc"}
    assert all(clip.aus and clip.coarse and clip.source.path_offset for clip in read.clips)
    assert len(list((corpus / "maps").iterdir())) == 2 * CLIPS


def test_the_same_options_give_the_same_bytes(tmp_path) -> None:
    files = []
    for name in ("one", "two"):
        make(tmp_path / name, 3, 3, seed=7, wrong=0.4)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")})
    assert files[0] == files[1] and len(files[0]) == 7


def test_miscoding_changes_as_many_labels_as_asked_and_no_map(corpus, other) -> None:
    for path in sorted((corpus / "maps").iterdir()):
        assert path.read_bytes() == (other / "maps" / path.name).read_bytes()
    said, true = load("flowmaps", corpus).clips, load("flowmaps", other).clips
    pairs = list(zip(said, true, strict=True))
    classes = [one.coarse != two.coarse for one, two in pairs]
    units = [one.aus != two.aus for one, two in pairs]
    assert sum(classes) == sum(units) == round(WRONG * CLIPS)
    assert not any(one and two for one, two in zip(classes, units, strict=True))
    assert Counter(clip.coarse for clip in true) == {"negative": 18, "positive": 8, "surprise": 6}


def test_maps_are_as_set_b_of_the_published_ones(other) -> None:
    found = folder_statistics(other, (EYE_LINE, IOD / WIDTH), HEIGHT / WIDTH)
    for name in ("lids", "nose", "cheeks", "chin", "border", "spectrum of u", "spectrum of v"):
        assert np.abs(np.log(np.divide(found[name], REAL["B"][name]))).mean() < 0.3, name
    assert abs(found["largest v at the lids"][0] - REAL["B"]["largest v at the lids"][0]) < 0.2
    assert abs(found["strain of gradients"][0] - REAL["B"]["strain of gradients"][0]) < 0.15
    assert np.abs(np.log(np.divide(found["kurtosis"], REAL["B"]["kurtosis"]))).max() < 0.9


@pytest.mark.parametrize("number", MOVING)
def test_each_unit_moves_skin_as_facs_says(number) -> None:
    face, steady = draw_face(1, 2), 0.45  # a light motion beside a strong one is bent by it
    for move in entry(number).motion:
        for side in ("right", "left"):
            at = list(ANCHORS[move.region][1])
            points = face.points[at if side == "right" else TWIN[at]]
            u, v = unit_field(face, ActionUnit(number=number), *points.T[:, :, None])[..., 0].mean(1)
            sign = 0 if move.region in second_maps.ON_THE_MIDLINE else 1 if side == "right" else -1
            said = np.array([sign * move.medial, -move.up])
            if np.hypot(*said) and move.weight > 0.15:
                assert (u * said[0] + v * said[1]) / np.hypot(u, v) / np.hypot(*said) > steady, move


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_other_side_stays(side) -> None:
    face = draw_face(1, 2)
    mouth = {"right": face.points[61], "left": face.points[TWIN[61]]}
    size = {}
    for name, (x, y) in mouth.items():
        size[name] = np.hypot(
            *unit_field(face, ActionUnit(number=12, side=side), np.array([x]), np.array([y]))
        )
    still = "left" if side == "right" else "right"
    assert size[still] < 0.3 * size[side]


@pytest.mark.parametrize(("words", "said"), [
    (["--subjects", "2"], "--subjects 2: there are three sub-corpora; ask for 3 or more."),
    (["--clips", "5"], "--clips 5: each of 68 subjects has one; ask for more."),
    (["--seed", "-1"], "--seed -1: give a whole number from 0 on."),
    (["--wrong", "1.5"], "--wrong 1.5: give a share between 0 and 1."),
    (["--wrong", "nan"], "--wrong nan: give a share between 0 and 1."),
])  # fmt: skip
def test_options_that_will_not_do_are_named(tmp_path, monkeypatch, capsys, words, said) -> None:
    monkeypatch.setattr(sys, "argv", ["recipes.second_maps", str(tmp_path / "out"), *words])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == f"second_maps: {said}\n" and not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["recipes.second_maps", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "name a new folder" in capsys.readouterr().err and (tmp_path / "mine.txt").read_text() == "mine"
