"""Any frame of a video by its index, exactly the picture that ``video.frames`` streams at that index."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.faces.video import depth_shift, frames, image_files, opened, picture_of, read_picture, stamps_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

REORDER = 32
"""Frames before the wanted one to which is sought: a decoder needs what reordered frames refer to."""
AHEAD = 48
"""Frames up to which decoding on costs less than seeking anew."""


class FrameReader:
    """Frames of one video file or folder of images by index; keeps the decoder where it stands.

    ``count``: frames there are. May be called from several threads. Raises: DeftError for what is no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stream: Iterator[tuple[int, np.ndarray]] | None = None
        self._next = 0
        self._names: list[str] = []
        self._index: dict[int, int] = {}
        if self.path.is_dir():
            self._names = image_files(self.path)
            self.count, self._shift = len(self._names), depth_shift(self.path / self._names[0])
            return
        with opened(self.path) as container:
            stamps = stamps_of(container)
        self._index = {stamp: index for index, stamp in enumerate(stamps)}
        self._stamps = stamps
        self._exact = bool(stamps) and len(self._index) == len(stamps)
        self.count = len(stamps) if self._exact else sum(1 for _ in frames(self.path))

    def read(self, start: int, count: int = 1) -> list[np.ndarray]:
        """RGB pictures (H, W, 3) of the frames ``start`` ... ``start + count - 1``, fewer at the end.

        Raises: UsageError for an index that the video does not have.
        """
        if not 0 <= start < self.count or count < 1:
            raise UsageError(f"{self.path.name}: has {self.count} frames, 0 to {self.count - 1}.")
        stop = min(start + count, self.count)
        if self._names:
            return [read_picture(self.path / name, self._shift) for name in self._names[start:stop]]
        with self._lock:
            return self._read_file(start, stop)

    def _read_file(self, start: int, stop: int) -> list[np.ndarray]:
        if self._stream is None or not self._next <= start <= self._next + AHEAD:
            self._stream = self._from(start)
        found: dict[int, np.ndarray] = {}
        for index, picture in self._stream:
            self._next = index + 1
            if index >= start:
                found[index] = picture
            if index >= stop - 1:
                break
        else:
            self._stream = None
        if start not in found:
            raise DeftError(f"{self.path.name}: frame {start} cannot be decoded; the video is damaged there.")
        return [found[index] for index in range(start, stop) if index in found]

    def _from(self, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """The stream from ``start`` at the latest: sought where time stamps name every frame once."""
        for back in (start - REORDER, 0) if self._exact and start > AHEAD else ():
            stream = self._sought(max(back, 0))
            first = next(stream, None)
            if first is not None and first[0] <= start:
                return _after(first, stream)
        return ((frame.index, frame.image) for frame in frames(self.path))

    def _sought(self, start: int) -> Iterator[tuple[int, np.ndarray]]:
        import av

        with opened(self.path) as container:
            stream = container.streams.video[0]
            try:
                container.seek(self._stamps[start], stream=stream)
                for frame in container.decode(stream):
                    index = None if frame.pts is None else self._index.get(frame.pts)
                    if index is None:
                        return  # stamps that no packet had: only a stream from the start tells the index
                    if index >= start:
                        yield index, _sound(frame, self.path)
            except av.error.FFmpegError as error:
                raise DeftError(f"{self.path.name}: is damaged ({error.strerror}); repair it.") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._stream = None


def _after(
    first: tuple[int, np.ndarray], rest: Iterator[tuple[int, np.ndarray]]
) -> Iterator[tuple[int, np.ndarray]]:
    yield first
    yield from rest


def _sound(frame: VideoFrame, path: Path) -> np.ndarray:
    if frame.is_corrupt:
        raise DeftError(f"{path.name}: the frame at {frame.time:.3f} s is damaged.")
    return picture_of(frame)
