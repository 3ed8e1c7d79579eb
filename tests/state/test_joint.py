"""Movements from the state: a rise with its release is one movement, a release is never an expression."""

from dataclasses import replace

import numpy as np
import pytest

from deft_llm.explain.account import account_of, release_answer
from deft_llm.explain.units import NO_END, TOO_LONG, as_stated, hindrance, of_motion, rows_of, unnamed
from deft_llm.explain.unjudged import of_movement, of_video
from deft_llm.explain.video_overlay import told_in
from deft_llm.explain.words import between as between_words
from deft_llm.explain.words import clock, when_of
from deft_llm.faces.regions import TWIN
from deft_llm.facs.regions import PART_REGIONS
from deft_llm.records import BY_SHAPE, Evidence
from deft_llm.spotting.explained import without_dragged
from deft_llm.spotting.joint import (
    between,
    borne_out,
    events_of,
    joint_movements,
    state_movements,
    sure_enough,
)
from deft_llm.spotting.movement import (
    A_WORD,
    REPEATED,
    RISES_AGAIN,
    SPOKEN,
    STILL_HELD,
    UNIT_HELD,
    Movement,
    MovementUnit,
    RegionShift,
    border,
    bounds_of,
)
from deft_llm.spotting.phases import AUPhase, phases_of
from deft_llm.spotting.spot import Spotting
from deft_llm.state.channels import POINTS
from deft_llm.state.face_state import state_of


def test_a_smile_rises_holds_and_is_released_as_one_movement(smile):
    (movement,) = state_movements(state_of(smile()))
    twelve = {unit.phase: unit for unit in movement.units if unit.number == 12}
    assert set(twelve) == {"rise", "release"} and twelve["rise"].side == "both"
    assert abs(twelve["rise"].onset - 40) <= 2 and abs(twelve["rise"].apex - 48) <= 2
    assert abs(twelve["release"].onset - 80) <= 2 and abs(twelve["release"].apex - 90) <= 2
    assert movement.kind == "macro-expression" and abs(movement.offset - 90) <= 2
    assert not any(unit.number == 15 for unit in movement.units)


def given_from(onset: int, apex: int) -> Movement:
    """A movement whose frames were named, as by --onset and --apex."""
    return Movement("given", onset, apex, None, onset / 25, apex / 25, None, None, 0.0)


@pytest.mark.parametrize(("sides", "side"), [(("left", "right"), "both"), (("left",), "left")])
def test_given_frames_tell_a_smile_and_its_end_as_spotting_does(smile, sides, side):
    state = state_of(smile(sides))
    rise, fall = between(state, given_from(38, 50)), between(state, given_from(78, 92))
    spotted = {unit.number for unit in state_movements(state)[0].units}
    for movement, phase in ((rise, "rise"), (fall, "release")):
        assert {unit.phase for unit in movement.units} == {phase}, "no opposite of what it takes away"
        assert 12 in {unit.number for unit in movement.units} <= spotted
        assert next(unit.side for unit in movement.units if unit.number == 12) == side
    assert fall.is_release and not rise.is_release


def test_given_frames_say_what_is_hidden(smile):
    state = state_of(smile())
    state.visibility.hidden["mouth"][:] = True
    assert between(state, given_from(38, 50)).hidden["left mouth corner"] == "something covers it"
    assert not between(state, given_from(38, 50)).units


def test_each_side_is_released_where_it_rose(smile):
    first, second = state_movements(state_of(smile(rises={"right": (58, 66)})))
    for movement, side in ((first, "left"), (second, "right")):
        told = {(unit.phase, unit.side) for unit in movement.units if unit.number == 12}
        assert told == {("rise", side), ("release", side)}


def test_motions_that_were_set_aside_are_not_called_noise(smile):
    (said, *_) = of_video(state_of(smile()), object(), [], set_aside=2)
    assert said.state == "not-measured" and "moved 2 times" in said.why and "noise" not in said.why


