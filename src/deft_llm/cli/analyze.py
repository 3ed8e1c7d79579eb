"""``deft analyze``: a face video in, what moved and what coders would call it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def analyze(
    video: Annotated[Path, typer.Argument(help="Video file, or folder of images.")],
    onset: Annotated[int | None, typer.Option(help="First frame of the movement (from 0).")] = None,
    apex: Annotated[int | None, typer.Option(help="Its strongest frame.")] = None,
    offset: Annotated[int | None, typer.Option(help="Its last frame.")] = None,
    method: Annotated[str | None, typer.Option(help="deft, rules or flow2text.")] = None,
    question: Annotated[
        str | None,
        typer.Option(help='For methods that read text; "what if the brow had not moved?" for all of them.'),
    ] = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="The video is a mirror image (selfie).")
    ] = False,
    fps: Annotated[float | None, typer.Option(min=1.0, help="Frame rate of a folder of images.")] = None,
    neutral: Annotated[
        str | None, typer.Option(help="Where the face is neutral: frames (10-24) or seconds (0.5s-1.2s).")
    ] = None,
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
    table: Annotated[
        Path | None, typer.Option(help="One row per movement and Action Unit (.csv or .parquet).")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(help="One row per frame and face: AU intensities, pose, lids (.csv, .parquet)."),
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="The whole clip with AU names, landmarks and curves (.mp4).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json and report.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON only.")] = False,
) -> None:
    """Spot the movements of a face, measure them and name their Action Units and class.

    Example: deft analyze interview.mp4 --out analysis
    """
    from deft_llm.cli._progress import bar
    from deft_llm.explain.analyzer import Analyzer
    from deft_llm.explain.tables import check_table
    from deft_llm.explain.video_overlay import check_overlay

    for path in (table, frames):
        check_table(path)
    check_overlay(overlay)
    options: dict[str, Any] = {"answers": False} if no_text and method in (None, "deft") else {}
    analyzer = Analyzer.from_pretrained("rules" if fast and method is None else method, **options)
    folder = writable_folder(
        out if out is not None else Path(f"{video.stem}-analysis"), made=out is not None or not as_json
    )
    with bar(f"reading {video.name}") as update:
        analysis = analyzer.analyze(
            video, onset, apex, offset, question, mirrored, fps=fps, neutral=neutral, faces=faces,
            max_movements=max_movements, fast=fast,
            on_frame=lambda done, total: update(done, total or 0),
        )  # fmt: skip
    if attribution:
        analysis.attribute()
    if folder is not None:
        save(analysis, folder)
    write_extras(analysis, video, table, frames, overlay, fps)
    if as_json:
        typer.echo(json.dumps(analysis.to_dict(), ensure_ascii=False, allow_nan=False))
        return
    typer.echo(analysis.summary())
    typer.echo(f"\nReport: {folder / 'report.html'}" if folder else "")


def writable_folder(folder: Path, *, made: bool = True) -> Path | None:
    """The output folder, made and proven writable before the work starts; None where none is asked for.

    Raises: DeftError where it cannot be written.
    """
    from deft_llm.errors import DeftError

    if not made:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".deft-write"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise DeftError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --out."
        ) from error
    return folder


def save(analysis, folder: Path) -> None:
    """Write result.json and report.html."""
    from deft_llm.explain.report import write_report
    from deft_llm.files import write_json

    write_json(folder / "result.json", analysis.to_dict())
    write_report(folder / "report.html", analysis)


def write_extras(
    analysis, video: Path, table: Path | None, frames: Path | None, overlay: Path | None, fps: float | None
) -> None:
    """Write the tables and the overlay that were asked for."""
    from deft_llm.explain.tables import write_table
    from deft_llm.explain.video_overlay import write_overlay

    if table is not None:
        write_table(table, analysis.to_dataframe())
    if frames is not None:
        write_table(frames, analysis.frames_table())
    if overlay is not None:
        write_overlay(overlay, video, analysis, fps=fps)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(analyze)
