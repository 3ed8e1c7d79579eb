"""Spotting by MEGC rules: IoU >= 0.5 on inclusive intervals, counts summed over the database as one long
video.

STRS = F1 of spotting x F1 of the analysis over spotting's true positives (MEGC2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Interval = Mapping[str, Any]


def interval_iou(first: Interval, second: Interval) -> float:
    """Intersection over union of two intervals; both ends belong to them, so [3, 3] has length 1."""
    overlap = min(first["offset"], second["offset"]) - max(first["onset"], second["onset"]) + 1
    if overlap <= 0:
        return 0.0
    union = max(first["offset"], second["offset"]) - min(first["onset"], second["onset"]) + 1
    return overlap / union


def match_intervals(
    predicted: Sequence[Interval], truth: Sequence[Interval], threshold: float = 0.5
) -> list[tuple[int, int]]:
    """Pairs (prediction, truth) of one video: predictions in time order take their best free truth."""
    free = set(range(len(truth)))
    pairs = []
    for p in sorted(range(len(predicted)), key=lambda i: (predicted[i]["onset"], predicted[i]["offset"])):
        best = max(free, key=lambda t: (interval_iou(predicted[p], truth[t]), -t), default=None)
        if best is not None and interval_iou(predicted[p], truth[best]) >= threshold:
            free.remove(best)
            pairs.append((p, best))
    return pairs


def spotting_scores(
    videos: Sequence[tuple[Sequence[Interval], Sequence[Interval], float | None]], threshold: float = 0.5
) -> dict[str, Any]:
    """Pooled precision, recall, F1 and false alarms a minute; videos: (predicted, truth, seconds or None)."""
    matched = [match_intervals(predicted, truth, threshold) for predicted, truth, _ in videos]
    hits = sum(map(len, matched))
    alarms = sum(len(predicted) for predicted, _, _ in videos) - hits
    misses = sum(len(truth) for _, truth, _ in videos) - hits
    seconds = [length for _, _, length in videos]
    minutes = sum(s for s in seconds if s is not None) / 60 if all(s is not None for s in seconds) else 0.0
    result: dict[str, Any] = {
        "tp": hits,
        "fp": alarms,
        "fn": misses,
        "precision": hits / (hits + alarms) if hits + alarms else 0.0,
        "recall": hits / (hits + misses) if hits + misses else 0.0,
        "f1": 2 * hits / (2 * hits + alarms + misses) if hits + alarms + misses else 0.0,
        "false_alarms_per_minute": alarms / minutes if minutes else None,
    }
    result["recognition"] = _recognition(videos, matched)
    analysis = result["recognition"]
    result["strs"] = None if analysis is None else result["f1"] * analysis["f1"]
    return result


def _recognition(
    videos: Sequence[Any], matched: Sequence[Sequence[tuple[int, int]]]
) -> dict[str, float] | None:
    """Class figures over true positives that carry labels; None ("unavailable") where there are none.

    ``f1`` is the harmonic mean of macro precision and macro recall, as the MEGC analysis code has it.
    """
    pairs = [
        (predicted[p].get("label"), truth[t]["label"])
        for (predicted, truth, _), found in zip(videos, matched)
        for p, t in found
        if truth[t].get("label") is not None
    ]
    if not pairs:
        return None
    classes = sorted({truth for _, truth in pairs})
    precisions, recalls, f1s = [], [], []
    for name in classes:
        tp = sum(p == name and t == name for p, t in pairs)
        answered, there = sum(p == name for p, _ in pairs), sum(t == name for _, t in pairs)
        precisions.append(tp / answered if answered else 0.0)
        recalls.append(tp / there)
        f1s.append(2 * tp / (answered + there))
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"f1": f1, "uf1": float(np.mean(f1s)), "uar": recall, "clips": len(pairs)}
