"""Many videos in one command: one table, reports with an index, faults named, resumed, equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from pympi import Elan

from deft_llm.app.limits import Limits
from deft_llm.app.worker import analyse, propose
from deft_llm.cli import main
from deft_llm.errors import UsageError
from deft_llm.explain import Analyzer
from deft_llm.explain.batch import analyze_videos
from deft_llm.explain.inputs import collect
from deft_llm.explain.outputs import Options
from deft_llm.explain.people import people_of
from deft_llm.explain.samples import Injected, save_video
from deft_llm.explain.tables import write_table
from recipes.forked import start

LENGTHS = (30, 32, 34)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, make_frames):
    """Three short clips in two folders, and a text file that is called a video."""
    folder = tmp_path_factory.mktemp("many") / "clips"
    (folder / "s2").mkdir(parents=True)
    names = ("a.mp4", "b.mp4", "s2/a.mp4")
    for seed, (name, count) in enumerate(zip(names, LENGTHS, strict=True)):
        smile = Injected(12, "both", 4, 10, 18, 4.0)
        save_video(folder / name, [frame[::2, ::2] for frame in make_frames([smile], count, seed=seed)], 25)
    (folder / "broken.mp4").write_text("no video\n" * 40)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Hash by name of every file of a folder but its lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_one_bad_file_is_named_and_stops_none(clips, tmp_path, run, capsys):
    table = tmp_path / "all.csv"
    code = run("analyze", clips, "--fast", "--table", table, "--frames", "f.csv", "--out", tmp_path / "out")
    said = capsys.readouterr()
    assert code == 1 and re.search(r"1 of 4 videos failed: broken\.mp4;", said.err)
    rows = pd.read_csv(table)
    assert list(dict.fromkeys(rows["file"])) == ["a.mp4", "b.mp4", "broken.mp4", "s2/a.mp4"]
    failed = rows[rows["error"].notna()]
    assert failed["file"].tolist() == ["broken.mp4"] and "not a video" in failed["error"].iloc[0]
    for name, count in zip(("a", "b", "s2-a"), LENGTHS, strict=True):
        folder = tmp_path / "out" / "videos" / name
        assert len(pd.read_csv(folder / "f.csv")) == count and (folder / "report.html").is_file()
    index = (tmp_path / "out" / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) == 9 and all((tmp_path / "out" / link).is_file() for link in links)
    assert "broken.mp4" in index and "not a video" in index and "1 could not be analysed" in index
    units = rows.dropna(subset=["au"]).groupby("file")["au"].unique()
    for name in ("a.mp4", "b.mp4", "s2/a.mp4"):
        shown = re.search(rf">{name}</td>.*?Action Units\">([^<]*)<", index, re.DOTALL)[1]
        assert set(re.findall(r"AU(\d+)", shown)) == {str(int(au)) for au in units.get(name, ())}, name
    assert len(units)


def test_what_is_done_is_not_done_again_unless_it_changed(clips, tmp_path, run, capsys):
    words = ("analyze", clips / "a.mp4", clips / "b.mp4", "--fast", "--json", "--out", tmp_path / "out")
    assert run(*words) == 0 and json.loads(capsys.readouterr().out)["reused"] == 0
    result = tmp_path / "out" / "videos" / "a" / "result.json"
    before = result.stat().st_mtime_ns
    assert run(*words) == 0 and json.loads(capsys.readouterr().out)["reused"] == 2
    assert result.stat().st_mtime_ns == before
    assert run(*words, "--mirrored") == 0 and json.loads(capsys.readouterr().out)["reused"] == 0
    assert json.loads(result.read_text())["video"]["mirrored"]
    result.unlink()
    assert run(*words, "--mirrored") == 0 and json.loads(capsys.readouterr().out)["reused"] == 1
    assert result.is_file()


def test_a_damaged_result_is_made_again(clips, tmp_path, run, capsys):
    words = ("analyze", clips / "a.mp4", clips / "b.mp4", "--fast", "--json", "--out", tmp_path / "out")
    assert run(*words) == 0
    before = tree(tmp_path / "out")
    folder = tmp_path / "out" / "videos" / "a"
    for name, data in (("report.html", b""), ("result.json", b"{}"), ("rows.json", b"{")):
        (folder / name).write_bytes(data)
        capsys.readouterr()
        assert run(*words) == 0 and json.loads(capsys.readouterr().out)["reused"] == 1
        assert tree(tmp_path / "out") == before


def test_two_workers_leave_the_bytes_of_one(clips, tmp_path, run):
    found = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        words = ("--fast", "--workers", workers, "--table", tmp_path / f"{workers}.parquet", "--out", out)
        assert run("analyze", clips, *words) == 1
        found.append((tree(out), (tmp_path / f"{workers}.parquet").read_bytes()))
    assert found[0] == found[1] and len(found[0][0]) > 9


@pytest.mark.slow
def test_ray_leaves_the_bytes_of_one_worker(clips, tmp_path, run):
    pytest.importorskip("ray")
    found = []
    for name, words in (("one", ()), ("ray", ("--engine", "ray", "--workers", 2))):
        out, table = tmp_path / name, tmp_path / f"{name}.csv"
        assert run("analyze", clips, "--fast", "--table", table, "--out", out, *words) == 1
        found.append((tree(out), table.read_bytes()))
    assert found[0] == found[1] and b"broken.mp4" in found[0][1]


def test_killed_and_run_again_leaves_the_bytes_of_an_undisturbed_run(clips, tmp_path, run):
    words = ["analyze", clips, "--fast", "--table", tmp_path / "all.csv"]
    assert run(*words, "--out", tmp_path / "whole") == 1
    whole, table = tree(tmp_path / "whole"), (tmp_path / "all.csv").read_bytes()
    out = tmp_path / "killed"
    process = start(main, [*map(str, words), "--out", str(out)], log=tmp_path / "log")
    deadline = time.monotonic() + 120
    while not list(out.glob("videos/*/rows.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    there = list(out.glob("videos/*/rows.json"))
    assert 0 < len(there) < 4 and not (out / "index.html").exists()
    kept = there[0].stat().st_mtime_ns
    assert run(*words, "--out", out) == 1
    assert tree(out) == whole and (tmp_path / "all.csv").read_bytes() == table
    assert there[0].stat().st_mtime_ns == kept


def test_a_list_says_person_frames_and_neutral(clips, tmp_path, run):
    listed = tmp_path / "list.csv"
    text = "video;person;onset;apex;remark\n{0}/a.mp4;Ann;4;10;x\n{0}/a.mp4;Ann;;;\n{0}/b.mp4;Ben;;;\n"
    listed.write_text(text.format(os.path.relpath(clips, tmp_path)))
    assert run("analyze", listed, "--fast", "--table", tmp_path / "t.csv", "--out", tmp_path / "o") == 0
    rows = pd.read_csv(tmp_path / "t.csv")
    given = rows[rows["kind"] == "given"]
    assert set(rows["person"]) == {"Ann", "Ben"} and len(given)
    assert (given[["onset", "apex"]].drop_duplicates().to_numpy() == [[4, 10]]).all()
    assert len(list((tmp_path / "o" / "videos").iterdir())) == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.mp4,-3,,", "onset '-3'"),
        ("a.mp4,x,,", "onset 'x'"),
        ("a.mp4,1,maybe,", "mirrored 'maybe'"),
        ("a.mp4,,,calm", "neutral calm: give frames (10-24) or seconds (0.5s-1.2s)"),
        ("a.mp4,,,1s-20", "neutral 1s-20"),
        ("a.mp4,,,24-10", "neutral 24-10: ends before it begins"),
    ],
)
def test_a_list_with_a_value_that_cannot_be_is_refused_with_its_row(tmp_path, run, capsys, row, said):
    (tmp_path / "list.csv").write_text(f"video,onset,mirrored,neutral\nb.mp4,1,no,3-9\n{row}\n")
    assert run("analyze", tmp_path / "list.csv") == 2
    assert f"list.csv: row 3: {said}" in capsys.readouterr().err


def test_a_neutral_that_cannot_be_is_refused_before_any_video_is_read(clips, tmp_path, run, capsys):
    assert run("analyze", clips, "--neutral", "calm", "--out", tmp_path / "o") == 2
    assert "--neutral calm: give frames" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_neutral_frames_outside_a_video_are_named_for_that_video(clips, tmp_path, run):
    listed = tmp_path / "list.csv"
    there = os.path.relpath(clips, tmp_path)
    listed.write_text(f"video,neutral\n{there}/a.mp4,900-950\n{there}/b.mp4,0-3\n")
    assert run("analyze", listed, "--fast", "--table", tmp_path / "t.csv", "--out", tmp_path / "o") == 1
    rows = pd.read_csv(tmp_path / "t.csv").set_index("file")["error"].dropna()
    assert list(rows.index) == [f"{there}/a.mp4"] and "900-950: the video has frames 0 to" in rows.iloc[0]


def test_people_share_the_neutral_of_their_clips(tmp_path, make_frames):
    """Who smiles from the first frame to the last of one clip is told by the other one."""
    calm = make_frames([], 30, seed=1)
    smiling = make_frames([Injected(12, "both", -40, -20, 200, 7.0, release=150)], 30, seed=2)
    for name, frames in (("calm", calm), ("smiling", smiling), ("other", calm)):
        save_video(tmp_path / f"{name}.mp4", frames, 25)
    (tmp_path / "list.csv").write_text(
        "video,person\nsmiling.mp4,Ann\ncalm.mp4,Ann\nother.mp4,Ben\nnowhere.mp4,Ann\n"
    )
    videos = collect([tmp_path / "list.csv"]).videos
    batch = analyze_videos(videos, tmp_path / "out", Options(fast=True))
    assert [record.error is None for record in batch.records] == [True, True, True, False]
    result = [
        json.loads((tmp_path / "out" / "videos" / name / "result.json").read_text())["neutral"][0]
        for name in ("smiling", "calm", "other")
    ]
    assert result[0]["levels"] == result[1]["levels"] and "2 clips" in result[0]["source"]
    assert not result[0]["frames"] and result[1]["frames"]
    own = Analyzer.from_pretrained("rules").analyze(tmp_path / "smiling.mp4", fast=True).states[0].neutral
    calm_level = result[2]["levels"]["corner_up_left"]
    assert abs(result[0]["levels"]["corner_up_left"] - calm_level) < 1
    assert own.levels["corner_up_left"] - calm_level > 3
    assert not list((tmp_path / "out" / "neutrals").glob("*.npz"))
    again = analyze_videos(videos, tmp_path / "out", Options(fast=True))
    assert again.reused == 4


def test_page_command_and_python_give_the_same_numbers(smile_clip, tmp_path, run):
    words = ("--method", "rules", "--out")
    assert run("analyze", smile_clip, "--table", tmp_path / "one.csv", *words, tmp_path / "out") == 0
    copy = tmp_path / "more" / smile_clip.name
    copy.parent.mkdir()
    copy.write_bytes(smile_clip.read_bytes())
    assert run("analyze", copy.parent, "--table", tmp_path / "many.csv", *words, tmp_path / "outs") == 0
    page = analyse(smile_clip, "rules", False, Limits(), None, lambda share, text: None).analysis
    python = Analyzer.from_pretrained("rules").analyze(smile_clip)
    for name, analysis in (("page.csv", page), ("python.csv", python)):
        write_table(tmp_path / name, [analysis.to_dataframe()])
    texts = {(tmp_path / f"{name}.csv").read_text() for name in ("one", "many", "page", "python")}
    assert len(texts) == 1 and ",12," in texts.pop()
    coding = propose(smile_clip, None, "rules", None, lambda share, text: None).record  # of deft app --folder
    command = json.loads((tmp_path / "out" / "result.json").read_text())
    assert coding["movements"] == command["movements"] and coding["events"] == command["events"]


def test_elan_is_written_for_each_video(clips, tmp_path, run):
    out = tmp_path / "out"
    assert run("analyze", clips / "a.mp4", clips / "b.mp4", "--fast", "--elan", "x.eaf", "--out", out) == 0
    for name in ("a", "b"):
        result = json.loads((out / "videos" / name / "result.json").read_text())
        eaf = Elan.Eaf(str(out / "videos" / name / "x.eaf"))
        units = {f"AU{unit['number']} {unit['side']}" for one in result["movements"] for unit in one["aus"]}
        assert units and units <= set(eaf.get_tier_names())
        assert eaf.media_descriptors[0]["MEDIA_URL"] == (clips / f"{name}.mp4").as_uri()


def edit(path: Path) -> str:
    """What a coder leaves in ELAN's file."""
    path.write_text(path.read_text().replace("</ANNOTATION_VALUE>", " EDIT</ANNOTATION_VALUE>"))
    return path.read_text()


