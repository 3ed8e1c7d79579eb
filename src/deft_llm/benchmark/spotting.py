"""``--task spotting``: whole videos in, intervals of micro-expressions out, scored by MEGC rules.

A video is what a corpus's clips were cut out of; a clip that is its own whole source is none, as a movement
that fills it cannot be told from rest. Spotting learns nothing, so it runs ``--zero-shot``; ``--method``
names the class of each interval, for STRS. A video that cannot be read, or shows no face, is left out with
its reason; the same command tries it again. Other files of a video make another run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deft_llm.benchmark.runner import finish
from deft_llm.benchmark.settings import BenchmarkSettings, refuse_other_code, save_settings
from deft_llm.corpora.base import Corpus
from deft_llm.corpora.labels import label
from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.evaluation.folds import FoldClip, Folds, write_folds, zero_shot_folds
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import frames, image_files
from deft_llm.files import digest, is_whole, seal, write_jsonl
from deft_llm.jobs import run_jobs
from deft_llm.methods.protocol import Method, Sample, Task, build_method, digests_of
from deft_llm.motion.measure import measure_clip
from deft_llm.prepare.sources import identity
from deft_llm.records import Clip, Prediction, PredictionTruth
from deft_llm.spotting.build_signal import signal_of
from deft_llm.spotting.spot import spot

READY = ("rules", "flow2text", "deft")
NAMED_BY = "megc3"
"""The label setting whose classes intervals are named by."""
PAD_SECONDS = 0.1
LONG = "long video"
WHOLE = "the clip is all there is of its video: nothing to spot it in"


class Unspotted(DeftError):
    """A video that cannot be spotted: it is damaged, or shows no face."""


@dataclass(frozen=True)
class Video:
    """A video and the micro-expressions that really are in it: {onset, offset, label}, 0-based, inclusive.

    ``content``: hash of its files.
    """

    video_id: str
    corpus: str
    subject: str
    path: Path
    fps: float
    content: str
    truth: tuple[dict[str, Any], ...] = field(default=())


def videos_of(corpus: Corpus, setting: str) -> tuple[list[Video], dict[str, str]]:
    """The videos behind a corpus's clips and those without a micro-expression; why others are left out."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    left_out: dict[str, str] = {}
    for clip in corpus.clips:
        if clip.source.kind == "flow":
            left_out[clip.clip_id] = "flow maps hold no video"
        elif clip.fps is None:
            left_out[clip.clip_id] = "its frame rate is not known"
        elif clip.truth is not None and clip.truth.kind != LONG:
            left_out[clip.clip_id] = WHOLE
        else:
            groups.setdefault((clip.subject, clip.source.path), []).append(clip)
    found = []
    for (subject, path), clips in groups.items():
        folder = corpus.root / path
        try:
            truth = [interval for clip in clips for interval in _intervals(clip, folder, setting)]
        except DeftError as error:
            left_out |= {clip.clip_id: str(error) for clip in clips}
            continue
        first = clips[0]
        name = first.clip_id if len(clips) == 1 else f"{subject}/{path.replace('/', '_')}"
        content = _content(corpus, first)
        found.append(Video(name, first.corpus, subject, folder, float(first.fps or 0), content, tuple(truth)))
    for clip in corpus.empty_videos:
        whole = corpus.root / clip.source.path
        content = _content(corpus, clip)
        found.append(Video(clip.clip_id, clip.corpus, clip.subject, whole, float(clip.fps or 0), content))
    return found, left_out


def _content(corpus: Corpus, clip: Clip) -> str:
    """``identity`` of the whole video that a clip was cut out of."""
    source = clip.source
    if source.kind == "frames":
        try:
            names = image_files(corpus.root / source.path)
        except (OSError, DeftError):
            names = []  # ``identity`` says so
        source = source.model_copy(update={"frames": names})
    return identity(corpus.root, clip.model_copy(update={"source": source}))


def _intervals(clip: Clip, path: Path, setting: str) -> Iterator[dict[str, Any]]:
    if clip.truth is not None:
        for event in clip.truth.events:
            if event["kind"] == "micro-expression":
                known = clip.model_copy(update={"emotion": event["fine"], "coarse": event["coarse"]})
                yield {"onset": event["onset"], "offset": event["offset"], "label": label(known, setting)}
        return
    if clip.onset is None or clip.offset is None:
        raise DeftError(f"clip {clip.clip_id} has no annotated onset and offset to be scored on")
    shift = _first_frame(clip, path)
    yield {"onset": clip.onset + shift, "offset": clip.offset + shift, "label": label(clip, setting)}


def _first_frame(clip: Clip, path: Path) -> int:
    """Where the clip's own frames begin among all frames of its video."""

    if clip.source.kind != "frames" or not clip.source.frames:
        return 0
    whole = image_files(path)
    if len(clip.source.frames) >= len(whole):
        raise DeftError(WHOLE)
    if clip.source.frames[0] not in whole:
        raise DeftError(f"clip {clip.clip_id}: frame {clip.source.frames[0]} is not in {path}")
    return whole.index(clip.source.frames[0])


