"""Questions in one's own words about a clip: answered by the language part where a checkpoint has one, else
from what was measured; refused where no face can answer them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deft_llm.answer import AnswerError, mark_of, parse
from deft_llm.claims import CLAIMED, find_claims, refusal_of
from deft_llm.errors import DeftError
from deft_llm.explain.held import PLACES, HeldStill, held_still, places_in
from deft_llm.explain.what_if import BROKEN, WhatIf
from deft_llm.explain.words import (
    UNDECIDED,
    duration_of,
    marked_words,
    measured_words,
    regions_of,
    unit_words,
    when_of,
)
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.facs.units import ENTRIES, name
from deft_llm.facs.words import percent
from deft_llm.model.language import ANSWER_QUESTION
from deft_llm.motion.hide import MARGIN, hide
from deft_llm.records import BY_SHAPE

if TYPE_CHECKING:
    from deft_llm.app.worker import Result
    from deft_llm.explain.result import MovementReading
    from deft_llm.model.predictor import WrittenAnswer
    from deft_llm.store import Motion

    Ask = Callable[[Motion, str], WrittenAnswer]
    Imagine = Callable[[Motion, HeldStill], WhatIf]

WORDLESS = "No language part is loaded: this is put together from the measurement."
FIGURES = (
    "This is put together from the measurement; the language part is asked about classes and Action Units."
)
UNASKED = "*The language part could not be asked: {}*"


def reply(
    result: Result | None, rank: int, question: str, earlier: Sequence[str] = (),
    ask: Ask | None = None, imagine: Imagine | None = None,
) -> str:  # fmt: skip
    """One answer. ``earlier``: what was asked before; ``ask`` asks the language part, if there is one,
    about a motion; ``imagine`` measures a motion again with regions held still, where that is asked."""
    text = " ".join(question.split())[:500]
    if not text:
        return (
            "Ask something about the movement, for example: what moved, when, on which side, how sure is it?"
        )
    if refusal := refusal_of(text):
        return refusal
    if result is None or not result.analysis.readings:
        states = [] if result is None else result.analysis.unjudged
        why = " ".join(one.why for one in states)
        return f"No movement was found in this video, so there is nothing to ask about. {why}".strip()
    rank = min(rank, len(result.analysis.readings) - 1)
    reading = result.analysis.readings[rank]
    held = held_in(text, earlier)
    if held is not None and imagine is not None and reading.motion is not None:
        return imagined_reply(reading.motion, held, imagine, ask)
    found = measured_reply(result, rank, text, earlier)
    if ask is None:
        return f"{found}\n\n*{WORDLESS}*"
    if reading.motion is None or _NUMBERS.search(text):
        return f"{found}\n\n*{FIGURES}*"
    try:
        said = written_reply(ask(reading.motion, in_context(text, earlier)))
    except DeftError as error:
        said = UNASKED.format(error)
    return f"**Measured.** {found}\n\n{said}"


def imagined_reply(motion: Motion, held: HeldStill, imagine: Imagine, ask: Ask | None) -> str:
    """What is measured with regions held still, then the language part on the motion that is left."""
    found = imagine(motion, held).text
    if ask is None:
        return f"{found}\n\n*{WORDLESS}*"
    try:
        said = written_reply(
            ask(hide(motion, held.regions, MARGIN), ANSWER_QUESTION),
            f"The model says, with {held.words} held still.",
        )
    except DeftError as error:
        said = UNASKED.format(error)
    return f"**Measured.** {found}\n\n{said}"


def held_in(question: str, earlier: Sequence[str]) -> HeldStill | None:
    """What a question holds still, also as a follow-up: "and the mouth?" after "What if the brow had not
    moved?", "What if it had not?" after "Did the brow move?"."""
    low = question.lower()
    if found := held_still(low):
        return found
    if _subject(low) is None:
        if earlier and (subject := _subject(last := earlier[-1].lower())) and _IT.search(low):
            side = re.search(r"\b(?:left|right)\b", last)
            meant = f"au{subject[1]}" if subject[0] == "au" else subject[1]
            return held_still(_IT.sub(f"{side.group()} {meant}" if side else meant, low, count=1))
        return None
    before = next((text for text in reversed(earlier) if not _FOLLOW.match(text)), None)
    if before is not None and held_still(before) and _FOLLOW.match(low) and not _VERB.search(low):
        return held_still(f"what if {re.sub(r'^(what|how)|[^a-z0-9 ]', ' ', low)} had not moved")
    return None


