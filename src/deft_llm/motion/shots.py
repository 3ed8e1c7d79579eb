"""The frames that measuring one clip needs, aligned by one transform and held as small grey images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.faces.align import align, move, scale_of, transform_of
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.landmarker import Face, Landmarker
from deft_llm.faces.video import Frame

Frames = Callable[[], Iterator[Frame]] | Sequence[Frame] | Sequence[np.ndarray]
# Smaller faces have no motion left to measure.
MIN_IOD = 10.0
MOST_FACES, NEAR = 20, 0.5
"""So many faces are looked through for one that is known; it is within this share of its size."""


@dataclass(frozen=True)
class Plan:
    """Which frames are read: ``keys`` (onset, apex[, offset]), ``reach`` neighbours on each side that are
    averaged, ``profile``: indices of the temporal profile, keys among them."""

    keys: tuple[int, ...]
    reach: int
    profile: tuple[int, ...]

    def window(self, key: int) -> range:
        """Frames averaged into one picture at ``key``."""
        return range(max(key - self.reach, 0), key + self.reach + 1)

    @property
    def wanted(self) -> list[int]:
        """All indices, in order; those past the end of the clip are simply not there."""
        around = {i for key in self.keys for i in (*self.window(key), key - 1, key, key + 1) if i >= 0}
        return sorted(around | set(self.profile))


def make_plan(
    onset: int, apex: int, offset: int | None, fps: float | None, average_ms: float, profile: int
) -> Plan:
    """Choose frames; averaging never reaches over a quarter of the rise. Raises: UsageError for bad order."""
    if not 0 <= onset < apex or (offset is not None and offset < apex):
        raise UsageError(f"onset {onset}, apex {apex}, offset {offset} are not in order; "
                         "give onset < apex <= offset, counted from 0.")  # fmt: skip
    if offset == apex:
        offset = None
    reach = min(round(average_ms / 1000 * (fps or 0.0)), (apex - onset) // 4)
    keys = (onset, apex) if offset is None else (onset, apex, offset)
    return Plan(keys, reach, _profile(keys, profile))


def _profile(keys: tuple[int, ...], count: int) -> tuple[int, ...]:
    """At most ``count`` indices from the first key to the last, keys among them, evenly in each phase."""
    if count < len(keys):
        return ()
    free = count - len(keys)
    steps = np.diff(keys)
    chosen = set(keys)
    for (start, stop), share in zip(zip(keys, keys[1:]), steps / steps.sum()):
        inner = min(int(free * share), stop - start - 1)
        chosen |= {int(round(i)) for i in np.linspace(start, stop, inner + 2)}
    return tuple(sorted(chosen))


@dataclass
class Shots:
    """Aligned pictures of one clip: ``grey`` and ``time`` by index, ``faces`` RGB, ``landmarks`` and their
    ``depth`` (aligned px) of the keys; ``matrix`` source -> aligned; ``inside``: aligned pixels that the
    source shows; ``iod`` in the source, px; ``face``: the onset's; ``presence``: the least of the keys."""

    plan: Plan
    matrix: np.ndarray
    iod: float
    face: Face
    inside: np.ndarray
    grey: dict[int, np.ndarray] = field(default_factory=dict)
    time: dict[int, float] = field(default_factory=dict)
    faces: dict[int, np.ndarray] = field(default_factory=dict)
    landmarks: dict[int, np.ndarray] = field(default_factory=dict)
    depth: dict[int, np.ndarray] = field(default_factory=dict)
    presence: float = 0.0

    def averaged(self, key: int) -> np.ndarray:
        """Mean grey picture (H, W) uint8 of a key and its neighbours: less noise, the same place."""
        pictures = [self.grey[i] for i in self.plan.window(key) if i in self.grey]
        if len(pictures) == 1:
            return pictures[0]
        return np.asarray(np.round(np.mean(pictures, axis=0)), np.uint8)


