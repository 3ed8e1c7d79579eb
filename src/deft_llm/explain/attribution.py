"""What deft's class and Action Units rest on: integrated gradients over the motion, and removal.

Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017
(Captum). The baseline is a face at rest (zero relative motion), so attributions sum to what the motion adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from deft_llm.explain.overlays import face_picture
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.facs.units import name
from deft_llm.model.heads import au_logits, coarse_chances, presence_logits, with_stated
from deft_llm.model.inputs import DeftBatch, batch_of, canonical_weights
from deft_llm.model.language import FACE_EXPERTS
from deft_llm.model.predictor import Predictor, load_predictor
from deft_llm.model.readout import Readout
from deft_llm.model.units import EXPERT_AUS
from deft_llm.records import COARSE
from deft_llm.spotting.movement import Movement
from deft_llm.store import Motion

STEPS, MOST_STEPS = 16, 128
"""Gauss-Legendre points of the path; doubled while more than ``MISSED`` of the rise is missed."""
MISSED = 0.03
MOST_AUS = 3


@dataclass(frozen=True)
class Source:
    """One output and what it rests on.

    ``regions``: share of the output's rise over rest that comes from motion in each face region, signed
    ("elsewhere" for skin outside of all; together 1 up to ``error``, -1 where motion lowers the output);
    ``grid`` (28, 28) the same on the face; ``gain``: the output's rise in logits; ``error``: what integration
    missed, as a share of the gain.
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

    What is explained is the readout that the class comes from: the same crops, mirror image and experts,
    beliefs held to ``Motion.stated``. Runs on the CPU in some seconds; ``steps``: points of the path at
    first.
    Raises: DeftError for a checkpoint that cannot be read.
    """
    predictor = load_predictor(checkpoint)
    inputs, faces = predictor.inputs_of([motion])
    batch = batch_of(inputs, faces)
    with torch.no_grad():
        readout = with_stated(predictor.read_batch(batch), [motion.stated], predictor.calibration)
    chances = coarse_chances(readout, predictor.calibration)[0]
    index = int(chances.argmax())
    presence = presence_logits(readout, predictor.calibration)[0]
    sides = au_logits(readout, predictor.calibration)[0].argmax(-1)
    strongest = [k for k in np.argsort(-presence)[:MOST_AUS] if presence[k] > 0] or [int(presence.argmax())]
    targets = [Target(f"class {COARSE[index]}", index, None)]
    targets += [Target(f"AU{EXPERT_AUS[k]}", int(k), int(sides[k])) for k in strongest]
    sources = [_source(target, predictor, batch, steps) for target in targets]
    without = removals(predictor, batch, index, motion.stated)
    return Attribution(sources, COARSE[index], float(chances[index]), without)


class Target(NamedTuple):
    """One number of a readout: coarse class ``place`` (``side`` None), or AU ``place`` on one side."""

    name: str
    place: int
    side: int | None

    def of(self, readout: Readout) -> Tensor:
        """(B,) log probability of the class, or logit of the AU."""
        return readout.coarse[:, self.place] if self.side is None else readout.au[:, self.place, self.side]


def _source(target: Target, predictor: Predictor, batch: DeftBatch, steps: int) -> Source:
    """Integrated gradients of one number of the readout of a batch of one clip, from rest to its motion."""
    from captum.attr import IntegratedGradients

    def function(moved: Tensor) -> Tensor:
        clips = batch.take(torch.zeros(len(moved), dtype=torch.long))
        return target.of(predictor.read_batch(replace(clips, maps=moved)))

    maps, rest = batch.maps, torch.zeros_like(batch.maps)
    with torch.no_grad():
        gain = float(function(maps) - function(rest))
    unit = gain if abs(gain) > 1e-6 else 1.0
    method, error = IntegratedGradients(function), np.inf
    while True:
        shares = method.attribute(maps, baselines=rest, n_steps=steps, internal_batch_size=8)
        grid = shares[0].sum((0, 1)).detach().numpy().astype(float)
        error = float(abs(grid.sum() - gain) / abs(unit))
        if error <= MISSED or steps >= MOST_STEPS:
            return Source(target.name, gain, error, _by_region(grid / abs(unit)), grid)
        steps *= 2


def _by_region(grid: np.ndarray) -> dict[str, float]:
    """The grid summed into regions; a cell that lies in several is divided, the rest is "elsewhere"."""
    weights = canonical_weights().numpy().astype(float)
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
    "stated units": "The Action Units that the measurement states or denies",
}


def title_of(source: Source, movement: Movement) -> str:
    """What a source explains, in words: "Class positive", "AU12 lip corner puller"; of an Action Unit that
    the movement does not state, that it is a guess."""
    if not source.name.startswith("AU"):
        return source.name.capitalize()
    au = int(source.name[2:])
    guess = "" if any(unit.number == au for unit in movement.rises) else " (the experts' guess, not stated)"
    return f"{source.name} {name(au)}{guess}"


def note_of(found: Attribution) -> str:
    """How to read the pictures and figures of sources."""
    missed = 100 * max(source.error for source in found.sources)
    return (
        "Orange skin speaks for the class or Action Unit named below the picture, blue skin against it. The "
        "figures say how much of its whole change from a face at rest comes from each region of the person's "
        "own right or left; regions that work against each other can pass 100 %. A region far from the "
        "movement that the evidence shows is a reason to distrust the answer. Method: integrated gradients, "
        f"{missed:.1f} % of the change or less unaccounted for. It explains the model, not the person."
    )


OUTSIDE = "skin outside the regions"


def words_of(source: Source, most: int = 3) -> str:
    """What counts most for or against one output: "right mouth corner +62 %, chin -5 %"; skin that
    lies in no region is named as such where it is among them."""
    named = [(key, share) for key, share in ranked(source.regions)[:most]]
    return ", ".join(f"{OUTSIDE if key == 'elsewhere' else key} {100 * share:+.0f} %" for key, share in named)


def points_words(change: float) -> str:
    """By how much a probability changes: "-55 points", "+1 point", "0 points"."""
    points = round(100 * change)
    return f"{points:+d} point{'s' * (abs(points) != 1)}" if points else "0 points"


def removals(
    predictor: Predictor, batch: DeftBatch, index: int, stated: Mapping[int, tuple[float, float]]
) -> dict[str, float]:  # fmt: skip
    """The probability of coarse class ``index`` of a batch of one clip where a part of its input
    is taken away; ``stated``: ``Motion.stated``, to which beliefs are held."""

    def probability(
        seen: DeftBatch, drop: Sequence[str] = (), stated: Mapping[int, tuple[float, float]] = stated
    ) -> float:
        with torch.no_grad():
            readout = with_stated(predictor.read_batch(seen, drop), [stated], predictor.calibration)
        return float(coarse_chances(readout, predictor.calibration)[0, index])

    no_flow, no_strain = batch.maps.clone(), batch.maps.clone()
    no_flow[:, :, :2] = 0
    no_strain[:, :, 2] = 0
    found = {
        "all motion": probability(replace(batch, maps=torch.zeros_like(batch.maps))),
        "flow direction": probability(replace(batch, maps=no_flow)),
        "strain": probability(replace(batch, maps=no_strain)),
        "region table": probability(replace(batch, with_table=False)),
    }
    if batch.change is not None:
        there = [name for name in FACE_EXPERTS if getattr(predictor.model, name) is not None]
        found |= {f"{name} expert": probability(batch, (name,)) for name in there}
    if batch.maps.shape[1] == 2:
        only = torch.tensor([[True, False]])
        found["return phase"] = probability(replace(batch, phases=only))
    if stated:
        found["stated units"] = probability(batch, stated={})
    return found


def attribution_overlay(motion: Motion, source: Source) -> np.ndarray:
    """The onset face with the attribution on it: warm counts for, cool against; uint8 RGB (448, 448, 3)."""
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
