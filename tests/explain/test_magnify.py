"""Motion magnification moves what moved, by the factor asked for, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.explain.magnify import magnify_frame, magnify_sequence, warp_forward, write_loop


@pytest.fixture(scope="module")
def skin():
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[40:264, 120:344])


def bump(size: int, u: float, v: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    patch = np.exp(-((x - size * 0.5) ** 2 + (y - size * 0.6) ** 2) / (2 * 18.0**2))
    return np.stack([u * patch, v * patch])


def measured(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    return estimator.calc(*grey, None).transpose(2, 0, 1)


def test_motion_is_amplified_by_the_factor_where_it_was_and_nowhere_else(skin):
    shown = magnify_frame(skin, bump(224, 0.4, -0.3), 10.0)
    flow = measured(skin, shown)
    centre = flow[:, 125:145, 102:122].mean((1, 2))
    np.testing.assert_allclose(centre, [4.0, -3.0], atol=0.8)
    assert np.abs(flow[:, :40]).mean() < 0.05


def test_forward_warp_agrees_with_a_known_shift(skin):
    moved = warp_forward(skin, np.stack([np.full((224, 224), 3.0), np.zeros((224, 224))]))
    np.testing.assert_allclose(moved[20:200, 20:200], skin[20:200, 17:197], atol=2)


def test_factor_zero_is_the_reference_and_a_mask_holds_the_rest_still(skin):
    flow = bump(224, 1.0, 1.0)
    np.testing.assert_allclose(magnify_frame(skin, flow, 0.0), skin, atol=1)
    still = magnify_frame(skin, flow, 20.0, weight=np.zeros((224, 224)))
    np.testing.assert_allclose(still, skin, atol=1)


def test_the_loop_starts_and_ends_at_rest_and_plays(skin, tmp_path):
    import av

    frames = magnify_sequence(skin, bump(224, 0.5, 0.0), 8.0, steps=6)
    assert len(frames) == 12
    np.testing.assert_allclose(frames[0], frames[-1], atol=1)
    write_loop(frames, str(tmp_path / "loop.mp4"), repeats=2)
    with av.open(str(tmp_path / "loop.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24


@pytest.mark.parametrize("factor", [-1.0, 31.0])
def test_an_impossible_factor_is_refused(skin, factor):
    with pytest.raises(UsageError, match="from 0 to 30"):
        magnify_frame(skin, bump(224, 1, 0), factor)


def test_shapes_that_do_not_fit_are_named(skin):
    with pytest.raises(UsageError, match="does not fit"):
        magnify_frame(skin, bump(100, 1, 0), 2.0)
