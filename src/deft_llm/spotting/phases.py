"""Phases of single Action Units in a state: where each rises, holds and is released.

Turning points of a unit's intensity make rises and releases; what is smaller than its limit or its noise, a
drift, or a spoken mouth is none. A release belongs to the rise that it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from deft_llm.spotting.movement import Movement, MovementUnit
from deft_llm.state.channels import SIDES, bridged, runs, smooth, zigzag
from deft_llm.state.face_state import FULL, FaceState
from deft_llm.state.intensity import BROW_AUS, STATE_AUS, UPPER_AUS, VISIBLE, WHOLE, part_of
from deft_llm.state.speech import SPEECH_AUS

PhaseKind = Literal["rise", "release"]

# Least change and level of a movement, as shares of what is clearly visible of the unit.
LIMITS: dict[int, float] = {
    1: 0.72, 2: 0.78, 4: 0.78, 5: 0.5, 6: 0.6, 7: 0.91, 9: 1.69, 10: 1.04, 12: 0.52, 14: 1.04, 15: 0.78,
    17: 0.91, 18: 0.91, 20: 1.04, 22: 1.04, 24: 1.04, 25: 0.91, 26: 0.91, 28: 1.04,
}  # fmt: skip
MOST_NOISE = 2.0  # times its limit that a noisy curve may ask for
REVERSAL = 0.6  # share of the limit at which a curve turns
BELOW_NEUTRAL, BROWS_BELOW = 0.3, 1.0  # limits by which a curve is followed below its neutral
STANDING = 0.7  # share of the limit that a movement's upper level has over neutral
HELD_SHARE = 0.35  # a change counts where it is this share of the level: a hold that swells is one movement
SLOWEST = 2.5  # s: what takes longer is a drift
HELD_UNSEEN = 2.0  # s without a reading over which a unit that shows before and after is held
LEAST_STRETCH = 0.3  # s of a unit that must be seen without a break
TURN_LEAK = 0.03  # of a reading, for each degree that the head turns meanwhile
SPOKEN_SMILE, SPOKEN_SECONDS = 1.3, 0.5  # a smile in speech counts from this size, and if it lasts
# Intensity by which the trained reader must see a change: a part of it, or all where the change is below its
# limit.
AGREED, SURE_AGREED = 0.3, 2.5
BELOW_LIMIT = 0.6  # share of its limit that a change may have which the trained reader is sure of
# Limits that a change takes while a hand is at the face, and within so many seconds of its coming and going:
# landmarks give way to it before it covers anything. Of the part that is covered then nothing is stated.
COVERED_STRENGTH, PASSING_STRENGTH, COVER_SECONDS = 1.6, 3.0, 0.25
# s from parting to closing of the lips that is a syllable, and between two of them
SYLLABLE_AUS, SYLLABLE_SECONDS, SYLLABLES_APART = frozenset({25, 26}), 0.5, 2.0
LID_SECONDS = 0.15  # around the ends of what lids do, in which brows and the skin of the eyes go along
MOST_LEVEL = 2.0  # times a unit's full weight that no face shows: landmarks that something covers run away
OPEN_MOST = 14.0  # reading of 25, in 5 % of the distance between the eyes, that no mouth shows
UNSEEN_RISE = 1.5  # limits that a release takes whose rise was not seen (the clip began so)
QUIET_PACE = 0.2  # share of a change's fastest pace below which it has not begun, or is over
# Shares of the way done: at which a change has begun at the latest, and at the earliest; at which it has
# arrived at the earliest, and at the latest.
BEGUN, FAR_DOWN, ARRIVED, FAR_UP = 0.4, 0.1, 0.6, 0.92


@dataclass
class AUPhase:
    """One unit on one side that rises or is released; times in frames, ``size`` and ``level`` as shares of
    what is clearly visible. ``end``: where the movement is over, or is followed no longer (``rises_again``:
    for it rises further there); ``of``: the rise that a release ends."""

    kind: PhaseKind
    au: int
    side: str
    onset: int
    apex: int
    end: int
    size: float
    level: float
    seen_to_end: bool = True
    rises_again: bool = False
    of: AUPhase | None = None

    @property
    def top(self) -> int:
        """The frame in which it shows most."""
        return self.apex if self.kind == "rise" else self.onset

    @property
    def strength(self) -> float:
        """Size over the unit's limit."""
        return self.size / LIMITS[self.au]


