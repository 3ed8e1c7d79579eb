"""Features of samples, made once per run and shared by all folds; they never see labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deft_llm.files import atomic_path, digest, is_whole, reading, seal
from deft_llm.methods.protocol import Sample
from deft_llm.motion.normalise import relative
from deft_llm.store import Motion

Extract = Callable[[Sample], np.ndarray]


class FeatureTable:
    """Features by clip id; ``extract`` fills what is not there."""

    def __init__(self, extract: Extract) -> None:
        self.extract = extract
        self.known: dict[str, np.ndarray] = {}

    def prepare(self, samples: Sequence[Sample], workdir: Path, name: str) -> None:
        """Read the features of ``samples`` from ``workdir``, or make and write them."""
        clips = [sample.clip_id for sample in samples]
        path = Path(workdir) / f"{name}-{digest(clips)}.npy"
        if is_whole(path):
            with reading(path):
                self.known.update(zip(clips, np.load(path, allow_pickle=False), strict=True))
            return
        table = self.of(samples)
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, table)
        seal(path)

    def of(self, samples: Sequence[Sample]) -> np.ndarray:
        """Features (N, ...) of samples, float32."""
        for sample in samples:
            if sample.clip_id not in self.known:
                self.known[sample.clip_id] = np.asarray(self.extract(sample), np.float32)
        return np.stack([self.known[sample.clip_id] for sample in samples])


def resized(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (..., H, W) at (size, size): area mean where that shrinks, else linear."""
    import cv2

    if maps.shape[-2:] == (size, size):
        return maps.astype(np.float32)
    mode = cv2.INTER_AREA if maps.shape[-1] > size else cv2.INTER_LINEAR
    flat = maps.reshape(-1, *maps.shape[-2:]).astype(np.float32)
    small = [cv2.resize(one, (size, size), interpolation=mode) for one in flat]
    return np.stack(small).reshape(*maps.shape[:-2], size, size)


def flow_maps(sample: Sample, size: int = 28, phases: int = 1) -> np.ndarray:
    """Relative maps (3 * phases, size, size) of a sample: ``maps_of`` its motion."""
    return maps_of(sample.motion, size, phases)


def maps_of(motion: Motion, size: int = 28, phases: int = 1) -> np.ndarray:
    """Relative maps (3 * phases, size, size): u, v, strain of each phase, without arbitrary zero and scale.

    A clip without the second phase repeats the first one reversed in sign, so that shapes agree.
    """
    stacks = []
    for phase in range(phases):
        there = min(phase, motion.flow.shape[0] - 1)
        flow = motion.flow[there] * (1.0 if there == phase else -1.0)
        stacks += [*flow, motion.strain[there]]
    return relative(resized(np.stack(stacks), size)).astype(np.float32)
