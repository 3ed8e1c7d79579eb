"""Pictures of movements that were not measured: the aligned face at onset and apex."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from deft_llm.faces.align import align, transform_of
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import Frame
from deft_llm.motion.shots import near_faces
from deft_llm.spotting.movement import Movement
from deft_llm.spotting.watch import Watched

MOST = 40  # movements that are pictured: a report holds every picture in itself


def pictured_movements(movements: Sequence[Movement]) -> set[int]:
    """Indices of the movements that a report pictures: the strongest, those that are judged first."""
    order = sorted(range(len(movements)), key=lambda at: (not movements[at].judged, -movements[at].strength))
    return set(order[:MOST])


def pictured(
    movements: Mapping[int, Movement], watched: Watched, read: Callable[..., Iterator[Frame]]
) -> dict[int, dict[int, np.ndarray]]:  # fmt: skip
    """Index of a movement -> frame -> RGB face (224, 224, 3) of its onset and apex, those that are seen.

    ``read(start, stop)`` streams frames. One pass over the part of the video that holds the movements.
    """
    wanted: dict[int, list[int]] = {}
    for at, movement in movements.items():
        for index in (movement.onset, movement.apex):
            wanted.setdefault(index, []).append(at)
    found: dict[int, dict[int, np.ndarray]] = {}
    if not wanted:
        return found
    for frame in read(min(wanted), max(wanted) + 1):
        for at in wanted.get(frame.index, ()):
            picture = _face(frame, watched.tracks[movements[at].face].landmarks[frame.index])
            if picture is not None:
                found.setdefault(at, {})[frame.index] = picture
    return found


def _face(frame: Frame, landmarks: np.ndarray) -> np.ndarray | None:
    """The aligned face whose landmarks (K, 2) were followed; None where it is not found again."""
    if not np.isfinite(landmarks).all():
        return None
    faces = near_faces(frame.image, landmarks.mean(0), default_landmarker())
    return align(frame.image, transform_of(faces[0].landmarks)) if faces else None
