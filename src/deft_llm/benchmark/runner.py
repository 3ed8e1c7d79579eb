"""Runs one method over all folds, resumable fold by fold, by any number of workers with the same result."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deft_llm.aus.support import measure_support
from deft_llm.benchmark.features import FILE as FEATURES
from deft_llm.benchmark.features import export_features
from deft_llm.benchmark.occlusion import add_deletion, chosen_clips
from deft_llm.benchmark.questions import read_questions
from deft_llm.benchmark.samples import SampleSet, blind, collect, keep_what_method_needs
from deft_llm.benchmark.settings import BenchmarkSettings, refuse_other_code, save_settings
from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.evaluation.folds import (
    Fold,
    Folds,
    make_folds,
    read_folds,
    read_splits,
    write_folds,
    zero_shot_folds,
)
from deft_llm.evaluation.rows import check_rows, read_rows, read_run, sort_key
from deft_llm.evaluation.score import score_run
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import BENCHMARK_AUS
from deft_llm.files import digest, is_whole, read_json, seal, sha256_of, write_json, write_jsonl
from deft_llm.jobs import run_jobs, single_thread
from deft_llm.methods.protocol import Method, Sample, Task, digests_of
from deft_llm.methods.template import build_for
from deft_llm.records import Prediction
from deft_llm.store import Store
from deft_llm.store.layout import INDEX

Progress = Callable[[int, int], None]


@dataclass
class Workplace:
    """Everything one process needs to run folds; it travels to workers as paths and settings alone."""

    run: Path
    stores: list[Path]
    settings: BenchmarkSettings
    questions: Path | None = None
    samples: SampleSet = field(init=False)
    method: Method = field(init=False)
    task: Task = field(init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("run", "stores", "settings", "questions")}

    def ready(self) -> Workplace:
        """This place, opened and prepared: what a worker sets up before its first fold."""
        if not hasattr(self, "samples"):
            self.open()
            self.prepare()
        return self

    def open(self) -> Workplace:
        """Read the stores and build the method. Raises: DeftError for clips or options that do not fit."""
        stores = [Store(path) for path in self.stores]
        asked = None
        if self.questions is not None:
            asked, _ = read_questions(self.questions, [clip for store in stores for clip in store.clips])
        settings = self.settings
        self.samples = collect(stores, settings.task, settings.labels, asked)
        self.task = Task(settings.task, settings.labels, self.samples.classes, BENCHMARK_AUS)
        options = dict(settings.options)
        options |= {"zero_shot": True} if settings.zero_shot else {}
        options |= {"answers": True} if settings.answers else {}
        self.method = build_for(settings.method, self.task, **options)
        keep_what_method_needs(self.samples, self.method.needs, settings.method)
        return self

    def prepare(self) -> None:
        """Fold-independent work of the method, cached in the run folder; it sees no labels."""
        prepare = getattr(self.method, "prepare", None)
        if prepare is not None:
            (self.run / "prepared").mkdir(parents=True, exist_ok=True)
            prepare([blind(sample) for sample in self.samples.all], self.run / "prepared")


def run_benchmark(
    run: Path,
    stores: Sequence[Path],
    settings: BenchmarkSettings,
    *,
    folds_file: Path | None = None,
    questions: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit and predict every fold, then write predictions.jsonl and metrics.json; returns the metrics.

    A finished fold is never run again. Raises: UsageError for a protocol that does not fit, DeftError where
    the folder holds another benchmark or one that other code left unfinished, or a method breaks its
    contract.
    """
    if settings.zero_shot and settings.leak:
        raise UsageError("--leak needs training; it cannot go with --zero-shot.")
    if settings.deletion and settings.task != "emotion":
        raise UsageError("--deletion follows a class's probability; it goes with --task emotion.")
    place = Workplace(Path(run), [Path(s) for s in stores], settings, questions).open()
    folds = _folds(place, folds_file)
    inputs = {f"store {i}": sha256_of(Path(s) / INDEX)[:16] for i, s in enumerate(stores)}
    inputs |= {"folds": folds.hash} | ({"questions": sha256_of(questions)[:16]} if questions else {})
    inputs |= digests_of(place.method)
    save_settings(place.run, settings, inputs)
    write_folds(place.run / "folds.json", folds)
    todo = [fold for fold in folds.folds if not is_whole(_shard(place.run, fold))]
    if todo or (settings.features and not is_whole(place.run / FEATURES)):
        refuse_other_code(place.run)
    done = len(folds.folds) - len(todo)
    report = progress or (lambda finished, total: None)
    report(done, len(folds.folds))
    if todo:
        with single_thread():
            place.prepare()
            for _ in run_jobs(run_fold, todo, workers=settings.workers, ordered=False, setup=place.ready):
                done += 1
                report(done, len(folds.folds))
    if settings.features:
        with single_thread():
            place.prepare()
            export_features(place.run, place.method, [blind(sample) for sample in place.samples.all])
    return finish(place.run, folds, [_shard(place.run, fold) for fold in folds.folds])


