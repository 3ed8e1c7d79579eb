"""Builds Uni-MER from a prepared store: judged evidence, a balanced plan, instructions, rejections, a card.

Three passes over chunks of clips: measure and judge (the work; kept per chunk, so a stopped build goes on),
plan (two short readings of what was judged), write. Results do not depend on workers or engine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft_llm.aus.calibration import CALIBRATION_FILE, load_calibration
from deft_llm.errors import UsageError
from deft_llm.files import (
    claim_folder,
    digest,
    json_line,
    read_json,
    read_jsonl,
    read_rows,
    write_json,
    write_jsonl,
    write_text,
)
from deft_llm.jobs import check_pool, run_jobs
from deft_llm.records import SCHEMA, Instruction
from deft_llm.store import Store
from deft_llm.unimer.card import dataset_card
from deft_llm.unimer.facts import ClipFacts, facts_of
from deft_llm.unimer.phrases import TEMPLATES_VERSION
from deft_llm.unimer.plan import Plan, make_plan
from deft_llm.unimer.rewrite import Rewriter
from deft_llm.unimer.tasks import clip_instructions

BUILD_SCHEMA = 1
CHUNK = 64
HEADER = "build.json"
INSTRUCTIONS = "instructions.jsonl"
REJECTIONS = "rejections.jsonl"


@dataclass(frozen=True)
class Chunk:
    """One unit of work: some clips of a store, and where their facts go."""

    store: Path
    clip_ids: tuple[str, ...]
    target: Path
    key: str


def build(
    store: Path,
    out: Path,
    *,
    workers: int = 1,
    engine: str = "local",
    seed: int = 0,
    figures: bool = True,
    rewrite: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write instructions.jsonl, rejections.jsonl, statistics.json and README.md into ``out``.

    ``figures`` false: text that a model is to learn, with nothing that it could not read from the clip (see
    ``ClipFacts.without_figures``). ``rewrite`` names a local LLM (see ``unimer.rewrite``) that may reword
    answers where it changes no fact.
    Returns the statistics. Raises: UsageError where ``out`` holds another build or another product.
    """

    check_pool(workers, engine)
    store, out = Path(store), Path(out)
    opened = Store(store)
    _claim(out, opened, seed, figures, rewrite)
    chunks = plan_chunks(opened, out)
    done = 0
    for chunk, _ in zip(chunks, run_jobs(measure_chunk, chunks, workers=workers, engine=engine), strict=True):
        done += len(chunk.clip_ids)
        if progress:
            progress(done, len(opened))
    plan = make_plan(lambda: all_facts(chunks), seed)
    rows = _instructions(chunks, plan, seed, figures)
    if rewrite:
        rows = Rewriter(rewrite).rewritten(rows)
    statistics = _write(out, chunks, rows)
    statistics["failed clips"] = len(opened.failures)
    write_json(out / "statistics.json", statistics)
    write_text(out / "README.md", dataset_card(statistics, opened.settings, load_calibration()))
    return statistics


def _claim(out: Path, store: Any, seed: int, figures: bool, rewrite: str | None) -> None:
    header = {
        "schema": BUILD_SCHEMA,
        "store": digest(sorted(store.rows)),
        "settings": store.settings,
        "seed": seed,
        "templates": TEMPLATES_VERSION,
        "figures": figures,
        "rewrite": rewrite,
    }
    path = claim_folder(out, HEADER) / HEADER
    if path.exists() and read_json(path) != header:
        raise UsageError(f"{out}: holds a build of another store, seed or version; choose a new --out.")
    if not path.exists():
        write_json(path, header)


