"""Motion magnification: small movements made visible by re-warping a frame along its amplified motion.

Lagrangian magnification after Liu, Torralba, Freeman, Durand and Adelson, "Motion Magnification",
SIGGRAPH 2005: motion is estimated, amplified and rendered back, so that nothing moves that was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import IO

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.faces.video import encode_h264

MAX_FACTOR = 30.0
_SMOOTHING = 2.5


def magnify_frame(
    image: np.ndarray, flow: np.ndarray, factor: float, weight: np.ndarray | None = None
) -> np.ndarray:
    """Show ``image`` as it would look had its motion been ``factor`` times as large.

    image: (H, W, 3) uint8, the reference (onset). flow: (2, H, W) px, reference -> moment to show, u right,
    v down. weight: (H, W) in [0, 1], how far each pixel's motion counts (face mask). factor 0 gives the
    reference, 1 the motion as it was. Returns (H, W, 3) uint8.
    Raises: UsageError for a factor outside 0..30 or shapes that do not match.
    """
    import cv2

    if not 0.0 <= factor <= MAX_FACTOR:
        raise UsageError(f"amplification factor {factor:g}: choose one from 0 to {MAX_FACTOR:g}.")
    height, width = image.shape[:2]
    if flow.shape != (2, height, width):
        raise UsageError(f"flow of shape {flow.shape} does not fit an image of {height} x {width} px.")
    # Amplified noise tears the picture, so motion is smoothed over about a hundredth of the face first.
    field = np.stack([cv2.GaussianBlur(c.astype(np.float32), (0, 0), _SMOOTHING) for c in flow])
    if weight is not None:
        field *= cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 2 * _SMOOTHING)
    return warp_forward(image, factor * field)


def warp_forward(image: np.ndarray, flow: np.ndarray, iterations: int = 12) -> np.ndarray:
    """Move each pixel of ``image`` by ``flow`` (2, H, W) px: the field is inverted by fixed-point iteration.

    Source: Chen, Lu, Chen, Ruchala and Olivera, "A simple fixed-point approach to invert a deformation
    field", Medical Physics 35(1), 2008.
    """
    import cv2

    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    u, v = flow[0].astype(np.float32), flow[1].astype(np.float32)
    back_u, back_v = -u, -v
    for _ in range(iterations):
        at_x, at_y = x + back_u, y + back_v
        back_u = -cv2.remap(u, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        back_v = -cv2.remap(v, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.remap(image, x + back_u, y + back_v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def magnify_sequence(
    image: np.ndarray, flow: np.ndarray, factor: float, weight: np.ndarray | None = None, steps: int = 12
) -> list[np.ndarray]:
    """Frames from rest to the magnified apex and back, for a loop that shows where skin moves.

    Progress follows half a cosine, so the loop has no jump; 2 * steps frames of (H, W, 3) uint8.
    """
    progress = (1 - np.cos(np.linspace(0.0, np.pi, steps, endpoint=True))) / 2
    rising = [magnify_frame(image, flow, factor * float(p), weight) for p in progress]
    return rising + rising[::-1]


def write_loop(
    frames: Sequence[np.ndarray], path: str | IO[bytes], fps: float = 24.0, repeats: int = 3
) -> None:
    """Write frames as an H.264 MP4 that browsers play; sizes are made even. ``repeats`` plays it again."""
    write_stream((frame for _ in range(repeats) for frame in frames), path, fps)


def write_stream(frames: Iterable[np.ndarray], path: str | IO[bytes], fps: float = 24.0) -> None:
    """Write frames one by one as an H.264 MP4 that browsers play, the same ones as the same bytes; sizes are
    made even."""
    import av

    options = {"movflags": "faststart"} if isinstance(path, str) else {}  # a buffer cannot be opened again
    with av.open(path, "w", format="mp4", options=options) as container:
        encode_h264(container, frames, Fraction(fps).limit_denominator(1001), 17, "veryfast")
