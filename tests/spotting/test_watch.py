"""A pass over a video that was killed goes on to the numbers of an undisturbed one."""

import json
from dataclasses import fields

import numpy as np
import pytest

from deft_llm.explain.samples import Injected, living_portrait
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import Frame
from deft_llm.spotting import watch as watch_module
from deft_llm.spotting.checkpoint import FILE, load, save
from deft_llm.spotting.watch import Watcher


@pytest.fixture(scope="module")
def frames():
    """A smile in 24 frames; in two of them nobody is there, and the head comes in late."""
    shown = living_portrait([Injected(12, "both", 8, 13, 20, 4.0)], 24, fps=25, seed=3)
    images = [image[::2, ::2].copy() for image in shown]
    for gone in (0, 11, 12):
        images[gone][:] = 90
    return [Frame(i, i / 25, image) for i, image in enumerate(images)]


def watcher(folder, motion=True, key="k"):
    return Watcher(25.0, default_landmarker(), motion=motion, kept=folder, key=key)


def equal(first, second):
    pairs = [(first.tracks[1], second.tracks[1])]
    pairs += [(first.signals[n], second.signals[n]) for n in first.signals]
    return all(
        np.array_equal(getattr(a, one.name), getattr(b, one.name), equal_nan=True)
        for a, b in pairs
        for one in fields(a)
        if one.name not in ("size", "fps", "notes")
    )


@pytest.mark.parametrize("motion", [True, False])
def test_killed_and_run_again_gives_equal_rows(frames, tmp_path, monkeypatch, motion):
    monkeypatch.setattr(watch_module, "KEEP_FRAMES", 7)
    whole = watcher(None, motion)
    for frame in frames:
        whole.add(frame)
    first = watcher(tmp_path / "kept", motion)
    for frame in frames[:17]:
        first.add(frame)
    again = watcher(tmp_path / "kept", motion)  # the first one is not asked to finish
    assert again.frames == 14
    for frame in frames[again.frames :]:
        again.add(frame)
    done = watcher(tmp_path / "kept", motion)
    assert done.frames == 21
    expected = whole.finish()
    assert expected.tracks[1].seen.sum() == 21 and equal(expected, again.finish())
    last = watcher(tmp_path / "kept", motion)  # after the end nothing is left to watch
    assert last.frames == 24 and equal(expected, last.finish())


def test_another_video_or_a_damaged_state_begins_anew(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(watch_module, "KEEP_FRAMES", 3)
    first = watcher(tmp_path, False)
    for frame in frames[:6]:
        first.add(frame)
    assert watcher(tmp_path, False).frames == 6 and watcher(tmp_path, False, key="other").frames == 0
    column = next(tmp_path.glob("face1.track.landmarks"))
    column.write_bytes(column.read_bytes()[:-1])
    assert watcher(tmp_path, False).frames == 0
    (tmp_path / FILE).write_bytes(b"PK\x03\x04 no state")
    assert watcher(tmp_path, False).frames == 0


def test_a_state_names_no_class_that_it_may_not(tmp_path):
    with pytest.raises(TypeError, match="cannot be kept"):
        save(tmp_path, "k", {"a": tmp_path})
    save(tmp_path, "k", {"a": [1.5, None, True, (np.float32(2), "x")], "b": np.eye(2)})
    found = load(tmp_path, "k")
    assert found["a"] == [1.5, None, True, (np.float32(2), "x")] and np.array_equal(found["b"], np.eye(2))
    forged = {"schema": 1, "key": "k", "state": {"class": "Path", "of": {"dict": []}}}
    np.savez(tmp_path / FILE, tree=np.array(json.dumps(forged)))
    assert load(tmp_path, "k") is None


def test_the_state_is_the_same_with_and_without_motion(frames):
    tracks = []
    for motion in (True, False):
        one = watcher(None, motion)
        for frame in frames[:12]:
            one.add(frame)
        tracks.append(one.finish().tracks[1])
    for name in ("landmarks", "furrows", "lips", "thumbnail"):
        assert np.array_equal(getattr(tracks[0], name), getattr(tracks[1], name), equal_nan=True), name
