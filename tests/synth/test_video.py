"""Rendered clips: the same bytes every time, truth that holds, records that read back."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.cli import main
from deft_llm.errors import DeftError, UsageError
from deft_llm.synth.core.settings import VideoSettings, clip_specs
from recipes import forked

pytest.importorskip("moderngl")

SMALL = {"clips": 3, "subjects": 2, "seed": 1, "size": 96, "negatives": 0.0, "lures": 0.0, "long_videos": 0}


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of a corpus."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def files_in(root: Path) -> int:
    """How many files lie in a folder that a running process writes to and moves around in."""
    return sum(len(names) for _, _, names in os.walk(root))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus made by one process."""
    from deft_llm.synth.video.corpus import make_corpus

    out = tmp_path_factory.mktemp("synth") / "one"
    make_corpus(out, VideoSettings(**SMALL))
    return out


def test_same_bytes_with_two_workers(made: Path, tmp_path: Path) -> None:
    from deft_llm.synth.video.corpus import make_corpus

    make_corpus(tmp_path / "two", VideoSettings(**SMALL), workers=2)
    assert digests(tmp_path / "two") == digests(made)


def test_a_stopped_run_goes_on(made: Path, tmp_path: Path) -> None:
    import shutil

    from deft_llm.synth.video.corpus import make_corpus

    out = tmp_path / "stopped"
    shutil.copytree(made, out)
    before = digests(made)
    kept = (out / "records" / "c0000.json").stat().st_mtime_ns
    (out / "records" / "c0001.json").unlink()
    (out / "truth" / "c0001.npz").unlink()
    (out / "records.jsonl").unlink()
    make_corpus(out, VideoSettings(**SMALL))
    assert digests(out) == before
    assert (out / "records" / "c0000.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize("damage", ["frame cut off", "frame lost", "truth cut off", "record cut off"])
def test_a_damaged_clip_is_made_again(made: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    from deft_llm.synth.video.corpus import make_corpus

    out = tmp_path / "damaged"
    shutil.copytree(made, out)
    kept = (out / "records" / "c0000.json").stat().st_mtime_ns
    frame = sorted(out.glob("frames/*/c0001/*"))[3]
    file = {"frame": frame, "truth": out / "truth" / "c0001.npz", "record": out / "records" / "c0001.json"}
    what, _, how = damage.partition(" ")
    file[what].unlink() if how == "lost" else os.truncate(file[what], 100)
    make_corpus(out, VideoSettings(**SMALL))
    assert digests(out) == digests(made)
    assert (out / "records" / "c0000.json").stat().st_mtime_ns == kept


def test_killed_at_random_moments_it_ends_with_the_same_corpus(made: Path, tmp_path: Path) -> None:
    import random
    import signal
    import time

    out = tmp_path / "killed"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = ["synth", str(out), *options, "--workers", "2"]
    chance, killed = random.Random(0), 0
    for _ in range(2):
        before = files_in(out)
        process = forked.start(main, command, log=tmp_path / "log")
        deadline = time.monotonic() + 120
        while process.is_alive() and files_in(out) == before and time.monotonic() < deadline:
            time.sleep(0.02)  # it has begun to write
        time.sleep(chance.uniform(0.0, 1.0))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed, "at least one run must have been stopped in its work"
    code, said = forked.run(main, command, log=tmp_path / "log")
    assert code == 0, said
    assert digests(out) == digests(made)


def test_h264_and_long_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--format video and --long-videos: one file per clip that reads back, larger at a better quality."""
    from deft_llm import corpora
    from deft_llm.faces.video import frames, probe
    from deft_llm.synth.video import production
    from deft_llm.synth.video.corpus import make_corpus

    monkeypatch.setattr(production, "LONG_SECONDS", 3.5)
    out = tmp_path / "video"
    # seed 3 of one subject is the second subject of SMALL: painted already, which is most of a test's time
    options = SMALL | {"clips": 1, "subjects": 1, "seed": 3, "long_videos": 1, "format": "video", "crf": 23}
    make_corpus(out, VideoSettings(**options))
    corpus = corpora.load("synthetic", out)
    assert len(corpus.clips) == 2 and not corpus.faults
    short, long = corpus.clips
    assert long.truth.kind == "long video" and long.truth.events and long.aus is None
    for clip in corpus.clips:
        assert clip.source.kind == "video"
        info = probe(out / clip.source.path)
        with np.load(out / clip.truth.attributes["truth_file"]) as truth:
            count = len(truth["landmarks"])
        assert (info.fps, info.frames, info.width, info.height) == (clip.fps, count, 96, 96)
        pictures = [frame.image for frame in frames(out / clip.source.path)]
        assert len(pictures) == count and 20 < np.mean(pictures[0]) < 235
    assert len(pictures) == 210
    again = []
    for crf in (40, 18):
        production.write_video(tmp_path / f"{crf}.mp4", iter(pictures[:20]), 60.0, crf)
        again.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert again[1] > 1.5 * again[0]


def test_unseen_hair_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving out hair that is never seen changes next to no pixel, within the turns that occur."""
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.video import culling, render
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.camera import sample_camera
    from deft_llm.synth.video.film import Performer, still_plan
    from deft_llm.synth.video.render import Renderer

    subject = subject_of(sample_identity(900_003))
    performer, scene = Performer(subject, "arkit"), sample_camera(np.random.default_rng(4), 192).scene
    drawn, triangles = [], []
    for seen in (culling.seen_ribbons, lambda gl, rows, ribbons, subject: ribbons):
        monkeypatch.setattr(render, "seen_ribbons", seen)
        renderer = Renderer()
        renderer.load(subject)
        renderer.light_scene(scene)
        states = [performer.state(still_plan({}, turn=turn), 0) for turn in ((0, 0, 0), (0.25, 0.15, 0.05))]
        drawn.append(np.stack([renderer.draw(state) for state in states]).astype(int))
        triangles.append(renderer.hair_array.vertices)
    assert triangles[0] < 0.85 * triangles[1]
    changed = np.abs(drawn[0] - drawn[1]).max(-1) > 8
    assert changed.mean() < 0.002


def test_truth_warps_onset_onto_apex() -> None:
    """The apex, fetched along the exact flow, is the onset up to sensor noise and aliasing;
    unmoved it is not."""
    from deft_llm.synth.core.events import share_of
    from deft_llm.synth.core.identity import sample_identity
    from deft_llm.synth.core.units import components
    from deft_llm.synth.video import truth
    from deft_llm.synth.video.assets import subject_of
    from deft_llm.synth.video.camera import sample_camera
    from deft_llm.synth.video.film import Performer, still_plan
    from deft_llm.synth.video.render import Renderer

    renderer, performer = Renderer(), Performer(subject_of(sample_identity(900_003)), "arkit")
    renderer.load(performer.subject)
    rng = np.random.default_rng(4)
    camera = sample_camera(rng, 288, grey=True)
    renderer.light_scene(camera.scene)
    moving = still_plan({part: share_of(au, 3.0) for au in (1, 2, 12, 17) for part in components(au)})
    moving.move = np.array([[0.01, 0.006, 0.0]], np.float32)
    states = performer.state(still_plan({}), 0), performer.state(moving, 0)
    first, second = (camera.develop(renderer.draw(state), rng).astype(np.float32) for state in states)
    flow, seen = truth.exact_flow(renderer, performer.subject, camera.scene, *states)
    x, y = np.meshgrid(np.arange(288, dtype=np.float32), np.arange(288, dtype=np.float32))
    warped = cv2.remap(second, x + flow[0], y + flow[1], cv2.INTER_CUBIC)
    inner = cv2.erode((seen & (np.hypot(*flow) > 0.8)).astype(np.uint8), np.ones((3, 3))) > 0
    assert inner.sum() > 5000
    soft = [cv2.GaussianBlur(first - other, (0, 0), 0.8)[inner] for other in (second, warped)]
    assert np.abs(soft[1]).mean() < 0.6 * np.abs(soft[0]).mean()
    backwards = cv2.remap(second, x - flow[0], y - flow[1], cv2.INTER_CUBIC)
    assert np.abs(first - backwards)[inner].mean() > np.abs(first - second)[inner].mean()


def test_records_read_back(made: Path) -> None:
    from deft_llm import corpora

    corpus = corpora.load("synthetic", made)
    assert len(corpus.clips) == 3 and not corpus.faults
    for clip in corpus.clips:
        assert clip.truth is not None and clip.onset < clip.apex < clip.offset
        assert len(clip.source.frames) > clip.offset
        assert (made / clip.source.path / clip.source.frames[clip.apex]).is_file()
        assert clip.clip_id.startswith(clip.subject + "/")


def test_landmarks_and_strength_are_kept(made: Path) -> None:
    with np.load(made / "truth" / "c0000.npz") as truth:
        frames = truth["landmarks"].shape[0]
        assert truth["strength"].shape[1] == frames == truth["head_turn"].shape[0]
        assert np.isfinite(truth["landmarks"]).all()
        names = list(truth["landmark_names"])
        points = truth["landmarks"][0]
    left, right = (points[names.index(f"{side} mouth corner")] for side in ("left", "right"))
    brow, chin = points[names.index("glabella")], points[names.index("chin")]
    assert left[0] > right[0] + 8  # the subject's left is the image's right
    assert brow[1] < left[1] < chin[1]


def test_other_options_in_the_same_folder_are_refused(made: Path) -> None:
    from deft_llm.synth.video.corpus import make_corpus

    with pytest.raises(UsageError, match="seed"):
        make_corpus(made, VideoSettings(**SMALL | {"seed": 2}))


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    from deft_llm.synth.video.corpus import make_corpus

    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        make_corpus(tmp_path, VideoSettings(**SMALL))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"clips": 0}, "--clips"), ({"subjects": 4}, "--subjects"), ({"size": 95}, "--size"), ({"seed": -1},
        "--seed"),
        ({"negatives": 1.5}, "--negatives"), ({"layout": "casme4"}, "--layout"), ({"crf": 60}, "--crf"),
        ({"layout": "samm", "format": "video"}, "frame folders"), ({"seed": 10**6}, "too few"),
    ],
)  # fmt: skip
def test_impossible_options(change: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        VideoSettings(**SMALL | change).check()


def test_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deft_llm.synth.video import corpus, production

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "frame.png")

    monkeypatch.setattr(production, "_write_frames", full)
    with pytest.raises(DeftError, match="disk is full"):
        corpus.make_corpus(tmp_path / "full", VideoSettings(**SMALL | {"clips": 1, "subjects": 1, "seed": 3}))
    assert not list((tmp_path / "full" / "records").glob("*.json"))

    class Tiny:
        free = 10

    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda path: Tiny)
    with pytest.raises(DeftError, match="GB are needed"):
        corpus.make_corpus(tmp_path / "tiny", VideoSettings(**SMALL))


def test_splits_share_no_subject() -> None:
    seen: dict[str, str] = {}
    for split in ("calibration", "train", "validation", "test"):
        for seed in (0, 1):
            settings = VideoSettings(clips=6, subjects=3, seed=seed, split=split)
            for spec in clip_specs(settings):
                assert seen.setdefault(spec.identity.id, split) == split
                assert spec.identity.split == split
