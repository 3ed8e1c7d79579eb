"""``deft train``: experts and language part, from prepared stores."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="STORE... [a.b=c ...]", help="Prepared stores, then settings."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder; the same command resumes it.")] = ...,  # type: ignore[assignment]
    unimer: Annotated[
        list[Path] | None,
        typer.Option("--unimer", help="Uni-MER folders of these stores (default: text from their labels)."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Begin from: shipped (default), a run folder, a checkpoint, or null."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML with settings.")] = None,
) -> None:
    """Train the motion expert, the face experts, the language part, and all of them together.

    parts=[motion,faces,language,joint] chooses (default: all that the stores allow). What is not trained is
    kept from the checkpoint that the training begins from.

    Example: deft train stores/synthetic --unimer unimer/ --out runs/mine parts=[faces,language]
    """
    from deft_llm.cli._progress import bar
    from deft_llm.config import load_config
    from deft_llm.training.run import train as run
    from deft_llm.training.settings import TrainConfig

    words = inputs or []
    settings = load_config(TrainConfig, config, [word for word in words if "=" in word])
    if start is not None:
        settings = settings.model_copy(update={"start": None if start == "null" else start})
    stores = [Path(word) for word in words if "=" not in word]
    command = shlex.join(["deft", *sys.argv[1:]])
    with bar("training") as update:
        folder = run(
            settings, stores, out, unimer or (), command=command, say=typer.echo,
            progress=lambda done, total, _: update(done, total),
        )  # fmt: skip
    typer.echo(f"written: {folder}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
