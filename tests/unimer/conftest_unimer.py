"""A store of clips whose regions move as FACS says (no faces, no face units needed), with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deft_llm.aus.calibration import load_calibration
from deft_llm.facs.emotions import coarse_of
from deft_llm.records import ActionUnit, Clip, Source
from deft_llm.store import Store, StoreWriter
from recipes.au_support.held_out import table_motion

# AUs, fine label; the last label of a clip may be false (see ``wrong``).
SCENES = (
    ((12,), "happiness"),
    ((6, 12), "happiness"),
    ((1, 2), "surprise"),
    ((4,), "disgust"),
    ((4, 7), "disgust"),
    ((15,), "sadness"),
    ((14,), "contempt"),
    ((9,), "disgust"),
    ((17,), "repression"),
    ((5,), "surprise"),
    ((10,), "disgust"),
    ((4,), "anger"),
    ((12,), "happiness"),
    ((2,), "surprise"),
    ((1,), "sadness"),
    ((12,), "happiness"),
    ((12,), "happiness"),
    ((2,), "surprise"),
    ((2,), "surprise"),
)
SIDES = ("left", "right", "left", "right")
"""Sides of the last scenes; the others move on both."""


def template(au: int, side: str = "both") -> np.ndarray:
    """Region vector (R, 2) of an AU from the calibration's templates."""
    calibration = load_calibration()
    positions = calibration.atom_index[au]
    wanted = [positions["both"]] if "both" in positions else [positions[s] for s in ("left", "right")]
    if side in ("left", "right") and "both" not in positions:
        wanted = [positions[side]]
    return calibration.atom_array[wanted].sum(0)


def clip_of(number: int, aus: list[ActionUnit] | None, fine: str | None, corpus: str = "toy") -> Clip:
    subject = f"{corpus}/s{number % 9:02d}"
    return Clip(
        clip_id=f"{subject}/c{number:03d}",
        corpus=corpus,
        subject=subject,
        fps=200.0,
        source=Source(kind="flow", path=f"{number}.npy"),
        emotion=fine,
        coarse=coarse_of(fine) if fine else None,
        aus=aus,
        coding="toy",
    )


def make_store(
    root: Path, clips: int = 114, corpus: str = "toy", units: str = "px", coded: bool = True
) -> Store:
    rng = np.random.default_rng(3)
    writer = StoreWriter(root, {"measure": {"flow": "toy"}})
    items = []
    for number in range(clips):
        aus, fine = SCENES[number % len(SCENES)]
        place = number % len(SCENES) - (len(SCENES) - len(SIDES))
        side = SIDES[place] if place >= 0 else "both"
        vector = sum(template(au, side) * rng.uniform(1.0, 2.0) for au in aus)
        vector = vector + 0.04 * rng.standard_normal(vector.shape)
        floors = np.full(len(vector), 0.06)
        labels = [ActionUnit(number=au, side=side) for au in aus]
        if number % 5 == 4:  # a label that nothing in the motion supports
            labels.append(ActionUnit(number=26 if 26 not in aus else 5))
        clip = clip_of(number, labels if coded else None, fine, corpus)
        items.append((clip, table_motion(clip.clip_id, vector, floors, units)))
    for shard, start in enumerate(range(0, clips, 40)):
        part = items[start : start + 40]
        writer.write_shard(shard, writer.work_key([clip.clip_id for clip, _ in part]), part)
    writer.finish(-(-clips // 40))
    return Store(root)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def built(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from deft_llm.unimer.build import build

    out = tmp_path_factory.mktemp("unimer")
    build(store.root, out)
    return out
