"""``deft agree``: how far two codings of the same clips agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("agree")(agree)


def agree(
    first: Annotated[Path, typer.Argument(metavar="A", help="Run, predictions, clip records or a table.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Agreement of labels (Cohen's kappa), AUs (2 x shared / all of both; kappa, ICC per AU), onset, apex and
    offset; then the clips on which they differ. What cannot be read is named, never compared.

    Example: deft agree coder1.csv coder2.csv
    """
    from deft_llm.benchmark.clip_codings import read_codings
    from deft_llm.evaluation.agree import agree as compare

    found = compare(read_codings(first), read_codings(second))
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    from deft_llm.evaluation.words import figure

    lines = [
        f"{found['clips']} clips in both ({found['only_first']} only in A, {found['only_second']} only in B)"
    ]
    lines += [f"not compared: {problem}" for problem in found["problems"]]
    lines += [f"note: {note}" for note in found["notes"]]
    for name in ("coarse", "fine"):
        if name in found:
            cell = found[name]
            lines.append(
                f"{name}: same {figure(cell['same'])}  kappa {figure(cell['kappa'])}  ({cell['clips']} clips)"
            )
    if "aus" in found:
        cell = found["aus"]
        lines.append(
            f"AUs: agreement {figure(cell['agreement'])}  ({cell['clips']} clips coded by both)  same side "
            f"{figure(cell['same_side'])} of the AUs that both see"
        )
        for au, counts in cell["per_au"].items():
            lines.append(
                f"  AU{au}: A {counts['first']}  B {counts['second']}  both {counts['both']}  agreement "
                f"{figure(counts['agreement'])}  kappa {figure(counts['kappa'])}  ICC of intensity "
                f"{figure(counts['icc'])}"
            )
    for name, cell in found.get("frames", {}).items():
        lines.append(
            f"{name}, B - A in frames: median {cell['p50']:g}  5 % {cell['p5']:g}  95 % {cell['p95']:g}  "
            f"mean absolute {figure(cell['mean_absolute'], 1)}  ({cell['clips']} clips)"
        )
    for row in found["disagreements"]:
        told = "; ".join(f"{name} {value}" for name, value in row.items() if name != "clip")
        lines.append(f"  {row['clip']}: {told}")
    return lines