def test_a_release_beside_another_keeps_its_own_times(smile, monkeypatch):
    """AU4, held since the clip began, is released beside a smile's release, which belongs to the smile."""
    state = state_of(smile())
    rise = AUPhase("rise", 12, "right", 40, 48, 90, 2.0, 2.0)
    fall = AUPhase("release", 12, "right", 80, 92, 92, 2.0, 2.0, of=rise)
    frown = AUPhase("release", 4, "both", 79, 88, 88, 1.4, 1.4)
    monkeypatch.setattr("deft_llm.spotting.joint.sure_enough", lambda *_: [rise, fall, frown])
    smiling, lone = state_movements(state)
    assert [(unit.number, unit.phase) for unit in smiling.units] == [(12, "rise"), (12, "release")]
    assert [unit.number for unit in lone.units] == [4]
    assert (lone.apex, lone.offset, lone.reason) == (88, 88, "") and lone.is_release


def test_a_word_is_no_question_of_the_frame_rate(smile):
    (movement,) = state_movements(state_of(smile()))
    near = border(0.5, 0.5, 25.0)
    states = [of_movement(replace(movement, reason=why), read=True, named=True) for why in (near, A_WORD)]
    assert [one.state for (one,) in states] == ["fps-too-low", "speech"]
    assert border(0.53, 0.5, 25.0) and not border(0.55, 0.5, 25.0)


def test_micro_is_by_the_time_from_rise_to_return(smile):
    state = state_of(smile(rise=(40, 44), release=(46, 50)))
    (movement,) = state_movements(state)
    assert movement.kind == "micro-expression" and not movement.is_release
    assert [one.kind for one in joint_movements(state, None, 0.2)] == ["macro-expression"]


def test_a_clip_that_begins_with_a_smile_ends_in_a_release_without_a_class(smile):
    (movement,) = state_movements(state_of(smile(rise=(-9, -5), release=(60, 70))))
    assert movement.is_release and {unit.number for unit in movement.units} >= {12}
    answer = release_answer(movement)
    assert answer.startswith("Class: undetermined (undetermined)\nEvidence: ")
    assert "release of AU12 both" in answer


def test_brows_that_are_drawn_together_release_nothing_that_was_not_seen_to_rise(smile):
    state = state_of(smile())
    rise = next(phase for phase in phases_of(state) if phase.au == 12 and phase.kind == "rise")
    frown = replace(rise, au=4, side="both", size=2.0, level=2.0)
    fall = replace(rise, au=1, kind="release", size=2.0, level=2.0)
    assert without_dragged([fall], state) == [fall]
    assert without_dragged([fall, frown], state) == [frown]
    raised = replace(fall, kind="rise", onset=fall.onset - 20, apex=fall.apex - 20)
    seen = replace(fall, of=raised)
    assert without_dragged([raised, seen, frown], state) == [raised, seen, frown]


def test_what_no_face_shows_is_no_movement(make_track, hold):
    course, brows = hold(120, (40, 48), (80, 90)), POINTS["brow_in"]
    both = ((brows, 1), (TWIN[list(brows)], -1))
    moves = lambda size: [(ids, (way * size, -size), course) for ids, way in both]  # noqa: E731
    numbers = {
        size: {phase.au for phase in phases_of(state_of(make_track(120, moves(size), {
            "browDownLeft": 0.6 * course, "browDownRight": 0.6 * course})))} for size in (5, 40)
    }  # fmt: skip
    assert 4 in numbers[5] and 4 not in numbers[40]


def test_one_side_stays_one_side(smile):
    (movement,) = state_movements(state_of(smile(sides=("right",))))
    assert {unit.side for unit in movement.units if unit.number == 12} == {"right"}


def flow_movement(onset, apex, region="left mouth corner", direction="down"):
    return Movement(
        kind="movement", onset=onset, apex=apex, offset=None, onset_time=onset / 25, apex_time=apex / 25,
        offset_time=None, duration=None, strength=9.0,
        regions=(RegionShift(region, 0.0, 2.0, direction, 9.0),),
    )  # fmt: skip


def test_brief_motion_of_the_mouth_that_comes_again_is_speech(make_track):
    state = state_of(make_track(200))
    brief = [replace(flow_movement(at, at + 3), kind="micro-expression", offset=at + 7) for at in (40, 70)]
    brow = replace(flow_movement(50, 53, "left inner brow", "up"), kind="micro-expression", offset=57)
    found = joint_movements(state, Spotting(movements=[*brief, brow]))
    kinds = [(one.kind, one.judged) for one in found]
    spoken = ("mouth movement in speech", False)
    assert kinds == [spoken, ("micro-expression", True), spoken]
    assert found[0].reason and found[0].hidden["chin"] == "mouth movement in speech" and not found[1].hidden
    once = joint_movements(state, Spotting(movements=[brief[0], brow]))
    assert [one.kind for one in once] == ["micro-expression"] * 2
    state.speech[30:60] = True
    heard = joint_movements(state, Spotting(movements=[brief[0], brow]))
    assert [one.kind for one in heard] == ["mouth movement in speech", "micro-expression"]


