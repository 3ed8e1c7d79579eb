"""Flow level: determinism, truth, the estimator's model, stores and maps on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import read_jsonl
from deft_llm.records import COARSE
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.draw import Projector, draw_crop, reference_index
from deft_llm.synth.flow.estimator import Scene
from deft_llm.synth.flow.face import SKIN, SPAN, rows_of
from deft_llm.synth.flow.raster import rasterise
from deft_llm.synth.flow.sampler import FlowSynth, strain
from deft_llm.synth.flow.store import FlowSettings, coded_aus, write_flow

QUIET = {
    "blink_chance": 0.0, "gaze_chance": 0.0, "jaw_chance": 0.0, "stray_chance": 0.0, "head_still_chance": 1.0,
    "outlier_chance": 0.0, "spikes_chance": 0.0,
    "border_chance": 0.0, "exact_chance": 1.0, "coloured_noise": (1e-6, 2e-6),
    "local_jitter": (0.0, 0.0), "crop_jitter": (0.0, 0.0), "head_removed_chance": 0.0, "mirror_chance": 0.0,
    "pixel_noise_chance": 0.0, "strain_grain": (0.0, 0.0), "roll": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def synth() -> FlowSynth:
    return FlowSynth("test", FlowConfig(identities=2))


def test_shapes_and_classes(synth):
    batch = synth.batch(24, seed=3)
    assert batch["maps"].shape == (24, 2, 3, 28, 28)
    assert batch["maps"].dtype == np.uint8
    assert (batch["maps"].min((3, 4)) == 0).all() and (batch["maps"].max((3, 4)) == 255).all()
    assert batch["clean"].shape == (24, 2, 14, 14)
    assert set(batch["coarse"]) <= {-1, 0, 1, 2}
    assert not (batch["aus"] & batch["faint"]).any()
    assert (batch["strength"].max(2) > 0).sum(1).min() >= 1
    assert np.isfinite(batch["strength"]).all()


def test_a_sample_does_not_depend_on_batches(synth):
    whole = synth.batch(10, seed=5)
    for start, count in ((0, 3), (3, 7), (6, 1)):
        part = synth.batch(count, seed=5, start=start)
        for key in ("maps", "clean", "coarse", "aus"):
            assert np.array_equal(part[key], whole[key][start : start + count]), key
    fresh = FlowSynth("test", FlowConfig(identities=2)).batch(4, seed=5, start=2)
    assert np.array_equal(fresh["maps"], whole["maps"][2:6])
    assert not np.array_equal(synth.batch(4, seed=6)["maps"], whole["maps"][:4])


def test_class_can_be_fixed(synth):
    assert set(synth.batch(8, seed=1, coarse="positive")["coarse"]) == {COARSE.index("positive")}


def quiet_motion(au: int, side: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact flow of one component on a crop that shows the whole face: u, v and the face chart's x."""
    config = FlowConfig(identities=1, crop_top=(1.2, 1.2), crop_bottom=(2.0, 2.0), crop_half_width=(1.3, 1.3),
                        crop_centre=0.0, yaw=0.01, pitch=0.01, **QUIET)  # fmt: skip
    synth = FlowSynth("test", config)
    face, _ = synth.face(0)
    rng = np.random.default_rng(0)
    crop = draw_crop(rng, config, face, 56)
    index = reference_index(crop, face.side, 56)
    skin = Projector(face, crop, index).skin([{rows_of()[(au, side, None)]: 2.0}])[:, 0]
    grid = (np.arange(56) - 27.5) / 56 * 2.6
    return skin[0].reshape(56, 56), skin[1].reshape(56, 56), np.broadcast_to(grid, (56, 56))


def test_projected_motion_has_facs_direction_and_peak():
    u, v, x = quiet_motion(12, "left")
    assert v.min() < 0 and u[v < 0.5 * v.min()].mean() > 0  # up, and to the image's right
    assert x[np.hypot(u, v) > 1].mean() > 0.2  # the subject's left is the image's right
    assert 1.0 < np.hypot(u, v).max() < 3.2  # about the 2 px asked for
    u, v, _ = quiet_motion(4, "right")
    strong = np.hypot(u, v) > 1
    assert v[strong].mean() > 0.8 and u[strong].mean() > 0  # down and medial: image right


