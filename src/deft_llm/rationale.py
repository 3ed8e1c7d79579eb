"""Rationales read back: movements with their Action Units and the label of coders, held against the class and
evidence of the same answer; and the grammar of those that say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from deft_llm.answer import LABELLED, NO_LABEL, NO_UNIT, Answer, Statement, render
from deft_llm.facs.units import ENTRIES, valid_directions, valid_sides
from deft_llm.facs.words import movement

_CLAIM = re.compile(r"(?:^|, | and )(?P<words>(?:(?!, which is).)+?), which is AU(?P<au>\d{1,2})")
_LABELLED = re.compile(LABELLED.removesuffix(".").format(label="(?P<label>[a-z]+)"))


class Claim(NamedTuple):
    """One statement of a rationale: an AU and where its skin moved, which way."""

    au: int
    side: str
    region: str
    direction: str


class Rationale(NamedTuple):
    """All that a rationale states; ``label`` is "" where it says that none is determined."""

    claims: tuple[Claim, ...]
    label: str


@lru_cache(maxsize=1)
def _wordings() -> dict[tuple[int, str], Claim]:
    found: dict[tuple[int, str], Claim] = {}
    for number, unit in ENTRIES.items():
        for region in dict.fromkeys(motion.region for motion in unit.motion):
            for direction in valid_directions(number, region):
                for side in valid_sides(number):
                    claim = Claim(number, side, region, direction)
                    for words in _wordings_of(movement(region, side, direction, None, None)):
                        found.setdefault((number, words), claim)
    return found


def _wordings_of(words: str) -> Iterator[str]:
    """A movement in its own words, and as people say it too: "the mouth corners" for "both mouth corners",
    "up and outward" of a region on the midline."""
    yield words
    yield re.sub("^both ", "the ", words)
    yield words.replace("sideways", "outward")


def read_rationale(text: str) -> Rationale | None:
    """What ``text`` states, or None where a sentence says something else."""
    sentences = [part.strip() for part in text.strip().rstrip(".").split(". ") if part.strip()]
    claims: list[Claim] = []
    label = None
    for sentence in sentences:
        if match := _LABELLED.fullmatch(sentence):
            label = match["label"]
        elif sentence == NO_LABEL:
            label = ""
        elif sentence != NO_UNIT:
            read = _claims(sentence)
            if read is None:
                return None
            claims += read
    return None if label is None else Rationale(tuple(claims), label)


def _claims(sentence: str) -> list[Claim] | None:
    lowered = sentence[:1].lower() + sentence[1:]
    found: list[Claim] = []
    end = 0
    for match in _CLAIM.finditer(lowered):
        known = _wordings().get((int(match["au"]), match["words"]))
        if match.start() != end or known is None:
            return None
        found.append(known)
        end = match.end()
    return found if end == len(lowered) and found else None


def agrees(answer: Answer) -> bool:
    """Whether class, evidence and rationale of an answer say the same: the label is the class, and the
    movements are those of the evidence, in any order (the last ones may be missing where there are many)."""
    read = read_rationale(answer.rationale)
    if read is None or read.label != (answer.fine or answer.coarse or ""):
        return False
    stated = [(item.au, _phrase(item)) for item in answer.evidence]
    said = [(claim.au, _phrase(claim)) for claim in read.claims]
    return (
        bool(said) == bool(stated)
        and set(said) <= set(stated)
        and (len(stated) > 4 or set(said) == set(stated))
    )


def agreeing_grammar(answer: Answer) -> str:
    """The Lark grammar of the texts with the class and evidence of ``answer`` whose rationale agrees with
    them: each movement of the evidence in one of its wordings, in sentences of one or several."""
    label = answer.fine or answer.coarse
    end = f". {LABELLED.format(label=label)}" if label else f". {NO_LABEL}."
    head = json.dumps(render(answer.model_copy(update={"rationale": "?"})).removesuffix("?"))
    parts = [f"move{place}" for place in range(len(answer.evidence))] or [json.dumps(NO_UNIT)]
    rules = [f"start: {head} {' '.join(parts)} {json.dumps(end)}"]
    for place, item in enumerate(answer.evidence):
        low = [f"{words}, which is AU{item.au}" for words in _wordings_of(_phrase(item))]
        high = [words[:1].upper() + words[1:] for words in low]
        later = [f"{link}{words}" for link in (", ", " and ") for words in low] + [f". {w}" for w in high]
        said = dict.fromkeys(later if place else high)
        rules.append(f"move{place}: {' | '.join(map(json.dumps, said))}")
    return "\n".join(rules) + "\n"


def _phrase(item: Claim | Statement) -> str:
    return movement(item.region, item.side, item.direction, None, None)
