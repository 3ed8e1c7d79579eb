"""Pictures of movements that were not measured: the aligned face at onset and apex."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from deft_llm.explain.overlays import ZOOM
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import Frame
from deft_llm.spotting.movement import Movement
from deft_llm.spotting.watch import Watched
from deft_llm.store.motion import ALIGNED_SIZE

MOST = 40  # movements that are pictured: a report holds every picture in itself


def pictured(
    movements: Mapping[int, Movement], watched: Watched, read: Callable[..., Iterator[Frame]]
) -> dict[int, list[np.ndarray]]:  # fmt: skip
    """Index of a movement -> RGB faces (448, 448, 3) of its onset and apex, those that are seen.

    ``read(start, stop)`` streams frames. One pass over the part of the video that holds the movements.
    """
    wanted: dict[int, list[int]] = {}
    for at, movement in list(movements.items())[:MOST]:
        for index in (movement.onset, movement.apex):
            wanted.setdefault(index, []).append(at)
    found: dict[int, list[np.ndarray]] = {}
    if not wanted:
        return found
    for frame in read(min(wanted), max(wanted) + 1):
        for at in wanted.get(frame.index, ()):
            picture = _face(frame, watched.tracks[movements[at].face].landmarks[frame.index])
            if picture is not None:
                found.setdefault(at, []).append(picture)
    return found


def _face(frame: Frame, landmarks: np.ndarray) -> np.ndarray | None:
    """The aligned face whose landmarks (K, 2) were followed; None where it is not found again."""
    import cv2

    faces = default_landmarker().detect(frame.image)
    if not faces or not np.isfinite(landmarks).all():
        return None
    middle = landmarks.mean(0)
    face = min(faces, key=lambda one: float(np.linalg.norm(one.landmarks.mean(0) - middle)))
    side = ZOOM * ALIGNED_SIZE
    picture = align(frame.image, transform_of(face.landmarks))
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
