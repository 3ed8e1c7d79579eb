"""One pass over a video: every face followed, its track for the state, its motion signal for spotting."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.follow import FaceFollower
from deft_llm.faces.landmarker import Face, Landmarker
from deft_llm.faces.video import Frame
from deft_llm.spotting.build_signal import SignalBuilder
from deft_llm.spotting.signal import Signal
from deft_llm.state.track import FaceTrack, TrackBuilder


@dataclass
class Watched:
    """What one pass gives: number of a face -> its track and (unless only the state is wanted) its signal."""

    tracks: dict[int, FaceTrack]
    signals: dict[int, Signal] = field(default_factory=dict)
    in_view: int = 0


class _Recorder:
    """Builders of one face."""

    def __init__(self, fps: float, motion: bool, missed: Sequence[float]) -> None:
        self.track = TrackBuilder(fps)
        self.signal = SignalBuilder(fps) if motion else None
        for time in missed:  # it came into view later than the video began
            self.add(time, None, None, None)

    def add(self, time: float, image, grey, face: Face | None) -> None:
        """Take in a frame; ``face`` None: it was not found in it."""
        aligned: Any
        matrix: Any
        if self.signal is not None:
            self.signal.add(time, grey, face)
            aligned, matrix = self.signal.aligned, self.signal.matrix
        else:
            matrix = None if face is None else transform_of(face.landmarks)
            aligned = None if matrix is None else align(grey, matrix)
        self.track.add(time, image, grey, face, aligned, matrix)


def watch(
    frames: Iterable[Frame],
    fps: float,
    landmarker: Landmarker,
    *,
    faces: int = 1,
    motion: bool = True,
    on_frame: Callable[[int], None] | None = None,
) -> Watched:
    """Follow up to ``faces`` faces through ``frames``; ``motion`` False leaves the optical flow out.

    Raises: DeftError where no face is seen in any frame.
    """
    import cv2

    follower = FaceFollower(landmarker, most=faces)
    recorders: dict[int, _Recorder] = {}
    times = array("d")
    for frame in frames:
        found = follower.find(frame.image)
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        for number in sorted(set(found) - set(recorders)):
            recorders[number] = _Recorder(fps, motion, times)
        for number, recorder in recorders.items():
            recorder.add(frame.time, frame.image, grey, found.get(number))
        times.append(frame.time)
        if on_frame is not None:
            on_frame(frame.index)
    if not recorders:
        raise DeftError(
            f"no face was found in {len(times)} frames; use a video that shows a frontal face "
            "of at least 40 px between chin and brow, in enough light."
        )
    return Watched(
        {number: recorder.track.finish() for number, recorder in recorders.items()},
        {number: one.signal.finish() for number, one in recorders.items() if one.signal is not None},
        follower.in_view,
    )
