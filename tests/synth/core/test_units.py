"""Every AU's motion field against facs.units: region, direction and side; look-alikes; both unit sets."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.errors import DeftError, UsageError
from deft_llm.facs.regions import MIDLINE_REGIONS
from deft_llm.facs.units import entry
from deft_llm.synth.core.identity import SEED_RANGES, sample_identity, split_of, split_seeds
from deft_llm.synth.core.mesh import load_face
from deft_llm.synth.core.unit_map import AU_MAP, UNIT_SETS
from deft_llm.synth.core.units import SYNTH_AUS, Component, au_displacement, component_field, components

REQUIRED = {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 28, 38, 43, 45}
# Where each region of facs.regions lies on the base face: (lateral, up) in inter-ocular distances.
CENTRES = {
    "inner brow": (0.24, 0.32), "outer brow": (0.72, 0.32), "upper lid": (0.52, 0.09),
    "lower lid": (0.52, -0.14),
    "outer eye corner": (0.85, -0.04), "cheek": (0.65, -0.50), "nostril wing": (0.22, -0.65),
    "nasolabial fold": (0.40, -0.82), "upper lip": (0.17, -0.99), "lower lip": (0.17, -1.19),
    "mouth corner": (0.40, -1.09),
    "forehead": (0.0, 0.70), "glabella": (0.0, 0.22), "nose root": (0.0, -0.02),
    "chin": (0.0, -1.50),
}  # fmt: skip
# Fields that point the same way over the same skin; FACS itself lists them as confusable.
LOOK_ALIKES = {frozenset((12, 14)), frozenset((24, 28)), frozenset((43, 45))}


def region_weight(name: str, side: str) -> np.ndarray:
    """Weights of the vertices of a region; they sum to 1."""
    mesh = load_face()
    x, y, z = mesh.face_coordinates.T
    centre_x, centre_y = CENTRES[name]
    centre_x = -centre_x if side == "right" else centre_x
    weight = np.exp(-0.5 * ((x - centre_x) ** 2 + (y - centre_y) ** 2) / 0.06**2)
    weight *= (mesh.vertex_group == 0) & (z > -0.2)
    if name == "upper lip":
        weight *= 1 - mesh.lower_jaw
    if name in ("lower lip", "chin"):
        weight *= mesh.lower_jaw
    if name == "upper lid":
        weight *= y > 0
    if name == "lower lid":
        weight *= y < -0.03
    return weight / weight.sum()


def motion_at(field: np.ndarray, region: str, side: str) -> tuple[float, float]:
    """(medial, up) mean motion of a region."""
    x, y, _ = region_weight(region, side) @ field
    medial = 0.0 if region in MIDLINE_REGIONS else float(x if side == "right" else -x)
    return medial, float(y)


def whole_field(au: int, unit_set: str) -> np.ndarray:
    return sum(component_field(load_face(), part, unit_set) for part in components(au))


def test_catalogue_is_complete():
    assert set(SYNTH_AUS) >= REQUIRED


@pytest.mark.parametrize("unit_set", UNIT_SETS)
@pytest.mark.parametrize("au", SYNTH_AUS)
def test_regions_move_as_facs_says(au, unit_set):
    field = whole_field(au, unit_set)
    for motion in entry(au).motion:
        for side in ("left", "right"):
            medial, up = motion_at(field, motion.region, side)
            length = np.hypot(medial, up)
            agreement = (medial * motion.medial + up * motion.up) / max(length, 1e-9)
            assert agreement > 0.6, f"AU{au} {side} {motion.region}: cosine {agreement:.2f}"
            if motion.weight >= 0.3:
                assert length > 0.2, f"AU{au} {side} {motion.region}: moves only {length:.2f} of the peak"


@pytest.mark.parametrize("unit_set", UNIT_SETS)
@pytest.mark.parametrize("au", [au for au in SYNTH_AUS if entry(au).scoring == "sides"])
def test_a_side_moves_alone(au, unit_set):
    field = component_field(load_face(), Component(au, "left"), unit_set)
    strongest = max(entry(au).motion, key=lambda motion: motion.weight).region
    if strongest in MIDLINE_REGIONS:
        pytest.skip("moves the midline most")
    own = np.hypot(*motion_at(field, strongest, "left"))
    other = np.hypot(*motion_at(field, strongest, "right"))
    assert other < 0.35 * own
    mirrored = component_field(load_face(), Component(au, "right"), unit_set)
    assert np.isclose(np.hypot(*motion_at(mirrored, strongest, "right")), own, rtol=0.25)


@pytest.mark.parametrize("unit_set", UNIT_SETS)
def test_no_two_aus_look_alike_unless_documented(unit_set):
    fields = {au: whole_field(au, unit_set)[:, :2].ravel() for au in SYNTH_AUS}
    fields = {au: field / np.linalg.norm(field) for au, field in fields.items()}
    for a in SYNTH_AUS:
        for b in SYNTH_AUS:
            if a < b and frozenset((a, b)) not in LOOK_ALIKES:
                assert fields[a] @ fields[b] <= 0.9, f"AU{a} and AU{b}: {fields[a] @ fields[b]:.2f}"
    for a, b in map(sorted, LOOK_ALIKES):
        assert b in entry(a).look_alikes or a in entry(b).look_alikes


def test_unit_sets_are_independent():
    different = [au for au in SYNTH_AUS if AU_MAP[au].arkit != AU_MAP[au].makehuman]
    assert different == list(SYNTH_AUS)
    for au in SYNTH_AUS:
        a, b = (whole_field(au, unit_set)[:, :2].ravel() for unit_set in UNIT_SETS)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) < 0.995


def test_lip_parts_move_their_own_lip():
    for au in (18, 22, 23, 28):
        upper = component_field(load_face(), Component(au, None, "upper"))
        lower = component_field(load_face(), Component(au, None, "lower"))
        assert np.hypot(*motion_at(upper, "upper lip", "left")) > 3 * np.hypot(
            *motion_at(upper, "chin", "left")
        )
        assert np.abs(upper[load_face().lower_jaw > 0.99]).max() < 0.02
        assert np.abs(lower[load_face().lower_jaw < 0.01]).max() < 0.02


def test_soft_tissue_drags_the_forehead_and_the_cheek():
    brow_raise, smile = whole_field(1, "makehuman"), whole_field(12, "makehuman")
    assert motion_at(brow_raise, "forehead", "left")[1] > 0.3
    assert motion_at(smile, "cheek", "left")[1] > 0.1


def test_displacement_is_linear_in_strength_and_in_sides():
    mesh, identity = load_face(), sample_identity(100_007)
    both = au_displacement(mesh, identity, 12)
    left, right = (au_displacement(mesh, identity, 12, side) for side in ("left", "right"))
    assert np.allclose(both, left + right, atol=1e-6)
    iod = np.linalg.norm(np.subtract(*mesh.eye_centres(identity.vertices)))
    assert 0.5 * AU_MAP[12].full < np.hypot(*both[:, :2].T).max() / iod < 2 * AU_MAP[12].full


def test_subjects_move_in_their_own_way():
    mesh = load_face()
    one, two = (au_displacement(mesh, sample_identity(seed), 4) for seed in (100_001, 100_013))
    cosine = (one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two)
    assert 0.6 < cosine < 0.999
    again = au_displacement(mesh, sample_identity(100_001), 4)
    assert np.array_equal(one, again)


def test_unknown_au_and_offset_are_refused():
    with pytest.raises(UsageError, match="AU99"):
        components(99)
    with pytest.raises(DeftError, match="setup"):
        load_face().offset("arkit/nothing")


def test_identities_are_disjoint_balanced_and_stable():
    people = [sample_identity(seed) for seed in split_seeds("train", 60)]
    assert len({person.id for person in people}) == 60
    assert sum(person.sex == "female" for person in people) == 30
    mains = [max(person.ancestry, key=person.ancestry.get) for person in people]
    assert {mains.count(name) for name in set(mains)} == {20}
    ranges = list(SEED_RANGES.values())
    assert all(not set(a[::997]) & set(b) for a in ranges for b in ranges if a is not b)
    assert split_of(people[0].seed) == "train"
    sample_identity.cache_clear()
    assert sample_identity(people[0].seed).id == people[0].id


def test_bad_seeds_are_refused():
    with pytest.raises(UsageError, match="seed"):
        sample_identity(-1)
    with pytest.raises(UsageError, match="ask for fewer"):
        split_seeds("test", 10**9)


def test_heads_are_heads():
    mesh = load_face()
    for seed in range(100_000, 100_012):
        left, right = mesh.eye_centres(sample_identity(seed).vertices)
        assert 0.45 < np.linalg.norm(left - right) < 0.72, f"identity {seed}"
        assert left[0] > right[0]
