"""Flow-level samples on disk: a store that training reads, or PNG maps with a manifest.

The unit of work is a shard of SHARD samples: what a shard holds depends on seed and settings alone, so any
number of workers writes the same bytes, and a stopped run goes on where it stopped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.errors import DeftError, UsageError
from deft_llm.facs.notation import aus_cell
from deft_llm.files import (
    claim_folder,
    digest,
    is_whole,
    read_json,
    seal,
    write_bytes,
    write_json,
    write_text,
)
from deft_llm.jobs import check_pool, run_jobs
from deft_llm.motion.measure import motion_from_flow
from deft_llm.records import ActionUnit, Clip, Source, Truth, Units
from deft_llm.store import StoreWriter
from deft_llm.store.layout import HEADER as STORE_HEADER
from deft_llm.synth.core.coder import annotate
from deft_llm.synth.core.identity import SEED_RANGES, Split, sample_identity
from deft_llm.synth.core.prior import load_prior
from deft_llm.synth.core.unit_map import UnitSet
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.folders import check_folders, link_training, map_path
from deft_llm.synth.flow.sampler import FlowSynth, Sample

SHARD = 256
HEADER = "synth.json"
GENERATOR = 5  # raised when the same settings give other bytes
MANIFEST = ("clip_id", "corpus", "subject", "path", "path_offset", "emotion", "coarse", "aus")


class FlowSettings(BaseModel):
    """Options of ``deft synth --level flow``; a store remembers them."""

    model_config = ConfigDict(extra="forbid")

    clips: int = Field(description="How many samples.")
    subjects: int = Field(description="How many subjects.")
    seed: int = Field(0, description="Chooses subjects and samples; same seed, same bytes.")
    split: Split = Field("train", description="Range of identities.")
    prior: Literal["facs", "corpora"] = Field(
        "facs", description="facs, or corpora (uses statistics of real corpora)."
    )
    units: tuple[UnitSet, ...] = Field(("arkit",), description="Sets of face units, in turn.")
    layout: Literal["store", "flowmaps", "ststnet"] = Field(
        "store", description="A store, or maps in the folders of flowmaps or STSTNet."
    )
    config: FlowConfig = FlowConfig()
    generator: int = Field(GENERATOR, description="Version of the generator.")

    def check(self) -> None:
        """Raises: UsageError for impossible counts."""
        if self.clips < 1 or self.subjects < 1 or self.seed < 0:
            raise UsageError("--clips and --subjects must be 1 or more and --seed 0 or more.")
        if self.subjects > self.clips:
            raise UsageError(f"--subjects {self.subjects}: choose 1 to {self.clips} (as many as --clips).")
        if self.layout == "ststnet":
            check_folders(self.clips, self.subjects)
        room = len(SEED_RANGES[self.split])
        if (self.seed + 1) * self.subjects > room:
            raise UsageError(
                f"--seed {self.seed}: split {self.split} has {room} identities; "
                "choose a smaller seed or fewer subjects."
            )

    @property
    def shards(self) -> int:
        """How many shards the samples fill."""
        return -(-self.clips // SHARD)


def write_flow(
    out: Path,
    settings: FlowSettings,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Make the samples of ``settings`` in ``out``; returns what a summary says.

    Raises: UsageError for impossible options and an ``out`` of another product; DeftError where ``out`` holds
    other settings or is unwritable.
    """
    settings.check()
    check_pool(workers)
    out = Path(out)
    _claim(out, settings)
    tasks = [(str(out), settings.model_dump_json(), number) for number in range(settings.shards)]
    for done, _ in enumerate(run_jobs(_work, tasks, workers=workers), 1):
        progress(min(done * SHARD, settings.clips), settings.clips)
    if settings.layout == "store":
        _writer(out, settings).finish(settings.shards)
        clips, subjects = settings.clips, settings.subjects
    else:
        clips, subjects = _write_lists(out, settings)
    prior = load_prior(settings.prior)
    return {
        "clips": clips,
        "subjects": subjects,
        "left_out": settings.clips - clips,
        "layout": settings.layout,
        "units": list(settings.units),
        "prior": prior.describe(),
    }


