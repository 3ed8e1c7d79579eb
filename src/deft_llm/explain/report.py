"""report.html: one file with everything in it, readable on a phone and in print."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.answer import AnswerError, parse
from deft_llm.claims import LIMITS
from deft_llm.explain.curves import KEY, svg_curves
from deft_llm.explain.overlays import (
    arrow_words,
    as_data,
    enlarged,
    face_picture,
    flow_overlay,
    strain_overlay,
)
from deft_llm.explain.snapshots import MOST, pictured_movements
from deft_llm.explain.timeline import (
    COLOURS,
    HEAD,
    MARKS,
    NARROW,
    SHADES,
    caption_of,
    key_of,
    kind_class,
    svg_timeline,
)
from deft_llm.explain.unjudged import by_reason
from deft_llm.explain.words import (
    EVENTS,
    agreement_of,
    between,
    certainty_of,
    clock,
    confidence_words,
    duration_of,
    marked_words,
    measured_words,
    regions_of,
    when_of,
)
from deft_llm.facs.units import name
from deft_llm.files import write_text
from deft_llm.records import BY_SHAPE
from deft_llm.spotting.movement import MovementUnit
from deft_llm.state.face_state import FaceState
from deft_llm.version import __version__

if TYPE_CHECKING:
    from deft_llm.explain.result import AnalysisResult, MovementReading

SEEN_BY = {"state": "shape", "motion": "motion", "both": "shape and motion"}


def render_report(analysis: AnalysisResult) -> str:
    """The page of an analysis as one HTML text."""
    fps, several = analysis.video["fps"], len(analysis.states) > 1
    drawn = pictured_movements(analysis.movements)
    read = [
        _reading(rank, reading, fps, several, pictures=rank - 1 in drawn)
        for rank, reading in enumerate(analysis.readings, 1)
    ]
    curves = [
        {"face": state.face, "wide": svg_curves(state, analysis.movements),
         "narrow": svg_curves(state, analysis.movements, NARROW), "neutral": neutral_words(state)}
        for state in analysis.states
    ]  # fmt: skip
    return _template().render(
        analysis=analysis, video=analysis.video, read=read, events=_events(analysis), curves=curves,
        several=several, timeline=svg_timeline(analysis) if analysis.signal else "",
        narrow_timeline=svg_timeline(analysis, NARROW) if analysis.signal else "",
        colours=COLOURS, head=HEAD, shades=SHADES, marks=MARKS, most=MOST,
        key=key_of(analysis), caption=caption_of(analysis), curve_key=KEY, limits=LIMITS, version=__version__,
    )  # fmt: skip


def write_report(path: Path, analysis: AnalysisResult) -> Path:
    """Write the page atomically."""

    write_text(path, render_report(analysis))
    return Path(path)


def neutral_words(state: FaceState) -> str:
    """Which frames are the neutral face: "estimated from 12 calm frames between 0.10 and 0.47 s"."""
    frames = state.neutral.frames
    if not frames:
        return f"{state.neutral.source}, none of this video's frames"
    between = f"{clock(state.times[frames[0]])} and {clock(state.times[frames[-1]])}"
    return f"{state.neutral.source} from {len(frames)} frames between {between}"


def _reading(
    rank: int, reading: MovementReading, fps: float, several: bool, *, pictures: bool
) -> dict[str, Any]:  # fmt: skip
    """What the template shows of one movement."""
    movement, seen = reading.movement, reading.prediction
    probabilities = seen.probabilities if seen is not None else {}
    try:
        answer = parse(reading.answer or "") if seen is not None else None
    except AnswerError:
        answer = None
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return {
        "rank": rank, "kind": movement.called, "mark": kind_class(movement.kind),
        "face": movement.face if several else None,
        "units": [_unit(unit) for unit in movement.units],
        "marks": [marked_words(mark) for mark in reading.marks],
        "regions": regions_of(movement), "read": reading.read, "when": when_of(movement),
        "lasts": duration_of(movement, fps),
        "reason": "" if movement.reason in [one.why for one in reading.told] else movement.reason,
        "warning": reading.warning, "pictured": pictures,
        "pictures": _pictures(reading) if pictures else [],
        "unjudged": reading.told,
        "aus_unjudged": by_reason(reading.not_judged),
        "answer": answer, "raw_answer": reading.answer,
        "sure": certainty_of(probabilities), "agreement": agreement_of(reading),
        "probabilities": ranked, "rests_on": _rests_on(reading) if pictures else None,
        "evidence": [
            {"au": row.au, "name": name(row.au) if row.au else "", "side": row.part or row.side,
             "region": row.region, "direction": row.direction, "px": row.px, "iod": row.iod_percent,
             "z": row.z, "support": row.support} for row in reading.evidence if row.reason != BY_SHAPE
        ],
        "by_shape": [measured_words(row) for row in reading.evidence if row.reason == BY_SHAPE],
    }  # fmt: skip


def _pictures(reading: MovementReading) -> list[tuple[str, str, str]]:
    """Title, text and data of a movement's pictures."""
    movement, motion = reading.movement, reading.motion
    if motion is not None and motion.faces is not None:
        return [
            ("Onset", f"frame {movement.onset}", as_data(face_picture(motion, 0))),
            ("Apex", f"frame {movement.apex}", as_data(face_picture(motion, 1))),
            ("Motion", arrow_words(motion),
             as_data(flow_overlay(motion))),
            ("Strain", "where the skin stretches or folds", as_data(strain_overlay(motion))),
        ]  # fmt: skip
    titles = (("Onset", movement.onset), ("Apex", movement.apex))
    return [
        (title, f"frame {frame}", as_data(enlarged(picture)))
        for title, frame in titles
        if (picture := reading.pictures.get(frame)) is not None
    ]


