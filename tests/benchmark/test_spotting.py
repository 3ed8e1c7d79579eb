"""Spotting as a task: which videos stand behind a corpus's clips, and how a run of them is scored."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from deft_llm.benchmark import settings as runs
from deft_llm.benchmark import spotting
from deft_llm.benchmark.settings import BenchmarkSettings
from deft_llm.benchmark.spotting import Video, run_spotting, videos_of
from deft_llm.corpora.base import Corpus
from deft_llm.errors import DeftError, UsageError
from deft_llm.evaluation.report import report_tables
from deft_llm.evaluation.rows import read_run
from deft_llm.evaluation.score import score_run
from deft_llm.evaluation.words import metrics_lines
from deft_llm.records import Clip, Source, Truth


def cut(name: str, video: str, frames: range, onset: int, offset: int, **values: Any) -> Clip:
    """A clip of 200 fps that was cut out of a long video's frames."""
    files = [f"{video}_{number:03d}.png" for number in frames]
    made = {"corpus": "lv", "subject": "lv/1", "fps": 200.0, "coarse": "negative", **values}
    return Clip(
        clip_id=f"lv/1/{name}",
        source=Source(kind="frames", path=video, frames=files),
        onset=onset,
        offset=offset,
        **made,
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two clips out of one long video, one of another without an offset, and a flow map."""
    for video in ("a", "b", "c"):
        (tmp_path / video).mkdir()
        for number in range(1, 41):
            cv2.imwrite(str(tmp_path / video / f"{video}_{number:03d}.png"), np.zeros((4, 4), np.uint8))
    flow = Clip(clip_id="lv/2/f", corpus="lv", subject="lv/2", source=Source(kind="flow", path="f.png"))
    clips = [
        cut("one", "a", range(3, 20), 2, 10),
        cut("two", "a", range(25, 40), 1, 6, coarse="surprise"),
        cut("open", "b", range(1, 20), 2, 10).model_copy(update={"offset": None}),
        cut("whole", "c", range(1, 41), 2, 10),
        flow,
    ]
    return Corpus("lv", tmp_path, clips=clips)


def settings(**values: Any) -> BenchmarkSettings:
    base = {"corpora": ["lv"], "method": "rules", "task": "spotting", "zero_shot": True, "workers": 1}
    return BenchmarkSettings(**{**base, **values})


def test_truth_of_a_long_video_is_that_of_all_its_clips(corpus: Corpus) -> None:
    videos, left_out = videos_of(corpus, "megc3")
    assert [(video.video_id, video.path.name, video.fps) for video in videos] == [("lv/1/a", "a", 200.0)]
    assert list(videos[0].truth) == [
        {"onset": 4, "offset": 12, "label": "negative"},
        {"onset": 25, "offset": 30, "label": "surprise"},
    ]
    assert set(left_out) == {"lv/1/open", "lv/1/whole", "lv/2/f"}
    empty = Clip(
        clip_id="lv/3/d", corpus="lv", subject="lv/3", fps=200.0, source=Source(kind="frames", path="d")
    )
    corpus.empty_videos.append(empty)
    videos, _ = videos_of(corpus, "megc3")
    assert [(video.video_id, video.truth) for video in videos[1:]] == [("lv/3/d", ())]
    assert "no video" in left_out["lv/2/f"] and "all there is" in left_out["lv/1/whole"]


def test_videos_of_one_subject_whose_folders_end_alike_are_two(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAS(ME)^3 part A: every video's frames lie in a folder ``color``."""
    for video in ("a", "b"):
        (tmp_path / "part_A" / video).mkdir(parents=True)
        (tmp_path / video).rename(tmp_path / "part_A" / video / "color")
    clips = [cut(f"a{n}", "a", range(3 + n, 20 + n), 2, 10) for n in range(2)]
    clips += [cut(f"b{n}", "b", range(3 + n, 20 + n), 2, 10) for n in range(2)]
    for clip in clips:
        clip.source.path = f"part_A/{clip.source.path}/color"
    corpus.clips = clips
    monkeypatch.setattr(spotting, "spot_video", lambda video, method, landmarker: ([], 30.0))
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    run_spotting(tmp_path / "run", [corpus], settings())
    ids = [row.clip_id for row in read_run(tmp_path / "run").rows]
    assert ids == ["lv/1/part_A_a_color", "lv/1/part_A_b_color"]
    monkeypatch.setattr(spotting, "spot_video", lambda *all: pytest.fail("spotted before ids were checked"))
    with pytest.raises(DeftError, match="one id, lv/1/part_A_a_color; give each corpus once"):
        run_spotting(tmp_path / "twice", [corpus, corpus], settings())


def test_synthetic_truth_is_every_micro_expression_that_was_played(tmp_path: Path) -> None:
    events = [
        {"kind": "blink", "onset": 1, "offset": 5, "fine": None, "coarse": None},
        {"kind": "micro-expression", "onset": 9, "offset": 20, "fine": "happiness", "coarse": "positive"},
    ]
    clip = Clip(
        clip_id="synthetic/x/1", corpus="synthetic", subject="synthetic/x", fps=30.0,
        source=Source(kind="frames", path="x"), truth=Truth(kind="long video", events=events),
    )  # fmt: skip
    short = clip.model_copy(update={"clip_id": "synthetic/x/2", "truth": Truth(events=events)})
    videos, left_out = videos_of(Corpus("synthetic", tmp_path, clips=[clip, short]), "megc3")
    assert set(left_out) == {"synthetic/x/2"}
    assert list(videos[0].truth) == [{"onset": 9, "offset": 20, "label": "positive"}]


def test_a_run_is_scored_and_resumed(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def found(video: Video, method: Any, landmarker: Any) -> tuple[list[dict[str, Any]], float]:
        calls.append(video.video_id)
        return [
            {"onset": 4, "offset": 12, "label": "negative"},
            {"onset": 33, "offset": 36, "label": "positive"},
        ], 30.0

    monkeypatch.setattr(spotting, "spot_video", found)
    monkeypatch.setattr("deft_llm.benchmark.spotting.default_landmarker", lambda: None)
    run = tmp_path / "run"
    metrics = run_spotting(run, [corpus], settings())
    cell = metrics["spotting"]["pooled"]
    assert (cell["tp"], cell["fp"], cell["fn"], cell["f1"]) == (1, 1, 1, 0.5)
    assert cell["false_alarms_per_minute"] == 2.0 and cell["strs"] == pytest.approx(0.5 / 3)
    assert cell["f1_low"] == cell["f1_high"] == 0.5, "one subject: no spread"
    assert metrics["left_out"] == 3 and score_run(read_run(run)) == metrics
    assert "spotting F1 0.500" in "\n".join(metrics_lines(metrics))
    assert run_spotting(run, [corpus], settings()) == metrics and calls == ["lv/1/a"]
    table = next(t for t in report_tables([read_run(run)], [metrics], ["rules"]) if t.file == "spotting")
    assert dict(zip(table.head, table.rows[0]))["F1 by MEGC's rule"] == "0.500"
    with pytest.raises(DeftError, match="another benchmark"):
        run_spotting(run, [corpus], settings(seed=1))


def test_what_cannot_be_spotted_is_said(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --zero-shot and --method rules"):
        run_spotting(tmp_path, [corpus], settings(method="svm"))
    with pytest.raises(UsageError, match="is not trained"):
        run_spotting(tmp_path, [corpus], settings(zero_shot=False))
    for labels in ("4", "5", "7", "native", "objective"):
        with pytest.raises(UsageError, match=f"--labels {labels}: intervals are .* give --labels megc3"):
            run_spotting(tmp_path, [corpus], settings(labels=labels))
    with pytest.raises(DeftError, match="flow maps hold no video"):
        run_spotting(tmp_path, [Corpus("lv", tmp_path, clips=corpus.clips[4:])], settings())


def test_a_video_that_cannot_be_read_is_left_out_and_tried_again(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.empty_videos.append(
        Clip(clip_id="lv/3/b", corpus="lv", subject="lv/3", fps=200.0, source=Source(kind="frames", path="b"))
    )
    faceless = ["b"]

    def signal(path: Path, fps: float, *, landmarker: Any) -> range:
        if path.name in faceless:
            raise DeftError("no face was found in 40 frames")
        return range(6000)

    monkeypatch.setattr(spotting, "frames", lambda path, **values: path)
    monkeypatch.setattr(spotting, "signal_of", signal)
    monkeypatch.setattr(spotting, "spot", lambda signal: SimpleNamespace(movements=[]))
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    run = tmp_path / "run"
    metrics = run_spotting(run, [corpus], settings())
    assert (metrics["rows"], metrics["left_out"]) == (1, 4)
    found = read_run(run)
    assert found.folds is not None and list(found.folds.expected_keys()) == [("lv/1/a", None)]
    assert "b: no face was found" in found.folds.left_out["lv/3/b"]
    faceless.clear()  # mended
    metrics = run_spotting(run, [corpus], settings())
    assert (metrics["rows"], metrics["left_out"]) == (2, 3)
    faceless.extend(["a", "b"])
    with pytest.raises(DeftError, match="no video can be spotted .*no face was found"):
        run_spotting(tmp_path / "none", [corpus], settings())


def test_what_a_method_lacks_ends_the_run(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the video."""

    def lacking(video: Video, method: Any, landmarker: Any) -> Any:
        raise DeftError("no finished adapter")

    monkeypatch.setattr(spotting, "spot_video", lacking)
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    with pytest.raises(DeftError, match="no finished adapter"):
        run_spotting(tmp_path / "run", [corpus], settings())


def test_other_weights_are_another_run(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spotting, "spot_video", lambda video, method, landmarker: ([], 30.0))
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    run_spotting(tmp_path / "run", [corpus], settings())
    monkeypatch.setattr(spotting, "digests_of", lambda method: {"weights": "b" * 16})
    with pytest.raises(DeftError, match=r"another benchmark \(weights differs\)"):
        run_spotting(tmp_path / "run", [corpus], settings())


def test_other_videos_of_the_same_names_are_another_run(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a frame changed that is in no clip."""
    monkeypatch.setattr(spotting, "spot_video", lambda video, method, landmarker: ([], 30.0))
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    run_spotting(tmp_path / "run", [corpus], settings())
    before = set((tmp_path / "run" / "folds").iterdir())
    cv2.imwrite(str(tmp_path / "a" / "a_001.png"), np.ones((4, 4), np.uint8))
    with pytest.raises(DeftError, match=r"another benchmark \(videos differs\)"):
        run_spotting(tmp_path / "run", [corpus], settings())
    run_spotting(tmp_path / "other", [corpus], settings())
    after = set((tmp_path / "other" / "folds").iterdir())
    assert not {path.name for path in before} & {path.name for path in after}


def test_videos_that_other_code_left_are_not_spotted_beside_its_own(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spotting, "spot_video", lambda video, method, landmarker: ([], 30.0))
    monkeypatch.setattr(spotting, "default_landmarker", lambda: None)
    metrics = run_spotting(tmp_path / "run", [corpus], settings())
    monkeypatch.setattr(runs, "code_digest", lambda: "newer")
    assert run_spotting(tmp_path / "run", [corpus], settings()) == metrics
    next((tmp_path / "run" / "folds").glob("*.jsonl")).unlink()
    with pytest.raises(DeftError, match="was begun by other code"):
        run_spotting(tmp_path / "run", [corpus], settings())
