"""Faces in an image: MediaPipe's FaceLandmarker graph (detector, 478 landmarks, 52 blendshapes) on LiteRT.

Coordinates are pixel indices (0 is the middle of the first pixel). Sides of blendshapes are the subject's.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from deft_llm.faces.align import smoothed_within
from deft_llm.faces.graph import BLENDSHAPE_LANDMARKS, BLENDSHAPES, Network, anchors, rotation_of
from deft_llm.setup.weights import require

MIN_SCORE = 0.6
MIN_PRESENCE = 10.0
DETECTOR_SIDE, MESH_SIDE = 128, 256
# Windows that the detector is given after the whole picture: shares of its longer side, px at least, and the
# step from one to the next in sides; the first CLOSER levels always, the others only where nothing was found.
LOOKS, LEAST_LOOK, LOOK_STEP, CLOSER = (0.6, 0.3, 0.16), 40, 0.6, 3
MOST_CANDIDATES, MOST_TRIED = 8, 4  # of one window; of all, for each face that is wanted
MARGIN, LEAST_WINDOW = 1.5, 8.0  # of the mesh's window over what it holds; px
# Windows of one face: ratio of their sizes, distance of their middles in sides. SAME_BOX: overlap of boxes.
SAME_SIZE, SAME_PLACE, SAME_BOX = (0.6, 1.67), 0.25, 0.4
MOST_JUMP = 0.6  # of its size that a face moves from one frame to the next
SMOOTH_FROM, SMOOTHING = 2.0, 0.4  # shrinking from which a picture is smoothed first; sigma over it
# Kept between frames by ``track``: a face that was sure stays credible at a lower presence.
MIN_TRACK_PRESENCE = 6.0


@dataclass(frozen=True)
class Face:
    """One face: ``box`` (x0, y0, x1, y1) of the landmarks, px; detector ``score`` 0..1 and ``presence`` logit
    (good faces 14-24); ``landmarks`` (478, 2) px; ``depth`` (478,) px, larger is farther; ``blendshapes``."""

    box: tuple[float, float, float, float]
    score: float
    presence: float
    landmarks: np.ndarray = field(repr=False)
    depth: np.ndarray = field(repr=False)
    blendshapes: dict[str, float] = field(repr=False, default_factory=dict)

    @property
    def size(self) -> float:
        """Longer side of the box, px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def iod(self) -> float:
        """Inter-ocular distance (between the irises' centres), px."""
        return float(np.linalg.norm(self.landmarks[468] - self.landmarks[473]))


@dataclass(frozen=True)
class _Window:
    """A square of the image: centre, side (px), rotation (rad)."""

    x: float
    y: float
    side: float
    angle: float = 0.0


class Landmarker:
    """Finds and follows faces in uint8 RGB images.

    ``weights``: a face_landmarker.task file, by default the one ``deft setup`` brought.
    Raises: DeftError where the weights are not installed.
    """

    def __init__(self, weights: Path | None = None, *, threads: int = 1) -> None:
        with zipfile.ZipFile(weights or require("landmarker")) as task:
            self._detector, self._mesh, self._blend = (
                Network(task.read(f"{name}.tflite"), threads)
                for name in ("face_detector", "face_landmarks_detector", "face_blendshapes")
            )
        self._anchors = anchors() * DETECTOR_SIDE

    def detect(self, image: np.ndarray, *, max_faces: int = 4, min_score: float = MIN_SCORE) -> list[Face]:
        """Faces of ``image`` (H, W, 3), largest and most central first; empty where there is none.

        The detector sees the whole frame at 128 px, then overlapping windows of LOOKS, so that small faces
        are found too; the smallest only where nothing was found before.
        """
        height, width = image.shape[:2]
        found: list[tuple[float, _Window]] = []
        faces: list[Face] = []
        looks = _looks(width, height)
        for number, windows in enumerate(looks):
            if number == CLOSER and faces:
                break
            for window in windows:
                found += self._candidates(image, window, min_score)
            faces = self._confirm(image, found, max_faces) if number >= min(2, len(looks) - 1) else []
        return sorted(faces, key=lambda face: -_prominence(face, width, height))

    def track(self, image: np.ndarray, previous: Face) -> Face | None:
        """The face of ``previous`` in the next frame, without the detector; None where it is lost."""
        face = self._measure(image, _around(previous.landmarks), previous.score)
        if face.presence < MIN_TRACK_PRESENCE:
            return None
        jump = np.linalg.norm(np.mean(face.landmarks - previous.landmarks, axis=0))
        scale = face.size / max(previous.size, 1e-6)
        least, most = SAME_SIZE
        return face if jump < MOST_JUMP * previous.size and least < scale < most else None

    def _candidates(self, image: np.ndarray, look: _Window, least: float) -> list[tuple[float, _Window]]:
        pixels, matrix = _cut(image, look, DETECTOR_SIDE)
        out = self._detector(pixels[None] / 127.5 - 1.0)
        logits = out["classificators"][0, :, 0]
        keep = np.flatnonzero(logits > logit(least))
        result = []
        for i in keep[np.argsort(-logits[keep])][:MOST_CANDIDATES]:
            r = out["regressors"][0, i]
            points = _apply(matrix, np.concatenate([r[:2], r[4:8]]).reshape(3, 2) + self._anchors[i])
            side = MARGIN * float(max(r[2:4])) * look.side / DETECTOR_SIDE
            angle = rotation_of(points[1], points[2])
            score = float(expit(logits[i]))
            result.append((score, _Window(float(points[0, 0]), float(points[0, 1]), side, angle)))
        return result

    def _confirm(self, image: np.ndarray, found: Sequence[tuple[float, _Window]], limit: int) -> list[Face]:
        faces: list[Face] = []
        tried: list[_Window] = []
        for score, window in sorted(found, key=lambda pair: -pair[0]):
            if any(_same(window, other) for other in tried) or len(tried) >= MOST_TRIED * limit:
                continue
            tried.append(window)
            # A second pass on the landmarks' own window: the detector's box is coarse.
            first = self._measure(image, window, score)
            face = self._measure(image, _around(first.landmarks), score)
            known = any(box_overlap(face.box, other.box) > SAME_BOX for other in faces)
            if face.presence >= MIN_PRESENCE and not known:
                faces.append(face)
        return faces[:limit]

    def _measure(self, image: np.ndarray, window: _Window, score: float) -> Face:
        pixels, matrix = _cut(image, window, MESH_SIDE)
        out = self._mesh(pixels[None] / 255.0)
        points = out["Identity"].reshape(478, 3)
        landmarks = _apply(matrix, points[:, :2])
        blend = next(iter(self._blend(landmarks[None, BLENDSHAPE_LANDMARKS]).values())).ravel()
        low, high = landmarks.min(0), landmarks.max(0)
        return Face(
            box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            score=score,
            presence=float(out["Identity_1"].ravel()[0]),
            landmarks=landmarks.astype(np.float32),
            depth=(points[:, 2] * window.side / MESH_SIDE).astype(np.float32),
            blendshapes=dict(zip(BLENDSHAPES, map(float, blend))),
        )


