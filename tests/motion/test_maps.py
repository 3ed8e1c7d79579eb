"""Flow maps: estimators, normalisation, strain, dynamic images, regions, head motion, the region table."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_llm.errors import UsageError
from deft_llm.faces.regions import CANONICAL_LANDMARKS, TWIN, face_mask, region_weights, rigid_weight
from deft_llm.facs.regions import REGION_INDEX, REGION_KEYS, mirror_key
from deft_llm.motion.dynamic import dynamic_image, rank_pooling_weights
from deft_llm.motion.flow import METHODS, estimate, round_trip
from deft_llm.motion.head import HeadFit, HeadMotion, depth_map
from deft_llm.motion.noise import jitter
from deft_llm.motion.normalise import relative
from deft_llm.motion.strain import divergence, optical_strain
from deft_llm.motion.table import region_table

RIGHT_CORNER, LEFT_CORNER = REGION_INDEX["right mouth corner"], REGION_INDEX["left mouth corner"]


def texture(size: int = 96, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 60 * smooth / smooth.std() / 2, 0, 255)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_estimator_finds_a_shift_and_its_signs(method: str) -> None:
    image = texture()
    matrix = np.float32([[1, 0, 1.5], [0, 1, -0.5]])
    moved = cv2.warpAffine(image, matrix, (96, 96), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    flow = estimate(image.astype(np.uint8), moved.astype(np.uint8), method)
    assert flow.shape == (2, 96, 96) and flow.dtype == np.float32
    inner = flow[:, 20:-20, 20:-20]
    assert np.median(inner[0]) == pytest.approx(1.5, abs=0.2)
    assert np.median(inner[1]) == pytest.approx(-0.5, abs=0.2)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_plain_skin_is_not_measured_too_small(method: str) -> None:
    """Texture of a few grey levels moves by as much as strong texture does."""
    matrix = np.float32([[1, 0, 0.8], [0, 1, 0]])
    plain = 128 + (texture() - 128) / 10
    moved = cv2.warpAffine(plain, matrix, (96, 96), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    flow = estimate(np.round(plain).astype(np.uint8), np.round(moved).astype(np.uint8), method)
    assert np.median(flow[0, 20:-20, 20:-20]) == pytest.approx(0.8, abs=0.15)


def test_flow_refuses_what_it_cannot_read() -> None:
    image = texture().astype(np.uint8)
    for first, second, method in (
        (image, image, "magic"),
        (image, image[:50], "dis"),
        (image.astype(float), image, "dis"),
        (image[:1, :1], image[:1, :1], "dis"),
    ):
        with pytest.raises(UsageError):
            estimate(first, second, method)


def test_flat_images_have_no_flow() -> None:
    flat = np.full((64, 64), 128, np.uint8)
    assert np.abs(estimate(flat, flat)).max() == 0


def test_there_and_back_is_zero_for_a_shift_and_its_inverse() -> None:
    there = np.zeros((2, 40, 40), np.float32) + np.float32([[[2]], [[1]]])
    assert np.abs(round_trip(there, -there)).max() < 1e-6
    assert np.hypot(*round_trip(there, there)).min() > 4


@given(scale=st.floats(0.1, 50), shift=st.floats(-100, 100), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_relative_forgets_zero_and_scale(scale: float, shift: float, seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(2, 2, 28, 28)).astype(np.float32)
    assert np.allclose(relative(maps * scale + shift), relative(maps), atol=2e-3)


def test_relative_of_constant_and_broken_maps() -> None:
    maps = np.full((3, 8, 8), 7.0)
    maps[1, 2, 3] = np.nan
    maps[2] = np.nan
    assert np.array_equal(relative(maps), np.zeros((3, 8, 8)))


def test_strain_knows_stretch_and_shear_but_no_shift_or_turn() -> None:
    rows, columns = np.mgrid[0:30, 0:30].astype(np.float32)
    assert optical_strain(np.stack([np.full_like(rows, 3), rows * 0])).max() == 0
    turn = np.stack([-0.01 * rows, 0.01 * columns])
    assert optical_strain(turn).max() < 1e-6
    assert optical_strain(np.stack([0.1 * columns, 0 * rows])) == pytest.approx(
        np.full((30, 30), 0.1), abs=1e-6
    )
    shear = np.stack([0.1 * rows, 0.1 * columns])
    assert optical_strain(shear)[5, 5] == pytest.approx(np.sqrt(0.5 * 0.2**2), abs=1e-6)
    assert divergence(np.stack([0.1 * columns, 0.2 * rows]))[5, 5] == pytest.approx(0.3, abs=1e-6)


def test_dynamic_image_follows_order_not_length() -> None:
    assert rank_pooling_weights(7).sum() == pytest.approx(0, abs=1e-9)
    for count in (2, 5, 16):
        ramp = np.linspace(0, 1, count)[:, None, None] * np.ones((4, 4))
        assert dynamic_image(ramp) == pytest.approx(np.ones((4, 4)), abs=1e-5)
        assert dynamic_image(ramp[::-1]) == pytest.approx(-np.ones((4, 4)), abs=0.2)
        assert np.abs(dynamic_image(np.full((count, 4, 4), 9.0))).max() < 1e-4
    assert not dynamic_image(np.ones((1, 4, 4))).any()


@pytest.mark.parametrize("size", [(224, 224), (28, 28), (14, 14), (60, 44), (1, 1)])
def test_region_weights_sum_to_one_at_any_size(size: tuple[int, int]) -> None:
    weights = region_weights(size=size)
    assert weights.shape == (26, *size) and weights.dtype == np.float32
    assert weights.sum((1, 2)) == pytest.approx(np.ones(26), abs=1e-4)
    assert (weights >= 0).all()


def test_regions_lie_where_their_names_say_and_mirror() -> None:
    weights = region_weights()
    rows, columns = np.mgrid[0:224, 0:224]
    at = {key: ((w * columns).sum(), (w * rows).sum()) for key, w in zip(REGION_KEYS, weights)}
    assert at["right mouth corner"][0] < 111 < at["left mouth corner"][0]
    assert at["forehead"][1] < at["left inner brow"][1] < at["left upper lid"][1] < at["left lower lid"][1]
    assert at["left lower lid"][1] < at["left cheek"][1] < at["left upper lip"][1] < at["left lower lip"][1]
    assert at["left lower lip"][1] < at["chin"][1]
    assert abs(at["left outer brow"][0] - 111.5) > abs(at["left inner brow"][0] - 111.5)
    for key in REGION_KEYS:
        x, y = at[mirror_key(key)]
        assert at[key] == pytest.approx((223 - x, y), abs=0.6)
        mirrored = weights[REGION_INDEX[mirror_key(key)]][:, ::-1]
        assert np.allclose(mirrored, weights[REGION_INDEX[key]], atol=2e-4)


def test_canonical_face_is_symmetric_with_eyes_90_px_apart() -> None:
    mirrored = CANONICAL_LANDMARKS[TWIN] * [-1, 1] + [223, 0]
    assert np.abs(mirrored - CANONICAL_LANDMARKS).max() < 0.01
    assert np.array_equal(TWIN[TWIN], np.arange(478))
    assert face_mask().mean() > 0.5 and rigid_weight().max() > 0.9
    assert not (rigid_weight()[~face_mask()] > 0).any()


def test_landmarks_outside_the_frame_leave_no_region_empty() -> None:
    weights = region_weights(CANONICAL_LANDMARKS + 500, (28, 28))
    assert weights.sum((1, 2)) == pytest.approx(np.ones(26), abs=1e-4)


def rigid_flow(scale: float, turn: float, tx: float, ty: float, nod: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[0:224, 0:224] - 111.5
    a, b = scale - 1, turn
    flow = np.stack([a * columns - b * rows + tx, b * columns + a * rows + ty])
    flow[1] -= nod * depth_map(None, (224, 224)) / 90.0
    return flow.astype(np.float32)


def smile_flow() -> np.ndarray:
    flow = np.zeros((2, 224, 224), np.float32)
    weights = region_weights()
    for region, dx in ((RIGHT_CORNER, -1.0), (LEFT_CORNER, 1.0)):
        bump = cv2.GaussianBlur(weights[region], (0, 0), 6)
        flow += np.float32([[[dx]], [[-1.0]]]) * (bump / bump.max())
    return flow


def fitted(flow: np.ndarray) -> HeadMotion:
    """The head motion of a flow on the canonical face."""
    return HeadFit(rigid_weight(None, (224, 224)) * face_mask(), depth_map(None, (224, 224))).fit(flow)


def test_head_motion_goes_and_expression_stays() -> None:
    flow = smile_flow() + rigid_flow(1.01, 0.02, 3.0, -2.0, nod=1.5)
    head = fitted(flow)
    assert head.params == pytest.approx([np.log(1.01), 0.02, 3.0, -2.0], abs=0.02)
    assert np.abs(flow - head.field - smile_flow())[:, face_mask()].mean() < 0.01
    assert np.abs(fitted(smile_flow()).params).max() < 0.02


def test_head_motion_of_degenerate_input_is_none() -> None:
    flow = rigid_flow(1, 0, 2, 0)
    nothing = HeadFit(np.zeros((224, 224))).fit(flow)
    assert not nothing.params.any() and not nothing.field.any()
    still = HeadFit(rigid_weight(None, (28, 28))).fit(np.zeros((2, 28, 28)))
    assert np.abs(still.field).max() < 1e-6 and np.abs(still.params).max() < 1e-6


def test_table_in_px_and_relative() -> None:
    flow = np.stack([smile_flow(), -smile_flow()])
    weights = region_weights()
    table = region_table(flow, weights=weights, units="px", iod_px=45.0, floor=np.full(26, 0.1))
    assert (
        table.dx[0, RIGHT_CORNER] < -0.5
        and table.dx[0, LEFT_CORNER] > 0.5
        and table.dy[0, LEFT_CORNER] < -0.5
    )
    assert table.px[0] == pytest.approx(table.magnitude[0] / 2)
    assert table.iod_percent[0] == pytest.approx(table.magnitude[0] / 0.9)
    assert table.z[0] == pytest.approx(table.magnitude[0] / 0.1)
    assert table.dx[1] == pytest.approx(-table.dx[0])
    assert table.profile.shape == (26, 0)
    small = region_table(
        relative(flow[:1, :, ::8, ::8]), weights=region_weights(size=(28, 28)), units="relative"
    )
    assert np.isnan(small.px).all() and np.isnan(small.iod_percent).all()
    assert np.isfinite(small.z).all() and small.z[0].argmax() in (RIGHT_CORNER, LEFT_CORNER)


def test_table_of_nothing_is_zero() -> None:
    table = region_table(np.zeros((1, 2, 28, 28)), weights=region_weights(size=(28, 28)), units="relative")
    assert not table.z.any() and not table.divergence.any() and (table.floor > 0).all()


def test_divergence_has_one_unit_at_every_size() -> None:
    for size in (224, 28):
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * (224 / size)
        flow = np.stack([0.01 * columns, 0 * rows])[None]
        table = region_table(flow, weights=region_weights(size=(size, size)), units="px")
        assert table.divergence == pytest.approx(np.full((1, 26), 0.01), abs=1e-4)


def test_jitter_measures_noise_and_not_steady_motion() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (200, 3, 26, 2))
    steady = np.arange(3)[None, :, None, None] * rng.normal(0, 1, (200, 1, 26, 2))
    assert jitter(noise + steady) == pytest.approx(np.full(26, 0.05), rel=0.15)
    bent = noise.copy()
    bent[:, 1, 3] += 5.0  # one region really moves within three frames: not its own noise
    assert jitter(bent)[3] <= 2 * np.median(jitter(noise)) * 1.05
    assert jitter(noise[:0]).shape == (26,)
