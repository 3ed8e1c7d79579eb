"""The face experts of a checkpoint as a reader: what structure and texture change in the motion expert's
logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.model.face_inputs import FaceInput

if TYPE_CHECKING:
    from deft_llm.model.predictor import Reading


class FaceReader:
    """Corrects a ``Reading`` where clips have faces; clips without keep the motion expert's own logits."""

    def __init__(self, structure: Any, texture: Any, fusion: Any) -> None:
        self.structure, self.texture, self.fusion = structure, texture, fusion

    @classmethod
    def of(cls, config: dict[str, Any], tensors: dict[str, Any], where: str) -> FaceReader | None:
        """The face experts of a checkpoint, loaded strictly; None where it has none."""
        from deft_llm.model.checkpoint import load_strict, part
        from deft_llm.model.face_experts import FaceExpertConfig, StructureExpert, TextureExpert
        from deft_llm.model.fusion import Fusion

        names = [name for name in ("structure", "texture") if name in config.get("experts", ())]
        if not names:
            return None
        sizes = FaceExpertConfig(**config.get("faces", {}))
        first = config["motion"][0]
        made = {"structure": StructureExpert(sizes), "texture": TextureExpert(sizes),
                "fusion": Fusion(first["width"], sizes.width, first["fine_classes"])}  # fmt: skip
        made = {name: module for name, module in made.items() if name in (*names, "fusion")}
        for name, module in made.items():
            load_strict(module, part(tensors, name), f"{where}: {name}")
            module.eval()
        return cls(made.get("structure"), made.get("texture"), made["fusion"])

    def correct(self, reading: Reading, faces: Sequence[FaceInput | None], batch: int = 64) -> None:
        """Add the correction to ``reading`` in place: computed from the mean of the clip's and its mirror
        image's logits, added to both (sides exchanged in the mirror image)."""
        import torch

        from deft_llm.model.experts import MotionOutput

        rows = np.array([row for row, face in enumerate(faces) if face is not None])
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            stack = lambda name, part=part: torch.from_numpy(  # noqa: E731
                np.stack([getattr(faces[row], name) for row in part]).astype(np.float32))  # fmt: skip
            own = [
                torch.from_numpy(np.ascontiguousarray(values[part], np.float32))
                for values in (reading.au_logits(), reading.coarse_logits(), reading.fine_logits())
            ]
            none, (au, coarse, fine) = torch.empty(0), own
            motion = MotionOutput(none, au, coarse, fine, clean=none, pooled=none)
            with torch.inference_mode():
                structure = self.structure and self.structure(
                    stack("landmarks"), stack("appearance"), stack("space")
                )
                texture = self.texture and self.texture(stack("change"))
                fused = self.fusion(motion, structure, texture, None)
            au, coarse, fine = ((new - old).numpy() for new, old in zip(fused, own, strict=True))
            reading.au[part] += np.stack([au, au[..., ::-1]], 1)
            reading.coarse[part] += coarse[:, None]
            reading.fine[part] += fine[:, None]