def phases_of(state: FaceState) -> list[AUPhase]:
    """All rises and releases of a state, before what stronger movements drag along is taken out."""
    found: list[AUPhase] = []
    for au in STATE_AUS:
        if au not in LIMITS:
            continue
        for side in ("both",) if au in WHOLE else SIDES:
            curve = _judged_curve(state, au, side)
            floor = state.floor[au, SIDES[0] if side == "both" else side] / VISIBLE[au]
            changes = _changes(curve, au, side, floor, state.fps, state.visibility.cuts)
            found += [phase for phase in changes if _holds(state, phase)]
    return _without_syllables(found, state.fps)


def _without_syllables(found: list[AUPhase], fps: float) -> list[AUPhase]:
    """Leaves out lips that part and close again within a syllable, more than once in a short while: speech
    that is too short or too quiet for its gate."""
    spoken: set[int] = set()
    for au in SYLLABLE_AUS:
        spoken |= come_again((phase for phase in found if phase.kind == "rise" and phase.au == au), fps)
    return [phase for phase in found if id(phase) not in spoken and id(phase.of) not in spoken]


def _judged_curve(state: FaceState, au: int, side: str) -> np.ndarray:
    """(T,) of a unit, NaN where it is hidden, drawn straight through blinks where they touch it."""
    one = SIDES[0] if side == "both" else side
    curve = np.where(state.visibility.hidden[part_of(au)], np.nan, state.share(au, one))
    if au not in UPPER_AUS:
        return curve
    blinking = state.blinks
    known = np.isfinite(curve) & ~blinking
    if known.sum() < 5:
        return curve
    return np.where(blinking & np.isfinite(curve), bridged(curve, known), curve)


def at_frame(curve: np.ndarray, state: FaceState, au: int, frame: int) -> float:
    """A unit's curve (T,) in one frame, drawn straight through a blink as ``_judged_curve`` is."""
    if au not in UPPER_AUS or not state.blinks[frame]:
        return float(curve[frame])
    known = [
        at
        for at in (_clear(state.blinks, frame, -1), _clear(state.blinks, frame, 1))
        if 0 <= at < len(curve) and np.isfinite(curve[at])
    ]
    return float(np.interp(frame, known, curve[known])) if known else float(curve[frame])


def _clear(blinks: np.ndarray, frame: int, step: int) -> int:
    """The next frame before (``step`` -1) or after (1) ``frame`` that is not in a blink."""
    while 0 <= frame < len(blinks) and blinks[frame]:
        frame += step
    return frame


def change_in(curve: np.ndarray, phase: AUPhase, state: FaceState) -> float:
    """By how much a curve (T,) changes from onset to apex of a phase, in its direction: below 0 the other
    way."""
    onset, apex = (at_frame(curve, state, phase.au, at) for at in (phase.onset, phase.apex))
    return apex - onset if phase.kind == "rise" else onset - apex


def shown_at_top(phase: AUPhase, state: FaceState, au: int, side: str = "both") -> float:
    """What a unit shows where a phase shows most, of both sides the larger, as a share of what is clearly
    visible."""
    sides = SIDES if side == "both" else (side,)
    return max(float(np.nan_to_num(share_at(state, au, one, phase.top))) for one in sides)


def _holds(state: FaceState, phase: AUPhase) -> bool:
    """Whether the change is more than what a turning head or speech makes of it."""
    inside = slice(phase.onset, phase.apex + 1)
    if phase.size < BELOW_LIMIT * LIMITS[phase.au] + TURN_LEAK * turned(phase, state):
        return False
    if phase.level > (OPEN_MOST if phase.au == 25 else MOST_LEVEL * FULL / VISIBLE[phase.au]):
        return False
    if _comes_or_goes(state.visibility.hidden[part_of(phase.au)], phase, state.fps):
        return False
    if passing_cover(phase, state) and phase.strength < PASSING_STRENGTH:
        return False
    if state.visibility.disturbed[inside].any() and (phase.strength < COVERED_STRENGTH or _is_lone(phase)):
        return False
    if not _agreed(state, phase):
        return False
    if state.speech[inside].mean() <= 0.5:
        return True
    if phase.au == 12:
        began = phase.onset if phase.of is None else phase.of.onset
        return phase.size >= SPOKEN_SMILE and (phase.end - began) / state.fps >= SPOKEN_SECONDS
    return phase.au not in SPEECH_AUS


