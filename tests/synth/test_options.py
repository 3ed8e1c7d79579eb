"""``deft synth`` does what it says: as many subjects as asked, and no option without effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deft_llm.corpora import load
from deft_llm.corpora.check import check
from deft_llm.store import Store


@pytest.mark.parametrize("layout", ["store", "flowmaps", "ststnet"])
def test_as_many_subjects_as_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run: Callable[..., int], layout: str
) -> None:
    out = tmp_path / layout
    words = ("--level", "flow", "--layout", layout, "--clips", 60, "--subjects", 6, "--seed", 1, "--json")
    assert run("synth", out, *words) == 0
    said = json.loads(capsys.readouterr().out)
    if layout == "store":
        clips = Store(out).clips
        assert len(clips) == 60
    else:
        corpus = load("flowmaps", out)
        assert check(corpus).ok, check(corpus).faults
        clips = corpus.clips
    assert (said["clips"], said["subjects"]) == (len(clips), len({clip.subject for clip in clips}))
    assert said["subjects"] == 6 and said["clips"] + said["left_out"] == 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "flow", "--size", "0"], "--size 0"),
        (["--size", "0"], "--size 0"),
        (["--level", "flow", "--clips", "9" * 20], "--clips"),
        (["--level", "flow", "--clips", "0"], "--clips"),
        (["--long-videos", "9" * 20], "--long-videos"),
        (["--workers", "-3"], "--workers"),
        (["--workers", "99999"], "--workers 99999"),
        (["--level", "flow", "--workers", "-3"], "--workers"),
        (["--level", "flow", "--clips", "3", "--subjects", "5"], "--subjects 5: choose 1 to 3"),
        (["--level", "flow", "--crf", "20"], "--crf: no effect with --level flow"),
        (["--level", "flow", "--negatives", "0.1", "--lures", "0.1"], "--negatives, --lures: no effect"),
        (["--crf", "20"], "--crf: no effect without --format video"),
        (["--seconds", "5"], "--seconds: no effect without --film sequences"),
    ],
)
def test_wrong_and_idle_options_are_usage_errors(
    run: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert run("synth", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
