"""Cached shards of flow-level synthetic samples: made once by any number of processes,
read by every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import read_arrays, reading

FIELDS = ("maps", "clean", "side", "known", "coarse", "fine")


@dataclass
class FlowBatch:
    """maps (N, 2, 3, 28, 28), uint8 as stored by the field or relative; clean (N, 2, 14, 14), NaN where it is
    not known; side (N, A, 2), known (N, A) in {0, 1}; coarse, fine (N,) class numbers or -1; phases (N, 2)
    bool, which phases the maps have (both where None)."""

    maps: np.ndarray
    clean: np.ndarray
    side: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    phases: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.phases is None:
            self.phases = np.ones((len(self.maps), 2), bool)

    def __len__(self) -> int:
        return len(self.maps)


class FlowShards:
    """All shards of a folder in memory, ``limit`` of them at most. Raises: DeftError where there are none."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.parts: list[FlowBatch] = []
        for path in sorted(Path(folder).glob("[0-9]*.npz"))[:limit]:
            data = read_arrays(path)
            with reading(path):
                self.parts.append(FlowBatch(**{name: data[name] for name in FIELDS}))
        if not self.parts:
            raise DeftError(
                f"{folder}: no flow-level samples; make them with `python -m recipes.flow_samples`."
            )
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def take(self, rows: np.ndarray) -> FlowBatch:
        """The samples ``rows`` (any order), stacked."""
        which = np.searchsorted(self.ends, rows, side="right")
        starts = np.concatenate([[0], self.ends[:-1]])
        columns = {
            name: np.stack([getattr(self.parts[w], name)[r - starts[w]] for w, r in zip(which, rows)])
            for name in FIELDS
        }
        return FlowBatch(**columns)
