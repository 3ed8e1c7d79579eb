"""deft store purge: a subject leaves tensors, index, contact sheet, and does not come back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.errors import DeftError
from deft_llm.files import sha256_of
from deft_llm.prepare import prepare
from deft_llm.prepare import work as work_module
from deft_llm.prepare.purge import purge
from deft_llm.store import Store
from deft_llm.store.layout import shard_path


@pytest.fixture
def maps(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(work_module, "FLOW_SHARD", 4)
    for number in range(9):
        folder = tmp_path / "maps" / f"sub{number % 3 + 1:02d}" / "u_test" / "0"
        folder.mkdir(parents=True, exist_ok=True)
        size = 28 if number % 2 else 32  # two groups of tensors
        image = np.random.default_rng(number).integers(0, 256, (size, size, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"EP{number}.png"), image)
    (tmp_path / "maps" / "sub02" / "u_test" / "0" / "EP99.png").write_bytes(b"broken")
    return tmp_path / "maps"


def test_purge(run, maps, tmp_path, capsys):
    store = prepare("flowmaps", maps, tmp_path / "store")
    before = {clip.clip_id: store.motion(clip.clip_id).flow for clip in store.clips}
    assert run("store", "purge", "casme2/sub2", tmp_path / "store") == 0
    assert "3 clips" in capsys.readouterr().out
    after = Store(tmp_path / "store")
    assert {clip.subject for clip in after.clips} == {"casme2/sub01", "casme2/sub03"} and len(after) == 6
    for clip in after.clips:
        np.testing.assert_array_equal(after.motion(clip.clip_id).flow, before[clip.clip_id])
        row = after.row(clip.clip_id)
        assert row.sha256 == sha256_of(shard_path(after.root, row.shard))
    assert after.failures == []
    for path in (tmp_path / "store").rglob("*"):
        if path.suffix in (".json", ".jsonl") and path.name != "purged.json":
            assert "sub02/" not in path.read_text(), path
    stored = sum(len(rows) for rows, _ in after.shards(["flow"]))
    tensors = sum(arrays["flow"].shape[0] for _, arrays in after.shards(["flow"]))
    assert stored == tensors == 6, "the tensors themselves are gone"
    again = prepare("flowmaps", maps, tmp_path / "store")
    assert {clip.subject for clip in again.clips} == {"casme2/sub01", "casme2/sub03"}


def test_unknown_subject(run, maps, tmp_path):
    prepare("flowmaps", maps, tmp_path / "store")
    with pytest.raises(DeftError, match="no subject"):
        purge(tmp_path / "store", "samm/006")
    assert run("store", "purge", "x", tmp_path / "none") == 1
