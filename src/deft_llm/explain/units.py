"""A movement's Action Units with what was measured of them: figures, and what motion alone may state.

The state says which units rise and which are released; the skin's motion gives px, % of the eye distance and
z. A unit that motion alone shows is stated where the state cannot resolve it: where it should have been seen
by shape, or where the state says that its opposite is being released, it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from deft_llm.aus.readout import LEAST_Z
from deft_llm.facs.directions import image_vector
from deft_llm.facs.regions import PART_REGIONS, REGION_INDEX
from deft_llm.facs.units import entry, valid_directions
from deft_llm.records import BY_SHAPE, Evidence
from deft_llm.spotting.confidence import shipped
from deft_llm.spotting.joint import areas_of
from deft_llm.spotting.movement import A_WORD, Movement, MovementUnit, UnitPhase
from deft_llm.spotting.phases import (
    LIMITS,
    at_lid_event,
    intensity_at,
    lips_alone,
    passing_cover,
    share_at,
)
from deft_llm.state.channels import SIDES
from deft_llm.state.compression import COARSE, MODERATE, STRONG, coding_floor, quantiser_of
from deft_llm.state.face_state import FaceState, unsure
from deft_llm.state.intensity import LID_AUS, STATE_AUS, VISIBLE, part_of
from deft_llm.store import Motion
from deft_llm.store.motion import ALIGNED_IOD

FINEST_STATE = 4.0  # % of the eye distance that a unit moves skin by where shape should show it
OPPOSITES: dict[int, tuple[int, ...]] = {
    15: (12, 10), 12: (15, 18, 22), 4: (1, 2), 1: (4,), 2: (4,), 43: (5,), 45: (5,), 5: (43,), 7: (5,),
    17: (25, 26), 25: (24, 28), 26: (17,), 24: (25, 26), 23: (25, 22), 28: (25, 26), 16: (17,), 20: (18, 22),
    18: (12, 20), 22: (12, 20), 14: (12, 18), 10: (15,),
}  # fmt: skip
"""Units whose release looks like the rise of the key's unit, to motion alone."""
MOTION_Z = 4.5  # z of a unit that motion alone states: a region that stands for itself (``spotting.spot``)
RELEASED = 0.25  # share of clearly visible that an opposite must fall by to explain motion
HELD = 0.5  # share of clearly visible that it must show before: what is not held is not released
SAME_WAY = 0.15  # share of clearly visible that a unit may fall by while motion says that it rises
STATED = frozenset({1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26})
"""Units that motion alone may state: those whose template coders of fine movements use."""
BRIEF = ("micro-expression", "given")
"""Kinds of movement that motion alone may name, however large; what lasts longer, and goes back, up to the
size that shape shows."""
TOO_LONG = "a movement of this length and size would show in shape and appearance, which show none"
NO_END = "what does not go back would show in shape and appearance, which show none"
COVERED = "something comes or goes before the face"
CODED = "the video is compressed"
SKIN_STILL = "shape hints at it, and the skin does not move so"
LIDS_MOVE = "the eyes open, close or look elsewhere just then"
MOTION_CONFIDENCE, RELEASE_CONFIDENCE, COMPRESSED_CONFIDENCE = 0.6, 0.45, 0.4


def change_of(state: FaceState, au: int, side: str, onset: int, apex: int) -> float:
    """By how much a unit's reading changes between two frames, in shares of clearly visible; NaN where it is
    not read or hidden."""
    if au not in STATE_AUS or unsure(state, au)[[onset, apex]].any():
        return float("nan")
    sides = SIDES if side in ("both", "asymmetric") else (side,)
    return float(np.mean([share_at(state, au, one, apex) - share_at(state, au, one, onset) for one in sides]))


def measured(movement: Movement, motion: Motion | None, evidence: list[Evidence]) -> Movement:
    """The movement with px, % of the eye distance, z and support of its units."""
    if motion is None:
        return movement
    units = tuple(_with_figures(unit, movement, motion, evidence) for unit in movement.units)
    return replace(movement, units=units)


