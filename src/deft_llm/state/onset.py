"""What the face shows already when a movement begins: the shape of its onset over the person's neutral.

The same channels as the state of a video, from two still frames or from one frame of a video, as one vector:
what the structure expert is given where a neutral of the person is known.
"""

from __future__ import annotations

import numpy as np

from deft_llm.state.channels import SIDES, shape_channels, without_leak
from deft_llm.state.face_state import FaceState
from deft_llm.state.pose import in_space, upright

_SIDED = (
    "brow_in", "brow_out", "brow_apart", "lid_up", "lid_low", "aperture", "cheek", "wing", "fold", "wing_out",
    "lip_up", "corner_up", "corner_out", "lip_low", "thick_up", "thick_low", "iris", "iris_x", "bend",
)  # fmt: skip
_MIDDLE = ("gap", "thick", "boss", "chin", "lip_bottom", "lip_top", "forward", "width", "mouth_x")
ONSET_CHANNELS: tuple[str, ...] = (*(f"{name}_{side}" for side in SIDES for name in _SIDED), *_MIDDLE)
"""The shape channels of ``over_neutral``, in their order."""
_TURNED = ("iris_x", "mouth_x")  # towards the image's right, so a mirror turns them round


def _mirrored(name: str) -> str:
    stem, _, side = name.rpartition("_")
    return f"{stem}_{SIDES[1 - SIDES.index(side)]}" if side in SIDES else name


MIRROR_CHANNEL = np.array([ONSET_CHANNELS.index(_mirrored(name)) for name in ONSET_CHANNELS])
"""(C,) place of each channel's twin in a mirror."""
MIRROR_SIGN = np.array([-1.0 if name.startswith(_TURNED) else 1.0 for name in ONSET_CHANNELS], np.float32)
"""(C,) sign of each channel in a mirror."""


def over_neutral_of(
    onset: tuple[np.ndarray, np.ndarray], neutral: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """(C,) % of the eye distance, of ONSET_CHANNELS: an onset's shape minus the median of neutral frames.

    Each frame: landmarks (478, 2) and depth (478,), both px, in any one frame of reference.
    """
    points = np.stack([in_space(landmarks, depth) for landmarks, depth in (onset, *neutral)])
    points, angles = upright(points, np.arange(points.shape[1]))
    found = without_leak(shape_channels(points, np.arange(points.shape[1])), angles[:, 1])
    shape = np.stack([found[name] for name in ONSET_CHANNELS], 1)
    return (shape[0] - np.median(shape[1:], 0)).astype(np.float32)


def over_neutral_at(state: FaceState, frame: int) -> np.ndarray:
    """(C,): the same of a frame of a video, over the neutral of its state; NaN where the face is not seen."""
    return np.array([state.over[name][frame] for name in ONSET_CHANNELS], np.float32)