def _claim(out: Path, settings: FlowSettings) -> None:
    """Refuse a folder of other settings; note ours."""
    header = out / HEADER
    claim_folder(out, HEADER, *([STORE_HEADER] if header.exists() else []))
    wanted = settings.model_dump(mode="json")
    if header.exists() and read_json(header) != wanted:
        raise DeftError(f"{header}: was made with other options; choose a new folder or remove this one.")
    write_json(header, wanted)


def _work(task: tuple[str, str, int]) -> int:
    """Make one shard unless it is there."""
    out, text, number = Path(task[0]), task[1], task[2]
    settings = FlowSettings.model_validate_json(text)
    synth = _synth(text)
    first = number * SHARD
    count = min(SHARD, settings.clips - first)
    if settings.layout == "store":
        writer = _writer(out, settings)
        key = writer.work_key([GENERATOR, number, count])
        if not writer.has_shard(number, key):
            writer.write_shard(number, key, [_stored(s, c) for s, c in _clips(synth, settings, first, count)])
    elif not is_whole(*_files_of(out, settings, number)):
        _write_maps(out, settings, number, list(_clips(synth, settings, first, count)))
    return number


@lru_cache(maxsize=1)
def _synth(text: str) -> FlowSynth:
    settings = FlowSettings.model_validate_json(text)
    start = SEED_RANGES[settings.split].start + settings.seed * settings.subjects
    takes = min(settings.config.takes, max(1, settings.clips // settings.subjects))
    config = settings.config.model_copy(
        update={"identities": settings.subjects, "in_turn": True, "takes": takes}
    )
    seeds = range(start, start + settings.subjects)
    return FlowSynth(seeds, config, prior=settings.prior, unit_sets=settings.units)


def _writer(out: Path, settings: FlowSettings):
    return StoreWriter(out, {"made by": "deft synth --level flow", **settings.model_dump(mode="json")})


def _clips(synth: FlowSynth, settings: FlowSettings, first: int, count: int) -> Iterator[tuple[Sample, Clip]]:
    """Samples and their records; the annotation is a simulated coder's, the truth stands beside it."""
    for place, sample in enumerate(synth.samples(settings.seed, first, count), first):
        rng = np.random.default_rng([GENERATOR, settings.seed, place, 17])
        aus = coded_aus(sample)
        expression = sample.expression
        fine, coarse = (expression.fine, expression.coarse) if expression else (None, None)
        kind = "micro-expression" if expression else "neutral"
        told = annotate(rng, aus, 0, 10, 20, frames=30, fine=fine, coarse=coarse, prior=synth.prior)
        name = f"f{place:07d}"
        clip = Clip(
            clip_id=f"{sample.face.subject}/{name}",
            corpus="synthetic",
            subject=sample.face.subject,
            source=Source(kind="flow", path=f"maps/{place // SHARD:05d}/{name}.png"),
            emotion=told.fine,
            coarse=told.coarse,
            aus=told.aus,
            coding="simulated coder (AU agreement about .8)",
            truth=Truth(
                emotion=fine, coarse=coarse, aus=aus, kind=kind, attributes=_attributes(sample, settings)
            ),
        )
        if settings.layout == "ststnet":
            path = map_path(_places(synth)[clip.subject], name, told.coarse)
            if path is None:
                continue  # the layout knows three classes only
            clip.source.path = path
        elif sample.maps.shape[0] > 1:
            clip.source.path_offset = f"maps/{place // SHARD:05d}/{name}_offset.png"
        yield sample, clip


@lru_cache(maxsize=1)
def _places(synth: FlowSynth) -> dict[str, int]:
    """Number of each subject in the pool, by id."""
    return {sample_identity(seed).id: number for number, seed in enumerate(synth.seeds)}


def _shards(out: Path, settings: FlowSettings) -> Path:
    """Where the lists of finished shards lie: hidden where loaders take every folder for a subject."""
    return out / (".shards" if settings.layout == "ststnet" else "shards")


def coded_aus(sample: Sample) -> list[ActionUnit]:
    """The AUs strong enough to be coded, sides as they appear after mirroring."""
    if sample.expression is None:
        return []
    found = [active.record() for active in sample.expression.marked]
    swap = {"left": "right", "right": "left"}
    if not sample.mirrored:
        return found
    return [au.model_copy(update={"side": swap.get(au.side, au.side)}) for au in found]


def _attributes(sample: Sample, settings: FlowSettings) -> dict[str, Any]:
    faint = [a.number for a in sample.expression.aus if a.faint] if sample.expression else []
    peaks = {
        str(number): [round(value, 3) for value in sides] for number, sides in sample.drawn.strengths.items()
    }
    return {
        "prior": settings.prior,
        "units": sample.unit_set,
        "faint_aus": faint,
        "strength_px": peaks,
        "mirrored": sample.mirrored,
    }


def _stored(sample: Sample, clip: Clip) -> tuple[Clip, Any]:
    maps = sample.maps.astype(np.float32)
    units: Units = "relative" if sample.maps.dtype == np.uint8 else "px"
    motion = motion_from_flow(clip.clip_id, maps[:, :2], units=units, strain=maps[:, 2])
    return clip, motion


def _write_maps(out: Path, settings: FlowSettings, number: int, made: list[tuple[Sample, Clip]]) -> None:
    """PNG maps of one shard (R, G, B = u, v, strain), then its rows; the rows make it count."""
    rows = []
    for sample, clip in made:
        if sample.maps.dtype != np.uint8:
            raise UsageError(
                f"--layout {settings.layout}: holds stretched maps; leave stretch on or write a store."
            )
        paths = [path for path in (clip.source.path, clip.source.path_offset) if path]
        for path, image in zip(paths, sample.maps[: len(paths)], strict=True):
            done, data = cv2.imencode(".png", np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1]))
            if not done:
                raise DeftError(f"{out / path}: the map could not be encoded; choose another --size.")
            write_bytes(out / path, data.tobytes())
        rows.append(_row(clip))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    lines = "".join(clip.model_dump_json(by_alias=True, exclude_none=True) + "\n" for _, clip in made)
    write_text(_shards(out, settings) / f"{number:05d}.jsonl", lines)
    write_text(_shards(out, settings) / f"{number:05d}.csv", text.getvalue())
    seal(*_files_of(out, settings, number))


