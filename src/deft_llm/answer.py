"""The answer (C, E, R): class, evidence, rationale. Rendered to text, parsed back, and as a decoding grammar.

    Class: happiness (positive)
    Evidence: AU12 right, mouth corner, up-lateral, 0.8 px (2.1 % IOD); AU6 both, cheek, up
    Rationale: The right mouth corner was pulled up and outward, which is coded as AU12.

Class, AUs, sides, regions, directions and rationale are what a model writes, in the form of ``lark_grammar``;
figures (px, % of inter-ocular distance, z) are measured and filled in, and with them a mark behind each
statement that the measured motion does not bear out (``mark_of``). The coarse class derives from the fine
one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deft_llm.errors import DeftError
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import DIRECTIONS, REGION_NAMES
from deft_llm.facs.units import ENTRIES, valid_directions, valid_sides
from deft_llm.records import BY_SHAPE, COARSE, AUSide, Coarse, Evidence

UNDETERMINED = "undetermined"
MAX_EVIDENCE = 6
"""Statements of an answer at most: six and a rationale are some 160 tokens, eight are more than a model may
write (``model.decoding.ANSWER_TOKENS``)."""
MAX_RATIONALE, RATIONALE_TOKENS = 400, 110
"""Longest rationale in characters; in tokens where words are forbidden in it, for an expression that counts
characters beside that is beyond llguidance."""
SIDE_WORDS: dict[AUSide, str] = {"left": "[Ll]eft", "right": "[Rr]ight", "both": "[Bb]oth"}
"""Regular expressions of the words that name a side."""
LABELLED = "Coders would label this {label}."
NO_LABEL = "These movements determine no label"
NO_UNIT = "No Action Unit can be measured in the flow"
DECLINED = (
    "No facial movement shows {topic}, so this cannot be answered.",
    "That cannot be told from a face: motion does not show {topic}.",
    "I cannot say. How skin moves does not show {topic}.",
    "This question has no answer in the clip: movement does not show {topic}.",
)
"""Answers to what no movement shows."""
NOT_SUPPORTED = "not supported by the measured motion"
SHAPE_ALONE = "seen by shape"
"""What stands behind a statement that the skin's motion does not bear out, or does not name by itself."""
_SIDE_WORDS = "both|left|right|asymmetric|upper|lower|(?:left|right|asymmetric) (?:upper|lower)"
_CLASS = re.compile(rf"Class: (?P<fine>[a-z][a-z -]*) \((?P<coarse>{'|'.join(COARSE)}|{UNDETERMINED})\)$")
_ITEM = re.compile(
    rf"AU(?P<au>\d{{1,2}}) (?P<side>{_SIDE_WORDS}), (?P<region>{'|'.join(REGION_NAMES)}), "
    rf"(?P<direction>{'|'.join(sorted(DIRECTIONS, key=len, reverse=True))})"
    r"(?:, (?P<px>\d+\.\d) px \((?P<iod>\d+\.\d) % IOD\)|, z (?P<z>-?\d+\.\d))?"
    rf"(?:, (?P<mark>{NOT_SUPPORTED}|{SHAPE_ALONE}))?$"
)


class AnswerError(DeftError):
    """A text that is not an answer of the grammar; the message names the line and the fault."""


class Statement(BaseModel):
    """One piece of evidence as the answer's text states it; figures are None until they are filled in.

    ``mark``: what the measurement has against it, "" until it is held against one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    au: int
    side: AUSide = "both"
    part: Literal["upper", "lower"] | None = None
    region: str
    direction: str
    px: float | None = None
    iod_percent: float | None = None
    z: float | None = None
    mark: str = ""

    @property
    def side_word(self) -> str:
        """Side and part as the text writes them: "both", "left", "upper", "left upper"."""
        if self.part is None:
            return self.side
        return self.part if self.side == "both" else f"{self.side} {self.part}"


class Answer(BaseModel):
    """One answer: fine and coarse class (None: not determined), evidence and rationale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fine: str | None = None
    coarse: Coarse | None = None
    evidence: tuple[Statement, ...] = ()
    rationale: str = ""

    @classmethod
    def of(
        cls, fine: str | None, coarse: Coarse | None, evidence: Iterable[Evidence], rationale: str
    ) -> Answer:
        """An answer from records: supported evidence only; coarse derives from fine where fine is known."""
        return cls(
            fine=fine,
            coarse=coarse_of(fine) if fine else coarse,
            evidence=tuple(statement_of(row) for row in evidence if row.status == "supported" and row.au),
            rationale=rationale,
        )


