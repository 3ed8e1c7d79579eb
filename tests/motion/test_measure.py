"""Real skin moved by known sub-pixel amounts is measured as it moved; bad input ends in one sentence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skin import BROW_LOWER, CHIN_RAISE, SMILE, SMILE_RIGHT, Skin, portrait

from deft_llm.errors import DeftError, UsageError
from deft_llm.faces.geometry import inter_ocular
from deft_llm.faces.regions import region_weights
from deft_llm.facs.regions import REGION_INDEX
from deft_llm.motion.measure import MeasureSettings, find_apex, measure_clip, motion_from_flow
from deft_llm.motion.shots import make_plan
from deft_llm.motion.table import region_vectors
from deft_llm.store.motion import Motion

RIGHT_CORNER, LEFT_CORNER = REGION_INDEX["right mouth corner"], REGION_INDEX["left mouth corner"]


def measure(skin: Skin, **options) -> Motion:
    return measure_clip(skin.frames, onset=skin.onset, apex=skin.apex, offset=skin.offset, fps=skin.fps,
                        **options)  # fmt: skip


def error_of(skin: Skin, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Measured minus true region vectors (R, 2) of the first phase, and the true ones; aligned px."""
    true = region_vectors(skin.true_flow(), region_weights(motion.landmarks[0]))
    return np.stack([motion.regions.dx[0], motion.regions.dy[0]], 1) - true, true


@pytest.fixture(scope="module")
def smile() -> tuple[Skin, Motion]:
    """Half a source pixel at the right lip corner, the head drifting and rolling meanwhile."""
    skin = Skin(SMILE_RIGHT, amplitude=0.5, drift=(0.08, -0.05), roll=0.0008)
    return skin, measure(skin, clip_id="synthetic/a/1")


def test_half_a_pixel_is_recovered_under_head_motion(smile: tuple[Skin, Motion]) -> None:
    skin, motion = smile
    error, true = error_of(skin, motion)
    moving = np.linalg.norm(true, axis=1) > 0.25
    assert moving.sum() >= 2
    assert np.linalg.norm(error, axis=1).max() < 0.25
    assert np.linalg.norm(error[~moving], axis=1).mean() < 0.1
    assert motion.regions.z[0].argmax() == RIGHT_CORNER
    assert motion.regions.z[0, RIGHT_CORNER] > 8 > 3 > motion.regions.z[0, LEFT_CORNER]


def test_head_motion_is_reported(smile: tuple[Skin, Motion]) -> None:
    skin, motion = smile
    steps = skin.apex - skin.onset
    assert motion.head[0, 1] == pytest.approx(skin.roll * steps, abs=0.002)
    moved = np.hypot(*skin.drift) * steps * 90 / motion.iod_px
    assert np.hypot(*motion.head[0, 2:]) == pytest.approx(moved, rel=0.5)


def test_source_pixels_and_percent(smile: tuple[Skin, Motion]) -> None:
    _, motion = smile
    assert motion.iod_px == pytest.approx(inter_ocular(portrait()[1]), rel=0.03)
    table = motion.regions
    assert table.px[0] == pytest.approx(table.magnitude[0] * motion.iod_px / 90, rel=1e-4)
    assert table.iod_percent[0] == pytest.approx(100 * table.px[0] / motion.iod_px, rel=1e-4)
    assert table.px[0, RIGHT_CORNER] == pytest.approx(0.38, abs=0.1)


def test_what_a_clip_holds(smile: tuple[Skin, Motion]) -> None:
    skin, motion = smile
    assert motion.flow.shape == (2, 2, 224, 224) and motion.strain.shape == (2, 224, 224)
    assert motion.faces.shape == (3, 224, 224, 3) and motion.faces.dtype == np.uint8
    assert motion.landmarks.shape == (3, 478, 2) and motion.dynamic.shape == (2, 224, 224)
    assert motion.head.shape == (2, 4) and motion.mask.dtype == bool
    assert motion.indices == (skin.onset, skin.apex, skin.offset) and motion.fps == skin.fps
    assert motion.has == {"flow", "offset-phase", "px", "faces", "landmarks", "dynamic", "profile"}
    assert not motion.flow[:, :, ~motion.mask].any()
    assert all(np.isfinite(value) for value in motion.quality.values())
    # The head turned with the face: landmarks of the apex carry it, flow does not.
    assert np.linalg.norm((motion.landmarks[1] - motion.landmarks[0]).mean(0)) > 1.0


def test_profile_rises_to_the_apex_and_falls(smile: tuple[Skin, Motion]) -> None:
    skin, motion = smile
    times, profile = motion.regions.profile_times, motion.regions.profile[RIGHT_CORNER]
    assert profile.shape[0] == times.shape[0] <= 16
    assert times[0] == 0 and times[-1] == pytest.approx((skin.offset - skin.onset) / skin.fps)
    assert profile[0] == 0 and abs(times[profile.argmax()] - (skin.apex - skin.onset) / skin.fps) <= 0.03
    assert abs(profile[-1]) < 0.25 * profile.max()


def test_second_phase_goes_back(smile: tuple[Skin, Motion]) -> None:
    _, motion = smile
    first, second = (np.array([motion.regions.dx[p, RIGHT_CORNER], motion.regions.dy[p, RIGHT_CORNER]])
                     for p in (0, 1))  # fmt: skip
    assert first @ second < -0.5 * (first @ first)


