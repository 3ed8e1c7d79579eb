"""Every script of recipes/ runs on the smallest input and writes what it is for."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.evaluation.questions import question_kind
from deft_llm.explain.samples import Injected, living_portrait, save_video
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.files import write_json
from recipes import flow_samples, real_clips, reference, state_reader

RECIPES = Path(__file__).parents[2] / "recipes"


def test_every_script_is_run_here():
    here = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("*.py"))
    scripts = [path for path in RECIPES.rglob("*.py") if "def main(" in path.read_text()]
    names = [".".join(path.relative_to(RECIPES.parent).with_suffix("").parts) for path in scripts]
    left = {name for name in names if name not in here}
    assert len(names) > 5 and left <= {"recipes.mutants"}, "mutants run these tests; CI runs mutants"


def test_canonical_landmarks(script, tmp_path):
    out = tmp_path / "landmarks.npz"
    script("recipes.canonical_landmarks", "--heads", 3, "--out", out)
    with np.load(out) as made:
        assert np.abs(made["landmarks"] - CANONICAL_LANDMARKS).mean() < 4


def test_reference(script, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "DOCS", tmp_path)
    script("recipes.reference")
    commands = (tmp_path / "commands.md").read_text()
    assert "## deft analyze" in commands and "`--no-figures`" in commands.split("## deft unimer build")[1]
    assert "`motion.steps`" in (tmp_path / "settings.md").read_text()
    assert not reference.undescribed()


def test_state_reader(script, tmp_path):
    frames, out = tmp_path / "frames.npz", tmp_path / "reader.npz"
    script("recipes.state_reader", "render", frames, "--subjects", 2)
    script("recipes.state_reader", "fit", frames, "--out", out)
    assert out.stat().st_size > 0


def test_state_reader_is_checked_on_people_whom_it_was_not_fitted_on(tmp_path):
    for name, people in (("train", [1, 1, 2]), ("test", [2, 3, 3])):
        np.savez(tmp_path / f"{name}.npz", subject=people)
    with pytest.raises(UsageError, match=r"test\.npz: 1 of its subjects are in the files to fit on too"):
        state_reader.check([tmp_path / "train.npz"], tmp_path / "test.npz")


def test_flow_samples_of_other_settings_are_not_taken_for_those_asked_for(tmp_path):
    def make(**changes):
        asked = {"shards": 1, "size": 4, "seed": 1, "identities": 3, "split": "train", "prior": "facs",
                 "unit_sets": ("arkit",), **changes}  # fmt: skip
        flow_samples.make_shards(tmp_path, **asked)
        return {path.name: path.read_bytes() for path in tmp_path.glob("*.npz")}

    made = make()
    assert make() == made and make(shards=2, first=1).keys() == {"00000.npz", "00001.npz"}
    for changes in (
        {"seed": 2}, {"size": 8}, {"split": "validation"}, {"prior": "uniform"}, {"identities": 4},
        {"unit_sets": ("makehuman",)}, {"overrides": {"neutral_chance": 0.5}},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="holds samples of other settings .*choose another folder"):
            make(**changes)
    (tmp_path / flow_samples.SETTINGS).unlink()
    with pytest.raises(UsageError, match="other settings"):
        make()


def test_ship(script, tmp_path):
    shown = script("recipes.ship", tmp_path, "--small", "--print").splitlines()
    assert len(shown) >= 5 and "train" in shown[-1] and not any(tmp_path.iterdir())


def test_flow2text(script, shards, tmp_path):
    words = ("--steps", 1, "--batch", 1, "--backbone", "tiny-random")
    script("recipes.flow2text", shards, "--out", tmp_path / "adapter", *words)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()


def test_vqa_questions(script, maps, tmp_path):
    script("recipes.vqa_questions", "flowmaps", maps, tmp_path / "questions.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    kinds = Counter(question_kind(row["question"]) for row in rows)
    assert {"coarse", "fine", "aus", "au_present", "combined"} <= set(kinds)
    said = Counter(row["answer"] for row in rows if question_kind(row["question"]) == "au_present")
    assert said["yes"] == said["no"]
    script("recipes.vqa_questions", "flowmaps", maps, tmp_path / "few.jsonl", "--clips", 2, "--draw", 1)
    few = [json.loads(line) for line in (tmp_path / "few.jsonl").read_text().splitlines()]
    assert len({row["filename"] for row in few}) == 2 and all(row in rows for row in few)


def test_kills(script, tmp_path):
    assert "unimer" in script("recipes.kills", tmp_path, "--points", 1, "--commands", "unimer")


def test_real_clips(script, tmp_path):
    assert "not there" in script("recipes.real_clips", tmp_path)
    (tmp_path / "truth.csv").write_text("clip,au\nportrait,12\nother,4\n")
    (tmp_path / "score.py").write_text(
        "import json, pathlib, sys\n"
        "rows = pathlib.Path(sys.argv[1]).read_text().split()\n"
        "found = json.loads((pathlib.Path(sys.argv[2]) / 'portrait' / 'result.json').read_text())\n"
        "pathlib.Path(sys.argv[2], 'score').write_text(f'{len(rows)} {len(found[\"movements\"])}')\n"
    )
    assert "holds none" in script("recipes.real_clips", tmp_path)
    move = Injected(12, "right", 20, 28, 36, 1.5)
    save_video(tmp_path / "portrait.mp4", living_portrait([move], 50, fps=50.0), 50.0)
    script("recipes.real_clips", tmp_path, "--out", tmp_path / "out")
    lines, movements = (tmp_path / "out" / "score").read_text().split()
    assert lines == "2" and int(movements) >= 1
    head = "clip,kind,aus,side,onset_s,apex_s,end_s,certainty,only_a,only_b\n"
    (tmp_path / "truth.csv").write_text(
        head + "a,movement,12,both,1,1.2,2,sure,,\na,movement,,both,3,3.2,4,sure,,4\n"
    )
    told = [(12, 1.1, 0.9), (4, 3.1, 0.7), (17, 5.0, 0.7), (1, 6.0, 0.5)]
    units = [{"number": number, "side": "both", "phase": "rise", "onset_time": at, "apex_time": at + 0.2,
              "confidence": chance} for number, at, chance in told]  # fmt: skip
    write_json(tmp_path / "words" / "a" / "result.json", {"movements": [{"aus": units}]})
    assert real_clips.right_by_words(tmp_path / "truth.csv", tmp_path / "words") == {
        "sure": (1, 1), "fairly sure": (0, 1), "low confidence": (0, 1),
    }, "what one reader alone coded is neither right nor wrong"  # fmt: skip
    (tmp_path / "truth.csv").rename(tmp_path / "coded.csv")
    assert "not there" in script("recipes.real_clips", tmp_path)
    (tmp_path / "portrait.mp4").rename(tmp_path / "else.mp4")
    assert "holds none" in script("recipes.real_clips", tmp_path, "--truth", tmp_path / "coded.csv")


def test_the_coded_clips_are_units_with_times():
    rows = list(csv.DictReader((RECIPES / "coded_clips.csv").read_text().splitlines()))
    assert len({row["clip"] for row in rows}) == 19
    assert {row["clip"] for row in rows if row["kind"] == "none"} == {"still1", "still2"}
    for row in rows:
        if row["kind"] == "none":  # nothing but blinks was seen
            continue
        (unit,) = filter(None, (row["aus"], row["only_a"], row["only_b"]))
        assert 0 < int(unit) < 46 and row["kind"] in ("movement", "release")
        assert 0 <= float(row["onset_s"]) <= float(row["apex_s"])


def test_batch_kills(script, tmp_path):
    shown = script("recipes.batch_kills", tmp_path, "--videos", 7, "--kills", 1)
    assert shown.count("none: equal bytes") == 3 and "killed with" in shown
