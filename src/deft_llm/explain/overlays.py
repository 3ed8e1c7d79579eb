"""Pictures of one movement: onset and apex face, flow arrows, strain; as JPEG data for a page."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.motion.strain import optical_strain

if TYPE_CHECKING:
    from deft_llm.store import Motion

ZOOM = 2
STRAIN_BLUR = 4.5  # aligned px
ARROW_STEP = 10  # aligned px between arrows
ARROW_COLOUR = (255, 214, 10)


def flow_overlay(motion: Motion, phase: int = 0) -> np.ndarray:
    """The apex face with arrows (enlarged) where the skin moved above its noise; uint8 RGB (448, 448, 3)."""
    import cv2

    face = _face(motion, 1)
    flow = np.nan_to_num(motion.flow[phase].astype(float))
    size = np.hypot(flow[0], flow[1])
    mask = motion.mask if motion.mask is not None else np.ones(size.shape, bool)
    floor = (
        2.0 * float(np.nanmedian(motion.regions.floor[phase]))
        if np.isfinite(motion.regions.floor).any()
        else 0.0
    )
    top = float(np.percentile(size[mask], 99.5)) if mask.any() else 0.0
    gain = arrow_gain(motion, phase)
    smooth = cv2.blur(np.dstack([flow[0], flow[1]]).astype(np.float32), (ARROW_STEP, ARROW_STEP))
    picture = np.ascontiguousarray(cv2.addWeighted(face, 0.8, np.zeros_like(face), 0.2, 0))
    least = max(floor, 0.22 * top, 0.05)
    for y in range(ARROW_STEP // 2, size.shape[0], ARROW_STEP):
        for x in range(ARROW_STEP // 2, size.shape[1], ARROW_STEP):
            dx, dy = smooth[y, x]
            if not mask[y, x] or np.hypot(dx, dy) < least:
                continue
            tip = (int(ZOOM * (x + gain * dx)), int(ZOOM * (y + gain * dy)))
            cv2.arrowedLine(picture, (ZOOM * x, ZOOM * y), tip, (20, 20, 20), 4, cv2.LINE_AA, tipLength=0.35)
            cv2.arrowedLine(picture, (ZOOM * x, ZOOM * y), tip, ARROW_COLOUR, 2, cv2.LINE_AA, tipLength=0.35)
    return picture


def arrow_gain(motion: Motion, phase: int = 0) -> float:
    """How many times longer than the motion the arrows are drawn."""
    flow = np.nan_to_num(motion.flow[phase].astype(float))
    top = float(np.percentile(np.hypot(flow[0], flow[1]), 99.5))
    return float(np.clip(round(14.0 / max(top, 0.1)), 1, 30))


def arrow_words(motion: Motion) -> str:
    """Length of the arrows in words: "arrows 11 times as long as the motion"."""
    gain = arrow_gain(motion)
    return f"arrows {'' if gain == 1 else f'{gain:.0f} times '}as long as the motion"


def strain_overlay(motion: Motion, phase: int = 0) -> np.ndarray:
    """The apex face with optical strain as colour; uint8 RGB (448, 448, 3)."""
    import cv2

    face = _face(motion, 1)
    # Strain is a derivative: on raw flow it shows the camera's noise; smoothed first, the skin's stays.
    flow = np.nan_to_num(motion.flow[phase].astype(np.float32))
    strain = optical_strain(np.stack([cv2.GaussianBlur(part, (0, 0), STRAIN_BLUR) for part in flow]))
    mask = np.ones(strain.shape, bool) if motion.mask is None else motion.mask
    inner = cv2.erode(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(
        bool
    )  # edges of the mask jump
    floor = float(np.median(strain[inner])) if inner.any() else 0.0
    top = max(float(np.percentile(strain[inner], 99.5)) if inner.any() else 0.0, 3 * floor, 1e-3)
    share = np.clip((strain * inner - 1.5 * floor) / (top - 1.5 * floor), 0, 1).astype(np.float32)
    share = cv2.resize(share, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    strength = (0.85 * np.clip(share * 1.6, 0, 1))[..., None]
    return np.clip(face * (1 - strength) + colours * strength, 0, 255).astype(np.uint8)


def face_picture(motion: Motion, which: int) -> np.ndarray:
    """Onset (0), apex (1) or offset (2) face, aligned, uint8 RGB (448, 448, 3)."""
    return _face(motion, which)


def _face(motion: Motion, which: int) -> np.ndarray:
    assert motion.faces is not None
    return enlarged(motion.faces[which])


def enlarged(face: np.ndarray) -> np.ndarray:
    """An aligned face (S, S, 3) as pictures show it, twice as large."""
    import cv2

    return cv2.resize(face, (ZOOM * len(face), ZOOM * len(face)), interpolation=cv2.INTER_CUBIC)


def as_data(picture: np.ndarray, quality: int = 82) -> str:
    """A picture as a data address that a page can hold."""
    import cv2

    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
