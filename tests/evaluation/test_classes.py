"""Class metrics: hand-computed cases and published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_llm.evaluation.bootstrap import interval, paired_test
from deft_llm.evaluation.calibration import class_calibration, expected_calibration_error
from deft_llm.evaluation.classes import class_scores, confusion, summary

CLASSES = ("negative", "positive", "surprise")


def test_hand_computed_case() -> None:
    truth = ["negative"] * 4 + ["positive"] * 2 + ["surprise"] * 2
    answer = ["negative", "negative", "negative", "positive", "positive", "negative", "surprise", None]
    found = class_scores(truth, answer, CLASSES)
    # negative: TP 3, FP 1, FN 1 -> .75; positive: TP 1, FP 1, FN 1 -> .5; surprise: TP 1, FP 0, FN 1 -> 2/3.
    assert found["uf1"] == pytest.approx((0.75 + 0.5 + 2 / 3) / 3)
    assert found["uar"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert found["acc"] == pytest.approx(5 / 8)
    assert found["wf1"] == pytest.approx((4 * 0.75 + 2 * 0.5 + 2 * 2 / 3) / 8)


def test_always_negative_on_the_megc2019_composite() -> None:
    truth = ["negative"] * 250 + ["positive"] * 109 + ["surprise"] * 83
    found = class_scores(truth, ["negative"] * 442, CLASSES)
    assert round(found["uf1"], 3) == 0.241 and round(found["uar"], 3) == 0.333


def test_a_class_that_never_occurs_counts_as_zero() -> None:
    found = class_scores(["negative", "positive"], ["negative", "positive"], CLASSES)
    assert found["uf1"] == pytest.approx(2 / 3) and found["acc"] == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=60))
def test_agrees_with_scikit_learn(rows: list[tuple[str, str]]) -> None:
    from sklearn.metrics import f1_score, recall_score

    truth, answer = map(list, zip(*rows))
    found = class_scores(truth, answer, CLASSES)
    expected = f1_score(truth, answer, labels=CLASSES, average="macro", zero_division=0)
    assert found["uf1"] == pytest.approx(expected)
    assert found["uar"] == pytest.approx(
        recall_score(truth, answer, labels=CLASSES, average="macro", zero_division=0)
    )
    assert found["wf1"] == pytest.approx(
        f1_score(truth, answer, labels=CLASSES, average="weighted", zero_division=0)
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="2 truths but 1"):
        confusion(["negative", "negative"], ["negative"], CLASSES)
    with pytest.raises(ValueError, match="'others' is not among"):
        confusion(["others"], ["negative"], CLASSES)


def _tables(rng: np.random.Generator, subjects: int, hit: float) -> np.ndarray:
    tables = []
    for _ in range(subjects):
        truth = rng.integers(0, 3, 6)
        answer = np.where(rng.random(6) < hit, truth, rng.integers(0, 3, 6))
        tables.append(confusion([CLASSES[i] for i in truth], [CLASSES[i] for i in answer], CLASSES))
    return np.stack(tables)


def test_interval_over_subjects_holds_the_point_and_narrows_with_subjects() -> None:
    def uf1(tables: np.ndarray) -> np.ndarray:
        return summary(tables)["uf1"]

    rng = np.random.default_rng(0)
    few, many = _tables(rng, 10, 0.7), _tables(rng, 200, 0.7)
    widths = []
    for tables in (few, many):
        low, high = interval(tables, uf1)
        assert low <= uf1(tables.sum(0)[None])[0] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    perfect = _tables(rng, 12, 1.0)
    assert interval(perfect, uf1) == (1.0, 1.0)


def test_paired_test_tells_equal_from_better() -> None:
    rng = np.random.default_rng(1)
    weak, strong = _tables(rng, 60, 0.3), _tables(rng, 60, 0.9)
    same = paired_test(weak, weak, lambda t: summary(t)["uf1"])
    assert same["difference"] == 0 and same["p"] == 1.0 and same["low"] <= 0 <= same["high"]
    better = paired_test(weak, strong, lambda t: summary(t)["uf1"])
    assert better["difference"] > 0.2 and better["p"] < 0.01 and better["low"] > 0
    with pytest.raises(ValueError, match="differ in shape"):
        paired_test(weak, strong[:5], lambda t: summary(t)["uf1"])


def test_calibration_of_a_hand_computed_case() -> None:
    found = expected_calibration_error(np.array([0.95, 0.95, 0.55, 0.55]), np.array([1, 1, 1, 0], bool))
    assert found["ece"] == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    rows = [{"a": 0.8, "b": 0.2}, {"a": 0.4, "b": 0.6}]
    whole = class_calibration(rows, ["a", "b"], ["a", "a"])
    assert whole is not None and whole["brier"] == pytest.approx(((0.04 + 0.04) + (0.36 + 0.36)) / 2)
    assert class_calibration([{}], ["a"], ["a"]) is None
