"""Films as tensors: what the frozen motion expert says of each, mirrored too, and augmented batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft_llm.errors import DeftError
from deft_llm.files import read_arrays, reading
from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import MotionOutput
from deft_llm.model.inputs import (
    TURN_UNIT,
    DeftBatch,
    mirrored,
    mirrored_landmarks,
    mirrored_space,
    space_input,
)


class FilmTensors:
    """Films with the motion expert's logits; axis 1 of these is (as it is, in a mirror)."""

    def __init__(self, films: Films, base: Path, frame: int = 0, blind: bool = False) -> None:
        """``frame``: the key frame that the structure expert sees; 0 (onset) is what it is made for.
        ``blind``: the motion expert says nothing (models that see one picture alone).
        """
        model = DeftModel.from_pretrained(base, language=False)
        maps = torch.from_numpy(films.maps.astype(np.float32))
        whole = DeftBatch(maps, torch.ones(maps.shape[:2], dtype=torch.bool))
        with torch.inference_mode():
            readouts = [model.read(mirrored(whole) if mirror else whole) for mirror in (False, True)]
        self.au, self.coarse, self.fine, self.pooled = (
            torch.stack([getattr(one, name) for one in readouts], 1).clone()
            for name in ("au", "coarse", "fine", "pooled")
        )
        if blind:
            for value in (self.au, self.coarse, self.fine, self.pooled):
                value.zero_()
        self.landmarks = torch.from_numpy(films.landmarks[:, frame].astype(np.float32))
        self.look = torch.from_numpy(films.looks[:, frame, None].astype(np.float32))
        self.space = torch.from_numpy(
            np.stack([space_input(*pair) for pair in zip(films.landmarks[:, frame].astype(np.float32),
                                                         films.depth[:, frame].astype(np.float32))])
        )  # fmt: skip
        self.change = torch.from_numpy(films.change.astype(np.float32))
        self.side, self.known = (torch.from_numpy(a.astype(np.float32)) for a in (films.side, films.known))
        self.coarse_class, self.fine_class = (torch.from_numpy(a.astype(np.int64))
                                              for a in (films.coarse, films.fine))  # fmt: skip
        numbers, rows = np.unique(films.subject, return_inverse=True)
        self.subject, self.subjects = torch.from_numpy(rows.astype(np.int64)), len(numbers)
        self.mean_landmarks = self.landmarks.mean(0)
        self.landmark_spread = self.landmarks.std(0).clamp_min(0.005)
        self.truth, self.mirrored_truth = (torch.from_numpy(a) for a in truth_of(films))
        self.turn = torch.from_numpy((films.turn / TURN_UNIT).astype(np.float32))
        self.films = films

    def __len__(self) -> int:
        return len(self.side)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Tensors of some films; with ``rng`` each is mirrored by chance, moved, relit and made noisy."""
        index = torch.from_numpy(np.asarray(rows))
        flip = torch.zeros(len(rows), dtype=torch.bool)
        if rng is not None:
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
        view = flip.long()
        pick = lambda value: value[index, view]  # noqa: E731
        landmarks, look, change, space, side = (
            value[index] for value in (self.landmarks, self.look, self.change, self.space, self.side)
        )
        landmarks = torch.where(flip[:, None, None], mirrored_landmarks(landmarks), landmarks)
        space = torch.where(flip[:, None], mirrored_space(space), space)
        look, change = (torch.where(flip[:, None, None, None], v.flip(-1), v) for v in (look, change))
        if rng is not None:
            landmarks, look, change = augmented(landmarks, look, change, rng)
            space = blurred_space(space, rng)
        shape = (landmarks - self.mean_landmarks) / self.landmark_spread
        motion = MotionOutput(
            torch.empty(0), pick(self.au), pick(self.coarse), pick(self.fine), torch.empty(0),
            pick(self.pooled)
        )  # fmt: skip
        return {
            "motion": motion, "landmarks": landmarks, "look": spread_out(look), "change": change,
            "space": space, "shape": shape, "side": torch.where(flip[:, None, None], side.flip(-1), side),
            "known": self.known[index], "coarse": self.coarse_class[index], "fine": self.fine_class[index],
            "subject": self.subject[index],
            "turn": self.turn[index] * torch.where(flip[:, None], torch.tensor([-1.0, 1.0]), 1.0),
            "truth": torch.where(flip[:, None], self.mirrored_truth[index], self.truth[index]),
        }  # fmt: skip


def truth_of(films: Films) -> tuple[np.ndarray, np.ndarray]:
    """What structure must tell, (N, D) about unit spread, of films and of their mirror images: exact
    landmarks about these films' mean, the mesh's pose, and how strongly each AU is held at onset."""
    from deft_llm.synth.video.truth import LANDMARKS

    names = list(LANDMARKS)
    other = {"left": "right", "right": "left"}
    twin = [names.index(" ".join(other.get(word, word) for word in name.split())) for name in names]
    mirrored = films.geometry[:, twin] * np.array([-1, 1], np.float32)
    both = np.concatenate([films.geometry, mirrored])
    centre, scale = both.mean(0), np.maximum(both.std(0), 0.005)
    sides = []
    for points, yaw, held in ((films.geometry, 1.0, films.held), (mirrored, -1.0, films.held[..., ::-1])):
        shape = ((points - centre) / scale).reshape(len(points), -1)
        pose = films.pose * np.array([yaw, 1.0]) / TURN_UNIT
        sides.append(np.concatenate([shape, pose, np.log1p(held).reshape(len(held), -1) / 2], 1))
    return sides[0].astype(np.float32), sides[1].astype(np.float32)


def blurred_space(space: Tensor, rng: np.random.Generator, unknown: float = 0.1) -> Tensor:
    """``space_input`` (B, 1437) with the landmarker's noise; at random a tenth of the clips has none."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noisy = space + 0.004 * torch.randn(space.shape, generator=generator)
    known = torch.rand(len(space), 1, generator=generator) >= unknown
    return torch.where(known, noisy, torch.nan)


