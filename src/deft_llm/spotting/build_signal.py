"""Frames in, motion signal out: dense flow to a reference frame, the skull's motion taken out, by region.

The transform that aligns the frames is held while the head stays put and follows it when it moves; what it
adds is a similarity, which the fit of the skull's motion takes out too. When the head has turned too
far, a new reference takes over; a few frames measured against both join the two.
Memory holds one reference, one frame and some fifty bytes a frame of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.faces.align import align, scale_of, transform_of
from deft_llm.faces.follow import FaceFollower
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.landmarker import Face, default_landmarker
from deft_llm.faces.regions import region_weights
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.motion.flow import estimate, estimate_small
from deft_llm.motion.skull import CELLS, Skull
from deft_llm.spooled import Files, Recorded, loaded, resumed, standing
from deft_llm.spotting.signal import HANDOVER, Array, Signal
from deft_llm.state.channels import runs
from deft_llm.state.visibility import CUT_DIFFERENCE
from deft_llm.store.motion import ALIGNED_IOD

FLOW_SIZE = 112  # region means are taken on the flow at half size: same figures, a quarter of the work
OVERLAP, HASTY = 4, 2  # frames measured against both references when one takes over; HASTY: in motion
MAX_AGE = 8.0  # s
# Flow to a head that has turned away, or that the skull's motion does not explain, errs by more than one more
# joint does: rad out of plane, aligned px. A reference gives way to that from the age of HANDOVER on.
MAX_OUT_OF_PLANE, MAX_RESIDUAL = 0.08, 1.0
SMALL = 3.0  # times: faces enlarged more than this have no detail finer than DIS' second scale
HOLD_SHIFT, HOLD_CHANGE = 2.0, 0.02  # aligned px, and rad or log scale: within these the transform is held
MAX_GAP = 0.12  # s without a face that are bridged
# Landmarks of the subject's left and right eye (upper and lower lid; corners) and of the inner lips.
LIDS = (((386, 374), (385, 380), (387, 373)), ((159, 145), (158, 153), (160, 144)))
EYE_CORNERS, INNER_LIPS = ((362, 263), (33, 133)), (13, 14)


def signal_of(
    frames: Iterable[Any],
    fps: float,
    *,
    landmarker: Any = None,
    flow: Callable[[Array, Array], Array] | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Signal:
    """The motion signal of a stream of frames (objects with index, time, image uint8 RGB).

    Raises: DeftError where no face is seen in any frame.
    """
    follower = FaceFollower(landmarker or default_landmarker())
    builder = SignalBuilder(fps, flow=flow)
    for frame in frames:
        builder.add(frame.time, frame.image, follower.find(frame.image).get(1))
        if on_frame is not None:
            on_frame(frame.index)
    signal = builder.finish()
    if follower.in_view > 1:
        signal.notes.append(
            f"{follower.in_view} faces are in view; the largest and most central one is read (--faces)."
        )
    return signal


@dataclass
class Reference:
    """The frame that motion is measured against, and what is derived from it once."""

    grey: Array
    weights: Array  # (R, FLOW_SIZE ** 2)
    skull: Skull
    since: float
    offset: Array  # (R, 2) displacement at the reference itself
    turned: Array  # (4,) roll, log size, yaw and pitch of the head there
    flow: Callable[[Array, Array], Array]


class SignalBuilder:
    """Builds a ``Signal`` frame by frame; ``flow`` (first, second) -> (2, H, W) defaults to DIS, at the scale
    that the face's size in the source calls for. ``matrix`` (2, 3) aligns faces; it is held while the head
    hardly moves."""

    def __init__(
        self, fps: float, *, flow: Callable[[Array, Array], Array] | None = None, rows: Files | None = None
    ) -> None:
        self.fps = fps
        self._flow = flow
        self._face: Face | None = None
        self._reference: Reference | None = None
        self._next: Reference | None = None
        self._joining: list[tuple[Array, Array]] = []
        self._overlap = OVERLAP
        self._segment = -1
        self._lost_since: float | None = None
        self._thumbnail: Array | None = None
        self.matrix: Array = np.zeros((2, 3))
        self._middle: Array | None = None
        self._place: Array = np.zeros(2)
        self._rows = Recorded(_nothing(), rows)
        self._seen = False

    def add(self, time: float, image: Array, face: Face | None) -> None:
        """Measure one more frame (uint8 RGB, or grey); ``face`` is None where it is not seen."""
        if face is None:
            self._lose(time)
            return
        self._face = face
        import cv2

        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        iod = inter_ocular(face.landmarks)
        if self._lost_since is not None and time - self._lost_since > MAX_GAP:
            self._reference = None
        self._lost_since = None
        self._follow(face.landmarks)
        aligned = align(grey, self.matrix)
        if self._reference is None or self._is_cut(aligned):
            self._begin(time, aligned, face.landmarks)
        measured = self._measure(time, aligned, face.landmarks)
        eyes, mouth = _openings(face.landmarks, iod)
        self._seen = True
        self._rows.add({
            "times": time, "segment": self._segment, "displacement": measured[0], "head": measured[1],
            "residual": measured[2], "eye_opening": eyes, "mouth_opening": mouth, "iod_px": iod,
        })  # fmt: skip

    def standing(self) -> dict[str, Any]:
        """Where it stands, to be given to ``resume``; its rows are on the disk then."""
        return standing(self, without=("_flow", "_face"))

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from where another one stood."""
        resumed(self, state)

    def finish(self) -> Signal:
        """The signal of all frames so far; short gaps are bridged by straight lines."""
        if not self._seen:
            raise DeftError(
                f"no face was found in {len(self._rows)} frames; use a video that shows a frontal face "
                "of at least 40 px between chin and brow."
            )
        columns = self._rows.finish()
        moved = columns.pop("displacement")
        small = {name: loaded(held) for name, held in columns.items()}
        signal = Signal(displacement=moved, fps=self.fps, **small)  # type: ignore[arg-type]
        _bridge_gaps(signal)
        return signal

    def _lose(self, time: float) -> None:
        self._face = None
        if self._lost_since is None:
            self._lost_since = time
        self._rows.add({"times": time})

    def _follow(self, landmarks: Array) -> None:
        """Hold the aligning transform while the head stays within a small range, else move it on."""
        wanted = transform_of(landmarks)
        if self._reference is not None:
            held, wish = self.matrix, wanted
            turn = abs(_angle(held) - _angle(wish))
            size = abs(np.log(scale_of(held) / scale_of(wish)))
            middle = landmarks.mean(0)
            shift = np.linalg.norm(held[:, :2] @ middle + held[:, 2] - wish[:, :2] @ middle - wish[:, 2])
            if turn < HOLD_CHANGE and size < HOLD_CHANGE and shift < HOLD_SHIFT:
                return
        self.matrix = wanted

    def _is_cut(self, aligned: Array) -> bool:
        """Whether the aligned picture changed as a cut does."""
        import cv2

        small = cv2.resize(aligned, (16, 16), interpolation=cv2.INTER_AREA).astype(float)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > CUT_DIFFERENCE

    def _begin(self, time: float, aligned: Array, landmarks: Array) -> None:
        """Start a new stretch: nothing measured before can be joined to it."""
        self._segment += 1
        self._thumbnail, self._next = None, None
        self._reference = self._make_reference(time, aligned, landmarks)

    def _make_reference(self, time: float, grey: Array, landmarks: Array) -> Reference:
        matrix = self.matrix
        aligned = landmarks @ matrix[:, :2].T + matrix[:, 2]
        weights = region_weights(aligned, (FLOW_SIZE, FLOW_SIZE))
        assert self._face is not None  # a reference is made of a face that is followed
        depth = (self._face.depth - np.median(self._face.depth)) * scale_of(matrix)
        return Reference(
            grey, weights.reshape(len(REGION_KEYS), -1), Skull(aligned, depth, weights), time,
            np.zeros((len(REGION_KEYS), 2)), np.zeros(4),
            estimate_small if scale_of(matrix) > SMALL else estimate,
        )  # fmt: skip

    def _measure(self, time: float, aligned: Array, landmarks: Array) -> tuple[Array, Array, float]:
        """(R, 2) displacement and (6,) head position since the stretch began, and the fit's residual."""
        assert self._reference is not None
        local, head, residual = self._against(self._reference, aligned)
        total, turned = self._reference.offset + local, self._reference.turned + head[2:]
        if self._next is not None:
            local_next, head_next, _ = self._against(self._next, aligned)
            self._joining.append((total - local_next, turned - head_next[2:]))
            if len(self._joining) >= self._overlap:
                self._next.offset, self._next.turned = (np.mean(part, axis=0) for part in zip(*self._joining))
                self._reference, self._next = self._next, None
        elif overlap := self._is_stale(time, head, residual):
            self._overlap = overlap
            self._next = self._make_reference(time, aligned, landmarks)
            self._joining = [(total, turned)]
        # In the plane, the head's own path: where the landmarks are, and how the transform and the fit say
        # that the head is turned and sized.
        matrix = self.matrix
        roll, size = turned[0] - _angle(matrix), turned[1] - np.log(scale_of(matrix))
        return total, np.array([*self._walk(landmarks), roll, size, *turned[2:]]), residual

    def _walk(self, landmarks: Array) -> Array:
        """(2,) aligned px that the face has gone in the picture, added up step by step: the size of each
        frame's face scales its step alone, not the way from the picture's corner."""
        middle = landmarks.mean(0)
        if self._middle is not None:
            iod = max(inter_ocular(landmarks), 1e-6)
            self._place = self._place + (middle - self._middle) * ALIGNED_IOD / iod
        self._middle = middle
        return self._place

    def _is_stale(self, time: float, head: Array, residual: float) -> int:
        """Frames in which the next reference takes over: 0 while this one is young and the head near it."""
        assert self._reference is not None
        age = time - self._reference.since
        moved = float(np.abs(head[4:]).max()) > MAX_OUT_OF_PLANE or residual > MAX_RESIDUAL
        if moved and age > HANDOVER:
            return HASTY
        return OVERLAP if age > MAX_AGE else 0

    def _against(self, reference: Reference, aligned: Array) -> tuple[Array, Array, float]:
        import cv2

        flow = (self._flow or reference.flow)(reference.grey, aligned)
        half = [cv2.resize(part, (FLOW_SIZE, FLOW_SIZE), interpolation=cv2.INTER_AREA) for part in flow]
        cells = [cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for part in half]
        head, carried, residual = reference.skull.fit(np.dstack(cells))
        means = np.stack([reference.weights @ part.ravel() for part in half], axis=1)
        return means - carried, head, residual


