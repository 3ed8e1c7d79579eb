"""``deft agree``: how far two codings of the same clips agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deft_llm.cli._options import AsJson
from deft_llm.cli._words import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("agree")(agree)


def agree(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="Run, predictions, clip records, a table, events, or a folder of them.",
        ),
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    fps: Annotated[
        float | None, typer.Option("--fps", help="Events: frame rate, where the files do not state it.")
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option("--media", help="Events: the video or the folder of videos; gives times and lengths."),
    ] = None,
    page: Annotated[
        str, typer.Option("--page", help="Events: address of `deft app`, to which disagreements link.")
    ] = "http://127.0.0.1:7860",
    table: Annotated[
        Path | None, typer.Option("--table", help="Events: write the disagreements, with links, as CSV.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Agreement of two codings: FACS agreement (2 x agreed / all of both), Cohen's kappa and ICC(2,1) per AU,
    labels, onset, apex and offset; then what they code differently. What cannot be read is never compared.

    Of clips: deft agree coder1.csv coder2.csv

    Of the events in one video: deft agree coder1.eaf coder2.boris --media video.mp4

    Of all clips of two coders: deft agree codings/anna-first-round codings/ben-first-round --media clips
    """
    import json

    if _hold_events(first, second):
        found, lines = _events(first, second, fps, media, page, table)
    else:
        found, lines = _clips(first, second, fps, media, table)
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines))


def _hold_events(first: Path, second: Path) -> bool:
    """Whether both hold events. Raises: UsageError where one does and the other does not."""
    from deft_llm.codings.formats import holds_events
    from deft_llm.codings.pairs import coding_files
    from deft_llm.errors import UsageError
    from deft_llm.files import existing_file

    kinds = [
        bool(coding_files(path)) if path.is_dir() else holds_events(existing_file(path))
        for path in (first, second)
    ]
    if kinds[0] != kinds[1]:
        events, clips = (first, second) if kinds[0] else (second, first)
        raise UsageError(f"{events} holds events of a video, {clips} codings of clips; give two of a kind.")
    if kinds[0] and first.is_dir() != second.is_dir():
        raise UsageError(f"{first} and {second}: give two files, or two folders of files.")
    return kinds[0]


def _clips(first: Path, second: Path, fps: Any, media: Any, table: Any) -> tuple[dict[str, Any], list[str]]:
    from deft_llm.benchmark.clip_codings import read_codings
    from deft_llm.errors import UsageError
    from deft_llm.evaluation.agree import agree as compare

    if fps is not None or media is not None or table is not None:
        raise UsageError("--fps, --media, --table: no effect on codings of clips; leave them out.")
    found = compare(read_codings(first), read_codings(second))
    return found, _lines(found)


def _events(
    first: Path, second: Path, fps: Any, media: Any, page: str, table: Path | None
) -> tuple[dict[str, Any], list[str]]:
    from deft_llm.codings.agreement import agreement_over
    from deft_llm.codings.pairs import pairs_of, with_links, write_disagreements
    from deft_llm.files import check_outputs, check_target

    check_target(table, (".csv",), "the table is a CSV and ends in .csv")
    check_outputs({"--table": table}, [first, second])
    pairs = pairs_of(first, second, media, fps)
    found = agreement_over(pairs.both)
    coders = pairs.both[0][0].coder, pairs.both[0][1].coder
    found["disagreements"] = with_links(found["disagreements"], coders, page)
    found["only_first"], found["only_second"] = pairs.only_first, pairs.only_second
    found["unread"] = {"first": pairs.unread(0), "second": pairs.unread(1)}
    if table is not None:
        write_disagreements(found["disagreements"], table)
    return found, _event_lines(found)


def _event_lines(found: dict[str, Any]) -> list[str]:
    from deft_llm.codings.tiers import unread_line
    from deft_llm.evaluation.words import figure

    units, agreed = found["units"], found["agreement"]
    rate = f"at {units['fps']:g} per second" if units["fps"] else "of several rates"
    clips = f"{found['clips']} clips, " if found["clips"] > 1 else ""
    lines = [
        f"events: A {found['events']['first']}  B {found['events']['second']}  ({clips}"
        f"{counted(units['frames'], 'frame')} {rate})",
        f"agreement {figure(agreed['iou'])} by intervals (IoU >= {units['match_iou']})  "
        f"{figure(agreed['onset'])} by onsets (within {units['match_onset_s']} s)  same side "
        f"{found['sides']['same']} of {found['sides']['pairs']}",
    ]
    for au, cell in found["per_au"].items():
        lines.append(
            f"  AU{au}: A {cell['first']}  B {cell['second']}  agreement {figure(cell['agreement_iou'])} / "
            f"{figure(cell['agreement_onset'])}  kappa over frames {figure(cell['kappa_frames'])}  ICC of "
            f"intensity {figure(cell['icc_intensity'])}"
        )
    for name, cell in found["differences"].items():
        if cell:
            at = cell["percentiles"]
            lines.append(
                f"{name}, B - A in s: median {at['50']:+.3f}  5 % {at['5']:+.3f}  95 % {at['95']:+.3f}  mean "
                f"absolute {cell['mean_absolute']:.3f}  ({counted(cell['events'], 'event')})"
            )
    for who, clips in (("A", found["only_first"]), ("B", found["only_second"])):
        if clips:
            named = ", ".join(clips[:5])
            lines.append(f"not compared: {counted(len(clips), 'clip')} that only {who} has coded ({named})")
    for who, names in zip("AB", found["unread"].values()):
        if names:
            lines.append(f"{who}: {unread_line(names)}")
    for row in found["disagreements"]:
        who = "A" if row["coded_by"] == "first" else "B"
        clip = f"{row['clip']} " if found["clips"] > 1 else ""
        lines.append(
            f"  only {who}: {clip}{row['time']:.3f} s (frames {row['onset']} to {row['offset']})  "
            f"AU{row['au']} {row['side']} {row['phase']}  {row['link']}"
        )
    return lines


def _lines(found: dict[str, Any]) -> list[str]:
    from deft_llm.evaluation.words import figure

    clips = lambda cell: counted(cell["clips"], "clip")  # noqa: E731
    lines = [f"{clips(found)} in both ({found['only_first']} only in A, {found['only_second']} only in B)"]
    lines += [f"not compared: {problem}" for problem in found["problems"]]
    lines += [f"note: {note}" for note in found["notes"]]
    for name in ("coarse", "fine"):
        if name in found:
            cell = found[name]
            lines.append(
                f"{name}: same {figure(cell['same'])}  kappa {figure(cell['kappa'])}  ({clips(cell)})"
            )
    if "aus" in found:
        cell = found["aus"]
        lines.append(
            f"AUs: agreement {figure(cell['agreement'])}  ({clips(cell)} coded by both)  same side "
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
            f"mean absolute {figure(cell['mean_absolute'], 1)}  ({clips(cell)})"
        )
    for row in found["disagreements"]:
        told = "; ".join(f"{name} {value}" for name, value in row.items() if name != "clip")
        lines.append(f"  {row['clip']}: {told}")
    return lines
