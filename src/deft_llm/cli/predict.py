"""``deft predict``: a trained run (or any checkpoint) on a store, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of deft train, a checkpoint folder, or 'shipped'.")],
    store: Annotated[Path, typer.Argument(help="Prepared store.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for predictions.jsonl.")],
    labels: Annotated[str, typer.Option(help="megc3 native 4 5 7 objective")] = "megc3",
    task: Annotated[str, typer.Option(help="emotion or au")] = "emotion",
    answers: Annotated[bool, typer.Option("--answers", help="Write (C, E, R) answers as well.")] = False,
) -> None:
    """Predict classes and Action Units of every labelled clip of a store;
    subjects it was trained on are refused.

    Example: deft predict runs/mine stores/synthetic --out runs/mine-predicted
    """
    from deft_llm.benchmark.runner import run_benchmark
    from deft_llm.benchmark.settings import BenchmarkSettings
    from deft_llm.corpora.labels import SETTINGS
    from deft_llm.errors import UsageError
    from deft_llm.model.checkpoint import CONFIG, SHIPPED

    if task not in ("emotion", "au"):
        raise UsageError(f"--task {task}: choose emotion or au; questions are asked by 'deft benchmark'.")
    if labels not in SETTINGS:
        raise UsageError(f"--labels {labels}: unknown; choose one of {', '.join(SETTINGS)}.")
    folder = SHIPPED if str(run) == "shipped" else (run if (run / CONFIG).is_file() else run / "model")
    settings = BenchmarkSettings(
        corpora=[store.name], method="deft", task=task, labels=labels, zero_shot=True, answers=answers,
        options={"checkpoint": str(folder)},
    )  # fmt: skip
    run_benchmark(out, [store], settings)
    typer.echo(f"written: {out / 'predictions.jsonl'}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
