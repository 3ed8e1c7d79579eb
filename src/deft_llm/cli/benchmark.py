"""``deft benchmark``: one method over all folds of one or several corpora."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from deft_llm.cli._options import AsJson, TrainingSeed, Workers, refuse
from deft_llm.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("benchmark")(benchmark)


_WORDS = "Corpora as pairs, then options of the method."
_METHODS = (
    "majority prior rules lbptop_svm mdmo_svm svm ststnet dynamic_image motion_diff flow2text template deft"
)


def benchmark(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="NAME ROOT [NAME ROOT ...] [a.b=c ...]", help=_WORDS)],
    method: Annotated[str, typer.Option("--method", help=_METHODS)],
    out: Annotated[Path, typer.Option("--out", help="Run folder; the same command resumes it.")],
    protocol: Annotated[str | None, typer.Option("--protocol", help="loso cde hde cross kfold fixed")] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Shipped weights, no training.")] = False,
    leak: Annotated[bool, typer.Option("--leak", help="Demonstration: choose on the test subject.")] = False,
    task: Annotated[str, typer.Option("--task", help="emotion au vqa spotting")] = "emotion",
    questions: Annotated[Path | None, typer.Option("--questions", help="ME-VQA questions, jsonl.")] = None,
    answers: Annotated[bool, typer.Option("--answers", help="Write (C, E, R) answers as well.")] = False,
    deletion: Annotated[int, typer.Option("--deletion", min=0, help="Clips with deletion curves.")] = 0,
    features: Annotated[bool, typer.Option("--features", help="Write features.npz for probes.")] = False,
    labels: Annotated[str, typer.Option("--labels", help="megc3 native 4 5 7 objective")] = "megc3",
    folds: Annotated[Path | None, typer.Option("--folds", help="folds.json to reuse, or splits.")] = None,
    k: Annotated[int, typer.Option("--k", help="Folds of kfold.")] = 5,
    annotations: Annotated[Path | None, typer.Option("--annotations", help="AUs, emotions to join.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Store (default: in the cache).")] = None,
    seed: TrainingSeed = 0,
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Train and test a method fold by fold; writes folds.json, predictions.jsonl, metrics.json.

    Example: deft benchmark flowmaps maps/ --method svm --protocol loso --out runs/svm
    """
    from deft_llm.benchmark.runner import run_benchmark
    from deft_llm.benchmark.settings import BenchmarkSettings
    from deft_llm.benchmark.stores import open_stores, pairs_of
    from deft_llm.cli._progress import bar
    from deft_llm.corpora.labels import SETTINGS
    from deft_llm.methods.protocol import METHODS

    corpora, options = split_words(words)
    _check(method, METHODS, protocol, zero_shot, task, questions, labels, SETTINGS)
    pairs = pairs_of(corpora)
    _refuse_idle(context, task, protocol, zero_shot, folds)
    settings = BenchmarkSettings(
        corpora=[name for name, _ in pairs],
        method=method,
        task=task,  # type: ignore[arg-type]
        protocol=protocol or "zero-shot",
        labels=labels,
        zero_shot=zero_shot,
        leak=leak,
        answers=answers,
        deletion=deletion,
        features=features,
        seed=seed,
        k=k,
        workers=workers,
        options=options,
    )
    if task == "spotting":
        _say(_spotting(pairs, settings, out, annotations), out, as_json)
        return
    stores = open_stores(pairs, store=store, annotations=annotations, workers=workers)
    with bar(f"{method} folds") as progress:
        metrics = run_benchmark(
            out, stores, settings, folds_file=folds, questions=questions, progress=progress
        )
    _say(metrics, out, as_json)


def _refuse_idle(
    context: typer.Context, task: str, protocol: str | None, zero_shot: bool, folds: Path | None
) -> None:
    """Raises: UsageError for options that this task or protocol does not read."""

    if task == "spotting":
        refuse(context, ("store", "folds", "features", "deletion", "answers", "leak"), "with --task spotting")
    if task == "vqa":
        refuse(context, ("labels",), "with --task vqa: its questions ask for coarse and fine classes")
    if zero_shot:
        refuse(context, ("folds", "k"), "with --zero-shot")
    elif protocol != "kfold" or folds is not None:
        refuse(context, ("k",), "unless --protocol kfold makes the folds")
    if folds is not None and not folds.is_file():
        raise UsageError(f"--folds {folds}: no such file.")


def _spotting(pairs: Any, settings: Any, out: Path, annotations: Path | None) -> dict[str, Any]:
    from deft_llm.benchmark.spotting import run_spotting
    from deft_llm.cli._progress import bar
    from deft_llm.corpora import load

    corpora = [load(name, root, annotations) for name, root in pairs]
    with bar("videos") as progress:
        return run_spotting(out, corpora, settings, progress=progress)


def _say(metrics: dict[str, Any], out: Path, as_json: bool) -> None:
    import json

    from deft_llm.evaluation.words import metrics_lines

    if as_json:
        typer.echo(json.dumps(metrics))
        return
    typer.echo("\n".join(metrics_lines(metrics)))
    typer.echo(f"written: {out / 'predictions.jsonl'}, metrics.json, folds.json")


def split_words(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Corpora words, and ``a.b=c`` words as nested options."""
    from omegaconf import OmegaConf

    options = [word for word in words if re.match(r"[A-Za-z_][\w.]*=", word)]
    rest = [word for word in words if word not in options]
    values: Any = OmegaConf.to_container(OmegaConf.from_dotlist(options))
    return rest, values


def _check(
    method: str,
    methods: Any,
    protocol: str | None,
    zero_shot: bool,
    task: str,
    questions: Path | None,
    labels: str,
    settings: Any,
) -> None:
    from deft_llm.evaluation.folds import PROTOCOLS

    if method not in methods:
        raise UsageError(f"--method {method}: unknown; choose one of {', '.join(methods)}.")
    if task not in ("emotion", "au", "vqa", "spotting"):
        raise UsageError(f"--task {task}: unknown; choose emotion, au, vqa or spotting.")
    if labels not in settings:
        raise UsageError(f"--labels {labels}: unknown; choose one of {', '.join(settings)}.")
    if protocol is None and not zero_shot:
        raise UsageError(f"--protocol is missing; choose one of {', '.join(PROTOCOLS)}, or --zero-shot.")
    if protocol is not None and protocol not in PROTOCOLS:
        raise UsageError(f"--protocol {protocol}: unknown; choose one of {', '.join(PROTOCOLS)}.")
    if (task == "vqa") != (questions is not None):
        raise UsageError("--task vqa and --questions FILE go together.")
    if questions is not None and not questions.is_file():
        raise UsageError(f"--questions {questions}: no such file.")
