"""Spotting: IoU >= 0.5 on inclusive intervals, counts summed over the database as one long video.

Two figures, both named: ``f1`` matches as many pairs as can be matched, over all videos; ``f1_megc`` takes
the organisers' greedy rule over the videos that hold a micro-expression. STRS = ``f1_megc`` x F1 of the
analysis over its true positives (MEGC2025), averaged over the class set: a class never spotted counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from deft_llm.records import Interval

THRESHOLD = 0.5
Pairs = list[tuple[int, int]]


class Video(NamedTuple):
    """What was spotted in a video, what is really in it, and its length in seconds where that is known."""

    predicted: Sequence[Interval]
    truth: Sequence[Interval]
    seconds: float | None = None


class Frames(Protocol):
    """First and last frame of something, both inclusive."""

    @property
    def onset(self) -> int: ...
    @property
    def offset(self) -> int: ...


def interval_iou(first: Frames, second: Frames) -> float:
    """Intersection over union of two intervals; both ends belong to them, so [3, 3] has length 1."""
    overlap = min(first.offset, second.offset) - max(first.onset, second.onset) + 1
    if overlap <= 0:
        return 0.0
    return overlap / (max(first.offset, second.offset) - min(first.onset, second.onset) + 1)


def match_maximum(
    predicted: Sequence[Interval], truth: Sequence[Interval], threshold: float = THRESHOLD
) -> Pairs:
    """The most pairs (prediction, truth) with IoU >= threshold; of equally many, those that overlap most."""
    if not predicted or not truth:
        return []
    iou = np.array([[interval_iou(p, t) for t in truth] for p in predicted])
    return most_pairs(iou, iou >= threshold)


def most_pairs(closeness: np.ndarray, allowed: np.ndarray) -> Pairs:
    """Maximum matching: the most pairs (row, column) that are ``allowed``, (N, M) bool; of equally many,
    those of the largest sum of ``closeness``, (N, M) in [0, 1]."""
    from scipy.optimize import linear_sum_assignment

    worth = np.where(allowed, 1 + closeness / (1 + min(closeness.shape)), 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(p), int(t)) for p, t in zip(rows, columns) if allowed[p, t]]


def match_greedy(
    predicted: Sequence[Interval], truth: Sequence[Interval], threshold: float = THRESHOLD
) -> Pairs:
    """The organisers' rule: predictions in time order, each takes the free truth that it overlaps most."""
    free = set(range(len(truth)))
    pairs = []
    for p in sorted(range(len(predicted)), key=lambda i: (predicted[i].onset, predicted[i].offset)):
        best = max(free, key=lambda t: (interval_iou(predicted[p], truth[t]), -t), default=None)
        if best is not None and interval_iou(predicted[p], truth[best]) >= threshold:
            free.remove(best)
            pairs.append((p, best))
    return pairs


def spotting_scores(videos: Sequence[Video], classes: Sequence[str]) -> dict[str, Any]:
    """Pooled precision, recall and F1 by both rules, false alarms a minute over all videos, and STRS.

    ``classes``: the class set that the analysis is averaged over. ``strs_hit_classes`` averages over the
    classes that were hit, as the code of MEAN and SFAMNet does; it is higher where a class was never spotted.
    """
    counts = match_counts(videos, match_maximum)
    result: dict[str, Any] = {**counts, **_rates(counts), "f1": f1_of(counts)}
    annotated = [video for video in videos if video.truth]
    organisers = match_counts(annotated, match_greedy)
    result["f1_megc"] = f1_of(organisers)
    result["megc"] = {**organisers, **_rates(organisers)}
    result["videos_with_truth"] = len(annotated)
    known = [video.seconds for video in videos if video.seconds is not None]
    minutes = sum(known) / 60 if len(known) == len(videos) else 0.0
    result["false_alarms_per_minute"] = counts["fp"] / minutes if minutes else None
    pairs = _labelled_pairs(annotated, classes)
    hit = sorted({truth for _, truth in pairs})
    result["recognition"] = _recognition(pairs, classes)
    by_hit = _recognition(pairs, hit)
    for name, cell in (("strs", result["recognition"]), ("strs_hit_classes", by_hit)):
        result[name] = None if cell is None else result["f1_megc"] * cell["f1"]
    return result


def match_counts(
    videos: Sequence[Video], match: Callable[[Sequence[Interval], Sequence[Interval]], Pairs] = match_maximum
) -> dict[str, int]:
    """TP, FP and FN summed over videos."""
    hits = sum(len(match(video.predicted, video.truth)) for video in videos)
    return {
        "tp": hits,
        "fp": sum(len(video.predicted) for video in videos) - hits,
        "fn": sum(len(video.truth) for video in videos) - hits,
    }


def f1_of(counts: dict[str, int]) -> float:
    """2 TP / (2 TP + FP + FN); 0 where nothing is there."""
    total = 2 * counts["tp"] + counts["fp"] + counts["fn"]
    return 2 * counts["tp"] / total if total else 0.0


def _rates(counts: dict[str, int]) -> dict[str, float]:
    answered, there = counts["tp"] + counts["fp"], counts["tp"] + counts["fn"]
    return {
        "precision": counts["tp"] / answered if answered else 0.0,
        "recall": counts["tp"] / there if there else 0.0,
    }


def _labelled_pairs(videos: Sequence[Video], classes: Sequence[str]) -> list[tuple[str | None, str]]:
    """(named class, true class) of the organisers' true positives whose truth is one of ``classes``."""
    pairs = []
    for video in videos:
        for p, t in match_greedy(video.predicted, video.truth):
            label = video.truth[t].label
            if label is not None and label in classes:
                pairs.append((video.predicted[p].label, label))
    return pairs


def _recognition(pairs: Sequence[tuple[str | None, str]], classes: Sequence[str]) -> dict[str, Any] | None:
    """Class figures over true positives; None ("unavailable") where there are none.

    ``f1`` is the harmonic mean of macro precision and macro recall, as the organisers have it; ``precision``
    is what their scorer prints as UAR.
    """
    if not pairs:
        return None
    hits = np.array([sum(p == name == t for p, t in pairs) for name in classes], float)
    answered = np.array([sum(p == name for p, _ in pairs) for name in classes], float)
    there = np.array([sum(t == name for _, t in pairs) for name in classes], float)
    precision = float((hits / np.maximum(answered, 1)).mean())
    recall = float((hits / np.maximum(there, 1)).mean())
    return {
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "uf1": float((2 * hits / np.maximum(answered + there, 1)).mean()),
        "uar": recall,
        "precision": precision,
        "clips": len(pairs),
        "classes": list(classes),
    }
