"""Making one clip: frames, truth and record; everything a worker process does."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deft_llm.errors import DeftError
from deft_llm.faces.video import encode_h264
from deft_llm.files import atomic_path, is_whole, read_model, seal, write_json
from deft_llm.records import Clip, Source, Truth
from deft_llm.synth.core import events
from deft_llm.synth.core.coder import annotate
from deft_llm.synth.core.events import Plan
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.settings import CLIP_CRF, GENERATOR, ClipSpec, VideoSettings
from deft_llm.synth.core.unit_map import UnitSet
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video import truth
from deft_llm.synth.video.assets import subject_of
from deft_llm.synth.video.camera import Camera
from deft_llm.synth.video.film import Performer
from deft_llm.synth.video.furrows import FURROWS, furrow_strength
from deft_llm.synth.video.layouts import LAYOUTS
from deft_llm.synth.video.render import Renderer

CODING = "simulated coder (AU agreement about .8)"
LONG_SECONDS = 10.0
# sensor noise leaves nothing to find for run lengths and nothing to choose among filters: Huffman coding of
# differences to the row above takes half the time and a twentieth more space
PNG_OPTIONS = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP,
]  # fmt: skip


class Studio:
    """One renderer and one subject's performer, kept from clip to clip."""

    def __init__(self) -> None:
        self.renderer = Renderer()
        self._performer: Performer | None = None

    def performer(self, spec: ClipSpec, units: UnitSet) -> Performer:
        """The subject of ``spec``, painted and loaded."""
        subject = subject_of(spec.identity)
        if (
            self._performer is None
            or self._performer.subject is not subject
            or self._performer.unit_set != units
        ):
            self._performer = Performer(subject, units)
        self.renderer.load(subject)
        return self._performer


def plan_of(spec: ClipSpec, settings: VideoSettings) -> tuple[Plan, Camera, np.random.Generator]:
    """Plan, camera and the generator of the clip's noise: functions of seed and clip number only."""
    rng = np.random.default_rng([GENERATOR, settings.seed, spec.number, 2])
    prior = load_prior(settings.prior)
    if spec.kind == "long video":
        plan = events.plan_long(rng, prior, fps=spec.fps, seconds=LONG_SECONDS)
    else:
        plan = events.plan_clip(
            rng, prior, kind=spec.kind, fps=spec.fps, lure=spec.lure, classed=settings.layout == "smic"
        )
    camera = cameras.sample_camera(rng, settings.size, grey=LAYOUTS[settings.layout].grey)
    plan.turn = plan.turn + np.array(camera.pose, np.float32)
    return plan, camera, np.random.default_rng([GENERATOR, settings.seed, spec.number, 3])


def make_clip(studio: Studio, spec: ClipSpec, settings: VideoSettings, out: Path) -> dict[str, Any]:
    """Make one clip below ``out``; returns its record as JSON.

    The record is written last, so a clip that was stopped half-way is made again.
    Raises: DeftError where the disk is full or the folder cannot be written.
    """
    try:
        plan, camera, noise = plan_of(spec, settings)
        performer = studio.performer(spec, settings.units)
        studio.renderer.light_scene(camera.scene, camera.pose)
        clip = _record(spec, settings, plan, camera)
        layout = LAYOUTS[settings.layout]
        source, files = layout.folder(spec, clip), []
        bright = camera.brightness(
            np.random.default_rng([GENERATOR, settings.seed, spec.number, 4]), plan.times
        )
        frames = _frames(studio, performer, plan, camera, noise, bright)
        if settings.format == "video":
            source = source.replace("frames/", "video/", 1) + ".mp4"
            write_video(out / source, frames, spec.fps, CLIP_CRF if settings.crf is None else settings.crf)
            clip.source = Source(kind="video", path=source)
        else:
            files = [layout.frame(spec, index) for index in range(len(plan.times))]
            _write_frames(out / source, files, frames, layout.shared)
            clip.source = Source(kind="frames", path=source, frames=files)
        _write_truth(out / truth_path(spec), studio, performer, plan, camera)
        keep_record(out, spec, clip)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DeftError(
            f"{error.filename or out}: "
            + ("the disk is full; free space" if full else f"{error.strerror}; mend that")
            + " and run the same command again: finished clips are kept."
        ) from error
    return clip.model_dump(mode="json", by_alias=True)


def keep_record(out: Path, spec: ClipSpec, clip: Clip) -> None:
    """Write a clip's record, the last of its files: with it and its seal the clip is made."""
    path = record_path(out, spec)
    write_json(path, clip.model_dump(mode="json", by_alias=True))
    seal(path, *_files_of(out, spec, clip))


def is_made(out: Path, spec: ClipSpec) -> bool:
    """Whether a clip's record, truth and pictures are there as they were written."""
    path = record_path(out, spec)
    if not path.is_file():
        return False
    try:
        clip = read_model(Clip, path)
    except DeftError:  # a damaged record: the clip is made again
        return False
    return is_whole(path, *_files_of(out, spec, clip))


def record_path(out: Path, spec: ClipSpec) -> Path:
    """Where a clip's record lies."""
    return out / "records" / f"{spec.name}.json"


def _files_of(out: Path, spec: ClipSpec, clip: Clip) -> list[Path]:
    source = out / clip.source.path
    truth_files = sorted((out / "truth").glob(f"{spec.name}.*"))
    return [*truth_files, *(source / name for name in clip.source.frames or [""])]


def truth_path(spec: ClipSpec) -> str:
    """Where the clip's exact truth lies, relative to the corpus."""
    return f"truth/{spec.name}.npz"


