"""``deft demo``: the main job on two sample clips, a real video and a portrait with exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for clips and reports.")] = Path("demo"),
    method: Annotated[str | None, typer.Option(help="deft, rules or flow2text.")] = None,
) -> None:
    """Analyse two sample clips and print where the reports are.

    Example: deft demo --out demo
    """
    from deft_llm.explain.analyzer import Analyzer
    from deft_llm.explain.demo import TRUTH, portrait_clip
    from deft_llm.explain.inputs import VideoInput
    from deft_llm.explain.outputs import REPORT, RESULT, Extras, writable_folder, write_outputs
    from deft_llm.setup.weights import require

    folder = writable_folder(out)
    analyzer = Analyzer.from_pretrained(method)
    clip = portrait_clip(folder / "portrait.mp4")
    for title, video in (("A portrait brought to life, truth known", clip),
                         ("A talking man in a car, 176 x 144 px", require("carphone"))):  # fmt: skip
        typer.echo(f"== {title}")
        analysis = analyzer.analyze(video).attribute()
        place = writable_folder(folder / video.stem, RESULT)
        write_outputs(analysis, VideoInput(video, video.name), place, Extras())
        if video == clip:
            typer.echo(f"Truth: {TRUTH}")
        typer.echo(analysis.summary())
        typer.echo(f"Report: {place / REPORT}\n")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
