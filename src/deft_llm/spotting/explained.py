"""What a stronger movement drags along by itself is no Action Unit of its own; sides; what goes together.

The still side of a one-sided unit is dragged along by a half and more: a ratio for each unit decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from deft_llm.spotting.phases import (
    LIMITS,
    UNSEEN_RISE,
    AUPhase,
    PhaseKind,
    at_lid_event,
    change_in,
    shown_at_top,
)
from deft_llm.state.channels import SIDES
from deft_llm.state.face_state import FaceState
from deft_llm.state.intensity import WHOLE

# Share of its strength that the other side shows where one side alone moves: on rendered faces, halfway to 1.
ONE_SIDED: dict[int, float] = {
    1: 0.75, 2: 0.6, 5: 0.65, 6: 0.55, 7: 0.6, 9: 0.8, 10: 0.7, 12: 0.5, 14: 0.5, 15: 0.45, 20: 0.55,
}  # fmt: skip
MOST_RATIO = 1.5
TOGETHER_SECONDS = 0.25  # of onsets that begin one movement
# A jaw that drops parts the lips, a cheek that is raised tightens the lower lid: one of the two is stated
# (FACS of 1978 scores either 25 or 26).
IMPLIED_BY = {25: 26, 7: 6}
# A smile from this reading of 12 on pulls the whole mouth: what these units would do, it does.
SMILING, PULLED = 0.6, (14, 15, 17, 20)
# A broad smile (reading of 12) may lower the brows and lift the upper lip by these shares of it, and thins
# closed lips to what the landmarker takes for a gap.
BROAD_SMILE, BROWS_OF_SMILE, LIP_OF_SMILE = 0.8, 0.3, 0.9
CORNERS_OF_OPEN = 0.3  # share of 25 that corners move by themselves while the mouth is open
SMALL = 1.3  # reading up to which a cheek without a smile, or a gap of smiling lips, is none
# Below this share of the stronger side, the weaker side of these units goes along with it.
WEAKER_SIDE, TWO_SIDED = 0.45, (6, 10, 12, 14)
NOSE_OF_LIP = 0.7  # share of 10 that its raised lip shows as 9
DROPPED, PARTED = 0.5, 0.6  # readings of 26 that move the chin, of 25 that thin or hide the lips
CLOSING = 0.75  # reading of 43 of an eye that closes: more than lids are tightened
LONE_CHEEK = 1.5  # reading of 6 that needs no smile
LOWERED = (1, 2)  # units whose end looks like the rise of 4: brows that come down


@dataclass
class PhaseGroup:
    """Phases of one kind that go together; ``sides``: AU -> both, left or right; ``members``: both sides' own
    phases, of which ``phases`` keeps the stronger one of each unit."""

    kind: PhaseKind
    phases: list[AUPhase]
    sides: dict[int, str] = field(default_factory=dict)
    members: list[AUPhase] = field(default_factory=list)

    @property
    def main(self) -> AUPhase:
        """The strongest of them."""
        return max(self.phases, key=lambda phase: phase.strength)


def without_dragged(found: list[AUPhase], state: FaceState) -> list[AUPhase]:
    """Leaves out what a stronger movement at the same place brings along by itself."""
    kept = [phase for phase in found if not _dragged(phase, state)]
    return _tied([phase for phase in kept if not _frowned(phase, kept)])


def without_implied(found: list[AUPhase], fps: float) -> list[AUPhase]:
    """Leaves out what another unit that goes together with it says, and more."""
    return _tied([phase for phase in found if not _implied(phase, found, fps)])


def _tied(found: list[AUPhase]) -> list[AUPhase]:
    """Releases only of rises that are told, or of what was there when the clip began."""
    told = {id(phase) for phase in found}
    return [
        phase
        for phase in found
        if phase.kind == "rise"
        or (
            id(phase.of) in told
            if phase.of
            else min(phase.size, phase.level) > UNSEEN_RISE * LIMITS[phase.au]
        )
    ]


def _implied(phase: AUPhase, found: list[AUPhase], fps: float) -> bool:
    """Whether a unit that says the same and more goes together with this one."""
    fuller = IMPLIED_BY.get(phase.au)
    return any(other.au == fuller and _together(phase, other, fps) for other in found)


def _dragged(phase: AUPhase, state: FaceState) -> bool:
    """Whether another unit explains this phase."""
    at = partial(shown_at_top, phase, state)
    au, level, smile = phase.au, phase.level, at(12, phase.side)
    if au in PULLED and at(12, "both") > SMILING:
        return True
    if au in TWO_SIDED and level < WEAKER_SIDE * at(au, "both"):
        return True
    # What was seen to rise is released as eyes close, too: what never was is the eyes' own.
    closing = phase.of is None and at_lid_event(phase, state, ("eyes closed",))
    rules = {
        1: closing,
        2: closing,
        4: smile > BROAD_SMILE and level < BROWS_OF_SMILE * smile,
        5: closing or at(43, phase.side) > 0,
        6: smile < SMILING and level < SMALL,
        7: closing or _shuts(phase, state) or smile > SMILING,
        9: level < NOSE_OF_LIP * at(10, phase.side),
        10: smile > BROAD_SMILE and level < LIP_OF_SMILE * smile,
        12: level < CORNERS_OF_OPEN * at(25, "both"),
        17: at(26, phase.side) > DROPPED,
        24: at(25, phase.side) > PARTED,
        25: smile > BROAD_SMILE and level < SMALL,
        28: at(25, phase.side) > PARTED,
    }
    return bool(rules.get(au, False))


def _frowned(phase: AUPhase, found: list[AUPhase]) -> bool:
    """Whether brows that were never seen to rise come down because they are drawn together."""
    if phase.au not in LOWERED or phase.kind != "release" or phase.of is not None:
        return False
    return any(
        other.au == 4 and other.kind == "rise" and other.onset < phase.apex and phase.onset < other.apex
        for other in found
    )


def _shuts(phase: AUPhase, state: FaceState) -> bool:
    """Whether the eyes close, sooner or later and not in a blink, in what looks like tightened lids."""
    one = SIDES if phase.side == "both" else (phase.side,)
    lasts = slice(phase.onset, phase.end + 1)
    blinks = state.blinks[lasts]
    shut = [np.where(blinks, 0.0, np.nan_to_num(state.share(43, side, lasts))).max() for side in one]
    return max(shut) > CLOSING


def grouped(found: list[AUPhase], state: FaceState) -> list[PhaseGroup]:
    """Phases of one kind that begin together or overlap by half, the strongest first; in time order."""
    left = sorted(found, key=lambda phase: -phase.strength)
    groups = []
    while left:
        near = [left[0], *(phase for phase in left[1:] if _together(phase, left[0], state.fps))]
        group = [one for one in left if any(one is other or _twins(one, other, state.fps) for other in near)]
        left = [phase for phase in left if not any(phase is member for member in group)]
        smiles = any(phase.au == 12 for phase in group)  # a cheek alone is mostly the lids' or the head's
        group = [
            phase for phase in group
            if phase.au != 6 or smiles or phase.level > LONE_CHEEK or shown_at_top(phase, state, 12) > SMILING
        ]  # fmt: skip
        if group:
            groups.append(_sided(PhaseGroup(group[0].kind, group), state))
    return sorted(groups, key=lambda group: group.main.onset)


def _twins(one: AUPhase, other: AUPhase, fps: float) -> bool:
    """Whether two phases are the two sides of one unit's change."""
    return one.au == other.au and one.side != other.side and _together(one, other, fps)