def _folds(place: Workplace, file: Path | None) -> Folds:
    settings, samples = place.settings, place.samples
    if settings.zero_shot:
        folds = zero_shot_folds(samples.fold_clips)
    elif file is not None and _is_folds(file):
        folds = read_folds(file)
        _fits(file, folds, settings, samples)
    else:
        folds = _made_folds(settings, samples, file)
    folds.questions, folds.left_out = samples.questions, samples.left_out
    return folds


def _made_folds(settings: BenchmarkSettings, samples: SampleSet, splits_file: Path | None) -> Folds:
    make = partial(
        make_folds, samples.fold_clips, settings.protocol, k=settings.k, val_fraction=settings.val_fraction
    )
    if splits_file is None:
        return make()
    splits = read_splits(splits_file)
    if settings.protocol != "fixed":
        raise UsageError(f"--folds {splits_file}: a splits file goes with --protocol fixed.")
    with naming(splits_file):
        return make(splits=splits)


def _fits(file: Path, folds: Folds, settings: BenchmarkSettings, samples: SampleSet) -> None:
    """Raise DeftError where a folds file is of another protocol, other clips, or other people."""
    if folds.protocol != settings.protocol:
        raise UsageError(
            f"{file}: holds folds of {folds.protocol}; give --protocol {folds.protocol}, or other folds."
        )
    there = folds.subject_of
    here = {clip: group[0].subject for clip, group in samples.samples.items()}
    odd = sorted(clip for clip in there.keys() | here.keys() if there.get(clip) != here.get(clip))
    if odd:
        raise DeftError(
            f"{file}: its clips or their subjects are not this run's ({len(odd)} differ, first {odd[0]}); "
            "make folds for these clips."
        )


def _is_folds(file: Path) -> bool:
    return Path(file).suffix.lower() == ".json" and "folds" in read_json(file)


def _shard(run: Path, fold: Fold) -> Path:
    return run / "folds" / f"{digest(fold.model_dump(), 12)}.jsonl"


def run_fold(place: Workplace, fold: Fold) -> None:
    """Fit on a fold's training side, predict its test side, and write the fold's shard."""
    settings, samples = place.settings, place.samples
    clips = {side: _clips(place, getattr(fold, side)) for side in ("train", "val", "test")}
    test = samples.of(clips["test"])
    seed = int(digest([settings.seed, fold.name], 7), 16)
    _seed_all(seed)
    workdir = place.run / "work" / digest(fold.name, 12)
    if not settings.zero_shot:
        # The demonstration of a leak: what validation subjects should choose is chosen on the test subject.
        val = test if settings.leak else samples.of(clips["val"])
        train = samples.of(clips["train"]) + (samples.of(clips["val"]) if settings.leak else [])
        place.method.selection_only = settings.leak  # type: ignore[attr-defined]
        place.method.fit(train, val, seed=seed, workdir=workdir)
    rows = place.method.predict([blind(sample) for sample in test])
    complete = _complete(place, fold, test, rows)
    if settings.deletion:
        _draw_curves(place, complete, {sample.clip_id: sample for sample in test})
    write_jsonl(_shard(place.run, fold), complete)
    seal(_shard(place.run, fold))


