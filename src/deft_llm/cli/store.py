"""``deft store``: what may be asked of prepared stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

store_app = typer.Typer(no_args_is_help=True, help="Stores that 'deft prepare' made.")


@store_app.callback()
def stores() -> None:
    """Stores that 'deft prepare' made."""


@store_app.command("purge")
def purge_subject(
    subject: Annotated[str, typer.Argument(help="Subject with its corpus, e.g. casme2/sub01.")],
    stores: Annotated[list[Path], typer.Argument(help="Store folder(s).")],
) -> None:
    """Delete a subject's faces and motion from stores, for good (a participant withdrew, a licence ended).

    Later 'deft prepare' runs leave the subject out. Copies, predictions and trained models are other files.

    Example: deft store purge casme2/sub01 /data/stores/casme2
    """
    from deft_llm.prepare.purge import purge

    for store in stores:
        typer.echo(f"{store}: {purge(store, subject)} clips of {subject} deleted.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(store_app, name="store")
