"""AU and spotting scores: hand-computed cases and published counts."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.evaluation.spotting import interval_iou, match_intervals, spotting_scores
from deft_llm.evaluation.units import agreement, binary_f1, macro_f1, side_accuracy, unit_counts, unit_scores


def test_unit_scores_by_hand() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], bool)
    probability = np.array([[0.9, 0.6], [0.4, 0.1], [0.7, 0.2], [0.1, 0.1]])
    found = unit_scores(truth, probability, [4, 12])
    # AU4: TP 1, FP 1, FN 1, TN 1 -> binary .5, macro .5, AUROC 3 of 4 pairs in order.
    assert found["per_au"]["4"]["f1"] == pytest.approx(0.5)
    assert found["per_au"]["4"]["auroc"] == pytest.approx(0.75)
    assert found["mean_f1"] == pytest.approx(0.5), "AU12 has no truth and stays out of the mean"
    assert found["absent"] == {"12": 1} and found["per_au"]["12"]["auroc"] is None
    assert found["micro_f1"] == pytest.approx(2 / (2 + 2 + 1))


def test_macro_is_above_binary_for_rare_units() -> None:
    counts = np.array([[5, 10, 15, 970]])
    assert binary_f1(counts)[0] == pytest.approx(10 / 35)
    assert macro_f1(counts)[0] == pytest.approx((10 / 35 + 2 * 970 / (2 * 970 + 25)) / 2)


def test_counts_of_always_positive_give_the_published_kind_of_floor() -> None:
    truth = np.zeros((100, 1), bool)
    truth[:10] = True
    assert binary_f1(unit_counts(truth, np.ones_like(truth)))[0] == pytest.approx(20 / 110)


def test_sides_and_coder_agreement() -> None:
    rows = [({12: "left", 4: "both"}, {12: "left"}), ({14: "right"}, {14: "left"}), ({2: "left"}, {})]
    assert side_accuracy(rows) == {"one_sided": 3, "detected": 2, "right": 1, "accuracy": 0.5}
    assert agreement({4, 7}, {4, 9, 10}) == (2, 5)


def test_intervals_are_inclusive() -> None:
    assert interval_iou({"onset": 3, "offset": 3}, {"onset": 3, "offset": 3}) == 1.0
    assert interval_iou({"onset": 0, "offset": 9}, {"onset": 5, "offset": 14}) == pytest.approx(5 / 15)
    assert interval_iou({"onset": 0, "offset": 4}, {"onset": 5, "offset": 9}) == 0.0


def test_a_truth_is_matched_once() -> None:
    truth = [{"onset": 10, "offset": 19}]
    assert match_intervals([{"onset": 10, "offset": 19}, {"onset": 11, "offset": 20}], truth) == [(0, 0)]
    exactly_half = [{"onset": 10, "offset": 14}]
    assert match_intervals(exactly_half, truth) == [(0, 0)], "IoU of exactly one half counts"


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "published"),
    [(53, 184, 106, 0.268), (54, 158, 105, 0.291), (81, 912, 777, 0.088), (80, 830, 778, 0.091)],
)
def test_published_spotting_counts(tp: int, fp: int, fn: int, published: float) -> None:
    here = {"onset": 0, "offset": 9}
    videos = [([here], [here], None)] * tp + [([here], [], None)] * fp + [([], [here], None)] * fn
    found = spotting_scores(videos)
    assert (found["tp"], found["fp"], found["fn"]) == (tp, fp, fn)
    assert found["f1"] == pytest.approx(published, abs=6e-4)


def test_strs_is_over_spotted_expressions_only_and_unavailable_without() -> None:
    here = {"onset": 0, "offset": 9}
    right, wrong = {**here, "label": "negative"}, {**here, "label": "positive"}
    videos = [([right], [right], 30.0), ([wrong], [right], 30.0), ([right], [], 60.0)]
    found = spotting_scores(videos)
    assert found["f1"] == pytest.approx(0.8) and found["false_alarms_per_minute"] == pytest.approx(0.5)
    # Over the two hits: precision of negative 1/1, recall 1/2 -> harmonic mean 2/3.
    assert found["strs"] == pytest.approx(0.8 * 2 / 3)
    assert spotting_scores([([here], [], 60.0)])["strs"] is None