def test_a_mirrored_source_swaps_sides() -> None:
    skin = Skin(SMILE_RIGHT, amplitude=1.0, mirrored=True)
    seen = measure(skin, settings=MeasureSettings(profile=0))
    assert seen.regions.z[0].argmax() == LEFT_CORNER
    told = measure(skin, settings=MeasureSettings(profile=0, mirrored=True))
    assert told.regions.z[0].argmax() == RIGHT_CORNER
    assert told.regions.profile.shape == (26, 0) and told.dynamic is not None


def test_brows_down_is_down_and_together() -> None:
    skin = Skin(BROW_LOWER, amplitude=0.5)
    motion = measure(skin, settings=MeasureSettings(profile=0))
    right, left = (REGION_INDEX[f"{side} inner brow"] for side in ("right", "left"))
    assert motion.regions.dy[0, right] > 0.2 and motion.regions.dy[0, left] > 0.2
    assert motion.regions.dx[0, right] > 0.05 and motion.regions.dx[0, left] < -0.05
    assert motion.regions.divergence[0, REGION_INDEX["glabella"]] < 0


def test_still_skin_stays_under_its_floor() -> None:
    clips = [Skin((), seed=seed, drift=(0.03, 0.0)) for seed in range(2)]
    z = np.concatenate([measure(skin, settings=MeasureSettings(profile=0)).regions.z[0] for skin in clips])
    assert np.median(z) < 1.6 and z.max() < 4.5


def test_one_phase_and_a_found_apex() -> None:
    skin = Skin(SMILE, amplitude=1.5, noise=1.0)
    frames = list(skin.frames())
    apex = find_apex(frames, onset=skin.onset, offset=skin.offset, fps=skin.fps)
    assert abs(apex - skin.apex) <= 3
    motion = measure_clip(frames, onset=skin.onset, apex=skin.apex, offset=None, fps=skin.fps)
    assert motion.flow.shape[0] == 1 and motion.indices == (skin.onset, skin.apex, None)
    assert "offset-phase" not in motion.has and motion.faces.shape[0] == 3
    with pytest.raises(UsageError, match="without an apex"):
        measure_clip(frames, onset=0, apex=None, offset=None, fps=None)


def test_images_alone_will_do_without_fps() -> None:
    skin = Skin(CHIN_RAISE, amplitude=1.5, onset=0, apex=4, offset=8, count=9)
    images = [frame.image for frame in skin.frames()]
    motion = measure_clip(images, onset=0, apex=4, offset=8, fps=None)
    assert motion.regions.dy[0, REGION_INDEX["chin"]] < -1.0


def test_plan_keeps_its_promises() -> None:
    plan = make_plan(0, 10, 300, 200.0, 10.0, 16)
    assert plan.reach == 2 and len(plan.profile) <= 16 and {0, 10, 300} <= set(plan.profile)
    assert make_plan(0, 3, None, 200.0, 10.0, 16).reach == 0
    assert make_plan(5, 6, 7, 30.0, 10.0, 16).profile == (5, 6, 7)
    assert make_plan(5, 9, 9, None, 10.0, 0).keys == (5, 9)
    for onset, apex, offset in ((5, 5, 9), (5, 9, 8), (-1, 3, 5), (9, 5, 12)):
        with pytest.raises(UsageError, match="in order"):
            make_plan(onset, apex, offset, 100.0, 10.0, 16)


def test_bad_clips_end_in_one_sentence() -> None:
    skin = Skin((), count=6)
    frames = list(skin.frames())
    blank = [np.full((120, 160, 3), 128, np.uint8)] * 6
    lost = [f.image if f.index < 3 else np.full_like(f.image, 90) for f in frames]
    tiny = [np.zeros((1, 1, 3), np.uint8)] * 6
    small = [cv2.resize(f.image, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA) for f in frames]
    cases = ((blank, "no face"), (lost, "lost in frame"), (tiny, "no face"), (frames[:2], "last one is 1"),
             (frames[:1], "last one is 0"), ([], "last one is -1"), (small, "no face|too small"))  # fmt: skip
    for clip, words in cases:
        with pytest.raises(DeftError, match=words) as caught:
            measure_clip(clip, onset=0, apex=3, offset=5, fps=100, clip_id="corpus/s/c")
        assert str(caught.value).startswith("corpus/s/c") and "\n" not in str(caught.value)


def test_flow_maps_become_motion() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 2, 28, 28)).astype(np.float32)
    motion = motion_from_flow("c/s/1", maps * 40 + 100, units="relative")
    again = motion_from_flow("c/s/1", maps, units="relative")
    assert motion.flow == pytest.approx(again.flow, abs=1e-3)
    assert motion.has == {"flow", "offset-phase"} and np.isnan(motion.regions.px).all()
    assert motion.strain.shape == (2, 28, 28)
    px = motion_from_flow("c/s/1", maps[:1], units="px", strain=np.ones((1, 28, 28)))
    assert np.array_equal(px.flow, maps[:1]) and (px.strain == 1).all()
    with pytest.raises(UsageError, match="phases"):
        motion_from_flow("c/s/1", maps[0], units="px")
    with pytest.raises(UsageError, match="strain"):
        motion_from_flow("c/s/1", maps, units="px", strain=np.ones((1, 28, 28)))
