"""Questions that begin with a face that did something else: which regions are to be held still."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deft_llm.facs.regions import MIDLINE_REGIONS, PAIRED_REGIONS, REGION_NAMES
from deft_llm.facs.units import ENTRIES, MICRO_AUS, entry, name, number_of
from deft_llm.facs.words import listed

PLACES = {
    "brow": ("brow", "glabella", "forehead"), "forehead": ("forehead",), "eye": ("lid", "eye corner"),
    "lid": ("lid",), "nose": ("nose", "nostril"), "nostril": ("nostril",), "cheek": ("cheek",),
    "mouth": ("mouth", "lip"), "lip": ("lip", "mouth corner"), "chin": ("chin",), "jaw": ("chin",),
    "smile": ("mouth corner", "cheek"),
}  # fmt: skip
"""What people call a part of the face, and the parts of region names that it means."""

_ALIASES = {
    "mouth corner": r"|lip\s+corners?|corners?\s+of\s+the\s+(?:mouth|lips?)",
    "outer eye corner": r"|eye\s+corners?",
}
_SPELT = {
    one: re.sub(r"(brow|lid)$", r"(?:eye)?\1", one).replace(" ", r"\s+") + "s?" + _ALIASES.get(one, "")
    for one in REGION_NAMES
}
_PLACE = rf"(?:eye)?({'|'.join(PLACES)})(?:s|d|balls?)?"
_UNIT = "|".join(name(number).replace(" ", r"\s+") for number in MICRO_AUS)
_NUMBER = r"(?:aus?|action\s+units?)\s*-?\s*(\d{1,2}(?:(?:\s*(?:,|\+|/|&|and|or|nor)\s*)+(?:au\s*)?\d{1,2})*)"
_ONE = rf"(?:{_NUMBER}|({_UNIT})|({'|'.join(_SPELT.values())})|{_PLACE})\b"
_SUBJECT = re.compile(rf"\b{_ONE}")
_NEXT = re.compile(
    rf"\s*(?:(?:and|or|nor|the|his|her|both|left|right)\s+)*(?:\d|{_ONE}(?!\s+(?:would|is|are)\b))"
)
_PAIR = re.compile(
    r"\b(?:inner|outer|upper|lower)\s+(?:and|or|nor)\s+(?:the\s+)?(?:inner|outer|upper|lower)\b"
)

_OWNER = r"(?=\s+(?:the|his|her|their|my|its|both|left|right|au\s*\d|action\s+unit|there)\b)"
_LEAD = re.compile(
    rf"\b(?:what\s+if|suppos(?:e|ing)|assum(?:e|ing)|imagin(?:e|ing)|pretend(?:ing)?|if|had{_OWNER})\b"
)
_DO = re.compile(
    r"^(?:(?:please|now|and|then|but|so)\s+)*(?=(?:hold|keep)\b|freez|ignor|remov|exclud|disregard|"
    r"leav\w+\s+out\b|tak\w+\s+away\b)"
)
_END = re.compile(r"[,;:?!]|\.(?:\s|$)|\b(?:would(?!\s+not\b|n'?t\b)|could|then|what|which|how|does)\b")
_WHETHER = re.compile(r"\b(?:tell|know|say|see|check|sure|ask|show|wonder\w*|as)(?:\s+(?:me|us))?\s*$")
_NOT = re.compile(
    r"\b(?:not|no|never|neither|nor|nothing|without|absent|missing|gone|at\s+rest|motionless|still(?!\s+\w*mov)|"
    r"freez\w*|froze\w*|ignor\w*|remov\w*|exclud\w*|disregard\w*|lack\w*|le(?:ave|aving|ft)\s+out|"
    r"t(?:ake|aken|aking|ook)\s+(?:\w+\s+){0,3}away|disappear\w*|vanish\w*)\b|"
    r"\b(?:had|did|was|were|is|has|would|does)n'?t\b"
)
_DEGREE = re.compile(
    r"\b(?:so|as|too|that|this)\s+(?:much|far|strong\w*|hard|long|fast|high|wide)\b|\b(?:more|less)\s+than\b|"
    r"\bnot\s+(?:only|just)\b|\bhalf\b"
)
_TURN = re.compile(r"\b(?:but|while|whereas|though)\b|\band\s+(?=not\b)|(?=\bwithout\b)")
_OPEN = re.compile(
    r"\b(?:would|could|class|label|answer\w*|emotion|expression|say|change|same|left|remain\w*|decide\w*|"
    r"negative|positive|surprise)\b"
)


@dataclass(frozen=True)
class HeldStill:
    """What a question holds still: ``regions`` (names of ``facs.regions``, both sides of each), what the
    question calls them ("the brows"), and whether it named one side alone."""

    regions: tuple[str, ...]
    words: str
    one_side: bool = False


def held_still(question: str) -> HeldStill | None:
    """The regions that a question asks to think away ("What if the brow had not moved?"); None for others.

    It may name parts of the face, regions, Action Units by number or name, and several of them.
    """
    text = " ".join(question.lower().replace("\u2019", "'").split())
    if re.search(r"\b(?:why|how come)\b", text) or _DEGREE.search(text):
        return None
    for clause in _clauses(text):
        parts = [part for part in _TURN.split(clause) if _NOT.search(part)]
        if found := _held(" ".join(parts)):
            return found
    return None


def places_in(text: str) -> list[str]:
    """The words of ``PLACES`` in a lower-case text, in their order."""
    return [match.group(1) for match in re.finditer(rf"\b{_PLACE}\b", text)]


def _clauses(text: str) -> list[str]:
    """The parts of a question that say what is thought to be otherwise."""
    starts = []
    for lead in _LEAD.finditer(text):
        indirect = lead.group() == "if" and (
            _WHETHER.search(text[: lead.start()]) or re.match(r"\s+not\b", text[lead.end() :])
        )
        if not indirect:
            starts.append(lead.end())
    if order := _DO.match(text):
        starts.append(order.end())
    without = re.search(r"\bwithout\b", text)
    if without and (
        re.match(r"(?:(?:and|but|so|what about|how about) )?without\b", text) or _OPEN.search(text)
    ):
        starts.append(without.start())
    return [_clause(text[start:]) for start in starts]


def _clause(text: str) -> str:
    """A text up to where its main clause begins; a comma inside a list is no end."""
    for end in _END.finditer(text):
        if end.group() != "," or not _NEXT.match(text, end.end()):
            return text[: end.start()]
    return text


def _held(clause: str) -> HeldStill | None:
    found: set[str] = set()
    words: list[str] = []
    for match in _SUBJECT.finditer(_PAIR.sub("", clause)):
        numbers, unit, region, place = match.groups()
        if numbers or unit:
            for number in [int(digits) for digits in re.findall(r"\d+", numbers or "")] or [number_of(unit)]:
                moved = [part.region for part in entry(number).motion] if number in ENTRIES else []
                found.update(moved)
                following = bool(words) and " of AU" in words[0]
                words += [f"AU{number}" if following else f"the regions of AU{number}"] if moved else []
            continue
        meant = [one for one in REGION_NAMES if region and re.fullmatch(_SPELT[one], region)] or [
            one for one in REGION_NAMES if any(part in one for part in PLACES[place])
        ]
        found.update(meant)
        words.append(_called(place or meant[0]))
    if not found:
        return None
    sides = {side for side in ("left", "right") if re.search(rf"\b{side}\b", clause)}
    one_side = len(sides) == 1 and not found.isdisjoint(PAIRED_REGIONS)
    said = listed(list(dict.fromkeys(words)))
    return HeldStill(tuple(one for one in REGION_NAMES if one in found), said, one_side)


def _called(word: str) -> str:
    """A place or region in words: "the brows", "the mouth", "the inner brows"."""
    known = {"smile": "the mouth corners and cheeks", "jaw": "the chin"}
    single = word in ("nose", "mouth", *MIDLINE_REGIONS) or word in ("upper lip", "lower lip")
    return known.get(word, f"the {word}" if single else f"the {word}s")
