"""One pass over a video: every face followed, its track for the state, its motion signal for spotting."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.follow import FaceFollower
from deft_llm.faces.landmarker import Face, Landmarker
from deft_llm.faces.video import Frame
from deft_llm.spooled import Files
from deft_llm.spotting.build_signal import SignalBuilder
from deft_llm.spotting.checkpoint import load, save
from deft_llm.spotting.signal import Signal
from deft_llm.state.track import FaceTrack, TrackBuilder

KEEP_FRAMES = 1000  # after which it is written where a pass stands


@dataclass
class Watched:
    """What one pass gives: number of a face -> its track and (unless only the state is wanted) its signal."""

    tracks: dict[int, FaceTrack]
    signals: dict[int, Signal] = field(default_factory=dict)
    in_view: int = 0


class _Recorder:
    """Builders of one face; ``files`` gives a column's file to each."""

    def __init__(self, fps: float, motion: bool, files: Callable[[str], Files | None]) -> None:
        self.track = TrackBuilder(fps, files("track"))
        self.signal = SignalBuilder(fps, rows=files("signal")) if motion else None

    def add(self, time: float, image, grey, face: Face | None, quantiser: float = 0.0) -> None:
        if self.signal is not None:
            self.signal.add(time, grey, face)
        # The signal holds its transform while a head sways: the state reads every frame by its own.
        matrix = None if face is None else transform_of(face.landmarks)
        aligned = None if matrix is None else align(grey, matrix)
        self.track.add(time, image, grey, face, aligned, matrix, quantiser)


class Watcher:
    """Follows up to ``faces`` faces through the frames that are added; ``motion`` False leaves the optical
    flow out. ``frames``: how many it has seen.

    ``kept``: a folder in which it writes every KEEP_FRAMES frames where it stands; with the same ``key`` (of
    what video and settings) it goes on from there. The folder is the caller's to remove.
    """

    def __init__(
        self, fps: float, landmarker: Landmarker, *, faces: int = 1, motion: bool = True,
        kept: Path | None = None, key: str = "",
    ) -> None:  # fmt: skip
        self._fps, self._motion, self._kept, self._key = fps, motion, kept, key
        self._follower = FaceFollower(landmarker, most=faces)
        self._recorders: dict[int, _Recorder] = {}
        self._times = array("d")
        if kept is not None and (state := load(kept, key)) is not None:
            self._resume(state)

    @property
    def frames(self) -> int:
        """How many frames it has seen."""
        return len(self._times)

    def add(self, frame: Frame) -> None:
        """One more frame, the next one of the video."""
        import cv2

        found = self._follower.find(frame.image)
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        for number in sorted(set(found) - set(self._recorders)):
            self._recorders[number] = new = self._recorder(number)
            for time in self._times:  # it came into view later than the video began
                new.add(time, None, None, None)
        for number, recorder in self._recorders.items():
            recorder.add(frame.time, frame.image, grey, found.get(number), frame.quantiser)
        self._times.append(frame.time)
        if self.frames % KEEP_FRAMES == 0:
            self.keep()

    def keep(self) -> None:
        """Write where it stands, where a folder was given."""
        if self._kept is None:
            return
        self._kept.mkdir(parents=True, exist_ok=True)
        follower = {name: value for name, value in vars(self._follower).items() if name != "landmarker"}
        recorders = {
            str(number): [one.track.standing(), None if one.signal is None else one.signal.standing()]
            for number, one in self._recorders.items()
        }
        state = {"times": np.array(self._times), "follower": follower, "recorders": recorders}
        save(self._kept, self._key, state)

    def _resume(self, state: dict[str, Any]) -> None:
        """Go on from there; from the beginning where rows are missing."""
        try:
            for number, (track, signal) in state["recorders"].items():
                one = self._recorders[int(number)] = self._recorder(int(number), new=False)
                one.track.resume(track)
                if one.signal is not None:
                    one.signal.resume(signal)
        except (OSError, ValueError):
            self._recorders = {}
            return
        vars(self._follower).update(state["follower"])
        self._times = array("d", state["times"].tolist())

    def _recorder(self, number: int, *, new: bool = True) -> _Recorder:
        kept = self._kept

        def files(part: str) -> Files | None:
            if kept is None:
                return None
            kept.mkdir(parents=True, exist_ok=True)
            mode = "w+b" if new else "r+b"
            return lambda column: (kept / f"face{number}.{part}.{column}").open(mode, buffering=0)

        return _Recorder(self._fps, self._motion, files)

    def finish(self) -> Watched:
        """What was seen of all faces.

        Raises: DeftError where no face is seen in any frame.
        """
        if not self._recorders:
            raise DeftError(
                f"no face was found in {self.frames} frames; use a video that shows a frontal face "
                "of at least 40 px between chin and brow, in enough light."
            )
        if self.frames >= KEEP_FRAMES:
            self.keep()
        return Watched(
            {number: one.track.finish() for number, one in self._recorders.items()},
            {
                number: one.signal.finish()
                for number, one in self._recorders.items()
                if one.signal is not None
            },
            self._follower.in_view,
        )


def watch(
    frames: Iterable[Frame], fps: float, landmarker: Landmarker, *, faces: int = 1, motion: bool = True
) -> Watched:
    """Follow up to ``faces`` faces through ``frames``; see ``Watcher``."""
    watcher = Watcher(fps, landmarker, faces=faces, motion=motion)
    for frame in frames:
        watcher.add(frame)
    return watcher.finish()
