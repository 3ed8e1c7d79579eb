"""Arrays on the disk: equal to those in memory, let go of after use, gone with the process."""

import pickle
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from deft_llm import spooled
from deft_llm.spooled import OnDisk, Recorded, Spool, Spooled, in_parts, loaded


def test_a_spool_gives_back_what_was_put_whole_or_in_parts(monkeypatch):
    monkeypatch.setattr(spooled, "LARGE", 64)
    random = np.random.default_rng(0)
    whole = {"a": random.normal(size=100), "b": random.integers(0, 9, (7, 3)), "small": np.arange(3)}
    spool = Spool(whole)
    for start in range(0, 100, 30):
        spool.put("parts", whole["a"][start : start + 30].astype(np.float32), start, 100)
    assert all(np.array_equal(spool[name], array) for name, array in whole.items())
    assert np.array_equal(spool["parts"], whole["a"].astype(np.float32))
    spool["a"] = np.zeros(500)
    assert len(spool["a"]) == 500 and np.array_equal(spool["b"], whole["b"])
    with pytest.raises(ValueError, match="read-only"):
        spool["a"][0] = 1.0


@pytest.mark.parametrize("count", [0, 5, 11, 12, 40])
def test_rows_become_columns_in_memory_or_on_the_disk(monkeypatch, count):
    monkeypatch.setattr(spooled, "BLOCK", 4)
    monkeypatch.setattr(spooled, "KEPT_BLOCKS", 2)
    rows = Recorded({"x": np.full(2, np.nan, np.float32), "n": np.array(-1)})
    for i in range(count):
        rows.add({"n": i} if i % 3 == 0 else {"n": i, "x": [i, 0.5]})
    columns = rows.finish()
    assert isinstance(columns["x"], Spooled) == (count > 8)
    x, n = loaded(columns["x"]), loaded(columns["n"])
    assert n.tolist() == list(range(count)) and x.shape == (count, 2) and x.dtype == np.float32
    gone = np.arange(count) % 3 == 0
    assert np.isnan(x[gone]).all() and np.array_equal(x[~gone, 0], n[~gone])


def test_a_field_opens_what_lies_on_the_disk_and_needs_a_value(monkeypatch):
    @dataclass(kw_only=True)
    class Row:
        values: OnDisk[np.ndarray] = OnDisk()
        more: OnDisk[np.ndarray | None] = OnDisk(None)

    monkeypatch.setattr(spooled, "LARGE", 0)
    spool = Spool({"v": np.arange(9.0)})
    row = Row(values=spool._held["v"])
    assert row.values.sum() == 36 and row.values is not row.values and row.more is None
    with pytest.raises(TypeError, match="values"):
        Row()


def test_another_process_gets_the_arrays(monkeypatch):
    monkeypatch.setattr(spooled, "LARGE", 0)
    spool = Spool({"v": np.arange(9.0), ("a", 1): np.eye(3)})
    again = pickle.loads(pickle.dumps(spool))
    assert list(again) == list(spool) and all(np.array_equal(again[key], spool[key]) for key in spool)
    assert np.array_equal(pickle.loads(pickle.dumps(spool._held["v"])), spool["v"])


def test_parts_cover_every_frame_once(monkeypatch):
    monkeypatch.setattr(spooled, "PART", 4)
    parts = list(in_parts(10))
    assert np.concatenate([np.arange(10)[part] for part in parts]).tolist() == list(range(10))
    assert not list(in_parts(0))


LONG = """
import resource, numpy as np
from deft_llm.spooled import Recorded, Spool, in_parts
rows = Recorded({"x": np.zeros(256, np.float32)})
row = np.ones(256, np.float32)
for i in range(40_000): rows.add({"x": row})
held, out = rows.finish()["x"], Spool()
for part in in_parts(40_000):
    for at in range(8): out.put(at, held.open()[part].sum(1, dtype=float), part.start, 40_000)
assert all(out[at].sum() == 40_000 * 256 for at in range(8))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how resident memory is told")
def test_forty_megabytes_of_rows_are_not_held():
    empty = LONG.replace("40_000", "8_000")
    peaks = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for code in (empty, LONG)
    ]
    assert peaks[1] - peaks[0] < 12, peaks  # MiB; the rows alone are 39


def test_the_files_have_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(spooled, "LARGE", 0)
    monkeypatch.setattr(spooled.tempfile, "tempdir", str(tmp_path))
    spool = Spool({"v": np.arange(9.0)})
    assert not list(tmp_path.iterdir()) and spool["v"].sum() == 36
