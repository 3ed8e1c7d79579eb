"""Cached shards of flow-level synthetic samples: made once by any number of processes, read by every
epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, read_arrays, reading
from deft_llm.model.units import EXPERT_AUS

if TYPE_CHECKING:
    from deft_llm.synth.core.identity import Split
    from deft_llm.synth.core.unit_map import UnitSet

FIELDS = ("maps", "clean", "side", "known", "coarse", "fine")


@dataclass
class FlowBatch:
    """maps (N, P, 3, S, S) uint8 as stored by the field; clean (N, 2, 14, 14); side (N, A, 2) and known (N,
    A)
    in {0, 1}; coarse and fine (N,) class numbers or -1."""

    maps: np.ndarray
    clean: np.ndarray
    side: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    def __len__(self) -> int:
        return len(self.maps)


def targets_of(batch: dict[str, np.ndarray]) -> FlowBatch:
    """What the experts learn from a batch of ``synth.flow_synth.FlowSynth``.

    AUs too faint to be coded are unknown (neither there nor not); a side counts as moving from a quarter of
    the
    stronger side on; AUs that FACS does not side move on both.
    """
    from deft_llm.facs.units import entry

    order = [list(batch["au_numbers"]).index(number) for number in EXPERT_AUS]
    coded, faint = batch["aus"][:, order] > 0, batch["faint"][:, order] > 0
    strength = np.abs(batch["strength"][:, order])
    top = strength.max(-1, keepdims=True)
    side = (strength >= 0.25 * top) & (top > 0)
    sided = np.array([entry(number).scoring == "sides" for number in EXPERT_AUS])
    side = np.where(sided[None, :, None], side, True) & coded[..., None]
    count, size = len(coded), 14
    clean = batch.get("clean")
    if clean is None:
        clean = np.full((count, 2, size, size), np.nan, np.float16)
    return FlowBatch(batch["maps"], clean.astype(np.float16), side.astype(np.uint8),
                     (coded | ~faint).astype(np.uint8), batch["coarse"].astype(np.int8),
                     batch["fine"].astype(np.int8))  # fmt: skip


def write_shard(path: Path, batch: FlowBatch) -> None:
    """Write one shard atomically (.npz without pickles)."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **{name: getattr(batch, name) for name in FIELDS})


def make_shards(
    folder: Path, *, shards: int, size: int, seed: int, identities: int, split: Split, prior: str,
    unit_sets: tuple[UnitSet, ...], overrides: dict | None = None, first: int = 0,
) -> None:  # fmt: skip
    """Make shards ``first``.. of ``size`` samples that are not there yet; each depends on (settings, seed,
    number)."""
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.synth.flow.sampler import FlowSynth

    synth = FlowSynth(
        split, FlowConfig(identities=identities, **(overrides or {})), prior=prior, unit_sets=unit_sets
    )
    for number in range(first, shards):
        path = Path(folder) / f"{number:05d}.npz"
        if path.exists():
            continue
        parts = [synth.batch(min(500, size - s), seed + number, start=s) for s in range(0, size, 500)]
        joined = {name: np.concatenate([part[name] for part in parts])
                  for name in parts[0] if name != "au_numbers"}  # fmt: skip
        write_shard(path, targets_of({**joined, "au_numbers": parts[0]["au_numbers"]}))


class FlowShards:
    """All shards of a folder in memory; ``refresh`` takes in what was made since."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder, self.limit = Path(folder), limit
        self.parts: dict[str, FlowBatch] = {}
        self.refresh()
        if not self.parts:
            raise DeftError(
                f"{folder}: no flow shards; make them with `python -m deft_llm.training.flow_shards`."
            )

    def refresh(self) -> None:
        """Load new shards."""
        for path in sorted(self.folder.glob("[0-9]*.npz"))[: self.limit]:
            if path.name in self.parts or path.name.endswith(".tmp.npz"):
                continue
            data = read_arrays(path)
            with reading(path):
                self.parts[path.name] = FlowBatch(**{name: data[name] for name in FIELDS})
        self.order = sorted(self.parts)
        self.ends = np.cumsum([len(self.parts[name]) for name in self.order])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def take(self, rows: np.ndarray) -> FlowBatch:
        """The samples ``rows`` (any order), stacked."""
        which = np.searchsorted(self.ends, rows, side="right")
        starts = np.concatenate([[0], self.ends[:-1]])
        columns = {
            name: np.stack(
                [getattr(self.parts[self.order[w]], name)[r - starts[w]] for w, r in zip(which, rows)]
            )
            for name in FIELDS
        }
        return FlowBatch(**columns)


def main() -> None:
    """Command line of the shard maker; several may run on different ranges of one folder."""
    import argparse

    parser = argparse.ArgumentParser(description="Make flow-level training shards.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--identities", type=int, default=96)
    parser.add_argument("--split", default="train", choices=("train", "validation", "test", "calibration"))
    parser.add_argument("--prior", default="facs")
    parser.add_argument("--units", default="arkit,makehuman")
    parser.add_argument("--neutral", type=float, default=0.06)
    parser.add_argument("--coded", type=float, default=0.0, help="share of samples behind a video codec")
    given = parser.parse_args()
    make_shards(
        given.folder, shards=given.shards, size=given.size, seed=given.seed, identities=given.identities,
        split=given.split, prior=given.prior, unit_sets=tuple(given.units.split(",")), first=given.first,
        overrides={"neutral_chance": given.neutral, "coded_chance": given.coded},
    )  # fmt: skip


if __name__ == "__main__":
    main()
