"""One checkpoint at work: crops and mirror, one copy of everything, and what it may write."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.errors import DeftError
from deft_llm.model import predictor as module
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.checkpoint import SHIPPED, WEIGHTS
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.heads import au_probabilities
from deft_llm.model.inputs import batch_of, maps_input, mirrored
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.predictor import (
    CROPS,
    Crop,
    FeatureSets,
    Predictor,
    load_predictor,
    load_readout,
    recrop,
    save_readout,
)
from deft_llm.model.readout import Readout
from deft_llm.model.units import AU_INDEX, EXPERT_AUS

from .conftest import FACES, SMALL, make_clips, make_face, make_motions, randomised

LOGITS = ("au", "coarse", "fine")
TOKENS = ("motion", "structure", "texture")


@pytest.fixture
def predictor() -> Predictor:
    """Random experts, all three."""
    torch.manual_seed(0)
    return Predictor(randomised(DeftModel(DeftConfig(motion=SMALL, faces=FACES))))


def turned(readout: Readout) -> Readout:
    """The mirror image's logits with their sides exchanged back, classes as log probabilities."""
    return replace(readout, au=readout.au.flip(-1))


# -- crops and mirror -------------------------------------------------------------------------------------


def bump(row: float, column: float) -> np.ndarray:
    y, x = np.mgrid[:28, :28]
    hill = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60.0)
    return np.stack([hill, -hill, hill])[None].astype(np.float32)


def peak(batch) -> tuple[int, int]:
    return tuple(int(i) for i in np.unravel_index(batch.maps[0, 0, 0].argmax(), (28, 28)))


def test_a_shift_moves_the_motion_down_and_a_zoom_moves_it_from_the_middle() -> None:
    batch = batch_of([maps_input(bump(10, 8))])
    assert peak(recrop(batch, Crop(down=3.0))) == (13, 8)
    assert peak(recrop(batch, Crop(right=3.0))) == (10, 11)
    row, column = peak(recrop(batch, Crop(zoom=1.5)))
    assert row < 10 and column < 8
    assert recrop(batch, CROPS[0]) is batch


def test_logits_are_the_mean_over_crops_and_mirror_images(predictor: Predictor) -> None:
    """Each view by ``DeftModel.read``; sides of the mirror image exchanged back."""
    items, faces = make_clips(2), [make_face(0), None]
    batch = batch_of(items, faces)
    model = predictor.model
    with torch.no_grad():
        views = [model.read(recrop(batch, crop)) for crop in CROPS]
        views += [turned(model.read(recrop(mirrored(batch), crop))) for crop in CROPS]
        readout = predictor.read(items, faces)
        au = torch.stack([view.au for view in views]).mean(0)
        coarse = torch.stack([view.coarse.log_softmax(-1) for view in views]).mean(0)
    assert torch.allclose(readout.au, au, atol=1e-5)
    assert torch.allclose(readout.coarse, coarse, atol=1e-5)
    assert not torch.allclose(au, views[0].au, atol=1e-3), "the views differ"


def test_tokens_are_those_of_the_clip_as_it_is(predictor: Predictor) -> None:
    """Of the unmirrored centre crop: what the model was trained on, with no crop or mirror mixed in."""
    items, faces = make_clips(2), [make_face(0), make_face(1)]
    with torch.no_grad():
        plain = predictor.model.read(batch_of(items, faces))
        flipped = predictor.model.read(mirrored(batch_of(items, faces)))
    readout = predictor.read(items, faces)
    for name in (*TOKENS, "clean", "pooled"):
        assert torch.allclose(getattr(readout, name), getattr(plain, name), atol=1e-5)
        assert not torch.allclose(getattr(flipped, name), getattr(plain, name), atol=1e-3)


def test_a_mirrored_clip_has_its_sides_exchanged_and_the_same_class(predictor: Predictor) -> None:
    batch = batch_of(make_clips(2), [make_face(0), make_face(1)])
    with torch.no_grad():
        there, back = predictor.read_batch(batch), predictor.read_batch(mirrored(batch))
    assert torch.allclose(there.au, back.au.flip(-1), atol=1e-4)
    assert not torch.allclose(there.au, back.au, atol=1e-3)
    assert torch.allclose(there.coarse, back.coarse, atol=1e-4)


def test_faces_are_looked_at_once_per_side(predictor: Predictor) -> None:
    """No crop changes a face, so the face experts run on the clip and on its mirror image alone."""
    runs: list[int] = []
    for expert in (predictor.model.structure, predictor.model.texture):
        expert.register_forward_hook(lambda *_: runs.append(1))
    predictor.read(make_clips(2), [make_face(0), make_face(1)])
    assert len(runs) == 2 * 2


def test_the_first_crop_must_be_the_clip_itself(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="as it is"):
        Predictor(predictor.model, crops=CROPS[1:])


