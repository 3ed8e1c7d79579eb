"""Pictures that instructions refer to, drawn from a local store; never part of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deft_llm.files import write_bytes
from deft_llm.records import Instruction
from deft_llm.store import Motion, Store

FACE_ROLES = ("onset", "apex")
FULL_COLOUR = 3.0  # aligned px of flow that are drawn in full colour


def write_media(rows: Iterable[Instruction], store: Store, root: Path) -> int:
    """Draw every picture that the rows name and that is not there yet; returns how many were drawn."""
    drawn = 0
    for row in rows:
        wanted = [media for media in row.media if not (root / media.path).exists()]
        if not wanted or row.clip_id not in store:
            continue
        motion = store.motion(row.clip_id, fields=("faces",))
        for media in wanted:
            picture = _picture(motion, media.role)
            if picture is not None:
                write_bytes(root / media.path, _png(picture))
                drawn += 1
    return drawn


def _picture(motion: Motion, role: str) -> np.ndarray | None:
    if role == "flow":
        return flow_picture(motion.flow[0], FULL_COLOUR if motion.units == "px" else FULL_COLOUR / 1.5)
    if motion.faces is None or role not in FACE_ROLES:
        return None
    return motion.faces[FACE_ROLES.index(role)]


def flow_picture(flow: np.ndarray, full: float) -> np.ndarray:
    """Flow (2, H, W) as colours (H, W, 3) uint8: direction is hue, length brightness up to ``full`` px."""
    import cv2

    angle = (np.degrees(np.arctan2(flow[1], flow[0])) % 360.0) / 2.0
    length = np.clip(np.hypot(flow[0], flow[1]) / full, 0.0, 1.0)
    colours = np.stack([angle, np.full_like(angle, 255.0), 255.0 * length], -1).astype(np.uint8)
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)


def _png(picture: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()