def test_motion_of_eyes_that_blink_is_none_and_speech_beside_it_is_speech(make_track, hold):
    lid, shut = POINTS["lid_up"], hold(200, (100, 102), (103, 106))
    state = state_of(make_track(200, [(ids, (0, -9), shut) for ids in (lid, TWIN[list(lid)])]))
    assert [event.kind for event in state.lid_events] == ["blink"]
    eyes = replace(flow_movement(100, 103, "left upper lid"), kind="micro-expression", offset=107)
    mouth = replace(eyes, regions=(*eyes.regions, RegionShift("chin", 0.0, 2.0, "down", 5.0)))
    calm = replace(eyes, onset=40, apex=43, offset=47)
    kinds = [one.kind for one in joint_movements(state, Spotting(movements=[eyes, mouth, calm]))]
    assert kinds == ["micro-expression"] * 2, "the blink alone is left out"
    state.speech[90:120] = True
    kinds = [one.kind for one in joint_movements(state, Spotting(movements=[eyes, mouth, calm]))]
    assert kinds == ["micro-expression", "mouth movement in speech"]


def test_motion_of_a_release_is_that_release_and_no_new_movement(smile):
    state = state_of(smile())
    (movement,) = joint_movements(state, Spotting(movements=[flow_movement(80, 90)]))
    assert not movement.regions and {unit.seen_by for unit in movement.units} == {"state"}
    both = joint_movements(state, Spotting(movements=[flow_movement(60, 66, "left inner brow", "up")]))
    assert len(both) == 2


def test_a_movement_has_the_regions_of_its_rise_and_none_that_went_against_it(smile):
    state = state_of(smile())
    up = flow_movement(40, 48, direction="up")
    up = replace(up, regions=(replace(up.regions[0], dy=-2.0),))
    for found, seen in ((up, {("rise", "both"), ("release", "state")}), (flow_movement(40, 48), None)):
        (movement,) = joint_movements(state, Spotting(movements=[flow_movement(80, 90), found]))
        assert movement.regions == (found.regions if seen else ())
        told = {(unit.phase, unit.seen_by) for unit in movement.units if unit.number == 12}
        assert told == (seen or {("rise", "state"), ("release", "state")})
    (lone,) = joint_movements(
        state_of(smile(rise=(-9, -5), release=(60, 70))), Spotting(movements=[flow_movement(60, 70)])
    )
    assert lone.is_release and lone.regions


def test_one_release_is_told_once(smile, monkeypatch):
    state = state_of(smile())
    phases = sure_enough(state)
    fall = next(one for one in phases if one.au == 12 and one.kind == "release")
    again = replace(fall, of=None, onset=fall.onset + 2)
    monkeypatch.setattr("deft_llm.spotting.joint.sure_enough", lambda *_: [*phases, again])
    (movement,) = state_movements(state)
    assert sum(unit.phase == "release" and unit.number == 12 for unit in movement.units) == 1


@pytest.mark.parametrize(
    ("falls", "told"),
    [
        ({"left": (58, 94), "right": (76, 94)}, {("both", 58, 94)}),
        ({"left": (58, 70), "right": (82, 94)}, {("left", 58, 70), ("right", 82, 94)}),
    ],
)
def test_a_unit_is_released_once_or_each_side_in_its_own_time(smile, monkeypatch, falls, told):
    rises = {side: AUPhase("rise", 2, side, 40, 48, falls[side][1], 2.0, 2.0) for side in falls}
    sides = [
        AUPhase("release", 2, side, onset, apex, apex, 2.0 - 0.1 * (side == "right"), 2.0, of=rises[side])
        for side, (onset, apex) in falls.items()
    ]
    phases = [*rises.values(), *sides]
    monkeypatch.setattr("deft_llm.spotting.joint.sure_enough", lambda *_: phases)
    (movement,) = state_movements(state_of(smile()))
    assert [(unit.number, unit.side) for unit in movement.rises] == [(2, "both")]
    assert {(one.side, one.onset, one.apex) for one in movement.units if one.phase == "release"} == told
    assert len(movement.units) == 1 + len(told)


