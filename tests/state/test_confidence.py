"""Confidence of a stated unit: what speaks for it raises it, what disturbs lowers it; statements meet truth
one to one."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import missed, sequences
from deft_llm.errors import UsageError
from deft_llm.explain.units import measured, seconded
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.files import read_json, read_object, sha256_of, write_json
from deft_llm.records import Evidence
from deft_llm.spotting import joint
from deft_llm.spotting.confidence import (
    EVIDENCE,
    FEATURES,
    KINDS,
    Calibration,
    confidence_of,
    features_of,
    shipped,
)
from deft_llm.spotting.explained import without_dragged, without_implied
from deft_llm.spotting.phases import LIMITS, phases_of
from deft_llm.state.face_state import state_of
from deft_llm.state.intensity import VISIBLE
from deft_llm.state.track import FaceTrack
from recipes import coded_films, confidence
from recipes.coded_films import Row, films_of, folded, matched, parted
from recipes.confidence import Statements, calibration_error, fitted


def smiling(state):
    return next(p for p in phases_of(state) if p.au == 12 and p.kind == "rise" and p.side == "left")


def test_every_weight_has_the_sign_of_its_evidence():
    weights = dict(zip(FEATURES, shipped().weights, strict=True))
    assert all(weights[name] * sign >= 0 for name, sign in EVIDENCE.items())
    assert weights["size"] + weights["trained"] > 0.5
    assert sorted(au for units in KINDS.values() for au in units) == sorted(LIMITS)


def test_a_turning_head_and_a_cover_lower_the_confidence(smile):
    state = state_of(smile())
    phase, whole = smiling(state), confidence_of(smiling(state), state)
    assert whole > 0.8
    turning = replace(state, angles=state.angles + np.linspace(0, 60, len(state))[:, None])
    assert confidence_of(phase, turning) < whole
    covered = replace(state.visibility, disturbed=np.ones(len(state), bool))
    assert confidence_of(phase, replace(state, visibility=covered)) < whole
    unseen = replace(state, trained={key: 0 * curve for key, curve in state.trained.items()})
    assert confidence_of(phase, unseen) < whole


def test_skin_that_moves_along_raises_the_confidence_of_a_measured_rise(smile):
    state = state_of(smile(sides=("left",)))
    (movement,) = joint.state_movements(state)
    rise = next(unit for unit in movement.rises if unit.number == 12)
    movement = replace(movement, units=(rise,))
    assert shipped().moved[0] > 0 > shipped().moved[1]
    row = Evidence(au=12, side="left", region="mouth corner", direction="up-lateral", dx=1.0, dy=-1.0,
                   px=1.0, iod_percent=1.1, z=9.0, support=0.9, status="supported", reason="")  # fmt: skip
    still = np.zeros((1, len(REGION_KEYS)))
    regions = SimpleNamespace(dx=still, dy=still, floor=still + 0.1)
    motion = SimpleNamespace(regions=regions, iod_px=90.0)
    (moves,) = seconded(measured(movement, motion, [row])).units
    (stays,) = seconded(measured(movement, motion, [])).units
    assert stays.confidence < rise.confidence < moves.confidence
    assert (stays.px, stays.z, stays.seen_by) == (None, None, "state"), "nothing above its noise is no figure"
    later = replace(movement, units=(replace(rise, onset=movement.apex + 1),))
    assert seconded(measured(later, motion, [row])).units[0].confidence == rise.confidence


def test_the_fit_of_motion_finds_what_was_put_in():
    random = np.random.default_rng(0)
    chance, moves = random.uniform(0.3, 0.9, 4000), random.random(4000) < 0.6
    true = shipped().model_copy(update={"moved": (0.8, -1.2)}).seconded(chance, moves)
    found = confidence.fitted_motion(
        confidence.Seconded(chance, moves, (random.random(4000) < true).astype(float)), shipped()
    )
    assert found.moved == pytest.approx((0.8, -1.2), abs=0.2) and found.weights == shipped().weights


def test_the_recipe_fits_motion_on_what_was_measured(films, monkeypatch, capsys, tmp_path):
    folder, tracks = films

    def analyze(path):
        (track,) = (tracks / path.parent.parent.name).glob(f"{path.stem}-*.track.npz")
        state = state_of(FaceTrack.load(track))
        readings = [
            SimpleNamespace(motion="measured", movement=replace(one, units=tuple(
                replace(unit, px=1.0 if unit.number == 12 else None) for unit in one.units
            ))) for one in joint.state_movements(state)
        ]  # fmt: skip
        return SimpleNamespace(states=[state], readings=readings)

    monkeypatch.setattr(confidence.Analyzer, "from_pretrained", lambda _: SimpleNamespace(analyze=analyze))
    monkeypatch.setattr(shipped(), "moved", shipped().moved)  # the recipe sets it
    out = tmp_path / "confidence.json"
    argv = ["recipes.confidence", "motion", str(folder), "--tracks", str(tracks), "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*argv, "--test", str(folder)])
    confidence.main()
    assert Calibration(**read_object(out)).weights == shipped().weights
    assert "tested on" in capsys.readouterr().out
    kept = sorted((tracks / folder.name).glob("*.measured.json"))
    assert len(kept) == 2 and any(read_json(path) for path in kept)
    monkeypatch.setattr("sys.argv", argv[:-2])
    with pytest.raises(UsageError, match="--out"):
        confidence.main()


def test_what_was_measured_is_kept_for_one_film_and_one_fit(films, monkeypatch):
    folder, tracks = films
    analyzer = SimpleNamespace(analyze=lambda path: calls.append(path.stem))
    monkeypatch.setattr(confidence.Analyzer, "from_pretrained", lambda _: analyzer)
    monkeypatch.setattr(confidence, "_measured_rises", lambda analysis, film: [(0.9, True, True)])

    def measured_anew():
        calls.clear()
        confidence.seconded_in(folder, tracks / folder.name, None)
        return calls

    calls = []
    assert measured_anew() == ["f0000", "f0001"] and measured_anew() == []
    monkeypatch.setattr(confidence, "shipped", lambda: shipped().model_copy(update={"bias": -9.0}))
    assert measured_anew() == ["f0000", "f0001"] and measured_anew() == []
    truth = read_object(folder / "truth" / "f0001.json")
    truth["movements"].clear()
    write_json(folder / "truth" / "f0001.json", truth)
    assert measured_anew() == ["f0001"] and measured_anew() == []
    monkeypatch.setattr(confidence, "__version__", "99")
    assert measured_anew() == ["f0000", "f0001"]


def test_a_film_of_the_same_name_is_not_read_from_the_track_of_another(films, smile, monkeypatch):
    """Films to fit on and films to test on lie in folders of one name."""
    folder, tracks = films
    seen = []

    def watched(*_, **__):
        seen.append(smile())
        return SimpleNamespace(tracks={1: seen[-1]})

    monkeypatch.setattr(coded_films, "watch", watched)
    monkeypatch.setattr(coded_films, "probe", lambda path: SimpleNamespace(fps=25.0))
    monkeypatch.setattr(coded_films, "default_landmarker", lambda: None)
    list(films_of(folder, tracks / folder.name))
    assert not seen
    (folder / "video" / "f0001.mp4").write_text("another film")
    list(films_of(folder, tracks / folder.name))
    list(films_of(folder, tracks / folder.name))
    assert len(seen) == 1


def test_what_is_less_sure_than_the_least_is_not_stated(smile, monkeypatch):
    state = state_of(smile())
    assert {unit.number for one in joint.state_movements(state) for unit in one.units} >= {12}
    strict = shipped().model_copy(update={"least": 0.9999})
    monkeypatch.setattr(joint, "shipped", lambda: strict)
    assert joint.state_movements(state) == []


def test_what_is_surely_released_has_risen(smile, monkeypatch):
    state = state_of(smile(sides=("left",)))
    rise, fall = (phase for phase in phases_of(state) if phase.au == 12 and phase.side == "left")
    for of_rise, of_fall, stated in ((0.3, 0.7, 2), (0.3, 0.5, 0), (0.2, 0.7, 0), (0.5, 0.3, 1)):
        chances = {"rise": of_rise, "release": of_fall}
        monkeypatch.setattr(joint, "confidence_of", lambda phase, _, told=chances: told[phase.kind])
        monkeypatch.setattr(joint, "phases_of", lambda _: [rise, fall])
        found = [unit for one in joint.state_movements(state) for unit in one.units]
        assert len(found) == stated, (of_rise, of_fall)


def test_corners_that_an_open_mouth_draws_are_no_smile(smile):
    state = state_of(smile())
    rise = smiling(state)
    assert without_dragged([rise], state) == [rise]
    for gap, kept in ((2.0, [rise]), (5.0, [])):
        for side in ("left", "right"):
            state.intensity[25, side] = np.full(len(state), gap * rise.level * VISIBLE[25])
        assert without_dragged([rise], state) == kept


def test_a_dropped_jaw_says_that_the_lips_part(smile):
    state = state_of(smile())
    lips = replace(smiling(state), au=25, side="both")
    jaw, later = replace(lips, au=26), replace(lips, au=26, onset=lips.onset + 60, apex=lips.apex + 60)
    assert [phase.au for phase in without_implied([lips, jaw], state.fps)] == [26]
    assert [phase.au for phase in without_implied([lips, later], state.fps)] == [25, 26]


def test_the_fit_finds_shares_and_keeps_signs():
    random = np.random.default_rng(0)
    x = np.zeros((4000, len(FEATURES)))
    x[:, FEATURES.index("size")] = random.normal(0, 1, 4000)
    x[:, FEATURES.index("turned")] = random.uniform(0, 2, 4000)
    odds = 1.5 * x[:, FEATURES.index("size")] + 0.5 * x[:, FEATURES.index("turned")]  # against its sign
    right = (random.random(4000) < 1 / (1 + np.exp(-odds))).astype(float)
    found = fitted(Statements(x, right, np.zeros(4000)), 0.5, "test")
    weights = dict(zip(FEATURES, found.weights, strict=True))
    assert weights["size"] == pytest.approx(1.2, abs=0.4) and weights["turned"] == 0
    assert calibration_error(found.probability(x), right) < 0.06
    assert calibration_error(1 - found.probability(x), right) > 0.2


def test_each_statement_and_each_truth_is_used_once():
    truth = [Row("rise", 12, "both", 1.0, 1.4), Row("rise", 12, "both", 3.0, 3.3)]
    stated = [Row("rise", 12, "left", 1.3, 1.5), Row("rise", 12, "both", 1.1, 1.3),
              Row("release", 12, "both", 3.0, 3.3), Row("rise", 6, "both", 3.0, 3.3)]  # fmt: skip
    assert matched(stated, truth) == [(1, 0)]
    assert matched([], truth) == []
    late = Row("rise", 12, "both", 3.9, 4.2)
    assert matched([late], truth) == [] and matched([late._replace(apex=3.35)], truth) == [(0, 1)]


@pytest.fixture
def films(smile, tmp_path):
    """Two films of one smile each, as ``deft synth`` writes them, with tracks that were read before."""
    folder, tracks = tmp_path / "films", tmp_path / "tracks" / "films"
    for part in ("video", "records", "truth"):
        (folder / part).mkdir(parents=True)
    tracks.mkdir(parents=True)
    for name, level in (("f0000", 4.0), ("f0001", 1.0)):
        video = folder / "video" / f"{name}.mp4"
        video.write_text(name)
        smile().save(tracks / f"{name}-{sha256_of(video)[:16]}.track.npz")
        write_json(folder / "records" / f"{name}.json", {})
        times = {"rise": (40, 48), "release": (80, 90)}
        rows = [
            {"number": 12, "side": "both", "phase": phase, "onset": on, "apex": apex, "onset_time": on / 25,
             "apex_time": apex / 25, "intensity_before": level * (phase == "release"),
             "intensity_after": level * (phase == "rise")} for phase, (on, apex) in times.items()
        ]  # fmt: skip
        truth = {"frames": 120, "movements": [{"aus": rows}], "events": []}
        write_json(folder / "truth" / f"{name}.json", truth)
        lines = ["frame,AU12_sure", *(f"{frame},1" for frame in range(120))]
        (folder / "truth" / f"{name}.csv").write_text("\n".join(lines))
    return folder, tracks.parent


def test_units_that_count_as_one_and_move_together_are_one_row():
    six = Row("rise", 6, "left", 1.0, 1.2, 2.0)
    seven, later = six._replace(side="right", apex=1.3, level=3.0), six._replace(onset=2.0)
    assert folded([six, seven, later]) == [Row("rise", 6, "both", 1.0, 1.3, 3.0), later]
    assert len(folded([six, six._replace(au=12), six._replace(phase="release")])) == 3


def test_lips_that_other_units_part_are_neither_right_nor_wrong():
    depressed = Row("rise", 16, "both", 1.0, 1.2, 2.0)
    (lips,) = parted([depressed])
    assert (lips.au, lips.phase, lips.sure) == (25, "rise", False)
    own = Row("rise", 25, "both", 1.1, 1.3, 3.0)
    assert parted([depressed, own]) == [] and parted([own._replace(au=12)]) == []
    assert len(parted([depressed, own._replace(onset=3.0, apex=3.2)])) == 1


def test_a_small_smile_is_as_sure_as_a_middling_one(smile):
    state = state_of(smile())
    small, middling = (replace(smiling(state), size=limits * LIMITS[12]) for limits in (1.2, 2.4))
    other = [replace(one, au=10, size=one.strength * LIMITS[10]) for one in (small, middling)]
    size = FEATURES.index("size")
    assert features_of(small, state)[size] == features_of(middling, state)[size] > 0
    assert features_of(other[0], state)[size] < features_of(other[1], state)[size]


def test_a_cheek_is_surer_beside_a_smile(smile):
    state = state_of(smile())
    cheek = replace(smiling(state), au=6)
    flat = {key: 0 * curve if key[0] == 12 else curve for key, curve in state.intensity.items()}
    alone = replace(state, intensity=flat)
    assert confidence_of(cheek, state) > confidence_of(cheek, alone)


def test_a_broad_smile_lifts_the_upper_lip_by_itself(smile):
    state = state_of(smile())
    lip = replace(smiling(state), au=10, level=0.8 * float(state.share(12, "left", smiling(state).apex)))
    assert without_dragged([lip], state) == []
    assert without_dragged([replace(lip, level=2 * lip.level)], state)


def test_missed_rises_are_counted_by_the_step_that_loses_them(films, monkeypatch, capsys):
    folder, tracks = films
    monkeypatch.setattr("sys.argv", ["benchmarks.missed", str(folder), "--tracks", str(tracks)])
    missed.main()
    assert "| AU12 | 1 |" in capsys.readouterr().out
    strict = shipped().model_copy(update={"least": 0.9999})
    monkeypatch.setattr(joint, "shipped", lambda: strict)
    monkeypatch.setattr(missed, "shipped", lambda: strict)
    missed.main()
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| AU12 "))
    assert row.split("|")[2 + missed.STEPS.index("confidence")].strip() == "1"


def test_the_benchmark_counts_what_is_met_and_what_is_right(films, monkeypatch, capsys):
    folder, tracks = films
    monkeypatch.setattr("sys.argv", ["benchmarks.sequences", str(folder), "--tracks", str(tracks)])
    sequences.main()
    found = json.loads(capsys.readouterr().out)
    assert found["films"] == 2 and found["rise"]["true"] == 1, "a smile of 1 of 5 need not be seen"
    assert found["rise"]["recall"] == found["release"]["recall"] == 1.0
    assert found["rise"]["by_unit"]["AU12"] == "1 of 1 met, 2 of 2 right"
    assert found["sides"] == {"judged": 1, "right": 1.0} and found["opposites"] == 0
    assert found["calm"]["seconds"] == pytest.approx(2.2) and found["calm"]["stated"] == 0


def test_the_benchmark_counts_what_is_stated_once_the_skin_was_measured(films, monkeypatch, capsys):
    folder, tracks = films
    monkeypatch.setattr(
        sequences.Analyzer, "from_pretrained",
        lambda _: SimpleNamespace(analyze=lambda path: SimpleNamespace(movements=[])),
    )  # fmt: skip
    argv = ["benchmarks.sequences", str(folder), "--tracks", str(tracks), "--measured"]
    monkeypatch.setattr("sys.argv", argv)
    sequences.main()
    found = json.loads(capsys.readouterr().out)
    assert found["films"] == 2 and found["rise"]["recall"] == 0.0 and found["rise"]["stated"] == 0


def test_the_recipe_fits_and_checks(films, monkeypatch, capsys, tmp_path):
    folder, tracks = films
    out = tmp_path / "confidence.json"
    common = [str(folder), "--tracks", str(tracks)]
    monkeypatch.setattr("sys.argv", ["recipes.confidence", "fit", *common, "--out", str(out)])
    confidence.main()
    assert Calibration(**read_object(out)).features == list(FEATURES)
    monkeypatch.setattr("sys.argv", ["recipes.confidence", "check", str(folder), *common])
    confidence.main()
    assert "tested on" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["recipes.confidence", "check", *common])
    with pytest.raises(UsageError, match="two folders"):
        confidence.main()