def _files_of(out: Path, settings: FlowSettings, number: int) -> list[Path]:
    """The files of one shard of maps: its rows, its records, and the maps that the rows name."""
    rows = _shards(out, settings) / f"{number:05d}.csv"
    told = rows.read_text(encoding="utf-8", errors="replace") if rows.is_file() else ""
    table = [row for row in csv.reader(io.StringIO(told.replace("\0", ""))) if len(row) == len(MANIFEST)]
    at = (MANIFEST.index("path"), MANIFEST.index("path_offset"))
    return [rows, rows.with_suffix(".jsonl"), *(out / row[i] for row in table for i in at if row[i])]


def _row(clip: Clip) -> list[str]:
    offset = clip.source.path_offset or ""
    return [
        clip.clip_id, clip.corpus, clip.subject, clip.source.path, offset, clip.emotion or "",
        clip.coarse or "", aus_cell(clip.aus),
    ]  # fmt: skip


def _write_lists(out: Path, settings: FlowSettings) -> tuple[int, int]:
    """manifest.csv for the loader (or STSTNet's folds), records.jsonl (with truth) for people who score.

    Returns the clips and the subjects that are there: STSTNet's layout has no place for other classes.
    """
    parts = [_shards(out, settings) / f"{number:05d}" for number in range(settings.shards)]
    rows = "".join(part.with_suffix(".csv").read_text(encoding="utf-8") for part in parts)
    table = list(csv.reader(io.StringIO(rows)))
    if settings.layout == "ststnet":
        link_training(out, [row[MANIFEST.index("path")] for row in table])
    else:
        write_text(out / "manifest.csv", ",".join(MANIFEST) + "\n" + rows)
    records = "".join(part.with_suffix(".jsonl").read_text(encoding="utf-8") for part in parts)
    write_text(out / "records.jsonl", records)
    write_json(out / "card.json", {"digest": digest(rows), **load_prior(settings.prior).describe()})
    return len(table), len({row[MANIFEST.index("subject")] for row in table})
