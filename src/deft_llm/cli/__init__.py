"""The command ``deft``: one thin function a command; heavy imports happen inside the functions."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from deft_llm.errors import DeftError, UsageError
from deft_llm.version import __version__

app = typer.Typer(name="deft", no_args_is_help=True, add_completion=False, rich_markup_mode=None,
                  pretty_exceptions_enable=False, help="Micro-expressions, read from motion.")  # fmt: skip

# Each module of this folder registers its commands on ``app`` through ``register(app)``; the order is help's.
# (``deft app`` is in web.py: a module named app would hide the Typer app above.)
COMMANDS = ("setup", "demo", "analyze", "synth", "corpus", "prepare", "unimer", "train", "predict",
            "benchmark", "evaluate", "report", "validate", "agree", "convert", "store", "web")  # fmt: skip


def _version(show: bool) -> None:
    if show:
        typer.echo(f"deft-llm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Micro-expressions, read from motion."""


@cache
def _register_all() -> None:
    """Once per process: a command that is registered again makes every later call slower."""
    for name in COMMANDS:
        try:
            module = import_module(f"deft_llm.cli.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"deft_llm.cli.{name}":
                raise
            continue
        module.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are one sentence, exit code 1 (failed) or 2 (wrong usage)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = ["--debug", *[word for word in words if word != "--debug"]] if debug else words
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # its faults come back as ours, with the file
    _register_all()
    try:
        if "" in words:
            raise UsageError("an argument is empty, as of a shell variable that is not set; give a value.")
        app(args=words, prog_name="deft")
    except DeftError as error:
        if debug:
            raise
        typer.echo(f"deft: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("deft: stopped; run the same command again to go on.", err=True)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        typer.echo(
            f"deft: unexpected {type(error).__name__}: {error} (run with --debug for the trace).", err=True
        )
        sys.exit(1)
