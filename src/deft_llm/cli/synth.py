"""``deft synth``: a corpus of parametric faces with exact truth, as video or as flow maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deft_llm.cli._options import AsJson, Workers, refuse

MOST = 10_000_000  # clips, subjects: what is asked for is planned before it is made

# What only the video level reads.
Negatives = Annotated[float, typer.Option("--negatives", help="Share of clips without micro-expression.")]
Lures = Annotated[float, typer.Option("--lures", help="Share of micro-expressions on a misleading face.")]
LongVideos = Annotated[
    int | None,
    typer.Option(
        "--long-videos", min=0, max=MOST, help="Long videos with several events [default: clips / 50]."
    ),
]
Crf = Annotated[
    int | None,
    typer.Option("--crf", help="H.264 quality, 0 (lossless) to 51 [18; sequences: 18, 26 or 34 each]."),
]
Film = Annotated[
    str,
    typer.Option(
        "--film",
        help="clips: one event each; sequences: films of --seconds, with truth of every frame; "
        "keys: key frames alone, measured: a store for training.",
    ),
]


def synth(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="Folder of the new corpus (or of one that was stopped half-way).")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[a.b=c]...", help="With --film keys: settings, as in conditions.light=any."),
    ] = None,
    clips: Annotated[
        int, typer.Option("--clips", min=1, max=MOST, help="How many clips (flow level: samples).")
    ] = 200,
    subjects: Annotated[int, typer.Option("--subjects", min=1, max=MOST, help="How many subjects.")] = 20,
    seed: Annotated[
        int, typer.Option("--seed", help="Chooses subjects and clips; same seed, same bytes.")
    ] = 0,
    level: Annotated[
        str, typer.Option("--level", help="video: rendered frames; flow: flow maps only.")
    ] = "video",
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="native, folder, casme2, samm, smic or casme3; flow level: store, flowmaps, ststnet.",
        ),
    ] = "native",
    prior: Annotated[
        str, typer.Option("--prior", help="facs, or corpora (uses statistics of real corpora).")
    ] = "facs",
    units: Annotated[str, typer.Option("--units", help="Face units: arkit or makehuman.")] = "arkit",
    workers: Workers = 1,
    size: Annotated[int | None, typer.Option("--size", help="Frame side (400) or map side (28), px.")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Identities: calibration, train, validation, test [video: test, flow: train]."
        ),
    ] = None,
    negatives: Negatives = 0.2,
    lures: Lures = 0.2,
    long_videos: LongVideos = None,
    form: Annotated[str, typer.Option("--format", help="frames (PNG) or video (H.264).")] = "frames",
    crf: Crf = None,
    film: Film = "clips",
    seconds: Annotated[float, typer.Option("--seconds", help="Length of a sequence.")] = 9.0,
    as_json: AsJson = False,
) -> None:
    """Make synthetic clips whose motion, Action Units and times are known exactly.

    Example: deft synth corpus --clips 200 --subjects 20 --seed 0
    """
    split = split or ("test" if level == "video" else "train")
    _check(level=level, prior=prior, units=units, split=split, format=form, film=film)
    _refuse_idle(context, level, film, form)
    if film == "keys":
        summary = _keys(
            out, workers, overrides or [], clips=clips, subjects=subjects, seed=seed, prior=prior,
            units=units, size=256 if size is None else size, split=split,
        )  # fmt: skip
    elif level == "flow":
        summary = _flow(out, clips, subjects, seed, layout, prior, units, workers, size, split)
    else:
        summary = _video(
            out, workers, clips=clips, subjects=subjects, seed=seed, prior=prior, units=units, layout=layout,
            size=400 if size is None else size, split=split, negatives=negatives, lures=lures,
            long_videos=long_videos,
            format=form, crf=crf, film=film, seconds=seconds,
        )  # fmt: skip
    _tell(out, summary, level, film, prior, as_json)


CHOICES = {
    "level": ("video", "flow"),
    "prior": ("facs", "corpora"),
    "units": ("arkit", "makehuman"),
    "split": ("calibration", "train", "validation", "test"),
    "format": ("frames", "video"),
    "film": ("clips", "sequences", "keys"),
}


def _check(**given: str) -> None:
    """Raises: UsageError for a word that an option does not know."""
    from deft_llm.errors import UsageError

    for name, value in given.items():
        if value not in CHOICES[name]:
            *some, last = CHOICES[name]
            raise UsageError(f"--{name} {value}: choose {', '.join(some)} or {last}.")


FILMS_ONLY = ("film", "seconds", "form", "crf", "negatives", "lures", "long_videos")


def _refuse_idle(context: typer.Context, level: str, film: str, form: str) -> None:
    """Raises: UsageError for options that the level or the kind of film does not read."""

    if film != "keys":
        refuse(context, ("overrides",), "without --film keys")
    if level == "flow":
        refuse(context, FILMS_ONLY, "with --level flow")
    elif film == "clips":
        refuse(context, ("seconds",), "without --film sequences")
        if form == "frames":
            refuse(context, ("crf",), "without --format video")
    else:
        refuse(context, ("long_videos", "form", "negatives", "lures"), f"with --film {film}")
    if film == "keys":
        refuse(context, ("layout", "seconds", "crf"), "with --film keys")


def _video(out: Path, workers: int, **options: Any) -> dict:
    """The video level: rendered frames, records and truth."""
    from deft_llm.cli._progress import bar
    from deft_llm.synth.core.settings import VideoSettings
    from deft_llm.synth.video.corpus import make_corpus

    with bar("clips") as update:
        return make_corpus(out, VideoSettings(**options), workers=workers, progress=update)


def _keys(out: Path, workers: int, overrides: list[str], **options: Any) -> dict:
    """Key frames, measured: a store."""
    from deft_llm.cli._progress import bar
    from deft_llm.config import load_config
    from deft_llm.errors import UsageError
    from deft_llm.synth.video.keys import KeySettings, make_keys

    if not 128 <= options["size"] <= 1024:
        raise UsageError(f"--size {options['size']}: choose 128 to 1024.")
    doubled = next((text for text in overrides if text.partition("=")[0] in options), None)
    if doubled:
        raise UsageError(f"{doubled}: is an option; give --{doubled.replace('=', ' ', 1)}.")
    given = [f"{name}={value}" for name, value in options.items()]
    with bar("samples") as update:
        return make_keys(out, load_config(KeySettings, None, given + overrides), workers=workers,
                         progress=update)  # fmt: skip


def _tell(out: Path, summary: dict, level: str, film: str, prior: str, as_json: bool) -> None:
    """Print what was made, and what comes next."""
    import json

    if as_json:
        typer.echo(json.dumps(summary))
        return
    typer.echo(f"{out}: {summary['clips']} clips of {summary['subjects']} subjects")
    if summary.get("left_out"):
        reason = "show no face that is found" if film == "keys" else "are of no class that the layout has"
        typer.echo(f"{summary['left_out']} samples {reason}; they are left out")
    if "prior" in summary:
        typer.echo(f"Bayes-optimal UF1 from true AUs: coarse {summary['prior']['bayes_uf1_coarse']}, "
                   f"fine {summary['prior']['bayes_uf1_fine']} (prior {prior})")  # fmt: skip
    if film == "keys":
        typer.echo(f"next: deft train {out} --out RUN")
    elif level == "video":
        typer.echo(f"read {out / 'card.md'}; next: deft prepare synthetic {out} --store STORE")


def _flow(
    out: Path, clips: int, subjects: int, seed: int, layout: str, prior: str, units: str, workers: int,
    size: int | None, split: str,
) -> dict:  # fmt: skip
    """The flow level: the same faces without rendering, as a store, or as PNG maps with a manifest or in
    STSTNet's folders."""
    from deft_llm.cli._progress import bar
    from deft_llm.errors import UsageError
    from deft_llm.synth.flow.config import FlowConfig
    from deft_llm.synth.flow.store import FlowSettings, write_flow

    kind = "store" if layout == "native" else layout
    if kind not in ("store", "flowmaps", "ststnet"):
        raise UsageError(
            f"--layout {layout}: flow level writes store, flowmaps or ststnet; choose one of them."
        )
    if size is not None and not 28 <= size <= 224:
        raise UsageError(f"--size {size}: choose 28 to 224 for flow maps.")
    settings = FlowSettings(
        clips=clips, subjects=subjects, seed=seed, split=split, prior=prior, units=(units,), layout=kind,
        config=FlowConfig(size=28 if size is None else size),
    )  # fmt: skip
    with bar("samples") as update:
        return write_flow(out, settings, workers=workers, progress=update)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(synth)
