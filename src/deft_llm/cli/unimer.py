"""``deft unimer``: build instructions, print AU support, check and export them, import questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from deft_llm.cli._options import AsJson, Engine, Workers

commands = typer.Typer(
    name="unimer",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Instructions that are true to the motion (Uni-MER).",
)

StorePath = Annotated[Path, typer.Argument(help="A store of 'deft prepare'.")]


@commands.command()
def build(
    store: StorePath,
    out: Annotated[Path, typer.Option("--out", help="Folder for the instructions.")],
    workers: Workers = 1,
    engine: Engine = "local",
    seed: Annotated[int, typer.Option(help="Chooses phrasings and balanced questions.")] = 0,
    figures: Annotated[
        bool, typer.Option(help="State measured figures; without them: only what a model can read.")
    ] = True,
    rewrite: Annotated[
        str | None, typer.Option(help="Let a local LLM reword answers: 'embedded', a folder or a name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge every clip's labels against its flow and write instructions; stopped, it goes on where it was.

    Example: deft unimer build stores/casme2 --out unimer/casme2 --workers 4
    """
    from deft_llm.unimer.build import build as run

    with _bar("judging", as_json) as progress:
        found = run(
            store, out, workers=workers, engine=engine, seed=seed, figures=figures, rewrite=rewrite,
            progress=progress,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found | {"out": str(out)}))
        return
    typer.echo(
        f"{found['instructions']} instructions on {found['clips']} clips of "
        f"{found['subjects']} subjects: {out}"
    )
    for status, rows in found["constraint"].items():
        typer.echo(f"  {status}: {sum(rows.values())}")
    for task, count in found["tasks"].items():
        typer.echo(f"  {task}: {count}")


@commands.command()
def support(
    store: StorePath,
    out: Annotated[Path | None, typer.Option("--out", help="Also write every clip's scores (jsonl).")] = None,
    workers: Workers = 1,
    engine: Engine = "local",
    as_json: AsJson = False,
) -> None:
    """Score every AU of every clip from the motion alone: per AU the AUC, labelled against unlabelled clips,
    the share found at 10 % false, and the share of labels that the dual constraint keeps.

    Example: deft unimer support stores/casme2
    """
    from deft_llm.aus.support_report import auc_table, support_rows
    from deft_llm.files import write_jsonl

    rows = list(support_rows(store, workers=workers, engine=engine))
    if out is not None:
        write_jsonl(out, rows)
    table = auc_table(rows)
    known = [row["auc"] for row in table if row["auc"] is not None]
    mean = round(sum(known) / len(known), 4) if known else None
    if as_json:
        typer.echo(json.dumps({"clips": len(rows), "aus": table, "mean_auc": mean}))
        return
    typer.echo("AU  name                     labelled  unlabelled    AUC  found   kept")
    for row in table:
        auc, found, kept = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("auc", "found", "kept"))
        counts = f"{row['labelled']:>8} {row['unlabelled']:>11}"
        typer.echo(f"{row['au']:<3} {row['name']:<24} {counts} {auc:>6} {found:>6} {kept:>6}")
    typer.echo(f"mean AUC over {len(known)} AUs: {'none has both kinds of clips' if mean is None else mean}")