def _looks(width: int, height: int) -> list[list[_Window]]:
    whole = _Window((width - 1) / 2, (height - 1) / 2, float(max(width, height)))
    looks = [[whole]]
    for fraction in LOOKS:
        side = max(width, height) * fraction
        if side < LEAST_LOOK:
            break
        looks.append([_Window(x, y, side) for y in _steps(height, side) for x in _steps(width, side)])
    return looks


def _steps(length: int, side: float) -> np.ndarray:
    """(n,) centres of overlapping windows of ``side`` that cover ``length``."""
    if side >= length:
        return np.array([(length - 1) / 2])
    count = int(np.ceil((length - side) / (LOOK_STEP * side))) + 1
    return np.linspace(side / 2, length - side / 2, count) - 0.5


def _cut(image: np.ndarray, window: _Window, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The window at ``side`` px as float32 RGB, and the (2, 3) matrix from its coordinates to the image's.

    The networks' coordinates run from a pixel's edge, an image's from its middle: hence the halves.
    """
    import cv2

    scale = window.side / side
    c, s = np.cos(window.angle) * scale, np.sin(window.angle) * scale
    turn = np.array([[c, -s], [s, c]])
    shift = np.array([window.x, window.y]) - turn @ np.full(2, side / 2)
    matrix = np.column_stack([turn, shift])
    sampling = np.column_stack([turn, shift + turn @ np.full(2, 0.5)])
    # Shrinking by more would alias with bilinear sampling.
    if scale > SMOOTH_FROM:
        image = smoothed_within(image, SMOOTHING * scale, sampling, side)
    pixels = cv2.warpAffine(image, sampling, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                            borderMode=cv2.BORDER_CONSTANT)  # fmt: skip
    return pixels.astype(np.float32), matrix


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _around(landmarks: np.ndarray) -> _Window:
    """The mesh's window about known landmarks: upright along the eyes, 1.5 times their extent."""
    angle = rotation_of(landmarks[33], landmarks[263])
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    upright = landmarks[:468] @ turn
    low, high = upright.min(0), upright.max(0)
    centre = turn @ ((low + high) / 2)
    side = max(MARGIN * float((high - low).max()), LEAST_WINDOW)
    return _Window(float(centre[0]), float(centre[1]), side, float(angle))


def _same(a: _Window, b: _Window) -> bool:
    near = np.hypot(a.x - b.x, a.y - b.y) < SAME_PLACE * min(a.side, b.side)
    return bool(near and SAME_SIZE[0] < a.side / b.side < SAME_SIZE[1])


def box_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _prominence(face: Face, width: int, height: int) -> float:
    """Size, halved for a face at the frame's edge."""
    centre = np.array([face.box[0] + face.box[2] - width, face.box[1] + face.box[3] - height]) / 2
    return face.size * (1 - 0.5 * min(1.0, float(np.linalg.norm(centre)) / (max(width, height) / 2)))


@lru_cache(maxsize=1)
def default_landmarker() -> Landmarker:
    """One landmarker per process."""
    return Landmarker()
