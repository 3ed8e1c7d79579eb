"""Answers in words, each rendered from the facts of a clip and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deft_llm.answer import LABELLED, MAX_EVIDENCE, NO_LABEL, NO_UNIT, Answer, render
from deft_llm.facs.units import entry, name, octant
from deft_llm.facs.words import MOVES, listed, movement, noun, noun_of_both, pick, sentence
from deft_llm.records import Evidence
from deft_llm.unimer.facts import ClipFacts, RegionFact

CORPUS_NAMES = {
    "casme": "CASME",
    "casme2": "CASME II",
    "casme_sq2": "CAS(ME)^2",
    "casme3": "CAS(ME)^3",
    "samm": "SAMM",
    "samm_lv": "SAMM Long Videos",
    "smic": "SMIC",
    "mmew": "MMEW",
    "dfme": "DFME",
    "fourdme": "4DME",
    "synthetic": "the synthetic corpus",
}
MAX_RATIONALE = 400
MOST_REGIONS = 3
"""So many regions that could not be measured are named."""
SIDE_PHRASES = {
    "both": "on both sides",
    "left": "on the left",
    "right": "on the right",
    "asymmetric": "on both sides, more on one",
}


def coders(facts: ClipFacts) -> str:
    """Whose convention a label is."""
    if not facts.figures:
        return "coders"
    return f"the coders of {CORPUS_NAMES.get(facts.corpus, facts.corpus)}"


def au_name(number: int | None) -> str:
    """ "AU12 (lip corner puller)"."""
    return f"AU{number} ({name(number or 0)})"


def class_sentence(facts: ClipFacts, word: str, rng: np.random.Generator) -> str:
    """A sentence that gives one label and whose it is."""
    who = coders(facts)
    options = (
        f"{who} labelled this clip as {word}",
        f"the label that {who} gave is {word}",
        f"{who} gave this clip the label {word}",
        f"the clip was labelled {word} by {who}",
    )
    return sentence(pick(options, rng)[1])


def evidence_sentence(row: Evidence) -> str:
    """Where and how far one supported AU moves the skin, with its name."""
    moved = movement(row.region, row.side, row.direction, row.px, row.iod_percent)
    return f"{moved}, which is {au_name(row.au)}"


def rejected_sentence(facts: ClipFacts) -> str:
    """Labels that the flow does not show, said openly; empty where there are none."""
    names = [au_name(row.au) for row in facts.rejected]
    if not names or not facts.figures:
        return ""
    return sentence(f"{coders(facts)} also marked {listed(names)}, which the flow does not show")


def aus_answer(facts: ClipFacts) -> str:
    """Every supported AU with its side; then what was labelled but is not to be seen."""
    shown = [
        f"{au_name(row.au)}{_side_phrase(row)}"
        for row in sorted(facts.supported, key=lambda row: row.au or 0)
    ]
    first = sentence(listed(shown)) if shown else "No Action Unit can be measured in this clip."
    return " ".join(filter(None, (first, rejected_sentence(facts))))


def _side_phrase(row: Evidence) -> str:
    if row.part:
        return f", {row.part} lip"
    if entry(row.au or 0).scoring != "sides":
        return ""
    return " " + SIDE_PHRASES[row.side]


def yes_no_answer(facts: ClipFacts, au: int, rng: np.random.Generator) -> str:
    """Yes with the movement, or no with what the AU's region does instead."""
    row = next((row for row in facts.supported if row.au == au), None)
    if row is not None:
        return "Yes. " + sentence(evidence_sentence(row))
    return "No. " + sentence(absence(facts, au, rng))


def absence(facts: ClipFacts, au: int, rng: np.random.Generator) -> str:
    """What the region of an AU does where the AU is not seen."""
    region = entry(au).motion[0].region
    rows = [row for row in facts.regions if row.name == region]
    where, plural = noun_of_both(region)
    if rows and all(row.moves is False for row in rows):
        return pick(
            (f"{where} {'stay' if plural else 'stays'} still", f"the flow shows no motion of {where}"), rng
        )[1]
    return f"{where} {'do' if plural else 'does'} not move as this unit moves the skin"


def side_answer(facts: ClipFacts, au: int, rng: np.random.Generator) -> str:
    """On which side an AU is seen, or on neither."""
    row = next((row for row in facts.supported if row.au == au), None)
    if row is None:
        return "On neither side. " + sentence(absence(facts, au, rng))
    start = {
        "both": "On both sides",
        "left": "On the left",
        "right": "On the right",
        "asymmetric": "On both sides, more on one",
    }[row.side]
    return f"{start}. " + sentence(evidence_sentence(row))


