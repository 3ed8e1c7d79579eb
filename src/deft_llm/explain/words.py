"""An analysis in plain words: times, durations, kinds, directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from deft_llm.answer import NOT_SUPPORTED
from deft_llm.aus.readout import describe
from deft_llm.facs.emotions import coarse_of, emotion_scores
from deft_llm.facs.words import percent
from deft_llm.records import BY_SHAPE
from deft_llm.spotting.movement import Movement, MovementUnit

if TYPE_CHECKING:
    from deft_llm.explain.result import AnalysisResult, MovementReading
    from deft_llm.records import Evidence

UNDECIDED, LIKELY = 0.2, 0.5  # by how much the first class leads the second
SUMMARISED = 20  # movements that a terminal shows
CLEAR_SHARE = 0.3  # of the rules' scores: from there on measured Action Units point to a label

EVENTS = {"head": "head movement", "gaze": "gaze shift", "occlusion": "face partly covered",
          "beyond the picture": "face partly out of the picture", "face lost": "no face seen",
          "darkness": "too dark", "cut": "cut in the video"}  # fmt: skip
"""Kinds of events whose name alone says too little, in words."""


def clock(seconds: float) -> str:
    """1.234 -> "1.23 s", 75.5 -> "1:15.50"."""
    seconds = round(seconds, 2)
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def between(start: float, end: float) -> str:
    """ "1.63 to 1.94 s", "59.50 s to 1:02.10"."""
    first = clock(start)
    return f"{first.removesuffix(' s') if clock(end).endswith(' s') else first} to {clock(end)}"


def duration_of(movement: Movement, fps: float) -> str:
    """A duration in ms; below 50 frames a second as an interval; "end not seen" without an offset."""
    if movement.duration is None:
        return "end not seen"
    low, high = (1000 * value for value in movement.duration)
    return f"{low:.0f} to {high:.0f} ms" if fps < 50 else f"{0.5 * (low + high):.0f} ms"


def when_of(movement: Movement) -> str:
    """ "onset 0.78 s, apex 1.04 s, offset 1.28 s"; "measured 0.78 to 1.04 s, offset 1.28 s" where a unit that
    the skin denies was the first or the strongest: no unit that is told begins or has its apex there."""
    end = f", offset {clock(movement.offset_time)}" if movement.offset_time is not None else ""
    own = movement.units
    if own and not (
        any(unit.onset == movement.onset for unit in own) and any(unit.apex == movement.apex for unit in own)
    ):
        return f"measured {between(movement.onset_time, movement.apex_time)}{end}"
    return f"onset {clock(movement.onset_time)}, apex {clock(movement.apex_time)}{end}"


CONFIDENT, DOUBTFUL = 0.8, 0.6
"""Confidence of a unit from which it is called sure, and below which its confidence is low."""


def confidence_words(confidence: float) -> str:
    """ "sure", "fairly sure", "low confidence"."""
    return (
        "sure" if confidence >= CONFIDENT else "fairly sure" if confidence >= DOUBTFUL else "low confidence"
    )


def unit_words(unit: MovementUnit) -> str:
    """ "AU12 left rises 0.54 to 0.80 s, intensity 0.0 to 2.1 of 5 (sure)"."""
    what = f"AU{unit.number} {unit.side} rises" if unit.phase == "rise" else unit.words
    when = between(unit.onset_time, unit.apex_time)
    level = ""
    if unit.intensity_before is not None and unit.intensity_after is not None:
        level = f", intensity {unit.intensity_before:.1f} to {unit.intensity_after:.1f} of 5"
    why = f": {unit.reason}" if unit.reason else ""
    size = f", {unit.iod_percent:.1f} % IOD" if unit.iod_percent is not None else ""
    return f"{what} {when}{level}{size} ({confidence_words(unit.confidence)}{why})"


def measured_words(row: Evidence) -> str:
    """One row of evidence: "AU12, the right mouth corner moved up and outward by 1.0 px (2.3 % IOD), z 10";
    of a unit that is seen by shape, what its skin's motion showed."""
    if row.reason != BY_SHAPE:
        return f"AU{row.au}, {describe(row)}" + ("" if row.z is None else f", z {row.z:.0f}")
    if row.z is None:
        return f"AU{row.au} {row.side}, seen by shape; its skin's motion shows nothing of it"
    size = "" if row.px is None else f"{row.px:.1f} px, "
    seen = f"AU{row.au} {row.side}, seen by shape"
    return f"{seen}; its skin's motion alone would not name it ({size}z {row.z:.1f})"