def test_a_rise_that_the_skin_denies_is_not_stated_nor_its_release(smile):
    state = state_of(smile())
    (movement,) = state_movements(state)
    rise = next(unit for unit in movement.rises if unit.number == 12)
    fall = next(unit for unit in movement.units if (unit.number, unit.phase) == (12, "release"))
    assert borne_out(movement, state) == movement
    doubtful = replace(rise, confidence=0.3)
    brow = replace(rise, number=1, confidence=0.8)
    found = borne_out(replace(movement, units=(doubtful, replace(fall, confidence=0.5), brow)), state)
    assert found.units == (brow,) and found.kind == movement.kind
    alone = replace(movement, units=(doubtful, replace(fall, confidence=0.5)))
    assert not borne_out(alone, state).units and borne_out(alone, state).kind == "movement"
    assert borne_out(replace(alone, kind="given"), state).units == alone.units
    kept = replace(movement, units=(doubtful, replace(fall, confidence=0.7)))
    assert borne_out(kept, state) == kept, "its release is sure"
    denied = replace(kept, units=(replace(rise, confidence=0.2), *kept.units[1:]))
    assert not borne_out(denied, state).units


def test_a_movement_is_over_where_the_units_are_that_the_skin_does_not_deny(smile):
    state = state_of(smile())
    (movement,) = state_movements(state)
    rise = next(unit for unit in movement.rises if unit.number == 12)
    frown = replace(rise, number=4, onset=rise.onset + 3, apex=rise.apex + 4, offset=62, confidence=0.9)
    spotted = replace(movement, reason=f"The end of AU12 {UNIT_HELD}",
                      units=(replace(rise, confidence=0.1, offset=None), frown))  # fmt: skip
    found = borne_out(spotted, state)
    assert found.units == (frown,) and (found.onset, found.apex) == (movement.onset, movement.apex)
    assert (found.offset, found.offset_time, found.reason) == (62, state.times[62], "")
    assert found.duration == bounds_of(state.times[62] - found.onset_time, state.fps)
    assert found.kind == "macro-expression" and movement.offset > 62
    assert when_of(movement).startswith("onset 1.") and "apex" in when_of(movement)
    assert when_of(found) == (
        f"measured {between_words(found.onset_time, found.apex_time)}, offset {clock(found.offset_time)}"
    ), "it has the onset and the apex of no unit that is told"
    again = borne_out(replace(spotted, units=(spotted.units[0], replace(frown, number=6, offset=50))), state)
    assert (again.kind, again.reason) == ("macro-expression", REPEATED), "the cheeks are still up after it"
    short = state_of(smile(rise=(40, 44), release=(46, 50)))
    brief = replace(spotted, units=(spotted.units[0], replace(frown, number=6, apex=45, offset=51)))
    assert borne_out(brief, short).kind == "micro-expression"
    early = replace(brief, units=(spotted.units[0], replace(frown, number=6, apex=42, offset=46)))
    found = borne_out(early, short)
    assert movement.apex > 46 and found.onset <= found.apex == 42 <= found.offset == 46
    held = borne_out(replace(spotted, units=(spotted.units[0], replace(frown, offset=None))), state)
    assert (held.kind, held.offset, held.duration, held.reason) == ("movement", None, None, STILL_HELD)


def test_why_an_end_is_not_seen_is_told(smile, monkeypatch):
    state = state_of(smile())
    rise, *_ = phases = [one for one in sure_enough(state) if one.au == 12 and one.kind == "rise"]
    for rises_again, reason in ((True, RISES_AGAIN), (False, STILL_HELD)):
        held = [replace(one, seen_to_end=False, rises_again=rises_again) for one in phases]
        monkeypatch.setattr("deft_llm.spotting.joint.sure_enough", lambda *_, held=held: held)
        assert [one.reason for one in state_movements(state)] == [reason]
    brow = replace(rise, au=1, side=rise.side, size=2.0, level=2.0, seen_to_end=False)
    monkeypatch.setattr("deft_llm.spotting.joint.sure_enough", lambda *_: [*phases, brow])
    (movement,) = state_movements(state)
    assert movement.offset is not None and movement.reason == f"The end of AU1 {UNIT_HELD}"
    assert [one.state for one in of_movement(movement, read=True, named=True)] == ["no-offset"]


