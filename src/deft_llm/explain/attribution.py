"""What the motion expert's class and Action Units rest on: integrated gradients over its input, and removal.

Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017
(Captum). The baseline is a face at rest (zero relative motion), so attributions sum to what the motion adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.facs.regions import REGION_KEYS

if TYPE_CHECKING:
    from deft_llm.store import Motion

STEPS = 64
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
    """Attribute class and AUs of one clip; ``checkpoint`` (default: the shipped one), ``steps`` of the path.

    Runs on the CPU in about a second.
    """
    import torch

    from deft_llm.model.checkpoint import SHIPPED
    from deft_llm.model.inputs import motion_input
    from deft_llm.model.reader import MotionReader
    from deft_llm.model.units import EXPERT_AUS

    reader = MotionReader.from_checkpoint(checkpoint or SHIPPED)
    calibration = reader.config.get("calibration") or {}
    given = motion_input(motion)
    count = 2 if given.phases[1] else 1
    maps = torch.from_numpy(given.maps[None, :count])
    phases = torch.from_numpy(given.phases[None, :count])
    view = _View(reader.members, phases)
    with torch.no_grad():
        coarse, au = view.outputs(maps)
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


class _View:
    """The expert as a function of the maps alone: the region table is measured from them, the mirror image
    is read too, as ``MotionReader`` does."""

    def __init__(self, members: Any, phases: Any) -> None:
        import torch

        from deft_llm.model.inputs import canonical_weights
        from deft_llm.model.reader import MIRROR_SIGN

        self.members, self.phases = members, phases
        self.weights = torch.from_numpy(canonical_weights())
        self.sign = torch.from_numpy(MIRROR_SIGN)[:, None, None]

    def pool(self, maps: Any) -> Any:
        """The region table (B, P, R, 3), differentiable; as ``model.inputs.region_pool``."""
        import torch

        u, v = maps[..., 0, :, :], maps[..., 1, :, :]
        divergence = torch.gradient(u, dim=-1)[0] + torch.gradient(v, dim=-2)[0]
        stack = torch.stack([u, v, 2.0 * divergence], -1).flatten(-3, -2)
        return torch.einsum("rk,...kf->...rf", self.weights, stack)

    def outputs(self, maps: Any, phases: Any = None, table: bool = True) -> tuple[Any, Any]:
        """Coarse log probabilities (B, 3), means over members and mirror image, and AU logits (B, A, 2)."""
        import torch

        phases = self.phases if phases is None else phases
        phases = phases.expand(len(maps), -1)
        coarse, au = [], []
        for mirror in (False, True):
            seen = torch.flip(maps, (-1,)) * self.sign if mirror else maps
            rows = self.pool(seen) if table else None
            for member in self.members:
                out = member(seen, phases, rows)
                coarse.append(out.coarse.log_softmax(-1))
                au.append(out.au.flip(-1) if mirror else out.au)
        return torch.stack(coarse).mean(0), torch.stack(au).mean(0)


def _source(name: str, function: Any, maps: Any, steps: int) -> Source:
    import torch
    from captum.attr import IntegratedGradients

    rest = torch.zeros_like(maps)
    shares = IntegratedGradients(function).attribute(
        maps, baselines=rest, n_steps=steps, internal_batch_size=8
    )
    with torch.no_grad():
        gain = float(function(maps) - function(rest))
    grid = shares[0].sum((0, 1)).detach().numpy().astype(float)
    unit = gain if abs(gain) > 1e-6 else 1.0
    return Source(name, gain, float(abs(grid.sum() - gain) / abs(unit)), _by_region(grid / unit), grid)


def _by_region(grid: np.ndarray) -> dict[str, float]:
    """The grid summed into regions; a cell that lies in several is divided, the rest is "elsewhere"."""
    from deft_llm.model.inputs import canonical_weights

    weights = canonical_weights().astype(float)
    member = weights / weights.max(1, keepdims=True)
    member = member / np.maximum(member.sum(0), 1.0)
    flat = grid.ravel()
    found = {key: float(row @ flat) for key, row in zip(REGION_KEYS, member)}
    return found | {"elsewhere": float((1 - member.sum(0)) @ flat)}


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
