"""Phases of single units: where they begin and end, at any frame rate, and beside blinks and held smiles."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from deft_llm.faces.regions import TWIN
from deft_llm.spotting.explained import grouped, without_dragged
from deft_llm.spotting.joint import state_movements
from deft_llm.spotting.phases import AUPhase, _changes, at_frame, change_in, phases_of
from deft_llm.state.channels import POINTS, jitter, smooth
from deft_llm.state.face_state import state_of

LOW, UP = POINTS["lid_low"], POINTS["lid_up"]


@pytest.mark.parametrize("fps", [25.0, 50.0, 200.0])
@pytest.mark.parametrize("lasts", [0.4, 0.6, 0.8])
def test_a_raised_cosine_lasts_as_long_as_it_does(fps, lasts) -> None:
    """There and back within ``lasts`` s, without a hold: macro-expressions of .6 s are not told as micro."""
    times = np.arange(round(3 * fps)) / fps
    course = np.where(
        np.abs(times - 1.5) < lasts / 2, 0.5 + 0.5 * np.cos(2 * np.pi * (times - 1.5) / lasts), 0.0
    )
    rise, fall = _changes(1.5 * course, 12, "right", 0.1, fps)
    told = (fall.apex - rise.onset) / fps
    assert told == pytest.approx(lasts, abs=max(0.07 * lasts, 1.5 / fps))


def test_a_creep_before_a_rise_is_not_its_onset() -> None:
    course = np.interp(np.arange(100), [0, 60, 64, 99], [0.0, 0.3, 2.0, 2.0])
    (rise,) = _changes(course, 12, "right", 0.1, 25.0)
    assert 56 <= rise.onset <= 61


def test_a_change_in_two_steps_has_begun_before_half_of_it_is_done() -> None:
    course = np.interp(np.arange(100), [0, 40, 50, 56, 60, 99], [0.0, 0.0, 0.9, 1.0, 2.0, 2.0])
    (rise,) = _changes(course, 12, "right", 0.1, 25.0)
    assert rise.onset <= 47
    (fall,) = _changes(2.0 - course, 12, "right", 0.1, 25.0)
    assert fall.onset <= 47


@pytest.mark.parametrize(
    ("back", "end", "kinds"),
    [(130, 136, ["rise", "release"]), (200, 89, ["rise", "release"]), (None, 89, ["rise"])],
)
def test_a_rise_ends_where_its_face_is_lost_for_long(back, end, kinds) -> None:
    """At 25 frames a second: after 1.6 s unseen it was held meanwhile, after 4.4 s nothing is known."""
    course = np.interp(np.arange(240), [40, 46], [0.0, 2.0])
    course[90:back] = np.nan
    if back is not None:
        course[back:] = np.interp(np.arange(240 - back), [0, 6], [2.0, 0.0])
    found = _changes(course, 12, "right", 0.1, 25.0)
    assert [phase.kind for phase in found] == kinds
    assert found[0].end == pytest.approx(end, abs=1) and found[0].seen_to_end == (back == 130)
    assert all(phase.of is (found[0] if back == 130 else None) for phase in found[1:])


def test_noise_of_one_camera_is_the_same_floor_at_every_frame_rate() -> None:
    """White noise of 200 frames a second, smoothed over .1 s, and what is left of it at 50."""
    random = np.random.default_rng(0)
    fast = smooth(random.normal(0, 1, 8000), 21)
    assert jitter(fast, 200.0) == pytest.approx(jitter(fast[::4], 50.0), rel=0.1)


def test_a_reading_in_a_blink_is_drawn_straight_through_it() -> None:
    curve = np.array([0.0, 1.0, 9.0, 9.0, 4.0, 5.0])
    state = SimpleNamespace(blinks=np.array([0, 0, 1, 1, 0, 0], bool))
    assert at_frame(curve, state, 6, 2) == pytest.approx(2.0)
    assert at_frame(curve, state, 6, 3) == pytest.approx(3.0)
    assert at_frame(curve, state, 6, 4) == 4.0
    assert at_frame(curve, state, 12, 2) == 9.0, "a blink moves no mouth"
    phase = AUPhase("rise", 6, "right", 1, 3, 5, 1.0, 1.0)
    assert change_in(curve, phase, state) == pytest.approx(2.0)
    always = SimpleNamespace(blinks=np.ones(6, bool))
    assert at_frame(curve, always, 6, 2) == 9.0


def test_a_blink_leaves_tightened_lids(make_track, hold) -> None:
    course, blink = hold(120, (40, 46), (90, 98)), hold(120, (66, 67), (67, 68))
    squint = {f"eyeSquint{side}": 0.4 * course for side in ("Left", "Right")}
    moves = []
    for low, up in ((LOW, UP), (TWIN[list(LOW)], TWIN[list(UP)])):
        moves += [(low, (0, 2.5), course), (up, (0, -2.5), course), (up, (0, -9), blink)]
    state = state_of(make_track(120, moves, squint))
    assert [event.kind for event in state.lid_events] == ["blink"]
    phases = [phase for phase in phases_of(state) if phase.au == 7]
    kept = [phase.kind for phase in without_dragged(phases, state) if phase.side == "left"]
    assert kept == ["rise", "release"]


def test_a_cheek_that_joins_a_held_smile_needs_no_smile_of_its_own(smile) -> None:
    state = state_of(smile())
    level = 1.0  # less than a cheek by itself must show
    inside, before = (AUPhase("rise", 6, "left", at, at + 6, at + 20, level, level) for at in (55, 10))
    assert [phase.au for group in grouped([inside], state) for phase in group.phases] == [6]
    assert grouped([before], state) == []


def lids_up(size: float, course: np.ndarray) -> list:
    """Moves of both upper lids."""
    return [(ids, (0, size), course) for ids in (UP, TWIN[list(UP)])]


def told(track) -> set[tuple[int, str]]:
    """(unit, phase) of all that is stated."""
    return {(unit.number, unit.phase) for one in state_movements(state_of(track)) for unit in one.units}


def test_eyes_that_stay_wide_are_not_their_rest(make_track) -> None:
    course = np.interp(np.arange(120), [36, 42], [0.0, 1.0])
    wide = {f"eyeWide{side}": 0.25 * course for side in ("Left", "Right")}
    found = told(make_track(120, lids_up(4.0, course), wide))
    assert (5, "rise") in found and not {unit for unit, _ in found} & {7}


def test_eyes_that_open_wider_with_raised_brows_are_stated(make_track, hold) -> None:
    course = hold(150, (60, 66), (90, 96))
    brows = [((70, 63, 105, 66, 107, 46, 53, 52, 65, 55), (0, 5), course),
             ((300, 293, 334, 296, 336, 276, 283, 282, 295, 285), (0, 5), course)]  # fmt: skip
    shown = {"browInnerUp": 0.5 * course, "browOuterUpLeft": 0.5 * course, "browOuterUpRight": 0.5 * course}
    assert (5, "rise") not in told(make_track(150, brows, shown))
    assert {(1, "rise"), (5, "rise"), (5, "release")} <= told(
        make_track(150, [*brows, *lids_up(3.0, course)], shown)
    )


def test_both_sides_of_a_unit_are_told_once(make_track) -> None:
    """One side begins earlier, so the lips that part at the end overlap with it alone."""
    state = state_of(make_track(100))
    right, left, outer = (
        AUPhase("rise", au, side, onset, apex, 60, size, size)
        for au, side, onset, apex, size in ((1, "right", 20, 35, 1.5), (1, "left", 22, 28, 1.4),
                                            (2, "left", 21, 28, 1.6))
    )  # fmt: skip
    lips = AUPhase("rise", 25, "both", 31, 35, 60, 4.0, 4.0)
    groups = grouped([right, left, outer, lips], state)
    assert sorted(phase.au for group in groups for phase in group.phases) == [1, 2, 25]
    (sides,) = [group.sides for group in groups if 1 in group.sides]
    assert sides[1] == "both"


def test_a_spoken_smile_is_released_however_fast_it_goes(make_track, smile) -> None:
    track = smile(frames=150, rise=(40, 48), release=(90, 95))
    state = state_of(track)
    state.speech[:] = True
    assert [phase.kind for phase in phases_of(state) if phase.au == 12 and phase.side == "left"] == [
        "rise", "release",
    ]  # fmt: skip


@pytest.mark.parametrize(("percent", "told"), [(30.0, True), (55.0, True), (90.0, False)])
def test_no_face_opens_its_mouth_by_nine_tenths_of_the_distance_between_the_eyes(
    make_track, hold, percent, told
) -> None:
    course = hold(150, (60, 66), (90, 96))
    lower = (14, 17, 84, 181, 91, 314, 405, 321, 87, 178, 152, 199, 175, 18, 313, 83)
    track = make_track(150, [(lower, (0, -percent), course)], {"jawOpen": 0.8 * course})
    assert (25 in {phase.au for phase in phases_of(state_of(track))}) == told


def test_gaze_to_either_side_moves_the_neutral_alike(make_track) -> None:
    levels = []
    for way in (-1.0, 0.0, 1.0):
        aside = way * (np.arange(100) % 10 < 4)
        track = make_track(100, [((468,), (5, 0), aside), ((473,), (5, 0), aside)])
        levels.append(state_of(track).neutral.levels["iris_x_left"])
    left, ahead, right = levels
    assert ahead - left == pytest.approx(right - ahead, abs=0.3)