_FOLLOW = re.compile(r"(and|what about|how about|also|on the|the (left|right))\b", re.IGNORECASE)
_IT = re.compile(r"\b(?:it|that|this|they)\b")
_VERB = re.compile(r"\b(?:did|does|do|is|are|was|were|when|why|which|how(?! about)|mov\w+|tell)\b")
_NUMBERS = re.compile(
    r"\b(when|how long|how many|duration|onset|apex|offset|how fast|how sure|certain|confiden\w+|limit\w*|"
    r"noise|quality|other movement|list)\b",
    re.IGNORECASE,
)


def in_context(question: str, earlier: Sequence[str]) -> str:
    """The question as the language part gets it, which remembers nothing: a follow-up brings the question
    that it follows."""
    if not _FOLLOW.match(question):
        return question
    before = next((text for text in reversed(earlier) if not _FOLLOW.match(text)), None)
    return question if before is None or held_still(before) else f"{before} {question}"


def _sure(said: WrittenAnswer) -> str:
    """How sure a short answer is, in brackets; nothing for what was measured."""
    if said.probability is None or said.answered_by == "measurement":
        return ""
    return f" ({percent(said.probability)})"


def written_reply(said: WrittenAnswer, lead: str = "The model says.") -> str:
    """The language part's answer with each statement held against the measured motion."""
    if said.answer is None:
        if not said.complete:
            return f"*{BROKEN}*"
        return f"*{CLAIMED}*" if find_claims(said.text) else f"**{lead}** {said.text}{_sure(said)}"
    label = said.answer.fine or said.answer.coarse or "undetermined"
    words = f"{said.answer.rationale} It would be coded as {label}.".strip()
    if find_claims(words):
        return f"*{CLAIMED}*"
    lines = [f"**{lead}** {words}"]
    for row in said.evidence:
        mark = mark_of(row)
        size = "" if row.px is None else f"{row.px:.2f} px, "
        figures = f"{size}{'' if row.z is None else f'z {row.z:.1f}, '}support {row.support:.2f}"
        verdict = f"**{mark}**: {row.reason}" if mark else "supported by the measured motion"
        lines.append(f"- AU{row.au} {row.side}, {row.region}, {row.direction} ({figures}): {verdict}.")
    if not said.evidence:
        lines.append("It cites no Action Unit.")
    return "\n".join(lines)


def cited(reading: MovementReading) -> str:
    """The measured evidence under an answer."""
    rows = "; ".join(map(measured_words, reading.evidence[:4]))
    return f"Measured: {rows or 'no Action Unit above the noise'}."


def measured_reply(result: Result, rank: int, question: str, earlier: Sequence[str] = ()) -> str:
    """An answer from the figures of the result; a follow-up without a subject takes the last one's."""
    low = question.lower()
    subject = _subject(low)
    follow = bool(_FOLLOW.match(low))
    if subject is None and follow:
        subject = next((found for text in reversed(earlier) if (found := _subject(text.lower()))), None)
    analysis, reading = result.analysis, result.analysis.readings[rank]
    fps = analysis.video["fps"]
    movement = reading.movement
    if re.search(r"\bhow many\b|\bother movement|\ball movement|\blist\b|\belse\b", low):
        return _listed(result)
    if not movement.judged:
        return f"Movement {rank + 1} cannot be judged. {movement.reason}"
    if re.search(
        r"\bwhen\b|\bhow long\b|\bduration\b|\bonset\b|\bapex\b|\boffset\b|\bhow fast\b|\btime\b", low
    ):
        return (f"Movement {rank + 1} ({movement.called}): {when_of(movement)}; it lasts "
                f"{duration_of(movement, fps)}. Frames: onset {movement.onset}, apex {movement.apex}, offset "
                f"{movement.offset if movement.offset is not None else 'not seen'}.")  # fmt: skip
    if subject is not None:
        return _about(reading, *subject, low)
    if re.search(
        r"\bhow sure\b|\bcertain\b|\bconfiden\w+|\bprobab\w+|\breliab\w+|\blimit\w*|\bquality\b|\bnoise\b",
        low,
    ):
        return _certainty(result, reading)
    if re.search(r"\bwhy\b|\bbecause\b|\breason\b|\bexplain\b|\brest(s)? on\b|\bclass\b|\blabel\b|"
                 r"\bemotion\b|\bexpression\b|\bcall(ed)?\b", low):  # fmt: skip
        return _why(result, rank, reading)
    if re.search(r"\bleft\b|\bright\b|\bside\b|\bsymmetr\w+|\basymmetr\w+", low):
        return _sides(reading)
    return _what(rank, reading)


