"""From a clip's motion to what the experts read: relative 28 x 28 maps, the onset's face and its change; as
batches of tensors, in a mirror too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from deft_llm.aus.support import measure_support
from deft_llm.faces.pose import head_turn
from deft_llm.faces.regions import CANONICAL_DEPTH, TWIN, fold_weights, region_weights
from deft_llm.facs.regions import FOLDS, REGION_INDEX, REGIONS, mirror_key
from deft_llm.model.experts import (
    APPEARANCE,
    CHANGE,
    CHANGE_CHANNELS,
    COURSE_FEATURES,
    GRID,
    LINE_FEATURES,
    TURN,
)
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.motion.normalise import relative
from deft_llm.state.onset import MIRROR_CHANNEL, ONSET_CHANNELS, over_neutral_of
from deft_llm.state.onset import MIRROR_SIGN as MIRROR_OVER
from deft_llm.store import Motion
from deft_llm.store.motion import ALIGNED_IOD, ALIGNED_SIZE

CLIP = 6.0
"""Relative values beyond this many standard deviations carry no more meaning (outliers of the estimator)."""
EYE_CENTRE = (111.5, 64.0)
"""Midpoint of the eyes in the aligned frame, px."""
TURN_UNIT = 5.0
"""Degrees that count as one in ``space_input``."""
OVER_UNIT, MOST_OVER = 3.0, 8.0
"""% of the eye distance that count as one in ``over_input``, and where that ends."""
LEAST_SHAPE = 0.5
"""% of the eye distance that is added to the sizes of changes of shape in ``course_input``: less is noise."""
LINE_SCALES = ((0.7, 2.0), (1.2, 3.5))
"""Standard deviations, px of the aligned face, between which lines of the skin lie: fine and broader ones."""
LINE_AROUND, LINE_DARK, LINE_UNIT = 8.0, 8.0, 0.004
"""Lines are measured in shares of the grey around (standard deviation in px), which counts as so many levels
more; and the share that counts as one in ``fold_lines``."""
LINE_MAP = 112
"""Side, px, of the map on which lines are pooled."""
FACE_ROWS, FACE_COLUMNS = slice(30, 200), slice(30, 194)
"""Where the face lies in an aligned picture, without its background."""
MIRROR_LINES = (1, 0, 3, 2, 4, 5)
"""Order of the features of ``fold_lines`` in a mirror image."""
SURE_SUPPORT = 0.995
"""Support beyond which, and below one less which, a measurement is no surer."""
RELATIVE_Z = 3.0
"""Noise floors that a region's relative motion of 1 amounts to, where none was measured."""
MIRROR_SIGN = (-1.0, 1.0, 1.0)
"""A mirror image changes the sign of u; v and strain stay."""


# -- motion -----------------------------------------------------------------------------------------------


@dataclass
class MotionInput:
    """maps (2, 3, 28, 28) relative (u, v, strain) of both phases; phases (2,) bool: those that are known;
    regions (2, R, 3) what was measured in px of the face's regions: dx, dy, z, NaN where it was not; support
    (A, 2) of ``support_input``."""

    maps: np.ndarray
    phases: np.ndarray
    regions: np.ndarray = field(default_factory=lambda: np.full((2, len(REGIONS), 3), np.nan, np.float32))
    support: np.ndarray = field(default_factory=lambda: np.full((len(EXPERT_AUS), 2), np.nan, np.float32))


def motion_input(motion: Motion) -> MotionInput:
    """What the motion expert sees of a clip: any map size from 28 to 224 px, one phase or both."""
    stacked = np.concatenate([motion.flow, motion.strain[:, None]], axis=1).astype(np.float32)
    found, table = maps_input(stacked), motion.regions
    if motion.units == "px":
        count = min(len(table.dx), 2)
        found.regions[:count] = np.stack([table.dx, table.dy, table.z], -1)[:count]
        found.support[:] = support_input(motion)
    return found


def support_input(motion: Motion) -> np.ndarray:
    """(A, 2) logits of ``aus.support``: how well the flow supports each AU on the left and on the right, no
    label read; NaN for an AU that could not be measured."""
    found = np.full((len(EXPERT_AUS), 2), np.nan, np.float32)
    for seen in measure_support(motion):
        if seen.judged and seen.au in AU_INDEX:
            found[AU_INDEX[seen.au]] = logit(np.clip(seen.sides, 1 - SURE_SUPPORT, SURE_SUPPORT))
    return found


