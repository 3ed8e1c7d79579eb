"""Options that several commands share; which of its options a command was really given, so that one without
effect is refused, not passed over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from deft_llm.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes; the results are the same.")]
Engine = Annotated[str, typer.Option("--engine", help="local, or ray for a cluster.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", exists=True, file_okay=False, help="deft's checkpoint instead of the shipped one."
    ),
]
TrainingSeed = Annotated[int, typer.Option("--seed", help="Seed of training.")]


def given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of ``names`` (parameters of the command's function) that stand on the command line."""
    options = {str(one.name): max(one.opts, key=len) for one in context.command.params}
    found = []
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            found.append(options[name])
    return found


def refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Raise UsageError where one of ``names`` was given although it would change nothing."""
    found = given(context, names)
    if found:
        raise UsageError(f"{', '.join(found)}: no effect {why}; leave it out.")