def _subject(text: str) -> tuple[str, str] | None:
    if match := re.search(r"\b(?:au|action unit)\s*-?(\d{1,2})\b", text):
        return "au", match.group(1)
    return next((("area", word) for word in places_in(text)), None)


def _what(rank: int, reading: MovementReading) -> str:
    movement = reading.movement
    units = "; ".join(map(unit_words, movement.units))
    rows = "; ".join(map(measured_words, reading.evidence[:4]))
    if not units and not rows:
        where = regions_of(movement) or "no single region"
        return f"Movement {rank + 1} is a {movement.called}. {_unnamed(reading)} Seen: {where}."
    measured = f" Measured: {rows}." if units and rows else ""
    return f"In movement {rank + 1}: {units or rows}.{measured}{_unmeasured(reading)}"


def _unnamed(reading: MovementReading) -> str:
    """Why no Action Unit is stated of a movement."""
    if why := _unmeasured(reading).strip():
        return why
    named = (one.why for one in reading.unjudged if one.what.startswith("Its Action Units"))
    return next(named, "It fits no Action Unit above the noise.")


def _unmeasured(reading: MovementReading) -> str:
    """That the skin's motion was not measured, with why where that is known; "" where it was."""
    if reading.motion is not None:
        return ""
    why = f" {reading.warning}" if reading.warning and reading.prediction is None else ""
    return f" The motion of the skin was not measured.{why}"


def _why(result: Result, rank: int, reading: MovementReading) -> str:
    seen = reading.prediction
    if seen is None:
        if reading.answer:
            told = reading.answer.rpartition("Rationale:")[2].strip()  # a release: it has no class to parse
            return f"{told} {_what(rank, reading)}"
        return f"Movement {rank + 1} was not read. {_what(rank, reading)}"
    try:
        text = parse(seen.answer or "").rationale
    except AnswerError:
        text = seen.answer or ""
    ranked = sorted(seen.probabilities.items(), key=lambda pair: -pair[1])
    shares = ", ".join(f"{label} {percent(p)}" for label, p in ranked)
    said = f"{text} Class probabilities of {result.analysis.method}: {shares}. {cited(reading)}"
    said += "".join(f" {marked_words(mark)}" for mark in reading.marks)
    if reading.attribution is not None:
        from deft_llm.explain.attribution import words_of

        first = reading.attribution.sources[0]
        said += f" By integrated gradients, {first.name} rests most on: {words_of(first)}."
    return said + " It is the label that coders would give, no more."


def _certainty(result: Result, reading: MovementReading) -> str:
    seen = reading.prediction
    parts = []
    if seen is not None and seen.probabilities:
        label, p = max(seen.probabilities.items(), key=lambda pair: pair[1])
        rest = sorted(seen.probabilities.values())[-2] if len(seen.probabilities) > 1 else 0.0
        close = "That is close: treat the class as open." if p - rest < UNDECIDED else ""
        parts.append(f"{label} {percent(p)}, the next class {percent(rest)}. {close}".strip())
    parts += [
        f"{measured_words(row)}." if row.reason == BY_SHAPE or row.z is None
        else f"AU{row.au}: z {row.z:.0f} over the clip's noise, support {row.support:.2f}."
        for row in reading.evidence[:3]
    ]  # fmt: skip
    unjudged = [*reading.unjudged, *result.analysis.unjudged]
    parts += [f"{one.head} {one.why}" for one in unjudged]
    parts += list(result.analysis.notes)
    parts += [text for text in (reading.warning,) if text]
    return " ".join(parts) or "Nothing limits this reading beyond what stands under Limits."


