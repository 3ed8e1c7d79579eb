"""What the language model and the experts' heads decide together: the class of a clip, the list of its units,
the phase of its movement, and whether a fold of the skin deepens.

The language model gives likelihoods, of the options of a question and of whole lists, the heads give beliefs.
Both are weighed, so that what is answered about one clip agrees, and no answer rests on one wording alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from torch import Tensor

from deft_llm.evaluation.questions import named_units
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import name
from deft_llm.model.beliefs import Beliefs
from deft_llm.model.heads import LEAST_CHANCE
from deft_llm.model.packing import RowCollator, Turn, answer_losses
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.records import COARSE

if TYPE_CHECKING:
    from deft_llm.model.deft import DeftModel

WRITTEN_SHARE = 0.3
"""Weight of the language model's likelihoods of classes beside the heads' beliefs. Of 0 to 1, those from .3
to .7 tell the classes of 220 flow-level maps best, refitted (docs/results/model.md)."""
CONSIDERED = 4
"""The likeliest units, of all of whose sets lists are made beside the one that is written. On 56 flow-level
maps and 30 films of validation subjects six, or sets of three at most, decide the same
(docs/results/model.md)."""
NONE = "none"
Label = TypeVar("Label", bound=Hashable)


def option_chances(
    model: DeftModel, prompt: Tensor, turns: Mapping[Label, Turn]
) -> dict[Label, dict[str, float]]:
    """Key -> option -> probability, from one forward pass over all options of all questions of a clip."""
    if not turns:
        return {}
    batch = RowCollator(model.tokenizer, model.packs)([len(prompt)], [list(turns.values())])
    losses = -answer_losses(model.llm, [prompt], batch)[0].double()
    found, start = {}, 0
    for key, turn in turns.items():
        chances = losses[start : start + len(turn.answers)].softmax(0)
        found[key] = dict(zip(turn.answers, chances.tolist(), strict=True))
        start += len(turn.answers)
    return found


@dataclass
class ClassTaken:
    """What a clip is taken for, and the probabilities of both kinds of classes."""

    fine: str
    coarse: str
    chances: dict[str, dict[str, float]]


def class_of(
    scored: Mapping[str, dict[str, float]], believed: Beliefs | None, clip: int
) -> ClassTaken | None:
    """Both questions weigh: the coarse class by its own likelihood times that of its fine labels, the fine
    label the likeliest in it, or one without a coarse class where that is likelier still. The likelihoods are
    the language model's and, where beliefs are told, the heads' (``WRITTEN_SHARE``)."""
    if "fine" not in scored:
        return None
    fine, coarse = scored["fine"], scored["coarse"]
    if believed is not None:
        fine = weighed(fine, dict(zip(FINE, believed.fine[clip].tolist())))
        coarse = weighed(coarse, dict(zip(COARSE, believed.coarse[clip].tolist())))
    share = {c: sum(p for f, p in fine.items() if coarse_of(f) == c) for c in coarse}
    both = {c: coarse[c] * share[c] for c in coarse} if any(share.values()) else coarse
    total = sum(both.values()) or 1.0
    best = max(both, key=lambda c: both[c])
    inside = [f for f in fine if coarse_of(f) in (best, None)] or list(fine)
    label = max(inside, key=lambda f: fine[f])
    shares = {c: p / total for c, p in both.items()}
    return ClassTaken(label, best, {"fine": fine, "coarse": shares})


def weighed(written: dict[str, float], believed: dict[str, float]) -> dict[str, float]:
    """The weighted geometric mean of what the language model and the heads give to the same labels, which
    sums to 1 (``WRITTEN_SHARE``)."""
    mean = {
        label: max(p, LEAST_CHANCE) ** WRITTEN_SHARE
        * max(believed[label], LEAST_CHANCE) ** (1 - WRITTEN_SHARE)
        for label, p in written.items()
    }  # fmt: skip
    total = sum(mean.values()) or 1.0
    return {label: p / total for label, p in mean.items()}


# -- lists of Action Units --------------------------------------------------------------------------------


def weighed_lists(
    model: DeftModel, prompt: Tensor, written: Mapping[str, str], chances: np.ndarray
) -> dict[str, tuple[str, float]]:
    """Question -> the list of units that answers it, and its share among the lists that were compared.

    ``written``: question -> the list that the language model writes; ``chances`` (A,): the heads' beliefs in
    each unit (order of ``EXPERT_AUS``). Compared are the written list, the same with one unit more or less,
    and all sets of the likeliest units: by the language model's likelihood of the list times that of its
    units by the beliefs.
    """
    likely = [int(place) for place in np.argsort(-chances)[:CONSIDERED]]
    own = {question: _places(text) for question, text in written.items()}
    options = {question: _options(likely, listed) for question, listed in own.items()}
    turns = {question: Turn(question, tuple(map(_text, some))) for question, some in options.items()}
    scored = option_chances(model, prompt, turns)
    found = {}
    for question, some in options.items():
        units = sorted({*likely, *own[question]})
        there = np.array([[place in listed for place in units] for listed in some])
        likelihood = _log(np.array([scored[question][_text(listed)] for listed in some]))
        believed = np.where(there, _log(chances[units]), _log(1.0 - chances[units])).sum(1)
        score = likelihood + believed
        best = int(score.argmax())
        found[question] = _text(some[best]), float(np.exp(score[best] - np.logaddexp.reduce(score)))
    return found


def _places(text: str) -> frozenset[int]:
    """Places in ``EXPERT_AUS`` of the units that a list names."""
    return frozenset(AU_INDEX[au] for au in named_units(text)[0])


def _options(likely: Sequence[int], own: frozenset[int]) -> list[frozenset[int]]:
    """The lists that are compared with ``own``, which is one of them, as places in ``EXPERT_AUS``."""
    some = [frozenset(few) for count in range(len(likely) + 1) for few in combinations(likely, count)]
    some += [own, *(own | {place} for place in likely), *(own - {place} for place in own)]
    return list(dict.fromkeys(some))


def _text(listed: frozenset[int]) -> str:
    return ", ".join(name(EXPERT_AUS[place]) for place in sorted(listed)) or NONE


def _log(chances: np.ndarray) -> np.ndarray:
    return np.log(np.clip(chances, LEAST_CHANCE, 1.0))