def mark_of(row: Evidence) -> str:
    """What stands behind a statement, wherever it is shown: "" where the measured motion bears it out."""
    if row.status == "unsupported":
        return NOT_SUPPORTED
    return SHAPE_ALONE if row.reason == BY_SHAPE else ""


def statement_of(row: Evidence) -> Statement:
    """The statement that a measured row of evidence makes; a region key loses its side ("right cheek")."""
    region = re.sub(r"^(left|right) ", "", row.region)
    assert row.au is not None
    return Statement(
        au=row.au, side=row.side, part=row.part, region=region, direction=row.direction,
        px=row.px, iod_percent=row.iod_percent, z=row.z, mark=mark_of(row),
    )  # fmt: skip


def render(answer: Answer, *, figures: bool = True) -> str:
    """The answer's text, three lines; ``figures=False`` leaves out what is measured (figures and marks), as
    models write it.

    Raises: AnswerError where fine and coarse contradict each other.
    """
    derived = coarse_of(answer.fine)
    if answer.fine and answer.coarse != derived:
        raise AnswerError(f"answer: {answer.fine} is {derived or UNDETERMINED}, not {answer.coarse}.")
    items = "; ".join(_render_statement(item, figures) for item in answer.evidence) or "none"
    rationale = " ".join(answer.rationale.split())
    return (
        f"Class: {answer.fine or UNDETERMINED} ({answer.coarse or UNDETERMINED})\n"
        f"Evidence: {items}\nRationale: {rationale}"
    )


def _render_statement(item: Statement, figures: bool) -> str:
    text = f"AU{item.au} {item.side_word}, {item.region}, {item.direction}"
    if not figures:
        return text
    if item.px is not None and item.iod_percent is not None:
        text += f", {item.px:.1f} px ({item.iod_percent:.1f} % IOD)"
    elif item.z is not None:
        text += f", z {item.z:.1f}"
    return f"{text}, {item.mark}" if item.mark else text


