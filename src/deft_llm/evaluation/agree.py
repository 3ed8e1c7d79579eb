"""Agreement of two codings of the same clips: labels, Action Units, their intensities and frames.

FACS agreement is 2 x agreed / (A + B) (Ekman, Friesen & Hager 2002, Investigator's Guide); kappa is Cohen's,
ICC is ICC(2,1) of Shrout & Fleiss 1979. A clip whose AUs one of the two does not say, or says unreadably, is
not compared on AUs: it never counts as "no AU"; nor is an AU of a clip in which one of the two left it open
("4/9", "13?").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from deft_llm.errors import DeftError

MARKS = ("onset", "apex", "offset")
PERCENTILES = (5, 25, 50, 75, 95)
INTENSITIES = "ABCDE"  # 1 to 5; an AU that is not shown is 0


@dataclass(frozen=True)
class Coding:
    """What one file says of one clip; None where it says nothing. ``left_open``: AUs that its coder left so,
    which are not compared; ``marks``: frames by name."""

    coarse: str | None = None
    fine: str | None = None
    aus: Mapping[int, CodedUnit] | None = None
    left_open: frozenset[int] = frozenset()
    marks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CodedUnit:
    """Side and intensity (A to E, or None) of one AU."""

    side: str = "both"
    intensity: str | None = None


@dataclass
class Codings:
    """One file's codings by clip, what in it could not be read or contradicts itself, and how the rest was
    read where another spelling would be plainer (``notes``). ``names``: of clips as the file writes them.
    """

    name: str
    clips: dict[str, Coding]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)


def cohen_kappa(first: Sequence[Any], second: Sequence[Any]) -> float | None:
    """Cohen's kappa of two raters; None where chance agreement is already complete."""
    from sklearn.metrics import cohen_kappa_score

    labels = sorted({*first, *second}, key=str)
    if len(labels) < 2:
        return None
    index = {label: place for place, label in enumerate(labels)}
    return float(cohen_kappa_score([index[v] for v in first], [index[v] for v in second]))


def icc_2_1(ratings: np.ndarray) -> float | None:
    """ICC(2,1) of ratings (targets, raters): two-way random effects, absolute agreement, a single rater.

    None with fewer than two targets, or where nothing varies.
    """
    targets, raters = ratings.shape
    if targets < 2:
        return None
    mean, rows, columns = ratings.mean(), ratings.mean(1), ratings.mean(0)
    between = raters * ((rows - mean) ** 2).sum() / (targets - 1)
    among = targets * ((columns - mean) ** 2).sum() / (raters - 1)
    rest = ratings - rows[:, None] - columns + mean
    error = (rest**2).sum() / ((targets - 1) * (raters - 1))
    below = between + (raters - 1) * error + raters * (among - error) / targets
    return float((between - error) / below) if below > 0 else None


def agree(first: Codings, second: Codings) -> dict[str, Any]:
    """Agreement on the clips that both know. Raises: DeftError where they share none."""
    shared = sorted(set(first.clips) & set(second.clips))
    problems = [*first.problems, *second.problems]
    if not shared:
        told = f" ({problems[0]})" if problems else ""
        raise DeftError(
            f"{first.name} and {second.name} share no clip; check corpus, subject and file names{told}."
        )
    result: dict[str, Any] = {
        "clips": len(shared),
        "only_first": len(first.clips) - len(shared),
        "only_second": len(second.clips) - len(shared),
        "problems": problems,
        "notes": [*first.notes, *second.notes],
    }
    pairs = {clip: (first.clips[clip], second.clips[clip]) for clip in shared}
    for name in ("coarse", "fine"):
        said = [(getattr(a, name), getattr(b, name)) for a, b in pairs.values()]
        known = [(a, b) for a, b in said if a is not None and b is not None]
        if known:
            result[name] = {
                "clips": len(known),
                "same": float(np.mean([a == b for a, b in known])),
                "kappa": cohen_kappa(*zip(*known)),
            }
    coded = [compared for a, b in pairs.values() if (compared := _compared(a, b)) is not None]
    if coded:
        result["aus"] = _units(coded)
    marks = {name: _differences(pairs.values(), name) for name in MARKS}
    result |= {"frames": {name: cell for name, cell in marks.items() if cell}} if any(marks.values()) else {}
    names = {**second.names, **first.names}
    result["disagreements"] = [
        row for clip, (a, b) in pairs.items() if (row := _disagreement(names.get(clip, clip), a, b))
    ]
    return result


