"""Many videos: analysed by a pool of workers, resumable, each for itself, so that one bad file stops none.

Every video has a folder of its own with result, report and ``rows.json``, which is written last: what the
table and the index take of it, under the key of what it was made from (the file's bytes, the options, the
person's neutral, the version). A video whose record bears the key that it would get today is not done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from deft_llm.errors import DeftError, UsageError
from deft_llm.explain.analyzer import Analyzer, default_method, writes_text
from deft_llm.explain.inputs import RECORD, Bar, VideoInput
from deft_llm.explain.outputs import (
    READING,
    REPORT,
    RESULT,
    Extras,
    Options,
    analyze_video,
    keep_edited,
    rows_of,
    write_outputs,
)
from deft_llm.explain.people import people_of, shared_neutrals
from deft_llm.explain.result import RESULT_SCHEMA
from deft_llm.explain.tables import tidy
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import image_files
from deft_llm.files import (
    claim_folder,
    digest,
    is_whole,
    read_model,
    seal,
    seal_file,
    sha256_of,
    write_json,
    write_text,
)
from deft_llm.jobs import check_pool, run_jobs, single_thread
from deft_llm.model.checkpoint import CONFIG, SHIPPED
from deft_llm.prepare.work import is_passing, reason_of
from deft_llm.state.neutral import Neutral
from deft_llm.version import __version__

if TYPE_CHECKING:
    import pandas as pd

RECORD_SCHEMA = 1
VIDEOS, INDEX, LOCK = "videos", "index.html", ".lock"
UNREADABLE = "unreadable"


class VideoRecord(BaseModel):
    """What is kept of one video: ``rows`` of the table, ``files`` written beside it, or the ``error``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: int = RECORD_SCHEMA
    key: str
    file: str
    person: str | None = None
    movements: int = 0
    error: str | None = None
    files: list[str] = []
    rows: list[dict[str, Any]] = []

    @property
    def why(self) -> str:
        """The error without the video's own name before it."""
        return (self.error or "").removeprefix(f"{self.file}: ")


