"""What the experts' class and Action Units rest on: integrated gradients over the motion, and removal.

Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017
(Captum). The baseline is a face at rest (zero relative motion), so attributions sum to what the motion adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.facs.regions import REGION_KEYS

if TYPE_CHECKING:
    from deft_llm.store import Motion

STEPS, MOST_STEPS = 32, 128
"""Gauss-Legendre points of the path; doubled while more than ``MISSED`` of the rise is missed."""
MISSED = 0.03
COARSE = ("negative", "positive", "surprise")
MOST_AUS = 3


@dataclass(frozen=True)
class Source:
    """One output and what it rests on.

    ``regions``: share of the output's rise over rest that comes from motion in each face region, signed
    ("elsewhere" for skin outside of all; together 1 up to ``error``); ``grid`` (28, 28) the same on the face;
    ``gain``: the output's rise in logits; ``error``: what integration missed, as a share of the gain.
    """

    name: str
    gain: float
    error: float
    regions: dict[str, float]
    grid: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Attribution:
    """Sources of the class and of the strongest AUs; the class' probability with parts removed."""

    sources: list[Source]
    label: str
    probability: float
    without: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON: regions of at least one percent, strongest first."""
        return {
            "label": self.label, "probability": round(self.probability, 4),
            "without": {name: round(p, 4) for name, p in self.without.items()},
            "sources": [
                {"name": s.name, "gain_logits": round(s.gain, 4), "integration_error": round(s.error, 4),
                 "regions": {name: round(v, 4) for name, v in ranked(s.regions) if abs(v) >= 0.01}}
                for s in self.sources
            ],
        }  # fmt: skip


def ranked(regions: dict[str, float]) -> list[tuple[str, float]]:
    """Regions by the size of their share."""
    return sorted(regions.items(), key=lambda pair: -abs(pair[1]))


def attribute(motion: Motion, checkpoint: Path | None = None, steps: int = STEPS) -> Attribution:
    """Attribute class and AUs of one clip; ``checkpoint``: a folder (default: the shipped one).

    ``steps``: points of the path at first. Runs on the CPU in about half a second. Where the checkpoint has
    face experts and the clip has faces, the outputs are those of all experts together.
    Raises: DeftError for a checkpoint that cannot be read.
    """
    import torch

    from deft_llm.model.heads import class_offsets
    from deft_llm.model.inputs import motion_input
    from deft_llm.model.units import EXPERT_AUS

    reader = _reader(checkpoint)
    calibration = reader.config.get("calibration") or {}
    given = motion_input(motion)
    count = 2 if given.phases[1] else 1
    maps = torch.from_numpy(given.maps[None, :count])
    view = _View(reader.members, torch.from_numpy(given.phases[None, :count]), *_face_part(reader, motion))
    with torch.no_grad():
        coarse, au = view.outputs(maps)
        coarse = coarse + torch.as_tensor(class_offsets(calibration), dtype=coarse.dtype)
        index = int(coarse[0].argmax())
        scale = torch.as_tensor(calibration.get("au_scale", np.ones(len(EXPERT_AUS))), dtype=au.dtype)
        bias = torch.as_tensor(calibration.get("au_bias", np.zeros(len(EXPERT_AUS))), dtype=au.dtype)
        presence = (au[0].max(-1).values * scale + bias).numpy()
        side = au[0].argmax(-1)
        probability = float(coarse.softmax(-1)[0, index])
    targets: list[tuple[str, Any]] = [(f"class {COARSE[index]}", lambda x: view.outputs(x)[0][:, index])]
    strongest = [k for k in np.argsort(-presence)[:MOST_AUS] if presence[k] > 0] or [int(presence.argmax())]
    for k in strongest:
        targets.append(
            (f"AU{EXPERT_AUS[k]}", lambda x, k=int(k), s=int(side[k]): view.outputs(x)[1][:, k, s])
        )
    sources = [_source(name, function, maps, steps) for name, function in targets]
    return Attribution(sources, COARSE[index], probability, _removals(view, maps, index))


def _reader(checkpoint: Path | None) -> Any:
    from deft_llm.model.checkpoint import SHIPPED, WEIGHTS

    folder = Path(checkpoint or SHIPPED)
    weights = folder / WEIGHTS
    return _read_once(folder, weights.stat().st_mtime_ns if weights.is_file() else 0)


@lru_cache(maxsize=1)
def _read_once(folder: Path, changed: int) -> Any:
    """The experts of a checkpoint, kept for the next movement; ``changed`` notices a new one."""
    del changed
    from deft_llm.model.predictor import MotionReader

    return MotionReader.from_checkpoint(folder)


def _face_part(reader: Any, motion: Motion) -> tuple[Any, Any]:
    """The checkpoint's face experts and what they see of this clip; (None, None) where either is missing."""
    if reader.faces is None:
        return None, None
    from deft_llm.model.face_inputs import face_input

    seen = face_input(motion)
    return (None, None) if seen is None else (reader.faces, seen)