def _unit(unit: MovementUnit) -> dict[str, Any]:
    """One row of the table of units."""
    return {
        "au": unit.number, "name": name(unit.number), "side": unit.side, "phase": unit.phase,
        "when": between(unit.onset_time, unit.apex_time),
        "end": None if unit.offset_time is None else clock(unit.offset_time),
        "before": unit.intensity_before, "after": unit.intensity_after, "px": unit.px,
        "iod": unit.iod_percent, "z": unit.z, "seen_by": SEEN_BY[unit.seen_by],
        "sure": confidence_words(unit.confidence), "confidence": unit.confidence, "reason": unit.reason,
    }  # fmt: skip


def _rests_on(reading: MovementReading) -> dict[str, Any] | None:
    """Where on the face class and AUs come from, and what the class loses with a part of the input."""
    found, motion = reading.attribution, reading.motion
    if found is None or motion is None:
        return None
    from deft_llm.explain.attribution import (
        PARTS,
        attribution_overlay,
        note_of,
        points_words,
        title_of,
        words_of,
    )

    pictures = [
        (title_of(one, reading.movement), words_of(one), as_data(attribution_overlay(motion, one)))
        for one in found.sources
    ]
    removed = [
        (PARTS.get(part, part), 100 * share, points_words(share - found.probability))
        for part, share in found.without.items()
    ]
    return {
        "pictures": pictures, "label": found.label, "percent": 100 * found.probability, "removed": removed,
        "note": note_of(found),
    }  # fmt: skip


def _events(analysis: AnalysisResult) -> list[dict[str, str]]:
    several = len(analysis.states) > 1
    rows = []
    for event in analysis.events:
        kind = EVENTS.get(event.kind, event.kind)
        side = f" {event.side}" if event.side in ("left", "right") else ""
        unit = "".join(f" (AU{au})" for au in event.aus)
        face = f", face {event.face}" if several else ""
        if event.offset_time is None:
            when = f"{clock(event.onset_time)}, its end is not seen"
        elif event.offset == event.onset:
            when = f"{clock(event.onset_time)}, one frame"
        else:
            when = between(event.onset_time, event.offset_time)
        rows.append({"kind": f"{kind}{side}{unit}{face}", "when": when})
    return rows


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    loader = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined,
                         trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return loader.get_template("report.html.j2")
