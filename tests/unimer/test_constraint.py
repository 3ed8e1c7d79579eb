"""The dual constraint: what the flow supports, what it refuses, and why."""

from __future__ import annotations

import numpy as np
import pytest
from conftest_unimer import template

from deft_llm.aus.calibration import load_calibration
from deft_llm.aus.region_vectors import channel_normalised, mirrored
from deft_llm.aus.support import measure_support
from deft_llm.aus.verdict import judge
from deft_llm.errors import DeftError
from deft_llm.facs.units import MICRO_AUS, is_valid
from deft_llm.records import ActionUnit
from recipes.au_support.held_out import table_motion


def motion(*aus: tuple[int, str], size: float = 1.5, noise: float = 0.04, units: str = "px", seed: int = 0):
    rng = np.random.default_rng(seed)
    vector = sum((template(au, side) * size for au, side in aus), np.zeros((26, 2)))
    vector = vector + noise * rng.standard_normal(vector.shape)
    return table_motion("toy/s/c", vector, np.full(26, 0.06), units)


def test_every_au_has_a_score_in_range():
    found = measure_support(motion((12, "both")))
    assert [support.au for support in found] == list(MICRO_AUS)
    assert all(0.0 <= support.support <= 1.0 for support in found)


@pytest.mark.parametrize("au", [1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17])
def test_an_au_that_moves_is_supported_and_facs_valid(au: int):
    evidence = judge(motion((au, "both")), [ActionUnit(number=au)])[0]
    assert evidence.status == "supported", evidence.reason
    assert is_valid(au, evidence.side, evidence.region, evidence.direction)
    assert evidence.px is not None and evidence.px > 0.5


def test_a_label_without_motion_is_refused_with_a_reason():
    evidence = judge(motion((12, "both")), [ActionUnit(number=4)])[0]
    assert evidence.status == "unsupported" and evidence.reason


@pytest.mark.parametrize(("moving", "label"), [(1, 2), (2, 1), (12, 15), (4, 9), (17, 15)])
def test_a_look_alike_label_is_refused(moving: int, label: int):
    assert judge(motion((moving, "both")), [ActionUnit(number=label)])[0].status == "unsupported"


@pytest.mark.parametrize("side", ["left", "right"])
def test_side_is_the_subjects_own(side: str):
    other = {"left": "right", "right": "left"}[side]
    shown = motion((12, side))
    by_au = {support.au: support for support in measure_support(shown)}
    assert by_au[12].side == side
    wrong = judge(shown, [ActionUnit(number=12, side=other)])[0]  # type: ignore[arg-type]
    assert wrong.status == "unsupported" and other in wrong.reason


def test_unlabelled_motion_is_unexplained_not_supported():
    rows = judge(motion((12, "both"), size=2.0), [])
    assert rows and all(row.status == "unexplained" and row.au is None for row in rows)


def test_still_face_and_blink_give_no_evidence():
    assert judge(motion(noise=0.03), []) == []
    assert judge(motion((43, "both"), size=3.0), []) == []


def test_alternatives_count_by_the_better_supported_one():
    label = ActionUnit(number=4, alternatives=[ActionUnit(number=12)])
    evidence = judge(motion((12, "both")), [label])[0]
    assert (evidence.au, evidence.status) == (12, "supported")


def test_a_clip_that_cannot_be_measured_says_so():
    shown = motion((12, "both"))
    shown.regions.dx[:] = np.nan
    found = measure_support(shown)
    assert not any(support.judged for support in found)
    evidence = judge(shown, [ActionUnit(number=12)])[0]
    assert evidence.status == "unsupported" and "cannot be judged" in evidence.reason


def test_an_au_without_motion_template_is_not_judged():
    evidence = judge(motion((12, "both")), [ActionUnit(number=61)])[0]
    assert evidence.status == "unsupported" and "cannot be judged" in evidence.reason


