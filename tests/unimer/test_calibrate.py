"""How the calibration decides: templates, the cut between one- and two-sided AUs, true sizes."""

from __future__ import annotations

import json

import numpy as np

from deft_llm.aus.calibration import CALIBRATION_FILE, Atom, load_calibration
from deft_llm.aus.region_vectors import REGION_COUNT, mirrored
from deft_llm.records import Clip, Source, Truth
from recipes.au_support import calibrate
from recipes.au_support.calibrate import (
    Held,
    best_cut,
    complete_atoms,
    feature_table,
    kept_maps,
    largest,
    shares_of,
)
from recipes.au_support.calibrate_sides import fit_second_pass
from recipes.au_support.simulate import PX, World, simulate
from recipes.au_support.store_cases import true_sizes


def test_whole_face_templates_are_made_symmetric():
    vector = np.random.default_rng(0).standard_normal((REGION_COUNT, 2))
    left, whole = (
        Atom(au=au, side=side, vector=vector.ravel().tolist()) for au, side in ((12, "left"), (25, "both"))
    )
    atoms = complete_atoms([left, whole])
    found = {(atom.au, atom.side): np.array(atom.vector).reshape(REGION_COUNT, 2) for atom in atoms}
    assert set(found) == {(12, "left"), (12, "right"), (25, "both")}
    np.testing.assert_allclose(found[12, "right"], mirrored(vector))
    np.testing.assert_allclose(found[25, "both"], mirrored(found[25, "both"]), atol=1e-4)
    assert abs(np.linalg.norm(found[25, "both"], axis=-1).max() - 1.0) < 1e-3


def test_templates_of_the_shipped_file_are_mirror_images():
    calibration = load_calibration()
    np.testing.assert_allclose(
        mirrored(calibration.atom_array), calibration.atom_array[calibration.mirror_order], atol=2e-4
    )


def test_the_side_cut_follows_how_often_sides_occur():
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.8
    score = 1 / (1 + np.exp(-(2.0 * truth - 1.0 + rng.standard_normal(4000))))
    often, seldom = best_cut(score, truth), best_cut(1 - score, ~truth)
    assert often < 0.45  # mostly two-sided: a doubtful side counts as moving
    assert abs(often + seldom - 1.0) < 0.05


def test_label_shares_are_those_of_the_design():
    there = np.array([True] * 4 + [False] * 6)
    near = np.array([False] * 8 + [True] * 2)
    weights = shares_of(there, there, near)
    np.testing.assert_allclose([weights[there].sum(), weights[~there & ~near].sum()], [0.7, 0.1])


def toy_world(people: int, seed: int) -> World:
    """Subjects whose regions differ by a tenth from the shipped templates."""
    calibration = load_calibration()
    gains = 1.0 + 0.1 * np.random.default_rng(seed).standard_normal((people, 1, REGION_COUNT, 1))
    centres = np.random.default_rng(0).uniform(-60.0, 60.0, (REGION_COUNT, 2))
    aus = np.array([atom.au for atom in calibration.atoms])
    sides = np.array([atom.side for atom in calibration.atoms])
    return World(calibration.atom_array * gains, aus, sides, centres)


def test_the_second_pass_is_fitted_on_scenes_of_others():
    calibration, worlds = load_calibration(), (toy_world(12, 1), toy_world(6, 2))
    scenes = simulate(worlds[1], 150, np.random.default_rng(3), PX)
    table, left = feature_table(scenes, calibration, "px", tuple(calibration.models["px"]))
    found = fit_second_pass(calibration, worlds, Held(scenes, table, left))
    assert len(found.filter.weights) == 8 and len(found.centres) == REGION_COUNT
    assert all(np.array(rows).shape[1] == 2 * REGION_COUNT for rows in found.spreads.values())
    assert {12, 17} <= set(found.spreads)
    one, both = np.zeros(8), np.zeros(8)
    one[[0, 1, 5, 6]], both[[0, 1, 2, 3, 4, 5, 6]] = (-4, -1, -1, -3), (4, 1, 0.8, 8, 1, 1, 3)
    assert found.filter.probability(one) < 0.5 < found.filter.probability(both)


def test_map_filters_of_an_older_file_are_kept(tmp_path):
    maps = load_calibration().maps
    value = {"version": 1, "maps": None if maps is None else maps.model_dump(mode="json")}
    (tmp_path / "old.json").write_text(json.dumps(value))
    assert kept_maps(tmp_path / "old.json") == maps


def clip(**attributes) -> Clip:
    truth = Truth(attributes=attributes)
    return Clip(clip_id="a/b", corpus="a", subject="a", source=Source(kind="flow", path="x"), truth=truth)


def test_true_sizes_come_from_flow_truth_and_from_truth_files(tmp_path):
    from deft_llm.synth.core.unit_map import AU_MAP

    assert abs(true_sizes(clip(strength_px={"12": [1.04, 0.0]}), None)[12] - 0.9) < 1e-9
    strength = np.zeros((3, 5), np.float32)
    strength[0, 3], strength[1, 3], strength[2] = 0.1, 0.2, 1.0
    np.savez(
        tmp_path / "c.npz",
        frames=np.array([0, 3, 4]),
        strength=strength,
        strength_names=np.array(["AU12/left", "AU12/right", "jaw left"]),
    )
    found = true_sizes(clip(truth_file="c.npz"), tmp_path)
    assert set(found) == {12}
    assert abs(found[12] - 0.2 * AU_MAP[12].full * 90) < 1e-5
    assert true_sizes(clip(truth_file="c.npz"), None) == {}


def test_the_program_makes_a_file_whose_constraint_tells_aus_apart(tmp_path, monkeypatch):
    def brows_and_smile(people: int, seed: int) -> World:
        world = toy_world(people, seed)
        kept = np.isin(world.aus, (1, 2, 4, 12, 43))
        return World(world.responses[:, kept], world.aus[kept], world.sides[kept], world.centres)

    out = tmp_path / "calibration.json"
    out.write_bytes(CALIBRATION_FILE.read_bytes())
    monkeypatch.setattr(
        calibrate, "synthetic_worlds",
        lambda seeds, jitters, seed: [brows_and_smile(4, seed + len(seeds)) for _ in jitters],
    )  # fmt: skip
    words = ["--only", "regions", "--scenes", "600", "--seed", "3", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["calibrate", *words])
    calibrate.main()
    made = load_calibration(out)
    assert made.maps == load_calibration().maps and made.made_from["scenes"] == 600
    assert "--scenes 600" in made.command and made.second_pass is not None
    assert {1, 2, 4, 12} <= set(made.models["px"]) == set(made.models["relative"])
    fresh = brows_and_smile(6, 9)
    scenes = simulate(fresh, 200, np.random.default_rng(4), PX)
    table, _ = feature_table(scenes, made, "px", (12,))
    moves = largest(scenes, fresh, 12) > 1
    support = made.models["px"][12].presence.probability(table[12])
    assert moves.sum() > 5 and support[moves].mean() > support[~moves].mean() + 0.3