def _together(one: AUPhase, other: AUPhase, fps: float) -> bool:
    shared = min(one.apex, other.apex) - max(one.onset, other.onset)
    shorter = min(one.apex - one.onset, other.apex - other.onset)
    near = abs(one.onset - other.onset) <= TOGETHER_SECONDS * fps
    return one.kind == other.kind and (near or shared > 0.5 * shorter > 0)


def _sided(group: PhaseGroup, state: FaceState) -> PhaseGroup:
    """Keeps each unit's strongest phase and settles its side."""
    kept: list[AUPhase] = []
    group.members = group.phases
    for phase in sorted(group.phases, key=lambda phase: -phase.size):
        if phase.au in group.sides:
            continue
        side = phase.side
        if phase.au not in WHOLE:
            twins = [one for one in group.members if one.au == phase.au and one.side != side]
            shares = [_other_share(phase, state), *(twin.size / phase.size for twin in twins)]
            side = "both" if max(shares) > ONE_SIDED[phase.au] else side
        group.sides[phase.au] = side
        kept.append(phase)
    group.phases = kept
    return group


def _other_share(phase: AUPhase, state: FaceState) -> float:
    """How much of a one-sided change the other side shows: mean of both readers, each at most 1.5."""
    other = "left" if phase.side == "right" else "right"
    ratios = []
    for curves in (state.intensity, state.trained):
        own, beside = (change_in(curves[phase.au, side], phase, state) for side in (phase.side, other))
        ratios.append(float(np.clip(beside / own, 0.0, MOST_RATIO)) if abs(own) > 1e-6 else 1.0)
    return sum(ratios) / len(ratios)