class _View:
    """The experts as a function of the motion maps alone: the region table is measured from them, the mirror
    image is read too, as ``MotionReader`` does, but in one crop only; faces stay as they are."""

    def __init__(self, members: Any, phases: Any, faces: Any = None, seen: Any = None) -> None:
        import torch

        from deft_llm.model.inputs import canonical_weights
        from deft_llm.model.predictor import MIRROR_SIGN

        self.members, self.phases, self.faces = members, phases, faces
        self.weights = torch.from_numpy(canonical_weights())
        self.sign = torch.from_numpy(MIRROR_SIGN)[:, None, None]
        self.face_experts: dict[str, Any] = {}
        if faces is not None:
            self._look(seen)

    def _look(self, seen: Any) -> None:
        """Run the face experts once: motion does not change what they say."""
        import torch

        one = lambda name: torch.from_numpy(getattr(seen, name)[None].astype(np.float32))  # noqa: E731
        with torch.no_grad():
            if self.faces.structure is not None:
                self.face_experts["structure"] = self.faces.structure(
                    one("landmarks"), one("appearance"), one("space")
                )
            if self.faces.texture is not None:
                self.face_experts["texture"] = self.faces.texture(one("change"))

    def pool(self, maps: Any) -> Any:
        """The region table (B, P, R, 3), differentiable; as ``model.inputs.region_pool``."""
        import torch

        u, v = maps[..., 0, :, :], maps[..., 1, :, :]
        divergence = torch.gradient(u, dim=-1)[0] + torch.gradient(v, dim=-2)[0]
        stack = torch.stack([u, v, 2.0 * divergence], -1).flatten(-3, -2)
        return torch.einsum("rk,...kf->...rf", self.weights, stack)

    def outputs(
        self, maps: Any, phases: Any = None, table: bool = True, without: Sequence[str] = ()
    ) -> tuple[Any, Any]:
        """Coarse log probabilities (B, 3), means over members and mirror image, and AU logits (B, A, 2).

        ``without`` names face experts that are left out.
        """
        import torch

        phases = self.phases if phases is None else phases
        phases = phases.expand(len(maps), -1)
        coarse, au, fine = [], [], []
        for mirror in (False, True):
            seen = torch.flip(maps, (-1,)) * self.sign if mirror else maps
            rows = self.pool(seen) if table else None
            for member in self.members:
                out = member(seen, phases, rows)
                coarse.append(out.coarse.log_softmax(-1))
                au.append(out.au.flip(-1) if mirror else out.au)
                fine.append(out.fine)
        mean_coarse, mean_au, mean_fine = (torch.stack(values).mean(0) for values in (coarse, au, fine))
        if not self.face_experts:
            return mean_coarse, mean_au
        return self._fused(mean_coarse, mean_au, mean_fine, without)

    def _fused(self, coarse: Any, au: Any, fine: Any, without: Sequence[str]) -> tuple[Any, Any]:
        """The motion expert's logits corrected by the face experts."""
        from types import SimpleNamespace

        kept: dict[str, Any] = {}
        for name, output in self.face_experts.items():
            if name not in without:
                tokens = output.tokens.expand(len(coarse), *output.tokens.shape[1:])
                kept[name] = SimpleNamespace(tokens=tokens)
        own = SimpleNamespace(au=au, coarse=coarse, fine=fine)
        new_au, new_coarse, _ = self.faces.fusion(own, kept.get("structure"), kept.get("texture"), None)
        return new_coarse.log_softmax(-1), new_au


