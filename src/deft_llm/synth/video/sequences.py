"""Films of several seconds with exact truth of every frame: one film drawn, coded and written.

Beside ``video/f0001.mp4`` lie ``truth/f0001.csv`` (``frame_table``) and ``truth/f0001.json`` (movements with
onset, apex and offset per AU and side, events, what is held at rest, conditions).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.files import write_json, write_text
from deft_llm.records import Clip, Source, Truth
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.sequence import Sequence, plan_sequence
from deft_llm.synth.core.settings import GENERATOR, ClipSpec, VideoSettings
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video.assets import Subject
from deft_llm.synth.video.camera import Camera
from deft_llm.synth.video.film import Performer
from deft_llm.synth.video.frame_table import clip_events, frame_table, movement_json
from deft_llm.synth.video.hair import BEARDS, grow_beard
from deft_llm.synth.video.hands import HIDDEN, HandPath, hand_at, hand_paths, hidden_shares
from deft_llm.synth.video.production import Studio, keep_record, write_video
from deft_llm.synth.video.prop_pass import Dressing
from deft_llm.synth.video.props import make_glasses, make_mask

GLASSES, BEARDED, MASKED = 0.22, 0.35, 0.03  # shares of films; of men's films
RELIGHT = 0.06  # radians that a head turns before its shadows are baked anew


def make_film(studio: Studio, spec: ClipSpec, settings: VideoSettings, out: Path) -> dict[str, Any]:
    """Make one film below ``out``; returns its record as JSON. The record comes last."""
    rng = np.random.default_rng([GENERATOR, settings.seed, spec.number, 6])
    sequence = plan_sequence(rng, load_prior(settings.prior), fps=spec.fps, seconds=settings.seconds)
    camera = cameras.sample_video_camera(rng, settings.size)
    sequence.plan.turn = sequence.plan.turn + np.array(camera.pose, np.float32)
    crf = settings.crf if settings.crf is not None else int(rng.choice(settings.crfs))
    performer = studio.performer(spec, settings.units)
    dressing = dress(
        sequence, performer.subject, np.random.default_rng([GENERATOR, settings.seed, spec.number, 7])
    )
    paths = hand_paths(
        sequence, performer.subject, np.random.default_rng([GENERATOR, settings.seed, spec.number, 8])
    )
    hidden = np.zeros((len(sequence.plan.times), len(HIDDEN)), np.float32)
    path = f"video/{spec.name}.mp4"
    film = Film(performer, sequence, camera, dressing, paths, hidden)
    write_video(out / path, film.frames(studio, rng), spec.fps, crf)
    table = io.StringIO()
    frame_table(sequence, performer, hidden).to_csv(table, index=False, lineterminator="\n")
    write_text(out / "truth" / f"{spec.name}.csv", table.getvalue())
    conditions = {"crf": crf, "camera": camera.record(), "units": settings.units}
    write_json(out / "truth" / f"{spec.name}.json", movement_json(sequence) | {"conditions": conditions})
    record = _record(spec, settings, sequence, camera, crf, path)
    keep_record(out, spec, record)
    return record.model_dump(mode="json", by_alias=True)


@dataclass
class Film:
    """Everything that one film's pictures show; ``hidden`` (T, 3) is filled while they are drawn."""

    performer: Performer
    sequence: Sequence
    camera: Camera
    dressing: Dressing
    paths: list[HandPath]
    hidden: np.ndarray

    def frames(self, studio: Studio, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The pictures (H, W, 3) uint8, after the camera."""
        plan, renderer, scene = self.sequence.plan, studio.renderer, self.camera.scene
        renderer.props.wear(self.dressing)
        lit = plan.turn[0]
        renderer.light_scene(scene, cameras.triple(lit))
        bright = self.camera.brightness(rng, plan.times)
        for frame, time in enumerate(plan.times):
            if np.abs(plan.turn[frame] - lit).max() > RELIGHT:
                lit = plan.turn[frame]
                renderer.relight(cameras.triple(lit))
            state = self.performer.state(plan, frame, float(bright[frame]))
            hand = hand_at(self.paths, frame, float(time), state)
            self.hidden[frame] = hidden_shares(scene, state, hand, self.dressing)
            yield self.camera.develop(renderer.draw(state, hand), rng)
        renderer.props.wear(Dressing())


def dress(sequence: Sequence, subject: Subject, rng: np.random.Generator) -> Dressing:
    """What the subject wears in this film; noted among the events."""
    identity, end = subject.identity, float(sequence.plan.times[-1])
    glasses = make_glasses(subject, rng) if rng.random() < GLASSES else None
    beard, style = None, str(rng.choice(BEARDS))
    if identity.sex == "male" and rng.random() < BEARDED:
        beard = grow_beard(identity, subject.head, subject.vertices, style)
        sequence.event("beard", 0.0, end, style=style)
    mask = make_mask(subject, rng) if rng.random() < MASKED else None
    if glasses is not None:
        sequence.event("dark glasses" if glasses.dark else "glasses", 0.0, end)
    if mask is not None:
        sequence.event("mask", 0.0, end)
    return Dressing(glasses, beard, mask)


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