Units = Mapping[int, CodedUnit]


class Compared(NamedTuple):
    """The AUs that two coders saw in a clip, without those that one of them left open."""

    first: Units
    second: Units
    left_open: frozenset[int]


def _compared(a: Coding, b: Coding) -> Compared | None:
    """None where one of the two does not say the clip's AUs."""
    if a.aus is None or b.aus is None:
        return None
    left = a.left_open | b.left_open
    first, second = ({au: one for au, one in units.items() if au not in left} for units in (a.aus, b.aus))
    return Compared(first, second, left)


def facs_agreement(first: Collection[int], second: Collection[int]) -> tuple[int, int]:
    """(2 x shared AUs, AUs of both) of a clip; the ratio of their sums is the index."""
    return 2 * len(set(first) & set(second)), len(first) + len(second)


def _units(pairs: Sequence[Compared]) -> dict[str, Any]:
    sums = np.array([facs_agreement(a, b) for a, b, _ in pairs]).sum(0)
    numbers = sorted({au for a, b, _ in pairs for au in (*a, *b)})
    both = [(a[au].side, b[au].side) for a, b, _ in pairs for au in a.keys() & b.keys()]
    return {
        "clips": len(pairs),
        "agreement": float(sums[0] / sums[1]) if sums[1] else None,
        "same_side": float(np.mean([x == y for x, y in both])) if both else None,
        "per_au": {str(au): _unit(au, [(a, b) for a, b, left in pairs if au not in left]) for au in numbers},
    }


def _unit(au: int, pairs: Sequence[tuple[Units, Units]]) -> dict[str, Any]:
    shown = [(au in a, au in b) for a, b in pairs]
    first, second = (sum(side) for side in zip(*shown))
    both = sum(a and b for a, b in shown)
    return {
        "first": first,
        "second": second,
        "both": both,
        "agreement": 2 * both / (first + second),
        "kappa": cohen_kappa(*zip(*shown)),
        "icc": _icc(au, pairs),
    }


def _icc(au: int, pairs: Sequence[tuple[Units, Units]]) -> float | None:
    """ICC(2,1) of an AU's intensity, 0 to 5, over the clips; None unless both grade it where they see it."""
    graded = [units[au].intensity for pair in pairs for units in pair if au in units]
    if any(grade is None for grade in graded):
        return None
    grade: Callable[[Units], int] = lambda units: (  # noqa: E731
        INTENSITIES.index(units[au].intensity or "") + 1 if au in units else 0
    )
    return icc_2_1(np.array([[grade(a), grade(b)] for a, b in pairs], float))


def _differences(pairs: Any, name: str) -> dict[str, Any] | None:
    """second - first in frames: percentiles, and how large they are on average."""
    found = [b.marks[name] - a.marks[name] for a, b in pairs if name in a.marks and name in b.marks]
    if not found:
        return None
    values = np.array(found, float)
    percentiles = {f"p{p}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES))}
    return {"clips": len(found), "mean_absolute": float(np.abs(values).mean()), **percentiles}


def _disagreement(clip: str, a: Coding, b: Coding) -> dict[str, Any] | None:
    """What the two say differently of a clip; None where nothing."""
    row: dict[str, Any] = {}
    for name in ("coarse", "fine"):
        one, two = getattr(a, name), getattr(b, name)
        if one is not None and two is not None and one != two:
            row[name] = [one, two]
    compared = _compared(a, b)
    if compared is not None and compared.first.keys() != compared.second.keys():
        row["aus_first_only"] = sorted(compared.first.keys() - compared.second.keys())
        row["aus_second_only"] = sorted(compared.second.keys() - compared.first.keys())
    return {"clip": clip, **row} if row else None
