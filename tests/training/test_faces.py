"""Face experts beside a frozen motion expert: films, switches, checkpoints, and clips without faces."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.errors import DeftError
from deft_llm.faces.regions import CANONICAL_DEPTH, CANONICAL_LANDMARKS, TWIN
from deft_llm.model.checkpoint import SHIPPED
from deft_llm.model.deft import DeftModel
from deft_llm.model.experts import APPEARANCE, CHANGE, FaceExpertConfig, StructureExpert
from deft_llm.model.inputs import FaceInput, maps_input, mirrored_landmarks, mirrored_space, space_input
from deft_llm.model.predictor import Predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.face_tensors import Films, FilmTensors, load_films
from deft_llm.training.faces import FaceConfig, FaceModule, FaceStage, FaceWeights, add_faces, judge, train
from recipes.face_films import FilmSettings, camera_of, coded, level

COUNT = 12


def films(count: int = COUNT) -> Films:
    """Films of random numbers, three a subject."""
    rng = np.random.default_rng(0)
    aus = len(EXPERT_AUS)
    side = (rng.random((count, aus, 2)) < 0.2).astype(np.uint8)
    return Films(
        maps=rng.normal(size=(count, 2, 3, 28, 28)).astype(np.float16),
        landmarks=rng.normal(size=(count, 3, 478, 2)).astype(np.float16),
        depth=rng.normal(size=(count, 3, 478)).astype(np.float16),
        looks=rng.integers(0, 256, (count, 3, APPEARANCE, APPEARANCE)).astype(np.uint8),
        change=rng.normal(size=(count, 4, CHANGE, CHANGE)).astype(np.float16), side=side,
        known=np.ones((count, aus), np.uint8), coarse=rng.integers(0, 3, count),
        fine=rng.integers(0, 8, count),
        moved=side.astype(np.float32), held=np.zeros((count, aus, 2), np.float32),
        geometry=rng.normal(size=(count, 35, 2)).astype(np.float32),
        pose=rng.normal(size=(count, 2)).astype(np.float32),
        turn=rng.normal(size=(count, 2)).astype(np.float32), lure=np.zeros(count, int), plan=np.arange(count),
        subject=np.arange(count) // 3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tensors() -> FilmTensors:
    return FilmTensors(films(), SHIPPED)


def test_a_resumed_run_has_the_same_weights(tmp_path: Path) -> None:
    config = FaceConfig(steps=4, batch=4, save_every=2, validate_every=0, cooldown_steps=0)
    straight = train(config, SHIPPED, films(), tmp_path / "straight")
    train(config.model_copy(update={"steps": 2}), SHIPPED, films(), tmp_path / "halves")
    resumed = train(config, SHIPPED, films(), tmp_path / "halves")
    assert resumed.step == 4
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("name", sorted(FaceWeights.model_fields))
def test_each_loss_can_be_switched_off(tensors: FilmTensors, name: str) -> None:
    for weight, there in ((1.0, True), (0.0, False)):
        config = FaceConfig(batch=6, losses=FaceWeights(**{name: weight}), expert_dropout=0.0)
        stage = FaceStage(config, tensors)
        _, parts = stage.model(stage.batch_of(0))
        assert (name in parts) == there


@pytest.mark.parametrize("independence", ["cross_covariance", "hsic"])
def test_independence_reaches_structure_and_not_motion(tensors: FilmTensors, independence: str) -> None:
    nothing = dict.fromkeys(FaceWeights.model_fields, 0.0)
    config = FaceConfig(batch=8, losses=FaceWeights(**nothing | {"independence": 1.0}), expert_dropout=0.0,
                        independence=independence)  # fmt: skip
    stage = FaceStage(config, tensors)
    total, _ = stage.model(stage.batch_of(0))
    total.backward()
    gradients = {name for name, value in stage.model.named_parameters() if value.grad is not None}
    assert any(name.startswith("structure.") for name in gradients)
    assert not any(name.startswith("fusion.") for name in gradients)


def test_structure_never_sees_a_later_frame() -> None:
    later = films()
    later.landmarks[:, 1:] += 1
    later.depth[:, 1:] += 1
    later.looks[:, 1:] = 0
    first, second = (FilmTensors(f, SHIPPED).batch(np.arange(3)) for f in (films(), later))
    for name in ("landmarks", "look", "space"):
        assert torch.equal(first[name], second[name])


def test_a_mirrored_film_is_a_film_of_the_mirror_image(tensors: FilmTensors) -> None:
    class Always(np.random.Generator):
        def random(self, size=None):  # type: ignore[no-untyped-def]
            return np.zeros(size) if size else 0.0

    rows = np.arange(4)
    batch = tensors.batch(rows, Always(np.random.PCG64(0)))
    assert torch.equal(batch["side"], tensors.side[rows].flip(-1))
    assert torch.equal(batch["motion"].au, tensors.au[rows, 1])
    assert torch.equal(batch["truth"], tensors.mirrored_truth[rows])
    assert not torch.equal(batch["truth"], tensors.truth[rows])


def test_heads_start_as_the_motion_experts(tensors: FilmTensors) -> None:
    module = FaceModule(FaceConfig(), 10, 4, tensors.truth.shape[1])
    seen = judge(module, tensors)
    np.testing.assert_allclose(seen["au"], tensors.au[:, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("experts", [["structure", "texture"], ["texture"], ["structure"]])
def test_checkpoint_with_faces_reads_clips_with_and_without(tmp_path: Path, experts: list[str]) -> None:
    config = FaceConfig(steps=3, batch=4, experts=experts, validate_every=0, warmup_steps=1, cooldown_steps=0)
    train(config, SHIPPED, films(), tmp_path / "run")
    add_faces(SHIPPED, tmp_path / "run", tmp_path / "out", "a test")
    trained, shipped = (Predictor.from_checkpoint(folder) for folder in (tmp_path / "out", SHIPPED))
    rng = np.random.default_rng(1)
    clips = [maps_input(rng.normal(size=(2, 3, 28, 28))) for _ in range(3)]
    face = FaceInput(rng.normal(size=(478, 2)).astype(np.float32),
                     rng.normal(size=(1, APPEARANCE, APPEARANCE)).astype(np.float32),
                     rng.normal(size=(4, CHANGE, CHANGE)).astype(np.float32))  # fmt: skip
    seen, own = trained.read(clips, [face, None, None]), shipped.read(clips)
    assert (seen.au[0] - own.au[0]).abs().max() > 1e-4
    assert torch.allclose(seen.au[1:], own.au[1:], atol=1e-5)
    assert torch.equal(trained.read(clips).au, own.au)


def test_whole_model_loads_and_is_conditioned_on_what_it_was_trained_with(tmp_path: Path) -> None:
    config = FaceConfig(steps=1, batch=4, validate_every=0)
    train(config, SHIPPED, films(), tmp_path / "run")
    add_faces(SHIPPED, tmp_path / "run", tmp_path / "out")
    model = DeftModel.from_pretrained(tmp_path / "out", language=False)
    assert model.structure is not None and model.texture is not None
    assert model.config.conditioned_on == ["motion"]


def test_films_without_depth_are_read_and_learnt_from(tmp_path: Path) -> None:
    older = {f.name: getattr(films(), f.name) for f in fields(Films) if f.name not in ("depth", "turn")}
    np.savez(tmp_path / "00000.npz", **older)
    read = load_films(tmp_path)
    assert np.isnan(read.depth).all() and np.isnan(read.turn).all()
    stage = FaceStage(FaceConfig(batch=6, expert_dropout=0.0), FilmTensors(read, SHIPPED))
    total, parts = stage.model(stage.batch_of(0))
    assert torch.isfinite(total) and parts["pose"] == 0


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


def test_space_of_the_mirror_image_turns_round() -> None:
    rng = np.random.default_rng(0)
    marks = (CANONICAL_LANDMARKS[None] - 111.5) / 90 + 0.02 * rng.normal(size=(1, 478, 2))
    depth = CANONICAL_DEPTH / 90 + 0.02 * rng.normal(size=478) + 0.2 * marks[0, :, 0]
    own = torch.from_numpy(space_input(marks[0], depth))[None]
    other = mirrored_landmarks(torch.from_numpy(marks).float())[0].numpy()
    mirrored = space_input(other, depth[TWIN])
    np.testing.assert_allclose(mirrored_space(own)[0], mirrored, atol=0.02)
    assert abs(mirrored[-3]) > 1


def test_no_films_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeftError, match="face_films"):
        load_films(tmp_path)


def test_cameras_of_training_and_test_share_nothing() -> None:
    rng = np.random.default_rng(0)
    for lit, near in (("near-frontal", True), ("far-side", False)):
        for _ in range(5):
            camera = camera_of(rng, FilmSettings(lit=lit))
            key = camera.scene.lights[0].direction
            assert (camera.scene.distance < 13.5) == near
            assert (abs(np.arctan2(key[0], key[2])) < 0.35) == near


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
