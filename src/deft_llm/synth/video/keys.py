"""Key frames of short films, measured: a store that training reads, without a whole film being drawn.

Only what measuring looks at is drawn (onset, apex, offset and frames between), as a camera and a codec leave
it, so a sample costs a tenth of a clip. One shard a subject; a stopped run goes on where it was.
``Conditions`` fix what training varies: sets on which it is measured what each expert knows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import DeftError, UsageError
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import Frame, encode_h264
from deft_llm.files import claim_folder
from deft_llm.jobs import check_pool, run_jobs
from deft_llm.motion.measure import MeasureSettings, measure_clip
from deft_llm.motion.shots import make_plan
from deft_llm.records import ActionUnit, Clip, Source, Truth
from deft_llm.state.onset import over_neutral_of
from deft_llm.store import Motion, Store, StoreWriter
from deft_llm.store.layout import HEADER, Failure
from deft_llm.synth.core.coder import Annotation, annotate, annotate_onset
from deft_llm.synth.core.events import LURES, PX_PER_IOD, Plan, disturb, mislead
from deft_llm.synth.core.identity import Split, sample_identity, split_seeds
from deft_llm.synth.core.key_plan import HELD, TURN, KeyPlan, draw_key_plan
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.sequence import INTENSITY
from deft_llm.synth.core.settings import GENERATOR, ClipSpec
from deft_llm.synth.core.unit_map import AU_MAP, UnitSet
from deft_llm.synth.video import camera as cameras
from deft_llm.synth.video import truth
from deft_llm.synth.video.camera import Camera
from deft_llm.synth.video.film import FURROW_AT, Performer, most_creased
from deft_llm.synth.video.furrows import FURROWS, furrow_strength
from deft_llm.synth.video.hair import BEARDS, grow_beard
from deft_llm.synth.video.production import CODING, Studio
from deft_llm.synth.video.prop_pass import Dressing
from deft_llm.synth.video.props import make_glasses
from deft_llm.synth.video.scene import Scene

Light = Literal["any", "near-frontal", "far-side"]
FRONTAL, FAR = 0.35, 13.5  # radians of the key lamp from the camera's axis; dm of the camera
KEYS = 7  # version of these samples: raised when the same options no longer give the same bytes
PROFILE = 8  # key frames of a sample at most
NEUTRALS = 3  # pictures of the face at rest
FPS = (60.0, 100.0, 200.0)
CRFS = (0, 0, 18, 26, 34)  # 0: not coded
ESTIMATORS = ("dis", "dis", "dis", "farneback")
GLASSES, BEARDED = 0.2, 0.3  # shares of samples; of men's
TURNED = (14.0, 9.0, 5.0)  # sd of yaw, pitch, roll of the resting head, degrees
FOLDED = 0.5  # chance that a family of folds answers to its AUs: age, skin and light decide
SMOOTH, CREASED = (0.0, 0.2), (3.0, 8.0)  # how strongly it then answers or not
FOLDS_DUE, FOLD_SEEN, FOLD_UNSEEN = 0.25, 0.9, 0.25  # of a whole fold: due on most faces; seen; not seen
FOLD_IOD, FOLD_CRF = 45.0, 30  # px between the eyes below which, and coding above which, no fold is judged
UNDER_BEARD = frozenset({"nasolabial fold", "dimple", "below the mouth corner", "chin", "lip lines"})
SWAY = 3.0  # sd of how it is turned otherwise while it is at rest, degrees


class Conditions(BaseModel):
    """What is fixed where training would vary it. The two kinds of ``light`` share neither distances of the
    camera nor directions of the key lamp."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phase: Literal["any", "rise"] = Field("any", description="rise: no releases, no transitions.")
    light: Light = Field("any", description="near-frontal or far-side: near cameras with light from the "
                         "front, far ones with light from the side.")  # fmt: skip
    lures: float = Field(0.0, ge=0, le=1, description="Share of samples on a misleading face.")
    twins: bool = Field(False, description="Every sample with a lure also without it.")
    flow: Literal["", "dis", "farneback", "farneback8", "tvl1"] = Field("", description="Estimator.")
    crf: int | None = Field(None, ge=0, le=51, description="H.264 quality; 0: not coded.")


