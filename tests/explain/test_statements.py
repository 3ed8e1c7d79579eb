"""What the motion has to say of a statement: its place, its way, the noise, the Action Unit as a whole."""

from dataclasses import replace

import numpy as np
import pytest

from deft_llm.answer import NOT_SUPPORTED, fill_figures, parse, render, without_marks
from deft_llm.aus.region_vectors import region_vector
from deft_llm.aus.sighting import motion_of
from deft_llm.aus.statements import evidence_for
from deft_llm.aus.support import measure_support
from deft_llm.explain.samples import warp_field
from deft_llm.faces.regions import CANONICAL_LANDMARKS
from deft_llm.facs.directions import opposes
from deft_llm.motion.measure import motion_from_flow
from deft_llm.store.motion import ALIGNED_IOD

SMILE = "AU12 both, mouth corner, up-lateral"


@pytest.fixture(scope="module")
def clip():
    """AU12 on both sides, nothing else."""
    field = np.moveaxis(warp_field(CANONICAL_LANDMARKS, 12, "both", (224, 224)), -1, 0)
    return replace(motion_from_flow("test/pure/12", np.stack([field, -field]), units="px"), iod_px=45.0)


@pytest.fixture(scope="module")
def supports(clip):
    return measure_support(clip)


def told(*statements):
    return parse(f"Class: happiness (positive)\nEvidence: {'; '.join(statements)}\nRationale: It moves.")


@pytest.mark.parametrize(
    ("statement", "status", "why"),
    [
        (SMILE, "supported", "the region moves so"),
        ("AU12 both, mouth corner, down", "unsupported", "mouth corner moves up-lateral there, not down"),
        ("AU2 both, outer brow, up", "unsupported", "does not move there above the noise (0.0 px, z 0."),
        ("AU12 both, forehead, up", "unsupported", "the forehead does not move there"),
        ("AU15 both, mouth corner, up-lateral", "unsupported", "this AU does not do there"),
        ("AU65 both, upper lid, up", "unsupported", "this Action Unit is not measured"),
    ],
)
def test_a_statement_stands_or_is_refused_with_its_reason(clip, supports, statement, status, why) -> None:
    (row,) = evidence_for(told(statement), supports, clip)
    assert row.status == status and why in row.reason


def test_a_refused_statement_is_marked_in_the_text_and_read_back(clip, supports) -> None:
    said = told(SMILE, "AU2 both, outer brow, up")
    answer = fill_figures(said, evidence_for(said, supports, clip))
    smile, brow = render(answer).splitlines()[1].split("; ")
    assert NOT_SUPPORTED not in smile and brow.endswith(f"0.0 px (0.0 % IOD), {NOT_SUPPORTED}")
    again = parse(render(answer))
    assert [item.mark for item in again.evidence] == ["", NOT_SUPPORTED] and render(again) == render(answer)
    assert NOT_SUPPORTED not in without_marks(render(answer)) + render(answer, figures=False)


def test_no_direction_is_opposed_by_what_is_less_than_a_right_angle_away() -> None:
    up = (0.0, -1.0)  # px to the image's right, px down
    assert not opposes("up", *up, "left") and not opposes("up-lateral", *up, "left")
    assert opposes("down", *up, "left") and opposes("down-medial", *up, "right")
    assert opposes("medial", 1.0, 0.0, "left") and not opposes("medial", 1.0, 0.0, "right")
    assert not opposes("converging", *up, "left") and opposes("down", *up, "mid")


def test_figures_are_those_of_the_place_that_is_named(clip, supports) -> None:
    seen = next(s for s in supports if s.au == 12)
    other = next(r for r in ("mouth corner", "cheek") if r != seen.region)
    (row,) = evidence_for(told(f"AU12 left, {other}, up"), supports, clip)
    dx, dy, z = motion_of(other, "left", region_vector(clip))
    assert (row.dx, row.dy, row.z) == pytest.approx((dx, dy, z))
    assert row.px == pytest.approx(np.hypot(dx, dy) * 45.0 / ALIGNED_IOD) and row.support == seen.support