def test_an_answer_that_names_the_opposite_is_marked(smile):
    (movement,) = state_movements(state_of(smile(rise=(-9, -5), release=(60, 70))))
    told = (
        "Class: sadness (negative)\nEvidence: AU15 both, mouth corner, down, 2.0 px (2.2 % IOD)\n"
        "Rationale: The mouth corners moved down."
    )
    (mark,) = account_of(told, movement).marks
    assert "AU15" in mark and "release of AU12" in mark
    (rise, *_) = state_movements(state_of(smile()))
    assert account_of(told.replace("AU15", "AU12").replace("down", "up"), rise).marks == []


def test_a_mouth_that_speaks_states_nothing_of_speech(make_track):
    course = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(150) / 25)
    track = make_track(150, [(LOWER_LIP, (0, -8), course)])
    state = state_of(track)
    assert state.speech[20:130].all()
    assert not {unit.number for one in state_movements(state) for unit in one.units} & {25, 26, 15, 17}
    assert any(event.kind == "speech" for event in events_of(state, None))


LOWER_LIP = (14, 17, 84, 181, 91, 314, 405, 321, 87, 178)


def test_syllables_are_no_parted_lips_but_one_parting_is(make_track, hold):
    once = hold(150, (40, 43), (46, 50))
    twice = once + hold(150, (70, 73), (76, 80))
    stated = {}
    for name, curve in (("once", once), ("twice", twice)):
        state = state_of(make_track(150, [(LOWER_LIP, (0, -9), curve)]))
        stated[name] = [(unit.number, one.kind) for one in state_movements(state) for unit in one.units]
    assert set(stated["once"]) == {(25, "movement")} and not stated["twice"], "once may be a word: no micro"


def test_figures_are_those_of_the_place_that_an_answer_names():
    unit = MovementUnit(
        12, "both", "rise", 60, 64, 70, 2.4, 2.56, 2.8, px=3.2, iod_percent=5.9, seen_by="both"
    )
    moved = replace(flow_movement(60, 64), units=(unit, replace(unit, number=6)))
    cheek = Evidence(au=12, side="both", region="cheek", direction="up", dx=0.0, dy=-3.2, px=3.2,
                     iod_percent=5.9, z=7.0, support=0.9, status="supported", reason="measured")  # fmt: skip
    corner = cheek.model_copy(update={"region": "mouth corner", "px": 1.9, "iod_percent": 3.5, "z": 5.0})
    rows = [cheek, cheek.model_copy(update={"au": 6})]
    told, found = as_stated(moved, rows, [corner])
    assert [(one.px, one.iod_percent) for one in told.units] == [(1.9, 3.5), (3.2, 5.9)]
    assert found == [corner, rows[1]]
    by_shape = corner.model_copy(update={"reason": BY_SHAPE})
    refused = corner.model_copy(update={"status": "unsupported"})
    assert as_stated(moved, rows, [by_shape, refused]) == (moved, rows)


def test_brief_motion_of_the_mouth_that_names_no_unit_is_no_micro_expression():
    mouth = replace(flow_movement(60, 64, "chin"), kind="micro-expression", offset=70, offset_time=2.8)
    brow = replace(mouth, regions=flow_movement(60, 64, "left inner brow", "up").regions)
    found, why = unnamed(mouth, {})
    assert found.kind == "movement" and "word" in why
    assert unnamed(brow, {}) == (brow, "")
    shifts = (*mouth.regions, *brow.regions)
    spoken = replace(mouth, regions=shifts, hidden={"chin": SPOKEN})
    found, why = unnamed(spoken, {})
    assert found.kind == "movement" and f"chin: {SPOKEN}" in why, "brows that go along with speech are none"
    smile = replace(mouth, units=(MovementUnit(12, "left", "rise", 60, 64, 70, 2.4, 2.56, 2.8),))
    assert unnamed(smile, {}) == (smile, "")
    parted = replace(mouth, units=(replace(smile.units[0], number=25),))
    assert unnamed(parted, {}) == (replace(parted, kind="movement", reason=A_WORD), "")
    pressed = replace(smile.units[0], number=23)
    both = replace(parted, units=(*parted.units, pressed))
    assert unnamed(both, {}) == (replace(both, kind="movement", reason=A_WORD), ""), (
        "lips that speak press too"
    )
    smiling, lone = replace(parted, units=(*parted.units, *smile.units)), replace(mouth, units=(pressed,))
    assert [unnamed(one, {}) for one in (smiling, lone)] == [(smiling, ""), (lone, "")]