class KeySettings(BaseModel):
    """Options of ``deft synth --film keys``; the store remembers them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clips: int = Field(ge=1, description="How many samples.")
    subjects: int = Field(ge=1, description="How many subjects.")
    seed: int = Field(0, ge=0, description="Chooses subjects and samples; same seed, same bytes.")
    split: Split = Field("train", description="Range of identities.")
    prior: Literal["facs", "corpora"] = Field("facs", description="Prior of labels and AUs.")
    units: UnitSet = Field("arkit", description="Face units.")
    size: int = Field(320, ge=128, le=1024, description="Frame side, px.")
    smallest: float = Field(0.2, gt=0, description="Least motion of the main AU, px of a 280-px face.")
    largest: float = Field(10.0, gt=0, description="Largest motion of the main AU.")
    generator: int = Field(KEYS, description="Version of the generator.")
    conditions: Conditions | None = Field(None, description="Fixed conditions; none: varied for training.")

    def check(self) -> None:
        """Raises: UsageError for counts that cannot be."""
        if self.subjects > self.clips:
            raise UsageError(f"--subjects {self.subjects}: choose 1 to {self.clips} (as many as --clips).")


def make_keys(
    out: Path, settings: KeySettings, *, workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Make the store ``out``; returns what a summary says. Samples whose face is not found are listed as
    failed. Raises: UsageError for impossible options or another product in ``out``, DeftError where it holds
    another store."""
    settings.check()
    check_pool(workers)
    split_seeds(settings.split, settings.subjects, settings.seed * settings.subjects)
    writer = _writer(claim_folder(out, HEADER), settings)
    tasks = [(str(out), settings.model_dump_json(), number) for number in range(settings.subjects)]
    done = 0
    for count in run_jobs(_work, tasks, workers=workers, ordered=False, setup=Studio):
        done += count
        progress(done, settings.clips)
    failures = writer.finish(settings.subjects)
    return {
        "clips": len(Store(out)), "subjects": settings.subjects, "left_out": len(failures),
        "prior": load_prior(settings.prior).describe(),
    }  # fmt: skip


def _writer(out: Path, settings: KeySettings) -> StoreWriter:
    return StoreWriter(
        out, {"made by": "deft synth --film keys", **settings.model_dump(mode="json", exclude_none=True)}
    )


def _work(studio: Studio, task: tuple[str, str, int]) -> int:
    """All samples of one subject; returns how many."""
    out, text, subject = Path(task[0]), task[1], task[2]
    settings = KeySettings.model_validate_json(text)
    places = range(subject, settings.clips, settings.subjects)
    writer = _writer(out, settings)
    key = writer.work_key([KEYS, subject, len(places)])
    if not writer.has_shard(subject, key):
        seed = split_seeds(settings.split, settings.subjects, settings.seed * settings.subjects)[subject]
        made: list[tuple[Clip, Motion]] = []
        failures: list[Failure] = []
        for place in places:
            for lure in _lures_of(settings, place):
                name = f"{sample_identity(seed).id}/k{place:06d}{'-lured' if lure else ''}"
                try:
                    made.append(make_sample(studio, settings, seed, place, name, lure))
                except DeftError as error:
                    failures.append(Failure(clip_id=name, reason=str(error)))
        writer.write_shard(subject, key, made, failures)
    return len(places)


def _lures_of(settings: KeySettings, place: int) -> list[str]:
    """What misleads in the samples at ``place``: "" for a plain face; two samples where it has a twin."""
    asked = settings.conditions or Conditions()
    rng = np.random.default_rng([GENERATOR, settings.seed, place, 53])
    lure = str(rng.choice(LURES)) if rng.random() < asked.lures else ""
    return sorted({"", lure}) if asked.twins else [lure]


