"""Samples of stores: what counts as truth, and what was left out before there was a store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from deft_llm.benchmark.samples import SampleSet, collect
from deft_llm.facs.notation import parse_aus
from deft_llm.model.units import AU_INDEX
from deft_llm.prepare import prepare
from deft_llm.records import Clip, Source
from deft_llm.store.layout import IndexRow
from deft_llm.training.store_data import targets_of_clip


def coded(root: Path, aus: str) -> tuple[Clip, SampleSet]:
    """A clip of SAMM whose AUs are coded as ``aus``, and the samples of its store."""
    clip = Clip(clip_id="samm/006/a", corpus="samm", subject="samm/006", emotion="anger", coarse="negative",
                source=Source(kind="flow", path="-"), aus=parse_aus(aus).aus)  # fmt: skip
    row = IndexRow(clip=clip, shard=0, group="g0", row=0, units="relative", has=["flow"])
    store: Any = SimpleNamespace(root=root, failures=[], rows={clip.clip_id: row}, motion=lambda name: None)
    return clip, collect([store], "au", "megc3")


def test_an_au_that_is_left_open_is_neither_positive_nor_absent(tmp_path: Path) -> None:
    clip, found = coded(tmp_path, "4/9+13?+10B/C")
    assert [(sample.aus, sample.open_aus) for sample in found.all] == [({10}, {4, 9, 13})]
    assert found.truths[clip.clip_id, None].aus == clip.aus, "scores see what the coder wrote"


def test_an_au_that_is_only_referred_to_is_no_positive(tmp_path: Path) -> None:
    """SAMM's "4D+ref(6)": neither what a method should detect, nor known for training."""
    clip, found = coded(tmp_path, "4D+ref(6)")
    assert [sample.aus for sample in found.all] == [frozenset({4})]
    assert [unit.number for unit in found.truths[clip.clip_id, None].aus or ()] == [4]
    side, known, _, _ = targets_of_clip(clip)
    assert [int(known[AU_INDEX[au]]) for au in (4, 6, 12)] == [1, 0, 1]
    assert [side[AU_INDEX[au]].tolist() for au in (4, 6, 12)] == [[1, 1], [0, 0], [0, 0]]


def test_what_the_loader_lost_is_left_out(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "a.npy", np.random.default_rng(0).normal(size=(28, 28, 2)).astype(np.float32))
    rows = ["clip_id,subject,path,coarse", "x/1/one,x/1,a.npy,negative", "x/1/two,,,positive"]
    rows += ["x/1/three,x/1,../a.npy,positive", "x/1/four,x/1,gone.npy,positive"]
    (maps / "manifest.csv").write_text("\n".join(rows) + "\n")
    found = collect([prepare("flowmaps", maps, tmp_path / "store")], "emotion", "megc3")
    assert list(found.samples) == ["x/1/one"] and len(found.left_out) == 3
    assert "leads out of the corpus folder" in found.left_out["x/1/three"]
    assert found.left_out["x/1/four"].startswith("not prepared: ")
    assert any("row 3 ('x/1/two') lacks subject and path" in reason for reason in found.left_out.values())
