"""Measures one clip: frames and indices in, everything that the store holds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import UsageError
from deft_llm.faces.landmarker import Landmarker, default_landmarker
from deft_llm.faces.regions import face_mask, region_weights, rigid_weight
from deft_llm.motion.dynamic import dynamic_image
from deft_llm.motion.flow import estimate
from deft_llm.motion.head import HeadFit, HeadMotion, depth_map
from deft_llm.motion.noise import disagreement, jitter, noise_floor
from deft_llm.motion.normalise import relative
from deft_llm.motion.shots import Frames, Shots, collect, make_plan
from deft_llm.motion.strain import optical_strain
from deft_llm.motion.table import region_table, region_vectors
from deft_llm.records import Units
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE, Motion, RegionTable

PATCH_SPREAD = 0.07  # of the patches on which what is left of the head is measured, in inter-ocular distances
RIGID = 0.4  # weight from which skin counts as rigid there
RAYLEIGH_MEDIAN = 1.18  # of a Rayleigh variable, in its components' spread


class MeasureSettings(BaseModel):
    """How clips are measured; a store carries it, and another setting is another store."""

    model_config = ConfigDict(extra="forbid")
    flow: Literal["dis", "farneback", "farneback8", "tvl1"] = Field(
        "dis", description="Optical flow estimator."
    )
    average_ms: float = Field(10.0, ge=0, le=50, description="Frames this near a key frame are averaged.")
    profile: int = Field(16, ge=0, le=16, description="Frames of the temporal profile; 0 leaves it out.")
    parallax: bool = Field(True, description="Small turns and nods of the head are taken out, too.")
    mirrored: bool = Field(False, description="The source is a mirror image (selfie video).")
    version: int = Field(1, description="Version of the measurement.")


@dataclass
class _View:
    """What stays the same over a clip: weights and masks placed by the onset's landmarks."""

    weights: np.ndarray
    rigid: np.ndarray
    mask: np.ndarray
    head: HeadFit


@dataclass
class _Phases:
    """Flow (P, 2, H, W) of each phase, its head motion, round-trip miss (R,) and residual."""

    flows: np.ndarray
    heads: list[HeadMotion]
    misses: list[np.ndarray]
    residuals: list[float]


def measure_clip(
    frames: Frames,
    *,
    onset: int,
    apex: int | None,
    offset: int | None,
    fps: float | None,
    settings: MeasureSettings | None = None,
    clip_id: str = "",
    landmarker: Landmarker | None = None,
) -> Motion:
    """Measure the movement of one clip from its onset over its apex to its offset (0-based, inclusive).

    ``frames``: a callable that starts a new stream of Frames, or a sequence of Frames or uint8 RGB images.
    ``apex`` None: the frame of the largest movement between onset and offset. ``offset`` None: one phase.
    Raises: UsageError for indices out of order; DeftError where frames or the face are not there.
    """
    settings = settings or MeasureSettings()
    landmarker = landmarker or default_landmarker()
    name = clip_id or "clip"
    if apex is None:
        apex = find_apex(frames, onset=onset, offset=offset, fps=fps, settings=settings,
                         clip_id=clip_id, landmarker=landmarker)  # fmt: skip
    plan = make_plan(onset, apex, offset, fps, settings.average_ms, settings.profile)
    shots = collect(frames, plan, landmarker, mirrored=settings.mirrored, name=name)
    return measure_shots(shots, fps=fps, settings=settings, clip_id=clip_id)


def measure_shots(
    shots: Shots, *, fps: float | None, settings: MeasureSettings | None = None, clip_id: str = ""
) -> Motion:
    """Measure the movement whose frames were collected: from its onset over its apex to its offset."""
    settings, plan = settings or MeasureSettings(), shots.plan
    view = _view(shots, settings)
    measured = _phases(shots, view, settings)
    vectors, frame_heads = _single_frames(shots, view, settings)
    table = _table(shots, view, measured, vectors)
    first, top, last = plan.keys[0], plan.keys[1], plan.keys[-1]
    return Motion(
        clip_id=clip_id,
        units="px",
        flow=(measured.flows * view.mask).astype(np.float32),
        strain=(optical_strain(measured.flows) * view.mask).astype(np.float32),
        regions=table,
        head=np.stack([head.params for head in measured.heads]).astype(np.float32),
        mask=view.mask,
        faces=np.stack([shots.faces[key] for key in (first, top, last)]),
        landmarks=np.stack([shots.landmarks[key] for key in (first, top, last)]),
        depth=np.stack([shots.depth[key] for key in (first, top, last)]),
        dynamic=_dynamic(shots, view, frame_heads),
        iod_px=float(shots.iod),
        fps=fps,
        indices=(first, top, plan.keys[2] if len(plan.keys) > 2 else None),
        quality=_quality(shots, measured, table),
    )


