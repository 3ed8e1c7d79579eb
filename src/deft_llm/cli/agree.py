"""``deft agree``: how far two codings of the same clips agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("agree")(agree)


def agree(
    first: Annotated[
        Path,
        typer.Argument(metavar="A", help="Run, predictions, clip records, a table, or events of a video."),
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    fps: Annotated[
        float | None, typer.Option("--fps", help="Events: frame rate, where the files do not state it.")
    ] = None,
    media: Annotated[
        Path | None, typer.Option("--media", help="Events: the video; gives its frame times and its length.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Agreement of two codings: FACS agreement (2 x agreed / all of both), Cohen's kappa and ICC(2,1) per AU,
    labels, onset, apex and offset; then what they code differently. What cannot be read is never compared.

    Of clips: deft agree coder1.csv coder2.csv

    Of the events in one video: deft agree coder1.eaf coder2.boris --media video.mp4
    """
    import json

    found, lines = (_events if _hold_events(first, second) else _clips)(first, second, fps, media)
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines))


def _hold_events(first: Path, second: Path) -> bool:
    """Whether both hold events. Raises: UsageError where one does and the other does not."""
    from deft_llm.codings.formats import holds_events
    from deft_llm.errors import UsageError
    from deft_llm.files import existing_file

    kinds = [not path.is_dir() and holds_events(existing_file(path)) for path in (first, second)]
    if kinds[0] != kinds[1]:
        events, clips = (first, second) if kinds[0] else (second, first)
        raise UsageError(f"{events} holds events of a video, {clips} codings of clips; give two of a kind.")
    return kinds[0]


def _clips(first: Path, second: Path, fps: Any, media: Any) -> tuple[dict[str, Any], list[str]]:
    from deft_llm.benchmark.clip_codings import read_codings
    from deft_llm.errors import UsageError
    from deft_llm.evaluation.agree import agree as compare

    if fps is not None or media is not None:
        raise UsageError("--fps, --media: no effect on codings of clips; leave them out.")
    found = compare(read_codings(first), read_codings(second))
    return found, _lines(found)


def _events(first: Path, second: Path, fps: Any, media: Any) -> tuple[dict[str, Any], list[str]]:
    from deft_llm.codings.agreement import agreement_of
    from deft_llm.codings.formats import clock_of, read_coding
    from deft_llm.faces.video import probe

    clock = clock_of(media, fps)
    frames = probe(media).frames if media is not None else None
    found = agreement_of(read_coding(first, clock), read_coding(second, clock), frames)
    return found, _event_lines(found)


def _event_lines(found: dict[str, Any]) -> list[str]:
    from deft_llm.evaluation.words import figure

    units, agreed = found["units"], found["agreement"]
    lines = [
        f"events: A {found['events']['first']}  B {found['events']['second']}  ({units['frames']} frames at "
        f"{units['fps']:g} per second)",
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
                f"absolute {cell['mean_absolute']:.3f}  ({cell['events']} events)"
            )
    for row in found["disagreements"]:
        who = "A" if row["coded_by"] == "first" else "B"
        lines.append(
            f"  only {who}: {row['time']:.3f} s (frames {row['onset']} to {row['offset']})  AU{row['au']} "
            f"{row['side']} {row['phase']}"
        )
    return lines


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
