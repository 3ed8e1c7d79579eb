"""Agreement of two codings of one video, as FACS coders report it, per event and per frame.

Events match one to one per AU, side and phase, as many as can (maximum matching): at an interval IoU of at
least .5, and beside it by onsets at most .2 s apart. FACS agreement is 2 x agreed / (A + B) (Ekman, Friesen &
Hager 2002, Investigator's Guide). Cohen's kappa is over frames in which an AU is coded; ICC(2,1) (Shrout &
Fleiss 1979: two-way random, absolute agreement, single rater) over intensity per frame, 0 to 5, where both
codings give intensities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from deft_llm.codings.events import INTENSITIES, CodedEvent, Coding, media_name
from deft_llm.errors import DeftError
from deft_llm.evaluation.agree import cohen_kappa, icc_2_1
from deft_llm.evaluation.spotting import interval_iou, most_pairs

MATCH_IOU = 0.5
MATCH_ONSET = 0.2  # s
PERCENTILES = (5, 25, 50, 75, 95)


def agreement_of(first: Coding, second: Coding, frames: int | None = None) -> dict[str, Any]:
    """All figures; ``frames``: length of the video (default: to the last coded frame).

    Raises: DeftError where the two are of other videos or rates, or neither holds an event.
    """
    if first.media and second.media and media_name(first.media) != media_name(second.media):
        raise DeftError(
            f"the codings are of two videos, {media_name(first.media)} and {media_name(second.media)}; "
            "give two codings of one."
        )
    if abs(first.fps - second.fps) > 1e-3 * first.fps:
        raise DeftError(
            f"the codings have {first.fps:g} and {second.fps:g} frames per second; "
            "give the right one with --fps."
        )
    a, b = ([e for e in coding.events if e.status != "rejected"] for coding in (first, second))
    if not a and not b:
        raise DeftError("neither coding holds an event; there is nothing to compare.")
    length = max([frames or 0, *(event.offset + 1 for event in [*a, *b])])
    by_iou, by_onset = matched(a, b, _iou), matched(a, b, _nearness)
    return {
        "events": {"first": len(a), "second": len(b)},
        "agreement": {"iou": _share(by_iou, a, b), "onset": _share(by_onset, a, b)},
        "units": {"times": "s", "match_iou": MATCH_IOU, "match_onset_s": MATCH_ONSET, "frames": length,
                  "fps": first.fps},
        "per_au": _per_au(a, b, by_iou, by_onset, length),
        "differences": _differences([(a[i], b[j]) for i, j in by_onset]),
        "sides": _sides(a, b),
        "disagreements": _disagreements(a, b, by_onset),
    }  # fmt: skip


def _iou(a: CodedEvent, b: CodedEvent) -> float:
    """Intersection over union of the two intervals in frames, 0 where it is below the limit."""
    found = interval_iou(a, b)
    return found if found >= MATCH_IOU else 0.0


def _nearness(a: CodedEvent, b: CodedEvent) -> float:
    """1 for equal onsets, falling to a little above 0 at the limit, 0 beyond it."""
    gap = abs(a.onset_time - b.onset_time)
    return 1.0 - gap / (2 * MATCH_ONSET) if gap <= MATCH_ONSET + 1e-9 else 0.0


def matched(a: Sequence[CodedEvent], b: Sequence[CodedEvent], closeness: Any) -> list[tuple[int, int]]:
    """Pairs of indices, as many as can be, of those the closest; AU, side, phase and face are equal."""
    groups: dict[tuple, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, events in enumerate((a, b)):
        for index, e in enumerate(events):
            groups[e.au, e.side, e.phase, e.face][place].append(index)
    pairs = []
    for left, right in groups.values():
        if not left or not right:
            continue
        score = np.array([[closeness(a[i], b[j]) for j in right] for i in left])
        pairs += [(left[i], right[j]) for i, j in most_pairs(score, score > 0)]
    return sorted(pairs)


def _share(pairs: Sequence[Any], a: Sequence[Any], b: Sequence[Any]) -> float:
    return 2 * len(pairs) / (len(a) + len(b))


def _per_au(a: list[CodedEvent], b: list[CodedEvent], by_iou: list, by_onset: list, length: int) -> dict:
    table = {}
    for au in sorted({event.au for event in [*a, *b]}):
        own = [[event for event in events if event.au == au] for events in (a, b)]
        shown = [presence(events, length) for events in own]
        table[str(au)] = {
            "first": len(own[0]), "second": len(own[1]),
            "agreement_iou": _share([p for p in by_iou if a[p[0]].au == au], *own),
            "agreement_onset": _share([p for p in by_onset if a[p[0]].au == au], *own),
            "kappa_frames": cohen_kappa(shown[0].tolist(), shown[1].tolist()),
            "icc_intensity": _icc_of(own, length),
        }  # fmt: skip
    return table


def presence(events: Sequence[CodedEvent], length: int) -> np.ndarray:
    """(length,) bool: frames in which any of the events holds."""
    shown = np.zeros(length, bool)
    for event in events:
        if event.phase == "rise":
            shown[event.onset : event.offset + 1] = True
    return shown


def intensity(events: Sequence[CodedEvent], length: int) -> np.ndarray | None:
    """(length,) intensity per frame, 0 to 5 (A is 1); None where an event has none."""
    curve = np.zeros(length)
    for event in events:
        if event.phase != "rise":
            continue
        if event.intensity is None:
            return None
        part = curve[event.onset : event.offset + 1]
        np.maximum(part, INTENSITIES.index(event.intensity) + 1, out=part)
    return curve


def _icc_of(own: list[list[CodedEvent]], length: int) -> float | None:
    curves = [intensity(events, length) for events in own]
    if curves[0] is None or curves[1] is None:
        return None
    return icc_2_1(np.stack([curves[0], curves[1]], 1))


def _differences(pairs: Sequence[tuple[CodedEvent, CodedEvent]]) -> dict[str, Any]:
    """Second minus first, seconds, of events matched by onset: mean absolute difference and percentiles."""
    found: dict[str, Any] = {}
    for point in ("onset", "apex", "offset"):
        both = [(getattr(x, f"{point}_time"), getattr(y, f"{point}_time")) for x, y in pairs]
        gaps = np.array([y - x for x, y in both if x is not None and y is not None])
        found[point] = None if not len(gaps) else {
            "events": len(gaps), "mean_absolute": round(float(np.abs(gaps).mean()), 6),
            "percentiles": {str(p): round(float(np.percentile(gaps, p)), 6) for p in PERCENTILES},
        }  # fmt: skip
    return found


def _sides(a: list[CodedEvent], b: list[CodedEvent]) -> dict[str, int]:
    """Events that would match but for their side: how many, and how many of all such pairs agree on it."""
    whole = [[event.model_copy(update={"side": "both"}) for event in events] for events in (a, b)]
    pairs = matched(whole[0], whole[1], _nearness)
    return {"pairs": len(pairs), "same": sum(a[i].side == b[j].side for i, j in pairs)}


def _disagreements(a: list[CodedEvent], b: list[CodedEvent], pairs: list) -> list[dict[str, Any]]:
    """What only one of the two coded, in order of time: the rows of a second round of coding."""
    met = {i for i, _ in pairs}, {j for _, j in pairs}
    rows = [
        {"time": event.onset_time, "onset": event.onset, "offset": event.offset, "au": event.au,
         "side": event.side, "phase": event.phase, "face": event.face, "coded_by": who}
        for who, events, seen in (("first", a, met[0]), ("second", b, met[1]))
        for index, event in enumerate(events) if index not in seen
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["time"], row["au"], row["side"], row["coded_by"]))
