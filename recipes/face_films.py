"""Key frames of short films under chosen conditions, measured as clips are: sets that what each expert knows
is measured on. To train on, ``deft synth STORE --film keys`` makes more kinds of them.

    python -m recipes.face_films STORE --subjects 140 --films 4 --lit near-frontal

Light, lures, estimator, codec and size of the movement are chosen. About a third of the faces mislead (held
smile, asymmetry, wrinkles, nod). One shard per subject; a stopped run goes on. What no coder writes stands in
each clip's ``truth.attributes``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import digest
from deft_llm.motion.measure import MeasureSettings, measure_clip
from deft_llm.records import ActionUnit, Clip, Source, Truth
from deft_llm.store import Motion, StoreWriter
from deft_llm.synth.core.events import PX_PER_IOD, plan_clip
from deft_llm.synth.core.identity import sample_identity, split_seeds
from deft_llm.synth.core.key_plan import TURN
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.settings import GENERATOR, ClipSpec
from deft_llm.synth.core.unit_map import AU_MAP
from deft_llm.synth.video import truth
from deft_llm.synth.video.camera import sample_camera
from deft_llm.synth.video.keys import key_frames, key_strengths, level
from deft_llm.synth.video.production import Studio

PROFILE = 5
FPS = (60, 100, 200)
LURES = ("", "held smile", "asymmetric face", "deep wrinkles", "head pitch")
"""Lure k of a film; the first three looks stay the same all film long, the nod is seen as motion."""
STRAY_PX = 0.1
"""AUs that move more than this without being coded are neither there nor not."""


class FilmSettings(BaseModel):
    """What a folder of films is made of. ``lit``: near cameras with frontal light, far ones with light from
    the side, or any; ``twins``: every lured film is made without its lure as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    subjects: int = 80
    films: int = 10
    seed: int = 0
    split: Literal["calibration", "train", "validation", "test"] = "train"
    units: Literal["arkit", "makehuman"] = "arkit"
    prior: Literal["facs", "corpora"] = "facs"
    lit: Literal["any", "near-frontal", "far-side"] = "any"
    lures: float = 0.3
    twins: bool = False
    size: int = 256
    flow: Literal["dis", "farneback", "farneback8", "tvl1"] = "dis"
    crf: int = Field(0, ge=0, le=51, description="H.264 quality of the drawn frames, 0: not coded")
    smallest: float = Field(0.0, ge=0, description="with largest: px of the main AU, log-uniform")
    largest: float = Field(0.0, ge=0, description="0: as the prior of deft synth")


def make_films(folder: Path, settings: FilmSettings) -> int:
    """Make the films of all subjects that are not there yet; returns how many are new."""
    studio, new = Studio(), 0
    writer = StoreWriter(Path(folder), {"films": settings.model_dump(), "generator": GENERATOR})
    seeds = split_seeds(settings.split, settings.subjects, settings.seed * settings.subjects)
    for subject, identity in enumerate(seeds):
        key = digest([settings.model_dump(), GENERATOR, subject])
        if writer.has_shard(subject, key):
            continue
        items = [item for number in range(settings.films)
                 for item in _films_of(studio, settings, subject, identity, number)]  # fmt: skip
        writer.write_shard(subject, key, items)
        new += len(items)
    writer.finish(settings.subjects)
    return new


def _films_of(
    studio: Studio, settings: FilmSettings, subject: int, identity: int, number: int
) -> Iterator[tuple[Clip, Motion]]:
    """One film, or two that differ in the lure alone; none where the face is not found."""
    place = subject * settings.films + number
    rng = np.random.default_rng([settings.seed, place, 21])
    fps = float(rng.choice(FPS))
    lure = int(rng.integers(1, len(LURES))) if rng.random() < settings.lures else 0
    for chosen in sorted({0, lure}) if settings.twins else (lure,):
        try:
            yield film(studio, settings, identity, place, fps, chosen)
        except DeftError:
            continue


def film(
    studio: Studio, settings: FilmSettings, identity: int, place: int, fps: float, lure: int
) -> tuple[Clip, Motion]:
    """Draw and measure one film. Raises: DeftError where the face is not found."""
    person = sample_identity(identity).id
    name = f"{person}/{place:05d}{'-lured' * bool(lure)}"
    taken = shoot(studio, settings, identity, place, fps, lure, name)
    event, strengths = taken.plan.main, key_strengths(taken.plan, *taken.marks)
    coded = {unit.number for unit in event.aus}
    stray = [number for number, sides in strengths["moved_px"].items()
             if max(sides) > STRAY_PX and int(number) not in coded]  # fmt: skip
    known = {"emotion": event.fine, "coarse": event.coarse}
    onset, apex, offset = taken.motion.indices
    clip = Clip(
        clip_id=name, corpus="synthetic", subject=person, fps=fps, source=Source(kind="frames", path="-"),
        onset=onset, apex=apex, offset=offset, apex_is_annotated=True, coding="truth",
        aus=[*event.aus, *(ActionUnit(number=int(number), certain=False) for number in stray)],
        notes=[LURES[lure]] if lure else [], **known,
        truth=Truth(
            onset=event.onset, apex=event.apex, offset=event.offset, aus=list(event.aus), **known,
            attributes={"plan": place, "lure": LURES[lure], **strengths, **_onset(taken)},
        ),
    )  # fmt: skip
    return clip, taken.motion