def _source(name: str, function: Any, maps: Any, steps: int) -> Source:
    import torch
    from captum.attr import IntegratedGradients

    rest = torch.zeros_like(maps)
    with torch.no_grad():
        gain = float(function(maps) - function(rest))
    unit = gain if abs(gain) > 1e-6 else 1.0
    method, error = IntegratedGradients(function), np.inf
    while True:
        shares = method.attribute(maps, baselines=rest, n_steps=steps, internal_batch_size=8)
        grid = shares[0].sum((0, 1)).detach().numpy().astype(float)
        error = float(abs(grid.sum() - gain) / abs(unit))
        if error <= MISSED or steps >= MOST_STEPS:
            return Source(name, gain, error, _by_region(grid / unit), grid)
        steps *= 2


def _by_region(grid: np.ndarray) -> dict[str, float]:
    """The grid summed into regions; a cell that lies in several is divided, the rest is "elsewhere"."""
    from deft_llm.model.inputs import canonical_weights

    weights = canonical_weights().astype(float)
    member = weights / weights.max(1, keepdims=True)
    member = member / np.maximum(member.sum(0), 1.0)
    flat = grid.ravel()
    found = {key: float(row @ flat) for key, row in zip(REGION_KEYS, member)}
    return found | {"elsewhere": float((1 - member.sum(0)) @ flat)}


PARTS = {
    "all motion": "All motion (as if the face were at rest)",
    "flow direction": "Which way the skin moved",
    "strain": "How the skin stretched and folded",
    "region table": "The motion summed up for each face region",
    "return phase": "The way back from the apex to the offset",
    "structure expert": "The shape of the face at the onset (structure expert)",
    "texture expert": "Changes of skin texture, such as wrinkles (texture expert)",
}


def words_of(source: Source, most: int = 3) -> str:
    """The regions that speak most for or against one output: "right mouth corner +62 %, chin -5 %"."""
    named = [(key, share) for key, share in ranked(source.regions) if key != "elsewhere"]
    return ", ".join(f"{key} {100 * share:+.0f} %" for key, share in named[:most])


def _removals(view: _View, maps: Any, index: int) -> dict[str, float]:
    """The class' probability where a part of the input is taken away."""
    import torch

    def probability(seen: Any, **options: Any) -> float:
        with torch.no_grad():
            return float(view.outputs(seen, **options)[0].softmax(-1)[0, index])

    no_flow, no_strain = maps.clone(), maps.clone()
    no_flow[:, :, :2] = 0
    no_strain[:, :, 2] = 0
    found = {
        "all motion": probability(torch.zeros_like(maps)),
        "flow direction": probability(no_flow),
        "strain": probability(no_strain),
        "region table": probability(maps, table=False),
    }
    found |= {f"{name} expert": probability(maps, without=(name,)) for name in view.face_experts}
    if maps.shape[1] == 2:
        only = torch.tensor([[True, False]])
        found["return phase"] = probability(maps, phases=only)
    return found


def attribution_overlay(motion: Motion, source: Source) -> np.ndarray:
    """The onset face with the attribution on it: warm speaks for, cool against; uint8 RGB (448, 448, 3)."""
    import cv2

    from deft_llm.explain.overlays import face_picture

    if motion.faces is not None:
        face = face_picture(motion, 0)
    else:
        face = np.full((448, 448, 3), 60, np.uint8)
    grid = source.grid / max(float(np.abs(source.grid).max()), 1e-9)
    size = (face.shape[1], face.shape[0])
    wide = cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    share = np.clip(wide, -1, 1)[..., None]
    colour = np.where(share > 0, np.array([255, 140, 0.0]), np.array([40, 120, 255.0]))
    strength = 0.8 * np.abs(share)
    return np.clip(face * (1 - strength) * 0.85 + colour * strength, 0, 255).astype(np.uint8)
