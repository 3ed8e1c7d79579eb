"""report.html: one file with everything in it, readable on a phone and in print."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.answer import AnswerError, parse
from deft_llm.aus.readout import describe
from deft_llm.claims import LIMITS
from deft_llm.explain.judgement import by_reason
from deft_llm.explain.overlays import arrow_gain, as_data, face_picture, flow_overlay, strain_overlay
from deft_llm.explain.timeline import NARROW, lane_height, svg_timeline
from deft_llm.explain.words import agreement_of, certainty_of, clock, duration_of, regions_of, when_of
from deft_llm.facs.units import name
from deft_llm.version import __version__

if TYPE_CHECKING:
    from deft_llm.explain.analysis import Analysis, Reading

LISTED = 12


def render_report(analysis: Analysis) -> str:
    """The page of an analysis as one HTML text."""
    fps = analysis.video["fps"]
    read = [
        _reading(rank, reading, fps)
        for rank, reading in enumerate(analysis.readings, 1)
        if reading.prediction is not None
    ]
    others = [
        {
            "rank": rank, "kind": reading.movement.kind, "when": when_of(reading.movement),
            "lasts": duration_of(reading.movement, fps), "regions": regions_of(reading.movement),
            "reason": " ".join(text for text in (reading.movement.reason, reading.warning) if text),
        }
        for rank, reading in enumerate(analysis.readings, 1)
        if reading.prediction is None
    ]  # fmt: skip
    return _template().render(
        analysis=analysis, video=analysis.video, read=read, others=others[:LISTED],
        more=max(0, len(others) - LISTED), events=_events(analysis), timeline=svg_timeline(analysis),
        narrow_timeline=svg_timeline(analysis, NARROW),
        scale=lane_height(analysis) / 0.9,
        limits=LIMITS, version=__version__,
    )  # fmt: skip


def write_report(path: Path, analysis: Analysis) -> Path:
    """Write the page atomically."""
    from deft_llm.files import write_text

    write_text(path, render_report(analysis))
    return Path(path)


def _reading(rank: int, reading: Reading, fps: float) -> dict[str, Any]:
    movement, seen, motion = reading.movement, reading.prediction, reading.motion
    assert seen is not None
    pictures = []
    if motion is not None and motion.faces is not None:
        pictures = [
            ("Onset", f"frame {movement.onset}", as_data(face_picture(motion, 0))),
            ("Apex", f"frame {movement.apex}", as_data(face_picture(motion, 1))),
            ("Motion", f"arrows {arrow_gain(motion):.0f} times longer than the motion",
             as_data(flow_overlay(motion))),
            ("Strain", "where the skin stretches or folds", as_data(strain_overlay(motion))),
        ]  # fmt: skip
    try:
        answer = parse(seen.answer or "")
    except AnswerError:
        answer = None
    ranked = sorted(seen.probabilities.items(), key=lambda pair: -pair[1])
    return {
        "rank": rank, "kind": movement.kind, "when": when_of(movement), "lasts": duration_of(movement, fps),
        "reason": movement.reason, "warning": reading.warning, "pictures": pictures,
        "unjudged": [one for one in reading.unjudged if one.state != "below-noise"],
        "aus_unjudged": by_reason(reading.not_judged),
        "answer": answer, "raw_answer": seen.answer, "fine": seen.fine, "coarse": seen.coarse,
        "sure": certainty_of(seen.probabilities), "agreement": agreement_of(reading),
        "probabilities": ranked, "rests_on": _rests_on(reading),
        "evidence": [
            {"au": row.au, "name": name(row.au) if row.au else "", "side": row.part or row.side,
             "region": row.region, "direction": row.direction, "px": row.px, "iod": row.iod_percent,
             "z": row.z, "support": row.support, "words": describe(row)} for row in reading.evidence
        ],
    }  # fmt: skip


def _rests_on(reading: Reading) -> dict[str, Any] | None:
    """Where on the face class and AUs come from, and what the class loses with a part of the input."""
    found, motion = reading.attribution, reading.motion
    if found is None or motion is None:
        return None
    from deft_llm.explain.attribution import PARTS, attribution_overlay, words_of

    pictures = []
    for source in found.sources:
        au = int(source.name[2:]) if source.name.startswith("AU") else None
        title = f"{source.name} {name(au)}" if au is not None else source.name.capitalize()
        pictures.append((title, words_of(source), as_data(attribution_overlay(motion, source))))
    removed = [
        (PARTS.get(part, part), 100 * share, round(100 * (share - found.probability)))
        for part, share in found.without.items()
    ]
    return {
        "pictures": pictures, "label": found.label, "percent": 100 * found.probability, "removed": removed,
        "error": 100 * max(source.error for source in found.sources),
    }  # fmt: skip


def _events(analysis: Analysis) -> list[dict[str, str]]:
    rows = [
        {
            "kind": event.kind,
            "when": f"{clock(event.onset_time)} to {clock(event.offset_time or event.apex_time)}",
        }
        for event in analysis.spotting.events
    ]
    times = analysis.signal.times
    rows += [
        {"kind": "speech", "when": f"{clock(times[span.start])} to {clock(times[span.stop])}"}
        for span in analysis.spotting.speech
    ]
    return rows


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    loader = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined,
                         trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return loader.get_template("report.html.j2")
