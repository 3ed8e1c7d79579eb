"""Small stores of synthetic flow maps: three classes, each with its own blobs of motion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deft_llm.facs.regions import REGION_KEYS
from deft_llm.records import ActionUnit, Clip, Source
from deft_llm.store import Motion, RegionTable, StoreWriter

COARSE = ("negative", "positive", "surprise")
FINE = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
UNITS = {"negative": (4, 7), "positive": (6, 12), "surprise": (1, 2)}
# Class -> (row, column, u, v) of its blobs on a 28 px map: brows down, mouth corners up and out, brows up.
BLOBS = {
    "negative": ((8, 10, 0.5, 1.0), (8, 18, -0.5, 1.0)),
    "positive": ((20, 9, -0.7, -0.7), (20, 19, 0.7, -0.7)),
    "surprise": ((7, 8, 0.0, -1.0), (7, 20, 0.0, -1.0)),
}


def make_flow(kind: str, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Flow (1, 2, 28, 28) of a class with noise."""
    y, x = np.mgrid[:28, :28]
    flow = rng.normal(0, noise, (2, 28, 28))
    for row, column, u, v in BLOBS[kind]:
        row, column = row + rng.normal(0, 0.7), column + rng.normal(0, 0.7)
        bump = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 12)
        flow += np.stack([u * bump, v * bump])
    return flow[None].astype(np.float32)


def empty_table() -> RegionTable:
    """A region table of zeros."""
    zeros = np.zeros((1, len(REGION_KEYS)), np.float32)
    return RegionTable(
        **{
            name: zeros.copy()
            for name in ("dx", "dy", "magnitude", "px", "iod_percent", "floor", "z", "divergence")
        }
    )


def make_clip(corpus: str, subject: int, number: int, kind: str, with_aus: bool = True) -> Clip:
    """One annotated clip record."""
    clip_id = f"{corpus}/{subject:03d}/{subject:03d}_{number}"
    aus = [ActionUnit(number=au) for au in UNITS[kind]] if with_aus else None
    return Clip(
        clip_id=clip_id,
        corpus=corpus,
        subject=f"{corpus}/{subject:03d}",
        source=Source(kind="flow", path="-"),
        emotion=FINE[kind],
        coarse=kind,
        aus=aus,
    )


def make_store(
    root: Path,
    corpora: dict[str, int],
    *,
    clips: int = 5,
    noise: float = 0.25,
    seed: int = 0,
    faces: bool = False,
    with_aus: bool = True,
) -> Path:
    """A finished store: corpus -> number of subjects, ``clips`` each."""
    rng = np.random.default_rng(seed)
    items = []
    for corpus, subjects in corpora.items():
        for subject in range(1, subjects + 1):
            for number in range(clips):
                kind = COARSE[(subject + number) % 3]
                clip = make_clip(corpus, subject, number, kind, with_aus)
                flow = make_flow(kind, rng, noise)
                motion = Motion(clip.clip_id, "relative", flow, np.hypot(*flow[0])[None], empty_table())
                if faces:
                    motion.faces = _faces(flow, rng)
                    motion.dynamic = np.stack([flow[0, 1], -flow[0, 1]]).repeat(2, 1).repeat(2, 2)
                items.append((clip, motion))
    writer = StoreWriter(root, {"made": "by tests"})
    writer.write_shard(0, "key", items)
    writer.finish(1)
    return root


def _faces(flow: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three 56 px grey frames whose brightness follows the motion (texture for LBP-TOP)."""
    base = rng.uniform(80, 120, (56, 56))
    change = 60 * flow[0, 1].repeat(2, 0).repeat(2, 1)
    frames = np.stack([base, base + change, base])
    return np.clip(frames, 0, 255).astype(np.uint8)[..., None].repeat(3, -1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, 6 + 4 subjects, 5 clips each, flow only."""
    return make_store(tmp_path_factory.mktemp("stores") / "flow", {"alpha": 6, "beta": 4})


@pytest.fixture(scope="session")
def face_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One corpus, 6 subjects, with faces and dynamic images."""
    return make_store(tmp_path_factory.mktemp("stores") / "faces", {"alpha": 6}, faces=True, seed=1)


@pytest.fixture(scope="session")
def bare_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One corpus, 6 subjects, flow only, in which nobody coded AUs."""
    return make_store(tmp_path_factory.mktemp("stores") / "bare", {"alpha": 6}, with_aus=False)


@pytest.fixture(scope="session")
def flow_of() -> Callable[..., np.ndarray]:
    """Makes the flow of a class."""
    return make_flow
