"""Every script of benchmarks/ runs on the smallest input and prints the figures that it is for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks import ablations
from benchmarks.expert_duty import PROMPTS
from deft_llm.cli import main
from deft_llm.model.checkpoint import SHIPPED
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.language import tiny_backbone
from deft_llm.unimer.build import build

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIBRARIES = {"__init__", "films", "looped"}  # read by the others


def _deft(*words: object) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([str(word) for word in words])


def numbers(line: str) -> list[float]:
    """The decimal figures of a line."""
    return [float(found) for found in re.findall(r"-?\d+\.\d+", line)]


def line_with(text: str, word: str) -> str:
    """The first line that holds a word."""
    return next(line for line in text.splitlines() if word in line)


def test_every_script_is_run_here():
    here = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("*.py"))
    names = {path.stem for path in BENCHMARKS.glob("*.py")} - LIBRARIES
    assert not [name for name in sorted(names) if f"benchmarks.{name}" not in here]


def test_startup(script):
    out = script("benchmarks.startup")
    assert 0 < numbers(line_with(out, "import deft_llm"))[0] < 60 and "deft --help" in out


@pytest.mark.slow
def test_long_video(script, tmp_path):
    words = ["--seconds", 6, "--minutes", 0.1, 0.2, "--fps", 8, "--fast", "--kill-at", 0.5]
    lines = script("benchmarks.long_video", tmp_path, *words).splitlines()
    short, long, ratio, again = (json.loads(line) for line in lines)
    assert short["frames"] == 48 and long["frames"] == 96 and 0.8 < ratio["memory_over"] < 1.2
    assert again["was_killed"] and again["equal"] == {"frames.csv": True, "all.csv": True}


def test_memory_of_long_tracks_is_that_of_short_ones(script, tmp_path):
    lines = script(
        "benchmarks.long_video", tmp_path, "--tracks", "--minutes", 0.5, 8, "--fps", 12
    ).splitlines()
    short, long = (json.loads(line) for line in lines)
    assert long["frames"] == 5760 and long["movements"] > 10 * short["movements"] > 0
    assert long["peak_mib"] < short["peak_mib"] + 60


@pytest.mark.slow
def test_corrections(figures, maps, tmp_path):
    found = figures("benchmarks.corrections", maps, tmp_path / "work", "--steps", 4, "--share", 0.5)
    assert found["people coded, tested"] == [2, 2] and len(found["more right classes"]) == 3
    assert all(0 <= found[one]["uf1"][0] <= 1 for one in ("shipped", "trained"))


@pytest.fixture
def chromium():
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium here: apt-get install chromium (CI does)")


@pytest.mark.slow
def test_study(figures, chromium, tmp_path):
    words = ["--clips", "2", "--subjects", "1", "--size", "192", "--format", "video", "--negatives", "0"]
    _deft("synth", tmp_path / "films", *words, "--long-videos", "0")
    found = figures("benchmarks.study", tmp_path / "films", tmp_path / "work")
    assert found["clips listed"] == 2 and found["coded blind"]["first round"] == "blind"
    theirs, kept, mine = found["ELAN"]["events of anna, in the file, of ben"]
    assert theirs == kept == mine >= 1 and found["agreement"]["rows that differ"] == 1
    widths = [path.stem.rsplit("-", 1)[1] for path in (tmp_path / "work" / "pictures").glob("*.png")]
    assert widths.count("390") == widths.count("1440") >= 4


@pytest.mark.slow
def test_coding(figures, chromium, tmp_path):
    words = ["--clips", "1", "--subjects", "1", "--size", "192", "--format", "video", "--negatives", "0"]
    _deft("synth", tmp_path / "films", *words, "--long-videos", "0")
    found = figures("benchmarks.coding", tmp_path / "films", "--clips", 1)
    assert found["clips"] == 1 and found["events"] >= 1
    assert sum(found["actions for them"].values()) == found["actions"]["proposals"]
    stated = sum(number for kind, number in found["proposals"].items() if kind != "missed")
    assert (found["actions per wrong proposal"] is None) == (stated == 0)
    assert all(actions > 1 for actions in found["actions per event"].values())


def test_render(script):
    assert numbers(line_with(script("benchmarks.render", "--size", 96, "--frames", 2), "frames/s"))[0] > 0


def test_flow(script, clips):
    out = script("benchmarks.flow", clips, "--methods", "farneback")
    assert all(0 < error < 90 for error in numbers(out.splitlines()[-1]))


def test_calm_windows(figures, clips, tmp_path):
    found = figures("benchmarks.calm_windows", clips, tmp_path / "calm", "--flow", "farneback")
    assert found["neutral"] >= 0 and (tmp_path / "calm").is_dir()


def test_synth_flow(script):
    out = script("benchmarks.synth_flow", "--samples", 8, "--identities", 1)
    assert numbers(line_with(out, "mean |flow|"))[0] > 0


@pytest.mark.parametrize("what", ["subjects", "aus"])
def test_synth_sheets(script, what, tmp_path):
    out = script("benchmarks.synth_sheets", what, tmp_path / "sheet.jpg", "--count", 1, "--size", 96)
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000 and "sheet.jpg" in out


def test_synth_detectors(script, clips):
    assert "face found in 6 of 6 frames" in script("benchmarks.synth_detectors", "--corpus", clips)


def test_table_words(figures, shards, store):
    found = figures("benchmarks.table_words", shards, store, "--samples", 60)
    assert found["fitted on"] > 10 and 0 <= found["uf1"] <= 1


def test_transfer(script, maps):
    out = script("benchmarks.transfer", "--target", maps, "--samples", 60, "--identities", 2)
    assert 0 <= numbers(out.splitlines()[-1])[0] <= 1


def test_loso(figures):
    found = figures("benchmarks.loso", "--methods", "svm", "--clips", 20, "--subjects", 3, "--workers", 1)
    assert found["clips"] == 20 and 0 <= found["uf1"] <= 1


def test_tables(script, tmp_path):
    document, table = tmp_path / "a.md", tmp_path / "a.csv"
    document.write_text("x\n<!-- begin one -->\nold\n<!-- end one -->\ny\n")
    table.write_text("run,score,more\na,'+0.5,x\nb,0.25,x\n")
    script("benchmarks.tables", document, f"one={table}", "--columns", "run,score", "--where", "run=a")
    text = document.read_text()
    assert "| +0.5 |" in text and "0.25" not in text and "more" not in text and "old" not in text
    with pytest.raises(SystemExit, match="0 places"):
        script("benchmarks.tables", document, f"two={table}")


def test_laterality(script, clips, clip_store):
    out = script("benchmarks.laterality", "--scenes", 20, "--subjects", 2)
    assert all(0 <= share <= 1 for share in numbers(out.splitlines()[-1])[1:])
    assert "shipped" in script("benchmarks.laterality", "--stores", clip_store, "--corpus", clips)


def test_constraint(script, clips, clip_store):
    out = script("benchmarks.constraint", "--scenes", 20, "--subjects", 2, "--maps", 20)
    assert 0 <= float(re.search(r"precision ([\d.]+)", out).group(1)) <= 1
    assert "recall" in script("benchmarks.constraint", "--store", clip_store, "--corpus", clips)


def test_unimer(script):
    out = script("benchmarks.unimer", "--clips", 3).splitlines()
    assert [line.split()[1] for line in out] == ["3", "30"]


def test_portrait_store(figures, tmp_path):
    words = ("--flow", "farneback", "--sizes", 1, "--crf", 0, "--sets", "12")
    assert figures("benchmarks.portrait_store", tmp_path / "store", *words)["clips"] == 6


def test_proxy_maps(script, tmp_path):
    out = tmp_path / "proxy"
    script("benchmarks.proxy_maps", "--out", out, "--clips", 1, "--subjects", 1, "--portraits", 1)
    assert len((out / "manifest.csv").read_text().splitlines()) == 3


def test_motion(script, clips):
    assert numbers(line_with(script("benchmarks.motion", "--rendered", clips), "gain"))[0] > 0


def test_spotting(script):
    out = script("benchmarks.spotting", "--videos", "portrait", "--seconds", 4, "--sizes", 2)
    assert '"warps"' in out and '"false_micro_a_minute": 0.0' in out


def test_codecs(script):
    words = ("--seeds", 1, "--sizes", 4, "--codings", "18", "--covers", "mirror")
    rows = [
        [cell.strip() for cell in line.split("|")]
        for line in script("benchmarks.codecs", *words).splitlines()
    ]
    coded = next(row for row in rows if row[1:2] == ["crf 18"])
    mirrored = [row for row in rows if row[1:2] == ["mirror"]]
    assert coded[4] == "1" and coded[7] == "" and [row[4] for row in mirrored] == ["-", "1"]


def test_analyze(script):
    assert '"cpu_seconds"' in script("benchmarks.analyze", "--memory", 1)


def test_app(script):
    out = script("benchmarks.app", "--jobs", 2, "--slots", 1, "--frames", 40, "--method", "rules")
    assert '"finished": 2' in out


def test_prepare(figures):
    found = figures("benchmarks.prepare", "--clips", 2, "--engines", 1)["share_of_time"]
    assert 0 < found["flow"] < 1 < found["whole_over_library_calls"]


def test_generate(figures):
    words = ("--batch", 1, "--tokens", 2, "--repeat", 1, "--backbone", "tiny-random")
    assert figures("benchmarks.generate", *words)["ratio"] > 0


def test_train(figures):
    found = figures("benchmarks.train", "--steps", 1, "--batch", 1, "--backbone", "tiny-random")
    assert found["ratio"] > 0 and found["motion_samples_per_cpu_s"] > 0


def test_au_table(script):
    row = line_with(script("benchmarks.au_table"), "12 ")
    assert "corner" in row and 0 < numbers(row)[0] <= 1


def test_packing(figures):
    words = ("--backbone", "tiny-random", "--clips", 1, "--questions", 2, "--repeat", 1)
    assert all(value > 0 for value in figures("benchmarks.packing", *words).values())


@pytest.fixture
def few(monkeypatch):
    """Ablations are tested on few samples and intervals."""
    for name, count in {"FLOW_TEST": 150, "TEST_IDENTITIES": 2, "RESAMPLES": 20}.items():
        monkeypatch.setattr(ablations, name, count)


def test_ablations_of_the_motion_expert(script, shards, tmp_path, few):
    words = ("--out", tmp_path, "--seeds", 1, "--steps", 3, "--batch", 8, "--shards", 1)
    script("benchmarks.ablations", "motion", shards, *words)
    rows = [line for line in script("benchmarks.ablations", "table", *words).splitlines() if "[" in line]
    assert rows[0].startswith("| full") and len(rows) > 5
    assert all(0 <= numbers(row)[0] <= 1 for row in rows)


def test_ablations_of_the_face_experts(script, films, tmp_path, few):
    words = ("--out", tmp_path, "--seeds", 1, "--steps", 3, "--batch", 4)
    script("benchmarks.ablations", "faces", films, "--test", films, *words)
    out = script("benchmarks.ablations", "table", *words)
    assert "motion alone" in out and "| full" in out


def test_answers(figures, held):
    found = figures("benchmarks.answers", SHIPPED, held, "--clips", 1)
    assert found["clips"] == 1 and 0 <= found["parsed"] <= 1


@pytest.fixture
def tiny_checkpoint(tmp_path):
    """A small random checkpoint with a language part."""
    llm, tokenizer = tiny_backbone()
    model = DeftModel(
        DeftConfig(backbone="tiny-random", lora_rank=2, conditioned_on=["motion"]), llm, tokenizer
    )
    model.save_pretrained(tmp_path / "tiny", {"prior": "facs"})
    return tmp_path / "tiny"


def test_expert_duty(script, films, tmp_path, tiny_checkpoint):
    unimer = tmp_path / "rows"
    build(films, unimer, figures=False)
    words = ("--rows", 2, "--tasks", "region,vqa_aus", "--json", tmp_path / "duty.json")
    script("benchmarks.expert_duty", tiny_checkpoint, films, unimer, *words)
    table = json.loads((tmp_path / "duty.json").read_text())
    assert set(table["region"]) == set(PROMPTS)
    assert all(0 <= cell["share"] <= 1 for cell in table["region"].values())
    assert set(table["another structure"]) >= {"told otherwise", "AU sets otherwise"}


def test_film_aus(script, films, tmp_path):
    words = (SHIPPED, films, "--calibrated", films)
    assert "No AU is shown by 60 clips" in script("benchmarks.film_aus", *words, "--least", 60)
    out = script("benchmarks.film_aus", *words, "--least", 1, "--json", tmp_path / "aus.json")
    table = json.loads((tmp_path / "aus.json").read_text())
    assert "and what the flow supports" in out and set(table) == {"aus", "sides"}
    assert all(0 <= row["motion expert"]["f1"] <= 1 for row in table["aus"].values())


def test_held(script, films, tmp_path):
    out = script("benchmarks.held", SHIPPED, films, "--json", tmp_path / "held.json")
    table = json.loads((tmp_path / "held.json").read_text())
    assert set(table["held"]) == {"neutral", "without"} and "held from" in out
    assert all(0 <= row["auc"] <= 1 for row in table["held"]["neutral"])


def test_asked_beforehand(figures, held, tmp_path, tiny_checkpoint):
    words = ("--checkpoint", tiny_checkpoint, "--clips", 1, "--answers", tmp_path / "answers.md")
    found = figures("benchmarks.asked_beforehand", held, *words)
    assert found["clips"] == 1 and found["questions"] > 50
    assert {"answerable", "not answerable", "false premise"} <= set(found)
    assert "Is he guilty?" in (tmp_path / "answers.md").read_text()


def test_disentangle(script, films, tmp_path):
    script("benchmarks.disentangle", SHIPPED, films, films, "--steps", 0, "--json", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["subjects"] == 2 and set(found["scores"]) >= {"motion alone", "all experts"}


def test_headline(script, shards, films):
    out = script("benchmarks.headline", shards, films, "--trained", SHIPPED, "--methods", "majority,rules")
    assert 0 <= numbers(line_with(out, "| majority"))[0] <= 1 and "deft, shipped" in out


def test_llm_ablations(script, shards, held, tmp_path):
    words = ("--out", tmp_path, "--clips", 1, "--only", "both", "--steps", 1)
    assert line_with(script("benchmarks.llm_ablations", shards, held, *words), "| both")
