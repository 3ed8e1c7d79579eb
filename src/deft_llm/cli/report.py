"""``deft report``: compare runs in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders or predictions.jsonl.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: RUN/report of the first).")
    ] = None,
) -> None:
    """Compare runs: tables, intervals, paired tests, figures, as HTML, Markdown and CSV.

    Example: deft report runs/svm runs/ststnet runs/deft --out comparison
    """
    from deft_llm.evaluation.report import write_report

    first = runs[0] if runs[0].is_dir() else runs[0].parent
    written = write_report(runs, out or first / "report")
    typer.echo(f"written: {written[0]} (and {len(written) - 1} tables beside it)")