def test_the_openings_that_speech_begins_and_ends_with_are_speech(make_track):
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 3.5 * np.clip(np.arange(150) / 25 - 2, 0, 2))
    state = state_of(make_track(150, [(LOWER_LIP, (0, -8), syllables)]))
    assert state.speech[50:100].all() and not state.speech[:40].any() and not state.speech[110:].any()


def test_a_broad_smile_that_wavers_is_no_speech(make_track):
    drawn = np.interp(np.arange(150), [30, 40, 110, 120], [0, 1, 1, 0])
    waver = drawn + 0.05 * drawn * np.sin(2 * np.pi * 3 * np.arange(150) / 25)
    moves = [((61, 57), (-20, 5), waver), ((291, 287), (20, 5), waver)]
    assert not state_of(make_track(150, moves)).speech.any()


def test_a_covered_mouth_does_not_speak(make_track):
    course = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(150) / 25)
    track = make_track(150, [(LOWER_LIP, (0, -8), course)])
    track.presence[40:110] = 3.0
    assert not state_of(track).speech[50:100].any()


def test_brows_that_go_up_again_at_once_are_no_micro_expression(make_track, hold):
    def kinds(course):
        shown = {"browInnerUp": 0.7 * course, "browOuterUpLeft": 0.7 * course,
                 "browOuterUpRight": 0.7 * course}  # fmt: skip
        brows = (POINTS["brow_in"], POINTS["brow_out"])
        moves = [(each, (0, 7), course) for ids in brows for each in (ids, TWIN[list(ids)])]
        return [one.kind for one in state_movements(state_of(make_track(150, moves, shown)))]

    once, again = hold(150, (60, 63), (65, 69)), hold(150, (71, 74), (76, 80))
    assert kinds(once) == ["micro-expression"]
    assert "micro-expression" not in kinds(once + again)


BOTH_BROWS = [each for ids in (POINTS["brow_in"], POINTS["brow_out"]) for each in (ids, TWIN[list(ids)])]


def raised(make_track, course, **shown):
    """A track of brows that go up."""
    shown |= {"browInnerUp": 0.5 * course, "browOuterUpLeft": 0.5 * course, "browOuterUpRight": 0.5 * course}
    return make_track(len(course), [(ids, (0, 5), course) for ids in BOTH_BROWS], shown)


def test_brows_that_go_up_as_a_hand_comes_are_not_stated(make_track, hold):
    track = raised(make_track, hold(150, (60, 66), (90, 96)))
    assert {unit.number for one in state_movements(state_of(track)) for unit in one.units} >= {1, 2}
    track.presence[68:84] = 3.0
    assert not [unit for one in state_movements(state_of(track)) for unit in one.units]


def test_brows_over_a_mask_that_is_worn_are_stated(make_track, hold):
    track = raised(make_track, hold(150, (60, 66), (90, 96)))
    track.lips[:, :4] = 0.001
    state = state_of(track)
    assert state.visibility.hidden["mouth"].all() and not state.visibility.disturbed.any()
    assert {unit.number for one in state_movements(state) for unit in one.units} >= {1, 2}


def test_a_face_that_is_lost_under_a_hand_stays_covered(make_track, hold):
    track = make_track(150)
    for name in ("landmarks", "depth", "blend", "presence", "iod", "furrows", "lips", "skipped"):
        getattr(track, name)[66:76] = np.nan
    track.lips[60:66], track.lips[76:82] = ([0.12, -0.5, 0.001, 0.0, 0.1],) * 2
    covered = state_of(track).visibility.covered
    assert covered[60:82].all() and not covered[:55].any() and not covered[87:].any()


def test_a_wink_and_a_closure_of_the_eyes_move_no_brows(make_track, hold):
    lid = POINTS["lid_up"]
    shut = hold(150, (60, 63), (73, 76))
    for sides in ((lid,), (lid, TWIN[list(lid)])):
        moves = [(ids, (0, -9), shut) for ids in sides] + [(ids, (0, 5), shut) for ids in BOTH_BROWS]
        state = state_of(make_track(150, moves, {"browInnerUp": 0.5 * shut}))
        assert {event.kind for event in state.lid_events} & {"wink", "blink", "eyes closed"}
        assert not [unit for one in state_movements(state) for unit in one.units if unit.number in (1, 2)]