def test_head_motion_shows_parallax_and_background_stays():
    config = FlowConfig(identities=1, **{**QUIET, "head_still_chance": 0.0})
    synth = FlowSynth("test", config)
    face, _ = synth.face(0)
    crop = draw_crop(np.random.default_rng(1), config, face, 56)
    index = reference_index(crop, face.side, 56)
    projector = Projector(face, crop, index)
    turn = projector.rigid[:, 1]  # yaw
    depth = face.place[index][:, 2]
    inside = face.kind.ravel()[index] == SKIN
    assert np.corrcoef(turn[0][inside], depth[inside])[0, 1] > 0.95
    step = projector.rigid[:, 3]
    assert np.allclose(step[1], 0, atol=1e-6) and (step[0] > 0).all()


def test_the_estimator_model_shrinks_flat_skin_and_keeps_textured_skin():
    config = FlowConfig(identities=1, contrast=(1.0, 1.0), prior_fine=(0.3, 0.3), prior_coarse=(0.1, 0.1),
                        sensor_noise=(1e-5, 2e-5), illumination_chance=0.0, median_chance=0.0,
                        staircase_chance=0.0, **{**QUIET, "exact_chance": 0.0})  # fmt: skip
    synth = FlowSynth("test", config)
    face, _ = synth.face(0)
    recovered = []
    for texture in (0.002, 2.0):
        settings = config.model_copy(update={"skin_texture": (texture, texture * 1.001)})
        rng = np.random.default_rng(2)
        scene = Scene(rng, settings, face, draw_crop(rng, settings, face, 56), 56)
        moved = np.ones((1, 56 * 56), np.float32)
        u, _ = scene.estimate(rng, moved.copy(), 0 * moved)
        recovered.append(float(u[0][~scene.background].mean()))
    assert recovered[0] < recovered[1] < 1.02
    assert recovered[1] > 0.8


def test_mirrored_samples_swap_sides():
    plain, mirrored = (
        FlowSynth("test", FlowConfig(identities=1, **{**QUIET, "mirror_chance": chance})) for chance in (0, 1)
    )
    for number in range(8):
        a, b = plain.sample(9, number), mirrored.sample(9, number)
        assert np.allclose(a.clean[0][:, ::-1], -b.clean[0], atol=1e-3)
        sides = [(au.number, au.side) for au in coded_aus(a)]
        swapped = {"left": "right", "right": "left"}
        assert [(n, swapped.get(s, s)) for n, s in sides] == [(au.number, au.side) for au in coded_aus(b)]


def test_strain_of_a_known_field():
    y, x = np.mgrid[0:20, 0:20].astype(np.float32)
    shear = np.stack([0.3 * y, 0 * x])[None]
    assert np.allclose(strain(shear, 1.0)[0], np.sqrt(0.5 * 0.09), atol=1e-5)
    rotation = np.stack([-0.2 * y, 0.2 * x])[None]
    assert np.allclose(strain(rotation, 1.0)[0], 0, atol=1e-5)
    stretched = np.stack([0 * x, 0.4 * y])[None]
    assert np.allclose(strain(stretched, 2.0)[0], 0.2, atol=1e-5)


def test_rasteriser_against_opencv():
    points = np.array([[2.0, 3.0], [25.0, 6.0], [9.0, 27.0], [30.0, 30.0]])
    triangles = np.array([[0, 2, 1]])
    found, weights = rasterise(points, np.zeros(4), triangles, 32, 32)
    drawn = cv2.fillConvexPoly(np.zeros((32, 32), np.uint8), points[:3].astype(np.int32), 1)
    assert ((found >= 0) != drawn.astype(bool)).mean() < 0.06
    inside = found >= 0
    assert np.allclose(weights[inside].sum(1), 1, atol=1e-4)
    back = (weights[inside][:, :, None] * points[triangles[0]][None]).sum(1)
    rows, columns = np.nonzero(inside)
    assert np.allclose(back, np.stack([columns, rows], 1), atol=1e-3)


def test_the_nearer_triangle_is_seen():
    points = np.array([[0, 0], [31, 0], [0, 31], [0, 0], [31, 0], [0, 31]], float)
    depth = np.array([0, 0, 0, 1, 1, 1], float)
    found, _ = rasterise(points, depth, np.array([[0, 2, 1], [3, 5, 4]]), 32, 32)
    assert set(found[found >= 0]) == {1}
    assert (rasterise(points, depth, np.array([[0, 1, 2]]), 32, 32)[0] == -1).all()  # seen from behind


def test_bigger_maps_and_pixels():
    config = FlowConfig(identities=1, size=112, phases=1, stretch=False)
    maps = FlowSynth("validation", config).batch(2, seed=0)["maps"]
    assert maps.shape == (2, 1, 3, 112, 112) and maps.dtype == np.float32
    assert SPAN > 4