@commands.command()
def check(
    folder: Annotated[
        Path, typer.Argument(help="Folder of 'deft unimer build', or a .jsonl of instructions.")
    ],
    splits: Annotated[Path | None, typer.Option(help="JSON: split name -> list of subjects.")] = None,
    media_root: Annotated[Path | None, typer.Option(help="Look for the media files here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look for leaks, imbalance, duplicates, missing media, contradictions; exit code 1 where it finds any.

    Example: deft unimer check unimer/casme2
    """
    from pydantic import TypeAdapter

    from deft_llm.errors import DeftError
    from deft_llm.files import read_object, reading
    from deft_llm.unimer.build import read_instructions
    from deft_llm.unimer.check import check as run

    subjects = None
    if splits:
        with reading(splits, "write {split: [subject, ...]}"):
            subjects = TypeAdapter(dict[str, set[str]]).validate_python(read_object(splits))
    report = run(lambda: read_instructions(folder), splits=subjects, media_root=media_root)
    if not report.rows:
        raise DeftError(f"{folder}: holds no instruction; build some with 'deft unimer build'.")
    if as_json:
        typer.echo(json.dumps(report.model_dump() | {"ok": report.ok}))
    else:
        for line in report.question_only:
            accuracy = "not judged" if line["accuracy"] is None else f"{line['accuracy']:.3f}"
            typer.echo(
                f"{line['task']:<12} {line['rows']:>6} rows  majority {line['majority']:.3f}  "
                f"question-only {accuracy}"
            )
        for finding in report.findings:
            typer.echo(f"{finding.kind}: {finding.count}")
            for example in finding.examples:
                typer.echo(f"    {example}")
        typer.echo(
            f"{folder}: {report.rows} rows: "
            + ("nothing found" if report.ok else f"{len(report.findings)} kinds of faults")
        )
    if not report.ok:
        raise typer.Exit(1)


@commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of 'deft unimer build'.")],
    out: Annotated[Path, typer.Option("--out", help="File of the export.")],
    format_name: Annotated[str, typer.Option("--format", help="llava, llamafactory, messages, trl or megc.")],
    store: Annotated[Path | None, typer.Option(help="Draw the pictures from this store ...")] = None,
    media_root: Annotated[
        Path | None, typer.Option(help="... into this folder (private: they show faces).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the instructions as another trainer reads them, held to that trainer's rules.

    Example: deft unimer export unimer/casme2 --format llamafactory --out export/data.json
    """
    from deft_llm.errors import UsageError
    from deft_llm.files import check_outputs
    from deft_llm.unimer.build import HEADER, INSTRUCTIONS, REJECTIONS, read_instructions
    from deft_llm.unimer.exports import export as run

    if (store is None) != (media_root is None):
        raise UsageError("--store and --media-root: give both to draw pictures, or neither.")
    check_outputs({"--out": out}, [folder / name for name in (HEADER, INSTRUCTIONS, REJECTIONS)])
    files = run(read_instructions(folder), format_name, out)
    drawn = 0
    if store is not None and media_root is not None:
        from deft_llm.store import Store
        from deft_llm.unimer.media import write_media

        drawn = write_media(read_instructions(folder), Store(store), media_root)
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in files], "pictures": drawn}))
    else:
        typer.echo(
            f"{', '.join(map(str, files))}" + (f"; {drawn} pictures drawn into {media_root}" if drawn else "")
        )


@commands.command("import")
def import_questions(
    questions: Annotated[Path, typer.Argument(help="ME-VQA jsonl of the organisers.")],
    store: StorePath,
    out: Annotated[Path, typer.Option("--out", help="Folder for the instructions.")],
    as_json: AsJson = False,
) -> None:
    """Bring MEGC ME-VQA questions onto prepared clips.

    Example: deft unimer import me_vqa_samm_casme2_smic.jsonl stores/casme2 --out unimer/megc
    """
    from deft_llm.errors import DeftError
    from deft_llm.files import claim_folder, write_jsonl
    from deft_llm.store import Store
    from deft_llm.unimer.importing import import_megc

    claim_folder(out)
    found = import_megc(questions, Store(store).clips)
    if not found.instructions:
        raise DeftError(
            f"{questions}: none of its {len(found.unmatched)} questions is about a clip of {store}; check "
            "dataset, subject and filename."
        )
    rows = (row.model_dump(mode="json", by_alias=True) for row in found.instructions)
    write_jsonl(out / "instructions.jsonl", rows)
    if as_json:
        typer.echo(json.dumps({"instructions": len(found.instructions), "unmatched": found.unmatched}))
    else:
        typer.echo(
            f"{len(found.instructions)} questions on prepared clips, "
            f"{len(found.unmatched)} without a clip: {out}"
        )


@contextmanager
def _bar(words: str, quiet: bool) -> Iterator[Callable[[int, int], Any]]:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def register(app: typer.Typer) -> None:
    """Add the commands to ``deft``."""
    app.add_typer(commands)
