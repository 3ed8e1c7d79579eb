"""State and motion together: one list of movements in the order of time, and everything else as events.

A movement that shape and appearance show is the state's: its rise, hold and release make one record. What
is too fine for the state comes from the skin's motion (``spot``); where the state says that something is
being released, the motion that shows it is that release, never a new expression.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deft_llm.facs.directions import image_vector
from deft_llm.facs.regions import PART_REGIONS, REGION_INDEX, REGION_KEYS, REGIONS
from deft_llm.facs.units import entry
from deft_llm.facs.words import listed
from deft_llm.spotting.confidence import confidence_of, shipped
from deft_llm.spotting.explained import PhaseGroup, grouped, without_dragged, without_implied
from deft_llm.spotting.movement import (
    A_WORD,
    BEYOND,
    COVERED,
    DARK,
    MICRO_SECONDS,
    REPEATED,
    RISES_AGAIN,
    SPOKEN,
    SPOKEN_REASON,
    STILL_HELD,
    UNIT_HELD,
    Kind,
    Movement,
    MovementUnit,
    OtherEvent,
    RegionShift,
    border,
    bounds_of,
)
from deft_llm.spotting.phases import (
    LIMITS,
    STANDING,
    AUPhase,
    at_lid_event,
    come_again,
    intensity_at,
    lips_alone,
    phases_of,
    reading_at,
    turned,
)
from deft_llm.spotting.spot import AREA, Spotting
from deft_llm.state.channels import SIDES, runs
from deft_llm.state.face_state import FaceState, unsure
from deft_llm.state.intensity import WHOLE, part_of

# Share of its height that a unit shows shortly before or after: one of several, no micro-expression.
AGAIN = 0.5
RETURN_SLACK = 0.3  # s within which two releases of one unit are the same
SAME_MOTION_SECONDS = 0.12  # by which motion may begin before or end after a phase of the state
TURN_DEGREES = 12.0  # a turn of the head in a phase from which its statement is marked
# Confidence from which a release shows that its rise was there, and which the rise must have itself.
SURE_RETURN, RETURNING = 0.6, 0.25
LIDS_SHUT = ("blink", "wink", "eyes closed")
IN_SPEECH = "during speech"
MOSTLY = 0.5  # share of a movement's frames in which a part is hidden, or speaks, that decides for all of it


def joint_movements(
    state: FaceState, motion: Spotting | None, micro_seconds: float = MICRO_SECONDS
) -> list[Movement]:
    """The movements of one face, in the order of time. ``motion`` is None where only the state was read;
    ``micro_seconds``: the longest micro-expression."""
    movements = state_movements(state, micro_seconds)
    if motion is not None:
        movements = _with_motion(movements, motion, state)
    return sorted(movements, key=lambda movement: (movement.onset, movement.apex))


def state_movements(state: FaceState, micro_seconds: float = MICRO_SECONDS) -> list[Movement]:
    """Movements that the state shows: units that rise together, each with its release; lone releases."""
    groups = grouped(without_implied(sure_enough(state), state.fps), state)
    rises = [(group, list(_units(group, state))) for group in groups if group.kind == "rise"]
    falls = [phase for group in groups if group.kind == "release" for phase in group.members]
    ends = {id(phase.of): phase for phase in falls if phase.of is not None}
    tied = [
        (units, rise, own) for group, units in rises for rise in units
        if (own := [ends[id(one)] for one in group.members if one.au == rise.number and id(one) in ends])
    ]  # fmt: skip
    for units, rise, own in sorted(tied, key=lambda one: -max(phase.size for phase in one[2])):
        units += [unit for unit in _releases(own, rise, state) if not _told(unit, rises, state.fps)]
    alone: list[tuple[PhaseGroup, list[MovementUnit]]] = []
    for group in groups:
        if group.kind == "rise":
            continue
        lone = replace(group, phases=[phase for phase in group.phases if phase.of is None])
        rest = [
            (phase, unit) for phase, unit in zip(lone.phases, _units(lone, state), strict=True)
            if not _told(unit, rises, state.fps)
        ]  # fmt: skip
        if rest:
            phases, units = map(list, zip(*rest, strict=True))
            alone.append((replace(lone, phases=phases), units))
    return [_movement(group, units, state, micro_seconds) for group, units in (*rises, *alone)]


def between(state: FaceState, movement: Movement) -> Movement:
    """A movement whose frames were given, with the units that rise or are released from its onset to its apex
    by as much as a spotted one takes, and the regions that cannot be judged."""
    onset, apex, phases = movement.onset, movement.apex, []
    for au, limit in LIMITS.items():
        if unsure(state, au)[[onset, apex]].any():
            continue
        for side in ("both",) if au in WHOLE else SIDES:
            before, after = (reading_at(state, au, side, at) for at in (onset, apex))
            if abs(after - before) >= limit and max(after, before) >= STANDING * limit:
                phases.append(AUPhase(
                    "rise" if after > before else "release", au, side, onset, apex, movement.end,
                    abs(after - before), max(after, before),
                ))  # fmt: skip
    groups = grouped(without_implied(without_dragged(phases, state), state.fps), state)
    units = [
        replace(unit, offset=movement.offset, offset_time=movement.offset_time)
        for group in groups for unit in _units(group, state)
    ]  # fmt: skip
    hidden = hidden_regions(state, onset, movement.end)
    return replace(movement, units=tuple(sorted(units, key=lambda unit: unit.number)), hidden=hidden)


def sure_enough(state: FaceState) -> list[AUPhase]:
    """Phases that are stated: what no stronger movement drags along, of the least confidence and more; a rise
    of less where its release is sure."""
    found = without_dragged(phases_of(state), state)
    sure = [confidence_of(phase, state) for phase in found]
    returns = {id(phase.of) for phase, chance in zip(found, sure, strict=True) if chance >= _sure_return()}
    return [
        phase for phase, chance in zip(found, sure, strict=True) if chance >= _least(id(phase) in returns)
    ]


def _sure_return() -> float:
    """Confidence from which a release shows that its rise was there."""
    return max(SURE_RETURN, shipped().least)


def _least(returns: bool) -> float:
    """Confidence from which a phase is stated, by whether it is a rise that surely ``returns``."""
    return min(RETURNING, shipped().least) if returns else shipped().least


def borne_out(movement: Movement, state: FaceState, micro_seconds: float = MICRO_SECONDS) -> Movement:
    """A movement with the rises that are still sure enough once the skin's motion was measured (of the least
    confidence, of less where their release is sure) and their releases. It is over where they are; onset and
    apex stay, between which the skin was measured, but for an apex after that. One that has no unit left is
    no expression. Of given frames all is told."""
    if movement.kind == "given":
        return movement
    returns = {
        unit.number for unit in movement.units
        if unit.phase == "release" and unit.confidence >= _sure_return()
    }  # fmt: skip
    denied = {unit.number for unit in movement.rises if unit.confidence < _least(unit.number in returns)}
    if not denied:
        return movement
    units = tuple(unit for unit in movement.units if unit.number not in denied)
    if not units:
        return replace(movement, kind="movement", units=())
    main = max((_phase(unit, state) for unit in units if unit.phase == "rise"), key=lambda one: one.strength)
    main.rises_again = movement.reason == RISES_AGAIN
    left = _ended(replace(movement, units=units), main, state, micro_seconds)
    if left.apex <= left.end:
        return left
    return replace(left, apex=main.apex, apex_time=float(state.times[main.apex]))


def _phase(unit: MovementUnit, state: FaceState) -> AUPhase:
    """The rise that a unit's record tells, on the side that rises more."""
    found = []
    for side in ("both",) if unit.number in WHOLE else SIDES if unit.side == "both" else (unit.side,):
        before, after = (reading_at(state, unit.number, side, at) for at in (unit.onset, unit.apex))
        found.append(
            AUPhase("rise", unit.number, side, unit.onset, unit.apex, unit.apex, after - before, after)
        )
    return max(found, key=lambda phase: phase.size)