@dataclass(frozen=True)
class Take:
    """One drawn and measured film: its motion, its plan, who played it where, coded onset and apex."""

    motion: Any
    plan: Any
    performer: Any
    scene: Any
    marks: tuple[int, int]


def shoot(
    studio: Studio, settings: FilmSettings, identity: int, place: int, fps: float, lure: int, name: str = ""
) -> Take:
    """Draw one film and measure it as clip ``name``. Raises: DeftError where the face is not found."""
    plan = plan_clip(np.random.default_rng([settings.seed, place, 22]), load_prior(settings.prior),
                     kind="micro-expression", fps=fps, lure=LURES[lure] or None)  # fmt: skip
    camera = camera_of(np.random.default_rng([settings.seed, place, 23]), settings)
    plan.turn = plan.turn + np.array(camera.pose, np.float32)
    spec = ClipSpec(place, 0, identity, 0, "micro-expression", LURES[lure] or None, fps)
    performer = studio.performer(spec, settings.units)
    studio.renderer.light_scene(camera.scene, camera.pose)
    noise = np.random.default_rng([settings.seed, place, 24])
    onset, apex, offset = _coded(plan, noise)
    if settings.largest:
        drawn = np.random.default_rng([settings.seed, place, 25]).uniform()
        _resize(plan, settings.smallest * (settings.largest / settings.smallest) ** drawn, onset, apex)
    measured = measure_clip(
        lambda: key_frames(studio, performer, plan, camera, noise, (onset, apex, offset), settings.crf,
                           PROFILE),
        onset=onset, apex=apex, offset=offset, fps=fps,
        settings=MeasureSettings(profile=PROFILE, flow=settings.flow), clip_id=name,
    )  # fmt: skip
    return Take(measured, plan, performer, camera.scene, (onset, apex))


def camera_of(rng: np.random.Generator, settings: FilmSettings) -> Any:
    """A camera of ``settings.lit``: the two kinds share neither distances nor directions of the key lamp."""
    while True:
        camera = sample_camera(rng, settings.size)
        key = camera.scene.lights[0].direction
        side, far = abs(float(np.arctan2(key[0], key[2]))) >= 0.35, camera.scene.distance >= 13.5
        if settings.lit == "any" or (side and far, side or far) == (
            (True, True) if settings.lit == "far-side" else (False, False)
        ):
            return camera


def _coded(plan: Any, rng: np.random.Generator) -> tuple[int, int, int]:
    """Onset, apex and offset as a coder marks them: the apex is off by a tenth of the event."""
    event, last = plan.main, len(plan.times) - 1
    apex = event.apex + rng.normal(0, 0.1) * (event.offset - event.onset)
    apex = int(np.clip(apex, event.onset + 1, last - 1))
    return event.onset, apex, int(np.clip(event.offset, apex + 1, last))


def _resize(plan: Any, px: float, onset: int, apex: int) -> None:
    """Scale the movement (not what is held) so that the
    coded AU that moves most reaches ``px`` at the apex."""
    coded = {unit.number for unit in plan.main.aus}
    keys = [key for key in plan.tracks if not isinstance(key, str) and key.au in coded]
    reached = [abs(float(plan.tracks[k][apex] - plan.tracks[k][onset])) * _pixels(k.au) for k in keys]
    scale = px / max(*reached, 1e-3, 1e-3)
    for key in keys:
        curve = plan.tracks[key]
        plan.tracks[key] = curve[onset] + scale * (curve - curve[onset])


def _onset(taken: Take) -> dict[str, list[Any]]:
    """The onset's exact places (35, 2), the turn of the mesh and of the face itself (yaw, pitch, degrees)."""
    first = taken.performer.state(taken.plan, taken.marks[0])
    exact = {
        "geometry": level(truth.landmarks(first, taken.scene)),
        "mesh_turn": np.degrees(taken.plan.turn[taken.marks[0], :2]),
        TURN: truth.face_turn(first)[:2],
    }
    return {name: np.asarray(values, float).round(5).tolist() for name, values in exact.items()}


def _pixels(au: int) -> float:
    """Px at full strength on a face 280 px wide."""
    return PX_PER_IOD * AU_MAP[au].full


def main() -> None:
    """Command line of the film maker; prints one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    for name, info in FilmSettings.model_fields.items():
        kind = type(info.default)
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true", help=info.description)
        else:
            parser.add_argument(f"--{name}", type=kind, default=info.default, help=info.description)
    given = vars(parser.parse_args())
    store = given.pop("store")
    try:
        settings = FilmSettings(**given)
    except ValueError as error:
        raise UsageError(str(error)) from error
    new = make_films(store, settings)
    print(json.dumps({"store": store.name, "subjects": settings.subjects, "new clips": new}))


if __name__ == "__main__":
    main()
