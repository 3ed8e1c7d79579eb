"""Face experts beside a frozen motion expert: clips with faces, augmentation, mirror, swaps, films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, TWIN
from deft_llm.facs.regions import FOLDS
from deft_llm.model.experts import APPEARANCE, FaceExpertConfig, StructureExpert
from deft_llm.model.inputs import mirrored_landmarks, mirrored_space, space_input
from deft_llm.model.readout import PHASES
from deft_llm.model.units import AU_INDEX
from deft_llm.state.onset import ONSET_CHANNELS
from deft_llm.synth.core.coder import SEEN_PX
from deft_llm.synth.video.keys import coded, level
from deft_llm.training.checkpoints import start_model
from deft_llm.training.faces import (
    FaceConfig,
    FaceData,
    FacePart,
    choose_axes,
    read_faces,
    seen_held,
    validate,
)
from deft_llm.training.loop import fit
from deft_llm.training.objective import Weights
from deft_llm.training.settings import TrainConfig
from deft_llm.training.store_data import StoreData

ALL = ("structure", "texture", "motion")
QUICK: dict[str, Any] = {
    "steps": 2,
    "batch": 6,
    "validate_every": 0,
    "warmup_steps": 0,
    "expert_dropout": 0.0,
}


@pytest.fixture
def faces(face_store: Path, model_of: Any) -> FaceData:
    """Twelve clips of four subjects."""
    return FaceData(StoreData([face_store]), model_of(ALL))


def part_of(faces: FaceData, model_of: Any, **changes: Any) -> FacePart:
    return FacePart(model_of(ALL), FaceConfig(**{**QUICK, **changes}), faces)


def test_a_clips_tensors_are_its_own(faces: FaceData, face_store: Path) -> None:
    batch, targets = faces.batch(np.array([2, 0])), faces.targets
    assert len(faces) == 12 and faces.subjects == 4
    assert torch.equal(batch.clips.landmarks, faces.landmarks[[2, 0]])
    assert torch.equal(batch.targets.side, targets.side[[2, 0]])
    assert batch.motion is not None and torch.equal(batch.motion.au, faces.motion[0].au[[2, 0]])
    # what a synthetic clip's truth says of its onset; an AU that it does not name is not held
    assert batch.targets.held is not None and batch.targets.turn is not None
    assert batch.targets.held[0].sum() == 1 and batch.targets.held[0, AU_INDEX[12], 0] == 1
    assert batch.targets.turn[0].tolist() == pytest.approx([0.4, -0.2])
    # in the conftest's store: not known, a rise, a release
    assert faces.batch(np.arange(3)).targets.phase.tolist() == [
        -1,
        PHASES.index("rise"),
        PHASES.index("release"),
    ]


def test_without_augmentation_the_experts_see_what_they_see_in_use(faces: FaceData, face_store: Path) -> None:
    data = StoreData([face_store])
    batch = faces.batch(np.arange(3))
    for row in range(3):
        own = data.faces[row]
        assert own is not None
        for name in ("landmarks", "change", "space", "over", "lines", "course"):
            assert np.allclose(getattr(batch.clips, name)[row], getattr(own, name), equal_nan=True)
        assert np.allclose(batch.clips.appearance[row], own.appearance, atol=0.05)


class Always(np.random.Generator):
    """Draws 0: every clip is mirrored."""

    def random(self, size: Any = None) -> Any:  # type: ignore[override]
        return np.zeros(size) if size else 0.0


def test_a_mirrored_clip_is_a_clip_of_the_mirror_image(faces: FaceData) -> None:
    rows = np.arange(4)
    plain, batch = faces.batch(rows), faces.batch(rows, Always(np.random.PCG64(0)))
    assert torch.equal(batch.targets.side, plain.targets.side.flip(-1))
    assert torch.equal(batch.targets.held, plain.targets.held.flip(-1))
    assert torch.equal(batch.targets.turn, plain.targets.turn * torch.tensor([-1.0, 1.0]))
    assert batch.motion is not None and torch.equal(batch.motion.au, faces.motion[1].au[rows])
    assert not torch.equal(faces.motion[0].au, faces.motion[1].au)


def test_structure_is_swapped_in_its_share_of_the_steps(faces: FaceData, model_of: Any) -> None:
    for share in (0.0, 0.5, 1.0):
        part = part_of(faces, model_of, swap=share, augment=False)
        swaps = np.mean([part.batch_of(step).swap for step in range(40)])
        assert swaps == share if share in (0.0, 1.0) else 0.25 < swaps < 0.75


def test_experts_are_left_out_at_their_chance_and_never_all(faces: FaceData, model_of: Any) -> None:
    part = part_of(faces, model_of, expert_dropout=0.6, augment=False)
    drops = [part.batch_of(step).drop for step in range(40)]
    assert {tuple(drop) for drop in drops} == {(), ("structure",), ("texture",)}
    plain = part_of(faces, model_of, augment=False)
    assert not any(plain.batch_of(step).drop for step in range(10))


def test_only_the_face_experts_and_their_heads_move(faces: FaceData, model_of: Any, tmp_path: Path) -> None:
    part = part_of(faces, model_of)
    first = {name: value.clone() for name, value in part.model.deft.own_tensors().items()}
    fit(part, tmp_path)
    moved = {
        n.split(".")[0] for n, v in part.model.deft.own_tensors().items() if not torch.equal(v, first[n])
    }
    assert moved == {"structure", "texture", "fusion"}


def test_a_resumed_run_has_the_same_weights(faces: FaceData, model_of: Any, tmp_path: Path) -> None:
    whole, half = part_of(faces, model_of, steps=4), part_of(faces, model_of, cooldown_steps=0)
    fit(half, tmp_path / "halves")
    resumed = part_of(faces, model_of, steps=4, cooldown_steps=0)
    whole = part_of(faces, model_of, steps=4, cooldown_steps=0)
    fit(resumed, tmp_path / "halves")
    fit(whole, tmp_path / "whole")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_new_heads_are_the_motion_experts_and_another_structure_changes_trained_ones(
    faces: FaceData, model_of: Any
) -> None:
    deft = model_of(ALL)
    assert torch.allclose(read_faces(deft, faces).au, faces.motion[0].au, atol=1e-5)
    torch.nn.init.normal_(deft.fusion.out.weight)
    own, other = read_faces(deft, faces), read_faces(deft, faces, structure_of=np.roll(np.arange(12), 1))
    assert not torch.allclose(own.au, other.au)
    assert own.structure is not None and torch.equal(other.structure, own.structure.roll(1, 0))
    found = validate(deft, faces)
    assert set(found) == {"uf1", "au_auroc"}


def test_axes_of_the_shape_are_those_of_the_clips(faces: FaceData, model_of: Any) -> None:
    deft = model_of(ALL)
    assert not deft.structure.axes.any()
    choose_axes(deft, faces)
    assert torch.count_nonzero(deft.structure.axes.abs().sum(1)) == 2


def test_structure_without_space_is_as_before_and_with_it_does_without_depth() -> None:
    rng = np.random.default_rng(0)
    sizes = ((2, 478, 2), (2, 1, APPEARANCE, APPEARANCE), (2, 1437))
    landmarks, look, space = (torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in sizes)
    plain, spatial = StructureExpert(), StructureExpert(FaceExpertConfig(space=4))
    assert not any(name.startswith("space") for name in plain.state_dict())
    assert torch.equal(plain(landmarks, look, space).tokens, plain(landmarks, look).tokens)
    spatial.choose_axes(space)
    assert torch.count_nonzero(spatial.axes.abs().sum(1)) == 1
    space[1] = torch.nan
    seen, blind = spatial(landmarks, look, space).tokens, spatial(landmarks, look).tokens
    assert not torch.equal(seen[0], blind[0])
    assert torch.equal(seen[1], blind[1])


def test_structure_learns_from_what_the_onset_shows_over_the_neutral_where_that_is_known() -> None:
    rng = np.random.default_rng(0)
    channels = len(ONSET_CHANNELS)
    sizes = ((2, 478, 2), (2, 1, APPEARANCE, APPEARANCE), (2, channels))
    landmarks, look, over = (torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in sizes)
    torch.manual_seed(0)
    expert = StructureExpert(FaceExpertConfig(neutral=channels))
    blind = expert(landmarks, look).tokens
    assert torch.equal(expert(landmarks, look, None, over).tokens, blind), "at first as without a neutral"
    torch.nn.init.normal_(expert.over[2].weight)
    over[1] = torch.nan
    seen = expert(landmarks, look, None, over).tokens
    assert not torch.allclose(seen[0], blind[0], atol=0.1) and torch.equal(seen[1], blind[1])


def test_a_trained_structure_expert_is_given_the_neutral_and_forgets_nothing(
    model_of: Any, tmp_path: Path
) -> None:
    deft = model_of(ALL, phase=0, course=0)
    deft.save_pretrained(tmp_path / "model", half=False)
    sizes: dict[str, Any] = {"motion": {}, "faces": {"neutral": len(ONSET_CHANNELS), "phase": 4, "course": 3}}
    rng = np.random.default_rng(0)
    given = [
        torch.from_numpy(rng.normal(size=size).astype(np.float32))
        for size in ((2, 478, 2), (2, 1, APPEARANCE, APPEARANCE))
    ]
    for widened, channels in (((), 0), (("structure",), len(ONSET_CHANNELS))):
        made = start_model(
            TrainConfig(), tmp_path / "model", 0, experts=ALL, language=False, widened=widened, **sizes
        )
        assert made.structure is not None and made.structure.config.neutral == channels
        assert (made.fusion.phase is not None) == bool(widened)
        assert (made.config.faces.get("course", 0) == 3) == bool(widened)
        assert torch.allclose(made.structure(*given).tokens, deft.structure(*given).tokens, atol=1e-6)
        assert torch.equal(made.fusion.out.weight, deft.fusion.out.weight)
    made.save_pretrained(tmp_path / "wide", half=False)
    fewer: dict[str, Any] = {"motion": {}, "faces": {"neutral": 9, "phase": 0, "course": 0}}
    kept = start_model(
        TrainConfig(), tmp_path / "wide", 0, experts=ALL, language=False, widened=["structure"], **fewer
    )
    sizes_kept = [kept.config.faces[name] for name in ("neutral", "phase", "course")]
    assert sizes_kept == [channels, 4, 3], "what it has it keeps"
    lone = start_model(TrainConfig(), tmp_path / "wide", 0, experts=ALL[1:], language=False, **fewer)
    assert lone.structure is None and lone.fusion.phase is None, "phases rest on what structure sees"


def test_a_texture_expert_of_a_checkpoint_is_given_the_folds(tmp_path: Path, model_of: Any) -> None:
    model_of(ALL, folds=0).save_pretrained(tmp_path / "model", half=False)
    sizes: dict[str, Any] = {"motion": {}, "faces": {"folds": len(FOLDS)}}
    made = start_model(
        TrainConfig(), tmp_path / "model", 0, experts=ALL, language=False, widened=["texture"], **sizes
    )
    assert made.texture is not None and made.texture.config.folds == len(FOLDS)
    made.save_pretrained(tmp_path / "wide", half=False)
    kept = start_model(TrainConfig(), tmp_path / "wide", 0, experts=ALL, language=False, motion={}, faces={})
    assert torch.equal(kept.texture.fold.weight, made.texture.fold.weight)


def test_folds_that_a_coder_judged_are_learned(model_of: Any, face_store: Path, tmp_path: Path) -> None:
    data = StoreData([face_store])
    assert np.isnan(data.folds).all(), "nobody judged them"
    chin = list(FOLDS).index("chin")
    data.folds[::2, chin], data.folds[1::2, chin] = 1.0, 0.0
    for row, face in enumerate(data.faces):
        face.lines[chin] = 3.0 * (row % 2 == 0)
    own = FaceData(data, model_of(ALL))
    settings = FaceConfig(**{**QUICK, "steps": 60, "learning_rate": 0.02, "experts": ["texture"]})
    part = FacePart(model_of(ALL), settings, own)
    _, parts = part.model(part.batch_of(0))
    fit(part, tmp_path)
    told = read_faces(part.result(), own).folds
    assert parts["folds"] > 0 and (told[::2, chin] > 0).all() and (told[1::2, chin] < 0).all()


def test_phases_are_learned_from_the_time_course_and_nothing_else_is(
    model_of: Any, face_store: Path, tmp_path: Path
) -> None:
    data = StoreData([face_store])
    for row, face in enumerate(data.faces):
        data.phase[row], face.course[:] = row % 2, 0.0
        face.course[0] = 2.0 * (row % 2) - 1.0
    sizes = {"phase": 4, "course": 8}
    own = FaceData(data, model_of(ALL, **sizes))
    alone = {name: 0.0 for name in FaceConfig.parts if name != "course"} | {"course": 2.0}
    settings = FaceConfig(**{**QUICK, "steps": 80, "learning_rate": 0.02, "weight_decay": 0.0,
                             "experts": ["structure"], "losses": Weights(**alone)})  # fmt: skip
    part = FacePart(model_of(ALL, **sizes), settings, own)
    before = {name: value.clone() for name, value in part.model.deft.state_dict().items()}
    fit(part, tmp_path)
    told = read_faces(part.result(), own).course
    assert told is not None and told[:, :2].argmax(1).tolist() == [row % 2 for row in range(len(own))]
    changed = {
        name for name, value in part.result().state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed and all(name.startswith("fusion.phase.course.") for name in changed)


def test_space_of_the_mirror_image_turns_round() -> None:
    rng = np.random.default_rng(0)
    marks = (CANONICAL_LANDMARKS[None] - 111.5) / 90 + 0.02 * rng.normal(size=(1, 478, 2))
    depth = CANONICAL_DEPTH / 90 + 0.02 * rng.normal(size=478) + 0.2 * marks[0, :, 0]
    own = torch.from_numpy(space_input(marks[0], depth))[None]
    other = mirrored_landmarks(torch.from_numpy(marks).float())[0].numpy()
    mirrored = space_input(other, depth[TWIN])
    np.testing.assert_allclose(mirrored_space(own)[0], mirrored, atol=0.02)
    assert abs(mirrored[-3]) > 1


def test_level_takes_out_place_scale_and_roll() -> None:
    from deft_llm.synth.video.truth import LANDMARKS

    points = np.random.default_rng(0).normal(size=(len(LANDMARKS), 2)) * 50
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(level(points), level(3 * points @ turn.T + 7), atol=1e-4)


def test_h264_changes_pictures_a_little() -> None:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(60, 190, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    noisy = [np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    back = coded(noisy, 23)
    assert len(back) == 3 and back[0].shape == smooth.shape
    off = np.abs(back[1].astype(int) - noisy[1]).mean()
    assert 0.5 < off < 25


def test_what_a_coder_would_not_see_is_not_held() -> None:
    px = torch.tensor([0.0, SEEN_PX - 0.1, SEEN_PX, 2 * SEEN_PX, torch.nan])
    assert torch.equal(seen_held(px)[:4], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert seen_held(px)[4].isnan()
