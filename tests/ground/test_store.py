"""The motion store: round trip, resuming, hashes, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deft_llm.errors import DeftError
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.files import sha256_of
from deft_llm.records import Clip, Source
from deft_llm.store import Motion, RegionTable, Store, StoreWriter
from deft_llm.store.layout import Failure, shard_path, sidecar_path

REGIONS = len(REGION_KEYS)


def make_clip(clip_id: str) -> Clip:
    corpus, subject, _ = clip_id.split("/")
    return Clip(
        clip_id=clip_id,
        corpus=corpus,
        subject=f"{corpus}/{subject}",
        source=Source(kind="flow", path="maps/a.png"),
        emotion="happiness",
    )


def make_motion(clip_id: str, phases: int = 1, size: int = 28) -> Motion:
    random = np.random.default_rng(abs(hash(clip_id)) % 2**32)
    table = RegionTable(*[random.normal(size=(phases, REGIONS)).astype(np.float32) for _ in range(8)])
    return Motion(
        clip_id=clip_id,
        units="relative",
        flow=random.normal(size=(phases, 2, size, size)),
        strain=random.normal(size=(phases, size, size)),
        regions=table,
        mask=np.ones((size, size), bool),
        quality={"noise": 0.5},
    )


def fill(root, shards=2, settings=None):
    writer = StoreWriter(root, settings or {"size": 28})
    made = {}
    for shard in range(shards):
        ids = [f"corpus/s{shard}/c{i}" for i in range(4)]
        made |= {clip_id: make_motion(clip_id, phases=1 + index % 2) for index, clip_id in enumerate(ids)}
        writer.write_shard(
            shard,
            writer.work_key(ids),
            [(make_clip(clip_id), made[clip_id]) for clip_id in ids],
            [Failure(clip_id=f"corpus/s{shard}/bad", reason="no face")],
        )
    failures = writer.finish(shards)
    return made, failures


def test_round_trip_of_clips_motion_and_failures(tmp_path):
    made, failures = fill(tmp_path / "store")
    store = Store(tmp_path / "store")
    assert len(store) == 8
    assert [f.clip_id for f in failures] == [f.clip_id for f in store.failures]
    for clip, motion in store.stream():
        wanted = made[clip.clip_id]
        assert clip.emotion == "happiness"
        assert motion.has == wanted.has
        assert motion.quality == {"noise": 0.5}
        np.testing.assert_allclose(motion.flow, wanted.flow, atol=4e-3)
        np.testing.assert_array_equal(motion.regions.dx, wanted.regions.dx)
        assert motion.mask.dtype == bool
        assert motion.faces is None


def test_bulk_reading_gives_the_same_rows_as_reading_by_id(tmp_path):
    fill(tmp_path / "store")
    store = Store(tmp_path / "store")
    seen = 0
    for rows, arrays in store.shards(["flow", "regions.dy"]):
        for index, row in enumerate(rows):
            motion = store.motion(row.clip.clip_id)
            np.testing.assert_array_equal(arrays["flow"][index].astype(np.float32), motion.flow)
            np.testing.assert_array_equal(arrays["regions.dy"][index], motion.regions.dy)
            seen += 1
    assert seen == len(store)


def test_equal_work_gives_equal_hashes_and_other_work_does_not(tmp_path):
    fill(tmp_path / "one")
    fill(tmp_path / "two")
    fill(tmp_path / "three", shards=1)
    hashes = [Store(tmp_path / name).hash() for name in ("one", "two", "three")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_index_names_the_maps_too(tmp_path):
    """The same clips with the same scalars, of other maps."""
    indices = []
    for scale in (1.0, 2.0):
        writer = StoreWriter(tmp_path / "store", {"size": 28})
        motion = make_motion("corpus/s/c")
        motion.flow *= scale
        writer.write_shard(0, f"of {scale}", [(make_clip("corpus/s/c"), motion)])
        writer.finish(1)
        indices.append((tmp_path / "store" / "index.jsonl").read_bytes())
        (row,) = Store(tmp_path / "store").rows.values()
        assert row.sha256 == sha256_of(shard_path(tmp_path / "store", 0))
    assert indices[0] != indices[1]


def test_a_finished_shard_is_known_and_a_lost_one_is_not(tmp_path):
    fill(tmp_path / "store")
    writer = StoreWriter(tmp_path / "store", {"size": 28})
    key = writer.work_key([f"corpus/s1/c{i}" for i in range(4)])
    assert writer.has_shard(1, key)
    assert not writer.has_shard(1, "another key")
    shard_path(tmp_path / "store", 1).unlink()
    assert not writer.has_shard(1, key)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_a_shard_that_is_not_what_was_written_is_damaged_not_there(tmp_path):
    fill(tmp_path / "store")
    writer = StoreWriter(tmp_path / "store", {"size": 28})
    key = writer.work_key([f"corpus/s1/c{i}" for i in range(4)])
    path, side = shard_path(tmp_path / "store", 1), sidecar_path(tmp_path / "store", 1)
    whole, sidecar = path.read_bytes(), side.read_text()
    path.write_bytes(whole[:1000])
    assert writer.why_not(1, key) == f"damaged: {path}: is not as it was written."
    with pytest.raises(DeftError, match=r"00001\.safetensors: cannot be read .*run the command that made"):
        Store(tmp_path / "store").motion("corpus/s1/c0")
    path.write_bytes(whole)
    assert writer.has_shard(1, key)
    flip(path, -1)  # one bit of a tensor, the size kept
    assert not writer.has_shard(1, key)
    path.write_bytes(whole)
    side.write_text(sidecar.replace('"row":0', '"row":1'))
    assert "00001.json: is not as it was written" in writer.why_not(1, key)
    side.write_text(sidecar[:50])
    assert "00001.json: is not valid JSON" in writer.why_not(1, key)


@pytest.mark.parametrize(("old", "new", "fault"), [
    ('"row": 1', '"row": -1', "line 3: row: Input should be greater than or equal to 0"),
    ('"row": 1', '"row": 0', "index.jsonl: is not as it was written"),
    ('"shard": 0', '"shard": 7', "index.jsonl: is not as it was written"),
    ('"emotion": "happiness"', '"emotion": "fear"', "index.jsonl: is not as it was written"),
    ("{", "[", "line 1 is not valid JSON"),
])  # fmt: skip
def test_an_index_that_was_changed_is_refused_and_made_again(old, new, fault, tmp_path):
    fill(tmp_path / "store")
    index = tmp_path / "store" / "index.jsonl"
    text = index.read_text()
    assert old in text
    index.write_text(text.replace(old, new, 1))
    with pytest.raises(DeftError, match=fault) as caught:
        len(Store(tmp_path / "store"))
    assert "run the command that made the store again" in str(caught.value)
    index.write_text("".join(text.splitlines(keepends=True)[1:]))  # a clip less
    with pytest.raises(DeftError, match="is not as it was written"):
        len(Store(tmp_path / "store"))
    StoreWriter(tmp_path / "store", {"size": 28}).finish(2)
    assert index.read_text() == text and len(Store(tmp_path / "store")) == 8


def test_a_clip_that_failed_for_want_of_memory_is_tried_again(tmp_path):
    writer = StoreWriter(tmp_path / "store", {})
    item = (make_clip("corpus/s/c"), make_motion("corpus/s/c"))
    writer.write_shard(0, "k", [item], [Failure(clip_id="corpus/s/d", reason="no face")])
    assert writer.has_shard(0, "k")
    writer.write_shard(0, "k", [item], [Failure(clip_id="corpus/s/d", reason="MemoryError", passing=True)])
    assert not writer.has_shard(0, "k")


def test_strays_of_an_earlier_larger_run_are_removed(tmp_path):
    fill(tmp_path / "store", shards=3)
    StoreWriter(tmp_path / "store", {"size": 28}).finish(2)
    assert len(Store(tmp_path / "store")) == 8
    assert not shard_path(tmp_path / "store", 2).exists()


def test_refusals_name_the_fault_and_the_mend(tmp_path):
    with pytest.raises(DeftError, match="not a store"):
        Store(tmp_path)
    writer = StoreWriter(tmp_path / "store", {"size": 28})
    with pytest.raises(DeftError, match="unfinished"):
        Store(tmp_path / "store")
    with pytest.raises(DeftError, match="other settings"):
        StoreWriter(tmp_path / "store", {"size": 56})
    item = (make_clip("corpus/s/c"), make_motion("corpus/s/c"))
    writer.write_shard(0, "a", [item])
    writer.write_shard(1, "b", [item])
    with pytest.raises(DeftError, match="there twice"):
        writer.finish(2)
    (tmp_path / "store" / "store.json").write_text(json.dumps({"schema": 0, "settings": {}}))
    with pytest.raises(DeftError, match="schema 0"):
        Store(tmp_path / "store")


def test_an_unknown_clip_is_named(tmp_path):
    fill(tmp_path / "store")
    with pytest.raises(DeftError, match="corpus/x/y"):
        Store(tmp_path / "store").motion("corpus/x/y")