def make_sample(
    studio: Studio, settings: KeySettings, identity: int, place: int, name: str, lure: str = ""
) -> tuple[Clip, Motion]:
    """Draw and measure one sample; ``lure``: what misleads, one of LURES.

    Raises: DeftError where the face is not found.
    """
    asked = settings.conditions or Conditions()
    rng = np.random.default_rng([GENERATOR, settings.seed, place, 51])
    fps = float(rng.choice(FPS))
    made = draw_key_plan(
        rng, load_prior(settings.prior), fps=fps, smallest=settings.smallest, largest=settings.largest,
        phase=None if asked.phase == "any" else asked.phase,
    )  # fmt: skip
    if lure:
        mislead(np.random.default_rng([GENERATOR, settings.seed, place, 54]), made.plan, lure)
    made.plan.fold_gain = _fold_gain(np.random.default_rng([GENERATOR, settings.seed, place, 57]))
    camera = camera_of(rng, settings.size, asked.light)
    pose = np.radians(rng.normal(0, TURNED)).astype(np.float32)
    made.plan.turn = made.plan.turn + pose
    performer = studio.performer(ClipSpec(place, 0, identity, 0, "keys", None, fps), settings.units)
    subject = performer.subject
    glasses = make_glasses(subject, rng) if rng.random() < GLASSES else None
    beard = None
    if subject.identity.sex == "male" and rng.random() < BEARDED:
        beard = grow_beard(subject.identity, subject.head, subject.vertices, str(rng.choice(BEARDS)))
    studio.renderer.props.wear(Dressing(glasses, beard))
    studio.renderer.light_scene(camera.scene, cameras.triple(made.plan.turn[0]))
    crf, flow = int(rng.choice(CRFS)), str(rng.choice(ESTIMATORS))
    crf, flow = crf if asked.crf is None else asked.crf, asked.flow or flow
    coder = annotate(rng, made.rising, made.onset, made.apex, made.offset, frames=len(made.plan.times),
                     fine=made.fine, coarse=made.coarse, prior=load_prior(settings.prior))  # fmt: skip
    marks = (coder.onset, coder.apex, coder.offset)
    noise = np.random.default_rng([GENERATOR, settings.seed, place, 52])
    measure = MeasureSettings(profile=PROFILE, flow=flow)  # type: ignore[arg-type]
    try:
        motion = measure_clip(
            lambda: key_frames(studio, performer, made.plan, camera, noise, marks, crf),
            onset=marks[0], apex=marks[1], offset=marks[2], fps=fps, settings=measure, clip_id=name,
        )  # fmt: skip
        calm = np.random.default_rng([GENERATOR, settings.seed, place, 56])
        motion.over_neutral = _over_neutral(studio, performer, camera, pose, motion, calm)
    finally:
        studio.renderer.props.wear(Dressing())
    conditions = {"crf": crf, "flow": flow, "glasses": glasses is not None, "beard": beard is not None,
                  "camera": camera.record(), "pose_degrees": np.degrees(pose).round(2).tolist()}  # fmt: skip
    if settings.conditions is not None:
        mesh = np.degrees(made.plan.turn[marks[0], :2]).round(4).tolist()
        conditions |= {"plan": place, "lure": lure, "mesh_turn": mesh}
    unseen = np.random.default_rng([GENERATOR, settings.seed, place, 55])
    held = annotate_onset(unseen, key_strengths(made.plan, marks[0], marks[1])[HELD])
    return _record(made, performer, camera.scene, name, marks, coder, held, conditions), motion


def _over_neutral(
    studio: Studio, performer: Performer, camera: Camera, pose: np.ndarray, motion: Motion,
    rng: np.random.Generator,
) -> np.ndarray | None:  # fmt: skip
    """What the onset shows over the same face at rest, seen at other moments, (C,) as ``state.onset``; None
    where the face at rest is not found."""
    fps = motion.fps or FPS[0]
    rest = Plan(fps, np.arange(NEUTRALS) / fps, "neutral")
    disturb(rng, rest)
    rest.turn = rest.turn + pose + np.radians(rng.normal(0, SWAY, (NEUTRALS, 3))).astype(np.float32)
    seen = []
    for frame in range(NEUTRALS):
        image = _in_colour(camera.develop(studio.renderer.draw(performer.state(rest, frame)), rng))
        faces = default_landmarker().detect(np.ascontiguousarray(image))
        seen += [(face.landmarks, face.depth) for face in faces[:1]]
    if not seen or motion.landmarks is None or motion.depth is None:
        return None
    return over_neutral_of((motion.landmarks[0], motion.depth[0]), seen)