def _releases(own: list[AUPhase], rise: MovementUnit, state: FaceState) -> list[MovementUnit]:
    """The releases of a unit of which both sides' ``own`` are known: the larger one, on the side of the rise;
    where both sides rose and one is over before the other begins, each on its own side."""
    first, *rest = sorted(own, key=lambda phase: -phase.size)
    apart = [phase for phase in rest if rise.side == "both" and not _overlap(phase, first)]
    if not apart:
        return [_unit(first, rise.side, state)]
    return [_unit(phase, phase.side, state) for phase in (first, *apart)]


def _told(unit: MovementUnit, rises: list[tuple[PhaseGroup, list[MovementUnit]]], fps: float) -> bool:
    """Whether a movement tells the release of a unit on its side already."""
    return any(
        (one.number, one.phase) == (unit.number, unit.phase)
        and (one.side == unit.side or "both" in (one.side, unit.side))
        and (abs(one.onset - unit.onset) <= RETURN_SLACK * fps or _overlap(one, unit))
        for _, units in rises for one in units
    )  # fmt: skip


def _overlap(one: AUPhase | MovementUnit, other: AUPhase | MovementUnit) -> bool:
    """Whether two changes go on at once."""
    return one.onset < other.apex and other.onset < one.apex


def _units(group: PhaseGroup, state: FaceState) -> list[MovementUnit]:
    """Records of a group's phases."""
    return [_unit(phase, group.sides[phase.au], state) for phase in group.phases]


