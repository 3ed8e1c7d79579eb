"""What the measured motion has to say of an answer's statements, each at the place that it names.

A statement is supported where the motion fits its Action Unit and, in the region and on the side that it
names, stands above the noise and does not run the other way; else it is unsupported, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from deft_llm.answer import Answer, Statement
from deft_llm.aus.calibration import ALIASES, load_calibration
from deft_llm.aus.sighting import word_side
from deft_llm.aus.support import AUSupport, seen_at
from deft_llm.facs.directions import opposes
from deft_llm.records import SUPPORTED, Evidence
from deft_llm.store import Motion

MAP_FLOOR = 1.0
"""z below which a region of a relative map counts as still."""
NOTHING_PX = 0.05
"""px that answers print as "0.0 px"."""


def evidence_for(answer: Answer, supports: Sequence[AUSupport], motion: Motion) -> list[Evidence]:
    """One row of evidence for each statement: its own words, the AU's support (``supports``:
    ``aus.support.measure_support`` of the clip), the motion of the place that it names, and its status."""
    found = {support.au: support for support in supports}
    return [_evidence(item, found.get(item.au), motion) for item in answer.evidence]


def _evidence(item: Statement, support: AUSupport | None, motion: Motion) -> Evidence:
    share = min(max(float(support.support), 0.0), 1.0) if support else 0.0
    place = support
    if support and support.judged and (support.region, support.side) != (item.region, item.side):
        place = seen_at(support, item.region, item.side, motion)
    why = _why_not(item, support, place, motion)
    return Evidence(
        au=item.au,
        side=item.side,
        part=item.part,
        region=item.region,
        direction=item.direction,
        dx=float(place.dx) if place else 0.0,
        dy=float(place.dy) if place else 0.0,
        px=place.px if place else None,
        iod_percent=place.iod_percent if place else None,
        z=place.z if place and place.judged else None,
        support=share,
        status="unsupported" if why else "supported",
        reason=why or "the region moves so, as this Action Unit does",
    )


def _why_not(item: Statement, support: AUSupport | None, place: AUSupport | None, motion: Motion) -> str:
    """Why the measured motion does not support a statement, "" where it does."""
    if support is None:
        return "this Action Unit is not measured"
    if not support.judged:
        return f"it cannot be judged: {support.reason}"
    if place is None:
        return f"the motion of its {item.region} could not be measured"
    calibration = load_calibration()
    least = calibration.gates.minimum_z if motion.units == "px" else MAP_FLOOR
    if place.z < least or (place.px is not None and place.px < NOTHING_PX):
        size = "" if place.px is None else f"{place.px:.1f} px, "
        return f"the {item.region} does not move there above the noise ({size}z {place.z:.1f})"
    side = word_side(item.region, item.side)
    if opposes(item.direction, place.dx, place.dy, side):  # type: ignore[arg-type]
        return f"the {item.region} moves {place.direction} there, not {item.direction}"
    model = calibration.models[motion.units].get(ALIASES.get(item.au, item.au))
    # What ``read_units`` reads off the same motion is never denied here.
    if support.support >= min(SUPPORTED, model.threshold if model else SUPPORTED):
        return ""
    return support.reason or f"its motion does not fit this Action Unit (support {support.support:.2f})"