def test_what_a_coder_changed_in_elans_file_is_never_lost(clips, tmp_path, run, capsys):
    words = ("analyze", clips / "a.mp4", clips / "b.mp4", "--fast", "--out", tmp_path / "out")
    folder = tmp_path / "out" / "videos" / "a"
    assert run(*words, "--elan", "x.eaf") == 0
    for more, name in ((("--elan", "x.eaf"), "x.edited.eaf"),
                       (("--elan", "x.eaf", "--frames", "f.csv"), "x.edited-2.eaf"),
                       ((), "x.edited-3.eaf")):  # fmt: skip
        edited = edit(folder / "x.eaf")
        capsys.readouterr()
        assert run(*words, *more) == 0
        said = capsys.readouterr().err.splitlines()
        assert [line.split(": ")[0] for line in said] == [str(folder / name)]
        assert (folder / name).read_text() == edited
        assert not more or "EDIT" not in (folder / "x.eaf").read_text()
    assert not list(folder.glob("x.eaf*")) and len(list(folder.glob("*.eaf"))) == 3
    assert not list((folder.parent / "b").glob("*.eaf")), "as deft left it: there is nothing to keep"


def test_what_a_coder_changed_is_kept_for_one_video_too(clips, tmp_path, run, capsys):
    mine = tmp_path / "mine.eaf"
    words = ("analyze", clips / "a.mp4", "--fast", "--out", tmp_path / "out", "--elan", mine)
    mine.write_text("a coding that deft did not write")
    assert run(*words) == 0 and str(tmp_path / "mine.edited.eaf") in capsys.readouterr().err
    assert (tmp_path / "mine.edited.eaf").read_text() == "a coding that deft did not write"
    assert run(*words) == 0 and not capsys.readouterr().err
    edited = edit(mine)
    assert run(*words, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and str(tmp_path / "mine.edited-2.eaf") in err
    assert (tmp_path / "mine.edited-2.eaf").read_text() == edited and "EDIT" not in mine.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--onset", "3"], "--onset: means one video"),
        (["--frames", "there/f.csv"], "file name alone"),
        (["--overlay", "/x/f.mp4"], "file name alone"),
        (["--elan", "f.txt"], ".eaf"),
        (["--engine", "cloud"], "--engine cloud"),
        (["--table", "t.txt"], "t.txt"),
    ],
)
def test_options_that_make_no_sense_are_refused(clips, tmp_path, run, capsys, words, said):
    code = run("analyze", clips / "a.mp4", clips / "b.mp4", "--fast", "--out", tmp_path / "out", *words)
    assert code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "out" / "videos").exists()