def _unit(phase: AUPhase, side: str, state: FaceState) -> MovementUnit:
    """The record of a phase that is told on ``side``."""
    times, one = state.times, SIDES[0] if phase.au in WHOLE else phase.side
    offset = phase.end if phase.kind == "release" or phase.seen_to_end else None
    return MovementUnit(
        number=phase.au, side=side, phase=phase.kind, onset=phase.onset, apex=phase.apex, offset=offset,
        onset_time=float(times[phase.onset]), apex_time=float(times[phase.apex]),
        offset_time=None if offset is None else float(times[offset]),
        intensity_before=intensity_at(state, phase.au, one, phase.onset),
        intensity_after=intensity_at(state, phase.au, one, phase.apex),
        confidence=confidence_of(phase, state), reason=_disturbed(phase, state),
    )  # fmt: skip


def _disturbed(phase: AUPhase, state: FaceState) -> str:
    """Why a statement is of low confidence, "" where nothing disturbs it."""
    inside = slice(phase.onset, phase.apex + 1)
    if turned(phase, state) > TURN_DEGREES:
        return "the head moved"
    if state.speech[inside].mean() > MOSTLY and part_of(phase.au) == "mouth":
        return IN_SPEECH
    return ""


def _movement(
    group: PhaseGroup, units: list[MovementUnit], state: FaceState, micro_seconds: float
) -> Movement:
    main = group.main
    onset = min(unit.onset for unit in units)
    times = state.times
    found = _ended(Movement(
        kind="movement", onset=onset, apex=main.apex, offset=None, onset_time=float(times[onset]),
        apex_time=float(times[main.apex]), offset_time=None, duration=None,
        strength=round(main.strength, 3), face=state.face,
        units=tuple(sorted(units, key=lambda unit: (unit.onset, unit.number))),
    ), main, state, micro_seconds)  # fmt: skip
    if SPOKEN not in found.hidden.values():
        return found
    spoken = [
        replace(unit, reason=IN_SPEECH) if part_of(unit.number) == "mouth" and not unit.reason else unit
        for unit in found.units
    ]  # fmt: skip
    return replace(found, units=tuple(spoken))


def _ended(movement: Movement, main: AUPhase, state: FaceState, micro_seconds: float) -> Movement:
    """A movement with the end that its units have, and what follows from it: its kind, its reason, and the
    regions that are hidden until then. ``main``: the strongest phase of the units."""
    units, onset, times = movement.units, movement.onset, state.times
    ends = [unit.offset for unit in units if unit.offset is not None]
    seen = any(unit.offset is not None for unit in units if unit.number == main.au)
    offset = max(ends) if seen else None
    kind, duration = _kind(onset, offset, main.kind, state, micro_seconds)
    reason = "" if offset is not None else RISES_AGAIN if main.rises_again else STILL_HELD
    if kind == "micro-expression" and lips_alone(units):
        kind, reason = "movement", A_WORD
    elif kind == "micro-expression" and _repeated(main, onset, offset, state):
        kind, reason = "macro-expression", REPEATED
    elif offset is not None and main.kind != "release":
        longer = sorted({f"AU{unit.number}" for unit in units if unit.offset is None})
        reason = border(float(times[offset] - times[onset]), micro_seconds, state.fps)
        reason = reason or (f"The end of {listed(longer)} {UNIT_HELD}" if longer else "")
    return replace(
        movement, kind=kind, offset=offset, offset_time=None if offset is None else float(times[offset]),
        duration=duration, reason=reason,
        hidden=hidden_regions(state, onset, movement.apex if offset is None else offset),
    )  # fmt: skip


