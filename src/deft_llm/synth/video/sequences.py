"""Films of several seconds with exact truth of every frame: one film drawn, coded and written.

Beside ``video/f0001.mp4`` lie ``truth/f0001.csv`` (``frame_table``) and ``truth/f0001.json`` (movements with
onset, apex and offset per AU and side, events, what is held at rest, conditions).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.files import read_json, write_json, write_text
from deft_llm.records import Clip, Source, Truth
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.sequence import Sequence, plan_sequence
from deft_llm.synth.core.settings import GENERATOR, ClipSpec, VideoSettings
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video.camera import Camera
from deft_llm.synth.video.film import Performer
from deft_llm.synth.video.frame_table import clip_events, frame_table, movement_json
from deft_llm.synth.video.production import Studio, write_video

RELIGHT = 0.06  # radians that a head turns before its shadows are baked anew


def make_film(studio: Studio, spec: ClipSpec, settings: VideoSettings, out: Path) -> dict[str, Any]:
    """Make one film below ``out`` unless it is there; returns its record as JSON. The record comes last."""
    marker = out / "records" / f"{spec.name}.json"
    if marker.exists():
        return read_json(marker)
    rng = np.random.default_rng([GENERATOR, settings.seed, spec.number, 6])
    sequence = plan_sequence(rng, load_prior(settings.prior), fps=spec.fps, seconds=settings.seconds)
    camera = cameras.sample_video_camera(rng, settings.size)
    sequence.plan.turn = sequence.plan.turn + np.array(camera.pose, np.float32)
    crf = settings.crf if settings.crf is not None else int(rng.choice(settings.crfs))
    performer = studio.performer(spec, settings.units)
    hidden = np.zeros((len(sequence.plan.times), 3), np.float32)
    path = f"video/{spec.name}.mp4"
    write_video(out / path, draw_film(studio, performer, sequence, camera, rng), spec.fps, crf)
    table = io.StringIO()
    frame_table(sequence, performer, hidden).to_csv(table, index=False, lineterminator="\n")
    write_text(out / "truth" / f"{spec.name}.csv", table.getvalue())
    conditions = {"crf": crf, "camera": camera.record(), "units": settings.units}
    write_json(out / "truth" / f"{spec.name}.json", movement_json(sequence) | {"conditions": conditions})
    record = _record(spec, settings, sequence, camera, crf, path).model_dump(mode="json", by_alias=True)
    write_json(marker, record)
    return record


def draw_film(
    studio: Studio, performer: Performer, sequence: Sequence, camera: Camera, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The film's pictures (H, W, 3) uint8, after the camera."""
    plan = sequence.plan
    renderer = studio.renderer
    lit = plan.turn[0]
    renderer.light_scene(camera.scene, cameras.triple(lit))
    bright = camera.brightness(rng, plan.times)
    for frame in range(len(plan.times)):
        if np.abs(plan.turn[frame] - lit).max() > RELIGHT:
            lit = plan.turn[frame]
            renderer.relight(cameras.triple(lit))
        yield camera.develop(renderer.draw(performer.state(plan, frame, float(bright[frame]))), rng)


def _record(
    spec: ClipSpec, settings: VideoSettings, sequence: Sequence, camera: Camera, crf: int, path: str
) -> Clip:
    """The film's record; no coder has coded it."""
    identity = spec.identity
    attributes = {
        "sex": identity.sex, "age": identity.age, "ancestry": identity.ancestry,
        "skin_tone": identity.skin_tone, "identity_seed": identity.seed, "split": identity.split,
        "lure": None, "prior": settings.prior, "units": settings.units, "camera": camera.record(),
        "looks": identity.attributes, "crf": crf, "rest": {str(k): v for k, v in sequence.rest.items()},
        "frames_file": f"truth/{spec.name}.csv", "movements_file": f"truth/{spec.name}.json",
    }  # fmt: skip
    return Clip(
        clip_id=f"{identity.id}/{spec.name}", corpus="synthetic", subject=identity.id, fps=spec.fps,
        source=Source(kind="video", path=path), aus=None, coding="exact", notes=["sequence"],
        truth=Truth(kind="sequence", events=clip_events(sequence), attributes=attributes),
    )  # fmt: skip