def _with_figures(
    unit: MovementUnit, movement: Movement, motion: Motion, evidence: list[Evidence]
) -> MovementUnit:  # fmt: skip
    """Figures of the row that shows the unit, else of its own regions along the way that it moves skin."""
    if not is_measured(unit, movement):
        return _shaped(unit)
    row = _row_of(unit, evidence)
    if row is not None and unit.phase == "rise":
        seen = "both" if unit.seen_by == "state" else unit.seen_by
        return replace(unit, px=row.px, iod_percent=row.iod_percent, z=row.z, support=row.support,
                       seen_by=seen)  # fmt: skip
    px, percent, z = projected(unit, motion)
    found = replace(unit, px=px, iod_percent=percent, z=z)
    return _shaped(found) if unit.phase == "rise" or px is None else found


def seconded(movement: Movement) -> Movement:
    """A measured movement whose rises' confidences are held against what the skin did: it moved along with
    those that have figures."""
    units = []
    for unit in movement.units:
        if unit.phase == "rise" and is_measured(unit, movement):
            chance = shipped().seconded(np.array(unit.confidence), np.array(unit.px is not None))
            unit = replace(unit, confidence=round(float(chance), 3))
        units.append(unit)
    return replace(movement, units=tuple(units))


def is_measured(unit: MovementUnit, movement: Movement) -> bool:
    """Whether a unit lies in the motion that was measured: what comes back after the rise does not."""
    return movement.onset <= unit.apex <= movement.end and unit.onset <= movement.apex


def _shaped(unit: MovementUnit) -> MovementUnit:
    """The unit as shape alone shows it: its part of the face moved, but not as the unit does."""
    return replace(unit, seen_by="state") if unit.seen_by == "both" else unit


def _row_of(unit: MovementUnit, evidence: Iterable[Evidence]) -> Evidence | None:
    """The first row of a unit whose side is its own, or where one of the two is of both sides."""
    return next(
        (row for row in evidence if row.au == unit.number
         and (row.side == unit.side or not {row.side, unit.side} <= set(SIDES))), None
    )  # fmt: skip


def projected(unit: MovementUnit, motion: Motion) -> tuple[float | None, float | None, float | None]:
    """px in the source, % of the eye distance and z of the unit's main region along its own direction; None
    where it moved another way, or no more than its noise."""
    motions = entry(unit.number).motion
    if not motions:
        return None, None, None
    main = max(motions, key=lambda one: one.weight)
    way = -1.0 if unit.phase == "release" else 1.0
    found = []
    for side in ("left", "right") if unit.side in ("both", "asymmetric") else (unit.side,):
        key = f"{side} {main.region}" if f"{side} {main.region}" in REGION_INDEX else main.region
        at = REGION_INDEX[key]
        dx, dy = image_vector(main.medial, main.up, "mid" if key == main.region else side)
        along = way * (dx * motion.regions.dx[0, at] + dy * motion.regions.dy[0, at])
        found.append((along, motion.regions.floor[0, at]))
    size = float(np.mean([along for along, _ in found]))
    floor = float(np.mean([noise for _, noise in found]))
    if not np.isfinite(size) or size <= 0 or size < LEAST_Z * floor:
        return None, None, None
    share = size / ALIGNED_IOD
    return share * (motion.iod_px or 0.0), 100 * share, size / floor if floor > 0 else None


def hindrance(refused: Mapping[int, str]) -> str:
    """Why motion that was refused says nothing at all, its class no more than its units: what covers the face
    or the video's coding moved the skin; "" where it was something else. ``refused``: unit -> reason, as
    ``of_motion`` gives them."""
    return next((why for why in refused.values() if why.startswith((COVERED, CODED))), "")