def camera_of(rng: np.random.Generator, size: int, light: Light) -> Camera:
    """A set-up of every day with ``light``; ``size`` px square."""
    while True:
        camera = cameras.sample_video_camera(rng, size)
        key = camera.scene.lights[0].direction
        side = abs(float(np.arctan2(key[0], key[2]))) >= FRONTAL
        far = camera.scene.distance >= FAR
        if light == "any" or (side == far and far == (light == "far-side")):
            return camera


def key_frames(
    studio: Studio, performer: Performer, plan: Plan, camera: Camera, noise: np.random.Generator,
    keys: tuple[int, int, int], crf: int, profile: int = PROFILE,
) -> Iterator[Frame]:  # fmt: skip
    """The frames that measuring looks at; a key frame is the mean of as many noisy pictures as measuring
    would average around it. ``crf`` above 0: all are coded as H.264, and nothing is averaged."""
    wanted = make_plan(*keys, plan.fps, MeasureSettings().average_ms, profile)
    bright = camera.brightness(noise, plan.times)
    pictures = []
    for index in wanted.profile:
        picture = studio.renderer.draw(performer.state(plan, index, float(bright[index])))
        count = 2 * wanted.reach + 1 if index in wanted.keys and not crf else 1
        taken = np.mean([camera.develop(picture, noise).astype(np.float32) for _ in range(count)], 0)
        image = np.asarray(np.round(taken), np.uint8)
        pictures.append(_in_colour(image))
    for index, image in zip(wanted.profile, coded(pictures, crf) if crf else pictures, strict=True):
        yield Frame(index, index / plan.fps, image)


def _in_colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of a picture that a camera may have taken in grey (H, W)."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def coded(pictures: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """RGB pictures (H, W, 3) uint8 after H.264 (yuv420p) and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        encode_h264(container, pictures, 25, crf, "veryfast")
    file.seek(0)
    with av.open(file, "r") as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def _record(
    made: KeyPlan, performer: Performer, scene: Scene, name: str, marks: tuple[int, int, int],
    coder: Annotation, held: list[ActionUnit], conditions: dict[str, Any],
) -> Clip:  # fmt: skip
    """The sample's record: what a coder wrote, and the truth beside it."""
    identity = performer.subject.identity
    first = performer.state(made.plan, marks[0])
    points = truth.landmarks(first, scene)
    folds = coded_folds(made.plan, marks[0], marks[1]) if legible(points, conditions["crf"]) else {}
    if conditions["beard"]:
        folds = {fold: deepens for fold, deepens in folds.items() if fold not in UNDER_BEARD}
    attributes = {
        "phase": made.phase, "released": [unit.model_dump(exclude_defaults=True) for unit in made.released],
        "held": {str(au): round(INTENSITY * share, 3) for au, share in made.held.items()},
        "onset_state": unit_sides(made.plan, marks[0]), "apex_state": unit_sides(made.plan, marks[1]),
        "px": round(made.px, 3), **key_strengths(made.plan, marks[0], marks[1]),
        TURN: truth.face_turn(first)[:2].round(4).tolist(),
        "geometry": level(points).round(5).tolist(),
        "identity_seed": identity.seed, "split": identity.split, "sex": identity.sex, "age": identity.age,
        "ancestry": identity.ancestry, "skin_tone": identity.skin_tone, "units": performer.unit_set,
        **conditions,
    }  # fmt: skip
    kind = "micro-expression" if made.rising else "release"
    return Clip(
        clip_id=name, corpus="synthetic", subject=identity.id, fps=made.plan.fps,
        source=Source(kind="frames", path=f"keys/{name}"), onset=marks[0], apex=marks[1], offset=marks[2],
        apex_is_annotated=True, emotion=coder.fine if made.rising else None,
        coarse=coder.coarse if made.rising else None, aus=coder.aus if made.rising else [],
        held=held, phase=made.phase, folds=folds, coding=CODING,
        notes=[word for word in (made.phase, conditions.get("lure", "")) if word not in ("", "rise")],
        truth=Truth(onset=made.onset, apex=made.apex, offset=made.offset, emotion=made.fine,
                    coarse=made.coarse, aus=made.rising, kind=kind, attributes=attributes),
    )  # fmt: skip


