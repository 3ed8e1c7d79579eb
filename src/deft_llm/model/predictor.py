"""The frozen motion expert (a small ensemble) as a reader of clips: features, AU and emotion scores,
mirrored too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.model.crops import CROPS, Crop
from deft_llm.model.inputs import MotionInput

MIRROR_SIGN = np.array([-1.0, 1.0, 1.0], np.float32)
"""A mirror image changes the sign of u; v and strain (and in the region table dy, divergence) stay."""


@dataclass
class Reading:
    """What the expert reads in N clips; axis 1 is (as it is, mirrored image).

    tokens (N, 2, members * 16 * width) and pooled (N, 2, members * width) of all members side by side; au
    (N, 2, A, 2), coarse (N, 2, 3), fine (N, 2, F) logits and clean (N, 2, 2 * 14 * 14) averaged over members;
    all of these averaged over ``crops.CROPS``. pixels (N, 2, P * 3 * 28 * 28): the relative maps themselves.
    """

    tokens: np.ndarray
    pooled: np.ndarray
    au: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    clean: np.ndarray
    pixels: np.ndarray

    def save(self, path: Path) -> None:
        """Write as .npz (float16 for the large ones), atomically."""
        from deft_llm.files import atomic_path

        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **{f.name: getattr(self, f.name).astype(np.float16) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Reading:
        """Read what ``save`` wrote, as float32."""
        with np.load(path, allow_pickle=False) as data:
            return cls(**{f.name: data[f.name].astype(np.float32) for f in fields(cls)})

    def take(self, rows: Sequence[int] | np.ndarray) -> Reading:
        """The reading of some clips."""
        return Reading(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def au_logits(self) -> np.ndarray:
        """(N, A, 2) logits left, right: mean of the clip and its mirror image with sides swapped back."""
        return 0.5 * (self.au[:, 0] + self.au[:, 1, :, ::-1])

    def coarse_logits(self) -> np.ndarray:
        """(N, 3) logits, mean of the clip and its mirror image."""
        return self.coarse.mean(1)

    def fine_logits(self) -> np.ndarray:
        """(N, F) logits, mean of the clip and its mirror image."""
        return self.fine.mean(1)


def mirrored(item: MotionInput) -> MotionInput:
    """The clip in a mirror; the region table is measured again from the mirrored maps."""
    from deft_llm.model.inputs import region_pool

    maps = np.ascontiguousarray(item.maps[..., ::-1]) * MIRROR_SIGN[:, None, None]
    return MotionInput(maps, item.phases, region_pool(maps))


class MotionReader:
    """Reads clips with all members of a checkpoint's motion ensemble in several crops, no gradients.

    ``faces``: the checkpoint's ``face_reader.FaceReader``, which corrects the logits of clips with faces.
    """

    def __init__(
        self, members: Sequence[Any], config: dict[str, Any] | None = None, faces: Any = None,
        crops: Sequence[Crop] = CROPS,
    ) -> None:  # fmt: skip
        self.members = [member.eval() for member in members]
        self.config = config or {}
        self.faces = faces
        self.crops = tuple(crops)

    @classmethod
    def from_checkpoint(cls, folder: Path) -> MotionReader:
        """The motion experts of a checkpoint folder, loaded strictly."""
        from deft_llm.model.checkpoint import load_strict, part, read_checkpoint
        from deft_llm.model.experts import MotionExpert, MotionExpertConfig
        from deft_llm.model.face_reader import FaceReader

        config, tensors = read_checkpoint(folder)
        members = []
        for index, sizes in enumerate(config["motion"]):
            expert = MotionExpert(MotionExpertConfig(**sizes))
            load_strict(expert, part(tensors, f"motion.{index}"), f"{folder}: motion.{index}")
            members.append(expert)
        return cls(members, config, FaceReader.of(config, tensors, str(folder)))

    def read(
        self, inputs: Sequence[MotionInput], batch: int = 64, both_phases: bool | None = None,
        faces: Sequence[Any] | None = None,
    ) -> Reading:  # fmt: skip
        """Read clips; ``both_phases`` says whether ``pixels`` holds the second phase (default: all have it);
        ``faces``: a FaceInput or None for each clip."""
        if both_phases is None:
            both_phases = all(bool(item.phases[1]) for item in inputs)
        sides = [self._read_crops(items, batch) for items in (inputs, [mirrored(item) for item in inputs])]
        found = {name: np.stack([side[name] for side in sides], 1) for name in sides[0]}
        count = 2 if both_phases else 1
        pixels = [np.stack([i.maps[:count].ravel(), mirrored(i).maps[:count].ravel()]) for i in inputs]
        reading = Reading(**found, pixels=np.stack(pixels))
        if self.faces is not None and faces is not None and any(face is not None for face in faces):
            self.faces.correct(reading, faces, batch)
        return reading

    def _read_crops(self, inputs: Sequence[MotionInput], batch: int) -> dict[str, np.ndarray]:
        from deft_llm.model.crops import recropped

        readings = [self._read(recropped(inputs, crop), batch) for crop in self.crops]
        return {name: np.mean([found[name] for found in readings], axis=0) for name in readings[0]}

    def _read(self, inputs: list[MotionInput], batch: int) -> dict[str, np.ndarray]:
        import torch

        from deft_llm.model.inputs import collate

        rows: list[dict[str, np.ndarray]] = []
        with torch.inference_mode():
            for start in range(0, len(inputs), batch):
                maps, phases, table = collate(inputs[start : start + batch])
                out = [member(maps, phases, table) for member in self.members]
                rows.append({
                    "tokens": torch.cat([o.tokens.flatten(1) for o in out], 1).numpy(),
                    "pooled": torch.cat([o.pooled for o in out], 1).numpy(),
                    "au": torch.stack([o.au for o in out]).mean(0).numpy(),
                    "coarse": torch.stack([o.coarse.log_softmax(-1) for o in out]).mean(0).numpy(),
                    "fine": torch.stack([o.fine.log_softmax(-1) for o in out]).mean(0).numpy(),
                    "clean": torch.stack([o.clean.flatten(1) for o in out]).mean(0).numpy(),
                })  # fmt: skip
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
