"""``deft agree``: how far two codings of the same clips agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("agree")(agree)


def agree(
    first: Annotated[Path, typer.Argument(metavar="A", help="Run, predictions, clip records or a table.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Agreement of labels (Cohen's kappa) and of AUs (2 x shared / all AUs of both, and kappa per AU).

    Example: deft agree coder1.csv coder2.csv
    """
    from deft_llm.evaluation import agree as codings
    from deft_llm.evaluation.words import figure

    found = codings.agree(codings.read_codings(first), codings.read_codings(second))
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(
        f"{found['clips']} clips in both ({found['only_first']} only in A, {found['only_second']} only in B)"
    )
    for name in ("coarse", "fine"):
        if name in found:
            cell = found[name]
            typer.echo(
                f"{name}: same {figure(cell['same'])}  kappa {figure(cell['kappa'])}  ({cell['clips']} clips)"
            )
    if "aus" in found:
        cell = found["aus"]
        typer.echo(f"AUs: agreement {figure(cell['agreement'])}  ({cell['clips']} clips coded by both)")
        for au, counts in cell["per_au"].items():
            typer.echo(
                f"  AU{au}: A {counts['first']}  B {counts['second']}  both {counts['both']}  "
                f"kappa {figure(counts['kappa'])}"
            )
