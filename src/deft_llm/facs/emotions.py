"""From Action Units to the labels that coders would give: soft EMFACS-style rules and objective classes.

The rules follow the EMFACS family (FACS Investigator's Guide) where it has one, and the coding practice of
CASME II and SAMM where a single AU is all there is. They predict a coder's label, never a felt emotion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from deft_llm.records import ActionUnit, Coarse

FINE = (
    "happiness", "surprise", "fear", "sadness", "anger", "disgust", "contempt", "repression", "tense",
    "others",
)  # fmt: skip
"""Fine labels that corpora use, in a fixed order."""

_SAME_AS = {
    "happy": "happiness", "happyiness": "happiness", "joy": "happiness", "surprised": "surprise",
    "suprise": "surprise", "fearful": "fear", "fear?": "fear", "sad": "sadness", "angry": "anger",
    "disgusted": "disgust", "comtempt": "contempt", "represion": "repression", "other": "others",
}  # fmt: skip
"""Other words of corpora for fine labels, and slips met in their tables, in lower case."""

_COARSE: dict[str, Coarse] = {
    "happiness": "positive",
    "surprise": "surprise",
    "fear": "negative",
    "sadness": "negative",
    "anger": "negative",
    "disgust": "negative",
    "contempt": "negative",
    "repression": "negative",
}


class _Rule(NamedTuple):
    """AUs that must all be there, AUs that weaken the rule, and the labels it points to."""

    needs: tuple[int, ...]
    without: tuple[int, ...]
    labels: dict[str, float]


_RULES = (
    _Rule((12,), (15,), {"happiness": 4.0}),
    _Rule((6, 12), (15,), {"happiness": 4.0}),
    _Rule((6,), (12,), {"happiness": 1.0, "others": 0.4, "sadness": 0.3}),
    _Rule((1, 2), (4, 20), {"surprise": 5.0, "fear": 0.3}),
    _Rule((1, 2, 5), (4,), {"surprise": 3.0}),
    _Rule((5,), (1, 2, 4), {"surprise": 1.6, "fear": 0.6, "anger": 0.3}),
    _Rule((2,), (1, 4), {"surprise": 1.5, "others": 0.6}),
    _Rule((1,), (2, 4), {"surprise": 1.0, "sadness": 1.0, "others": 0.3}),
    _Rule((25, 26), (12,), {"surprise": 1.0, "others": 0.3}),
    _Rule((25,), (12, 26), {"surprise": 0.5, "others": 0.5}),
    _Rule((27,), (), {"surprise": 2.0}),
    _Rule((1, 2, 4), (), {"fear": 4.0, "surprise": 0.8}),
    _Rule((1, 2, 4, 5), (), {"fear": 2.0}),
    _Rule((20,), (12,), {"fear": 3.5, "others": 0.3}),
    _Rule((1, 4), (2,), {"sadness": 3.0, "fear": 0.5}),
    _Rule((15,), (12,), {"sadness": 2.0, "repression": 1.4, "disgust": 0.3}),
    _Rule((1, 15), (), {"sadness": 3.0}),
    _Rule((6, 15), (), {"sadness": 2.0}),
    _Rule((11, 17), (), {"sadness": 2.0}),
    _Rule((15, 17), (), {"sadness": 1.0, "repression": 1.0}),
    _Rule((12, 15), (), {"repression": 3.0, "happiness": 0.8}),
    _Rule((17,), (4, 9, 10, 15), {"repression": 1.6, "sadness": 0.6, "others": 0.6, "anger": 0.3}),
    _Rule((4,), (1, 2, 5, 7, 9, 10, 23), {"disgust": 1.2, "others": 1.2, "anger": 1.0}),
    _Rule((4, 7), (5, 9, 10), {"disgust": 1.4, "anger": 1.6, "others": 1.2}),
    _Rule((4, 5), (1, 2), {"anger": 2.5}),
    _Rule((4, 5, 7), (1, 2), {"anger": 3.0}),
    _Rule((7,), (4, 6, 12), {"anger": 1.2, "disgust": 0.8, "others": 0.8}),
    _Rule((23,), (12,), {"anger": 2.0, "others": 0.5}),
    _Rule((4, 23), (), {"anger": 2.0}),
    _Rule((24,), (12,), {"anger": 1.2, "others": 1.0, "repression": 0.4}),
    _Rule((4, 24), (), {"anger": 1.5}),
    _Rule((17, 24), (), {"anger": 1.2}),
    _Rule((9,), (), {"disgust": 5.0}),
    _Rule((10,), (12,), {"disgust": 3.5, "others": 0.4}),
    _Rule((4, 10), (), {"disgust": 1.5}),
    _Rule((4, 9), (), {"disgust": 1.5}),
    _Rule((14,), (6, 12), {"contempt": 1.4, "others": 1.0, "happiness": 0.4}),
    _Rule((18,), (), {"others": 1.0}),
    _Rule((22,), (), {"others": 0.8, "surprise": 0.3}),
    _Rule((28,), (), {"others": 1.0}),
    _Rule((16,), (12,), {"disgust": 0.6, "others": 0.6}),
    _Rule((38,), (), {"others": 0.5, "anger": 0.5}),
    _Rule((43,), (45,), {"others": 0.5}),
)
_FLOOR = dict.fromkeys(FINE, 0.08) | {"others": 0.25, "tense": 0.03}


def fine_word(native: str) -> str | None:
    """The fine label (of ``FINE``) that a word means, None for coarse and unknown words."""
    word = native.strip().casefold()
    return word if word in FINE else _SAME_AS.get(word)


def coarse_of(fine: str | None) -> Coarse | None:
    """The coarse class of a fine label; None for others, tense and unknown labels."""
    return _COARSE.get(fine.strip().lower()) if fine else None


def usual_aus(fine: str, least: float = 1.0) -> tuple[int, ...]:
    """AUs that the rules expect of a fine label, from a weight of ``least`` on."""
    return tuple(sorted({au for rule in _RULES if rule.labels.get(fine, 0.0) >= least for au in rule.needs}))


def emotion_scores(
    au_probabilities: Mapping[int, float], sides: Mapping[int, str] | None = None
) -> dict[str, float]:
    """Probabilities of the fine labels from AU probabilities; they sum to 1.

    A rule's strength is the product of its AUs' probabilities, weakened by AUs that point to another rule.
    ``sides`` tells unilateral AU12 and AU14 (contempt) from bilateral ones. Without any AU the answer is
    flat with "others" ahead.
    """
    scores = dict(_FLOOR)
    for rule in _RULES:
        strength = 1.0
        for number in rule.needs:
            strength *= au_probabilities.get(number, 0.0)
        for number in rule.without:
            strength *= 1.0 - 0.85 * au_probabilities.get(number, 0.0)
        for label, weight in rule.labels.items():
            scores[label] += strength * weight
    for number, weight in ((12, 2.0), (14, 2.5)):
        if sides and sides.get(number) in ("left", "right"):
            shift = weight * au_probabilities.get(number, 0.0) * (1.0 - au_probabilities.get(6, 0.0))
            scores["contempt"] += shift
    total = sum(scores.values())
    return {label: score / total for label, score in scores.items()}


_OBJECTIVE: dict[str, tuple[tuple[int, ...], ...]] = {
    "I": ((6,), (12,), (6, 12), (6, 7, 12), (7, 12)),
    "II": ((1, 2), (5,), (25,), (1, 2, 25), (25, 26), (5, 24)),
    "III": ((23,), (4,), (4, 7), (4, 5), (4, 5, 7), (17, 24), (4, 6, 7), (4, 38)),
    "IV": (
        (10,), (9,), (4, 9), (4, 40), (4, 5, 40), (4, 7, 9), (4, 9, 17), (4, 7, 10), (4, 5, 7, 9), (7, 10),
    ),
    "V": ((1,), (15,), (1, 4), (6, 15), (15, 17)),
    "VI": ((1, 2, 4), (20,)),
}  # fmt: skip
_CLASS_OF = {frozenset(aus): label for label, sets in _OBJECTIVE.items() for aus in sets}


def objective_class(aus: Iterable[ActionUnit | int]) -> str:
    """The objective class "I".."VII" of a set of AUs (Davison et al. 2018); referred AUs don't count.

    Files deviate from the published list in places: where a corpus carries its own class, keep that one.
    """
    numbers = frozenset(
        unit if isinstance(unit, int) else unit.number
        for unit in aus
        if isinstance(unit, int) or not unit.referred
    )
    return _CLASS_OF.get(numbers, "VII")