def find_apex(
    frames: Frames,
    *,
    onset: int,
    offset: int | None,
    fps: float | None,
    settings: MeasureSettings | None = None,
    clip_id: str = "",
    landmarker: Landmarker | None = None,
) -> int:
    """The frame between onset and offset whose regions moved most (upper quartile), of up to 16 tried."""
    if offset is None or offset <= onset + 1:
        raise UsageError(f"{clip_id or 'clip'}: without an apex, onset {onset} and offset {offset} must be "
                         "given and lie at least two frames apart.")  # fmt: skip
    settings = settings or MeasureSettings()
    plan = make_plan(onset, offset, None, fps, settings.average_ms, 16)
    shots = collect(frames, plan, landmarker or default_landmarker(), mirrored=settings.mirrored,
                    name=clip_id or "clip")  # fmt: skip
    vectors, _ = _single_frames(shots, _view(shots, settings), settings)
    size = np.quantile(np.linalg.norm(_profile(shots, vectors), axis=2), 0.75, axis=1)
    inner = size[1:-1]
    return plan.profile[1 + int(inner.argmax())] if len(inner) else onset + 1


def motion_from_flow(
    clip_id: str, flow: np.ndarray, *, units: Units, strain: np.ndarray | None = None
) -> Motion:
    """Motion of a clip that came as flow maps (P, 2, h, w) of an aligned face: no faces, no landmarks.

    Relative maps (and their strain (P, h, w)) pass through ``normalise.relative``.
    Raises: UsageError for another shape.
    """
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 4 or flow.shape[0] not in (1, 2) or flow.shape[1] != 2:
        raise UsageError(f"{clip_id}: flow maps of shape {flow.shape} are not (1 or 2 phases, 2, h, w).")
    if units == "relative":
        flow = relative(flow)
    strain = optical_strain(flow) if strain is None else np.asarray(strain, np.float32)
    if strain.shape != (flow.shape[0], *flow.shape[2:]):
        raise UsageError(f"{clip_id}: strain of shape {strain.shape} does not fit flow {flow.shape}.")
    if units == "relative":
        strain = relative(strain)
    weights = region_weights(None, (flow.shape[2], flow.shape[3]))
    return Motion(
        clip_id=clip_id,
        units=units,
        flow=flow,
        strain=strain,
        regions=region_table(flow, weights=weights, units=units),
        head=np.zeros((flow.shape[0], 4), np.float32),
    )


def _view(shots: Shots, settings: MeasureSettings) -> _View:
    landmarks = shots.landmarks[shots.plan.keys[0]]
    size = (ALIGNED_SIZE, ALIGNED_SIZE)
    inside = shots.inside
    rigid = rigid_weight(landmarks) * inside
    return _View(
        weights=region_weights(landmarks),
        rigid=rigid,
        mask=face_mask(landmarks, eyes=True) & inside,
        head=HeadFit(rigid, depth_map(landmarks, size) if settings.parallax else None),
    )


def _relative_flow(
    first: np.ndarray, second: np.ndarray, view: _View, settings: MeasureSettings
) -> tuple[np.ndarray, HeadMotion]:
    flow = estimate(first, second, settings.flow)
    head = view.head.fit(flow)
    return flow - head.field, head


def _phases(shots: Shots, view: _View, settings: MeasureSettings) -> _Phases:
    pictures = [shots.averaged(key) for key in shots.plan.keys]
    flows, heads, misses, residuals = [], [], [], []
    for first, second in zip(pictures, pictures[1:]):
        flow, head = _relative_flow(first, second, view, settings)
        back = estimate(second, first, settings.flow)
        misses.append(disagreement(flow + head.field, back, view.weights))
        flows.append(flow)
        heads.append(head)
        residuals.append(_residual(flow, view.rigid))
    return _Phases(np.stack(flows), heads, misses, residuals)