def test_brows_that_were_seen_to_rise_are_released_as_the_eyes_close(make_track, hold):
    lid, shut = POINTS["lid_up"], hold(200, (92, 95), (130, 133))
    brows = hold(200, (50, 56), (92, 98))
    moves = [(ids, (0, -9), shut) for ids in (lid, TWIN[list(lid)])] + [
        (ids, (0, 5), brows) for ids in BOTH_BROWS
    ]
    state = state_of(make_track(200, moves, {"browInnerUp": 0.5 * brows}))
    assert "eyes closed" in {event.kind for event in state.lid_events}
    told = {(unit.number, unit.phase) for one in state_movements(state) for unit in one.units}
    assert {(1, "rise"), (1, "release")} <= told


def test_a_hand_that_comes_pulls_no_mouth(make_track, hold):
    course = hold(120, (52, 56), (100, 110))
    track = make_track(120, [((61, 57), (-6, 9), course), ((291, 287), (6, 9), course)],
                       {"mouthSmileLeft": 0.7 * course, "mouthSmileRight": 0.7 * course})  # fmt: skip
    assert 12 in {phase.au for phase in phases_of(state_of(track))}
    track.lips[58:80] = [0.12, -0.5, 0.001, 0.0, 0.1]
    assert not {phase.au for phase in phases_of(state_of(track)) if phase.onset < 60}


@pytest.mark.parametrize(("quantiser", "px", "confidence"), [(0, 0.15, 0.6), (20, 0.15, 0.6), (28, 0.5, 0.4),
                                                             (35, 0.6, None), (35, 1.0, 0.4)])  # fmt: skip
def test_what_coding_moves_by_itself_is_no_unit(make_track, quantiser, px, confidence):
    row = Evidence(au=1, side="both", region="inner brow", direction="up", dx=0.0, dy=-1.0, px=px,
                   iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 64, "left inner brow", "up"), kind="micro-expression", offset=70,
                    offset_time=2.8)  # fmt: skip
    track = make_track(120)
    track.quantiser[:] = quantiser
    state = state_of(track)
    told, refused = of_motion(moved, [row], state)
    assert [unit.confidence for unit in told.units] == ([] if confidence is None else [confidence])
    assert bool(refused) == (confidence is None) == hindrance(refused).startswith("the video is compressed")
    said = [one.why for one in of_video(state, None, []) if one.state == "compression"]
    assert bool(said) == (quantiser > 24)


@pytest.mark.parametrize(
    ("percent", "offset", "refused"), [(1.4, 90, None), (6.0, 90, TOO_LONG), (1.4, None, NO_END)]
)
def test_what_lasts_is_told_by_motion_alone_where_shape_could_not_show_it(
    make_track, percent, offset, refused
):
    row = Evidence(au=1, side="both", region="inner brow", direction="up", dx=0.0, dy=-1.0, px=0.6,
                   iod_percent=percent, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 70, "left inner brow", "up"), kind="macro-expression", offset=offset,
                    offset_time=None if offset is None else offset / 25)  # fmt: skip
    told, why = of_motion(moved, [row], state_of(make_track(120)))
    assert [unit.number for unit in told.units] == ([1] if refused is None else [])
    assert why.get(1) == refused


@pytest.mark.parametrize(("z", "told"), [(9.0, True), (3.0, False)])
def test_motion_alone_states_what_stands_well_above_the_noise(make_track, z, told):
    row = Evidence(au=1, side="both", region="inner brow", direction="up", dx=0.0, dy=-1.0, px=1.0,
                   iod_percent=1.1, z=z, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 64, "left inner brow", "up"), kind="micro-expression", offset=70,
                    offset_time=2.8)  # fmt: skip
    found, refused = of_motion(moved, [row], state_of(make_track(120)))
    assert [unit.number for unit in found.units] == [1] * told
    assert refused == ({} if told else {1: "z 3.0: too little above the clip's noise for motion alone"})


def test_motion_states_nothing_while_a_cover_comes_or_goes(make_track):
    row = Evidence(au=1, side="both", region="inner brow", direction="up", dx=0.0, dy=-1.0, px=1.0,
                   iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 64, "left inner brow", "up"), kind="micro-expression", offset=70,
                    offset_time=2.8)  # fmt: skip
    state = state_of(make_track(120))
    told, refused = of_motion(moved, [row], state)
    assert [unit.number for unit in told.units] == [1] and not refused
    hand = np.arange(120) < 62
    covered = replace(state, visibility=replace(state.visibility, disturbed=hand))
    told, refused = of_motion(moved, [row], covered)
    assert not told.units and "comes or goes" in refused[1]