def maps_input(maps: np.ndarray) -> MotionInput:
    """Maps (P, 3, H, W) of any unit or stretch to the motion expert's input (P padded to 2)."""
    small = np.stack([resize(phase) for phase in np.asarray(maps, np.float32)])
    ready = relative_maps(small)
    count = min(len(ready), 2)
    padded = np.zeros((2, 3, GRID, GRID), np.float32)
    padded[:count] = ready[:count]
    return MotionInput(padded, np.arange(2) < count)


def resize(maps: np.ndarray, size: int = GRID) -> np.ndarray:
    """Maps (C, H, W) to (C, size, size) by area averaging (linear interpolation upwards)."""
    if maps.shape[1:] == (size, size):
        return maps
    shrink = maps.shape[1] >= size and maps.shape[2] >= size
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, (size, size), interpolation=method) for channel in maps])


def relative_maps(maps: np.ndarray) -> np.ndarray:
    """``motion.normalise.relative`` over (..., H, W), clipped to +-``CLIP``."""
    return np.clip(relative(np.asarray(maps, np.float32)), -CLIP, CLIP).astype(np.float32)


@lru_cache(maxsize=1)
def canonical_weights() -> Tensor:
    """(R, 28 * 28) weights of the face regions in the canonical layout, each summing to 1."""
    weights = region_weights(None, size=(GRID, GRID)).reshape(-1, GRID * GRID)
    with torch.inference_mode(False):  # the first call may come from there; gradients pass through later ones
        return torch.from_numpy(weights.astype(np.float32))


def measured_regions(batch: DeftBatch, pooled: Tensor) -> Tensor:
    """(B, 2, R, 3) dx, dy and z of the face's regions: those that were measured in px; of relative maps
    those of the first phase, taken to stand ``RELATIVE_Z`` noise floors high per unit (each phase has a scale
    of its own, so what becomes of the motion afterwards is not known). ``pooled``: ``region_pool`` of the
    maps."""
    way = pooled[:, :1, :, :2].detach().float()
    found = torch.cat([way, RELATIVE_Z * way.norm(dim=-1, keepdim=True)], -1)
    found = torch.cat([found, torch.full_like(found, torch.nan)], 1)
    if batch.regions is None:
        return found
    known = batch.regions.isfinite().flatten(1).any(1)
    return torch.where(known[:, None, None, None], batch.regions, found)


def region_pool(maps: Tensor) -> Tensor:
    """Region table (..., R, 3) of relative maps (..., 3, 28, 28): mean u, v and twice the divergence."""
    u, v = maps[..., 0, :, :], maps[..., 1, :, :]
    divergence = torch.gradient(u, dim=-1)[0] + torch.gradient(v, dim=-2)[0]
    stack = torch.stack([u, v, 2.0 * divergence], -1).flatten(-3, -2)
    return torch.einsum("rk,...kf->...rf", canonical_weights().to(maps), stack)


# -- faces ------------------------------------------------------------------------------------------------


@dataclass
class FaceInput:
    """landmarks (478, 2) in inter-ocular distances from the eyes' midpoint, appearance (1, 64, 64) grey of
    unit spread, space (1437,) of ``space_input``, over (C,) the shape over the person's neutral in units of
    ``OVER_UNIT`` (all of the onset alone); change (4, 56, 56); lines (F, 6) of ``fold_lines``; course (K,) of
    ``course_input``."""

    landmarks: np.ndarray
    appearance: np.ndarray
    change: np.ndarray
    space: np.ndarray = field(default_factory=lambda: no_space())
    over: np.ndarray = field(default_factory=lambda: no_neutral())
    lines: np.ndarray = field(default_factory=lambda: no_lines())
    course: np.ndarray = field(default_factory=lambda: no_course())


def face_input(motion: Motion) -> FaceInput | None:
    """What the face experts see of a clip, or None without faces and landmarks."""
    if motion.faces is None or motion.landmarks is None:
        return None
    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY) for face in motion.faces])
    landmarks = normalised_landmarks(motion.landmarks[0])
    look = cv2.resize(grey[0], (APPEARANCE, APPEARANCE), interpolation=cv2.INTER_AREA).astype(np.float32)
    space = no_space() if motion.depth is None else space_input(landmarks, normalised_depth(motion.depth[0]))
    over = no_neutral() if motion.over_neutral is None else over_input(motion.over_neutral)
    return FaceInput(
        landmarks, spread(look)[None], change_images(motion, grey), space, over, fold_lines(motion, grey),
        course_input(motion),
    )  # fmt: skip