def test_many_clips_are_read_as_each_alone(predictor: Predictor, monkeypatch) -> None:
    monkeypatch.setattr(module, "READ_BATCH", 2)
    items = make_clips(2) + make_clips(3, seed=1, phases=2)
    faces = [None, None, make_face(0), None, make_face(1)]
    together, features = predictor.read_with_features(items, faces)
    assert len(together) == 5 and features.tokens.shape == (5, 2, 16 * SMALL["width"])
    for row in range(5):
        alone, own = predictor.read_with_features(items[row : row + 1], faces[row : row + 1])
        for name in (*LOGITS, *TOKENS, "saw"):
            assert torch.allclose(getattr(alone, name)[0], getattr(together, name)[row], atol=1e-5)
        for one in fields(FeatureSets):
            np.testing.assert_allclose(getattr(own, one.name)[0], getattr(features, one.name)[row], atol=1e-5)
    assert together.saw.tolist() == [[face is not None] * 2 + [True] for face in faces]


def test_features_of_a_refit_hold_both_sides_apart(predictor: Predictor) -> None:
    items = make_clips(2, phases=2)
    readout, features = predictor.read_with_features(items)
    mean = features.logits.reshape(2, 2, -1)
    aus = len(EXPERT_AUS) * 2
    sides = mean[:, :, :aus].reshape(2, 2, -1, 2)
    np.testing.assert_allclose((sides[:, 0] + sides[:, 1, :, ::-1]) / 2, readout.au.numpy(), atol=1e-5)
    np.testing.assert_allclose(mean[:, :, aus : aus + 3].mean(1), readout.coarse.numpy(), atol=1e-5)
    assert features.of("pixels", False).shape == (2, 2, 3 * 28 * 28)
    both = features.of("pixels", True).reshape(2, 2, 2, 3, 28, 28)
    np.testing.assert_allclose(both[:, 0], np.stack([item.maps for item in items]), atol=1e-6)
    np.testing.assert_allclose(both[:, 1, :, 1], both[:, 0, :, 1, :, ::-1], atol=1e-6)
    np.testing.assert_allclose(both[:, 1, :, 0], -both[:, 0, :, 0, :, ::-1], atol=1e-6)


def test_a_readout_is_kept_in_a_file(predictor: Predictor, tmp_path: Path) -> None:
    saved = predictor.read_with_features(make_clips(2), [make_face(0), None])
    save_readout(tmp_path / "r.npz", *saved)
    for before, after in zip(saved, load_readout(tmp_path / "r.npz"), strict=True):
        for one in fields(before):
            values = getattr(before, one.name), getattr(after, one.name)
            if values[0] is None:
                assert values[1] is None
                continue
            np.testing.assert_allclose(*(np.asarray(value, float) for value in values), atol=2e-3)


# -- one copy ---------------------------------------------------------------------------------------------


def test_a_checkpoint_is_loaded_once_and_anew_when_it_changed(small_checkpoint: Path) -> None:
    import os

    first = load_predictor(small_checkpoint)
    assert load_predictor(small_checkpoint) is first
    os.utime(small_checkpoint / WEIGHTS, ns=(1, 1))
    assert load_predictor(small_checkpoint) is not first


def test_shipped_checkpoint_loads_and_is_small() -> None:
    shipped = load_predictor()
    assert shipped.has_language and shipped.model.llm is None
    assert shipped.config["experts"] == list(EXPERTS)
    assert shipped.config["conditioned_on"] == [*EXPERTS, BELIEFS]
    assert (SHIPPED / WEIGHTS).stat().st_size <= 20 * 2**20


def test_the_language_part_joins_the_experts_that_are_there(tiny_model: DeftModel, tmp_path: Path) -> None:
    tiny_model.save_pretrained(tmp_path)
    one = Predictor.from_checkpoint(tmp_path)
    experts, readout = one.model.motion, one.read_motions(make_motions())
    assert one.model.llm is None and one.has_language
    said = one.answer(readout, [ANSWER_QUESTION] * 3)
    assert one.model.motion is experts and one.model.llm is not None and len(said) == 3
    bare = Predictor(DeftModel(DeftConfig(motion=SMALL, faces=FACES)))
    assert not bare.has_language
    with pytest.raises(DeftError, match="no language part"):
        bare.answer(readout, [ANSWER_QUESTION] * 3)


# -- answers ----------------------------------------------------------------------------------------------


def test_a_measured_clip_is_read_with_what_else_is_known_of_it(tiny_model: DeftModel) -> None:
    one, clips = Predictor(tiny_model, {}), make_motions(2)
    before = au_probabilities(one.read_motions(clips))
    clips[1].stated = {12: (0.02, 0.99)}
    after = au_probabilities(one.read_motions(clips))
    left, right = after[1, AU_INDEX[12]]
    assert left < 0.03 and right > 0.98 and np.array_equal(after[0], before[0])


def test_answers_follow_the_beliefs_of_the_readout(tiny_model: DeftModel) -> None:
    """A readout whose beliefs were adapted tells the language model these, not what the experts said."""
    one, clips = Predictor(tiny_model, {}), make_motions(2)
    readout = one.read_motions(clips)
    adapted = replace(readout, coarse=torch.tensor([[9.0, -9.0, -9.0], [-9.0, -9.0, 9.0]]))
    told = [tiny_model.prompts(given) for given in (readout, adapted)]
    assert all(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(*told, strict=True))