def spread_out(look: Tensor) -> Tensor:
    """``inputs.spread`` of grey faces (B, 1, H, W)."""
    flat = look.flatten(1)
    centred = flat - flat.median(1, keepdim=True).values
    return (centred / centred.std(1, unbiased=False, keepdim=True).clamp_min(1e-3)).clamp(-6, 6).view_as(look)


def augmented(
    landmarks: Tensor, look: Tensor, change: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Another lamp and a little noise on the looks, jitter on landmarks, shift and noise on the changes."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    count, size = len(look), look.shape[-1]
    line = torch.linspace(-1, 1, size)
    slope = 0.35 * torch.randn(count, 2, 1, 1, generator=generator)
    lamp = (1 + slope[:, :1] * line[None, None, None] + slope[:, 1:] * line[None, None, :, None]).clamp_min(
        0.2
    )
    look = look * lamp + 2.0 * torch.randn(look.shape, generator=generator)
    landmarks = bent(landmarks, generator) + 0.004 * torch.randn(landmarks.shape, generator=generator)
    shift = torch.randint(-2, 3, (2,), generator=generator)
    change = change.roll((int(shift[0]), int(shift[1])), (-2, -1))
    loud = 0.4 * torch.rand(count, 4, 1, 1, generator=generator)
    change = change + loud * torch.randn(change.shape, generator=generator)
    there = (torch.rand(count, 4, 1, 1, generator=generator) > 0.1).float()
    return landmarks, look, change * there


def bent(landmarks: Tensor, generator: torch.Generator, bumps: int = 6, strength: float = 0.03) -> Tensor:
    """Landmarks (B, L, 2) of a face of another shape: smooth bumps, half an inter-ocular distance wide."""
    count = len(landmarks)
    place = torch.rand(count, bumps, 2, generator=generator) * torch.tensor([2.4, 3.0]) - torch.tensor(
        [1.2, 0.9]
    )
    push = strength * torch.randn(count, bumps, 2, generator=generator)
    near = torch.exp(-torch.cdist(landmarks, place).square() / 0.5)
    return landmarks + near @ push


LURES = ("", "held smile", "asymmetric face", "deep wrinkles", "head pitch")
"""Lure k of a film; the first three looks stay the same all film long, the nod is seen as motion."""


@dataclass
class Films:
    """N films: maps (N, 2, 3, 28, 28) relative; landmarks (N, 3, 478, 2) in inter-ocular distances from the
    eyes' midpoint, their depth (N, 3, 478) in the same unit (NaN in older films) and looks (N, 3, 64, 64)
    grey of onset, apex, offset; change (N, 4, 56, 56); side
    (N, A, 2), known (N, A), coarse, fine (N,) as ``flow_shards.FlowBatch``; moved (N, A, 2) px at the apex;
    held (N, A, 2) px that the onset shows already; geometry (N, K, 2) exact onset landmarks; pose (N, 2) yaw,
    pitch in degrees from the mesh's rest, turn (N, 2) the same of the face itself (``truth.face_turn``; NaN
    in older films); lure, plan, subject (N,) numbers."""

    maps: np.ndarray
    landmarks: np.ndarray
    depth: np.ndarray
    looks: np.ndarray
    change: np.ndarray
    side: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    moved: np.ndarray
    held: np.ndarray
    geometry: np.ndarray
    pose: np.ndarray
    turn: np.ndarray
    lure: np.ndarray
    plan: np.ndarray
    subject: np.ndarray

    def __len__(self) -> int:
        return len(self.coarse)

    def take(self, rows: np.ndarray) -> Films:
        """Some of the films."""
        return Films(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def largest(self) -> np.ndarray:
        """(N,) px of the coded AU that moves most at the apex."""
        return np.where(self.side.max(-1) > 0, self.moved.max(-1), 0).max(-1)


def load_films(*folders: Path) -> Films:
    """All films of folders; subjects and plans of different folders are counted apart. Raises: DeftError
    where there are none."""
    parts: list[dict[str, np.ndarray]] = []
    for folder in folders:
        files = sorted(Path(folder).glob("[0-9]*.npz"))
        if not files:
            raise DeftError(f"{folder}: no films; make them with `python -m recipes.face_films`.")
        after = {name: 1 + max((int(part[name].max()) for part in parts), default=-1)
                 for name in ("subject", "plan")}  # fmt: skip
        for path in files:
            with reading(path):
                found = _filled(read_arrays(path))
            parts.append(found | {name: found[name] + start for name, start in after.items()})
    return Films(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _filled(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A file's arrays; older ones have no depth (NaN) and no turn of the face (NaN)."""
    unknown = {"depth": found["landmarks"].shape[:3], "turn": found["pose"].shape}
    return {f.name: found[f.name] if f.name in found else np.full(unknown[f.name], np.nan, np.float32)
            for f in fields(Films)}  # fmt: skip
