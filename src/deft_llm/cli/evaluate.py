"""``deft evaluate``: score predictions again, from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN|predictions.jsonl", help="Run folder or predictions.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON only.")] = False,
) -> None:
    """Score a run; a missing or doubled row is an error.

    Example: deft evaluate runs/svm --json
    """
    from deft_llm.evaluation.rows import read_run
    from deft_llm.evaluation.score import score_run
    from deft_llm.evaluation.words import metrics_lines

    metrics = score_run(read_run(run))
    if as_json:
        import json

        typer.echo(json.dumps(metrics, indent=2))
    else:
        typer.echo("\n".join(metrics_lines(metrics)))