def marked_words(mark: str) -> str:
    """One of ``MovementReading.marks`` as a sentence."""
    return f"{NOT_SUPPORTED.capitalize()}: {mark}."


def regions_of(movement: Movement, most: int = 3) -> str:
    """ "right mouth corner up-lateral, right cheek up"."""
    return ", ".join(f"{shift.region} {shift.direction}" for shift in movement.regions[:most])


def certainty_of(probabilities: Mapping[str, float]) -> str:
    """How sure the class is, in words: "positive is hardly more likely than negative ..."."""
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    if len(ranked) < 2:
        return ""
    (first, p), (second, q) = ranked[:2]
    figures = f"({percent(p)} against {percent(q)})"
    if p - q < UNDECIDED:
        return (
            f"Uncertain: {first} is hardly more likely than {second} {figures}; read it as undecided "
            "between the two."
        )
    if p - q < LIKELY:
        return f"Not sure: {first} is more likely than {second} {figures}."
    return f"Fairly sure: {first} is much more likely than {second} {figures}."


def agreement_of(reading: MovementReading) -> str:
    """Whether the method's class and the class that rules give to the measured Action Units agree."""
    seen = reading.prediction
    rows = {row.au: row.support for row in reading.evidence if row.au is not None}
    if seen is None or seen.method == "rules" or not rows or seen.coarse is None:
        return ""
    scores = emotion_scores(rows)
    fine = max(scores, key=lambda label: scores[label])
    likeliest = coarse_of(fine) if scores[fine] >= CLEAR_SHARE else None
    named = "Action Unit" + "s" * (len(rows) > 1) + " " + ", ".join(map(str, sorted(rows)))
    points = "point" if len(rows) > 1 else "points"
    if likeliest is None:
        return f"The measured {named} alone {points} to no class."
    if likeliest == seen.coarse:
        return f"The measured {named} {points} to {likeliest} too (EMFACS-style rules)."
    return (
        f"But the measured {named} {points} to {likeliest} (EMFACS-style rules), and the class is "
        f"{seen.coarse}: they do not agree, so leave the class open."
    )


def summary_of(analysis: AnalysisResult) -> str:
    """What a terminal shows."""
    video = analysis.video
    lines = [
        f"{analysis.source}: {video['seconds']:.1f} s, {video['frames']} frames at {video['fps']:.4g} a "
        f"second, {video['inter_ocular_px']:.0f} px between the eyes; method {analysis.method}."
    ]
    for rank, reading in enumerate(analysis.readings[:SUMMARISED], 1):
        movement = reading.movement
        face = f", face {movement.face}" if len(analysis.states) > 1 else ""
        kind = movement.called
        head = f"{rank}. {kind}{face}: {when_of(movement)} ({duration_of(movement, video['fps'])})"
        lines.append(head if movement.judged else f"{head}: cannot be judged.")
        lines += [f"   {unit_words(unit)}" for unit in movement.units]
        lines += [f"   {text}" for text in (reading.answer or "").splitlines()]
        lines += [f"   {marked_words(mark)}" for mark in reading.marks]
        if reading.prediction is not None:
            sure = certainty_of(reading.prediction.probabilities)
            lines += [f"   {text}" for text in (sure, agreement_of(reading)) if text]
            lines += [f"   measured: {measured_words(row)}" for row in reading.evidence[:4]]
        elif movement.regions and not movement.units:
            lines.append(f"   {regions_of(movement)}")
        lines += [f"   {text}" for text in (movement.reason, reading.warning) if text]
        said = f"{movement.reason} {reading.warning}"
        lines += [f"   {one.head} {one.why}" for one in reading.unjudged if one.why not in said]
    if len(analysis.readings) > SUMMARISED:
        lines.append(f"... and {len(analysis.readings) - SUMMARISED} later ones in result.json.")
    if analysis.own_answer:
        lines += [f"Asked: {analysis.question}"] + [f"   {text}" for text in analysis.own_answer.splitlines()]
    counts: dict[str, int] = {}
    for event in analysis.events:
        said = EVENTS.get(event.kind, event.kind)
        counts[said] = counts.get(said, 0) + 1
    if counts:
        named = ", ".join(kind + f" ({count} times)" * (count > 1) for kind, count in counts.items())
        lines.append(f"Also seen: {named}.")
    lines += [f"{one.head} {one.why}" for one in analysis.unjudged]
    lines += [f"Note: {note}" for note in analysis.notes]
    return "\n".join(lines)
