"""The per-frame motion signal of a face video: what spotting decides on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from deft_llm.spooled import OnDisk, Spooled

Array = np.ndarray

HEAD = ("right", "down", "roll", "size", "yaw", "pitch")
"""Columns of ``Signal.head``: aligned px, aligned px, rad, log, rad, rad."""


WINDOW, OVERLAP = 300.0, 20.0  # s of a long stretch that are decided on at once, and seen before and after
HANDOVER = 0.1
"""Seconds in which a reference frame that the head has outrun gives way to a fresh one."""


def jitter_of(curve: Array, axis: int | tuple[int, ...] = 0) -> Array:
    """What curves (T, ...) jitter by from frame to frame: second differences, robust, over ``axis``."""
    second = curve[2:] - 2 * curve[1:-1] + curve[:-2]
    return np.asarray(np.median(np.abs(second), axis=axis) / 0.6745 / np.sqrt(6.0))


@dataclass(kw_only=True)
class Signal:
    """One face over time; T frames, R regions in the order of ``facs.regions.REGION_KEYS``.

    times: (T,) seconds; displacement: (T, R, 2) aligned px (right, down) since the segment's start, head
    motion removed, NaN where the face is not seen; head: (T, 6) as named in ``HEAD``; eye_opening: (T, 2)
    subject's left and right, height over width of the lids; mouth_opening: (T,) aligned px between the lips;
    residual: (T,) aligned px, how badly the skull's motion was explained; segment: (T,) int, -1 where no face
    is seen, else the number of the stretch that is measured without a break; iod_px: (T,) in the source. The
    displacement of a long video lies on the disk: go through ``windows``.
    """

    times: Array
    displacement: OnDisk[np.ndarray] = OnDisk()
    head: Array
    eye_opening: Array
    mouth_opening: Array
    residual: Array
    segment: Array
    iod_px: Array
    fps: float
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def set_rows(self, name: str, start: int, rows: Array) -> None:
        """Set a field's rows from ``start`` on; rows (t, ...) may be flat."""
        held = self.__dict__[name]
        rows = rows.reshape(len(rows), *held.shape[1:])
        if isinstance(held, Spooled):
            held.write(start, rows)
        else:
            held[start : start + len(rows)] = rows

    def windows(self) -> Iterator[tuple[slice, slice]]:
        """The stretches that are measured without a break, long ones in windows of WINDOW s: the frames to
        look at, and those among them that are this window's own (neighbours overlap by OVERLAP s)."""
        size, over = max(int(WINDOW * self.fps), 1), int(OVERLAP * self.fps)
        for whole in self.segments():
            count = max(1, round((whole.stop - whole.start) / size))
            edges = np.linspace(whole.start, whole.stop, count + 1).astype(int).tolist()
            for start, stop in zip(edges, edges[1:]):
                near = slice(max(start - over, whole.start), min(stop + over, whole.stop))
                yield near, slice(start, stop)

    def segments(self) -> Iterator[slice]:
        """The stretches that are measured without a break, in order."""
        edges = np.flatnonzero(np.diff(np.concatenate([[-1], self.segment, [-1]])))
        for start, stop in zip(edges[:-1], edges[1:]):
            if self.segment[start] >= 0:
                yield slice(int(start), int(stop))