def region_answer(fact: RegionFact, rng: np.random.Generator) -> str:
    """Which way a region moves and how far, or that it is still."""
    if not fact.moves:
        subject = noun(fact.name, fact.side)[0]
        options = (
            f"{subject} stays still",
            "nothing moves there beyond the noise of the measurement",
            f"{subject} does not move measurably",
        )
        return sentence(pick(options, rng)[1])
    return sentence(movement(fact.name, fact.side, fact.direction, fact.px, fact.iod_percent))


PHASE_WORDS = {"onset-apex": "from onset to apex", "apex-offset": "from apex to offset"}


def phase_answer(fact: RegionFact, rng: np.random.Generator) -> str:
    """The phase that moves a region more."""
    subject = noun(fact.name, fact.side)[0]
    when = PHASE_WORDS[fact.phase or "onset-apex"]
    return sentence(pick((f"{subject} moves more {when}", f"the larger motion lies {when}", when), rng)[1])


def release_answer(au: int, outcome: str, rng: np.random.Generator) -> str:
    """Whether an AU that acts is let go of after the apex."""
    said = {
        "held": (f"{au_name(au)} is held: most of it is still there at the end",
                 f"it is held to the end of the clip, most of {au_name(au)} is still there"),
        "released": (f"{au_name(au)} is released: the skin moves back after the apex",
                     f"it is released after the apex, and the skin that {au_name(au)} moved goes back"),
    }  # fmt: skip
    return sentence(pick(said[outcome], rng)[1])


def not_seen_answer(facts: ClipFacts) -> str:
    """What the clip's measurement leaves open, each with its reason."""
    open_points = []
    if facts.units == "relative":
        open_points.append("the size of the motion, for this map has no scale")
    if "apex" not in facts.media:
        open_points.append("wrinkles and the state of the face before it moves, for there are no pictures")
    if facts.phases < 2:
        open_points.append("what follows the apex, for the clip ends there")
    if facts.unjudged:
        many = len(facts.unjudged) > MOST_REGIONS
        where = "much of the face" if many else listed(facts.unjudged)
        open_points.append(f"the motion of {where}, which could not be measured")
    if facts.labels is None:
        open_points.append("which Action Units coders would mark, for nobody coded them here")
    first = sentence(f"what cannot be judged: {'; '.join(open_points)}") if open_points else (
        "All regions could be measured in both phases."
    )  # fmt: skip
    rest = "What a person feels, thinks or intends is never shown by movement."
    return " ".join(filter(None, (first, rejected_sentence(facts), rest)))


def moving_regions(facts: ClipFacts, most: int = 3) -> list[RegionFact]:
    """The regions that move most against their noise."""
    moving = [row for row in facts.regions if row.moves]
    return sorted(moving, key=lambda row: -row.z)[:most]


def description(facts: ClipFacts) -> str:
    """The movement in words: supported evidence, or the moving regions where no AU is known."""
    parts = [evidence_sentence(row) for row in facts.supported]
    if not parts:
        parts = [movement(r.name, r.side, r.direction, r.px, r.iod_percent) for r in moving_regions(facts)]
    if not parts:
        return "The face stays still as far as the flow can tell."
    said = [sentence(part) for part in parts]
    rises = {facts.rises.get(row.au or 0) for row in facts.supported} - {None}
    if rises == {"released"}:
        said.append("It falls back after the apex.")
    elif rises == {"held"}:
        said.append("It is held after the apex.")
    return " ".join(said)


def why_answer(facts: ClipFacts) -> str:
    """What in the motion goes with a label: the supported AUs; or that none of them can be measured."""
    if facts.supported:
        return description(facts)
    seen = moving_regions(facts, 1)
    moved = [movement(r.name, r.side, r.direction, r.px, r.iod_percent) for r in seen]
    said = ["No Action Unit that coders marked can be measured in the flow."] if facts.labels else []
    return " ".join([*said, *(sentence(text) for text in moved)]) or "Nothing moves measurably."


