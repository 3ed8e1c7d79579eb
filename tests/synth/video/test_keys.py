"""Key frames for training: what is performed, what is measured, and whether the truth says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deft_llm.errors import UsageError
from deft_llm.facs.regions import FOLDS
from deft_llm.state.onset import ONSET_CHANNELS
from deft_llm.store import Store
from deft_llm.synth.core.coder import SEEN_PX, annotate_onset
from deft_llm.synth.core.key_plan import draw_key_plan
from deft_llm.synth.core.prior import load_prior

PRIOR = load_prior("facs")


def plans(count: int) -> list:
    return [
        draw_key_plan(np.random.default_rng(seed), PRIOR, fps=100.0, smallest=0.2, largest=6.0)
        for seed in range(count)
    ]


def test_rises_releases_and_transitions_are_all_there() -> None:
    made = plans(150)
    phases = [plan.phase for plan in made]
    assert {"rise", "release", "transition"} == set(phases) and phases.count("rise") > 60
    assert 0.2 < np.mean([bool(plan.held) for plan in made]) < 0.7
    assert min(plan.px for plan in made) < 0.4 and max(plan.px for plan in made) > 4
    assert min(plan.px for plan in made if plan.phase != "rise") >= SEEN_PX, "nobody releases what nobody saw"
    stays = [plan.plan for plan in made if plan.phase == "rise"]
    ends = [max(float(c[-1] / max(c.max(), 1e-6)) for c in p.tracks.values() if c.max() > 0) for p in stays]
    assert 0.2 < np.mean([end > 0.9 for end in ends]) < 0.9, "a rise may stay, as a release does"
    for plan in made:
        assert 0 <= plan.onset < plan.apex < plan.offset < len(plan.plan.times)
        assert bool(plan.rising) or plan.phase == "release" or plan.px < 0.4
        if plan.phase == "release":
            assert plan.fine is None and plan.coarse is None and not plan.rising


def test_what_is_released_is_held_before_and_gone_after() -> None:
    from deft_llm.synth.video.keys import key_strengths, unit_sides

    plan = next(p for p in plans(200) if p.phase == "release" and p.px > 2 and not p.held and p.released)
    number = str(plan.released[0].number)
    first, last = unit_sides(plan.plan, plan.onset), unit_sides(plan.plan, plan.apex)
    assert max(first[number]) > 3 * max(last.get(number, [0.0])) + 1e-6
    told = key_strengths(plan.plan, plan.onset, plan.apex)
    assert max(told["held_px"][number]) > 0.9 * max(told["moved_px"][number]) > 0.5


def test_folds_are_judged_where_their_units_move_and_seen_where_they_answer() -> None:
    from deft_llm.synth.core.events import Plan
    from deft_llm.synth.core.units import Component
    from deft_llm.synth.video.furrows import FURROWS
    from deft_llm.synth.video.keys import coded_folds

    assert [furrow.name for furrow in FURROWS] == list(FOLDS)
    plan = Plan(100.0, np.arange(3) / 100, "micro-expression")
    plan.add(Component(4, "left"), np.array([0.0, 0.4, 0.0]))
    judged = {gain: {} for gain in (0.0, 0.8, 4.0)}
    for gain in judged:
        plan.fold_gain = np.full(len(FURROWS), gain)
        judged[gain] = coded_folds(plan, 0, 1)
    assert judged[0.0] == {"glabella": False} and judged[4.0] == {"glabella": True}
    assert judged[0.8] == {}, "nobody is sure of a trace"
    assert coded_folds(plan, 1, 2) == {}, "what is released deepens nothing"


def test_folds_are_judged_in_pictures_that_show_them() -> None:
    from deft_llm.synth.video import truth
    from deft_llm.synth.video.keys import FOLD_CRF, FOLD_IOD, eye_centres, legible

    points = np.zeros((len(truth.LANDMARKS), 2))
    for number, name in enumerate(truth.LANDMARKS):
        points[number, 0] = 1.01 * FOLD_IOD * name.startswith("left")
    left, right = eye_centres(points)
    assert left[0] - right[0] == pytest.approx(1.01 * FOLD_IOD)
    assert legible(points, 0) and legible(points, FOLD_CRF)
    assert not legible(points, FOLD_CRF + 1) and not legible(0.98 * points, 0)


def test_a_coder_sees_what_the_onset_shows_clearly_with_its_side() -> None:
    shown = {"12": [4.0, 0.4], "4": [3.2, 3.1], "17": [4.0, 0.0], "6": [2.5, 2.9]}
    coded = [annotate_onset(np.random.default_rng(seed), shown) for seed in range(200)]
    assert {(unit.number, unit.side) for row in coded for unit in row} == {
        (12, "left"), (4, "both"), (17, "both"),
    }  # fmt: skip
    assert 0.8 < sum(len(row) for row in coded) / (3 * len(coded)) < 0.93, "some are missed"


def test_a_store_of_measured_key_frames(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    from deft_llm.synth.video.keys import KeySettings, make_keys

    settings = KeySettings(clips=2, subjects=1, seed=3, split="test", size=256, smallest=2.0, largest=4.0)
    summary = make_keys(tmp_path / "keys", settings)
    store = Store(tmp_path / "keys")
    assert len(store) + summary["left_out"] == 2 and len(store) >= 1
    for clip, motion in store.stream():
        assert {"faces", "landmarks", "dynamic", "offset-phase"} <= motion.has
        assert motion.flow.shape[0] == 2 and np.abs(motion.flow).max() > 0.2
        facts = clip.truth.attributes
        assert (
            facts["phase"] in ("rise", "release", "transition")
            and facts["moved_px"]
            and facts["held_px"]
            and len(facts["turn"]) == 2
        )
        assert clip.phase == facts["phase"] and clip.held is not None and clip.folds is not None
        assert motion.over_neutral is not None and motion.over_neutral.shape == (len(ONSET_CHANNELS),)
        assert np.isfinite(motion.over_neutral).all() and np.abs(motion.over_neutral).max() < 40
        assert {unit.number for unit in clip.held} <= set(map(int, facts["held_px"]))
        assert facts["crf"] in (0, 18, 26, 34) and facts["split"] == "test"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "keys/shards").iterdir()}
    make_keys(tmp_path / "keys", settings)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "keys/shards").iterdir()}


def test_more_subjects_than_samples_are_refused() -> None:
    from deft_llm.synth.video.keys import KeySettings

    with pytest.raises(UsageError, match="--subjects"):
        KeySettings(clips=1, subjects=2).check()


def test_cameras_of_training_and_test_share_nothing() -> None:
    from deft_llm.synth.video.keys import FAR, FRONTAL, camera_of

    rng = np.random.default_rng(0)
    for light, near in (("near-frontal", True), ("far-side", False)):
        for _ in range(5):
            camera = camera_of(rng, 256, light)
            key = camera.scene.lights[0].direction
            assert (camera.scene.distance < FAR) == near
            assert (abs(np.arctan2(key[0], key[2])) < FRONTAL) == near


def test_a_lure_comes_with_its_twin_that_differs_in_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    from deft_llm.cli import main

    with pytest.raises(SystemExit) as end:
        main(
            [
                "synth",
                str(tmp_path / "keys"),
                "--film",
                "keys",
                "--clips",
                "1",
                "--subjects",
                "1",
                "smallest=2.0",
                *(
                    f"conditions.{word}"
                    for word in ("phase=rise", "lures=1", "twins=true", "crf=0", "flow=farneback")
                ),
            ]
        )
    assert not end.value.code
    plain, lured = sorted(Store(tmp_path / "keys").clips, key=lambda clip: clip.clip_id)
    assert lured.clip_id == f"{plain.clip_id}-lured"
    assert lured.truth.aus == plain.truth.aus and lured.onset == plain.onset
    facts = plain.truth.attributes, lured.truth.attributes
    assert facts[0]["plan"] == facts[1]["plan"] and facts[0]["camera"] == facts[1]["camera"]
    assert facts[0]["lure"] == "" and facts[1]["lure"] in lured.notes and facts[0]["phase"] == "rise"
    assert {row["flow"] for row in facts} == {"farneback"} and {row["crf"] for row in facts} == {0}


@pytest.mark.parametrize(("words", "said"), [
    (("--film", "keys", "conditions.light=dark"), "conditions.light='dark' does not fit"),
    (("--film", "keys", "conditions.lures=2"), "conditions.lures=2 does not fit"),
    (("--film", "keys", "lures=.5"), "did you mean conditions.lures?"),
    (("--film", "keys", "clips=5"), "give --clips 5"),
    (("conditions.lures=.5",), "no effect without --film keys"),
])  # fmt: skip
def test_conditions_that_cannot_be_are_usage_errors(words, said, tmp_path: Path, capsys) -> None:
    from deft_llm.cli import main

    with pytest.raises(SystemExit) as end:
        main(["synth", str(tmp_path / "x"), "--clips", "2", "--subjects", "1", *words])
    assert end.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "x").exists()