def unit_sides(plan: Plan, frame: int) -> dict[str, list[float]]:
    """AU -> intensity (0..5) of the subject's left and right at one frame, over the plain face."""
    found: dict[str, list[float]] = {}
    for key, curve in plan.tracks.items():
        if isinstance(key, str) or key.au in (38, 45):
            continue
        row = found.setdefault(str(key.au), [0.0, 0.0])
        for number, side in enumerate(("left", "right")):
            if key.side in (None, side):
                row[number] = round(max(row[number], INTENSITY * float(curve[frame])), 3)
    return {au: row for au, row in found.items() if max(row) > 0.02}


def key_strengths(plan: Plan, onset: int, apex: int) -> dict[str, dict[str, list[float]]]:
    """Per AU the [left, right] px, on a face 280 px wide, that it moves from onset to apex (``moved_px``) and
    that the onset shows already (``held_px``)."""
    found: dict[str, dict[str, list[float]]] = {"moved_px": {}, HELD: {}}
    for key, curve in plan.tracks.items():
        if isinstance(key, str) or key.au not in AU_MAP:
            continue
        full = PX_PER_IOD * AU_MAP[key.au].full
        first, last = (full * float(curve[frame]) for frame in (onset, apex))
        for name, px in (("moved_px", abs(last - first)), (HELD, first)):
            sides = found[name].setdefault(str(key.au), [0.0, 0.0])
            for place, side in enumerate(("left", "right")):
                if key.side in (None, side):
                    sides[place] = round(max(sides[place], px), 4)
    return found


def _fold_gain(rng: np.random.Generator) -> np.ndarray:
    """(folds,) how strongly each family of folds answers to its AUs on one face in one light."""
    answers = rng.random(len(FURROWS)) < FOLDED
    return np.where(answers, rng.uniform(*CREASED, len(FURROWS)), rng.uniform(*SMOOTH, len(FURROWS)))


def coded_folds(plan: Plan, onset: int, apex: int) -> dict[str, bool]:
    """What a coder writes of the folds that the rising AUs deepen on most faces: whether each deepens here
    from onset to apex; those that he is not sure of are left out."""
    due = np.zeros((len(FURROWS), 2), np.float32)
    shown = np.zeros((2, len(FURROWS), 2), np.float32)
    gain = np.ones(len(FURROWS)) if plan.fold_gain is None else plan.fold_gain
    for key, curve in plan.tracks.items():
        if isinstance(key, str):
            continue
        whole = furrow_strength(key.au, key.side or "both") / FURROW_AT
        due += max(float(curve[apex] - curve[onset]), 0.0) * whole
        shown += curve[[onset, apex], None, None] * whole * gain[:, None]
    for au, share in plan.creases.items():
        shown += share * furrow_strength(au, "both")
    first, last = np.minimum(shown, most_creased(plan))
    deeper, strongest = (last - first).max(1), due.max(1)
    return {
        furrow.name: bool(deeper[row] >= FOLD_SEEN) for row, furrow in enumerate(FURROWS)
        if strongest[row] >= FOLDS_DUE and not FOLD_UNSEEN < deeper[row] < FOLD_SEEN
    }  # fmt: skip


def legible(points: np.ndarray, crf: int) -> bool:
    """Whether a coder can judge folds in a picture: the eyes of the exact landmarks (K, 2) px are apart far
    enough, and it is not coded too coarsely."""
    left, right = eye_centres(points)
    return bool(np.linalg.norm(left - right) >= FOLD_IOD) and crf <= FOLD_CRF


def eye_centres(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (2,) of the subject's left and right eye, of exact landmarks (K, 2)."""
    names = list(truth.LANDMARKS)
    eye = lambda side: points[[names.index(f"{side} {which} eye corner") for which in ("inner", "outer")]]  # noqa: E731
    return eye("left").mean(0), eye("right").mean(0)


def level(points: np.ndarray) -> np.ndarray:
    """Exact landmarks (K, 2) px to inter-ocular distances from the eyes' midpoint, the eyes level."""
    left, right = eye_centres(points)
    across = left - right
    length = float(np.linalg.norm(across))
    cosine, sine = across / length
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return ((points - (left + right) / 2) @ turn.T / length).astype(np.float32)