def _frames(
    studio: Studio, performer: Performer, plan: Plan, camera: Camera, noise: np.random.Generator, bright
):
    for frame in range(len(plan.times)):
        picture = studio.renderer.draw(performer.state(plan, frame, float(bright[frame])))
        yield camera.develop(picture, noise)


def _write_frames(folder: Path, names: list[str], frames: Iterable[np.ndarray], shared: bool) -> None:
    """Write frames into ``folder`` through a neighbour folder that takes its place when complete.

    A folder that several clips share (casme3) gets its files one by one.
    """
    working = folder if shared else folder.with_name(f".{folder.name}.part")
    if not shared and working.exists():
        shutil.rmtree(working)
    working.mkdir(parents=True, exist_ok=True)
    options = {".png": PNG_OPTIONS, ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 96]}
    for name, image in zip(names, frames, strict=True):
        pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        suffix = Path(name).suffix
        done, data = cv2.imencode(suffix, pixels, options.get(suffix, []))
        if not done:
            raise DeftError(f"{folder / name}: the frame could not be encoded; choose another layout.")
        (working / name).write_bytes(data.tobytes())
    if not shared:
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(working, folder)


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, crf: int) -> None:
    """Write H.264 (yuv420p) whose bytes repeat."""
    import av

    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        colour = (image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in frames)
        encode_h264(container, colour, int(round(fps)), crf, "veryfast")


def _record(spec: ClipSpec, settings: VideoSettings, plan: Plan, camera: Camera) -> Clip:
    """The clip's record: what a coder would write, and the truth beside it."""
    rng = np.random.default_rng([GENERATOR, settings.seed, spec.number, 5])
    identity, main = spec.identity, plan.main
    micro = spec.kind == "micro-expression"
    single = main if micro or spec.kind == "macro-expression" else None
    coded = None
    if single is not None:
        coded = annotate(rng, single.aus, single.onset, single.apex, single.offset, frames=len(plan.times),
                         fine=single.fine, coarse=single.coarse,
                         prior=load_prior(settings.prior))  # fmt: skip
    negative = plan.events[0] if plan.events and single is None and spec.kind != "long video" else None
    place = single or negative
    attributes = {
        "sex": identity.sex, "age": identity.age, "ancestry": identity.ancestry,
        "skin_tone": identity.skin_tone,
        "identity_seed": identity.seed, "split": identity.split, "lure": spec.lure, "prior": settings.prior,
        "units": settings.units, "camera": camera.record(), "truth_file": truth_path(spec),
        "peak_px": round(single.peak_px, 3) if single else None,
        "looks": identity.attributes,
    }  # fmt: skip
    return Clip(
        clip_id=f"{identity.id}/{spec.name}", corpus="synthetic", subject=identity.id, fps=spec.fps,
        source=Source(kind="frames", path="."),
        onset=coded.onset if coded else (negative.onset if negative else None),
        apex=coded.apex if coded else (negative.apex if negative else None),
        offset=coded.offset if coded else (negative.offset if negative else None),
        apex_is_annotated=coded is not None,
        emotion=coded.fine if coded and micro else None,
        coarse=coded.coarse if coded and micro else None,
        aus=coded.aus if coded else ([] if spec.kind != "long video" else None),
        coding=CODING, notes=[] if micro else [spec.kind],
        truth=Truth(
            onset=place.onset if place else None, apex=place.apex if place else None,
            offset=place.offset if place else None, emotion=single.fine if single and micro else None,
            coarse=single.coarse if single and micro else None, aus=single.aus if single else [],
            kind=spec.kind,
            events=[event.record() for event in plan.events], attributes=attributes,
        ),
    )  # fmt: skip


def _write_truth(path: Path, studio: Studio, performer: Performer, plan: Plan, camera: Camera) -> None:
    """Write exact flow of both phases, visibility, landmarks, pose, AU strengths and folds of one clip."""
    scene, subject = camera.scene, performer.subject
    main = plan.main if plan.kind != "long video" else None
    place = main or (plan.events[0] if plan.events else None)
    last = len(plan.times) - 1
    marks = (place.onset, min(place.apex, last), min(place.offset, last)) if place else (0, last // 2, last)
    states = [performer.state(plan, frame) for frame in marks]
    flows = [
        truth.exact_flow(studio.renderer, subject, scene, a, b)
        for a, b in zip(states, states[1:], strict=False)
    ]
    keys = list(plan.tracks)
    names = [
        key if isinstance(key, str) else "AU" + "/".join(str(part) for part in key if part) for key in keys
    ]
    folds = np.zeros((len(plan.times), len(FURROWS), 2), np.float32)
    for key in keys:
        if not isinstance(key, str):
            folds += plan.tracks[key][:, None, None] * furrow_strength(key.au, key.side or "both")
    every = range(len(plan.times))
    marked = np.stack([truth.landmarks(performer.state(plan, frame), scene) for frame in every])
    arrays = {
        "frames": np.array(marks), "flow": np.stack([flow for flow, _ in flows]).astype(np.float16),
        "visible": np.stack([seen for _, seen in flows]),
        "fold_change": (truth.fold_map(studio.renderer, scene, states[1])
                        - truth.fold_map(studio.renderer, scene, states[0])).astype(np.float16),
        "landmarks": marked.astype(np.float32), "landmark_names": np.array(list(truth.LANDMARKS)),
        "head_turn": plan.turn, "head_move": plan.move, "gaze": plan.gaze,
        "strength": np.stack([plan.tracks[key] for key in keys]) if keys else np.zeros((0, len(plan.times)),
        np.float32),
        "strength_names": np.array(names, dtype="U40"), "folds": folds,
        "fold_names": np.array([furrow.name for furrow in FURROWS]),
    }  # fmt: skip
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
