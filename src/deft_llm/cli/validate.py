"""``deft validate``: the report that a licence holder may publish of their corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deft_llm.cli._options import AsJson, TrainingSeed, Workers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Corpus, as in 'deft corpus list'.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Its folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report; 'private' in it names clips.")],
    annotations: Annotated[Path | None, typer.Option("--annotations", help="AUs, emotions to join.")] = None,
    labels: Annotated[str, typer.Option("--labels", help="megc3 native 4 5 7 objective")] = "megc3",
    store: Annotated[Path | None, typer.Option("--store", help="Store (default: in the cache).")] = None,
    seed: TrainingSeed = 0,
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Zero-shot, LOSO, AU support and the label-motion gap, without faces, clips or subject ids.

    Example: deft validate casme2 CASME2/ --out validation
    """
    from deft_llm.benchmark.stores import open_stores, pairs_of
    from deft_llm.benchmark.validate import validate_corpus

    stores = open_stores(pairs_of([name, str(root)]), store=store, annotations=annotations, workers=workers)

    def say(text: str) -> None:
        if not as_json:
            typer.echo(f"running: {text}", err=True)

    report = validate_corpus(name, stores[0], out, labels=labels, seed=seed, workers=workers, say=say)
    if as_json:
        import json

        typer.echo(json.dumps(report, indent=2))
    else:
        typer.echo((out / "report.md").read_text(encoding="utf-8"))
        typer.echo(f"written: {out / 'report.md'} and report.json; do not publish {out / 'private'}")
