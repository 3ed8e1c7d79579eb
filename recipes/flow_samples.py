"""Make cached flow-level samples, from which the motion expert and the language
part of the shipped checkpoint learn.

    python -m recipes.flow_samples FOLDER --shards 60 --size 4000 --seed 20000 --identities 160

Several may run on different ranges of one folder; a stopped one goes on. A folder
holds samples of one setting.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.facs.units import entry
from deft_llm.files import atomic_path, read_object, write_json
from deft_llm.model.units import EXPERT_AUS
from deft_llm.synth.core.identity import Split
from deft_llm.synth.core.unit_map import UnitSet
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth
from deft_llm.training.flow_shards import FIELDS, FlowBatch
from deft_llm.version import __version__

BATCH = 500
"""Samples that are drawn at once."""
SETTINGS = "settings.json"
"""What the shards of a folder were drawn with."""


def targets_of(batch: dict[str, np.ndarray]) -> FlowBatch:
    """What the experts learn from a batch of ``synth.flow.sampler.FlowSynth``.

    AUs too faint to be coded are unknown (neither there nor not); a side counts as moving from a quarter of
    the stronger side on; AUs that FACS does not side move on both.
    """
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
    """Make shards ``first``.. of ``size`` samples that are not there yet; each
    depends on (settings, seed, number).

    Raises: UsageError where the folder holds shards of other settings.
    """
    config = FlowConfig(identities=identities, **(overrides or {}))
    _claim(Path(folder), {
        "version": __version__, "split": split, "seed": seed, "samples": size, "prior": prior,
        "units": list(unit_sets), **config.model_dump(mode="json"),
    })  # fmt: skip
    synth = FlowSynth(split, config, prior=prior, unit_sets=unit_sets)
    for number in range(first, shards):
        path = Path(folder) / f"{number:05d}.npz"
        if path.exists():
            continue
        parts = [synth.batch(min(BATCH, size - s), seed + number, start=s) for s in range(0, size, BATCH)]
        joined = {name: np.concatenate([part[name] for part in parts])
                  for name in parts[0] if name != "au_numbers"}  # fmt: skip
        write_shard(path, targets_of({**joined, "au_numbers": parts[0]["au_numbers"]}))


def _claim(folder: Path, asked: dict) -> None:
    """Keep what is asked for beside the shards. Raises: UsageError where those there were drawn otherwise."""
    path = folder / SETTINGS
    if not path.exists() and not any(folder.glob("[0-9]*.npz")):
        write_json(path, asked)
        return
    there = read_object(path) if path.exists() else {}
    if differs := [name for name in asked if there.get(name) != asked[name]]:
        raise UsageError(
            f"{folder}: holds samples of other settings ({', '.join(differs)}); choose another folder or "
            "remove this one."
        )


def main() -> None:
    """Command line of the shard maker; several may run on different ranges of one folder."""
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
