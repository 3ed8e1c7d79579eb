"""Faithfulness, consistency, counterfactuals, probes and region curves on cases with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deft_llm.answer import Answer, Statement, render
from deft_llm.errors import DeftError
from deft_llm.evaluation.deletion import area, deletion_scores, region_curves
from deft_llm.evaluation.faithfulness import consistency, counterfactuals, faithfulness
from deft_llm.evaluation.probe_run import probe_run
from deft_llm.evaluation.probes import probe, read_features, verification_auc
from deft_llm.evaluation.rows import Run
from deft_llm.records import ActionUnit, Evidence, Prediction, PredictionTruth


def answered(
    clip: str, stated: list[int], rationale: str, label: str = "happiness", **values: object
) -> Prediction:
    items = tuple(
        Statement(au=au, side="both", region="mouth corner", direction="up-lateral") for au in stated
    )
    text = render(Answer(fine="happiness", coarse="positive", evidence=items, rationale=rationale))
    return Prediction(
        method="m",
        clip_id=clip,
        corpus="a",
        subject="a/1",
        label_space="native",
        label=label,
        answer=text,
        truth=PredictionTruth(label="happiness", aus=[ActionUnit(number=12)]),
        **values,
    )  # type: ignore[arg-type]


def test_faithfulness_by_hand() -> None:
    measured = [{"au": 12, "support": 0.9}, {"au": 6, "support": 0.7}, {"au": 4, "support": 0.2}]
    row = answered("a", [12, 13], "AU12 moved.", extras={"measured": measured})
    row.evidence = [
        Evidence(
            au=12,
            region="left mouth corner",
            side="left",
            direction="up-lateral",
            dx=0.7,
            dy=-0.7,
            support=0.9,
            status="supported",
        ),
        Evidence(
            au=12,
            region="left mouth corner",
            side="left",
            direction="down",
            dx=0.7,
            dy=-0.7,
            support=0.9,
            status="supported",
        ),
    ]
    found = faithfulness([row])
    assert found is not None
    assert found["against_flow"] == {"precision": 0.5, "recall": 0.5, "claimed": 2, "there": 2, "clips": 1}
    assert found["against_truth"]["precision"] == 0.5 and found["against_truth"]["recall"] == 1.0
    assert found["directions_agree"] == 0.5 and found["directions"] == 2
    assert faithfulness([row.model_copy(update={"answer": None, "evidence": []})]) is None


def test_consistency_finds_each_fault() -> None:
    good = answered("a", [12], "AU12 lifted the corner.", aus={"12": 0.9})
    stray = answered("b", [12], "AU4 lowered the brow.", label="disgust", aus={"12": 0.2})
    broken = good.model_copy(update={"clip_id": "c", "answer": "I feel that you are happy"})
    found = consistency([good, stray, broken])
    assert found is not None and found["answers"] == 3
    assert found["parsed"] == pytest.approx(2 / 3)
    for name in ("text_is_head", "rationale_within_evidence", "evidence_within_head_aus"):
        assert found[name] == 0.5, name


def test_counterfactuals_follow_the_donor() -> None:
    first = answered("a", [12], "", aus={"12": 0.9, "4": 0.1})
    second = answered("b", [12], "", label="disgust", aus={"12": 0.1, "4": 0.9})
    first.extras["counterfactuals"] = {
        "swap motion": {"donor": "b", "label": "disgust", "aus": {"12": 0.2, "4": 0.8}},
        "swap structure": {"donor": "b", "label": "happiness", "aus": {"12": 0.9, "4": 0.2}},
        "without texture": {"label": "happiness"},
    }
    found = counterfactuals([first, second])
    assert found is not None
    assert (
        found["swap motion"]["class_follows_donor"] == 1.0 and found["swap motion"]["aus_follow_donor"] == 1.0
    )
    assert found["swap structure"]["class_stays"] == 1.0 and found["swap structure"]["aus_changed"] == 0.0
    assert found["without texture"] == {"class_changed": 0.0, "clips": 1}


def _groups(rng: np.random.Generator) -> tuple[np.ndarray, list[str], np.ndarray]:
    subjects = np.repeat(np.arange(20), 10)
    identity = rng.normal(size=(20, 6))[subjects]
    target = rng.integers(0, 2, 200)
    return identity, [f"s{i}" for i in subjects], target


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_probe_reads_what_is_there_and_only_that(model: str) -> None:
    rng = np.random.default_rng(0)
    identity, subjects, target = _groups(rng)
    signal = np.column_stack([target + 0.3 * rng.normal(size=200), rng.normal(size=(200, 3))])
    found = probe(signal, target, subjects, "binary", model=model, permutations=3)  # type: ignore[arg-type]
    assert found["score"] > 0.95 and abs(found["baseline"] - 0.5) < 0.15
    assert probe(identity, target, subjects, "binary", model=model, permutations=2)["score"] < 0.65  # type: ignore[arg-type]


def test_regression_classes_and_verification() -> None:
    rng = np.random.default_rng(1)
    identity, subjects, _ = _groups(rng)
    features = rng.normal(size=(200, 5))
    found = probe(features, features[:, :2] * 3 + 1, subjects, "regression", permutations=2)
    assert found["score"] > 0.99 and found["baseline"] < 0.1
    classes = np.argmax(features[:, :3], axis=1)
    assert probe(features, classes, subjects, "classes", permutations=2)["score"] > 0.85
    assert verification_auc(identity + 0.1 * rng.normal(size=identity.shape), subjects) > 0.95
    assert abs(verification_auc(features, subjects) - 0.5) < 0.06
    with pytest.raises(DeftError, match="two subjects"):
        probe(features, classes, ["one"] * 200, "classes")


def test_feature_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "features.npz"
    np.savez(path, clip_ids=np.array(["a", "b"]), subjects=np.array(["x", "y"]), motion=np.zeros((2, 3, 4)))
    clips, subjects, arrays = read_features(path)
    assert clips == ["a", "b"] and subjects == ["x", "y"] and arrays["motion"].shape == (2, 12)
    np.savez(path, clip_ids=np.array(["a", "b"]), subjects=np.array(["x", "y"]), motion=np.zeros((3, 4)))
    with pytest.raises(DeftError, match="differ in length"):
        read_features(path)


def test_region_curves_prefer_the_deciding_region() -> None:
    calls = []

    def probabilities(visible: Sequence[frozenset[str]]) -> list[float]:
        calls.append(len(visible))
        return [0.9 if "mouth" in one else 0.1 for one in visible]

    regions = ["brow", "cheek", "chin", "mouth"]
    good = region_curves(probabilities, ["mouth", "brow", "cheek", "chin"])
    bad = region_curves(probabilities, regions)
    assert good["deletion"]["area"] < good["deletion"]["random_area"] < bad["deletion"]["area"]
    assert good["insertion"]["area"] > bad["insertion"]["area"]
    assert good["deletion"]["curve"] == [0.9, 0.1, 0.1, 0.1, 0.1]
    assert calls[0] <= 2**4 and len(calls) == 2, "every set of regions is asked once, all together"
    coarse = region_curves(probabilities, regions, steps=2, random_orders=0)
    assert coarse["insertion"] == {"curve": [0.1, 0.1, 0.9], "area": 0.3, "random_area": None}
    assert area([1.0, 0.0]) == 0.5


def test_deletion_scores_are_means_over_clips_with_an_interval_over_subjects() -> None:
    rows = [answered(f"c{i}", [12], "AU12 moved.") for i in range(4)]
    for i, row in enumerate(rows[:3]):
        row.subject = f"a/{i}"
        areas = {"deletion": 0.2 + 0.1 * i, "deletion_random": 0.5, "insertion": 0.6, "insertion_random": 0.5}
        row.extras["deletion"] = {"order": "evidence" if i else "motion"} | areas
    found = deletion_scores(rows)
    assert found is not None and found["clips"] == 3 and found["ranked_by_evidence"] == 2
    assert found["deletion"] == pytest.approx(0.3) and found["deletion_gain"] == pytest.approx(0.2)
    assert found["insertion_gain"] == pytest.approx(0.1) == pytest.approx(found["insertion_gain_low"])
    assert 0.09 < found["deletion_gain_low"] < 0.2 < found["deletion_gain_high"] < 0.31
    assert deletion_scores(rows[3:]) is None


def test_probes_of_a_run_read_its_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows, signal, noise = [], [], []
    for i in range(60):
        label = ("positive", "surprise")[i % 2]
        rows.append(
            Prediction(
                method="m",
                clip_id=f"c{i:02d}",
                corpus="a",
                subject=f"a/{i % 6}",
                label_space="megc3",
                truth=PredictionTruth(label=label, aus=[ActionUnit(number=12 if i % 2 == 0 else 1)]),
            )  # fmt: skip
        )
        signal.append([float(i % 2), 0.1 * rng.normal(), 0.0])
        noise.append(rng.normal(size=3))
    run, path = Run(tmp_path, rows), tmp_path / "features.npz"
    ids, people = np.array([r.clip_id for r in rows]), np.array([r.subject for r in rows])
    np.savez(path, clip_ids=ids, subjects=people, motion=np.array(signal), blind=np.array(noise))
    found = probe_run(run, path)
    assert found["motion"]["class"]["score"] > 0.95 and found["motion"]["aus"]["score"] > 0.95
    assert set(found["motion"]["aus"]["per_au"]) == {"1", "12"}
    assert found["blind"]["class"]["score"] < 0.75 and abs(found["blind"]["same_subject"] - 0.5) < 0.15
    np.savez(path, clip_ids=ids[1:], subjects=people[1:], motion=np.array(signal[1:]))
    with pytest.raises(DeftError, match="lacks 1 clips of .*first c00"):
        probe_run(run, path)
