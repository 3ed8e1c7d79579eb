"""Synthetic clips in the folders and tables of real corpora, read by the real loaders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft_llm import corpora
from deft_llm.facs.emotions import coarse_of
from deft_llm.synth.core.settings import VideoSettings

pytest.importorskip("moderngl")


@pytest.mark.parametrize("layout", ["casme2", "samm", "smic", "casme3", "folder"])
def test_layout_reads_as_the_corpus(layout: str, tmp_path: Path) -> None:
    from deft_llm.synth.video.corpus import make_corpus

    make_corpus(tmp_path / "c", VideoSettings(
        clips=2, subjects=1, size=96, layout=layout, negatives=0.0, lures=0.0, long_videos=0))  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "c" / "records.jsonl").read_text().splitlines()]
    found = corpora.load(layout, tmp_path / "c")
    assert not [fault for fault in found.faults if fault.severity == "fault"]
    assert len(found.clips) == len(rows) == 2
    by_path = {row["source"]["path"]: row for row in rows}
    for clip in found.clips:
        row = by_path[clip.source.path]
        assert len(clip.source.frames) == len(row["source"]["frames"])
        if layout == "smic":
            assert clip.coarse == row["coarse"]
            continue
        assert (clip.onset, clip.apex, clip.offset) == (row["onset"], row["apex"], row["offset"])
        assert [au.number for au in clip.aus] == [au["number"] for au in row["aus"]]
        assert coarse_of(clip.emotion) == row["coarse"] or row["emotion"] in ("others", "tense")