def normalised_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Aligned landmarks (478, 2) px to inter-ocular distances from the eyes' midpoint."""
    return ((np.asarray(landmarks, np.float32) - EYE_CENTRE) / ALIGNED_IOD).astype(np.float32)


def normalised_depth(depth: np.ndarray) -> np.ndarray:
    """Depth (478,) aligned px to inter-ocular distances about the landmarks' median depth."""
    return ((np.asarray(depth, np.float32) - np.median(depth)) / ALIGNED_IOD).astype(np.float32)


def space_input(landmarks: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(1437,) of one frame's ``normalised_landmarks`` and ``normalised_depth``: the points (478, 3) in space,
    then yaw, pitch and roll in units of TURN_UNIT; NaN where depth is missing."""
    points = np.column_stack([landmarks, depth])
    return np.concatenate([points.ravel(), head_turn(landmarks, depth) / TURN_UNIT]).astype(np.float32)


def no_space() -> np.ndarray:
    """(3 * landmarks + TURN,) NaN: ``space_input`` of a clip whose depth is not known."""
    return np.full(3 * len(CANONICAL_DEPTH) + TURN, np.nan, np.float32)


def over_input(over_neutral: np.ndarray) -> np.ndarray:
    """(C,) of ``Motion.over_neutral``, % of the eye distance, in units of OVER_UNIT."""
    return np.clip(np.asarray(over_neutral, np.float32) / OVER_UNIT, -MOST_OVER, MOST_OVER)


def no_neutral() -> np.ndarray:
    """(C,) NaN: ``over_input`` of a clip of whose subject no neutral is known."""
    return np.full(len(ONSET_CHANNELS), np.nan, np.float32)


def course_input(motion: Motion) -> np.ndarray:
    """(K,) how the shape of a face goes on from what its onset shows over the person's neutral, the same in
    a mirror. Until the apex, by landmarks and then by flow: the cosine with what was there, the logarithm of
    how much is there afterwards over before, that of how far it went, and by how much the largest channel
    grew (in OVER_UNIT). The logarithm of what was there. Until the offset: the cosine with the way before
    (negative: it goes back), the share that flow undoes, how far it goes by landmarks and by flow.
    ``no_course`` without neutral, depth, or flow of the aligned face."""
    over, landmarks, depth = motion.over_neutral, motion.landmarks, motion.depth
    if over is None or landmarks is None or depth is None or motion.flow.shape[-1] != ALIGNED_SIZE:
        return no_course()
    held = np.asarray(over, np.float64)
    size = lambda shape: float(np.linalg.norm(shape))  # noqa: E731
    log = lambda shape: float(np.log(size(shape) + LEAST_SHAPE))  # noqa: E731
    like = lambda one, other: float(one @ other) / (size(one) * size(other) + LEAST_SHAPE)  # noqa: E731
    until_apex = [_reshaped(motion, 0, by_flow) for by_flow in (False, True)]
    found: list[float] = []
    for change in until_apex:
        grown = float(np.abs(held + change).max() - np.abs(held).max()) / OVER_UNIT
        found += [like(held, change), log(held + change) - log(held), log(change), grown]
    found.append(log(held))
    if len(motion.flow) > 1:
        back, flowed_back = (_reshaped(motion, 1, by_flow) for by_flow in (False, True))
        undone = float(until_apex[1] @ flowed_back) / (size(until_apex[1]) ** 2 + LEAST_SHAPE)
        found += [like(until_apex[0], back), undone, log(back), log(flowed_back)]
    else:
        found += [0.0] * 4
    return np.clip(found, -CLIP, CLIP).astype(np.float32)


def no_course() -> np.ndarray:
    """(K,) NaN: ``course_input`` of a clip of which it is not known."""
    return np.full(COURSE_FEATURES, np.nan, np.float32)


def _reshaped(motion: Motion, phase: int, by_flow: bool) -> np.ndarray:
    """(C,) % of the eye distance by which the shape of the face changes in a phase: by its landmarks at both
    ends, or by those of its beginning and the flow there."""
    assert motion.landmarks is not None and motion.depth is not None
    before, after = motion.landmarks[phase], motion.landmarks[phase + 1]
    depth = motion.depth[[phase, phase if by_flow else phase + 1]]
    if by_flow:
        x, y = np.clip(np.round(before).astype(int), 0, ALIGNED_SIZE - 1).T
        after = before + motion.flow[phase][:, y, x].T
    return over_neutral_of((after, depth[1]), [(before, depth[0])])


def change_images(motion: Motion, grey: np.ndarray) -> np.ndarray:
    """(4, 56, 56): dynamic images of both phases, then what flow does not explain of each phase's
    difference; grey (3, 224, 224) uint8 of onset, apex and offset."""
    images = []
    for phase in range(2):
        image = motion.dynamic[phase] if motion.dynamic is not None and phase < len(motion.dynamic) else None
        images.append(_shrunk(image))
    for phase in range(2):
        have = phase < motion.flow.shape[0] and motion.flow.shape[-1] == grey.shape[-1]
        images.append(_shrunk(_unexplained(grey, motion, phase) if have else None))
    assert len(images) == CHANGE_CHANNELS
    return np.stack(images)


def fold_lines(motion: Motion, grey: np.ndarray) -> np.ndarray:
    """(F, 6): how much more the lines of the skin stand out at the apex, pulled back along the flow, than at
    the onset, in units of LINE_UNIT: where each fold of ``facs.regions.FOLDS`` lies, on the left and on the
    right, fine lines and then broader ones (LINE_SCALES); then both over the whole face. ``no_lines`` where
    the flow is not of the size of grey (3, 224, 224)."""
    if motion.flow.shape[-1] != grey.shape[-1] or motion.landmarks is None:
        return no_lines()
    weights = fold_weights(motion.landmarks[0], (LINE_MAP, LINE_MAP))
    places, whole = [], []
    for onset, apex in zip(*map(_lines, grey[:2]), strict=True):
        deeper = (_pulled_back(apex, motion, 0) - onset) / LINE_UNIT
        whole.append(np.full((len(weights), 1), deeper[FACE_ROWS, FACE_COLUMNS].mean()))
        deeper = cv2.resize(deeper, (LINE_MAP, LINE_MAP), interpolation=cv2.INTER_AREA)
        places.append(np.einsum("fshw,hw->fs", weights, deeper))
    return np.clip(np.concatenate([*places, *whole], 1), -CLIP, CLIP).astype(np.float32)


def no_lines() -> np.ndarray:
    """(F, 6) zeros: ``fold_lines`` of a clip in which lines are not measured."""
    return np.zeros((len(FOLDS), LINE_FEATURES), np.float32)


def _lines(grey: np.ndarray) -> list[np.ndarray]:
    """How much the lines of a picture (H, W) stand out at each of LINE_SCALES, in shares of the grey
    around."""
    picture = grey.astype(np.float32)
    soft = lambda sigma: cv2.GaussianBlur(picture, (0, 0), sigma)  # noqa: E731
    around = soft(LINE_AROUND) + LINE_DARK
    return [np.abs((soft(fine) - soft(broad)) / around) for fine, broad in LINE_SCALES]


def _unexplained(grey: np.ndarray, motion: Motion, phase: int) -> np.ndarray:
    """Second frame pulled back along the flow minus the first frame, grey levels."""
    return _pulled_back(grey[phase + 1], motion, phase).astype(np.float32) - grey[phase]


def _pulled_back(image: np.ndarray, motion: Motion, phase: int) -> np.ndarray:
    """An image (H, W) of a phase's second frame, along the flow to where its first frame is."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    flow = motion.flow[phase].astype(np.float32)
    return cv2.remap(image, x + flow[0], y + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _shrunk(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        return np.zeros((CHANGE, CHANGE), np.float32)
    small = cv2.resize(np.asarray(image, np.float32), (CHANGE, CHANGE), interpolation=cv2.INTER_AREA)
    return spread(small)


def spread(image: np.ndarray) -> np.ndarray:
    """(H, W) image minus its median, over its standard deviation, clipped at +-``CLIP``."""
    centred = image - np.median(image)
    return np.clip(centred / max(float(centred.std()), 1e-3), -CLIP, CLIP).astype(np.float32)


# -- batches ----------------------------------------------------------------------------------------------


@dataclass
class DeftBatch:
    """Inputs of B clips: maps (B, P, 3, 28, 28) and phases (B, P) as in ``MotionInput``, P 1 or 2; the
    parts of ``FaceInput`` (B, ...), None where no clip has a face, and has_faces (B,) bool, None where
    all have one; regions (B, 2, R, 3) and support (B, A, 2), None where none were measured.

    ``with_table``: whether the motion expert reads the region table as well (measured from the maps).
    """

    maps: Tensor
    phases: Tensor
    landmarks: Tensor | None = None
    appearance: Tensor | None = None
    change: Tensor | None = None
    space: Tensor | None = None
    over: Tensor | None = None
    lines: Tensor | None = None
    course: Tensor | None = None
    has_faces: Tensor | None = None
    regions: Tensor | None = None
    support: Tensor | None = None
    with_table: bool = True

    def __len__(self) -> int:
        return len(self.maps)

    def take(self, rows: Any) -> DeftBatch:
        """The clips ``rows`` (an index of tensors)."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {n: v[rows] for n, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **taken)


def batch_of(inputs: Sequence[MotionInput], faces: Sequence[FaceInput | None] | None = None) -> DeftBatch:
    """Stack inputs of B clips; ``faces`` holds a FaceInput or None for each. The second phase is dropped
    where no clip has one."""
    count = 2 if any(item.phases[1] for item in inputs) else 1
    batch = DeftBatch(
        torch.from_numpy(np.stack([item.maps[:count] for item in inputs])),
        torch.from_numpy(np.stack([item.phases[:count] for item in inputs])),
        regions=torch.from_numpy(np.stack([item.regions for item in inputs])),
        support=torch.from_numpy(np.stack([item.support for item in inputs])),
    )
    first = next((face for face in faces or () if face is not None), None)
    if first is None or faces is None:
        return batch
    seen: dict[str, Any] = {
        f.name: torch.from_numpy(np.stack([getattr(face or first, f.name) for face in faces]))
        for f in fields(FaceInput)
    }
    return replace(batch, **seen, has_faces=torch.tensor([face is not None for face in faces]))


def mirrored(batch: DeftBatch) -> DeftBatch:
    """The clips in a mirror: their sides change places."""
    maps = batch.maps.flip(-1) * batch.maps.new_tensor(MIRROR_SIGN)[:, None, None]
    flip = lambda value: None if value is None else value.flip(-1)  # noqa: E731
    return replace(
        batch, maps=maps, lines=None if batch.lines is None else mirrored_lines(batch.lines),
        appearance=flip(batch.appearance), change=flip(batch.change),
        landmarks=None if batch.landmarks is None else mirrored_landmarks(batch.landmarks),
        space=None if batch.space is None else mirrored_space(batch.space),
        over=None if batch.over is None else mirrored_over(batch.over),
        regions=None if batch.regions is None else mirrored_regions(batch.regions),
        support=flip(batch.support),
    )  # fmt: skip


def mirrored_landmarks(landmarks: Tensor) -> Tensor:
    """``normalised_landmarks`` (B, 478, 2) of the mirror image."""
    return landmarks[:, torch.from_numpy(TWIN)] * landmarks.new_tensor([-1.0, 1.0])


def mirrored_lines(lines: Tensor) -> Tensor:
    """``fold_lines`` (B, F, 6) of the mirror image."""
    return lines[..., list(MIRROR_LINES)]


def mirrored_regions(regions: Tensor) -> Tensor:
    """(B, 2, R, 3) of ``MotionInput.regions`` of the mirror image."""
    twin = [REGION_INDEX[mirror_key(key)] for key in REGION_INDEX]
    return regions[:, :, twin] * regions.new_tensor([-1.0, 1.0, 1.0])


def mirrored_over(over: Tensor) -> Tensor:
    """``over_input`` (B, C) of the mirror image."""
    return over[:, torch.from_numpy(MIRROR_CHANNEL)] * torch.from_numpy(MIRROR_OVER).to(over)


def mirrored_space(space: Tensor) -> Tensor:
    """``space_input`` (B, 1437) of the mirror image: yaw and roll turn round."""
    points = space[:, : 3 * len(TWIN)].unflatten(1, (-1, 3))[:, torch.from_numpy(TWIN)]
    turn = space[:, 3 * len(TWIN) :] * space.new_tensor([-1.0, 1.0, -1.0])
    return torch.cat([(points * space.new_tensor([-1.0, 1.0, 1.0])).flatten(1), turn], 1)
