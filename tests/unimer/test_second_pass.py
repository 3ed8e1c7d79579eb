"""The second pass over px clips: sides read with only the AUs that are there in play."""

from __future__ import annotations

import numpy as np
import pytest
from conftest_unimer import template

from deft_llm.aus.calibration import Calibration, Filter, SecondPass, load_calibration
from deft_llm.aus.region_vectors import REGION_COUNT, mirrored, region_vector
from deft_llm.aus.second_pass import (
    FirstPass,
    kept_aus,
    side_probabilities,
    side_rows,
    whitened_fit,
)
from deft_llm.aus.spread import (
    head_covariance,
    noise_covariance,
    template_covariance,
)
from deft_llm.aus.support import measure_support
from recipes.au_support.calibrate_sides import identity_components, symmetric_centres
from recipes.au_support.held_out import table_motion


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """The shipped templates and filters; a plain second pass where the file has none."""
    shipped = load_calibration()
    if shipped.second_pass is not None:
        return shipped
    centres = np.random.default_rng(0).uniform(-60, 60, (REGION_COUNT, 2)).tolist()
    plain = SecondPass(centres=centres, spreads={}, filter=Filter(weights=[0, 0, 4.0], bias=-1.0))
    return shipped.model_copy(update={"second_pass": plain})


def vector_of(*parts: tuple[int, str, float], noise: float = 0.03, seed: int = 0) -> np.ndarray:
    clean = sum((template(au, side) * size for au, side, size in parts), np.zeros((REGION_COUNT, 2)))
    return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)


def named(calibration: Calibration, *aus: int, strong: str = "left") -> dict[int, FirstPass]:
    """A first pass that names ``aus`` and nothing else."""
    there, absent = FirstPass(1.0, strong, 0.5), FirstPass(0.0, strong, 0.5)
    return {au: there if au in aus else absent for au in calibration.models["px"]}


def motion_of(vector: np.ndarray):
    return region_vector(table_motion("toy", vector, np.full(REGION_COUNT, 0.06)))


def test_the_fit_finds_how_much_of_each_template_moves(calibration: Calibration):
    index = calibration.atom_index
    columns = [index[1]["left"], index[1]["right"], index[2]["left"], index[2]["right"]]
    sizes, errors = whitened_fit(
        motion_of(vector_of((1, "left", 2.0), (2, "both", 1.0))), calibration, columns
    )
    assert np.abs(sizes - [2.0, 0.0, 1.0, 1.0]).max() < 0.25
    assert (errors > 0).all()


def test_only_kept_two_sided_aus_are_read(calibration: Calibration):
    motion = motion_of(vector_of((12, "left", 2.0)))
    rows = side_rows(motion, calibration, named(calibration, 12, 17))
    assert set(rows) == {12} and rows[12].shape == (8,)
    assert rows[12][-1] == 2.0  # AU17 is kept as well, and has no sides
    assert side_rows(motion, calibration, named(calibration)) == {}


def test_look_alikes_that_are_outdone_and_drawn_templates_are_left_out(calibration: Calibration):
    limit = {au: model.threshold for au, model in calibration.models["px"].items()}
    first = {au: FirstPass(0.0, "left", 0.0) for au in limit}
    first[12] = FirstPass(1.0, "left", 0.0)
    first[14] = FirstPass(0.9 * limit[14], "left", 0.9)  # looks like AU12 and is below its threshold
    first[4] = FirstPass(0.9 * limit[4], "left", 0.9)  # so is AU4, but it looks like nothing that is there
    first[13] = FirstPass(1.0, "left", 0.9)  # no synthetic face makes AU13
    assert set(kept_aus(first, calibration)) == {4, 12}
    first[14] = FirstPass(limit[14], "left", 0.9)
    assert set(kept_aus(first, calibration)) == {4, 12, 14}


def test_a_side_that_is_surely_still_stays_still(calibration: Calibration):
    motion = motion_of(vector_of((12, "both", 2.0)))
    cut = calibration.models["px"][12].side_threshold
    for share, low in ((0.2 * cut, True), (0.9 * cut, False)):
        first = named(calibration, 12) | {12: FirstPass(1.0, "left", share)}
        assert (side_probabilities(motion, calibration, first)[12] < 0.5) == low


def test_a_second_side_raises_the_probability(calibration: Calibration):
    one, both = (
        side_probabilities(motion_of(vector_of((12, side, 2.0))), calibration, named(calibration, 12))[12]
        for side in ("left", "both")
    )
    assert one < 0.3 and both > 0.7


def test_the_mirrored_face_reads_alike(calibration: Calibration):
    vector = vector_of((12, "left", 2.0), (12, "right", 0.7), (4, "both", 1.0))
    straight = side_rows(motion_of(vector), calibration, named(calibration, 4, 12))
    turned = side_rows(motion_of(mirrored(vector)), calibration, named(calibration, 4, 12, strong="right"))
    if calibration.second_pass is load_calibration().second_pass:
        np.testing.assert_allclose(straight[12], turned[12], atol=0.02)


def test_regions_that_could_not_be_measured_are_left_out(calibration: Calibration):
    vector = vector_of((12, "both", 2.0))
    vector[:4] = np.nan
    row = side_rows(motion_of(vector), calibration, named(calibration, 12))[12]
    assert np.isfinite(row).all() and row[2] > 0.5


def test_a_face_without_motion_and_without_second_pass(calibration: Calibration):
    still = motion_of(np.zeros((REGION_COUNT, 2)))
    assert np.isfinite(side_rows(still, calibration, named(calibration, 12))[12]).all()
    plain = calibration.model_copy(update={"second_pass": None})
    assert side_probabilities(still, plain, named(plain, 12)) == {}


def test_the_constraint_reads_one_side_and_both():
    for side in ("left", "right", "both"):
        shown = table_motion("toy", vector_of((12, side, 2.0)), np.full(REGION_COUNT, 0.06))
        assert measure_support(shown, aus=(12,))[0].side == side
        whole = {support.au: support for support in measure_support(shown)}
        assert whole[12] == measure_support(shown, aus=(12,))[0]  # which AUs are asked for changes nothing


def test_people_are_kept_as_few_components():
    rng = np.random.default_rng(0)
    base, way = template(12, "left"), template(9, "left")
    left = base + 0.2 * rng.standard_normal((60, 1, 1)) * way
    found = np.array(identity_components(left, mirrored(left), 3))
    assert 1 <= len(found) <= 3
    first = found[0] / np.linalg.norm(found[0])
    assert abs(first @ way.ravel()) / np.linalg.norm(way) > 0.99


def test_covariances_are_symmetric_and_positive():
    centres = np.random.default_rng(1).uniform(0, 224, (REGION_COUNT, 2))
    components = np.random.default_rng(2).normal(0, 0.1, (3, REGION_COUNT, 2))
    spread = template_covariance(template(12, "left"), components)
    for matrix, least in (
        (spread, 1e-5),
        (noise_covariance(centres), 0.3),
        (head_covariance(centres), -1e-9),
    ):
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() > least
    assert np.linalg.matrix_rank(head_covariance(centres)) == 4
    middle = np.array(symmetric_centres(centres))
    np.testing.assert_allclose(mirrored(middle), middle, atol=1e-9)
