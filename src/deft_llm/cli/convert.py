"""``deft convert``: codings from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deft_llm.cli._options import AsJson
from deft_llm.cli._words import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="CSV, .eaf, .boris, .TextGrid, Datavyu CSV or result.json.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; its suffix says the format.")],
    to: Annotated[
        str | None, typer.Option("--to", help="Format of OUT: csv, elan, boris, textgrid or datavyu.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Frame rate, where IN does not state it.")
    ] = None,
    media: Annotated[
        Path | None, typer.Option("--media", help="The video: its frame times are used and OUT links it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a coding (events with AU, side, phase, onset, apex, offset) in another format.

    Example: deft convert coder1.eaf coder1.csv --fps 25
    """
    import json

    from deft_llm.codings.formats import FORMATS, clock_of, format_of, read_coding, write_coding
    from deft_llm.codings.tiers import unread_line
    from deft_llm.files import check_outputs

    check_outputs({"OUT": target}, [source] if media is None else [source, media])
    name = format_of(target, to)
    coding = read_coding(source, clock_of(media, fps))
    if media is not None:
        coding = coding.model_copy(update={"media": str(media)})
    write_coding(coding, target, name)
    lacks = [what for what in FORMATS[name].lacks if what == "frame rate" or getattr(coding, what, False)]
    if as_json:
        found = {"out": str(target), "format": name, "events": len(coding.events), "lacks": lacks}
        typer.echo(json.dumps(found | {"unread": coding.unread}))
        return
    typer.echo(f"{target}: {counted(len(coding.events), 'event')}, {name}")
    if lacks:
        typer.echo(f"  {name} does not hold: {', '.join(lacks)}")
    if coding.unread:
        typer.echo(f"  {unread_line(coding.unread)}")
