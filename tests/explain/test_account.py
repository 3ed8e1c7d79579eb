"""What an answer states against the measurement is marked: sides, noise, evidence left out."""

from dataclasses import replace

import pytest

from deft_llm.explain.account import contradicted
from deft_llm.spotting.movement import Movement, MovementUnit

UNIT = MovementUnit(number=12, side="right", phase="rise", onset=0, apex=5, offset=10, onset_time=0.0,
                    apex_time=0.1, offset_time=0.2, intensity_before=0.0, intensity_after=0.4,
                    confidence=0.6)  # fmt: skip
SMILE = Movement("micro-expression", 0, 5, 10, 0.0, 0.1, 0.2, (0.18, 0.22), 12.0, units=(UNIT,))
EVIDENCE = "AU12 right, mouth corner, up-lateral, 0.6 px (1.3 % IOD)"


def told(rationale="The right mouth corner moves up, which is AU12.", evidence=EVIDENCE):
    return f"Class: happiness (positive)\nEvidence: {evidence}\nRationale: {rationale}"


def test_the_measured_side_is_not_marked():
    assert contradicted(told(), SMILE) == []


@pytest.mark.parametrize("side", ["Both", "The left"])
def test_a_rationale_that_names_another_side_is_marked(side):
    (mark,) = contradicted(told(f"{side} mouth corners move up, which is AU12."), SMILE)
    assert mark.startswith("The rationale's AU12") and mark.endswith("shows it on the right")


def test_evidence_on_both_sides_of_what_one_side_did_is_marked():
    assert contradicted(told(evidence=EVIDENCE.replace("right", "both")), SMILE) == [
        "AU12 both: the measurement shows it on the right"
    ]


def test_both_sides_measured_leave_the_side_open():
    movement = replace(SMILE, units=(replace(UNIT, side="both"),))
    assert contradicted(told("Both mouth corners move up, which is AU12."), movement) == []


def test_no_evidence_beside_a_measured_unit_is_marked():
    nothing = told("No Action Unit can be measured in the flow.", "none")
    assert contradicted(nothing, SMILE) == ["Evidence none: the measurement shows AU12 right"]
    assert contradicted(nothing, replace(SMILE, units=(replace(UNIT, confidence=0.4),))) == []


def test_a_unit_below_the_noise_is_marked():
    more = f"{EVIDENCE}; AU7 both, lower lid, converging, 0.0 px (0.1 % IOD)"
    noise = {7: "z 0.8: not above the clip's noise", 12: "z 1.0: not above the clip's noise"}
    assert contradicted(told(evidence=more), SMILE, noise) == ["AU7 both: z 0.8, not above the clip's noise"]