def _nothing() -> dict[str, Array]:
    """A row of each column where the face is not seen."""
    gone = lambda *shape: np.full(shape, np.nan, np.float32)  # noqa: E731
    return {
        "times": np.zeros(()), "segment": np.array(-1), "displacement": gone(len(REGION_KEYS), 2),
        "head": gone(6), "residual": gone(), "eye_opening": gone(2), "mouth_opening": gone(),
        "iod_px": gone(),
    }  # fmt: skip


def _angle(matrix: Array) -> float:
    return float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def _openings(landmarks: Array, iod: float) -> tuple[Array, float]:
    """Height over width of the subject's left and right eye, and the inner lips' distance in aligned px."""

    def apart(first: int, second: int) -> float:
        return float(np.linalg.norm(landmarks[first] - landmarks[second]))

    eyes = [
        sum(apart(*pair) for pair in lids) / (len(lids) * max(apart(*corners), 1e-6))
        for lids, corners in zip(LIDS, EYE_CORNERS, strict=True)
    ]
    return np.array(eyes), ALIGNED_IOD * apart(*INNER_LIPS) / max(iod, 1e-6)


def _bridge_gaps(signal: Signal) -> None:
    """Straight lines over the frames without a face that lie inside one stretch."""
    for start, stop in runs(signal.segment < 0):
        if start == 0 or stop == len(signal) or signal.segment[start - 1] != signal.segment[stop]:
            continue
        inside = slice(start, stop)
        at = np.array([signal.times[start - 1], signal.times[stop]])
        for name in ("displacement", "head", "eye_opening", "mouth_opening", "residual", "iod_px"):
            ends = getattr(signal, name)[[start - 1, stop]].reshape(2, -1)
            lines = np.stack([np.interp(signal.times[inside], at, end) for end in ends.T], 1)
            signal.set_rows(name, start, lines)
        signal.segment[inside] = signal.segment[stop]
