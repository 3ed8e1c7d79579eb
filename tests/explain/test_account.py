"""What an answer states against the measurement is marked: sides, noise, evidence left out."""

from dataclasses import replace

import pytest

from deft_llm.answer import NOT_SUPPORTED, SHAPE_ALONE
from deft_llm.explain.account import account_of, stated_chances
from deft_llm.records import BY_SHAPE, Evidence
from deft_llm.spotting.movement import Movement, MovementUnit

UNIT = MovementUnit(number=12, side="right", phase="rise", onset=0, apex=5, offset=10, onset_time=0.0,
                    apex_time=0.1, offset_time=0.2, intensity_before=0.0, intensity_after=0.4,
                    confidence=0.6)  # fmt: skip
SMILE = Movement("micro-expression", 0, 5, 10, 0.0, 0.1, 0.2, (0.18, 0.22), 12.0, units=(UNIT,))
EVIDENCE = "AU12 right, mouth corner, up-lateral, 0.6 px (1.3 % IOD)"


def told(rationale="The right mouth corner moves up, which is AU12.", evidence=EVIDENCE):
    return f"Class: happiness (positive)\nEvidence: {evidence}\nRationale: {rationale}"


def marks_of(answer, movement, not_judged=None):
    return account_of(answer, movement, not_judged=not_judged).marks


def test_the_measured_side_is_not_marked():
    assert marks_of(told(), SMILE) == []


@pytest.mark.parametrize("side", ["Both", "The left"])
def test_a_rationale_that_names_another_side_is_marked(side):
    (mark,) = marks_of(told(f"{side} mouth corners move up, which is AU12."), SMILE)
    assert mark.startswith("The rationale's AU12") and mark.endswith("shows it on the right")


def test_evidence_on_both_sides_of_what_one_side_did_is_marked():
    assert marks_of(told(evidence=EVIDENCE.replace("right", "both")), SMILE) == [
        "AU12 both: the measurement shows it on the right"
    ]


def test_both_sides_measured_leave_the_side_open():
    movement = replace(SMILE, units=(replace(UNIT, side="both"),))
    assert marks_of(told("Both mouth corners move up, which is AU12."), movement) == []


def test_no_evidence_beside_a_measured_unit_is_marked():
    nothing = told("No Action Unit can be measured in the flow.", "none")
    assert marks_of(nothing, SMILE) == ["Evidence none: the measurement shows AU12 right"]
    (mark,) = marks_of(nothing, replace(SMILE, units=(replace(UNIT, confidence=0.4),)))
    assert mark.startswith("Class happiness: no evidence is named for it") and "(AU12 right)" in mark
    assert marks_of(nothing, replace(SMILE, units=())) == []


def test_a_unit_below_the_noise_is_marked():
    more = f"{EVIDENCE}; AU7 both, lower lid, converging, 0.0 px (0.1 % IOD)"
    noise = {7: "z 0.8: not above the clip's noise", 12: "z 1.0: not above the clip's noise"}
    assert marks_of(told(evidence=more), SMILE, noise) == ["AU7 both: z 0.8, not above the clip's noise"]


def row_of(**changes):
    values = {"au": 12, "side": "right", "region": "mouth corner", "direction": "up-lateral", "dx": 0.0,
              "dy": 0.0, "px": 0.0, "iod_percent": 0.0, "z": 0.2, "support": 0.1, "status": "unsupported",
              "reason": "it does not move"}  # fmt: skip
    return Evidence(**values | changes)


def test_a_statement_that_the_motion_does_not_show_is_marked_where_it_stands():
    movement = replace(SMILE, units=(replace(UNIT, seen_by="motion"),))
    found = account_of(told(), movement, [row_of()])
    assert found.marks == ["AU12 right, mouth corner, up-lateral: it does not move"]
    assert f"0.0 px (0.0 % IOD), {NOT_SUPPORTED}\n" in found.answer
    assert [row.status for row in found.statements] == ["unsupported"]


@pytest.mark.parametrize("seen_by", ["state", "both"])
def test_what_shape_shows_needs_no_motion_of_the_skin(seen_by):
    shown = replace(SMILE, units=(replace(UNIT, seen_by=seen_by),))
    found = account_of(told(), shown, [row_of()])
    assert found.marks == [] and f"up-lateral, {SHAPE_ALONE}\n" in found.answer, "no figure of the noise"
    assert [(row.status, row.reason) for row in found.statements] == [("supported", BY_SHAPE)]
    clear = account_of(told(), shown, [row_of(z=4.0, px=2.0, iod_percent=3.0)])
    assert f"2.0 px (3.0 % IOD), {SHAPE_ALONE}\n" in clear.answer


def test_what_the_movement_denies_is_marked_though_its_skin_moves():
    both = told(evidence=EVIDENCE.replace("right", "both"))
    found = account_of(both, SMILE, [row_of(side="both", status="supported", reason="")])
    (row,) = found.statements
    assert row.status == "unsupported" and row.reason == "the measurement shows it on the right"
    assert NOT_SUPPORTED in found.answer.splitlines()[1]


def test_a_class_that_the_experts_find_less_likely_is_marked():
    likelier = {"positive": 0.3, "surprise": 0.6, "negative": 0.1}
    (mark,) = account_of(told(), SMILE, classes=likelier).marks
    assert mark == "Class positive: surprise is likelier by its probabilities (60 % against 30 %)"
    agreeing = {"positive": 0.6, "surprise": 0.3, "negative": 0.1}
    for classes in (agreeing, {}, {"I": 0.9, "II": 0.1}):
        assert account_of(told(), SMILE, classes=classes).marks == []


def test_the_language_model_is_told_what_the_movement_states_and_denies():
    fall = replace(UNIT, number=1, side="both", phase="release", confidence=0.9)
    told = stated_chances(replace(SMILE, units=(UNIT, fall)))
    assert told[12] == pytest.approx((0.4, 0.6)), "on the right alone"
    assert told[1] == pytest.approx((0.1, 0.1)), "what is released does not rise"
    assert told[4] == pytest.approx((0.1, 0.1)), "nor does what a release looks like"
    unsure = stated_chances(replace(SMILE, units=(replace(UNIT, side="both", confidence=0.42),)))
    assert unsure[12] == (0.5, 0.5), "what is stated is no less likely than not"
    hardly = replace(UNIT, confidence=0.42), replace(fall, confidence=0.45)
    faint = stated_chances(replace(SMILE, units=hardly))
    assert faint[12] == pytest.approx((0.35, 0.5)), "sides so far apart that one is told"
    assert not {1, 4} & faint.keys(), "what is hardly stated denies nothing"


def test_what_a_part_of_the_face_that_speaks_seems_to_show_is_not_believed_and_is_marked():
    speaks = dict.fromkeys(("chin", "left mouth corner", "right mouth corner"), "mouth movement in speech")
    movement = replace(SMILE, units=(replace(UNIT, number=1, side="both"),), hidden=speaks)
    told_of = stated_chances(movement)
    assert told_of[1] == (0.6, 0.6) and told_of[26] == told_of[12] == (0.05, 0.05) and 2 not in told_of
    jaw = told("Both inner brows move up, which is AU1.", "AU26 both, chin, down")
    assert marks_of(jaw, movement)[0] == "AU26 both: mouth movement in speech"