def unnamed(movement: Movement, not_judged: Mapping[int, str]) -> tuple[Movement, str]:
    """A movement, and why nothing is said of it: no Action Unit of it can be told, and it is slow, coded or
    covered, or a word, or lies partly where nothing can be judged; "" where a method may read it.
    ``not_judged``: unit -> why it is not stated. Lips that motion sees part, and no more, are no
    micro-expression either."""
    if movement.kind == "micro-expression" and lips_alone(movement.rises):
        return replace(movement, kind="movement", reason=A_WORD), ""
    if movement.rises or movement.kind == "given":
        return movement, ""
    if movement.kind not in BRIEF:
        slow = "is too slow for" if movement.offset is not None else "does not go back, unlike"
        return movement, f"No Action Unit can be told in its motion, and it {slow} a micro-expression."
    if coded := hindrance(not_judged):
        return movement, f"Nothing is said of this motion: {coded}."
    if unseen := [shift.region for shift in movement.regions if shift.region in movement.hidden]:
        why = f"{unseen[0]}: {movement.hidden[unseen[0]]}"
        return (
            replace(movement, kind="movement"),
            f"No Action Unit can be told in its motion, part of which cannot be judged ({why}).",
        )
    if areas_of(movement.regions) == {"mouth"}:
        return replace(movement, kind="movement"), f"No Action Unit can be told in its motion. {A_WORD}"
    return movement, ""


def of_motion(
    movement: Movement, evidence: list[Evidence], state: FaceState
) -> tuple[Movement, dict[int, str]]:  # fmt: skip
    """The movement with the units that motion alone shows, and the ones that are not stated, with reasons."""
    units, refused = list(movement.units), {}
    inside = slice(movement.onset, movement.end + 1)
    compressed, coded = float(np.median(state.skipped[inside])), quantiser_of(state.quantiser[inside])
    for row in evidence:
        if row.au is None or row.status != "supported" or any(unit.number == row.au for unit in units):
            continue
        if row.au not in STATED:
            refused[row.au] = "motion alone does not tell it from its look-alikes"
            continue
        if passing_cover(movement, state):
            refused[row.au] = f"{COVERED}, which draws its landmarks along"
            continue
        if (row.z or 0.0) < MOTION_Z:
            refused[row.au] = f"z {row.z or 0.0:.1f}: too little above the clip's noise for motion alone"
            continue
        if (row.px or 0.0) < coding_floor(coded):
            refused[row.au] = f"{CODED}: its coding alone moves skin by {coding_floor(coded):.1f} px"
            continue
        if compressed > STRONG:
            refused[row.au] = f"{CODED} too strongly for motion this fine"
            continue
        large = (row.iod_percent or 0.0) > FINEST_STATE
        if movement.kind not in BRIEF and (large or movement.offset is None):
            refused[row.au] = TOO_LONG if movement.offset is not None else NO_END
            continue
        opposite = _released(state, movement, row.au)
        if opposite is not None:
            if not any(unit.number == opposite for unit in units):
                units.append(_unit(movement, row, state, au=opposite, phase="release"))
            refused[row.au] = f"AU{opposite} is released here, which looks the same"
            continue
        reason = _contradiction(state, movement, row)
        if reason:
            refused[row.au] = reason
        else:
            units.append(_unit(movement, row, state, au=row.au, phase="rise"))
    if compressed > MODERATE or coded > COARSE:
        units = [
            replace(unit, confidence=COMPRESSED_CONFIDENCE, reason=CODED)
            if unit.seen_by == "motion" else unit for unit in units
        ]  # fmt: skip
    return replace(movement, units=tuple(units)), refused


def _released(state: FaceState, movement: Movement, au: int) -> int | None:
    """The opposite unit that is being released while motion seems to show ``au``."""
    falls = {
        other: -change_of(state, other, "both", movement.onset, movement.apex)
        for other in OPPOSITES.get(au, ())
        if other in STATE_AUS and max(state.share(other, side, movement.onset) for side in SIDES) >= HELD
    }
    falls = {
        other: fall for other, fall in falls.items()
        if np.isfinite(fall) and fall * VISIBLE[other] > max(_floor(state, other), RELEASED * VISIBLE[other])
    }  # fmt: skip
    return max(falls, key=lambda other: falls[other]) if falls else None