def parse(text: str) -> Answer:
    """Read an answer's text. Raises: AnswerError naming the line that does not follow the grammar."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if len(lines) != 3 or not lines[1].startswith("Evidence: ") or not lines[2].startswith("Rationale:"):
        raise AnswerError("answer: needs the three lines Class, Evidence, Rationale in this order.")
    head = _CLASS.match(lines[0])
    if not head:
        raise AnswerError(f"answer: {lines[0]!r} is not 'Class: FINE|undetermined (COARSE)'.")
    fine = None if head["fine"] == UNDETERMINED else head["fine"]
    coarse = None if head["coarse"] == UNDETERMINED else head["coarse"]
    if fine is not None and fine not in FINE:
        raise AnswerError(f"answer: {fine!r} is no label; choose one of {', '.join(FINE)}, {UNDETERMINED}.")
    if fine is not None and coarse != coarse_of(fine):
        raise AnswerError(f"answer: {fine} is {coarse_of(fine) or UNDETERMINED}, not {coarse}.")
    body = lines[1].removeprefix("Evidence: ").strip()
    items = () if body == "none" else tuple(_parse_statement(item) for item in body.split("; "))
    return Answer(
        fine=fine, coarse=coarse, evidence=items, rationale=lines[2].removeprefix("Rationale:").strip()
    )


def _parse_statement(text: str) -> Statement:
    match = _ITEM.match(text.strip())
    if not match:
        raise AnswerError(f"answer: {text!r} is not 'AU<number> SIDE, REGION, DIRECTION[, figures]'.")
    words = match["side"].split()
    part = words[-1] if words[-1] in ("upper", "lower") else None
    side = words[0] if words[0] not in ("upper", "lower") else "both"
    number = {key: float(match[key]) if match[key] else None for key in ("px", "iod", "z")}
    return Statement(
        au=int(match["au"]), side=side, part=part, region=match["region"], direction=match["direction"],
        px=number["px"], iod_percent=number["iod"], z=number["z"], mark=match["mark"] or "",
    )  # fmt: skip


def without_marks(text: str) -> str:
    """A text as its model wrote it and figures filled it, without what was held against it."""
    for mark in (NOT_SUPPORTED, SHAPE_ALONE):
        text = text.replace(f", {mark}", "")
    return text


def fill_figures(answer: Answer, measured: Sequence[Evidence]) -> Answer:
    """Fill in the figures of each statement from the measured row of the same AU and region, and the mark of
    the row that states the same direction too.

    A statement that nothing measured matches keeps no figures; words are never changed.
    """
    filled = []
    for item in answer.evidence:
        rows = [row for row in measured if row.au == item.au and _same_place(row, item)]
        if rows:
            row = max(rows, key=lambda candidate: candidate.support)
            same = next((row for row in rows if row.direction == item.direction), None)
            mark = item.mark if same is None else mark_of(same)
            found = {"px": row.px, "iod_percent": row.iod_percent, "z": row.z, "mark": mark}
            item = item.model_copy(update=found)
        filled.append(item)
    return answer.model_copy(update={"evidence": tuple(filled)})


def _same_place(row: Evidence, item: Statement) -> bool:
    return (
        re.sub(r"^(left|right) ", "", row.region) == item.region
        and row.side == item.side
        and row.part == item.part
    )


def lark_grammar(
    *,
    fines: Sequence[str] = FINE,
    aus: Sequence[int] | None = None,
    figures: bool = False,
    max_evidence: int = MAX_EVIDENCE,
    max_rationale: int = MAX_RATIONALE,
    stop_after: Literal["class", "evidence", "rationale"] = "rationale",
    once: bool = False,
    every: bool = False,
    sides: Mapping[int, AUSide] | None = None,
    open_class: bool = True,
) -> str:
    """The Lark grammar (for llguidance) of all answers: every FACS-valid (AU, side, region, direction).

    ``fines`` narrows the fine classes to a task's labels; ``aus`` the units (default: all whose
    motion FACS describes). The grammar fixes the form only: no class, AU, region or direction is
    preferred; empty ``aus`` leave "none" as the only evidence.
    ``stop_after`` ends the answer early where only the class or the evidence is wanted. ``once``:
    units in ascending order, each at most once, and none but ``aus`` in the rationale either.
    ``every``: one statement of each of ``aus``, ascending; ``sides``: of an AU, where it is known. With
    both, the rationale names no side that none of the units has.
    ``open_class`` False: the class is one of ``fines``, for it was asked for before, and the rationale
    is a sentence that ends with its label's.
    """
    numbers = [number for number, code in ENTRIES.items() if code.motion and (aus is None or number in aus)]
    heads = [f"{fine} ({coarse_of(fine) or UNDETERMINED})" for fine in fines]
    if open_class:
        heads += [f"{UNDETERMINED} ({coarse})" for coarse in (*COARSE, UNDETERMINED)]
    heads = list(dict.fromkeys(heads))
    if not open_class and stop_after == "rationale":
        rules = _bound_to_its_class(heads)
    else:
        parts = ["CLASS"] + ['"\\nEvidence: " evidence'] * (stop_after != "class")
        parts += ['"\\nRationale: " rationale'] * (stop_after == "rationale")
        rules = ["start: " + " ".join(parts)]
        rules.append('CLASS: "Class: " (' + " | ".join(_quote(head) for head in heads) + ")")
    rules += _evidence_rules(numbers, max_evidence, figures, once, every)
    rules += [_statement_rule(number, (sides or {}).get(number)) for number in numbers]
    if figures and numbers:
        rules.append(r"FIGURES: /, ([0-9]{1,2}\.[0-9] px \([0-9]{1,2}\.[0-9] % IOD\)|z -?[0-9]{1,3}\.[0-9])/")
    if stop_after == "rationale":
        stated = {sides.get(number, "both") for number in numbers} if every and sides else set(SIDE_WORDS)
        unsaid = [word for side, word in SIDE_WORDS.items() if side not in stated]
        most = None if unsaid else max_rationale
        said = [f"/{_rationale(numbers if once else None, not open_class, most)}/"]
        rules.append(f"rationale{f'[max_tokens={RATIONALE_TOKENS}]' if unsaid else ''}: RATIONALE")
        rules.append("RATIONALE: " + " & ".join(said + [f"~/{_with_word(word)}/" for word in unsaid]))
    return "\n".join(rules) + "\n"


def _statement_rule(number: int, side: AUSide | None = None) -> str:
    places = []
    for region in dict.fromkeys(motion.region for motion in ENTRIES[number].motion):
        words = " | ".join(map(_quote, valid_directions(number, region)))
        places.append(f'"{region}, " ({words})')
    sides = " | ".join(map(_quote, [side] if side in valid_sides(number) else valid_sides(number)))
    return f'au{number}: "AU{number} " ({sides}) ", " ({" | ".join(places)})'


def _with_word(word: str) -> str:
    """The regular expression of texts in which a word begins so."""
    return f"(.*[^A-Za-z])?{word}.*"


def _rationale(numbers: Sequence[int] | None, labelled: bool, most: int | None) -> str:
    """The regular expression of a rationale; ``numbers``: "AU" stands before one of these alone.

    ``labelled``: one sentence without its full stop, which the label's sentence brings. ``most``: characters,
    None: any number.
    """
    if numbers is None:
        return "[A-Za-z][ -~]" + ("*" if most is None else f"{{0,{most - 1}}}")
    stop = "" if labelled else "."
    units = f"AU({'|'.join(map(str, numbers))})" if numbers else ""
    letters = [
        rf"[ -\-{stop}0-@B-~]",
        rf"A[ -\-{stop}0-TV-~]",
        *([rf"{units}[ -\-{stop}:-~]"] if units else []),
    ]
    length = "*" if most is None else f"{{0,{most - 4 - (len(LABELLED) + 22) * labelled}}}"
    return f"([B-Zb-z]|A[ -TV-~])({'|'.join(letters)}){length}" + (f"({units})?" if units else "")


def _bound_to_its_class(heads: Sequence[str]) -> list[str]:
    """The start of an answer whose rationale ends with the label of its own first line."""
    rules = ["start: " + " | ".join(f"as{number}" for number in range(len(heads)))]
    for number, head in enumerate(heads):
        fine, coarse = head.removesuffix(")").split(" (")
        label = ". " + LABELLED.format(label=coarse if fine == UNDETERMINED else fine)
        rules.append(
            f'as{number}: "Class: {head}" "\\nEvidence: " evidence "\\nRationale: " rationale "{label}"'
        )
    return rules


def _evidence_rules(numbers: Sequence[int], most: int, figures: bool, once: bool, every: bool) -> list[str]:
    """Rules of the evidence: "none" or up to ``most`` statements, with ``once`` each unit in its turn; with
    ``every`` one statement of each."""
    if not numbers:
        return ['evidence: "none"']
    tail = " FIGURES?" * figures
    if every:
        return ["evidence: " + ' "; " '.join(f"au{number}{tail}" for number in numbers[:most])]
    if not once:
        units = " | ".join(f"au{number}" for number in numbers)
        return [f'evidence: "none" | item ("; " item){{0,{most - 1}}}', f"item: ({units}){tail}"]
    rules = ['evidence: "none" | ' + " | ".join(f"from{number}x1" for number in numbers)]
    for depth in range(1, most + 1):
        for place, number in enumerate(numbers[depth - 1 :], depth - 1):
            later = [f"from{after}x{depth + 1}" for after in numbers[place + 1 :]] if depth < most else []
            more = f' ("; " ({" | ".join(later)}))?' if later else ""
            rules.append(f"from{number}x{depth}: au{number}{tail}{more}")
    return rules


def _quote(text: str) -> str:
    return '"' + text + '"'
