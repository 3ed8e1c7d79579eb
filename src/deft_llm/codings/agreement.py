"""Agreement of two codings of one video or of several, as FACS coders report it, per event and per frame.

Events match one to one per AU, side and phase, as many as can (maximum matching): at an interval IoU of at
least .5, and beside it by onsets at most .2 s apart. FACS agreement is 2 x agreed / (A + B) (Ekman, Friesen &
Hager 2002, Investigator's Guide). Cohen's kappa is over the frames of each clip and face; ICC(2,1) (Shrout &
Fleiss 1979: two-way random, absolute agreement, single rater) over intensity per frame, 0 to 5, where both
codings give intensities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_llm.codings.events import INTENSITIES, CodedEvent, Coding, is_rate, media_name
from deft_llm.errors import DeftError
from deft_llm.evaluation.agree import cohen_kappa, icc_2_1
from deft_llm.evaluation.spotting import interval_iou, most_pairs

MATCH_IOU = 0.5
MATCH_ONSET = 0.2  # s
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class _Pair:
    """One clip as two coded it: their events, its length in frames, and which events match (indices)."""

    clip: str
    a: list[CodedEvent]
    b: list[CodedEvent]
    length: int
    by_iou: list[tuple[int, int]]
    by_onset: list[tuple[int, int]]


def agreement_of(first: Coding, second: Coding, frames: int | None = None) -> dict[str, Any]:
    """All figures for one video; ``frames``: its length (default: to the last coded frame).

    Raises: DeftError where the two are of other videos or rates, or neither holds an event.
    """
    return agreement_over([(first, second, frames)])


def agreement_over(codings: Sequence[tuple[Coding, Coding, int | None]]) -> dict[str, Any]:
    """All figures for clips that two coded: events match within a clip, shares and frames are of all clips.

    Each clip: (first, second, frames). Raises: DeftError as ``agreement_of``.
    """
    pairs = [_pair(*one) for one in codings]
    counts = [sum(len(pair.a) for pair in pairs), sum(len(pair.b) for pair in pairs)]
    if not any(counts):
        raise DeftError("neither coding holds an event; there is nothing to compare.")
    rates = {first.fps for first, _, _ in codings}
    return {
        "clips": len(pairs),
        "events": {"first": counts[0], "second": counts[1]},
        "agreement": {
            "iou": _share(sum(len(pair.by_iou) for pair in pairs), counts),
            "onset": _share(sum(len(pair.by_onset) for pair in pairs), counts),
        },
        "units": {
            "times": "s", "match_iou": MATCH_IOU, "match_onset_s": MATCH_ONSET,
            "frames": sum(pair.length for pair in pairs), "fps": rates.pop() if len(rates) == 1 else None,
        },
        "per_au": _per_au(pairs),
        "differences": _differences([(p.a[i], p.b[j]) for p in pairs for i, j in p.by_onset]),
        "sides": _sides(pairs),
        "disagreements": [row for pair in pairs for row in _disagreements(pair)],
    }  # fmt: skip


def disagreements_of(first: Coding, second: Coding) -> list[dict[str, Any]]:
    """What only one of the two coded of a video, in order of time: the rows of a second round of coding.

    ``first`` and ``second`` may hold no event. Raises: DeftError where they are of other videos or rates.
    """
    return _disagreements(_pair(first, second, None))


def _pair(first: Coding, second: Coding, frames: int | None) -> _Pair:
    if first.media and second.media and media_name(first.media) != media_name(second.media):
        raise DeftError(
            f"the codings are of two videos, {media_name(first.media)} and {media_name(second.media)}; "
            "give two codings of one."
        )
    if not is_rate(first.fps, second.fps):
        raise DeftError(
            f"the codings have {first.fps:g} and {second.fps:g} frames per second; correct one of them, or "
            "give the video with --media."
        )
    a, b = (each_once(coding) for coding in (first, second))
    length = max([frames or 0, *(event.offset + 1 for event in [*a, *b])])
    return _Pair(first.media or second.media, a, b, length, matched(a, b, _iou), matched(a, b, _nearness))


def each_once(coding: Coding, where: object = None) -> list[CodedEvent]:
    """The coding's events without rejected ones; one that is there twice counts once.

    ``where`` names the coding in messages. Raises: DeftError for an event that is there twice with another
    intensity or apex: which of them holds is not known.
    """
    found: dict[tuple, CodedEvent] = {}
    for event in coding.events:
        if event.status == "rejected":
            continue
        key = (event.au, event.side, event.phase, event.face, event.onset, event.offset)
        earlier = found.setdefault(key, event)
        if (earlier.intensity, earlier.apex) != (event.intensity, event.apex):
            raise DeftError(
                f"{where or coding.coder or 'a coding'}: {event.name} from frame {event.onset} to "
                f"{event.offset} is there twice, with another intensity or apex; remove one of them."
            )
    return list(found.values())


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


def _share(matches: int, counts: Sequence[int]) -> float:
    return 2 * matches / sum(counts)


_Face = tuple[int, list[list[CodedEvent]]]
"""Length of a clip in frames, and what each of the two coded of one face in it."""


def _per_au(pairs: Sequence[_Pair]) -> dict[str, Any]:
    faces: list[_Face] = [
        (pair.length, [[e for e in events if e.face == face] for events in (pair.a, pair.b)])
        for pair in pairs
        for face in sorted({e.face for e in [*pair.a, *pair.b]} or {1})
    ]
    found = {}
    for au in sorted({event.au for pair in pairs for event in [*pair.a, *pair.b]}):
        own: list[_Face] = [
            (length, [[e for e in events if e.au == au] for events in both]) for length, both in faces
        ]
        counts = [sum(len(both[who]) for _, both in own) for who in (0, 1)]
        shown = [np.concatenate([presence(both[who], length) for length, both in own]) for who in (0, 1)]
        iou, onset = (
            sum(pair.a[i].au == au for pair in pairs for i, _ in getattr(pair, name))
            for name in ("by_iou", "by_onset")
        )
        found[str(au)] = {
            "first": counts[0], "second": counts[1],
            "agreement_iou": _share(iou, counts), "agreement_onset": _share(onset, counts),
            "kappa_frames": cohen_kappa(shown[0].tolist(), shown[1].tolist()),
            "icc_intensity": _icc_of(own),
        }  # fmt: skip
    return found


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


def _icc_of(own: Sequence[_Face]) -> float | None:
    raters = []
    for who in (0, 1):
        curves = [intensity(both[who], length) for length, both in own]
        if any(curve is None for curve in curves):
            return None
        raters.append(np.concatenate([curve for curve in curves if curve is not None]))
    return icc_2_1(np.stack(raters, 1))


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


def _sides(pairs: Sequence[_Pair]) -> dict[str, int]:
    """Events that match by onset, and those of the rest that would match but for their side: how many pairs,
    and how many of them agree on the side."""
    found = same = 0
    for pair in pairs:
        met = {i for i, _ in pair.by_onset}, {j for _, j in pair.by_onset}
        rest = [
            [e.model_copy(update={"side": "both"}) for index, e in enumerate(events) if index not in seen]
            for events, seen in ((pair.a, met[0]), (pair.b, met[1]))
        ]
        same += len(pair.by_onset)
        found += len(pair.by_onset) + len(matched(rest[0], rest[1], _nearness))
    return {"pairs": found, "same": same}


def _disagreements(pair: _Pair) -> list[dict[str, Any]]:
    """What only one of the two coded, in order of time."""
    met = {i for i, _ in pair.by_onset}, {j for _, j in pair.by_onset}
    rows = [
        {"clip": pair.clip, "time": event.onset_time, "onset": event.onset, "offset": event.offset,
         "au": event.au, "side": event.side, "phase": event.phase, "face": event.face, "coded_by": who}
        for who, events, seen in (("first", pair.a, met[0]), ("second", pair.b, met[1]))
        for index, event in enumerate(events) if index not in seen
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["time"], row["au"], row["side"], row["coded_by"]))