@pytest.mark.parametrize("change", [{"size": 4}, {"size": 500}, {"phases": 3}])
def test_impossible_maps_are_refused(change):
    with pytest.raises(UsageError, match="size"):
        FlowSynth("test", FlowConfig(identities=1, **change))


def test_unknown_unit_sets_and_too_many_identities_are_refused():
    with pytest.raises(UsageError, match="units"):
        FlowSynth("test", unit_sets=("daz",))
    with pytest.raises(UsageError, match="identities"):
        FlowSynth(range(5), FlowConfig(identities=6))
    with pytest.raises(ValueError, match="amplitud"):
        FlowConfig(amplitud=(1, 2))


def settings(**change) -> FlowSettings:
    return FlowSettings(**{"clips": 6, "subjects": 1, "split": "test", "seed": 2, **change})


def hashes(root: Path) -> dict[str, str]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_store_is_read_like_any_other(tmp_path):
    from deft_llm.store import Store

    summary = write_flow(tmp_path / "a", settings())
    assert 0.9 < summary["prior"]["bayes_uf1_coarse"] < 1
    store = Store(tmp_path / "a")
    assert len(store) == 6
    write_flow(tmp_path / "b", settings())
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_flow_maps_are_loaded_by_the_corpus_loader(tmp_path):
    from deft_llm import corpora

    write_flow(tmp_path, settings(layout="flowmaps"))
    corpus = corpora.load("flowmaps", tmp_path)
    assert len(corpus.clips) == 6 and not corpus.faults
    image = cv2.imread(str(tmp_path / corpus.clips[0].source.path))
    assert image.shape == (28, 28, 3)
    before = hashes(tmp_path)
    (tmp_path / "manifest.csv").unlink()
    write_flow(tmp_path, settings(layout="flowmaps"))  # goes on where it was stopped
    assert hashes(tmp_path) == before


def test_ststnet_folders_hold_one_fold_a_subject(tmp_path):
    from deft_llm import corpora

    chosen = settings(clips=24, subjects=3, layout="ststnet", config=FlowConfig(takes=1))
    write_flow(tmp_path, chosen)
    corpus = corpora.load("flowmaps", tmp_path)
    records = {r["source"]["path"]: r for r in read_jsonl(tmp_path / "records.jsonl")}
    assert all(fault.severity == "note" for fault in corpus.faults)
    assert 12 < len(corpus.clips) == len(records) < 24  # "others" has no folder
    assert len({clip.subject for clip in corpus.clips}) == 3
    for clip in corpus.clips:
        assert clip.coarse == records[clip.source.path]["coarse"]
        assert cv2.imread(str(tmp_path / clip.source.path)).shape == (28, 28, 3)
    for number in (1, 2, 3):
        own = {p.name: p for p in tmp_path.glob(f"synth00{number}/u_test/?/*.png")}
        others = {p.name: p for p in tmp_path.glob(f"synth00{number}/u_train/?/*.png")}
        assert own and not set(own) & set(others) and len(own) + len(others) == len(records)
        for name, path in others.items():
            twin = tmp_path / name.partition("_")[0] / "u_test" / path.parent.name / name
            assert path.read_bytes() == twin.read_bytes()
    before = hashes(tmp_path)
    next(tmp_path.glob("synth001/u_train/?/*.png")).unlink()
    write_flow(tmp_path, chosen)  # goes on where it was stopped
    assert hashes(tmp_path) == before
    with pytest.raises(UsageError, match="2 --subjects"):
        settings(layout="ststnet").check()
    with pytest.raises(UsageError, match="files"):
        settings(clips=10**6, subjects=100, layout="ststnet").check()


def test_other_options_need_another_folder(tmp_path):
    write_flow(tmp_path, settings(layout="flowmaps"))
    with pytest.raises(DeftError, match="other options"):
        write_flow(tmp_path, settings(layout="flowmaps", clips=7))
    with pytest.raises(UsageError, match="clips"):
        settings(clips=0).check()
    with pytest.raises(UsageError, match="identities"):
        settings(seed=10**6).check()


@pytest.mark.slow
def test_workers_write_the_same_bytes(tmp_path):
    chosen = settings(clips=300, layout="flowmaps")
    write_flow(tmp_path / "one", chosen, workers=1)
    write_flow(tmp_path / "two", chosen, workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