def test_one_video_takes_no_workers_and_many_need_some(clips, tmp_path, run, capsys):
    assert run("analyze", clips / "a.mp4", "--workers", 2) == 2
    assert "--workers" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("analyze", tmp_path / "empty") == 1
    assert "holds no videos" in capsys.readouterr().err


def test_names_are_unique_and_results_are_no_input(clips, tmp_path):
    inputs = collect([clips / "a.mp4", clips, clips / "s2" / "a.mp4"])
    assert [one.name for one in inputs.videos] == ["a", "b", "broken", "s2-a"] and inputs.several
    (clips.parent / "out" / "videos" / "x").mkdir(parents=True)
    (clips.parent / "out" / "videos" / "x" / "seen.mp4").touch()
    (clips.parent / "out" / "videos" / "x" / "rows.json").touch()
    labels = [one.label for one in collect([clips.parent]).videos]
    assert labels == ["clips/a.mp4", "clips/b.mp4", "clips/broken.mp4", "clips/s2/a.mp4"]


def test_a_video_is_of_one_person(tmp_path):
    """One that is named without a person and in a list is one video; "006" and "6" are one person."""
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "b.mp4").write_bytes(b"")
    table = tmp_path / "list.csv"
    table.write_text("video,person\na.mp4,006\n./a.mp4,6\nb.mp4,6\n")
    videos = collect([tmp_path / "a.mp4", table]).videos
    assert [(one.path.name, one.person) for one in videos] == [("a.mp4", "006"), ("b.mp4", "6")]
    assert people_of(videos) == {"006": [[0], [1]]}
    table.write_text("video,person\na.mp4,006\na.mp4,7\n")
    with pytest.raises(UsageError, match=r"a\.mp4: is listed as 006's and as 7's"):
        collect([table])


@pytest.mark.parametrize("words", [["--overlay", "v.mp4"], ["--table", "x.csv", "--frames", "x.csv"]])
def test_an_output_is_never_an_input_nor_another_output(tmp_path, run, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"a film")
    assert run("analyze", "v.mp4", *words) == 2
    assert words[1] in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"a film"