def _floor(state: FaceState, au: int) -> float:
    return max(state.floor[au, side] for side in SIDES)


def rows_of(movement: Movement, evidence: list[Evidence]) -> list[Evidence]:
    """One row of evidence for each unit that rises: the measured one, else what shape and appearance show."""
    supported = [row for row in evidence if row.status == "supported"]
    found = []
    for unit in movement.rises:
        row = _row_of(unit, supported) if is_measured(unit, movement) else None
        if row is not None:
            found.append(row.model_copy(update={"side": unit.side}))
        elif entry(unit.number).motion:
            found.append(_row_of_shape(unit))
    return found


def as_stated(
    movement: Movement, rows: list[Evidence], statements: Iterable[Evidence]
) -> tuple[Movement, list[Evidence]]:
    """The movement and its rows of evidence with the figures of the place that an answer's ``statements``
    name: a smile told at the mouth's corner is measured there in every table, not at the cheek."""
    told = [row for row in statements if row.status == "supported" and row.reason != BY_SHAPE and row.px]
    units = []
    for unit in movement.units:
        row = _row_of(unit, told) if unit.phase == "rise" and unit.seen_by != "state" else None
        if row is None:
            units.append(unit)
            continue
        units.append(replace(unit, px=row.px, iod_percent=row.iod_percent, z=row.z))
        measured_row = _row_of(unit, rows)
        rows = [row if one is measured_row else one for one in rows]
    return replace(movement, units=tuple(units)), rows


def _row_of_shape(unit: MovementUnit) -> Evidence:
    main = max(entry(unit.number).motion, key=lambda one: one.weight)
    sided = unit.side in SIDES
    dx, dy = image_vector(main.medial, main.up, "left" if unit.side == "left" else "right")
    size = (unit.iod_percent or 0.0) * ALIGNED_IOD / 100
    return Evidence(
        au=unit.number, side=unit.side, region=main.region,
        direction=valid_directions(unit.number, main.region)[0], dx=size * dx if sided else 0.0,
        dy=size * dy, px=unit.px, iod_percent=unit.iod_percent, z=unit.z, support=unit.confidence,
        status="supported", reason=BY_SHAPE,
    )  # fmt: skip


def _contradiction(state: FaceState, movement: Movement, row: Evidence) -> str:
    """Why a unit of motion is not stated, "" where nothing contradicts it."""
    assert row.au is not None
    judged_by = (row.region, *PART_REGIONS[part_of(row.au)])  # where it was measured, and its own part
    if hidden := next((why for key, why in movement.hidden.items() if key.endswith(judged_by)), ""):
        return hidden
    if row.au in LID_AUS and at_lid_event(movement, state):
        return LIDS_MOVE
    change = change_of(state, row.au, row.side, movement.onset, movement.apex)
    if not np.isfinite(change):
        return ""
    if change < -SAME_WAY:
        return "shape and appearance show the opposite"
    large = (row.iod_percent or 0.0) > FINEST_STATE
    if large and row.au in LIMITS and change < 0.5 * LIMITS[row.au]:
        return "motion of this size would show in shape and appearance, which show none"
    return ""


def _unit(movement: Movement, row: Evidence, state: FaceState, *, au: int, phase: UnitPhase) -> MovementUnit:
    before = after = None
    side = row.side if phase == "rise" else "both"
    if au in STATE_AUS:
        one = side if side in SIDES else SIDES[0]
        before, after = (intensity_at(state, au, one, at) for at in (movement.onset, movement.apex))
    return MovementUnit(
        number=au, side=side, phase=phase, onset=movement.onset, apex=movement.apex, offset=movement.offset,
        onset_time=movement.onset_time, apex_time=movement.apex_time, offset_time=movement.offset_time,
        intensity_before=before, intensity_after=after,
        confidence=MOTION_CONFIDENCE if phase == "rise" else RELEASE_CONFIDENCE, seen_by="motion",
        z=row.z, px=row.px, iod_percent=row.iod_percent, support=row.support if phase == "rise" else None,
    )  # fmt: skip
