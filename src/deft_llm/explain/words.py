"""An analysis in plain words: times, durations, kinds, directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deft_llm.baselines.measured import describe
from deft_llm.motion.spotting import Movement

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis


def clock(seconds: float) -> str:
    """1.234 -> "1.23 s", 75.5 -> "1:15.50"."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def duration_of(movement: Movement, fps: float) -> str:
    """A duration in ms; below 50 frames a second as an interval; "end not seen" without an offset."""
    if movement.duration is None:
        return "end not seen"
    low, high = (1000 * value for value in movement.duration)
    return f"{low:.0f} to {high:.0f} ms" if fps < 50 else f"{0.5 * (low + high):.0f} ms"


def when_of(movement: Movement) -> str:
    """ "0.78 s, apex 1.04 s, to 1.28 s"."""
    end = f", to {clock(movement.offset_time)}" if movement.offset_time is not None else ""
    return f"{clock(movement.onset_time)}, apex {clock(movement.apex_time)}{end}"


def regions_of(movement: Movement, most: int = 3) -> str:
    """ "right mouth corner up-lateral, right cheek up"."""
    return ", ".join(f"{shift.region} {shift.direction}" for shift in movement.regions[:most])


def summary_of(analysis: Analysis) -> str:
    """What a terminal shows."""
    video = analysis.video
    lines = [
        f"{analysis.source}: {video['seconds']:.1f} s, {video['frames']} frames at {video['fps']:.4g} a "
        f"second, {video['inter_ocular_px']:.0f} px between the eyes; method {analysis.method}."
    ]
    for rank, reading in enumerate(analysis.readings[:8], 1):
        movement = reading.movement
        head = f"{rank}. {movement.kind}: {when_of(movement)} ({duration_of(movement, video['fps'])})"
        lines.append(head if movement.judged else f"{head}: cannot be judged.")
        if reading.prediction is not None:
            lines += [f"   {text}" for text in (reading.prediction.answer or "").splitlines()]
            lines += [
                f"   measured: AU{row.au}, {describe(row)}, z {row.z or 0:.0f}"
                for row in reading.evidence[:4]
            ]
        elif movement.regions:
            lines.append(f"   {regions_of(movement)}")
        lines += [f"   {text}" for text in (movement.reason, reading.warning) if text]
        said = f"{movement.reason} {reading.warning}"
        lines += [f"   Cannot be judged: {one.what.lower()}. {one.why}" for one in reading.unjudged
                  if one.why not in said]  # fmt: skip
    if len(analysis.readings) > 8:
        lines.append(f"... and {len(analysis.readings) - 8} weaker ones in result.json.")
    counts: dict[str, int] = {}
    for event in analysis.spotting.events:
        counts[event.kind] = counts.get(event.kind, 0) + 1
    if counts:
        named = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        lines.append(f"Also seen: {named}.")
    lines += [f"Cannot be judged: {one.what.lower()}. {one.why}" for one in analysis.unjudged]
    lines += [f"Note: {note}" for note in analysis.notes]
    return "\n".join(lines)