@pytest.mark.parametrize(("opens", "told"), [(30, True), (62, False)])
def test_motion_of_lids_that_open_is_no_tightened_lid(make_track, opens, told):
    shut = np.where(np.arange(120) < opens, 1.0, 0.0)
    lids = [(ids, (0, -9), shut) for ids in (POINTS["lid_up"], TWIN[list(POINTS["lid_up"])])]
    row = Evidence(au=7, side="both", region="lower lid", direction="up", dx=0.0, dy=-1.0, px=1.0,
                   iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 64, "left lower lid", "up"), kind="micro-expression", offset=70,
                    offset_time=2.8)  # fmt: skip
    state = state_of(make_track(120, lids))
    assert {event.kind for event in state.lid_events} == {"eyes closed"}
    found, refused = of_motion(moved, [row], state)
    assert [unit.number for unit in found.units] == ([7] if told else []) and (7 in refused) != told


@pytest.mark.parametrize(("au", "region", "part"), [(6, "cheek", "mouth"), (1, "inner brow", "brows")])
def test_motion_states_no_unit_of_a_region_that_is_hidden(make_track, au, region, part):
    """A cheek below the eyes is hidden with the mouth: under a hand that rests, too, AU6 is not stated."""
    row = Evidence(au=au, side="both", region=region, direction="up", dx=0.0, dy=-1.0, px=1.0,
                   iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    moved = replace(flow_movement(60, 64, f"left {region}", "up"), kind="micro-expression", offset=70,
                    offset_time=2.8)  # fmt: skip
    state = state_of(make_track(120))
    told, refused = of_motion(moved, [row], state)
    assert [unit.number for unit in told.units] == [au] and not refused
    hidden = dict.fromkeys((f"{side} {name}" for side in ("left", "right") for name in PART_REGIONS[part]),
                           "something covers it")  # fmt: skip
    told, refused = of_motion(replace(moved, hidden=hidden), [row], state)
    assert not told.units and refused == {au: "something covers it"}


def test_what_changes_with_a_cut_neither_rises_nor_is_released(smile):
    state = state_of(smile(rise=(39, 40)))
    cut_at = lambda *cuts: replace(state, visibility=replace(state.visibility, cuts=cuts))  # noqa: E731
    found = lambda one, kind: [p for p in phases_of(one) if p.au == 12 and p.kind == kind]  # noqa: E731
    assert found(state, "rise") and not found(cut_at(40), "rise")
    assert all(phase.of is not None for phase in found(state, "release"))
    # a smile that another picture takes the place of: its end is not seen, and what falls then is another's
    assert {(p.end, p.seen_to_end) for p in found(cut_at(60), "rise")} == {(59, False)}
    assert all(phase.of is None for phase in found(cut_at(60), "release"))


def test_a_unit_takes_the_figures_of_its_own_side(smile):
    (movement,) = state_movements(state_of(smile(sides=("left",))))
    row = Evidence(au=12, side="right", region="mouth corner", direction="up-lateral", dx=1.0, dy=-1.0,
                   px=1.0, iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    (own,) = (one for one in rows_of(movement, [row]) if one.au == 12)
    assert own.side == "left" and own.reason == BY_SHAPE
    both = row.model_copy(update={"side": "both"})
    assert row.model_copy(update={"side": "left"}) in rows_of(movement, [both]), "one side in every table"


def test_words_of_an_overlay_tell_faces_apart(smile):
    (movement,) = state_movements(state_of(smile()))
    rise, release = (next(u for u in movement.units if (u.number, u.phase) == (12, phase))
                     for phase in ("rise", "release"))  # fmt: skip
    held = replace(movement, units=(replace(rise, offset=None),))
    going = replace(movement, face=2, units=(rise, release))
    assert told_in([held], [], rise.apex, False) == ["AU12 both  rising"]
    assert told_in([held], [], rise.apex + 10, False) == ["AU12 both  held"], "though its end is not seen"
    said = told_in([held, going], [], release.onset + 2, True)
    assert said == ["face 1: AU12 both  held", "face 2: release of AU12 both"]
