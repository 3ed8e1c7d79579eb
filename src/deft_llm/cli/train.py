"""``deft train``: experts, adapter, or both, from prepared stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="STORE... [a.b=c ...]", help="Prepared stores, then settings."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder; the same command resumes it.")] = ...,  # type: ignore[assignment]
    unimer: Annotated[Path | None, typer.Option("--unimer", help="Uni-MER folder (stages 2 and 3).")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML with settings.")] = None,
) -> None:
    """Train one model; settings are YAML or a.b=c words (docs/reference/settings.md).

    Example: deft train stores/synthetic --unimer unimer/ --out runs/mine stages=[1,2] stage1.steps=2000
    """
    from deft_llm.cli._progress import bar
    from deft_llm.config import load_config
    from deft_llm.training.run import train as run
    from deft_llm.training.start import TrainConfig

    words = inputs or []
    settings = load_config(TrainConfig, config, [word for word in words if "=" in word])
    stores = [Path(word) for word in words if "=" not in word]
    with bar("training") as update:
        folder = run(settings, stores, out, unimer, progress=lambda done, total, _: update(done, total))
    typer.echo(f"written: {folder}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
