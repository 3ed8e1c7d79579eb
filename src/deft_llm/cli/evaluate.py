"""``deft evaluate``: score predictions again, from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deft_llm.cli._options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN|predictions.jsonl", help="Run folder or predictions.")],
    probes: Annotated[
        Path | None, typer.Option("--probes", help="features.npz of 'deft benchmark --features'.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run; a missing or doubled row is an error. --probes: what features tell on unseen subjects.

    Example: deft evaluate runs/svm --json
    """
    from deft_llm.evaluation.rows import read_run
    from deft_llm.evaluation.score import score_run
    from deft_llm.evaluation.words import metrics_lines

    read = read_run(run)
    metrics = score_run(read)
    if probes is not None:
        from deft_llm.evaluation.probe_run import probe_run

        metrics["probes"] = probe_run(read, probes)
    if as_json:
        import json

        typer.echo(json.dumps(metrics, indent=2))
    else:
        typer.echo("\n".join(metrics_lines(metrics)))
