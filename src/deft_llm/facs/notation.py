"""One parser for every way in which corpora write Action Units; what it cannot read, it keeps.

cell := clause {("+" | "," | full-width comma | ";" | line break | blank) clause};
clause := alt {("or" | "/") alt};
alt := ["ref("] [side | part] ["AU" | "AD" | "M"] number [intensity] [side] [")"] ["?" | "(k)"].
Sides L, R, A (asymmetric) before the number, L or R after it; T and B are the upper and lower lip;
A to E after the number are intensities.
One AU coded once on each side ("L12B+R12C") is one unit on both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from deft_llm.facs.units import ENTRIES
from deft_llm.records import ActionUnit

_SEPARATORS = re.compile("[+,;&\r\n\uff0c\u3001\uff0b\uff1b]")  # includes the full-width forms
_TOKEN = re.compile(
    r"(?P<sides>[LRATB]{0,2}(?:/[LRATB])*)(?P<kind>AU|AD|M)?(?P<number>\d{1,2})"
    r"(?:(?P<intensity>[A-E](?:/[A-E])*)|\((?P<graded>[A-E](?:/[A-E])*)\))?(?P<suffix>[LR])?$"
)
_SIDE = {"L": "left", "R": "right", "A": "asymmetric"}
_PART = {"T": "upper", "B": "lower"}
_AFTER = ("C", "D", "E", "?", "(K)")  # stand behind a number only; A and B may be sides of the next
_MISSING = {"", "NAN", "NA", "N/A", "/", "-"}  # not coded
_NOTHING_SEEN = "NONE"  # coded; as is 0, the code of a neutral face


class ParsedAUs(NamedTuple):
    """``aus`` in the order of the cell, the pieces that could not be read, verbatim, and notes: readings that
    another spelling would make plain ("12.1 is read as AU12 and AU1"). ``missing``: the cell is empty or says
    that it was not coded ("-", "n/a"), which is not "no AU" ("none", "0").
    """

    aus: list[ActionUnit]
    unread: list[str]
    notes: list[str]
    missing: bool = False

    @property
    def complete(self) -> bool:
        """Whether the cell was coded, and no piece of it that may name an AU was left unread."""
        return not self.missing and not any(re.search(r"\d", piece) for piece in self.unread)


def parse_aus(cell: Any) -> ParsedAUs:
    """Read one spreadsheet cell (text, whole or decimal number, or nothing) into Action Units.

    A decimal that Excel made of "1.2" reads as AU1 and AU2 (MEVIEW's notation), which is noted; blanks and
    line breaks between numbers separate AUs. Nothing is dropped: pieces that are no AUs, or name a code that
    FACS does not have, come back in ``unread``.
    """
    text, notes = _cell_text(cell)
    aus: list[ActionUnit] = []
    unread: list[str] = []
    clauses = _split_clauses(text)
    if not clauses or text.upper() == _NOTHING_SEEN:
        return ParsedAUs(aus, unread, notes, missing=not clauses)
    for clause in clauses:
        parsed = _parse_clause(clause)
        units = [parsed] if parsed else [_parse_clause(piece) for piece in _words(clause)]
        read = [unit for unit in units if unit is not None and _known(unit)]
        if not units or len(read) < len(units):
            unread.append(clause)
            continue
        aus += read
        for unit in read:
            options = [f"AU{other.number}" for other in (unit, *unit.alternatives)]
            if "/" in clause and len(set(options)) > 1:
                notes.append(f"{clause} is read as {' or '.join(options)}")
    return ParsedAUs(_both_sides(aus), unread, notes)


def _both_sides(aus: Iterable[ActionUnit]) -> list[ActionUnit]:
    """The AUs, those that differ in nothing but left or right and intensity as one, at the first one's place:
    on both sides, asymmetric where two intensities differ, with the larger one.
    """
    found: list[ActionUnit] = []
    for unit in aus:
        other = next((i for i, one in enumerate(found) if _opposite(one, unit)), None)
        if other is None:
            found.append(unit)
            continue
        grades = {one.intensity for one in (found[other], unit) if one.intensity is not None}
        update = {
            "side": "asymmetric" if len(grades) == 2 else "both",
            "intensity": max(grades, default=None),
        }
        found[other] = unit.model_copy(update=update)
    return found


def _opposite(one: ActionUnit, other: ActionUnit) -> bool:
    plain = {"side": "both", "intensity": None}
    alike = not one.alternatives and one.model_copy(update=plain) == other.model_copy(update=plain)
    return alike and {one.side, other.side} == {"left", "right"}


def _known(unit: ActionUnit) -> bool:
    return all(one.number in ENTRIES for one in (unit, *unit.alternatives))


def _words(clause: str) -> list[str]:
    """A clause without separators as one piece a number ("4 AU 7 C" -> "4", "AU7C"); [] where a letter may
    belong to either of two numbers.
    """
    pieces: list[str] = []
    before = ""
    words = clause.split()
    for place, word in enumerate(words):
        letters = word.upper()
        if re.search(r"\d", word):
            pieces.append(before + word)
            before = ""
        elif letters in ("AU", "AD", "M") or (not pieces and letters in (*_SIDE, *_PART)):
            before += word
        elif pieces and not before and (letters in _AFTER or place == len(words) - 1):
            pieces[-1] += word
        else:
            return []
    return [] if before else pieces


def _cell_text(cell: Any) -> tuple[str, list[str]]:
    """The cell as text, and a note where that is a reading."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "", []
    if isinstance(cell, float) and cell == int(cell):
        return str(int(cell)), []
    text = str(cell).strip()
    if text.upper() in _MISSING:
        return "", []
    decimal = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", text)
    if decimal is None:
        return text, []
    whole, rest = decimal.groups()
    if int(rest) == 0:
        return whole, []
    return f"{whole}+{rest}", [f"{text} is read as AU{int(whole)} and AU{int(rest)}"]


def _split_clauses(text: str) -> list[str]:
    """Split at separators outside brackets; drop empty pieces (trailing commas)."""
    pieces, depth, current = [], 0, ""
    for character in text.replace("\uff08", "(").replace("\uff09", ")"):
        depth += (character == "(") - (character == ")")
        if depth <= 0 and _SEPARATORS.match(character):
            pieces.append(current)
            current = ""
        else:
            current += character
    return [piece.strip() for piece in [*pieces, current] if piece.strip()]


def _parse_clause(clause: str) -> ActionUnit | None:
    text = clause.strip()
    certain = True
    while True:
        trimmed = re.sub(r"(\?|\uff1f|\(\s*[kK?]\s*\))\s*$", "", text).strip()
        if trimmed == text:
            break
        text, certain = trimmed, False
    referred = re.fullmatch(r"ref\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)", text, flags=re.IGNORECASE)
    if referred:
        text = referred.group(1).strip()
    bracketed = re.fullmatch(r"\((.*)\)", text)
    if bracketed and "(" not in bracketed.group(1).replace("ref(", ""):
        text = bracketed.group(1).strip()
    alternatives: list[ActionUnit] = []
    for option in re.split(r"\s+or\s+", text, flags=re.IGNORECASE):
        read = _parse_options(option)
        if not read:
            return None
        alternatives += read
    update: dict[str, Any] = {}
    if not certain:
        update["certain"] = False
    if referred:
        update["referred"] = True
    units = [unit.model_copy(update=update) for unit in alternatives]
    return units[0].model_copy(update={"alternatives": units[1:]}) if len(units) > 1 else units[0]


def _parse_options(option: str) -> list[ActionUnit]:
    """One option, which may hold "/": between numbers (4/7), sides (A/L12) or intensities (10A/B)."""
    whole = _parse_token(option)
    if whole:
        return whole
    units: list[ActionUnit] = []
    for piece in option.split("/"):
        uncertain = piece.rstrip().endswith("?")
        read = _parse_token(piece.rstrip().rstrip("?"))
        if not read:
            referred = re.fullmatch(r"\s*ref\s*\((.*)\)\s*", piece, flags=re.IGNORECASE)
            read = _parse_token(referred.group(1)) if referred else []
            read = [unit.model_copy(update={"referred": True}) for unit in read]
        if not read:
            return []
        units += [unit.model_copy(update={"certain": False}) if uncertain else unit for unit in read]
    return units


def _parse_token(token: str) -> list[ActionUnit]:
    """One token as its readings: [] when it is no AU, several when a side or an intensity is an "or"."""
    if re.search(r"\d\s+\d", token):  # two numbers, never one
        return []
    compact = re.sub(r"\s+", "", token).upper()
    uncertain = compact.endswith(("?", "(K)"))
    referred = re.fullmatch(r"REF\((.*)\)", re.sub(r"(\?|\(K\))$", "", compact))
    compact = referred.group(1) if referred else re.sub(r"(\?|\(K\))$", "", compact)
    match = _TOKEN.match(compact)
    if not match:
        return []
    side_options = match["sides"].split("/") if match["sides"] else [""]
    intensities = (match["intensity"] or match["graded"] or "").split("/")
    units = []
    for letters in side_options:
        letters += match["suffix"] or ""
        sides = [_SIDE[letter] for letter in letters if letter in _SIDE]
        parts = [_PART[letter] for letter in letters if letter in _PART]
        if len(sides) > 1 or len(parts) > 1:
            return []
        for intensity in intensities:
            units.append(
                ActionUnit(
                    number=int(match["number"]),
                    kind=match["kind"] or "AU",
                    side=sides[0] if sides else "both",
                    part=parts[0] if parts else None,
                    intensity=intensity or None,
                    certain=not uncertain,
                    referred=bool(referred),
                )
            )
    return units


def shown_and_open(aus: Iterable[ActionUnit]) -> tuple[frozenset[int], frozenset[int]]:
    """Numbers of the AUs that a coder saw, and of those left open: not certain ("13?", "4(k)"), or one of
    several numbers ("4/9").

    Alternatives of one number ("10B/C", "A/L12") leave its side or intensity open, not the AU. What is only
    referred to (``ref(6)``) is neither.
    """
    shown: set[int] = set()
    doubtful: set[int] = set()
    for unit in aus:
        options = [unit, *unit.alternatives]
        numbers = {option.number for option in options if not option.referred}
        sure = len(numbers) == 1 and all(option.certain and not option.referred for option in options)
        (shown if sure else doubtful).update(numbers)
    return frozenset(shown), frozenset(doubtful - shown)


def format_aus(aus: list[ActionUnit]) -> str:
    """Write Action Units so that ``parse_aus`` reads the same back: "4+R12C+ref(10)"; a left and a right unit
    of one number come back as one."""
    return "+".join(_format_clause(unit) for unit in aus)


def aus_cell(aus: list[ActionUnit] | None) -> str:
    """A table's cell, from which ``parse_aus`` reads the same back: empty where nobody coded, "none" where no
    Action Unit was seen."""
    return "" if aus is None else format_aus(aus) or "none"


def _format_clause(unit: ActionUnit) -> str:
    if not unit.alternatives:
        return _format_unit(unit)
    options = [unit.model_copy(update={"alternatives": []}), *unit.alternatives]
    return "(" + " or ".join(_format_unit(option) for option in options) + ")"


def _format_unit(unit: ActionUnit) -> str:
    side = {"left": "L", "right": "R", "asymmetric": "A", "both": ""}[unit.side]
    part = {"upper": "T", "lower": "B", None: ""}[unit.part]
    kind = "" if unit.kind == "AU" else unit.kind
    text = f"{side}{part}{kind}{unit.number}{unit.intensity or ''}"
    text = f"ref({text})" if unit.referred else text
    return text if unit.certain else f"{text}?"
