"""deft prepare on flow maps: what stretching means, failures, resuming, engines; no face needed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.corpora import load
from deft_llm.errors import DeftError, UsageError
from deft_llm.motion.normalise import relative
from deft_llm.prepare import prepare, prepare_corpus
from deft_llm.prepare import work as work_module
from deft_llm.prepare.run import lost_clips
from deft_llm.store import Store


def write_map(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())


def stretched(channels: np.ndarray) -> np.ndarray:
    """u, v, strain (3, h, w), each min-max stretched to 0..255, as the field's maps are."""
    low = channels.min(axis=(1, 2), keepdims=True)
    span = channels.max(axis=(1, 2), keepdims=True) - low
    return np.round((channels - low) / span * 255).astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    root = tmp_path / "maps"
    generator = np.random.default_rng(0)
    for subject, count in (("sub01", 3), ("006", 2), ("s01", 2)):
        for number in range(count):
            name = {"sub01": "sub01_EP41_{}", "006": "006_006_7_{}", "s01": "s01_s01_ne_{}"}[subject].format(
                number
            )
            field = cv2.GaussianBlur(generator.normal(size=(28, 28, 3)), (0, 0), 3).transpose(2, 0, 1)
            write_map(root / subject / "u_test" / str(number % 3) / f"{name} .png", stretched(field))
    return root


def test_stretched_maps_mean_the_same_as_the_flow_they_came_from(tmp_path):
    """Offset and scale of each channel are arbitrary: the prepared motion must not depend on them."""
    field = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(28, 28, 3)), (0, 0), 3).transpose(2, 0, 1)
    write_map(tmp_path / "sub01/u_test/0/sub01_EP1.png", stretched(field))
    store = prepare("flowmaps", tmp_path, tmp_path / "store")
    motion = store.motion("casme2/sub01/EP1")
    assert (motion.units, motion.flow.shape, motion.strain.shape) == ("relative", (1, 2, 28, 28), (1, 28, 28))
    expected = relative(field[None].astype(np.float32))[0]
    np.testing.assert_allclose(motion.flow[0], expected[:2], atol=0.03)
    np.testing.assert_allclose(motion.strain[0], expected[2], atol=0.03)
    assert abs(np.median(motion.flow[0, 0])) < 1e-2
    assert motion.faces is None and motion.landmarks is None and motion.has == {"flow"}
    assert np.isnan(motion.regions.px).all(), "px of a stretched map are not known"