def plan_chunks(store: Any, out: Path) -> list[Chunk]:
    """The store's clips in order of id, CHUNK at a time; a chunk's key names what its facts depend on."""
    version = digest([CALIBRATION_FILE.read_text(), TEMPLATES_VERSION])
    rows = list(store.rows.items())
    chunks = []
    for number, start in enumerate(range(0, len(rows), CHUNK)):
        part = rows[start : start + CHUNK]
        key = digest([version, [row.model_dump(mode="json", by_alias=True) for _, row in part]])
        target = out / "facts" / f"{number:05d}.jsonl"
        chunks.append(Chunk(store.root, tuple(clip_id for clip_id, _ in part), target, key))
    return chunks


READ = ("faces", "landmarks", "depth")
"""What facts are drawn from, of the optional arrays of a clip."""


def measure_chunk(chunk: Chunk) -> int:
    """Judge the clips of one chunk and keep their facts; returns how many were new."""

    if _is_done(chunk):
        return 0
    store = Store(chunk.store)
    facts = "".join(
        json_line(facts_of(store.row(clip_id).clip, store.motion(clip_id, fields=READ)))
        for clip_id in chunk.clip_ids
    )
    write_text(chunk.target, json_line({"key": chunk.key, "sha256": _sha256(facts)}) + facts)
    return len(chunk.clip_ids)


def _is_done(chunk: Chunk) -> bool:
    """Whether the chunk's facts are there, made from the same clips and unharmed."""
    if not chunk.target.is_file():
        return False
    head, _, facts = chunk.target.read_bytes().partition(b"\n")
    wanted = json_line({"key": chunk.key, "sha256": hashlib.sha256(facts).hexdigest()})
    return head + b"\n" == wanted.encode()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def all_facts(chunks: list[Chunk]) -> Iterator[ClipFacts]:
    """The facts of every clip, streamed in order of clip id."""
    for chunk in chunks:
        for number, row in enumerate(read_jsonl(chunk.target)):
            if number:
                yield ClipFacts.model_validate(row)


def _instructions(chunks: list[Chunk], plan: Plan, seed: int, figures: bool) -> Iterator[Instruction]:
    for facts in all_facts(chunks):
        yield from clip_instructions(facts if figures else facts.without_figures(), plan, seed)


def _write(out: Path, chunks: list[Chunk], rows: Iterator[Instruction]) -> dict[str, Any]:
    tasks: Counter[str] = Counter()
    subjects: Counter[str] = Counter()

    def counted() -> Iterator[Instruction]:
        for row in rows:
            tasks[row.task] += 1
            yield row

    total = write_jsonl(out / INSTRUCTIONS, (_dumped(row) for row in counted()))
    constraint: dict[str, Counter[str]] = {}
    coding: Counter[str] = Counter()
    corpora: Counter[str] = Counter()

    def rejections() -> Iterator[dict[str, Any]]:
        for facts in all_facts(chunks):
            corpora[facts.corpus] += 1
            subjects[facts.subject] += 1
            coding["clips with AU labels" if facts.labels is not None else "clips without AU labels"] += 1
            for row in facts.evidence:
                constraint.setdefault(row.status, Counter())[f"AU{row.au}" if row.au else row.reason] += 1
                if row.status != "supported":
                    yield {"clip_id": facts.clip_id, "subject": facts.subject} | row.model_dump(mode="json")

    write_jsonl(out / REJECTIONS, rejections())
    return {
        "instructions": total,
        "tasks": dict(sorted(tasks.items())),
        "clips": sum(corpora.values()),
        "subjects": len(subjects),
        "corpora": dict(sorted(corpora.items())),
        **coding,
        "constraint": {status: dict(sorted(found.items())) for status, found in sorted(constraint.items())},
    }


def _dumped(row: Instruction) -> dict[str, Any]:
    return row.model_dump(mode="json", by_alias=True)


def read_instructions(folder: Path) -> Iterator[Instruction]:
    """The instructions of a build (its folder, or the .jsonl file), streamed.

    Raises: DeftError naming file and fault.
    """
    path = Path(folder)
    path = path / INSTRUCTIONS if path.is_dir() else path
    yield from read_rows(Instruction, path, schema=SCHEMA, mend="build it again")
