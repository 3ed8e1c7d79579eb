"""``deft corpus``: what corpora can be read, and whether one on disk is as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deft_llm.cli._options import AsJson
from deft_llm.cli._words import counted

corpus_app = typer.Typer(no_args_is_help=True, help="Corpora: list the known ones, check one on disk.")


@corpus_app.command("list")
def list_corpora(
    as_json: AsJson = False,
) -> None:
    """List the corpora that can be read, and where their files must be.

    Example: deft corpus list
    """
    from deft_llm.corpora import entries

    known = entries()
    if as_json:
        typer.echo(json.dumps({name: entry.about for name, entry in known.items()}))
        return
    width = max(map(len, known))
    for name, entry in known.items():
        typer.echo(f"{name:<{width}}  {entry.about}")


@corpus_app.command("check")
def check_corpus(
    name: Annotated[str, typer.Argument(help="Corpus: see 'deft corpus list'.")],
    root: Annotated[Path, typer.Argument(help="Folder that holds the corpus.")],
    annotations: Annotated[Path | None, typer.Option(help="Annotation table of the corpus' owner.")] = None,
    corrections: Annotated[list[Path] | None, typer.Option(help="Your own correction file(s).")] = None,
    as_json: AsJson = False,
) -> None:
    """Check frames, indices, AUs and labels of a corpus; exit code 1 where something is wrong.

    Example: deft corpus check samm /data/SAMM
    """
    from deft_llm.corpora import load
    from deft_llm.corpora.check import check

    result = check(load(name, root, annotations, corrections or ()))
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    else:
        _print(result, root)
    if not result.ok:
        raise typer.Exit(1)


@corpus_app.command("from-codings")
def from_codings(
    codings: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A coder's folder: codings/NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Table of clips (.csv) or correction file (.yaml).")],
    subjects: Annotated[
        Path | None, typer.Option(help="CSV with columns clip and subject (default: the clip's folder).")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Write corrections of this corpus' table instead of a table of clips.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="With --corpus: folder that holds the corpus.")] = None,
    clips: Annotated[
        Path | None, typer.Option(help="With --corpus: folder that was coded (default: --root).")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Frame rate, where the codings do not state it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a coder's events into data: a table of clips for `deft prepare folder`, or a correction file for
    `--corrections`. The coder's name goes with each.

    Example: deft corpus from-codings clips/codings/anna --out clips/anna.csv
    """
    from deft_llm.codings.as_data import read_subjects, write_clips, write_overlay
    from deft_llm.codings.formats import clock_of
    from deft_llm.codings.pairs import coding_files
    from deft_llm.codings.tiers import unread_line
    from deft_llm.errors import UsageError
    from deft_llm.files import check_outputs

    own = coding_files(codings).values()
    check_outputs({"--out": out}, own if subjects is None else [*own, subjects])
    clock = clock_of(None, fps)
    if corpus is None:
        if root is not None or clips is not None:
            raise UsageError("--root, --clips: belong to --corpus; give the corpus' name too.")
        table = write_clips(codings, out, None if subjects is None else read_subjects(subjects), clock)
        if as_json:
            typer.echo(json.dumps({"out": str(out), **table._asdict()}))
            return
        typer.echo(f"{out}: {counted(table.clips, 'clip')}")
        if table.unread:
            typer.echo(f"  {unread_line(table.unread)}")
        return
    if root is None or subjects is not None:
        raise UsageError("--corpus needs --root and takes no --subjects: the corpus names its people.")
    written = write_overlay(codings, clips or root, corpus, root, out, clock)
    if as_json:
        found = {"corrections": len(written.corrections), "equal": written.equal, "unseen": written.unseen}
        typer.echo(json.dumps({"out": str(out), **found, "unread": written.unread}))
        return
    typer.echo(
        f"{out}: {counted(len(written.corrections), 'correction')}; as the table says: "
        f"{counted(len(written.equal), 'clip')}"
    )
    for clip in written.unseen:
        typer.echo(f"  not corrected: {clip}: nothing was coded where the table has a movement")
    if written.unread:
        typer.echo(f"  {unread_line(written.unread)}")


def _print(result: Any, root: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from deft_llm.errors import printable

    console = Console(width=None if Console().is_terminal else 200)

    def say(text: str) -> None:
        console.print(Text(printable(text)), soft_wrap=True)

    facts = result.to_dict()
    say(
        f"{facts['corpus']}: {counted(facts['clips'], 'clip')}, "
        f"{counted(facts['subjects'], 'subject')}, {facts['with_aus']} "
        f"with AUs, {facts['with_annotated_apex']} with an annotated apex"
    )
    say(f"annotation: {facts['coding'] or 'none'}")
    for setting, found in result.settings.items():
        counts = ", ".join(f"{name} {count}" for name, count in found.counts.items()) or "none"
        kept = f"{counted(len(found.kept), 'clip')} of {counted(len(found.subjects), 'subject')}"
        say(f"  {setting}: {kept} ({counts})")
        for reason, count in found.reasons.items():
            say(f"      left out: {count} - {reason}")
    for title, faults in (("fault", result.faults), ("note", result.notes)):
        if faults:
            table = Table(
                "what", "clip or file", "message", title=counted(len(faults), title), title_justify="left"
            )
            for fault in faults:
                table.add_row(fault.kind, Text(fault.clip_id or fault.path or ""), Text(fault.message))
            console.print(table)
    say("No faults." if result.ok else f"{root}: {counted(len(result.faults), 'fault')}.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(corpus_app, name="corpus")