def _kind(
    onset: int, offset: int | None, phase: str, state: FaceState, micro_seconds: float
) -> tuple[Kind, tuple | None]:
    """Micro or macro by the time from rise to return; a lone release or an unseen end is a movement."""
    if offset is None:
        return "movement", None
    lasts = float(state.times[offset] - state.times[onset])
    duration = bounds_of(lasts, state.fps)
    if phase == "release":
        return "movement", duration
    return ("micro-expression" if lasts <= micro_seconds else "macro-expression"), duration


def _repeated(main: AUPhase, onset: int, offset: int | None, state: FaceState) -> bool:
    """Whether the main unit of a brief movement does the same just before or after it: brows that go up again
    and again beside speech come from no rest and go back to none."""
    side = SIDES[0] if main.au in WHOLE else main.side
    near = round(MICRO_SECONDS * state.fps)
    last = main.apex if offset is None else offset
    around = (slice(max(0, onset - near), onset), slice(last + 1, last + 1 + near))
    beside = np.concatenate([state.share(main.au, side, part) for part in around])
    return bool(np.isfinite(beside).any() and np.nanmax(beside) >= AGAIN * main.level)


def hidden_regions(state: FaceState, onset: int, end: int) -> dict[str, str]:
    """Region -> why it cannot be judged between two frames; regions that can be are left out."""
    inside = slice(onset, end + 1)
    out: dict[str, str] = {}
    for part in PART_REGIONS:
        reason = ""
        if state.visibility.hidden[part][inside].mean() > MOSTLY:
            beyond = state.visibility.beyond[part][inside].mean() > MOSTLY
            reason = BEYOND if beyond else COVERED
        elif part == "mouth" and state.speech[inside].mean() > MOSTLY:
            reason = SPOKEN
        elif state.visibility.dark[inside].mean() > MOSTLY:
            reason = DARK
        if reason:
            out |= dict.fromkeys(regions_of(part), reason)
    return out


def regions_of(part: str) -> list[str]:
    """Keys of the regions of a part of the face, both sides."""
    names = PART_REGIONS[part]
    return [key for key in REGION_KEYS if key.removeprefix("left ").removeprefix("right ") in names]


def _with_motion(movements: list[Movement], motion: Spotting, state: FaceState) -> list[Movement]:
    """Adds what only the skin's motion shows; where both show it, the motion's regions go to the state's:
    those of its rise, or of its release where it is nothing else."""
    found = list(movements)
    fine: list[Movement] = []
    for moved in motion.movements:
        known = [(at, units) for at, one in enumerate(found) if (units := _same(moved, one, state.fps))]
        if not known:
            hidden = hidden_regions(state, moved.onset, moved.end)
            fine.append(replace(moved, face=state.face, hidden=hidden))
        for at, units in known:
            own = [unit for unit in units if unit.phase == "rise" or found[at].is_release]
            if not own or found[at].regions or not all(_goes_along(moved.regions, unit) for unit in own):
                continue
            seen = tuple(
                replace(unit, seen_by="both") if any(unit is one for one in own) else unit
                for unit in found[at].units
            )
            found[at] = replace(found[at], regions=moved.regions, units=seen)
            break
    return found + _spoken(fine, state)