class Collector:
    """Collects the shots of one clip from frames that are fed in order; several may share one decoding.

    ``near``: (2,) px where the face is at the onset; None: the most prominent one is meant.
    """

    def __init__(
        self, plan: Plan, landmarker: Landmarker, *, name: str = "clip", near: np.ndarray | None = None
    ) -> None:
        self.plan, self.name = plan, name
        self._landmarker, self._near = landmarker, near
        self._wanted = set(plan.wanted)
        self._early: list[Frame] = []
        self._shots: Shots | None = None
        self._last = -1

    @property
    def full(self) -> bool:
        """Whether every frame that is wanted has gone by."""
        return self._last >= self.plan.wanted[-1]

    def add(self, frame: Frame) -> None:
        """Take the next frame. Raises: DeftError where a key's face is not found, lost, or too small."""
        self._last = frame.index
        if frame.index not in self._wanted:
            return
        if self._shots is None and frame.index < self.plan.keys[0]:
            self._early.append(frame)
            return
        if self._shots is None:
            self._shots = _begin(frame, self.plan, self._landmarker, self.name, self._near)
            for earlier in self._early:
                _keep(self._shots, earlier, self._landmarker, self.name)
            self._early = []
        _keep(self._shots, frame, self._landmarker, self.name)

    def finish(self) -> Shots:
        """What was collected. Raises: DeftError where a key frame is missing."""
        shots = self._shots
        missing = [key for key in self.plan.keys if shots is None or key not in shots.grey]
        if shots is None or missing:
            raise DeftError(f"{self.name}: frame {missing[0]} is asked for, but the last one is "
                            f"{self._last}; check onset, apex and offset (counted from 0).")  # fmt: skip
        return shots


def collect(
    frames: Frames, plan: Plan, landmarker: Landmarker, *, mirrored: bool = False, name: str = "clip"
) -> Shots:
    """Read the clip once and keep what ``plan`` wants, aligned by the onset's landmarks.

    Raises: DeftError where a key frame is missing, or its face is not found, lost, or too small.
    """
    collector = Collector(plan, landmarker, name=name)
    for frame in _stream(frames):
        if frame.index > plan.wanted[-1]:
            break
        if mirrored:
            frame = Frame(frame.index, frame.time, np.ascontiguousarray(frame.image[:, ::-1]))
        collector.add(frame)
    return collector.finish()


def _stream(frames: Frames) -> Iterator[Frame]:
    source = frames() if callable(frames) else frames
    for index, frame in enumerate(source):
        yield frame if isinstance(frame, Frame) else Frame(index, float(index), np.asarray(frame))


def _begin(
    frame: Frame, plan: Plan, landmarker: Landmarker, name: str, near: np.ndarray | None = None
) -> Shots:
    found = landmarker.detect(frame.image) if near is None else near_faces(frame.image, near, landmarker)
    if not found:
        raise DeftError(f"{name}: no face is found in frame {frame.index}; give frames that show a face from "
                        "the front.")  # fmt: skip
    iod = inter_ocular(found[0].landmarks)
    if iod < MIN_IOD:
        raise DeftError(f"{name}: the face of frame {frame.index} is too small ({iod:.0f} px between eyes, "
                        f"at least {MIN_IOD:.0f} are needed); give a closer view.")  # fmt: skip
    matrix = transform_of(found[0].landmarks)
    inside = align(np.full(frame.image.shape[:2], 255, np.uint8), matrix, border=0) > 250
    return Shots(plan, matrix, iod, found[0], inside, presence=found[0].presence)


def near_faces(image: np.ndarray, near: np.ndarray, landmarker: Landmarker) -> list[Face]:
    """The faces of a picture whose middle lies within half a face of ``near`` (2,) px, the nearest first."""
    return _nearest(landmarker.detect(image, max_faces=MOST_FACES), near, lambda face: NEAR * face.size)


def _nearest(found: Sequence[Face], near: np.ndarray, reach: Callable[[Face], float]) -> list[Face]:
    """The faces whose middle lies within their ``reach``, px, of ``near`` (2,) px, the nearest first."""
    away = lambda face: float(np.linalg.norm(face.landmarks.mean(0) - near))  # noqa: E731
    return sorted((face for face in found if away(face) <= reach(face)), key=away)


def _keep(shots: Shots, frame: Frame, landmarker: Landmarker, name: str) -> None:
    import cv2

    picture = align(frame.image, shots.matrix)
    shots.grey[frame.index] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    shots.time[frame.index] = frame.time
    if frame.index not in shots.plan.keys:
        return
    face = _follow(frame, shots.face, landmarker)
    if face is None:
        raise DeftError(f"{name}: the face is lost in frame {frame.index}; choose indices where it is seen.")
    shots.faces[frame.index] = picture
    shots.landmarks[frame.index] = move(face.landmarks, shots.matrix).astype(np.float32)
    shots.depth[frame.index] = (face.depth * scale_of(shots.matrix)).astype(np.float32)
    shots.presence = min(shots.presence, face.presence)


def _follow(frame: Frame, known: Face, landmarker: Landmarker) -> Face | None:
    """The onset's face in a later frame: tracked, else the nearest one that is found within its size."""
    face = landmarker.track(frame.image, known)
    if face is not None:
        return face
    found = _nearest(landmarker.detect(frame.image), known.landmarks.mean(0), lambda _: known.size)
    return found[0] if found else None
