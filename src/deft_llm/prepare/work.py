"""One unit of work: the clips of one shard, measured and written; what any engine's worker runs."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.corpora.mapfiles import read_map
from deft_llm.errors import DeftError, printable
from deft_llm.motion.measure import MeasureSettings, measure_clip, motion_from_flow
from deft_llm.prepare.indices import after_measuring, before_measuring
from deft_llm.prepare.sources import frame_rate, frame_stream, identity, source_path
from deft_llm.records import Clip
from deft_llm.store import Motion, StoreWriter
from deft_llm.store.layout import DAMAGED, Failure, read_shard

# Clips a shard: few enough that little is lost when a worker dies, enough that files stay large.
VIDEO_SHARD, FLOW_SHARD = 8, 2048
PASSING = (errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT)


@dataclass(frozen=True)
class Job:
    """What one shard is made from; picklable, self-contained."""

    number: int
    root: str
    store: str
    settings: dict[str, Any]
    clips: tuple[Clip, ...] = field(repr=False)


@dataclass(frozen=True)
class Done:
    """How one shard went; ``damage``: what was wrong with the one that was there and is made again."""

    number: int
    clips: int
    failed: int
    reused: bool
    damage: str | None = None


def plan(clips: list[Clip], root: Path, store: Path, settings: dict[str, Any]) -> list[Job]:
    """Cut clips (in order of clip id) into shards: flow maps in bulk, videos a few at a time."""
    flow = [clip for clip in clips if clip.source.kind == "flow"]
    video = [clip for clip in clips if clip.source.kind != "flow"]
    parts = [flow[i : i + FLOW_SHARD] for i in range(0, len(flow), FLOW_SHARD)]
    parts += [video[i : i + VIDEO_SHARD] for i in range(0, len(video), VIDEO_SHARD)]
    places = str(root.absolute()), str(store.absolute())
    return [Job(number, *places, settings, tuple(part)) for number, part in enumerate(parts)]


def do(job: Job) -> Done:
    """Make the job's shard unless it is there, made from the same clips, files and settings."""
    root = Path(job.root)
    writer = StoreWriter(Path(job.store), job.settings)
    key = writer.work_key([[clip.model_dump_json(), identity(root, clip)] for clip in job.clips])
    why = writer.why_not(job.number, key)
    if why is None:
        failed = len(read_shard(writer.root, job.number).failures)
        return Done(job.number, len(job.clips), failed, reused=True)
    items: list[tuple[Clip, Motion]] = []
    failures: list[Failure] = []
    for clip in job.clips:
        try:
            items.append(measure(root, clip, job.settings))
        except Exception as error:  # one clip must not stop a night's run: its reason is kept
            reason = reason_of(error, root)
            failures.append(Failure(clip_id=clip.clip_id, reason=reason, passing=is_passing(error)))
    damage = why.removeprefix(DAMAGED) if why.startswith(DAMAGED) else None
    writer.write_shard(job.number, key, items, failures)
    return Done(job.number, len(job.clips), len(failures), reused=False, damage=damage)


def reason_of(error: BaseException, root: Path) -> str:
    """Why a clip failed, in one line without the folder ``root``."""
    text = str(error).strip().split("\n")[0] or "no message"
    text = text.replace(f"{root.absolute()}{os.sep}", "")
    return printable(text if isinstance(error, DeftError) else f"{type(error).__name__}: {text}")


def is_passing(error: BaseException | None) -> bool:
    """Whether the machine failed, not the clip: no memory, no file handle, a disk error."""
    import cv2

    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in PASSING:
            return True
        if isinstance(error, cv2.error) and error.code == cv2.Error.STS_NO_MEM:
            return True
        error = error.__cause__
    return False


def measure(root: Path, clip: Clip, settings: dict[str, Any]) -> tuple[Clip, Motion]:
    """One clip's motion, and its record with the indices that were used."""
    if clip.source.kind == "flow":
        return clip, _measure_maps(root, clip)

    stream = frame_stream(root, clip)
    fps = frame_rate(root, clip)
    clip = before_measuring(clip.model_copy(update={"fps": fps}), stream, fps)
    if clip.onset is None:
        raise DeftError(f"{clip.clip_id}: has no onset; give one in its table.")
    motion = measure_clip(
        stream,
        onset=clip.onset,
        apex=clip.apex,
        offset=clip.offset,
        fps=fps,
        settings=MeasureSettings.model_validate(settings["measure"]),
        clip_id=clip.clip_id,
    )
    return after_measuring(clip, motion), motion


def _measure_maps(root: Path, clip: Clip) -> Motion:
    maps = [read_map(source_path(root, clip))]
    if clip.source.path_offset:
        maps.append(read_map(source_path(root, clip, clip.source.path_offset)))
    flows, strains = [flow for flow, _ in maps], [strain for _, strain in maps]
    if len({flow.shape for flow in flows}) > 1:
        raise DeftError(f"{clip.clip_id}: its two maps have different sizes; make them of one size.")
    strain = None if any(s is None for s in strains) else np.stack(strains)  # type: ignore[arg-type]
    return motion_from_flow(clip.clip_id, np.stack(flows), units="relative", strain=strain)