def _spoken(fine: list[Movement], state: FaceState) -> list[Movement]:
    """Fine movements without those that are a blink alone; those of the mouth alone, or of a mouth beside
    eyes that blink, named as speech that lie in it, or that are brief and come again within a short while:
    speech too quiet for its gate."""
    beside = {
        id(move): areas_of(move.regions) - ({"eyes"} if at_lid_event(move, state, LIDS_SHUT) else set())
        for move in fine
    }
    fine = [move for move in fine if beside[id(move)] or not move.regions]
    lips = [move for move in fine if areas_of(move.regions) == {"mouth"}]
    spoken = come_again((move for move in lips if move.offset is not None), state.fps) | {
        id(move) for move in fine if beside[id(move)] == {"mouth"}
        and all(move.hidden.get(shift.region) == SPOKEN for shift in move.regions if _of(shift) == "mouth")
    }  # fmt: skip
    mouth: dict[str, str] = dict.fromkeys(regions_of("mouth"), SPOKEN)
    return [
        replace(move, kind=SPOKEN, judged=False, reason=SPOKEN_REASON, hidden=mouth | move.hidden)
        if id(move) in spoken else move for move in fine
    ]  # fmt: skip


def _same(moved: Movement, known: Movement, fps: float) -> list[MovementUnit]:
    """The units of a movement that the state shows to whose phases motion belongs."""
    slack = SAME_MOTION_SECONDS * fps
    return [
        unit for unit in known.units
        if unit.onset - slack <= moved.apex and moved.onset <= unit.apex + slack
        and _shows(moved.regions, unit)
    ]  # fmt: skip


def _goes_along(regions: tuple[RegionShift, ...], unit: MovementUnit) -> bool:
    """Whether what moved of a unit's regions did not, all in all, move against it."""
    way = 1.0 if unit.phase == "rise" else -1.0
    along = 0.0
    for shift in regions:
        region = REGIONS[REGION_INDEX[shift.region]]
        for one in entry(unit.number).motion:
            if one.region == region.name:
                dx, dy = image_vector(one.medial, one.up, region.side)
                along += way * one.weight * (dx * shift.dx + dy * shift.dy)
    return along >= 0.0


def _shows(regions: tuple[RegionShift, ...], unit: MovementUnit) -> bool:
    """Whether motion shows in the part of the face of a unit."""
    part, areas = part_of(unit.number), areas_of(regions)
    return part in areas or (part == "eyes" and "mouth" in areas) or not regions


def areas_of(regions: tuple[RegionShift, ...]) -> set[str]:
    """Parts of the face in which regions lie."""
    return {_of(shift) for shift in regions}


def _of(shift: RegionShift) -> str:
    """The part of the face in which a region lies."""
    return str(AREA[REGION_KEYS.index(shift.region)])


def events_of(state: FaceState, motion: Spotting | None) -> list[OtherEvent]:
    """Lids, gaze, speech, head, occlusion, cuts, darkness and lost faces, in the order of time."""
    codes = {"blink": (45,), "wink": (46,), "eyes closed": (43,)}
    events = [
        _event(state, lid.kind, lid.start, lid.peak, lid.stop, side=lid.side, ends=lid.ends,
               aus=codes.get(lid.kind, ())) for lid in state.lid_events
    ]  # fmt: skip
    flags = {
        "speech": (state.speech, ""),
        "occlusion": (state.visibility.covered, "something covers a part of the face"),
        "beyond the picture": (
            state.visibility.beyond["mouth"] | state.visibility.beyond["brows"], "a part of the face is cut"
        ),
        "darkness": (state.visibility.dark, "too dark to judge"),
        "face lost": (~state.seen, "no face is seen"),
    }  # fmt: skip
    for kind, (mask, detail) in flags.items():
        events += [_event(state, kind, a, (a + b) // 2, b - 1, detail=detail) for a, b in runs(mask)]
    events += [_event(state, "cut", at, at, at, detail="the picture changes") for at in state.visibility.cuts]
    if motion is not None:
        turns = [event for event in motion.events if event.kind == "head movement"]
        events += [_event(state, "head", event.onset, event.apex, event.end) for event in turns]
    return sorted(events, key=lambda event: event.onset)


def _event(
    state: FaceState, kind: str, start: int, peak: int, stop: int, *, side: str | None = None,
    ends: bool = True, aus: tuple[int, ...] = (), detail: str = "",
) -> OtherEvent:  # fmt: skip
    times = state.times
    return OtherEvent(
        kind=kind, onset=start, apex=peak, offset=stop if ends else None, onset_time=float(times[start]),
        apex_time=float(times[peak]), offset_time=float(times[stop]) if ends else None, side=side,
        face=state.face, aus=aus, detail=detail,
    )  # fmt: skip