def turned(phase: AUPhase, state: FaceState) -> float:
    """Degrees by which the head turns in a phase."""
    return state.turn_in(slice(phase.onset, phase.apex + 1))


def lips_alone(units: Collection[MovementUnit]) -> bool:
    """Whether lips that part, or a jaw that drops, are all that some units say, but for others that speech
    uses."""
    numbers = {unit.number for unit in units}
    return bool(numbers & SYLLABLE_AUS) and numbers <= SPEECH_AUS


def _is_lone(phase: AUPhase) -> bool:
    """Whether it is a release whose rise was not seen."""
    return phase.kind == "release" and phase.of is None


def passing_cover(phase: AUPhase | Movement, state: FaceState) -> bool:
    """Whether what covers a part of the face comes or goes during a change, or just before or after it."""
    return _comes_or_goes(state.visibility.disturbed, phase, state.fps)


def at_lid_event(phase: AUPhase | Movement, state: FaceState, kinds: Collection[str] = ()) -> bool:
    """Whether a lid event of these ``kinds`` (any where there are none) begins or ends during a change, or
    LID_SECONDS before or after it: landmarks and skin around the eye go along."""
    near = LID_SECONDS * state.fps
    return any(
        phase.onset - near <= end <= phase.apex + near
        for event in state.lid_events if not kinds or event.kind in kinds for end in (event.start, event.stop)
    )  # fmt: skip


def come_again(found: Iterable[AUPhase | Movement], fps: float) -> set[int]:
    """``id`` of what is over within a syllable and has another such beside it in ``found`` within a while."""
    brief = [one for one in found if (one.end - one.onset) / fps <= SYLLABLE_SECONDS]
    return {
        id(one) for one in brief
        if any(0 < abs(other.onset - one.onset) / fps <= SYLLABLES_APART for other in brief)
    }  # fmt: skip


def _comes_or_goes(cover: np.ndarray, phase: AUPhase | Movement, fps: float) -> bool:
    """Whether a cover (T,) begins or ends during a change, or COVER_SECONDS before or after it."""
    near = round(COVER_SECONDS * fps)
    around = cover[max(0, phase.onset - near) : phase.apex + near + 1]
    return bool(around.any() and not around.all())


def _agreed(state: FaceState, phase: AUPhase) -> bool:
    """Whether the trained reader, which knows what moves along with what, sees some of the change too."""
    curve = state.trained[phase.au, SIDES[0] if phase.side == "both" else phase.side]
    small = phase.size < LIMITS[phase.au] + TURN_LEAK * turned(phase, state)
    return change_in(curve, phase, state) >= (SURE_AGREED if small else AGREED)


def _changes(
    curve: np.ndarray, au: int, side: str, floor: float, fps: float, cuts: Sequence[int] = ()
) -> list[AUPhase]:
    """Rises and releases of one curve, the releases tied to their rises; what changes with a cut, the first
    frame of another picture, is neither, and what is not seen for a while ends as a cut ends it."""
    need = float(np.clip(floor, BELOW_LIMIT * LIMITS[au], MOST_NOISE * LIMITS[au]))
    curve = np.maximum(curve, _least(au))  # far below neutral is another unit's business
    out: list[AUPhase] = []
    seen = runs(np.isfinite(curve))
    lost = [stop for (_, stop), (after, _) in pairwise(seen) if after - stop > HELD_UNSEEN * fps]
    ends = sorted({*cuts, *lost, *(stop for _, stop in seen[-1:])})
    for start, stop in seen:
        edges = [start, *(at for at in cuts if start < at < stop), stop]
        for first, last in zip(edges, edges[1:], strict=False):
            if last - first >= LEAST_STRETCH * fps:
                out += _turns(curve[first:last], first, need, au, side, fps)
    for phase, after in zip(out, [*out[1:], None], strict=False):
        if phase.kind != "rise":
            continue
        cut = next((at for at in ends if at > phase.apex), len(curve))
        if after is None or after.onset >= cut:
            phase.end, phase.seen_to_end = cut - 1, False
        elif after.kind == "release":
            phase.end, after.of = after.apex, phase
        else:
            phase.end, phase.seen_to_end, phase.rises_again = after.onset, False, True
    return out


