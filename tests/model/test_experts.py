"""The experts and what they read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deft_llm.explain.samples import warp_field
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, fold_weights, region_weights
from deft_llm.facs.regions import FOLDS, REGION_INDEX, REGIONS
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.experts import MotionExpert, MotionExpertConfig
from deft_llm.model.inputs import (
    RELATIVE_Z,
    batch_of,
    course_input,
    face_input,
    maps_input,
    measured_regions,
    mirrored,
    motion_input,
    region_pool,
)
from deft_llm.model.units import AU_INDEX, EXPERT_AUS, MOTION_TOKENS, TOKEN_OF_AU, au_text
from deft_llm.motion.measure import motion_from_flow
from deft_llm.state.onset import over_neutral_of
from deft_llm.store import Motion

from .conftest import FACES, SMALL, make_clips, make_face


def random_maps(seed: int, size: int = 28, phases: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(phases, 3, size, size)).astype(np.float32)


def test_every_au_has_one_token_and_words() -> None:
    assert sorted(number for group in MOTION_TOKENS for number in group) == sorted(EXPERT_AUS)
    assert len(MOTION_TOKENS) == 16
    assert all(EXPERT_AUS[i] in MOTION_TOKENS[token] for i, token in enumerate(TOKEN_OF_AU))
    assert au_text(1).startswith("inner brow raiser: ") and "inner brow up" in au_text(1)


def test_input_forgets_zero_and_scale_of_each_channel() -> None:
    maps = random_maps(0)
    scale = np.array([3.0, 0.2, 7.0])[None, :, None, None]
    zero = np.array([5.0, -2.0, 1.0])[None, :, None, None]
    assert np.allclose(maps_input(maps).maps, maps_input(maps * scale + zero).maps, atol=1e-3)


@pytest.mark.parametrize("size", [28, 56, 224])
def test_any_map_size_is_read(size: int) -> None:
    item = maps_input(random_maps(1, size))
    assert item.maps.shape == (2, 3, 28, 28)
    assert item.phases.tolist() == [True, False]


def test_the_region_table_is_the_regions_mean_motion_and_divergence() -> None:
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    maps = torch.stack([0.1 * x, 0.3 * y, torch.zeros(28, 28)])
    table = region_pool(maps[None, None])[0, 0].numpy()
    weights = region_weights(None, size=(28, 28)).reshape(26, -1)
    np.testing.assert_allclose(table[:, 0], weights @ maps[0].numpy().ravel(), atol=1e-4)
    np.testing.assert_allclose(table[:, 1], weights @ maps[1].numpy().ravel(), atol=1e-4)
    np.testing.assert_allclose(table[:, 2], 2 * (0.1 + 0.3), atol=1e-4)


def test_an_absent_second_phase_changes_nothing() -> None:
    expert = MotionExpert(MotionExpertConfig(**SMALL)).eval()
    one, two = maps_input(random_maps(2)), maps_input(random_maps(3, phases=2))
    alone, beside = batch_of([one]), batch_of([one, two])
    assert alone.maps.shape[1] == 1 and beside.maps.shape[1] == 2
    first, second = (expert(b.maps, b.phases, region_pool(b.maps)) for b in (alone, beside))
    assert torch.allclose(first.au[0], second.au[0], atol=1e-5)
    assert torch.allclose(first.coarse[0], second.coarse[0], atol=1e-5)


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="28"):
        MotionExpert(MotionExpertConfig(**SMALL))(torch.zeros(1, 1, 3, 32, 32))


def test_a_mirror_is_its_own_inverse_and_turns_every_part() -> None:
    batch = batch_of(make_clips(1), [make_face(0)])
    other = mirrored(batch)
    back = mirrored(other)
    for name in ("maps", "landmarks", "appearance", "change", "lines"):
        assert torch.allclose(getattr(back, name), getattr(batch, name))
        assert not torch.allclose(getattr(other, name), getattr(batch, name))
    assert torch.equal(other.maps[0, 0, 0], -batch.maps[0, 0, 0].flip(-1))
    assert torch.equal(other.maps[0, 0, 1:], batch.maps[0, 0, 1:].flip(-1))


def test_regions_are_those_that_were_measured_or_else_the_first_phase_of_the_maps() -> None:
    first, second = make_clips(2, phases=2)
    first.regions[:] = np.arange(first.regions.size, dtype=np.float32).reshape(first.regions.shape)
    batch = batch_of([first, second])
    found = measured_regions(batch, region_pool(batch.maps))
    assert torch.equal(found[0], torch.from_numpy(first.regions))
    assert torch.equal(found[1, 0, :, :2], region_pool(batch.maps)[1, 0, :, :2]) and found[1, 1].isnan().all()
    assert torch.allclose(found[1, 0, :, 2], RELATIVE_Z * found[1, 0, :, :2].norm(dim=-1))
    single = batch_of(make_clips(1))
    one = measured_regions(single, region_pool(single.maps))
    assert one.shape == (1, 2, len(REGIONS), 3)
    turned = mirrored(batch).regions[0]
    left, right = (REGION_INDEX[f"{side} cheek"] for side in ("left", "right"))
    assert torch.equal(turned[:, left], found[0, :, right] * torch.tensor([-1.0, 1.0, 1.0]))
    assert torch.equal(mirrored(mirrored(batch)).regions[0], batch.regions[0])


def test_regions_of_a_measured_clip_are_read_where_it_has_a_scale() -> None:
    flow = np.random.default_rng(0).normal(size=(2, 2, 224, 224)).astype(np.float32)
    for units, known in (("px", True), ("relative", False)):
        motion = motion_from_flow("clip", flow, units=units)
        assert np.isfinite(motion_input(motion).regions).any() == known


def test_support_of_a_one_sided_pull_is_told_on_its_side_and_turns_in_a_mirror() -> None:
    field = np.moveaxis(warp_field(CANONICAL_LANDMARKS, 12, "left", (224, 224)), -1, 0)
    motion = motion_from_flow("clip", np.stack([field, -field]), units="px")
    inputs, place = motion_input(motion), AU_INDEX[12]
    left, right = inputs.support[place]
    assert left > 0 > right and np.abs(inputs.support[np.isfinite(inputs.support)]).max() <= 5.3
    batch = batch_of([inputs, make_clips(1)[0]])
    assert batch.support is not None and batch.support[1].isnan().all(), "maps without scale have none"
    turned = mirrored(batch).support
    assert turned is not None and turned[0, place].tolist() == [right, left]


def test_structure_sees_no_change_and_texture_no_face() -> None:
    torch.manual_seed(0)
    model = DeftModel(DeftConfig(motion=SMALL, faces=FACES)).eval()
    first, second = make_face(0), make_face(1)
    clip = make_clips(1)
    own = model.read(batch_of(clip, [first]))
    first.change = second.change
    changed = model.read(batch_of(clip, [first]))
    assert torch.equal(own.structure, changed.structure) and not torch.equal(own.texture, changed.texture)
    first.landmarks, first.appearance = second.landmarks, second.appearance
    other = model.read(batch_of(clip, [first]))
    assert torch.equal(other.texture, changed.texture)
    assert not torch.equal(other.structure, changed.structure)


def lined(side: int, depth: float, light: float = 1.0) -> np.ndarray:
    """A grey face (224, 224, 3) uint8 whose nasolabial fold is darker by ``depth`` on the subject's left (0)
    or right (1), in ``light``."""
    grey = np.full((224, 224), 120.0) + np.random.default_rng(0).normal(0, 1.5, (224, 224))
    place = fold_weights(CANONICAL_LANDMARKS, (224, 224))[list(FOLDS).index("nasolabial fold"), side]
    stripes = np.sin(np.arange(224) * 2.0)[None, :] * (place > 0.3 * place.max())
    return np.repeat(np.clip(light * (grey + depth * stripes), 0, 255)[..., None], 3, 2).astype(np.uint8)


def of_faces(*faces: np.ndarray) -> Motion:
    motion = motion_from_flow("clip", np.zeros((2, 2, 224, 224), np.float32), units="px")
    motion.faces = np.stack(faces)
    motion.landmarks = np.repeat(CANONICAL_LANDMARKS[None].astype(np.float32), 3, 0)
    return motion


def test_lines_that_deepen_are_seen_at_their_fold_and_on_their_side() -> None:
    calm = lined(0, 0.0)
    for side in (0, 1):
        folded = face_input(of_faces(calm, lined(side, 30.0), calm)).lines
        assert np.unravel_index(np.abs(folded[:, :2]).argmax(), (len(FOLDS), 2)) == (
            list(FOLDS).index("nasolabial fold"), side,
        )  # fmt: skip
        assert folded[:, :2].max() > 3 and folded[list(FOLDS).index("glabella"), :2].max() < 0.5
        gone = face_input(of_faces(lined(side, 30.0), calm, calm)).lines
        assert gone[:, :2].min() < -3, "lines that go count down"
    same = face_input(of_faces(calm, lined(0, 0.0, light=1.3), calm)).lines
    assert np.abs(same).max() < 0.5, "a lamp folds nothing"
    small = motion_from_flow("clip", np.zeros((2, 2, 28, 28), np.float32), units="px")
    small.faces, small.landmarks = of_faces(calm, calm, calm).faces, of_faces(calm).landmarks
    assert not face_input(small).lines.any(), "maps of another size pull nothing back"


def moving(*shifts: tuple[float, float]) -> Motion:
    """A face whose left mouth corner stands so many px higher and farther out at onset, apex and offset than
    in its neutral; the flow shows the same."""
    corner = np.exp(-np.square(CANONICAL_LANDMARKS - CANONICAL_LANDMARKS[291]).sum(1) / 200.0)[:, None]
    marks = [CANONICAL_LANDMARKS + corner * [out, -up] for up, out in shifts]
    flow = np.zeros((2, 2, 224, 224), np.float32)
    for phase in range(2):
        x, y = np.clip(np.round(marks[phase]).astype(int), 0, 223).T
        flow[phase][:, y, x] = (marks[phase + 1] - marks[phase]).T
    motion = motion_from_flow("clip", flow, units="px")
    motion.landmarks = np.stack(marks).astype(np.float32)
    motion.depth = np.repeat(CANONICAL_DEPTH[None].astype(np.float32), 3, 0)
    neutral = (CANONICAL_LANDMARKS, CANONICAL_DEPTH)
    motion.over_neutral = over_neutral_of((marks[0], CANONICAL_DEPTH), [neutral])
    return motion


def test_the_time_course_tells_what_goes_toward_the_neutral() -> None:
    still, up = (0.0, 0.0), (8.0, 6.0)
    rise, release = course_input(moving(still, up, still)), course_input(moving(up, still, still))
    toward, growth, undone = [0, 4], [1, 5], 10
    assert (release[toward] < -0.5).all() and (release[growth] < -1).all(), "by landmarks and by flow"
    assert (rise[growth] > 1).all() and rise[undone - 1] < -0.5 and rise[undone] < -0.5, "it goes back"
    assert abs(release[undone]) < 0.2, "nothing goes back where all is over"
    for lost in ("over_neutral", "depth", "landmarks"):
        motion = moving(still, up, still)
        setattr(motion, lost, None)
        assert np.isnan(course_input(motion)).all()
    small = motion_from_flow("clip", np.zeros((2, 2, 28, 28), np.float32), units="px")
    small.landmarks, small.depth, small.over_neutral = motion.landmarks, motion.depth, motion.over_neutral
    assert np.isnan(course_input(small)).all()
    single = moving(still, up, still)
    single.flow = single.flow[:1]
    assert np.allclose(course_input(single)[:9], rise[:9]) and not course_input(single)[9:].any()


def test_phases_are_told_by_the_time_course_where_it_is_known() -> None:
    torch.manual_seed(0)
    clips = batch_of(make_clips(2), [make_face(0), make_face(1)])
    plain = DeftModel(DeftConfig(motion=SMALL, faces={**FACES, "phase": 8})).eval()
    assert plain.read(clips).course is None
    model = DeftModel(DeftConfig(motion=SMALL, faces={**FACES, "phase": 8, "course": 4})).eval()
    before = model.read(clips)
    assert not before.course.any(), "it begins as if nothing were known"
    torch.nn.init.normal_(model.fusion.phase.course[-1].weight)
    clips.course[0] = 1.0
    told = model.read(clips)
    assert told.course[0].any() and not told.course[1].any(), "of the second clip it is not known"
    assert torch.allclose(told.phase, before.phase + told.course)
    assert not model.read(clips, drop=("structure",)).phase.any(), "phases rest on what structure sees"
    some = batch_of(make_clips(2), [None, make_face(0)])
    some.course[:] = 1.0
    assert not model.read(some).course[0].any() and model.read(some).course[1].any(), "no face, no course"


def test_folds_lie_on_their_side_of_the_face() -> None:
    weights = fold_weights(CANONICAL_LANDMARKS, (56, 56))
    assert weights.shape == (len(FOLDS), 2, 56, 56) and np.allclose(weights.sum((2, 3)), 1, atol=1e-5)
    column = (weights.sum(2) * np.arange(56)).sum(-1)
    assert (column[:, 0] > column[:, 1]).all(), "the subject's left is on the right of the picture"
    row = dict(zip(FOLDS, (weights.sum(3) * np.arange(56)).sum(-1).mean(1), strict=True))
    assert row["inner forehead"] < row["glabella"] < row["below the eye"] < row["nasolabial fold"]
    assert row["nasolabial fold"] < row["below the mouth corner"] < row["chin"]


def test_an_expert_that_was_not_made_for_folds_tells_none() -> None:
    torch.manual_seed(0)
    clips = batch_of(make_clips(1), [make_face(0)])
    assert DeftModel(DeftConfig(motion=SMALL, faces=FACES)).eval().read(clips).folds is None
    made = DeftModel(DeftConfig(motion=SMALL, faces={**FACES, "folds": len(FOLDS)})).eval()
    told = made.read(clips).folds
    assert told is not None and told.shape == (1, len(FOLDS))
    clips.lines = clips.lines + 1.0
    assert not torch.equal(made.read(clips).folds, told)
    assert made.read(clips, drop=("texture",)).folds is None
    assert not made.read(batch_of(make_clips(1))).folds.any(), "no face, no folds"