def _draw_curves(place: Workplace, rows: Sequence[Prediction], samples: dict[str, Sample]) -> None:
    chosen = chosen_clips(place.samples.samples, place.settings.deletion)
    for row in rows:
        if row.clip_id in chosen:
            add_deletion(place.method, row, blind(samples[row.clip_id]))


def _clips(place: Workplace, subjects: Sequence[str]) -> list[str]:
    wanted = set(subjects)
    return sorted(clip for clip, group in place.samples.samples.items() if group[0].subject in wanted)


def _seed_all(seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def _complete(
    place: Workplace, fold: Fold, asked: Sequence[Sample], rows: Sequence[Prediction]
) -> list[Prediction]:
    """Rows with the run's facts and the truth, and of AUs those of the task alone: scores of methods are over
    the same ones. Raises: DeftError where the method answered other than asked."""
    method, settings = place.settings.method, place.settings
    by_key = {(row.clip_id, row.question_id): row for row in rows}
    keys = {(s.clip_id, s.question.question_id if s.question else None): s for s in asked}
    if len(by_key) != len(rows) or set(by_key) != set(keys):
        raise DeftError(
            f"method {method}: fold {fold.name} asked {len(keys)} predictions and got "
            f"{len(rows)} "
            f"({len(set(by_key) ^ set(keys))} keys differ); the method is at fault."
        )
    complete, asked_for = [], {str(au) for au in place.task.aus}
    for key, sample in sorted(keys.items(), key=str):
        row = by_key[key]
        if settings.task == "emotion" and set(row.probabilities) != set(place.task.classes):
            raise DeftError(
                f"method {method}: clip {sample.clip_id} has probabilities of "
                f"{sorted(row.probabilities)}, asked were {list(place.task.classes)}."
            )
        row.method, row.task, row.label_space = method, settings.task, settings.labels
        row.seed, row.leaky, row.fold = settings.seed, settings.leak, fold.name
        row.corpus, row.subject = sample.corpus, sample.subject
        row.truth = place.samples.truths[key]
        row.aus = {au: p for au, p in row.aus.items() if au in asked_for}
        row.sides = {au: side for au, side in row.sides.items() if au in asked_for}
        _derive(row, sample)
        complete.append(row)
    _measure(complete, {s.clip_id: s for s in asked})
    return complete


def _derive(row: Prediction, sample: Sample) -> None:
    """Fill what follows from what the method said: the decided class, fine and coarse."""
    if row.label is None and row.probabilities:
        row.label = max(sorted(row.probabilities), key=lambda name: row.probabilities[name])
    if row.task == "emotion":
        if row.fine is None and row.label in FINE and row.label_space != "megc3":
            row.fine = row.label
        if row.coarse is None:
            row.coarse = row.label if row.label_space == "megc3" else coarse_of(row.fine)  # type: ignore[assignment]
    if sample.question is not None:
        row.extras |= {"question": sample.question.text, "kind": sample.question.kind}


def _measure(rows: Sequence[Prediction], samples: dict[str, Sample]) -> None:
    """The flow's own AU support beside rows that claim evidence, so that faithfulness can be scored."""
    claiming = [row for row in rows if (row.evidence or row.answer) and row.question_id is None]
    if not claiming:
        return

    for row in claiming:
        if "measured" not in row.extras:
            found = measure_support(samples[row.clip_id].motion)
            row.extras["measured"] = [
                {"au": s.au, "side": s.side, "support": round(float(s.support), 4), "region": s.region}
                for s in found
            ]


def finish(run: Path, folds: Folds, shards: Sequence[Path]) -> dict[str, Any]:
    """Join the shards to predictions.jsonl, check that no row is missing, and write metrics.json."""
    rows = [row for shard in shards for row in read_rows(shard)]
    check_rows(rows, folds, str(run))
    write_jsonl(run / "predictions.jsonl", sorted(rows, key=sort_key))
    metrics = score_run(read_run(run))
    write_json(run / "metrics.json", metrics)
    return metrics