def rationale(facts: ClipFacts) -> str:
    """How the evidence goes with the label, one or two sentences of plain ASCII, at most 400 characters."""
    label = facts.fine or facts.coarse
    none = "no labelled Action Unit can be measured in the flow" if facts.figures else NO_UNIT
    if not facts.figures:
        tail = LABELLED.format(label=label).rstrip(".") if label else NO_LABEL
    elif label:
        tail = f"{coders(facts)} label this movement as {label}"
    else:
        tail = f"{coders(facts)} give no label that this movement determines"
    rows = list(facts.supported)
    while True:
        parts = [_reason(row, facts.figures) for row in rows]
        text = f"{sentence(listed(parts) or none)} {sentence(tail)}"
        if len(text) <= MAX_RATIONALE or not rows:
            return text[:MAX_RATIONALE]
        rows.pop()


def _reason(row: Evidence, named: bool) -> str:
    """Where one supported AU moves the skin, with its number and, if ``named``, its name."""
    moved = movement(row.region, row.side, row.direction, None, None)
    return f"{moved}, which is {au_name(row.au) if named else f'AU{row.au}'}"


def full_answer(facts: ClipFacts) -> Answer:
    """The (C, E, R) answer of the ``MAX_EVIDENCE`` best supported AUs, which its rationale keeps to; figures
    are rounded as the text shows them, so that it parses back to itself."""
    evidence = sorted(facts.supported, key=lambda row: -row.support)[:MAX_EVIDENCE]
    stated = facts.model_copy(update={"evidence": [row for row in facts.supported if row in evidence]})
    rounded = [
        row.model_copy(
            update={key: _tenth(getattr(row, key)) for key in ("px", "iod_percent")} | {"z": _z(row)}
        )
        for row in evidence
    ]
    return Answer.of(facts.fine, facts.coarse, rounded, rationale(stated))


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _z(row: Evidence) -> float | None:
    """z is said only where no px are known."""
    return None if row.px is not None or row.z is None else round(row.z, 1)


def full_text(facts: ClipFacts) -> str:
    """The full answer's text."""
    return render(full_answer(facts), figures=facts.figures)


def contrast_answer(facts: ClipFacts, seen: int, other: int) -> str:
    """Why one of two look-alikes fits the motion, with the movement that each would make."""
    row = next(row for row in facts.supported if row.au == seen)
    does, does_other = differences(seen, other)
    moved = movement(row.region, row.side, row.direction, row.px, row.iod_percent)
    return (
        f"{au_name(seen)}. {sentence(moved)} "
        f"{sentence(f'{au_name(seen)} {does}, whereas {au_name(other)} {does_other}')}"
    )


def differences(first: int, second: int) -> tuple[str, str]:
    """What each of two AUs does to the skin and the other does not, according to FACS: the heaviest such
    motion, or the heaviest of all where their words are the same."""
    words = {au: _motions(au) for au in (first, second)}
    own = lambda au, other: next((w for w in words[au] if w not in words[other]), words[au][0])  # noqa: E731
    return own(first, second), own(second, first)


def _motions(au: int) -> list[str]:
    """What an AU does to the skin, its heaviest part first: "moves the outer brow up"."""
    code = entry(au)
    parts = sorted(code.motion, key=lambda motion: -motion.weight)
    if code.pattern == "converging":
        return [f"draws the skin together around the {part.region}" for part in parts]
    if code.pattern == "diverging":
        return [f"moves the skin apart at the {part.region}" for part in parts]
    return [f"moves the {part.region} {MOVES[octant(part.medial, part.up)]}" for part in parts]


def blink_answer(facts: ClipFacts, blink: bool) -> str:
    """Whether the clip is more than a blink: a blink closes both upper lids and leaves brows and mouth."""
    others = [row for row in facts.supported if row.au not in (43, 45)]
    if others:
        return "It is no mere blink. " + sentence(
            f"{evidence_sentence(others[0])}; a blink only closes the lids"
        )
    if blink:
        return "It may be a mere blink. The upper lids close and nothing else can be measured."
    return "It is no blink. The upper lids do not close measurably, and no labelled movement can be measured."


def known(facts: ClipFacts) -> str:
    """What can be said instead of an impossible answer: movement only."""
    rows: Sequence[str] = [
        movement(r.name, r.side, r.direction, r.px, r.iod_percent) for r in moving_regions(facts, 1)
    ]
    if facts.supported:
        rows = [evidence_sentence(facts.supported[0])]
    if rows:
        return sentence(f"what can be measured is movement: {rows[0]}")
    return "What can be measured is movement, and here the face stays still."
