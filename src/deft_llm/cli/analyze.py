"""``deft analyze``: face videos in, what moved and what coders would call it out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deft_llm.cli._options import AsJson, Checkpoint, given, refuse

if TYPE_CHECKING:
    from deft_llm.explain.batch import Batch
    from deft_llm.explain.inputs import VideoInput
    from deft_llm.explain.outputs import Extras, Options

NAMED = 5  # failed videos that the last sentence names
FRAMES_OF_ONE = ("onset", "apex", "offset")

# What is read, and how.
Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="VIDEO",
        help="Videos, folders of images, folders of videos, lists of videos (.csv, .xlsx; column video, "
        "and where wanted person, onset, apex, offset, neutral, fps, mirrored).",
    ),
]
Question = Annotated[
    str | None,
    typer.Option(help='For methods that read text; "what if the brow had not moved?" for all of them.'),
]
FrameRate = Annotated[
    float | None,
    typer.Option(min=1.0, help="Frame rate of a folder of images, or in the place of a video's own times."),
]
NeutralFrames = Annotated[
    str | None,
    typer.Option(
        help="Where the face is neutral: frames (10-24) or seconds (0.5s-1.2s); of every face seen there."
    ),
]
# What is written.
TableFile = Annotated[
    Path | None, typer.Option(help="One row per movement and Action Unit of all videos (.csv or .parquet).")
]
FramesFile = Annotated[
    Path | None, typer.Option(help="One row per frame and face: AU intensities, pose, lids (.csv, .parquet).")
]
OverlayFile = Annotated[
    Path | None, typer.Option(help="The whole clip with AU names, landmarks and curves (.mp4).")
]
ElanFile = Annotated[Path | None, typer.Option(help="What was found, as proposals in tiers for ELAN (.eaf).")]
ResultFolder = Annotated[
    Path | None,
    typer.Option(help="Folder for result.json and report.html; of several videos for all of theirs."),
]


def analyze(
    context: typer.Context,
    sources: Sources,
    onset: Annotated[int | None, typer.Option(help="First frame of the movement (from 0).")] = None,
    apex: Annotated[int | None, typer.Option(help="Its strongest frame.")] = None,
    offset: Annotated[int | None, typer.Option(help="Its last frame.")] = None,
    method: Annotated[str | None, typer.Option(help="deft, rules or flow2text.")] = None,
    checkpoint: Checkpoint = None,
    question: Question = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="The video is a mirror image (selfie).")
    ] = False,
    fps: FrameRate = None,
    neutral: NeutralFrames = None,
    faces: Annotated[int, typer.Option(min=1, max=16, help="How many faces are followed and read.")] = 1,
    max_movements: Annotated[
        int | None, typer.Option(min=0, help="Read only so many movements, the strongest; default: all.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Shape and appearance only: no optical flow, no class.")
    ] = False,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="deft's heads without its language model: no generated text.")
    ] = False,
    attribution: Annotated[
        bool, typer.Option(help="Measure what deft's class and AUs rest on (0.5 s a movement).")
    ] = True,
    table: TableFile = None,
    frames: FramesFile = None,
    overlay: OverlayFile = None,
    elan: ElanFile = None,
    out: ResultFolder = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, for several videos.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster; for several videos.")] = "local",
    as_json: AsJson = False,
) -> None:
    """Spot the movements of faces, measure them and name their Action Units and class.

    Several videos are analysed each for itself, with an index page of all reports; stopped, it goes on where
    it was. People who are in several clips of a list (column person) share one neutral face.

    Example: deft analyze interview.mp4 --out analysis

    Example: deft analyze videos/ list.csv --table all.csv --workers 4

    Example: deft analyze list.csv --table all.csv --workers 40 --engine ray
    """
    from deft_llm.errors import UsageError
    from deft_llm.explain.inputs import collect
    from deft_llm.explain.outputs import Extras, Options, refuse_other_video
    from deft_llm.explain.tables import check_table
    from deft_llm.files import check_outputs

    if fast:
        refuse(context, ("max_movements",), "with --fast, which lists all movements and measures none")
        refuse(context, ("checkpoint",), "with --fast, which reads shape and appearance alone")
    if method not in (None, "deft"):
        refuse(context, ("checkpoint",), f"with --method {method}, which has none")
    check_table(table)
    extras = Extras(frames, overlay, elan)
    options = Options(method, not no_text, attribution, question, faces, max_movements, fast,
                      None if checkpoint is None else str(checkpoint.absolute()))  # fmt: skip
    leave_out = out if out is not None else _default_folder(sources)
    inputs = collect(sources, neutral=neutral, fps=fps, mirrored=mirrored, leave_out=leave_out)
    extras.check(names_only=inputs.several)
    written = {"--table": table} | ({} if inputs.several else extras.paths())
    check_outputs(written, [*sources, *(video.path for video in inputs.videos)])
    if inputs.several:
        if frames_of_one := given(context, FRAMES_OF_ONE):
            raise UsageError(
                f"{', '.join(frames_of_one)}: means one video of several; give frames in a list of videos "
                "(columns onset, apex, offset), a row each."
            )
        _many(inputs.videos, leave_out, options, extras, table, workers, engine, as_json)
        return
    refuse(context, ("workers", "engine"), "with one video")
    video = replace(inputs.videos[0], onset=onset, apex=apex, offset=offset)
    folder = None if as_json and out is None else leave_out
    if folder is not None and out is None:
        refuse_other_video(folder, video.path)
    _one(video, folder, options, extras, table, as_json)


def _default_folder(sources: list[Path]) -> Path:
    """Where results go without --out: beside the user, named after the only input."""
    return Path("analysis" if len(sources) > 1 else f"{sources[0].absolute().stem}-analysis")


def _one(
    video: VideoInput, folder: Path | None, options: Options, extras: Extras, table: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Analyse one video, write what was asked for, print what was found."""
    import shutil

    from deft_llm.cli._progress import bar
    from deft_llm.explain.outputs import (
        READING,
        REPORT,
        RESULT,
        analyze_video,
        keep_edited,
        rows_of,
        writable_folder,
        write_outputs,
    )
    from deft_llm.explain.tables import tidy, write_table

    analyzer = options.analyzer()
    if folder is not None:
        writable_folder(folder, RESULT)
    kept = None if folder is None else folder / READING
    with bar(f"reading {video.label}") as update:
        analysis = analyze_video(
            analyzer, video, options, on_frame=lambda done, total: update(done, total or 0), kept=kept
        )
    if extras.elan is not None and (edited := keep_edited(extras.elan)) is not None:
        _say_kept([edited])
    write_outputs(analysis, video, folder, extras)
    if table is not None:
        write_table(table, [tidy(rows_of(analysis, video))])
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    if as_json:
        typer.echo(json.dumps(analysis.to_dict(), ensure_ascii=False, allow_nan=False))
        return
    typer.echo(analysis.summary())
    typer.echo(f"\nReport: {folder / REPORT}" if folder else "")


