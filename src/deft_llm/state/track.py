"""What is kept of one face over a video: some landmarks with depth, blendshapes, furrows, a thumbnail.

Under two kilobytes a frame, so that a long video fits; everything in ``state`` works on this alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.faces.align import transform_of
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.graph import BLENDSHAPES
from deft_llm.faces.regions import TWIN
from deft_llm.files import read_arrays, reading
from deft_llm.state.channels import MIDDLE, POINTS
from deft_llm.state.compression import skipped_share
from deft_llm.state.furrows import PATCH_NAMES, furrow_contrast
from deft_llm.state.lips import LIP_VALUES, lip_contrast
from deft_llm.state.pose import RIGID

if TYPE_CHECKING:
    from deft_llm.faces.landmarker import Face

THUMBNAIL = 16  # px of a side
BLOCK = 512  # frames that are packed at once


def _kept() -> np.ndarray:
    sided = np.array(sorted({number for group in POINTS.values() for number in group}))
    middle = [number for group in MIDDLE.values() for number in group]
    return np.unique(np.concatenate([sided, TWIN[sided], middle, RIGID, [468, 473]]))


KEPT: np.ndarray = _kept()
"""The landmarks that are kept, ascending."""


@dataclass
class FaceTrack:
    """One face over T frames; rows of frames without it are NaN (``thumbnail``: 0).

    times (T,) s; landmarks (T, K, 2) px and depth (T, K) px of KEPT; blend (T, 52); presence (T,)
    the landmarker's logit; iod (T,) px between the eyes; furrows (T, P); lips (T, 5) as
    ``lip_contrast``; skipped (T,) share of blocks as ``skipped_share``; thumbnail (T, 16, 16) uint8
    of the aligned grey face; size (width, height) px.
    """

    times: np.ndarray
    landmarks: np.ndarray
    depth: np.ndarray
    blend: np.ndarray
    presence: np.ndarray
    iod: np.ndarray
    furrows: np.ndarray
    lips: np.ndarray
    skipped: np.ndarray
    thumbnail: np.ndarray
    size: tuple[int, int]
    fps: float

    def __len__(self) -> int:
        return len(self.times)

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool: frames in which the face is there."""
        return np.isfinite(self.iod)

    def save(self, path: Path) -> None:
        """Write everything to an .npz file."""
        np.savez_compressed(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> FaceTrack:
        """Read what ``save`` wrote."""
        with reading(path):
            kept = read_arrays(path)
            values = {one.name: kept[one.name] for one in fields(cls)}
        width, height = (int(value) for value in values.pop("size"))
        return cls(**(values | {"size": (width, height), "fps": float(values["fps"])}))


class TrackBuilder:
    """Collects a ``FaceTrack`` frame by frame; BLOCK frames at a time are packed into arrays."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._times: list[float] = []
        self._rows: list[tuple | None] = []
        self._blocks: list[list[np.ndarray]] = []
        self._size = (0, 0)
        self._grey: np.ndarray | None = None

    def add(
        self, time: float, image: np.ndarray | None, grey: np.ndarray | None, face: Face | None,
        aligned: np.ndarray | None, matrix: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """One more frame (H, W, 3) uint8 RGB, in ``grey`` (H, W) too; ``aligned`` (224, 224) uint8 is the
        grey face, None where it is not seen, and ``matrix`` (2, 3) what aligns it (computed without)."""
        import cv2

        if len(self._rows) >= BLOCK:
            self._pack()
        self._times.append(time)
        before, self._grey = self._grey, grey
        if face is None or aligned is None or image is None or grey is None:
            self._rows.append(None)
            return
        matrix = transform_of(face.landmarks) if matrix is None else matrix
        skipped = 0.0 if before is None else skipped_share(before, grey, face.box)
        self._size = (image.shape[1], image.shape[0])
        thumbnail = cv2.resize(aligned, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        self._rows.append((
            face.landmarks[KEPT].astype(np.float32), face.depth[KEPT].astype(np.float32),
            np.fromiter((face.blendshapes[name] for name in BLENDSHAPES), np.float32, len(BLENDSHAPES)),
            np.float32(face.presence), np.float32(inter_ocular(face.landmarks)), furrow_contrast(aligned),
            lip_contrast(image, face.landmarks, matrix),
            np.float32(skipped), thumbnail,
        ))  # fmt: skip

    def _pack(self) -> None:
        """Rows to arrays, one per column: many small arrays would take as much again."""
        k = len(KEPT)
        empty = (
            np.full((k, 2), np.nan, np.float32), np.full(k, np.nan, np.float32),
            np.full(len(BLENDSHAPES), np.nan, np.float32), np.float32(np.nan), np.float32(np.nan),
            np.full(len(PATCH_NAMES), np.nan, np.float32), np.full(LIP_VALUES, np.nan, np.float32),
            np.float32(np.nan), np.zeros((THUMBNAIL, THUMBNAIL), np.uint8),
        )  # fmt: skip
        rows, self._rows = self._rows, []
        self._blocks.append([np.stack(part) for part in zip(*(row or empty for row in rows), strict=True)])

    def finish(self) -> FaceTrack:
        """Everything that was added; the builder is empty then."""
        if self._rows:
            self._pack()
        blocks, self._blocks = self._blocks, []
        columns: Any = []
        while blocks[0]:  # column by column: the blocks of one are let go before the next is joined
            columns.append(np.concatenate([block.pop(0) for block in blocks]))
        return FaceTrack(np.array(self._times), *columns, self._size, self.fps)  # type: ignore[call-arg]


def points_of(ids: Sequence[int]) -> np.ndarray:
    """(K,) rows of landmark numbers in the arrays of a track."""
    return np.searchsorted(KEPT, np.asarray(ids))
