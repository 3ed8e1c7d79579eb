"""Making a whole synthetic video corpus: workers, resuming, tables, records and the dataset card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import read_model, read_object, write_json, write_jsonl, write_text
from deft_llm.jobs import check_pool, run_jobs
from deft_llm.records import Clip
from deft_llm.synth.core.settings import ClipSpec, VideoSettings, clip_specs
from deft_llm.synth.video.card import card_text, summarise
from deft_llm.synth.video.layouts import LAYOUTS
from deft_llm.synth.video.production import Studio, is_made, make_clip, record_path
from deft_llm.synth.video.sequences import make_film

CHUNK = 6  # clips of one subject that a worker makes in a row: painting a subject takes about a second

Progress = Callable[[int, int], None]


def make_corpus(
    out: Path, settings: VideoSettings, *, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Make the corpus below ``out``; finished clips are kept, so a stopped run goes on where it was.

    The bytes depend on ``settings`` only, never on ``workers``. Returns the summary that
    the card prints. Raises: UsageError for impossible settings or a folder that holds
    another corpus; DeftError on a full disk.
    """
    settings.check()
    check_pool(workers)
    out = Path(out)
    _claim(out, settings)
    specs = clip_specs(settings)
    todo = [spec for spec in specs if not is_made(out, spec)]
    _check_space(out, todo, settings)
    done = len(specs) - len(todo)
    report = progress or (lambda now, total: None)
    report(done, len(specs))
    tasks = [(str(out), settings.model_dump(), chunk) for chunk in _chunks(todo)]
    for count in run_jobs(_work, tasks, workers=workers, ordered=False, setup=_studio):
        done += count
        report(done, len(specs))
    rows = [(spec, read_model(Clip, record_path(out, spec))) for spec in specs]

    LAYOUTS[settings.layout].table(out, rows)
    write_jsonl(out / "records.jsonl", [clip.model_dump(mode="json", by_alias=True) for _, clip in rows])
    summary = summarise([clip for _, clip in rows], settings, out)
    write_json(out / "summary.json", summary)
    write_text(out / "card.md", card_text(summary, settings))
    return summary


def _claim(out: Path, settings: VideoSettings) -> None:
    """Mark ``out`` as the home of this corpus, or refuse a folder that holds something else."""
    marker = out / "corpus.json"
    wanted = settings.model_dump(mode="json")
    if marker.exists():
        present = read_object(marker, mend="choose another folder").get("settings")
        if present != wanted:
            different = [key for key in wanted if (present or {}).get(key) != wanted[key]]
            raise UsageError(
                f"{out}: holds a corpus made with other options ({', '.join(different)}); "
                "choose another folder."
            )
        return
    if out.exists() and (not out.is_dir() or any(not item.name.startswith(".") for item in out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; choose a new one.")
    write_json(marker, {"schema": 1, "corpus": "synthetic", "settings": wanted})


def _check_space(out: Path, todo: list[ClipSpec], settings: VideoSettings) -> None:
    """Refuse to start where the disk cannot hold the corpus."""
    seconds = {"long video": 10.0, "sequence": settings.seconds}
    frames = sum(seconds.get(spec.kind, 0.36) * spec.fps for spec in todo)
    coded = settings.format == "video" or settings.film == "sequences"
    need = frames * settings.size**2 * (0.15 if coded else 1.7) + len(todo) * settings.size**2 * 4
    free = shutil.disk_usage(out).free
    if need > free:
        raise DeftError(
            f"{out}: about {need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
            "free space, or ask for fewer clips, a smaller --size or --format video."
        )


def _chunks(todo: list[ClipSpec]) -> list[list[ClipSpec]]:
    """Clips to make, grouped by subject."""
    by_subject: dict[int, list[ClipSpec]] = {}
    for spec in todo:
        by_subject.setdefault(spec.subject, []).append(spec)
    return [group[at : at + CHUNK] for group in by_subject.values() for at in range(0, len(group), CHUNK)]


def _work(studio: Any, task: tuple[str, dict[str, Any], list[ClipSpec]]) -> int:
    """Make the clips or films of a chunk; returns their number."""
    out, options, chunk = task
    settings = VideoSettings(**options)
    for spec in chunk:
        (make_film if settings.film == "sequences" else make_clip)(studio, spec, settings, Path(out))
    return len(chunk)


def _studio() -> Any:
    return Studio()
