"""Samples of ``deft synth --film keys`` under fixed conditions as the benchmarks of the experts see them:
inputs and exact truth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import MotionOutput
from deft_llm.model.inputs import normalised_depth, normalised_landmarks, space_input
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.store import Store
from deft_llm.synth.core import events
from deft_llm.training.faces import FaceData
from deft_llm.training.store_data import StoreData, look_of

LURES = ("", *events.LURES)
"""Lure k of a film; the first three looks stay the same all film long, the nod is seen as motion."""


@dataclass
class Films:
    """N films: row (N,) in ``data``; looks (N, 3, 64, 64) grey, landmarks (N, 3, 478, 2), depth (N, 3, 478)
    of onset, apex, offset; side, moved, held (N, A, 2), known (N, A), coarse, fine (N,); geometry (N, 35, 2),
    pose of the mesh and turn of the face (N, 2); lure, plan, subject (N,) numbers."""

    data: StoreData
    row: np.ndarray
    looks: np.ndarray
    landmarks: np.ndarray
    depth: np.ndarray
    side: np.ndarray
    moved: np.ndarray
    held: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    geometry: np.ndarray
    pose: np.ndarray
    turn: np.ndarray
    lure: np.ndarray
    plan: np.ndarray
    subject: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: np.ndarray) -> Films:
        """Some of the films."""
        return Films(self.data, **{f.name: getattr(self, f.name)[rows] for f in fields(self)[1:]})

    @property
    def largest(self) -> np.ndarray:
        """(N,) px of the coded AU that moves most at the apex."""
        return np.where(self.side.max(-1) > 0, self.moved.max(-1), 0).max(-1)

    @property
    def maps(self) -> np.ndarray:
        """(N, 2, 3, 28, 28) relative maps."""
        return np.stack([self.data.inputs[row].maps for row in self.row])

    def inputs(self) -> tuple[list[Any], list[Any]]:
        """What motion and face experts read of each film."""
        return [self.data.inputs[row] for row in self.row], [self.data.faces[row] for row in self.row]


def load_films(*stores: Path) -> Films:
    """All films of some stores; plans of different stores are counted apart."""
    data, raw, plans, first = StoreData(stores), [], [], 0
    for store in stores:
        for clip, motion in Store(Path(store)).stream():
            raw.append((
                np.stack([look_of(motion, frame) for frame in range(3)]),
                np.stack([normalised_landmarks(marks) for marks in motion.landmarks]),
                np.stack([normalised_depth(depth) for depth in motion.depth]),
            ))  # fmt: skip
            plans.append(first + clip.truth.attributes["plan"])
        first = max(plans) + 1
    looks, landmarks, depth = (np.stack(values) for values in zip(*raw))
    of = lambda name: np.array([clip.truth.attributes[name] for clip in data.clips])  # type: ignore[union-attr]  # noqa: E731
    moved = np.zeros((len(data), len(EXPERT_AUS), 2), np.float32)
    for row, clip in enumerate(data.clips):
        for number, sides in clip.truth.attributes["moved_px"].items():  # type: ignore[union-attr]
            if int(number) in AU_INDEX:
                moved[row, AU_INDEX[int(number)]] = sides
    return Films(
        data, np.arange(len(data)), looks, landmarks, depth, data.side, moved, data.held, data.known,
        data.coarse, data.fine, of("geometry").astype(np.float32), of("mesh_turn").astype(np.float32),
        data.turn, np.array([LURES.index(name) for name in of("lure")]), np.array(plans), data.subject,
    )  # fmt: skip


def face_data(films: Films, deft: DeftModel, frame: int = 0, blind: bool = False) -> FaceData:
    """All films of a store as the face experts' training takes them. ``frame``: the key frame that the
    structure expert sees; 0 (onset) is what it is made for. ``blind``: the motion expert says nothing (models
    that see one picture alone)."""
    data = FaceData(films.data, deft)
    if frame:
        marks, depth = films.landmarks[:, frame], films.depth[:, frame]
        data.landmarks = torch.from_numpy(marks)
        data.look = torch.from_numpy(films.looks[:, frame, None].astype(np.float32))
        data.space = torch.from_numpy(np.stack([space_input(*pair) for pair in zip(marks, depth)]))
    if blind:
        data.motion = [MotionOutput(*map(torch.zeros_like, view)) for view in data.motion]
    return data
