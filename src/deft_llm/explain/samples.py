"""Sample clips with known truth: FACS-like warps of real skin, a portrait brought to life, videos.

The portrait is ``skimage.data.astronaut`` (NASA, public domain), which ships in scikit-image's wheel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.faces.align import inter_ocular
from deft_llm.faces.landmarker import Landmarker
from deft_llm.faces.regions import ANCHORS, TWIN
from deft_llm.faces.video import encode_h264
from deft_llm.facs.directions import image_vector
from deft_llm.facs.units import entry
from deft_llm.files import atomic_path

Array = np.ndarray
NARROW = {"upper lid": 0.5, "lower lid": 0.5, "upper lip": 0.7, "lower lip": 0.7, "nostril wing": 0.7}
SPREAD = 0.15  # of the inter-ocular distance: how far a unit's motion reaches around its region


@dataclass(frozen=True)
class Injected:
    """One warp: an AU on a side, peaking at ``px`` source pixels; frames as in a corpus' annotation.

    The skin rises from ``onset`` to ``apex``, stays until ``release`` and is back at ``offset``, along raised
    cosines or, ``linear``, along straight lines.
    """

    au: int
    side: str
    onset: int
    apex: int
    offset: int
    px: float
    release: int | None = None
    linear: bool = False

    def amount(self, frame: float) -> float:
        """Share of the peak, 0..1, at a frame: raised cosines up and down."""
        if not self.onset < frame < self.offset:
            return 0.0
        release = self.apex if self.release is None else self.release
        if frame < self.apex:
            share = (frame - self.onset) / (self.apex - self.onset)
        else:
            share = 1.0 if frame <= release else (self.offset - frame) / (self.offset - release)
        return share if self.linear else _ease(share)


def _ease(share: float) -> float:
    return 0.5 - 0.5 * float(np.cos(np.pi * np.clip(share, 0.0, 1.0)))


def warp_field(landmarks: Array, au: int, side: str, shape: tuple[int, int]) -> Array:
    """The displacement (H, W, 2) px (right, down) of an AU as FACS describes it, with a peak of one pixel.

    ``landmarks`` (478, 2) px of the face in an image of ``shape``; ``side`` both, left or right.
    """
    iod = inter_ocular(landmarks)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    field = np.zeros((*shape, 2), np.float32)
    middle = landmarks[[9, 168, 6, 152]].mean(0)[0]
    most = max(motion.weight for motion in entry(au).motion)
    for motion in entry(au).motion:
        _, anchors = ANCHORS[motion.region]
        for one in ("left", "right") if side == "both" else (side,):
            points = landmarks[TWIN[list(anchors)] if one == "left" else list(anchors)]
            x, y = points.mean(0)
            reach = SPREAD * iod * NARROW.get(motion.region, 1.0)
            disc = np.exp(-0.5 * (((rows - y) / reach) ** 2 + ((columns - x) / reach) ** 2))
            # A side's motion fades out across the midline.
            beyond = (columns - middle) * (1 if one == "right" else -1) / (0.06 * iod)
            disc = disc / (1 + np.exp(np.clip(beyond, -30, 30)))
            dx, dy = image_vector(motion.medial, motion.up, "left" if one == "left" else "right")
            field += (motion.weight / most) * disc[..., None] * np.array([dx, dy], np.float32)
    return field / max(float(np.linalg.norm(field, axis=2).max()), 1e-6)


def move_pixels(image: Array, field: Array, matrix: Array | None = None) -> Array:
    """``image`` with its content moved by ``field`` (H, W, 2) px, then by the affine ``matrix`` (2, 3)."""
    import cv2

    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if matrix is not None:
        back = cv2.invertAffineTransform(np.asarray(matrix, np.float64))
        x, y = (back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2])
        x, y = x.astype(np.float32), y.astype(np.float32)
        field = cv2.remap(field, x, y, cv2.INTER_LINEAR)
    return cv2.remap(
        image, x - field[..., 0], y - field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def portrait() -> Array:
    """The astronaut's head and shoulders, uint8 RGB (320, 320, 3), 43 px between the eyes."""
    from skimage.data import astronaut

    return astronaut()[:320, 64:384]


def living_portrait(
    movements: Iterable[Injected], frames: int, *, fps: float, seed: int = 0, noise: float = 2.0,
    drift: float = 1.5, image: Array | None = None, landmarks: Array | None = None,
) -> Iterator[Array]:  # fmt: skip
    """Frames (H, W, 3) uint8 of a portrait that moves: warps, drift of the head (px), noise (grey levels).

    Every frame is warped from the one image, so the truth is exact; the noise is fresh in each.
    """
    image = portrait() if image is None else image
    if landmarks is None:
        landmarks = landmarks_of(image)
    movements = list(movements)
    fields = [warp_field(landmarks, m.au, m.side, image.shape[:2]) for m in movements]
    random = np.random.default_rng(seed)
    path = _drift(random, frames, fps, drift)
    middle = landmarks.mean(0)
    for frame in range(frames):
        amounts = [m.amount(frame) * m.px for m in movements]
        field = np.zeros((*image.shape[:2], 2), np.float32)
        for one, amount in zip(fields, amounts):
            if amount:
                field += np.float32(amount) * one
        right, down, turn, size = path[frame]
        matrix = _similarity(middle, right, down, turn, size)
        moved = move_pixels(image, field, matrix).astype(np.float32)
        moved += random.normal(0, noise, moved.shape).astype(np.float32)
        yield np.clip(np.round(moved), 0, 255).astype(np.uint8)


def landmarks_of(image: Array) -> Array:
    """Landmarks (478, 2) of the main face. Raises: DeftError where there is none."""

    faces = Landmarker().detect(image)
    if not faces:
        raise DeftError("sample image: no face was found in it; use a frontal portrait.")
    return faces[0].landmarks


def _drift(random: np.random.Generator, frames: int, fps: float, size: float) -> Array:
    """(frames, 4) right, down (px), turn (rad), log size: a smooth wander below half a hertz."""
    from scipy.ndimage import gaussian_filter1d

    pad = int(4 * fps)
    steps = random.normal(size=(frames + 2 * pad, 4))
    smooth = gaussian_filter1d(steps, 0.8 * fps, axis=0)[pad : pad + frames]
    smooth /= gaussian_filter1d(steps, 0.8 * fps, axis=0).std(0) + 1e-9
    return (smooth - smooth[0]) * np.array([size, size, 0.006 * size, 0.004 * size])


def _similarity(middle: Array, right: float, down: float, turn: float, size: float) -> Array:
    c, s = np.exp(size) * np.cos(turn), np.exp(size) * np.sin(turn)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, middle - linear @ middle + np.array([right, down])])


def save_video(path: Path, images: Iterable[Array], fps: float, *, quality: int = 18) -> Path:
    """Write uint8 RGB frames as H.264, the same frames as the same bytes (``quality``: x264's constant rate
    factor, lower is better)."""
    import av

    path = Path(path)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        encode_h264(container, images, Fraction(fps).limit_denominator(1001), quality, "fast")
    return path
