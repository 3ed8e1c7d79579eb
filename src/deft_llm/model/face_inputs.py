"""From a clip's motion to what the face experts read; None where a clip has no faces."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft_llm.model.face_experts import APPEARANCE, CHANGE, CHANGE_CHANNELS, TURN
from deft_llm.store import Motion
from deft_llm.store.motion import ALIGNED_IOD

EYE_CENTRE = (111.5, 64.0)
"""Midpoint of the eyes in the aligned frame, px."""
TURN_UNIT = 5.0
"""Degrees that count as one in ``space_input``."""


@dataclass
class FaceInput:
    """landmarks (478, 2) in inter-ocular distances from the eyes' midpoint, appearance (1, 64, 64) grey of
    unit spread, space (1437,) of ``space_input`` (all of the onset alone); change (4, 56, 56)."""

    landmarks: np.ndarray
    appearance: np.ndarray
    change: np.ndarray
    space: np.ndarray = field(default_factory=lambda: no_space())


def face_input(motion: Motion) -> FaceInput | None:
    """What the face experts see of a clip, or None without faces and landmarks."""
    if motion.faces is None or motion.landmarks is None:
        return None
    import cv2

    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY) for face in motion.faces])
    landmarks = normalised_landmarks(motion.landmarks[0])
    look = cv2.resize(grey[0], (APPEARANCE, APPEARANCE), interpolation=cv2.INTER_AREA).astype(np.float32)
    space = no_space() if motion.depth is None else space_input(landmarks, normalised_depth(motion.depth[0]))
    return FaceInput(landmarks, spread(look)[None], change_images(motion, grey), space)


def normalised_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Aligned landmarks (478, 2) px to inter-ocular distances from the eyes' midpoint."""
    return ((np.asarray(landmarks, np.float32) - EYE_CENTRE) / ALIGNED_IOD).astype(np.float32)


def normalised_depth(depth: np.ndarray) -> np.ndarray:
    """Depth (478,) aligned px to inter-ocular distances about the landmarks' median depth."""
    return ((np.asarray(depth, np.float32) - np.median(depth)) / ALIGNED_IOD).astype(np.float32)


def space_input(landmarks: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(1437,) of one frame's ``normalised_landmarks`` and ``normalised_depth``: the points (478, 3) in space,
    then yaw, pitch and roll in units of TURN_UNIT; NaN where depth is missing."""
    from deft_llm.faces.pose import head_turn

    points = np.column_stack([landmarks, depth])
    return np.concatenate([points.ravel(), head_turn(landmarks, depth) / TURN_UNIT]).astype(np.float32)


def no_space() -> np.ndarray:
    """``space_input`` of a clip whose depth is not known."""
    from deft_llm.faces.regions import CANONICAL_DEPTH

    return np.full(3 * len(CANONICAL_DEPTH) + TURN, np.nan, np.float32)


def change_images(motion: Motion, grey: np.ndarray) -> np.ndarray:
    """(4, 56, 56): dynamic images of both phases, then what flow does not explain of each phase's
    difference."""
    images = []
    for phase in range(2):
        image = motion.dynamic[phase] if motion.dynamic is not None and phase < len(motion.dynamic) else None
        images.append(_shrunk(image))
    for phase in range(2):
        have = phase < motion.flow.shape[0] and motion.flow.shape[-1] == grey.shape[-1]
        images.append(_shrunk(_unexplained(grey, motion, phase) if have else None))
    assert len(images) == CHANGE_CHANNELS
    return np.stack(images)


def _unexplained(grey: np.ndarray, motion: Motion, phase: int) -> np.ndarray:
    """Second frame pulled back along the flow minus the first frame, grey levels."""
    import cv2

    height, width = grey.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    flow = motion.flow[phase].astype(np.float32)
    second = cv2.remap(
        grey[phase + 1], x + flow[0], y + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return second.astype(np.float32) - grey[phase]


def _shrunk(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        return np.zeros((CHANGE, CHANGE), np.float32)
    import cv2

    small = cv2.resize(np.asarray(image, np.float32), (CHANGE, CHANGE), interpolation=cv2.INTER_AREA)
    return spread(small)


def spread(image: np.ndarray) -> np.ndarray:
    """Minus the median, over the standard deviation, clipped at 6."""
    centred = image - np.median(image)
    return np.clip(centred / max(float(centred.std()), 1e-3), -6, 6).astype(np.float32)
