"""Held-out cases from a prepared synthetic store: true AUs and sizes come from each clip's own truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deft_llm.aus.rise import region_positions
from deft_llm.facs.units import MICRO_AUS
from deft_llm.records import ActionUnit, Clip
from deft_llm.store import Store
from deft_llm.store.motion import ALIGNED_IOD, Motion
from recipes.au_support.held_out import Case

AVAILABLE = tuple(au for au in MICRO_AUS if au not in (43, 45))


def store_cases(root: Path, corpus: Path | None = None) -> Iterator[Case]:
    """One case a clip that knows its truth; clips whose truth holds no AU keep their kind ("blink", ...).

    An AU's size, px of the aligned face: from the truth file of a rendered ``corpus``; from the truth's
    own figures for flow maps; else the measured motion of the AU's regions.
    """
    store = Store(root)
    for clip_id, row in store.rows.items():
        truth = row.clip.truth
        if truth is None:
            continue
        motion = store.motion(clip_id, fields=())
        labels = tuple(unit for unit in truth.aus if unit.number in AVAILABLE)
        if truth.aus and not labels:
            continue
        stated = true_sizes(row.clip, corpus)
        sizes = tuple(stated.get(unit.number, _measured(motion, unit)) for unit in labels)
        kind = "expression" if truth.aus else truth.kind
        yield Case(motion, labels, sizes, kind, float(np.nanmedian(motion.regions.floor[0])))


def true_sizes(clip: Clip, corpus: Path | None) -> dict[int, float]:
    """Peak motion (aligned px) of every AU between the true onset and apex, where the truth says it."""
    from deft_llm.synth.core.events import PX_PER_IOD

    attributes = clip.truth.attributes if clip.truth else {}
    scale = ALIGNED_IOD / PX_PER_IOD
    stated = attributes.get("strength_px")  # flow level: [left, right] px of a 280-px face
    if stated:
        return {int(au): max(sides) * scale for au, sides in stated.items()}
    file = attributes.get("truth_file")
    return _rendered_sizes(corpus / file) if corpus is not None and file else {}


def _rendered_sizes(file: Path) -> dict[int, float]:
    from deft_llm.synth.core.unit_map import AU_MAP

    sizes: dict[int, float] = {}
    with np.load(file) as truth:
        onset, apex = (int(frame) for frame in truth["frames"][:2])
        for name, strength in zip(truth["strength_names"], truth["strength"], strict=True):
            word = str(name).split("/")[0].removeprefix("AU")
            au = int(word) if word.isdigit() else 0
            if au in AU_MAP:
                size = abs(float(strength[apex] - strength[onset])) * AU_MAP[au].full * ALIGNED_IOD
                sizes[au] = max(size, sizes.get(au, 0.0))
    return sizes


def _measured(motion: Motion, unit: ActionUnit) -> float:
    """Largest measured motion of the AU's regions."""
    rows = [row for row, weight in region_positions(unit.number, unit.side) if weight > 0]
    values = motion.regions.magnitude[0, rows] if rows else np.zeros(1)
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size else 0.0
