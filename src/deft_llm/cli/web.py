"""``deft app``: the web page on the same Analyzer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deft_llm.cli._options import Checkpoint


def page(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 7860,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Videos that are read at the same time.")] = 1,
    megabytes: Annotated[int, typer.Option(min=1, help="Largest upload.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="Longest video.")] = 60.0,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A further name by which the page is reached, behind a proxy."),
    ] = None,
    checkpoint: Checkpoint = None,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Code the clips of this folder in the page."),
    ] = None,
    coder: Annotated[str, typer.Option(help="With --folder: who codes; the page asks without.")] = "",
    blind: Annotated[
        bool, typer.Option("--blind", help="With --folder: no proposals before a coder has coded the clip.")
    ] = False,
    fps: Annotated[
        float | None, typer.Option(min=1.0, help="With --folder: frame rate of folders of images.")
    ] = None,
) -> None:
    """Open the web page: upload a face video, see what moved, ask about it; or code a folder's clips.

    Example: deft app --port 7860

    Example: deft app --folder clips --coder anna --blind
    """
    import shutil
    import signal
    import sys

    from deft_llm.errors import DeftError, UsageError

    if folder is None and (coder or blind or fps is not None):
        raise UsageError("--coder, --blind, --fps: belong to --folder; give the folder of the clips too.")
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise DeftError("the page needs Gradio; run: pip install 'deft-llm[app]'.") from error
    from deft_llm.app.build import Study, private_folder, serve
    from deft_llm.app.coding.folder import CodingFolder, check_coder
    from deft_llm.app.limits import Limits

    model = None if checkpoint is None else str(checkpoint.absolute())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the blocks below clean up
    study = None
    if folder is not None:
        if coder:
            check_coder(coder)
        study = Study(CodingFolder(folder, fps), coder, blind)
    private = private_folder()
    if host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo("Note: other machines can reach this page; it has no login.", err=True)
    typer.echo(f"deft-llm is at http://{host}:{port} (Ctrl-C ends it)")
    if study is not None:
        typer.echo(f"Code the clips of {folder} at http://{host}:{port}/coding/")
    try:
        limits = Limits(megabytes=megabytes, seconds=seconds)
        serve(host, port, jobs=jobs, limits=limits, checkpoint=model, names=names or (),
              study=study)  # fmt: skip
    except OSError as error:
        raise DeftError(
            f"--host {host} --port {port}: cannot be used ({error.strerror}); choose others."
        ) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("app")(page)