def test_motion_that_does_not_rise_to_the_apex_is_refused():
    shown = motion((12, "both"))
    shown.indices, shown.fps = (0, 40, None), 200.0
    times = np.linspace(0, 0.2, 16).astype(np.float32)
    for values, status in (
        (np.linspace(0, 1, 16), "supported"),
        (np.exp(-(((times - 0.05) / 0.02) ** 2)), "unsupported"),
    ):
        shown.regions.profile_times = times
        shown.regions.profile = np.tile(values.astype(np.float32), (26, 1))
        evidence = judge(shown, [ActionUnit(number=12)])[0]
        assert evidence.status == status, evidence.reason


def test_motion_below_the_clips_noise_floor_is_refused():
    """The regions move as AU12 moves them, but no further than the clip trembles."""
    vector = template(12) * 1.5
    clear = table_motion("toy/s/c", vector, np.full(26, 0.06))
    hidden = table_motion("toy/s/c", vector, np.full(26, 3.0))
    above, below = ({s.au: s for s in measure_support(shown)}[12] for shown in (clear, hidden))
    assert above.limits == () and above.z > below.z
    assert any("does not stand above the noise floor" in limit for limit in below.limits), below.limits
    assert below.support < above.support
    assert judge(hidden, [ActionUnit(number=12)])[0].status == "unsupported"


def test_motion_of_the_right_regions_the_wrong_way_is_a_limit():
    """Where every region of AU1 goes down, FACS admits no AU1 there."""
    shown = table_motion("toy/s/c", -1.5 * template(1), np.full(26, 0.06))
    found = {support.au: support for support in measure_support(shown)}[1]
    assert any("which this AU does not do there" in limit for limit in found.limits), found.limits
    assert judge(shown, [ActionUnit(number=1)])[0].status == "unsupported"


def test_relative_vectors_forget_zero_and_scale_of_each_channel():
    vector = template(12)
    changed = vector * [3.0, 0.2] + [5.0, -7.0]
    assert np.allclose(channel_normalised(vector), channel_normalised(changed))
    first = measure_support(table_motion("a", vector, np.full(26, 0.1), "relative"))
    second = measure_support(table_motion("b", changed, np.full(26, 0.1), "relative"))
    assert [s.support for s in first] == pytest.approx([s.support for s in second], abs=1e-4)
    assert all(s.px is None and s.iod_percent is None for s in first)


def test_mirroring_swaps_sides():
    vector = template(12, "left") + template(4, "right")
    assert np.allclose(mirrored(mirrored(vector)), vector)
    straight = {s.au: s for s in measure_support(table_motion("a", vector, np.full(26, 0.06)))}
    turned = {s.au: s for s in measure_support(table_motion("b", mirrored(vector), np.full(26, 0.06)))}
    assert (straight[12].side, turned[12].side) == ("left", "right")
    assert straight[12].support == pytest.approx(turned[12].support, abs=0.01)


def test_calibration_is_versioned_and_names_its_command(tmp_path):
    calibration = load_calibration()
    assert calibration.command.startswith("python -m recipes.au_support.calibrate")
    (tmp_path / "old.json").write_text('{"version": 1}')
    with pytest.raises(DeftError, match="calibration version 1, this release reads 2"):
        load_calibration(tmp_path / "old.json")


def test_map_filters_separate_labelled_maps():
    calibration = load_calibration()
    if calibration.maps is None:
        pytest.skip("the calibration holds no map filters")
    maps = np.random.default_rng(0).standard_normal((2, 3, 28, 28))
    odds = calibration.maps.odds(maps)
    assert odds.shape == (2, 3, len(calibration.maps.numbers)) and np.isfinite(odds).all()
    banks = [bank.odds(maps) for bank in calibration.maps.filters]
    assert all(bank.numbers == calibration.maps.numbers for bank in calibration.maps.filters)
    assert np.allclose(odds, np.mean(banks, 0)) and len(banks) > 1
