"""Short films of rendered faces, measured as clips are and kept small: what the face experts learn from.

Only the frames that measuring needs are drawn (onset, apex, offset and two between), so a film costs a
tenth of a clip of ``deft synth``. Onset, apex and noise are as imperfect as there. One file a subject; a
stopped run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import atomic_path, write_json
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.training.face_tensors import LURES

PROFILE = 5
REFERENCE_IOD = 104.0  # px between the eyes of a face 280 px wide: the scale of all motion sizes here


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
    """Make the films of all subjects that are not there yet; returns how many films there are."""
    from deft_llm.synth.core.identity import split_seeds
    from deft_llm.synth.core.settings import GENERATOR
    from deft_llm.synth.video.production import Studio

    folder = Path(folder)
    write_json(folder / "films.json", {"settings": settings.model_dump(), "generator": GENERATOR})
    studio, total = Studio(), 0
    seeds = split_seeds(settings.split, settings.subjects, settings.seed * settings.subjects)
    for subject, identity in enumerate(seeds):
        path = folder / f"{subject:05d}.npz"
        if not path.exists():
            rows = [row for number in range(settings.films)
                    for row in _films_of(studio, settings, subject, identity, number)]  # fmt: skip
            if not rows:
                continue
            with atomic_path(path) as temporary, temporary.open("wb") as handle:
                arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
                np.savez(handle, **arrays)
        with np.load(path, allow_pickle=False) as data:
            total += len(data["coarse"])
    return total


def _films_of(
    studio: Any, settings: FilmSettings, subject: int, identity: int, number: int
) -> Iterator[dict[str, np.ndarray]]:
    """One film, or two that differ in the lure alone; none where the face is not found."""
    place = subject * settings.films + number
    rng = np.random.default_rng([settings.seed, place, 21])
    fps = float(rng.choice([60, 100, 200]))
    lure = int(rng.integers(1, len(LURES))) if rng.random() < settings.lures else 0
    for chosen in sorted({0, lure}) if settings.twins else (lure,):
        try:
            yield film(studio, settings, identity, place, fps, chosen) | {"subject": np.array(subject)}
        except DeftError:
            continue


def film(
    studio: Any, settings: FilmSettings, identity: int, place: int, fps: float, lure: int
) -> dict[str, np.ndarray]:
    """Draw and measure one film. Raises: DeftError where the face is not found."""
    taken = shoot(studio, settings, identity, place, fps, lure)
    return _seen(taken.motion) | _true(taken.plan, taken.performer, taken.scene, *taken.marks) | {
        "lure": np.array(lure), "plan": np.array(place)}  # fmt: skip


@dataclass(frozen=True)
class Take:
    """One drawn and measured film: its motion, its plan, who played it where, coded onset and apex."""

    motion: Any
    plan: Any
    performer: Any
    scene: Any
    marks: tuple[int, int]


def shoot(
    studio: Any, settings: FilmSettings, identity: int, place: int, fps: float, lure: int, name: str = ""
) -> Take:
    """Draw one film and measure it as clip ``name``. Raises: DeftError where the face is not found."""
    from deft_llm.motion.measure import MeasureSettings, measure_clip
    from deft_llm.synth.core.events import plan_clip
    from deft_llm.synth.core.prior import load_prior
    from deft_llm.synth.core.settings import ClipSpec

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
        lambda: _frames(studio, performer, plan, camera, noise, (onset, apex, offset), fps,
                        settings.crf),
        onset=onset, apex=apex, offset=offset, fps=fps,
        settings=MeasureSettings(profile=PROFILE, flow=settings.flow), clip_id=name,
    )  # fmt: skip
    return Take(measured, plan, performer, camera.scene, (onset, apex))


def camera_of(rng: np.random.Generator, settings: FilmSettings) -> Any:
    """A camera of ``settings.lit``: the two kinds share neither distances nor directions of the key lamp."""
    from deft_llm.synth.video.camera import sample_camera

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


def _frames(
    studio: Any, performer: Any, plan: Any, camera: Any, noise: np.random.Generator,
    keys: tuple[int, int, int], fps: float, crf: int,
) -> Iterator[Any]:  # fmt: skip
    """The frames that measuring looks at; a key frame is the mean of as many noisy pictures as measuring
    would average around it. ``crf``: all are coded as H.264, and nothing is averaged."""
    from deft_llm.faces.video import Frame
    from deft_llm.motion.shots import make_plan

    wanted = make_plan(*keys, fps, 10.0, PROFILE)
    bright = camera.brightness(noise, plan.times)
    pictures = []
    for index in wanted.profile:
        picture = studio.renderer.draw(performer.state(plan, index, float(bright[index])))
        count = 2 * wanted.reach + 1 if index in wanted.keys and not crf else 1
        taken = np.mean([camera.develop(picture, noise).astype(np.float32) for _ in range(count)], 0)
        image = np.asarray(np.round(taken), np.uint8)
        pictures.append(image if image.ndim == 3 else np.repeat(image[..., None], 3, 2))
    for index, image in zip(wanted.profile, coded(pictures, crf) if crf else pictures, strict=True):
        yield Frame(index, index / fps, image)


def coded(pictures: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """RGB pictures after H.264 (yuv420p) and back."""
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def _seen(motion: Any) -> dict[str, np.ndarray]:
    """What the experts read of a measured film."""
    import cv2

    from deft_llm.model.experts import APPEARANCE
    from deft_llm.model.inputs import change_images, motion_input, normalised_depth, normalised_landmarks

    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY) for face in motion.faces])
    looks = [cv2.resize(g, (APPEARANCE, APPEARANCE), interpolation=cv2.INTER_AREA) for g in grey]
    return {
        "maps": motion_input(motion).maps.astype(np.float16), "looks": np.stack(looks),
        "landmarks": np.stack([normalised_landmarks(marks) for marks in motion.landmarks]).astype(np.float16),
        "depth": np.stack([normalised_depth(depth) for depth in motion.depth]).astype(np.float16),
        "change": change_images(motion, grey).astype(np.float16),
    }  # fmt: skip


def _true(plan: Any, performer: Any, scene: Any, onset: int, apex: int) -> dict[str, np.ndarray]:
    """Labels and truth of a film, from its plan."""
    from deft_llm.facs.emotions import FINE
    from deft_llm.records import COARSE
    from deft_llm.synth.video import truth

    moved, held = (np.zeros((len(EXPERT_AUS), 2), np.float32) for _ in range(2))
    for key, curve in plan.tracks.items():
        if isinstance(key, str) or key.au not in AU_INDEX:
            continue
        px = _pixels(key.au)
        for side in (0, 1):
            if key.side is None or key.side == ("left", "right")[side]:
                row = (AU_INDEX[key.au], side)
                moved[row] = max(moved[row], px * abs(float(curve[apex] - curve[onset])))
                held[row] = max(held[row], px * float(curve[onset]))
    marked = np.zeros((len(EXPERT_AUS), 2), np.uint8)
    for unit in plan.main.aus:
        marked[AU_INDEX[unit.number]] = (unit.side != "right", unit.side != "left")
    stray = (moved.max(-1) > 0.1) & (marked.max(-1) == 0)
    event, first = plan.main, performer.state(plan, onset)
    return {
        "side": marked, "known": (~stray).astype(np.uint8), "moved": moved, "held": held,
        "coarse": np.array(COARSE.index(event.coarse) if event.coarse else -1),
        "fine": np.array(FINE.index(event.fine)),
        "geometry": level(truth.landmarks(first, scene)),
        "pose": np.degrees(plan.turn[onset, :2]).astype(np.float32),
        "turn": truth.face_turn(first)[:2].astype(np.float32),
    }  # fmt: skip


def _pixels(au: int) -> float:
    """Px at full strength on a face 280 px wide."""
    from deft_llm.synth.core.unit_map import AU_MAP

    return REFERENCE_IOD * AU_MAP[au].full


def level(points: np.ndarray) -> np.ndarray:
    """Exact landmarks (K, 2) px to inter-ocular distances from the eyes' midpoint, the eyes level."""
    from deft_llm.synth.video.truth import LANDMARKS

    names = list(LANDMARKS)
    eye = lambda side: points[[names.index(f"{side} {which} eye corner") for which in ("inner", "outer")]]  # noqa: E731
    left, right = eye("left").mean(0), eye("right").mean(0)
    across = left - right
    length = float(np.linalg.norm(across))
    cosine, sine = across / length
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return ((points - (left + right) / 2) @ turn.T / length).astype(np.float32)


def main() -> None:
    """Command line of the film maker."""
    import argparse

    parser = argparse.ArgumentParser(description="Make short rendered films for the face experts.")
    parser.add_argument("folder", type=Path)
    for name, info in FilmSettings.model_fields.items():
        kind = type(info.default)
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=kind, default=info.default)
    given = vars(parser.parse_args())
    folder = given.pop("folder")
    try:
        settings = FilmSettings(**given)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(f"{folder}: {make_films(folder, settings)} films")


if __name__ == "__main__":
    main()