def _sides(reading: MovementReading) -> str:
    rows = []
    for unit in reading.movement.units:
        what = f"AU{unit.number}" if unit.phase == "rise" else f"release of AU{unit.number}"
        skin = {row.side for row in reading.evidence if row.au == unit.number and unit.phase == "rise"}
        other = "" if not skin or unit.side in skin else ", ".join(map(_side_words, sorted(skin)))
        rows.append(f"{what}: {_side_words(unit.side)}" + (f" (the skin's motion: {other})" if other else ""))
    rows = rows or [f"AU{row.au}: {_side_words(row.side)}" for row in reading.evidence[:5]]
    if not rows:
        return f"No side can be told. {_unnamed(reading)}"
    return f"Sides are the person's own. {'; '.join(rows)}.{_unmeasured(reading)}"


def _side_words(side: str) -> str:
    return "both sides" if side == "both" else side


def _about(reading: MovementReading, kind: str, word: str, question: str) -> str:
    if kind == "au":
        return _about_au(reading, int(word))
    motion = reading.motion
    if motion is None:
        return f"This movement was not measured. Seen: {regions_of(reading.movement) or 'no single region'}."
    side = next((s for s in ("left", "right") if re.search(rf"\b{s}\b", question)), "")
    rows = []
    table = motion.regions
    for index, key in enumerate(REGION_KEYS):
        if any(part in key for part in PLACES[word]) and (not side or side in key or key in PLACES[word]):
            z = float(table.z[0, index])
            size = "" if motion.units == "relative" else f"{table.px[0, index]:.2f} px, "
            rows.append((z, f"{key} {size}z {z:.1f}"))
    rows.sort(reverse=True)
    above = "is above" if rows and rows[0][0] >= 3 else "is not clearly above"
    listed = "; ".join(text for _, text in rows[:6])
    return f"Motion there {above} the clip's noise (z of 3 and more counts as clear): {listed}."


def _about_au(reading: MovementReading, number: int) -> str:
    if number not in ENTRIES:
        return f"AU{number} is no Action Unit of FACS that is read here."
    row = next((row for row in reading.evidence if row.au == number), None)
    share = reading.prediction.aus.get(str(number)) if reading.prediction else None
    said = f" The method gives it {percent(share)}." if share is not None else ""
    measured = ""
    if row is not None:
        figure = "confidence" if row.reason == BY_SHAPE else "support"
        measured = f"{measured_words(row)}, {figure} {row.support:.2f}"
    units = "; ".join(unit_words(unit) for unit in reading.movement.units if unit.number == number)
    if units:
        figures = f" Measured: {measured}." if measured else ""
        return f"{name(number).capitalize()}: {units}.{figures}{_unmeasured(reading)}{said}"
    if measured:
        return f"{name(number).capitalize()}: {measured}.{said}"
    which = f"AU{number} ({name(number)})"
    if reading.motion is None:
        return f"{which} is not seen in this movement.{_unmeasured(reading)}{said}"
    why = f": {reading.not_judged[number]}" if number in reading.not_judged else ""
    return f"{which} has no support in the measured motion of this movement{why}.{said}"


def _listed(result: Result) -> str:
    analysis = result.analysis
    rows = [
        f"{rank}. {one.movement.called}, {when_of(one.movement)}"
        + ("" if one.movement.judged else " (cannot be judged)")
        for rank, one in enumerate(analysis.readings[:8], 1)
    ]
    count = len(analysis.readings)
    return f"{count} movement{'s' * (count != 1)}: " + "; ".join(rows) + "."
