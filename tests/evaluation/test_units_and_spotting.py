"""AU and spotting scores: hand-computed cases and published counts."""

from __future__ import annotations

import numpy as np
import pytest

from deft_llm.evaluation.spotting import Video, interval_iou, match_greedy, match_maximum, spotting_scores
from deft_llm.evaluation.units import binary_f1, macro_f1, side_accuracy, unit_counts, unit_scores
from deft_llm.records import COARSE, Interval


def at(onset: int, offset: int, label: str | None = None) -> Interval:
    return Interval(onset=onset, offset=offset, label=label)


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


def test_sides() -> None:
    rows = [({12: "left", 4: "both"}, {12: "left"}), ({14: "right"}, {14: "left"}), ({2: "left"}, {})]
    assert side_accuracy(rows) == {"one_sided": 3, "detected": 2, "right": 1, "accuracy": 0.5}


def test_intervals_are_inclusive() -> None:
    assert interval_iou(at(3, 3), at(3, 3)) == 1.0
    assert interval_iou(at(0, 9), at(5, 14)) == pytest.approx(5 / 15)
    assert interval_iou(at(0, 4), at(5, 9)) == 0.0


@pytest.mark.parametrize("match", [match_greedy, match_maximum])
def test_a_truth_is_matched_once(match) -> None:
    truth = [at(10, 19)]
    assert match([at(10, 19), at(11, 20)], truth) == [(0, 0)]
    assert match([at(10, 14)], truth) == [(0, 0)], "IoU of exactly one half counts"
    assert match([at(10, 13)], truth) == [] == match([], truth) == match(truth, [])


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "published"),
    [(53, 184, 106, 0.268), (54, 158, 105, 0.291), (81, 912, 777, 0.088), (80, 830, 778, 0.091)],
)
def test_published_spotting_counts(tp: int, fp: int, fn: int, published: float) -> None:
    here = at(0, 9)
    videos = [Video([here], [here])] * tp + [Video([here], [])] * fp + [Video([], [here])] * fn
    found = spotting_scores(videos, COARSE)
    assert (found["tp"], found["fp"], found["fn"]) == (tp, fp, fn)
    assert found["f1"] == pytest.approx(published, abs=6e-4)


def test_the_published_baseline_of_megc2025_on_samm() -> None:
    """Two hits, one named right; their scorer prints macro precision as UAR."""
    hits = [Video([at(0, 9, "negative")], [at(0, 9, label)]) for label in ("negative", "positive")]
    misses = [Video([], [at(0, 9, "surprise")])] * 69
    alarms = [Video([at(20 * n, 20 * n + 9, "negative") for n in range(70)], [at(5000, 5009, "surprise")])]
    found = spotting_scores([*hits, *misses, *alarms], COARSE)
    printed = (
        found["f1_megc"],
        found["recognition"]["uf1"],
        found["recognition"]["precision"],
        found["strs"],
    )
    assert [round(value, 4) for value in printed] == [0.0278, 0.2222, 0.1667, 0.0062]


def test_strs_counts_a_class_that_was_never_spotted_as_zero() -> None:
    right, wrong = at(0, 9, "negative"), at(0, 9, "positive")
    videos = [Video([right], [right], 30.0), Video([wrong], [right], 30.0), Video([right], [], 60.0)]
    found = spotting_scores(videos, COARSE)
    assert found["f1"] == pytest.approx(0.8) and found["false_alarms_per_minute"] == pytest.approx(0.5)
    assert found["f1_megc"] == 1.0 and found["videos_with_truth"] == 2, "the organisers skip the empty video"
    # Over two hits: precision 1/3 (negative 1/1), recall (1/2)/3 -> harmonic mean 2/9; negative alone: 2/3.
    assert found["strs"] == pytest.approx(2 / 9)
    assert found["strs_hit_classes"] == pytest.approx(2 / 3)
    assert spotting_scores([Video([at(0, 9)], [], 60.0)], COARSE)["strs"] is None
