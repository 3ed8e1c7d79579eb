"""What is kept of one face over a video: some landmarks with depth, blendshapes, furrows, a thumbnail.

Under two kilobytes a frame, of which memory holds some thirty bytes in a long video (``spooled``); everything
in ``state`` works on this alone.
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
from deft_llm.spooled import Files, OnDisk, Recorded, loaded, resumed, standing
from deft_llm.state.channels import MIDDLE, POINTS
from deft_llm.state.compression import skipped_share
from deft_llm.state.furrows import PATCH_NAMES, furrow_contrast
from deft_llm.state.lips import LIP_VALUES, lip_contrast
from deft_llm.state.pose import RIGID

if TYPE_CHECKING:
    from deft_llm.faces.landmarker import Face

THUMBNAIL = 16  # px of a side
IN_MEMORY = ("times", "presence", "iod", "skipped", "quantiser")


def _kept() -> np.ndarray:
    sided = np.array(sorted({number for group in POINTS.values() for number in group}))
    middle = [number for group in MIDDLE.values() for number in group]
    return np.unique(np.concatenate([sided, TWIN[sided], middle, RIGID, [468, 473]]))


KEPT: np.ndarray = _kept()
"""The landmarks that are kept, ascending."""


@dataclass(kw_only=True)
class FaceTrack:
    """One face over T frames; rows of frames without it are NaN (``thumbnail``: 0).

    times (T,) s; landmarks (T, K, 2) px and depth (T, K) px of KEPT; blend (T, 52); presence (T,)
    the landmarker's logit; iod (T,) px between the eyes; furrows (T, P); lips (T, 5) as
    ``lip_contrast``; skipped (T,) share of blocks as ``skipped_share``; quantiser (T,) as ``Frame`` has it;
    thumbnail (T, 16, 16) uint8 of the aligned grey face; size (width, height) px. The wide ones of a long
    video lie on the disk: go through them in parts (``spooled.in_parts``).
    """

    times: np.ndarray
    landmarks: OnDisk[np.ndarray] = OnDisk()
    depth: OnDisk[np.ndarray] = OnDisk()
    blend: OnDisk[np.ndarray] = OnDisk()
    presence: np.ndarray
    iod: np.ndarray
    furrows: OnDisk[np.ndarray] = OnDisk()
    lips: OnDisk[np.ndarray] = OnDisk()
    skipped: np.ndarray
    quantiser: np.ndarray
    thumbnail: OnDisk[np.ndarray] = OnDisk()
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
            untold = {"quantiser": np.zeros(len(kept["times"]), np.float32)}  # of files that others wrote
            values = {one.name: (untold | kept)[one.name] for one in fields(cls)}
        width, height = (int(value) for value in values.pop("size"))
        return cls(**(values | {"size": (width, height), "fps": float(values["fps"])}))


class TrackBuilder:
    """Collects a ``FaceTrack`` frame by frame."""

    def __init__(self, fps: float, rows: Files | None = None) -> None:
        self.fps = fps
        self._rows = Recorded(empty_row(), rows)
        self._size = (0, 0)
        self._grey: np.ndarray | None = None

    def add(
        self, time: float, image: np.ndarray | None, grey: np.ndarray | None, face: Face | None,
        aligned: np.ndarray | None, matrix: np.ndarray | None = None, quantiser: float = 0.0,
    ) -> None:  # fmt: skip
        """One more frame (H, W, 3) uint8 RGB, in ``grey`` (H, W) too; ``aligned`` (224, 224) uint8 is the
        grey face, None where it is not seen, and ``matrix`` (2, 3) what aligns it (computed without)."""
        import cv2

        before, self._grey = self._grey, grey
        if face is None or aligned is None or image is None or grey is None:
            self._rows.add({"times": time})
            return
        matrix = transform_of(face.landmarks) if matrix is None else matrix
        self._size = (image.shape[1], image.shape[0])
        self._rows.add({
            "times": time, "landmarks": face.landmarks[KEPT], "depth": face.depth[KEPT],
            "blend": [face.blendshapes[name] for name in BLENDSHAPES],
            "presence": face.presence, "iod": inter_ocular(face.landmarks),
            "furrows": furrow_contrast(aligned), "lips": lip_contrast(image, face.landmarks, matrix),
            "skipped": 0.0 if before is None else skipped_share(before, grey, face.box),
            "quantiser": quantiser,
            "thumbnail": cv2.resize(aligned, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA),
        })  # fmt: skip

    def standing(self) -> dict[str, Any]:
        """Where it stands, to be given to ``resume``; its rows are on the disk then."""
        return standing(self)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from where another one stood."""
        resumed(self, state)

    def finish(self) -> FaceTrack:
        """Everything that was added."""
        columns = self._rows.finish()
        small = {name: loaded(columns.pop(name)) for name in IN_MEMORY}
        return FaceTrack(**columns, **small, size=self._size, fps=self.fps)  # type: ignore[arg-type]


def empty_row() -> dict[str, np.ndarray]:
    """A row of each column where the face is not seen."""
    gone = lambda *shape: np.full(shape, np.nan, np.float32)  # noqa: E731
    k = len(KEPT)
    return {
        "times": np.zeros(()), "landmarks": gone(k, 2), "depth": gone(k), "blend": gone(len(BLENDSHAPES)),
        "presence": gone(), "iod": gone(), "furrows": gone(len(PATCH_NAMES)), "lips": gone(LIP_VALUES),
        "skipped": gone(), "quantiser": gone(), "thumbnail": np.zeros((THUMBNAIL, THUMBNAIL), np.uint8),
    }  # fmt: skip


def points_of(ids: Sequence[int]) -> np.ndarray:
    """(K,) rows of landmark numbers in the arrays of a track."""
    return np.searchsorted(KEPT, np.asarray(ids))