def spot_video(video: Video, method: Method, landmarker: Any) -> tuple[list[dict[str, Any]], float]:
    """Judged micro-expressions of a video, named by ``method``, and the video's length in seconds.

    Raises: Unspotted for a video that cannot be read or shows no face.
    """
    try:
        with naming(video.path):
            signal = signal_of(frames(video.path, fps=video.fps), video.fps, landmarker=landmarker)
    except UsageError:
        raise
    except DeftError as error:
        raise Unspotted(error) from error
    pad = max(2, round(PAD_SECONDS * video.fps))
    found: list[dict[str, Any]] = []
    for number, movement in enumerate(spot(signal).movements):
        if movement.kind != "micro-expression" or not movement.judged:
            continue
        row: dict[str, Any] = {"onset": movement.onset, "apex": movement.apex, "offset": movement.end,
               "strength": round(float(movement.strength), 3), "label": None}  # fmt: skip
        found.append(row)
        start, stop, name = max(0, movement.onset - pad), movement.end + pad + 1, f"{video.video_id}#{number}"
        try:
            motion = measure_clip(
                lambda a=start, b=stop: frames(video.path, a, b, fps=video.fps),  # type: ignore[misc]
                onset=movement.onset, apex=movement.apex, offset=movement.offset, fps=video.fps,
                clip_id=name, landmarker=landmarker,
            )  # fmt: skip
        except DeftError as error:
            row["unnamed"] = str(error)
            continue
        sample = Sample(name, video.corpus, video.subject, lambda m=motion: m, motion.has)  # type: ignore[misc]
        said = method.predict([sample])[0]
        row["label"] = said.label or said.fine or said.coarse
    return found, len(signal) / video.fps


def run_spotting(
    run: Path, corpora: Sequence[Corpus], settings: BenchmarkSettings, *, progress: Any = None
) -> dict[str, Any]:
    """Spot all videos of the corpora, resumable video by video; writes what ``run_benchmark`` writes.

    ``folds.json`` expects the videos that could be spotted and lists the others. Raises: UsageError for a
    method that would have to be trained, or classes that intervals are not named by; DeftError where two
    videos have one id, no video is left, or the folder holds another run or one that other code left
    unfinished.
    """

    if settings.method not in READY or not settings.zero_shot:
        raise UsageError(f"--task spotting is not trained; give --zero-shot and --method {', '.join(READY)}.")
    if settings.labels != NAMED_BY:
        raise UsageError(
            f"--task spotting --labels {settings.labels}: intervals are named by their coarse class; give "
            f"--labels {NAMED_BY}."
        )
    videos: list[Video] = []
    left_out: dict[str, str] = {}
    for corpus in corpora:
        there, missing = videos_of(corpus, settings.labels)
        videos, left_out = videos + there, left_out | missing
    _refuse_doubled(videos)
    folds = _folds(videos, left_out)
    content = digest([[v.video_id, v.fps, v.content, list(v.truth)] for v in videos])
    weights = digests_of(_method(settings))
    save_settings(run, settings, {"videos": content, "folds": folds.hash, **weights})
    todo = [video for video in videos if not is_whole(_shard(run, video))]
    if todo:
        refuse_other_code(run)
    report = progress or (lambda done, total: None)
    done = len(videos) - len(todo)
    report(done, len(videos))
    setup = partial(_open, run, settings)
    unspotted: dict[str, str] = {}
    for failed in run_jobs(_spot, todo, workers=settings.workers, ordered=False, setup=setup):
        unspotted |= failed
        done += 1
        report(done, len(videos))
    spotted = [video for video in videos if video.video_id not in unspotted]
    folds = _folds(spotted, left_out | dict(sorted(unspotted.items())))
    write_folds(run / "folds.json", folds)
    return finish(run, folds, [_shard(run, video) for video in spotted])


def _refuse_doubled(videos: Sequence[Video]) -> None:
    paths: dict[str, Path] = {}
    for video in videos:
        if video.video_id in paths:
            raise DeftError(
                f"{paths[video.video_id]} and {video.path} have one id, {video.video_id}; give each corpus "
                "once, and rename one of two folders."
            )
        paths[video.video_id] = video.path


def _folds(videos: Sequence[Video], left_out: dict[str, str]) -> Folds:
    """One fold of all videos. Raises: DeftError without any."""
    if not videos:
        reasons = "; ".join(sorted(set(left_out.values()))[:2])
        raise DeftError(f"no video can be spotted ({reasons or 'the corpora are empty'}).")
    folds = zero_shot_folds([FoldClip(v.video_id, v.corpus, v.subject) for v in videos])
    folds.left_out = left_out
    return folds


def _shard(run: Path, video: Video) -> Path:
    return run / "folds" / f"{digest([video.video_id, video.content, list(video.truth)], 12)}.jsonl"


@dataclass(frozen=True)
class _Spotter:
    """What one process spots with."""

    run: Path
    settings: BenchmarkSettings
    method: Method
    landmarker: Any


def _method(settings: BenchmarkSettings) -> Method:
    return build_method(settings.method, Task(), zero_shot=True, **settings.options)


def _open(run: Path, settings: BenchmarkSettings) -> _Spotter:
    return _Spotter(run, settings, _method(settings), default_landmarker())


def _spot(spotter: _Spotter, video: Video) -> dict[str, str]:
    """Write the video's row; its id and why, where it cannot be spotted."""
    settings = spotter.settings
    try:
        intervals, seconds = spot_video(video, spotter.method, spotter.landmarker)
    except Unspotted as error:
        return {video.video_id: str(error)}
    row = Prediction(
        method=settings.method, task="spotting", seed=settings.seed, fold="zero-shot",
        clip_id=video.video_id, corpus=video.corpus, subject=video.subject, label_space=settings.labels,
        intervals=intervals, truth=PredictionTruth(intervals=list(video.truth)), extras={"seconds": seconds},
    )  # fmt: skip
    write_jsonl(_shard(spotter.run, video), [row])
    seal(_shard(spotter.run, video))
    return {}
