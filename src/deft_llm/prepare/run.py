"""Prepares a corpus: plans shards, has them made, merges the index, draws the contact sheet, sums up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deft_llm.corpora.base import Corpus, Fault, load
from deft_llm.errors import DeftError, UsageError
from deft_llm.files import claim_folder, read_object, reading, real_path, write_json
from deft_llm.jobs import check_pool, run_jobs
from deft_llm.motion.measure import MeasureSettings
from deft_llm.prepare.contact import draw_contact_sheet
from deft_llm.prepare.indices import SPOTTED, SPOTTED_ALL
from deft_llm.prepare.purge import purged_subjects
from deft_llm.prepare.work import Done, do, plan
from deft_llm.records import Clip
from deft_llm.store import Store, StoreWriter
from deft_llm.store.layout import HEADER as STORE_HEADER
from deft_llm.store.layout import INDEX, MAKE_STORE_AGAIN, Failure

SUMMARY = "summary.json"
# Loader faults that mean a clip (or a whole table) is not in the store; others are mended or noted.
LOSES_CLIPS = frozenset(
    {
        "unsafe-name",
        "missing-frames",
        "empty-folder",
        "unreadable-table",
        "training-only",
        "empty-cell",
        "missing-folder",
        "duplicate-clip",
        "two-subjects",
        "unknown-subject",
        "unread-name",
        "unread-row",
        "unplaced",
    }
)


@dataclass
class Report:
    """How a preparation went. ``failures`` are clips that are not in the store; ``faults`` the loader's;
    ``damaged``: what was wrong with shards that were there and were made again."""

    store: Store
    failures: list[Failure]
    faults: list[Fault] = field(default_factory=list)
    clips: int = 0
    reused: int = 0
    seconds: float = 0.0
    spotted: int = 0
    damaged: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Fault]:
        """Loader faults that cost a clip and are not among ``failures``."""
        known = {failure.clip_id for failure in self.failures}
        return [
            f
            for f in self.faults
            if f.severity == "fault" and f.kind in LOSES_CLIPS and f.clip_id not in known
        ]

    @property
    def ok(self) -> bool:
        """Whether every clip of the corpus is in the store."""
        return not self.failures and not self.lost

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON (``summary.json`` in the store)."""
        return {
            "store": str(self.store.root),
            "clips": self.clips,
            "prepared": len(self.store),
            "reused": self.reused,
            "damaged_and_made_again": self.damaged,
            "apex_found_by_spotting": self.spotted,
            "failed": [failure.model_dump() for failure in self.failures],
            "lost": [asdict(fault) for fault in self.lost],
            "seconds": round(self.seconds, 3),
        }


def prepare(
    name: str,
    root: Path | str,
    store: Path | str,
    *,
    annotations: Path | str | None = None,
    corrections: Iterable[Path | str] = (),
    workers: int = 1,
    engine: str = "local",
    settings: Any = None,
    progress: Callable[[Done, int], None] | None = None,
) -> Store:
    """Prepare corpus ``name`` at ``root`` into ``store`` and open it; quick when all is there.

    Clips that fail are listed in ``store.failures``; the rest is done. Raises: DeftError where the corpus or
    the store cannot be used at all.
    """
    corpus = load(name, root, annotations, corrections)
    return prepare_corpus(
        corpus, Path(store), workers=workers, engine=engine, settings=settings, progress=progress
    ).store


def prepare_corpus(
    corpus: Corpus,
    store: Path,
    *,
    workers: int = 1,
    engine: str = "local",
    settings: Any = None,
    progress: Callable[[Done, int], None] | None = None,
    sheet: bool = True,
) -> Report:
    """Prepare a loaded corpus; see ``prepare``. ``progress`` gets each shard done and their number."""
    from filelock import FileLock, Timeout

    check_pool(workers, engine)
    started = time.monotonic()
    if not corpus.clips:
        kinds = ", ".join(
            f"{count} x {kind}" for kind, count in Counter(f.kind for f in corpus.faults).items()
        )
        raise DeftError(f"{corpus.root}: no clip of {corpus.name} was found ({kinds or 'nothing there'}).")
    store = claim_folder(store, STORE_HEADER)
    if real_path(store) == real_path(corpus.root):
        raise UsageError(f"{store}: is the corpus itself; give another folder with --store.")
    header = {"corpus": corpus.name, "measure": _settings(settings)}
    writer = StoreWriter(store, header)
    lock = FileLock(store / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DeftError(f"{store}: another 'deft prepare' writes into it; wait for its end.") from error
    try:
        clips = _without_purged(corpus, store)
        jobs = plan(clips, corpus.root, store, header)
        done: list[Done] = []
        for result in run_jobs(do, jobs, workers=workers, engine=engine, ordered=False):
            done.append(result)
            if progress is not None:
                progress(result, len(jobs))
        failures = writer.finish(len(jobs), corpus.edition)
        report = _report(store, corpus, failures, done)
        if sheet:
            _draw(report)
    finally:
        lock.release()
    report.seconds = time.monotonic() - started
    write_json(store / "faults.json", [asdict(fault) for fault in corpus.faults])
    write_json(store / SUMMARY, report.to_dict() | {"coding": corpus.coding})
    return report


def lost_clips(store: Store) -> dict[str, str]:
    """What the loader had to leave out of a prepared store, and why: by clip id, or by the reason itself
    where no clip is named or the clip of that name is there (a second one was left out).

    Nothing where the store has no summary. Raises: DeftError for a summary that is damaged.
    """
    path = store.root / SUMMARY
    if not path.is_file():
        return {}
    with reading(path, MAKE_STORE_AGAIN):
        faults = [Fault(**row) for row in read_object(path, mend=MAKE_STORE_AGAIN).get("lost", [])]
    named = {fault: fault.clip_id for fault in faults if fault.clip_id and fault.clip_id not in store}
    return {named.get(fault) or fault.message: f"not loaded: {fault.message}" for fault in faults}


def _without_purged(corpus: Corpus, store: Path) -> list[Clip]:
    """The corpus' clips but those of subjects that were purged from the store."""

    gone = set(purged_subjects(store))
    for subject in sorted(gone):
        corpus.note("purged", f"{subject} was purged from this store; its clips are left out.")
    return [clip for clip in corpus.clips if clip.subject not in gone]


def _settings(settings: Any) -> dict[str, Any]:
    chosen = MeasureSettings.model_validate({}) if settings is None else settings
    return chosen.model_dump(mode="json")


def _report(store: Path, corpus: Corpus, failures: list[Failure], done: list[Done]) -> Report:
    opened = Store(store)
    spotted = sum(SPOTTED in clip.notes or SPOTTED_ALL in clip.notes for clip in opened.clips)
    damaged = sorted(result.damage for result in done if result.damage)
    reused = sum(result.clips for result in done if result.reused)
    return Report(
        opened, failures, corpus.faults, len(corpus.clips), reused, spotted=spotted, damaged=damaged
    )


def _draw(report: Report) -> None:
    """The contact sheet, unless the index it shows is older than it."""

    sheet = report.store.root / "contact_sheet.png"
    index = report.store.root / INDEX
    if len(report.store) and not (report.reused == report.clips and sheet.exists() and index.exists()):
        draw_contact_sheet(report.store, sheet)
