"""Synthetic motion signals: what the skin does is written down, so spotting can be held against it."""

import numpy as np
import pytest

from deft_llm.explain.samples import Injected
from deft_llm.facs.directions import image_vector
from deft_llm.facs.regions import REGION_INDEX, REGION_KEYS
from deft_llm.facs.units import entry
from deft_llm.spotting.signal import Signal


@pytest.fixture
def make_signal():
    """A signal of ``seconds`` at ``fps`` with movements (Injected, px aligned), blinks and a head path."""

    def make(seconds=6.0, fps=100.0, movements=(), blinks=(), mouth=None, head=None, noise=0.04, seed=0):
        random = np.random.default_rng(seed)
        count = int(seconds * fps)
        times = np.arange(count) / fps
        path = random.normal(0, noise, (count, len(REGION_KEYS), 2))
        wander = np.cumsum(random.normal(0, 0.01, path.shape), axis=0)
        path += wander - wander.mean(0)
        for movement in movements:
            curve = np.array([movement.amount(frame) for frame in range(count)]) * movement.px
            add(path, movement, curve)
        opening = np.full((count, 2), 0.3) + random.normal(0, 0.004, (count, 2))
        for start in blinks:
            lids = Injected(45, "both", start, start + int(0.08 * fps), start + int(0.28 * fps), 1.0)
            curve = np.array([lids.amount(frame) for frame in range(count)])
            opening -= 0.25 * curve[:, None]
            add(path, lids, 6.0 * curve)
        return Signal(
            times=times, displacement=path.astype(np.float32), eye_opening=opening,
            head=np.zeros((count, 6)) if head is None else head(times),
            mouth_opening=random.normal(2, 0.1, count) if mouth is None else mouth(times),
            residual=np.zeros(count), segment=np.zeros(count, int), iod_px=np.full(count, 90.0), fps=fps,
        )  # fmt: skip

    def add(path, movement, curve):
        code = entry(movement.au)
        most = max(motion.weight for motion in code.motion)
        for motion in code.motion:
            for side in ("left", "right") if movement.side == "both" else (movement.side,):
                key = f"{side} {motion.region}"
                place, side = (key, side) if key in REGION_INDEX else (motion.region, "mid")
                vector = np.array(image_vector(motion.medial, motion.up, side)) * motion.weight / most
                path[:, REGION_INDEX[place]] += curve[:, None] * vector

    return make