def test_both_phases_and_float_flow(tmp_path):
    flow = np.random.default_rng(2).normal(size=(32, 32, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", flow)
    np.save(tmp_path / "b.npy", flow[::-1])
    np.save(tmp_path / "c.npy", flow[:16, :16])
    (tmp_path / "manifest.csv").write_text(
        "clip_id,subject,path,path_offset,aus\nx/1/one,x/1,a.npy,b.npy,4\nx/1/two,x/1,a.npy,c.npy,\n"
    )
    store = prepare("flowmaps", tmp_path, tmp_path / "store")
    assert store.motion("x/1/one").flow.shape == (2, 2, 32, 32) and "offset-phase" in store.row("x/1/one").has
    assert [failure.clip_id for failure in store.failures] == ["x/1/two"] and "sizes" in store.failures[
        0
    ].reason


def test_prepare_command_and_contact_sheet(run, maps, tmp_path, capsys):
    store = tmp_path / "store"
    assert run("prepare", "flowmaps", str(maps), "--store", str(store), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["clips"], summary["prepared"], summary["failed"], summary["ok"]) == (7, 7, [], True)
    sheet = cv2.imread(str(store / "contact_sheet.png"))
    assert sheet is not None and sheet.std() > 10
    assert run("prepare", "flowmaps", str(maps), "--store", str(store)) == 0
    assert "7 were there" in capsys.readouterr().out


def test_bad_files_are_reported_and_the_rest_is_done(run, maps, tmp_path, capsys):
    bad = maps / "sub01" / "u_test" / "0" / "sub01_EP41_0 .png"
    bad.write_bytes(bad.read_bytes()[:50])
    write_map(maps / "sub02/u_test/0/sub02_EP1.png", np.full((28, 28, 3), 7, np.uint8))
    (maps / "sub03" / "u_test" / "0").mkdir(parents=True)
    store = tmp_path / "store"
    assert run("prepare", "flowmaps", str(maps), "--store", str(store)) == 1
    out = capsys.readouterr().out
    assert "failed: casme2/sub01/EP41_0" in out and "empty-folder" in out
    opened = Store(store)
    assert "casme2/sub01/EP41_0" not in opened and len(opened) >= 6
    assert json.loads((store / "summary.json").read_text())["failed"][0]["clip_id"] == "casme2/sub01/EP41_0"


def test_nothing_is_done_twice_and_changes_are_seen(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(work_module, "FLOW_SHARD", 2)
    store = tmp_path / "store"
    prepare("flowmaps", maps, store)
    first = Store(store).hash()
    stamps = {path: path.stat().st_mtime_ns for path in (store / "shards").iterdir()}
    for path in maps.rglob("*.png"):
        os.utime(path, (1, 1))  # another time stamp is no other content
    prepare("flowmaps", maps, store)
    assert {path: path.stat().st_mtime_ns for path in (store / "shards").iterdir()} == stamps
    changed = maps / "006/u_test/0/006_006_7_0 .png"
    write_map(changed, np.random.default_rng(9).integers(0, 255, (28, 28, 3)).astype(np.uint8))
    report = prepare_corpus(load("flowmaps", maps), store)
    assert report.store.hash() != first and 0 < report.reused < 7
    shutil.rmtree(store)
    prepare("flowmaps", maps, store)
    assert Store(store).hash() == report.store.hash()


def test_other_settings_and_other_corpora_are_refused(maps, tmp_path):
    from deft_llm.motion.measure import MeasureSettings

    prepare("flowmaps", maps, tmp_path / "store")
    with pytest.raises(DeftError, match="other settings"):
        prepare("flowmaps", maps, tmp_path / "store", settings=MeasureSettings(flow="farneback"))


def test_two_prepares_into_one_store_are_refused(maps, tmp_path):
    from filelock import FileLock

    prepare("flowmaps", maps, tmp_path / "store")
    with FileLock(tmp_path / "store" / ".lock"), pytest.raises(DeftError, match="another"):
        prepare("flowmaps", maps, tmp_path / "store")


def test_wrong_usage(run, maps, tmp_path):
    with pytest.raises(UsageError, match="--engine"):
        prepare("flowmaps", maps, tmp_path / "store", engine="slurm")
    with pytest.raises(UsageError, match="--workers"):
        prepare("flowmaps", maps, tmp_path / "store", workers=0)
    assert run("prepare", "flowmaps", str(maps / "none"), "--store", str(tmp_path / "s")) == 2


def test_workers_give_the_same_store(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(work_module, "FLOW_SHARD", 3)
    one = prepare("flowmaps", maps, tmp_path / "one")
    two = prepare("flowmaps", maps, tmp_path / "two", workers=2)
    assert one.hash() == two.hash() and len(one) == 7


def test_moved_corpus_gives_the_same_store(maps, tmp_path):
    one = prepare("flowmaps", maps, tmp_path / "one")
    shutil.move(maps, tmp_path / "elsewhere")
    assert prepare("flowmaps", tmp_path / "elsewhere", tmp_path / "two").hash() == one.hash()


def test_a_damaged_shard_is_named_and_made_again(run, maps, tmp_path, capsys):
    store = tmp_path / "store"
    assert run("prepare", "flowmaps", maps, "--store", store) == 0
    whole = Store(store).hash()
    shard = store / "shards" / "00000.safetensors"
    os.truncate(shard, 1000)
    capsys.readouterr()
    assert run("prepare", "flowmaps", maps, "--store", store) == 0
    out = capsys.readouterr().out
    assert f"damaged, made again: {shard}: is not as it was written" in out and "(0 were there" in out
    assert Store(store).hash() == whole
    assert run("prepare", "flowmaps", maps, "--store", store) == 0
    assert "7 were there" in capsys.readouterr().out


def test_a_passing_lack_of_memory_is_not_remembered(maps, tmp_path, monkeypatch):
    whole = prepare("flowmaps", maps, tmp_path / "whole")
    measure = work_module.measure

    def short_of_memory(root, clip, settings):
        if clip.clip_id.endswith("EP41_1"):
            raise DeftError("the clip could not be read") from MemoryError()
        return measure(root, clip, settings)

    monkeypatch.setattr(work_module, "measure", short_of_memory)
    assert [f.passing for f in prepare("flowmaps", maps, tmp_path / "store").failures] == [True]
    monkeypatch.setattr(work_module, "measure", measure)
    again = prepare("flowmaps", maps, tmp_path / "store")
    assert not again.failures and again.hash() == whole.hash()


def test_a_preparation_that_is_stopped_leaves_no_store_that_opens(maps, tmp_path, monkeypatch):
    """The index of the store that was there must not lead to tensors of other clips."""
    monkeypatch.setattr(work_module, "FLOW_SHARD", 2)
    store = tmp_path / "store"

    def stop(done, total):
        if not done.reused:
            raise RuntimeError("stopped")

    prepare("flowmaps", maps, store)
    (maps / "sub01/u_test/0/sub01_EP41_0 .png").unlink()  # all rows after it move to other places
    with pytest.raises(RuntimeError, match="stopped"):
        prepare("flowmaps", maps, store, progress=stop)
    with pytest.raises(DeftError, match="unfinished"):
        Store(store)
    again = prepare("flowmaps", maps, store)
    assert again.hash() == prepare("flowmaps", maps, tmp_path / "whole").hash() and len(again) == 6


def test_a_preparation_that_changes_nothing_leaves_the_store_open(maps, tmp_path):
    store = tmp_path / "store"
    whole = prepare("flowmaps", maps, store).hash()
    opened = []
    prepare("flowmaps", maps, store, progress=lambda done, total: opened.append(Store(store).hash()))
    assert opened == [whole]


def test_a_row_that_was_not_read_is_lost(run, tmp_path, capsys):
    maps = tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "a.npy", np.random.default_rng(0).normal(size=(28, 28, 2)).astype(np.float32))
    rows = ["clip_id,subject,path,aus", "x/1/one,x/1,a.npy,4", "x/1/two,,,7", "x/1/one,x/1,a.npy,4"]
    (maps / "manifest.csv").write_text("\n".join(rows) + "\n")
    assert run("prepare", "flowmaps", maps, "--store", tmp_path / "store") == 1
    out = capsys.readouterr().out
    assert "unread-row" in out and "duplicate-clip" in out
    lost = lost_clips(Store(tmp_path / "store"))
    assert len(lost) == 2 and "x/1/one" not in lost, "that clip is there: its second row is lost"
    assert any("row 3" in reason and "was not read" in reason for reason in lost.values())