def _table(shots: Shots, view: _View, measured: _Phases, vectors: dict[int, np.ndarray]) -> RegionTable:
    """The region table with the noise floor of each phase and the profile of the whole clip."""
    plan = shots.plan
    frame_jitter = jitter(_triples(shots, vectors))
    floor = np.stack([
        noise_floor(frame_jitter, 2 * plan.reach + 1, miss, residual)
        for miss, residual in zip(measured.misses, measured.residuals)
    ])  # fmt: skip
    times = np.array([shots.time[i] - shots.time[plan.keys[0]] for i in plan.profile], np.float32)
    profile = _profile(shots, vectors)
    return region_table(measured.flows * view.mask, weights=view.weights, units="px", iod_px=shots.iod,
                        floor=floor, profile=(times, profile) if len(times) else None)  # fmt: skip


def _quality(shots: Shots, measured: _Phases, table: RegionTable) -> dict[str, float]:
    return {
        "presence": float(shots.presence),
        "head_residual": float(max(measured.residuals)),
        "turn": float(measured.heads[0].turn),
        "nod": float(measured.heads[0].nod),
        "floor": float(np.median(table.floor[0])),
    }


def _residual(flow: np.ndarray, rigid: np.ndarray) -> float:
    """Typical motion (px) that region-sized patches of rigid skin keep after the head's is gone."""
    import cv2

    spread = PATCH_SPREAD * ALIGNED_IOD
    weight = cv2.GaussianBlur(rigid, (0, 0), spread) + 1e-6
    means = [cv2.GaussianBlur(flow[k] * rigid, (0, 0), spread) / weight for k in (0, 1)]
    size = np.hypot(*means)[rigid > RIGID]
    return float(np.median(size) / RAYLEIGH_MEDIAN) if size.size else 0.0


def _single_frames(
    shots: Shots, view: _View, settings: MeasureSettings
) -> tuple[dict[int, np.ndarray], dict[int, HeadMotion]]:
    """Region vectors (R, 2) and head motion from onset to single frames: the profile, and about each key."""
    keys = shots.plan.keys
    start = shots.averaged(keys[0])
    around = {key + step for key in keys for step in (-1, 0, 1)}
    vectors = {keys[0]: np.zeros((len(view.weights), 2), np.float32)}
    heads: dict[int, HeadMotion] = {}
    for index in sorted((around | set(shots.plan.profile)) & set(shots.grey)):
        # The averaged onset holds the onset's own frame: only its neighbours tell noise there.
        if index == keys[0] and shots.plan.reach == 0:
            continue
        flow, heads[index] = _relative_flow(start, shots.grey[index], view, settings)
        vectors[index] = region_vectors(flow, view.weights)
    return vectors, heads


def _profile(shots: Shots, vectors: dict[int, np.ndarray]) -> np.ndarray:
    """Region vectors (T, R, 2) from onset to each frame of the profile; zero at onset."""
    still = np.zeros_like(vectors[shots.plan.keys[0]])
    return np.array([still if i == shots.plan.keys[0] else vectors[i] for i in shots.plan.profile])


def _triples(shots: Shots, vectors: dict[int, np.ndarray]) -> np.ndarray:
    """Region vectors (K, 3, R, 2) of three neighbouring frames about each key."""
    around = [(key - 1, key, key + 1) for key in shots.plan.keys]
    found = [[vectors[i] for i in triple] for triple in around if all(i in vectors for i in triple)]
    return np.array(found).reshape(-1, 3, len(vectors[shots.plan.keys[0]]), 2)


def _dynamic(shots: Shots, view: _View, heads: dict[int, HeadMotion]) -> np.ndarray:
    """Dynamic images (P, H, W) of each phase, the head held still and its brightness steady."""
    keys = shots.plan.keys
    profile = shots.plan.profile or keys
    images = []
    for start, stop in zip(keys, keys[1:]):
        pictures = [_held(shots.grey[i], heads.get(i), view.mask) for i in profile if start <= i <= stop]
        images.append(dynamic_image(np.stack(pictures)) * view.mask)
    return np.stack(images).astype(np.float32)


def _held(grey: np.ndarray, head: HeadMotion | None, mask: np.ndarray) -> np.ndarray:
    """A grey frame with the head where it was at onset, standardised over the face."""
    import cv2

    picture: np.ndarray = grey.astype(np.float32)
    if head is not None:
        rows, columns = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]].astype(np.float32)
        picture = cv2.remap(picture, columns + head.field[0], rows + head.field[1], cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    face = picture[mask]
    return (picture - face.mean()) / max(float(face.std()), 1.0)