def _least(au: int) -> float:
    """How far below its neutral a unit is followed, as a share of what is clearly visible."""
    return -(BROWS_BELOW if au in BROW_AUS else BELOW_NEUTRAL) * LIMITS[au]


def reading_at(state: FaceState, au: int, side: str, at: int) -> float:
    """A unit's reading in one frame as a phase takes it, as a share of what is clearly visible."""
    return max(share_at(state, au, SIDES[0] if side == "both" else side, at), _least(au))


def share_at(state: FaceState, au: int, side: str, frame: int) -> float:
    """A unit's reading in one frame, straight through a blink, as a share of what is clearly visible."""
    return at_frame(state.intensity[au, side], state, au, frame) / VISIBLE[au]


def intensity_at(state: FaceState, au: int, side: str, frame: int) -> float | None:
    """Intensity of a unit in one frame, 0 to 5, straight through a blink; None where it is not read."""
    value = at_frame(state.intensity[au, side], state, au, frame)
    return round(float(np.clip(value, 0.0, FULL)), 2) if np.isfinite(value) else None


def _turns(part: np.ndarray, first: int, need: float, au: int, side: str, fps: float) -> list[AUPhase]:
    """The changes between the turning points of a stretch without gaps that starts at frame ``first``."""
    points = zigzag(part, REVERSAL * need)
    out = []
    for (i, way), (j, _) in zip(points, points[1:], strict=False):
        rise = way < 0
        level = float(part[j] if rise else part[i])
        size = abs(float(part[j] - part[i]))
        if size < max(need, HELD_SHARE * level) or level < STANDING * need:
            continue
        # The last tenth before the neutral, where corners stop, goes on along a raised cosine.
        onset, apex = corners(part[i : j + 1] if rise else -part[i : j + 1])
        before, after = beyond(part[i : j + 1], onset, apex)
        onset, apex = (onset - before, apex) if rise else (onset, apex + after)
        onset, apex = first + i + onset, first + i + apex
        if (apex - onset) / fps <= SLOWEST:
            out.append(AUPhase("rise" if rise else "release", au, side, onset, apex, apex, size, level))
    return out


def corners(rising: np.ndarray) -> tuple[int, int]:
    """Where a rise (T,) begins and where it has arrived.

    Outwards from its steepest moment until it goes at a fifth of that pace, at the latest a tenth of the
    rise from either end.
    """
    done = (rising - rising[0]) / (rising[-1] - rising[0])
    pace = np.gradient(smooth(rising, 3)) if len(rising) > 2 else np.ones(len(rising))
    top = onset = apex = int(np.argmax(pace))
    while (
        onset > 0
        and done[onset] > FAR_DOWN
        and (pace[onset - 1] > QUIET_PACE * pace[top] or done[onset] > BEGUN)
    ):
        onset -= 1
    while (
        apex < len(rising) - 1
        and done[apex] < FAR_UP
        and (pace[apex + 1] > QUIET_PACE * pace[top] or done[apex] < ARRIVED)
    ):
        apex += 1
    return onset, apex


def beyond(curve: np.ndarray, onset: int, apex: int) -> tuple[int, int]:
    """Frames that a raised cosine through a curve's values at ``onset`` and ``apex`` began before the one and
    ends after the other, within the curve (T,); none where more of the way was left: it creeps there."""
    done = np.clip((curve[[onset, apex]] - curve[0]) / (curve[-1] - curve[0]), 0.0, 1.0)
    start, stop = np.arccos(1.0 - 2.0 * done) / np.pi
    if stop <= start:
        return 0, 0
    lasts = (apex - onset) / (stop - start)
    before = min(round(start * lasts), onset) if done[0] <= FAR_DOWN else 0
    after = min(round((1.0 - stop) * lasts), len(curve) - 1 - apex) if done[1] >= 1.0 - FAR_DOWN else 0
    return before, after