@dataclass
class Batch:
    """A run over many videos: their records in the order of the inputs, how many were there already, and
    ELAN's files of the run before that a coder had changed, as they were renamed."""

    out: Path
    videos: list[VideoInput]
    records: list[VideoRecord]
    reused: int
    kept: list[Path] = field(default_factory=list)

    @property
    def failed(self) -> list[VideoRecord]:
        """Those that could not be analysed."""
        return [record for record in self.records if record.error is not None]

    def to_dataframe(self) -> pd.DataFrame:
        """The table of all videos (``tables.COLUMNS``); a video that failed keeps a row with its error."""
        return tidy(row for record in self.records for row in record.rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON of the command."""
        return {
            "out": str(self.out), "index": str(self.out / INDEX), "videos": len(self.records),
            "failed": len(self.failed), "reused": self.reused,
            "kept": [str(path) for path in self.kept],
            "results": [
                {"file": record.file, "person": record.person, "movements": record.movements,
                 "error": record.error, "folder": str(self.out / VIDEOS / video.name)}
                for video, record in zip(self.videos, self.records, strict=True)
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class _Job:
    """One video to be analysed; picklable, self-contained."""

    index: int
    video: VideoInput
    folder: Path
    key: str
    extras: Extras
    neutral: Neutral | str | None = field(default=None, repr=False)


class _Worker:
    """What a worker keeps between videos: the Analyzer, built for the first one."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @cached_property
    def analyzer(self) -> Analyzer:
        """It, with its landmarker loaded."""
        default_landmarker()
        return self.options.analyzer()


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    """A ``Bar`` that shows nothing."""
    yield lambda done, total: None


def analyze_videos(
    videos: Sequence[VideoInput], out: Path, options: Options | None = None, *,
    extras: Extras | None = None, workers: int = 1, engine: str = "local", bar: Bar = silent,
) -> Batch:  # fmt: skip
    """Analyse ``videos`` (of ``collect``) into the folder ``out``: a folder per video, and an index page.

    ``extras``: file names, written into each video's folder. People who are in several clips share one
    neutral. A video that fails keeps its reason; a stopped run goes on where it was. ELAN's file that a
    coder has changed is kept under another name where its video is done again.
    Raises: UsageError for options that make no sense and an ``out`` of another product; DeftError where
    ``out`` cannot be written or is in use, or a worker dies.
    """
    from filelock import FileLock, Timeout

    options, extras = options or Options(), extras or Extras()
    check_pool(workers, engine)
    extras.check(names_only=True)
    if options.faces > 1 and people_of(videos):
        raise UsageError("--faces: a list with persons says who the one face of a clip is; leave it out.")
    out = claim_folder(Path(out).absolute(), INDEX)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DeftError(f"{out}: another 'deft analyze' writes into it; wait for its end.") from error
    try:
        videos = [replace(video, path=video.path.absolute()) for video in videos]
        contents = list(_contents(videos, bar))
        with single_thread():  # one worker counts as several do
            neutrals = shared_neutrals(videos, contents, out, workers=workers, engine=engine, bar=bar)
            jobs = list(_jobs(videos, contents, neutrals, out, options, extras))
            records = {job.index: found for job in jobs if (found := _there(job)) is not None}
            left = [job for job in jobs if job.index not in records]
            reused = len(records)
            kept = [path for job in left for path in _kept(job)]
            records |= _run(left, options, workers, engine, bar)
        batch = Batch(out, list(videos), [records[index] for index in range(len(videos))], reused, kept)
        write_text(out / INDEX, render_index(batch))
        return batch
    finally:
        lock.release()


def _contents(videos: Sequence[VideoInput], bar: Bar) -> Iterator[str]:
    """A hash of each video's bytes, or ``UNREADABLE``."""
    with bar("looking at the files") as update:
        for done, video in enumerate(videos, 1):
            yield _content(video.path)
            update(done, len(videos))


def _content(path: Path) -> str:
    try:
        if path.is_dir():
            return digest([[name, sha256_of(path / name)] for name in image_files(path)], 64)
        return sha256_of(path) if path.is_file() else UNREADABLE
    except (OSError, DeftError):
        return UNREADABLE


def _jobs(
    videos: Sequence[VideoInput], contents: Sequence[str], neutrals: dict[int, Neutral | str], out: Path,
    options: Options, extras: Extras,
) -> Iterator[_Job]:  # fmt: skip
    made_by = _made_by(options)
    for index, (video, content) in enumerate(zip(videos, contents, strict=True)):
        neutral = neutrals.get(index)
        path = str(video.path) if extras.elan else None  # ELAN's file names it
        of_video = asdict(video) | {"path": path}
        wanted = {option: str(path) for option, path in extras.paths().items()}
        rest = neutral.to_dict() if isinstance(neutral, Neutral) else neutral
        key = digest([made_by, asdict(options), wanted, of_video, content, rest], 32)
        folder = out / VIDEOS / video.name
        yield _Job(index, video, folder, key, extras.within(folder), neutral)


@lru_cache(maxsize=4)
def _made_by(options: Options) -> list[Any]:
    """What decides on a result besides the video: versions, the method, its checkpoint, whether it writes."""
    method = options.name or default_method()
    checkpoint = None
    if method == "deft":
        folder = Path(options.checkpoint or SHIPPED)
        checkpoint = [sha256_of(path) for path in sorted(folder.glob("*.safetensors")) + [folder / CONFIG]]
        checkpoint.append(str(options.text and writes_text(options.checkpoint)))
    return [__version__, RECORD_SCHEMA, RESULT_SCHEMA, method, checkpoint]


def _there(job: _Job) -> VideoRecord | None:
    """The record of a video that is done, None where it is to be done."""
    path = job.folder / RECORD
    if not path.is_file():
        return None
    try:
        record = read_model(VideoRecord, path)
    except DeftError:
        return None
    whole = record.key == job.key and is_whole(path, *(job.folder / name for name in record.files))
    return record if whole else None


def _kept(job: _Job) -> list[Path]:
    """ELAN's files of a video to be done again that a coder has changed, renamed."""
    names = {name for name in _written(job.folder) if name.lower().endswith(".eaf")}
    names |= set() if job.extras.elan is None else {job.extras.elan.name}
    return [path for name in sorted(names) if (path := keep_edited(job.folder / name)) is not None]


def _run(
    jobs: Sequence[_Job], options: Options, workers: int, engine: str, bar: Bar
) -> dict[int, VideoRecord]:
    """Index of a video -> its new record."""
    found: dict[int, VideoRecord] = {}
    if not jobs:
        return found
    with bar(f"analysing {len(jobs)} videos") as update:
        update(0, len(jobs))
        for index, record in run_jobs(_analyze, jobs, workers=workers, engine=engine, ordered=False,
                                      setup=partial(_Worker, options), lost=_lost):  # fmt: skip
            found[index] = record
            update(len(found), len(jobs))
    return found


def _lost(job: _Job) -> tuple[int, VideoRecord]:
    """The record of a video whose worker died over it; it is not kept: next time it is tried again."""
    return job.index, _failed(job, "the process that analysed it died (out of memory, or a broken file).")


def _failed(job: _Job, reason: str) -> VideoRecord:
    row = {"file": job.video.label, "person": job.video.person, "error": reason}
    return VideoRecord(key=job.key, file=job.video.label, person=job.video.person, error=reason, rows=[row])


def _analyze(worker: _Worker, job: _Job) -> tuple[int, VideoRecord]:
    """Analyse one video into its folder; its record is written last.

    Raises: DeftError for what is no fault of the video: no method, no weights, no folder to write to.
    """
    analyzer = worker.analyzer
    _kept(job)  # what was changed while this video waited
    _clear(job.folder)
    record = VideoRecord(key=job.key, file=job.video.label, person=job.video.person)
    try:
        if isinstance(job.neutral, str):
            raise DeftError(job.neutral)
        kept = job.folder / READING
        analysis = analyze_video(analyzer, job.video, worker.options, job.neutral, kept=kept)
        files = write_outputs(analysis, job.video, job.folder, job.extras, timed=False)
    except Exception as error:  # one video must not stop a night's run: its reason is kept
        record = _failed(job, reason_of(error, job.video.path.parent))
        for path in (job.folder / RESULT, job.folder / REPORT, *job.extras.paths().values()):
            _remove(path)
        if is_passing(error):  # the machine's fault: next time it is tried again
            return job.index, record
    else:
        record.rows, record.movements = rows_of(analysis, job.video), len(analysis.readings)
        record.files = sorted(path.name for path in files)
    shutil.rmtree(job.folder / READING, ignore_errors=True)
    path = job.folder / RECORD
    write_json(path, record.model_dump())
    seal(path, *(job.folder / name for name in record.files))
    return job.index, record


def _clear(folder: Path) -> None:
    """Remove what an earlier run left of this video: its files first, the record that names them last."""
    path = folder / RECORD
    if not path.is_file():
        return
    for name in _written(folder):
        _remove(folder / name)
    _remove(path)


def _remove(path: Path) -> None:
    """Remove a file and its seal."""
    path.unlink(missing_ok=True)
    seal_file(path).unlink(missing_ok=True)


def _written(folder: Path) -> list[str]:
    """Names of the files that an earlier run left of a video, by its record; none without one."""
    path = folder / RECORD
    try:
        return [Path(name).name for name in read_model(VideoRecord, path).files] if path.is_file() else []
    except DeftError:
        return []


def render_index(batch: Batch) -> str:
    """The page that lists all videos with their reports."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    loader = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined,
                         trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    rows = [
        {"record": record, "units": _units(record),
         "links": [(name, f"{VIDEOS}/{video.name}/{name}") for name in _shown(record)]}
        for video, record in zip(batch.videos, batch.records, strict=True)
    ]  # fmt: skip
    people = any(record.person for record in batch.records)
    return loader.get_template("index.html.j2").render(rows=rows, batch=batch, people=people,
                                                       version=__version__)  # fmt: skip


def _units(record: VideoRecord) -> str:
    """The Action Units that were seen, each once, as the table names them."""
    seen = {(row["au"], row["side"]) for row in record.rows if row.get("au") is not None}
    return ", ".join(f"AU{au}" + ("" if side == "both" else f" {side}") for au, side in sorted(seen))


def _shown(record: VideoRecord) -> list[str]:
    """Files of a video that the index links, its report first."""
    return sorted(record.files, key=lambda name: (name != REPORT, name))