def _many(
    videos: list[VideoInput], out: Path, options: Options, extras: Extras, table: Path | None, workers: int,
    engine: str, as_json: bool,
) -> None:  # fmt: skip
    """Analyse several videos, write table and index, say which failed.

    Raises: DeftError at the end where some failed.
    """
    from deft_llm.cli._progress import bar
    from deft_llm.errors import DeftError
    from deft_llm.explain.batch import INDEX, analyze_videos
    from deft_llm.explain.outputs import writable_folder
    from deft_llm.explain.tables import write_table

    writable_folder(out, INDEX)
    batch = analyze_videos(videos, out, options, extras=extras, workers=workers, engine=engine, bar=bar)
    _say_kept(batch.kept)
    if table is not None:
        write_table(table, [batch.to_dataframe()])
    typer.echo(json.dumps(batch.to_dict(), ensure_ascii=False) if as_json else _summary(batch, out, table))
    if batch.failed:
        names = ", ".join(record.file for record in batch.failed[:NAMED])
        more = len(batch.failed) - NAMED
        raise DeftError(
            f"{len(batch.failed)} of {len(batch.records)} videos failed: {names}"
            f"{f' and {more} more' if more > 0 else ''}; the others are done, {out / 'index.html'} says why."
        )


def _say_kept(edited: list[Path]) -> None:
    """Name ELAN's files that were not as deft had left them, and were renamed."""
    for path in edited:
        typer.echo(f"{path}: keeps the ELAN file that was there, for it is not as deft wrote it.", err=True)


def _summary(batch: Batch, out: Path, table: Path | None) -> str:
    """What a terminal shows of several videos."""
    from deft_llm.explain.batch import INDEX

    done = len(batch.records) - len(batch.failed)
    moved = sum(record.movements for record in batch.records)
    lines = [
        f"{done} of {len(batch.records)} videos analysed ({batch.reused} were there), {moved} movements."
    ]
    lines += [f"failed: {record.file}: {record.why}" for record in batch.failed]
    lines += [f"Table: {table}"] * (table is not None)
    return "\n".join([*lines, f"Reports: {out / INDEX}"])


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(analyze)
