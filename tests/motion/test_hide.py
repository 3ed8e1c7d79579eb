"""Regions held still: their motion is gone, that of all others stays."""

import numpy as np
import pytest

from deft_llm.explain.samples import warp_field
from deft_llm.faces.regions import CANONICAL_LANDMARKS, region_weights
from deft_llm.facs.regions import REGIONS
from deft_llm.motion.hide import MARGIN, hide
from deft_llm.motion.measure import motion_from_flow

BROW = ("inner brow", "outer brow", "glabella", "forehead")


@pytest.fixture(scope="module")
def motion():
    """AU4 and AU12 on both sides, there and back."""
    field = sum(warp_field(CANONICAL_LANDMARKS, au, "both", (224, 224)) for au in (4, 12))
    field = np.moveaxis(field, -1, 0)
    return motion_from_flow("test/pure/both", np.stack([field, -field]), units="px")


def test_hidden_regions_rest_and_others_keep_their_motion(motion):
    hidden = hide(motion, BROW)
    held = np.array([region.name in BROW for region in REGIONS])
    for name in ("dx", "dy", "magnitude", "z", "divergence"):
        before, after = getattr(motion.regions, name), getattr(hidden.regions, name)
        assert (after[:, held] == 0).all() and np.array_equal(after[:, ~held], before[:, ~held])
    assert np.array_equal(hidden.regions.floor, motion.regions.floor)
    length = lambda one: np.linalg.norm(one.flow[0].astype(float), axis=0)  # noqa: E731
    weights = region_weights(None, size=(224, 224))
    for region, weight in zip(REGIONS, weights):
        before, after = (float((weight * length(one)).sum()) for one in (motion, hidden))
        if region.name in ("inner brow", "outer brow", "glabella"):
            assert after < 0.2 * before, region
        elif region.name in ("mouth corner", "cheek", "nasolabial fold", "chin"):
            assert after == pytest.approx(before, rel=0.02), region


def test_shapes_and_the_clip_itself_stay(motion):
    before = motion.flow.copy()
    hidden = hide(motion, ("mouth corner",))
    assert np.array_equal(motion.flow, before)
    for name in ("flow", "strain"):
        one, other = getattr(motion, name), getattr(hidden, name)
        assert one.shape == other.shape and one.dtype == other.dtype
    assert hide(motion, ()) is motion and hidden.clip_id == motion.clip_id


def test_faces_keep_their_onset_look_there(motion):
    from dataclasses import replace

    faces = np.stack([np.full((224, 224, 3), grey, np.uint8) for grey in (80, 120, 160)])
    hidden = hide(replace(motion, faces=faces), ("chin",)).faces
    assert hidden.dtype == np.uint8 and (hidden[1, 10, 10] == 120).all()
    weight = region_weights(None, size=(224, 224))[[region.name for region in REGIONS].index("chin")]
    y, x = np.unravel_index(weight.argmax(), weight.shape)
    assert (hidden[:, y, x] == 80).all()


def test_a_margin_takes_in_the_skin_around(motion):
    gone = (hide(motion, BROW, margin).flow - motion.flow for margin in (0.0, MARGIN))
    narrow, wide = (np.abs(change.astype(float)) > 0.02 for change in gone)
    assert wide.sum() > 1.3 * narrow.sum()
    assert not wide[..., 2 * wide.shape[-2] // 3 :, :].any()


def test_a_margin_takes_the_motion_of_the_neighbours_out_of_the_table_too(motion):
    hidden = hide(motion, ("mouth corner", "lower lip", "upper lip"), MARGIN)
    keys = [region.key for region in REGIONS]
    share = np.array(hidden.regions.magnitude[0] / motion.regions.magnitude[0])
    near, far = (share[keys.index(key)] for key in ("left nasolabial fold", "left outer brow"))
    assert near < 0.8 < 0.99 < far and share[keys.index("left mouth corner")] == 0


def test_what_is_stated_of_hidden_skin_is_forgotten(motion):
    motion.stated = {4: (0.9, 0.9), 12: (0.8, 0.2)}
    assert hide(motion, ["inner brow"]).stated == {12: (0.8, 0.2)}
