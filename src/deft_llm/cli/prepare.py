"""``deft prepare``: a corpus on disk -> a motion store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from deft_llm.cli._options import AsJson, Engine, Workers


def prepare(
    name: Annotated[str, typer.Argument(help="Corpus: see 'deft corpus list'.")],
    root: Annotated[Path, typer.Argument(help="Folder that holds the corpus.")],
    store: Annotated[Path, typer.Option("--store", help="Folder for the store.")],
    annotations: Annotated[Path | None, typer.Option(help="Annotation table of the corpus' owner.")] = None,
    corrections: Annotated[list[Path] | None, typer.Option(help="Your own correction file(s).")] = None,
    workers: Workers = 1,
    engine: Engine = "local",
    as_json: AsJson = False,
) -> None:
    """Measure faces and motion of all clips into a store; stopped, it goes on where it was.

    Example: deft prepare casme2 /data/CASME2 --store /data/stores/casme2 --workers 4
    """
    from deft_llm.corpora import load
    from deft_llm.prepare import prepare_corpus

    corpus = load(name, root, annotations, corrections or ())
    with _Bar(len(corpus.clips), quiet=as_json) as bar:
        report = prepare_corpus(corpus, store, workers=workers, engine=engine, progress=bar.advance)
    if as_json:
        typer.echo(json.dumps(report.to_dict() | {"ok": report.ok}))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


class _Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, clips: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._bar = Progress(console=console, disable=quiet or not console.is_terminal, transient=True)
        self._task = self._bar.add_task("preparing", total=clips)

    def advance(self, done, total: int) -> None:  # type: ignore[no-untyped-def]
        self._bar.advance(self._task, done.clips)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


def _print(report) -> None:  # type: ignore[no-untyped-def]
    typer.echo(
        f"{len(report.store)} of {report.clips} clips in {report.store.root} "
        f"({report.reused} were there, {report.seconds:.1f} s)."
    )
    for damage in report.damaged:
        typer.echo(f"damaged, made again: {damage}")
    if report.spotted:
        typer.echo(
            f"{report.spotted} clips have no annotated apex: it was found by spotting and is marked so."
        )
    for failure in report.failures:
        typer.echo(f"failed: {failure.clip_id}: {failure.reason}")
    for fault in report.lost:
        typer.echo(f"left out: {fault.clip_id or fault.path or ''} [{fault.kind}] {fault.message}")
    if (report.store.root / "contact_sheet.png").exists():
        typer.echo(f"Look at {report.store.root / 'contact_sheet.png'} to check faces and flow.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prepare")(prepare)


__all__ = ["prepare", "register"]
