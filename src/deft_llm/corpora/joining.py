"""Annotations for flow maps: a CSV or an ME-VQA jsonl, keyed by corpus, subject and file name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft_llm.corpora.labels import coarse_word
from deft_llm.corpora.questions import QuestionRow, read_question_rows
from deft_llm.corpora.tables import Row, Table, cell_integer, cell_text, find_table
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import fine_word
from deft_llm.facs.notation import ParsedAUs, format_aus, parse_aus
from deft_llm.facs.units import number_of
from deft_llm.files import existing_file
from deft_llm.records import ActionUnit, Clip, Coarse, loose, subject_number

Key = tuple[str, str, str]
"""corpus, subject's number (``subject_number``), file name without subject prefix and zero padding"""

COLUMNS = {
    "corpus": ("corpus", "dataset", "database"),
    "subject": ("subject", "sub", "sub_ID", "participant"),
    "filename": ("filename", "file name", "video", "clip", "name", "imagename"),
    "emotion": ("emotion", "estimated emotion", "expression", "fine"),
    "coarse": ("coarse", "coarse expression", "label", "class", "label_3class"),
    "aus": ("aus", "action units", "au", "action unit"),
    "onset": ("onset", "onsetframe"),
    "apex": ("apex", "apexframe"),
    "offset": ("offset", "offsetframe"),
}
MARKS = ("onset", "apex", "offset")
_CORPUS_WORDS = {
    "casmeii": "casme2",
    "casme2": "casme2",
    "cas2": "casme2",
    "samm": "samm",
    "smic": "smic",
    "smichs": "smic",
    "casme3": "casme3",
    "casmeiii": "casme3",
    "casme": "casme",
    "mmew": "mmew",
}


_SPELLINGS = {
    "nostril dilater": "nostril dilator",
    "nostril compress": "nostril compressor",
    "tilt right": "head tilt right",
    "tilt left": "head tilt left",
    "eyes left": "eyes turn left",
    "eyes right": "eyes turn right",
    "lip puckerer": "lip pucker",
    "lips suck": "lip suck",
}


@dataclass
class Annotation:
    """What one clip's rows say; ``problems`` are pieces that could not be read or contradict each other.

    ``marks``: onset, apex and offset as the table numbers its frames.

    ``adds``: the row tells more of a clip (one of several questions), so that its AUs join the others'.
    """

    key: Key
    where: str
    emotion: str | None = None
    coarse: Coarse | None = None
    aus: list[ActionUnit] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    adds: bool = False


def corpus_word(text: str) -> str:
    """A corpus name as this package writes it ("CASME II" -> "casme2")."""
    word = re.sub(r"[^a-z0-9]", "", text.casefold())
    return _CORPUS_WORDS.get(word, word)


def clip_name(subject: str, filename: str) -> str:
    """A map's file name without suffix, blanks and the subject that tools put before it.

    "sub01_EP02_01f .png" -> "EP02_01f"; "006_006_1_2 .png" -> "006_1_2"; "s01_s01_ne_01" -> "s01_ne_01".
    """
    name = re.sub(r"\.(png|npy|npz|jpe?g|bmp|mp4|avi)$", "", filename.strip(), flags=re.IGNORECASE).strip()
    first, _, rest = name.partition("_")
    if not rest or loose(first) != loose(subject):
        return name
    again = loose(rest.split("_")[0]) == loose(subject)
    # SAMM and SMIC names start with the subject themselves: only a doubled one is a prefix.
    return rest if again or first.casefold().startswith("sub") else name


_SMIC = re.compile(r"s0*(\d+)_(ne|ng|neg|po|ps|pos|sur|su|sp)_(\d+)", re.IGNORECASE)


def smic_name(name: str) -> str:
    """A SMIC clip's name with the usual class code and an unpadded subject: "s02_ng_01" -> "s2_ne_01"."""
    match = _SMIC.fullmatch(name)
    if match is None:
        return name
    code = {"n": "ne", "p": "po", "s": "sur"}[match[2][0].casefold()]
    return f"s{match[1]}_{code}_{match[3]}"


def join_key(corpus: str, subject: str, filename: str) -> Key:
    """The key under which maps and annotation rows meet."""
    name = smic_name(clip_name(str(subject), str(filename)))
    return corpus_word(corpus), subject_number(subject), loose(name)


def questions_by_clip(
    path: Path, clips: Iterable[Clip]
) -> tuple[dict[str, list[QuestionRow]], list[QuestionRow]]:
    """ME-VQA rows by clip id, in the order of the file, and the rows about no clip here.

    A dataset "smic" fits the corpus "smic-hs". Raises: DeftError naming a row that lacks a field, an id that
    is there twice, or two clips that rows cannot tell apart.
    """
    index: dict[Key, str] = {}
    for clip in clips:
        subject, name = clip.subject.rsplit("/", 1)[-1], clip.clip_id.rsplit("/", 1)[-1]
        known = index.setdefault(join_key(clip.corpus, subject, name), clip.clip_id)
        if known != clip.clip_id:
            raise DeftError(
                f"{path}: corpus, subject and file name are the same for the clips {known} and "
                f"{clip.clip_id}; rename one, so that questions are about one of them."
            )
    found: dict[str, list[QuestionRow]] = {}
    strangers = []
    seen = set()
    for row in read_question_rows(path):
        if row.id in seen:
            raise DeftError(f"{path}: the id {row.id} is there twice; give each question its own.")
        seen.add(row.id)
        clip_id = index.get(_key_of(row))
        if clip_id is None:
            strangers.append(row)
        else:
            found.setdefault(clip_id, []).append(row)
    return found, strangers


def _key_of(row: QuestionRow) -> Key:
    corpus = row.dataset or corpus_of_subject(row.subject) or ""
    return join_key(corpus, row.subject, row.filename)


@dataclass(frozen=True)
class Annotations:
    """What a file says of clips, and in words those of its rows that name no clip."""

    clips: dict[Key, Annotation]
    unread: list[str]


def read_annotations(path: Path) -> Annotations:
    """Read a CSV/xlsx table or an ME-VQA jsonl; several questions on one clip become one annotation.

    Rows of a table that contradict each other are a problem, and leave what they dispute open.
    Raises: DeftError where the file cannot be read or lacks subject and file name.
    """
    with existing_file(path).open("rb") as handle:
        head = handle.read(1)
    if path.suffix.casefold() == ".jsonl" or head == b"{":
        return Annotations(_merged(_from_questions(path)), [])
    table = find_table(path, COLUMNS, ("subject", "filename"))
    return Annotations(_merged(_from_table(table)), [f"{path.name} {row.told}" for row in table.unread])


def _merged(rows: Iterable[Annotation]) -> dict[Key, Annotation]:
    """One annotation per clip."""
    found: dict[Key, Annotation] = {}
    disputed: dict[Key, set[str]] = defaultdict(set)
    for row in rows:
        known = found.setdefault(row.key, Annotation(row.key, row.where))
        known.problems += row.problems
        known.notes += row.notes
        for name in ("emotion", "coarse", "aus"):
            value, before = getattr(row, name), getattr(known, name)
            if value is None:
                continue
            if name == "aus" and row.adds:
                value = _merge(before, value)
            elif before is not None and _plain(before) != _plain(value):
                known.problems.append(
                    f"two values of {name}: {_told(before)} in {known.where}, {_told(value)} in {row.where}"
                )
                disputed[row.key].add(name)
            setattr(known, name, value)
        if known.marks and row.marks and known.marks != row.marks:
            known.problems.append(f"two rows, {known.where} and {row.where}, give other frames")
            disputed[row.key].add("marks")
        known.marks = known.marks or row.marks
    for key, names in disputed.items():
        for name in names:
            setattr(found[key], name, {} if name == "marks" else None)
    return found


def _plain(value: Any) -> Any:
    return {unit.number for unit in value} if isinstance(value, list) else value


def _told(value: Any) -> str:
    return format_aus(value) or "no AU" if isinstance(value, list) else str(value)


def _merge(known: list[ActionUnit] | None, more: list[ActionUnit]) -> list[ActionUnit]:
    """AUs of several rows; a row that tells a side refines the one that does not."""
    merged = {unit.number: unit for unit in known or []}
    for unit in more:
        if unit.number not in merged or merged[unit.number].side == "both":
            merged[unit.number] = unit
    return list(merged.values())


def _from_table(table: Table) -> Iterator[Annotation]:
    for row in table.rows:
        subject = row.text("subject")
        corpus = row.text("corpus") or corpus_of_subject(subject) or ""
        where = f"{table.path.name} row {row.number}"
        found = Annotation(join_key(corpus, subject, row.text("filename")), where)
        _words(found, row.text("emotion"), row.text("coarse"))
        if "aus" in table.columns:
            _read_units(found, row.get("aus"))
        _read_marks(found, row)
        yield found


def _read_marks(found: Annotation, row: Row) -> None:
    for name in MARKS:
        number = cell_integer(row.get(name))
        if number is not None and number >= 0:
            found.marks[name] = number
        elif row.text(name) and row.text(name) not in ("/", "-"):
            found.problems.append(f"{name} {row.text(name)!r} is no frame number")


def _words(found: Annotation, emotion: str, coarse: str) -> None:
    if emotion:
        found.emotion = fine_word(emotion)
        found.coarse = coarse_word(emotion) if found.emotion is None else None
        if found.emotion is None and found.coarse is None:
            found.problems.append(f"emotion {emotion!r} is not known")
    if coarse:
        word = coarse_word(coarse)
        if word is None:
            found.problems.append(f"coarse class {coarse!r} is not known")
        found.coarse = word or found.coarse


def _read_units(found: Annotation, cell: Any) -> None:
    """AUs of a cell of codes ("4+R12C") or of FACS names ("brow lowerer, dimpler"); empty: nothing is said.

    What cannot be read is a problem, and leaves the AUs open where one may be lost.
    """
    text = cell_text(cell)
    if not text:
        return
    named = bool(re.search(r"[a-z]{4,}", text.casefold()))
    parsed = _named(text) if named else parse_aus(cell)
    found.problems += [f"AU {piece!r} could not be read" for piece in parsed.unread]
    found.notes += parsed.notes
    lost = bool(parsed.unread) if named else not parsed.complete
    found.aus = None if lost or (parsed.unread and not parsed.aus) else parsed.aus


def _named(text: str) -> ParsedAUs:
    """AUs by their FACS names, or codes among them."""
    read = ParsedAUs([], [], [])
    for piece in re.split(r"[,;+\n]", text):
        name = piece.strip().rstrip(".").casefold()
        if not name:
            continue
        name = _SPELLINGS.get(name, name)
        try:
            read.aus.append(ActionUnit(number=number_of(name)))
        except (DeftError, KeyError, ValueError):
            code = parse_aus(name)
            read.aus.extend(code.aus)
            read.unread.extend(code.unread)
            read.notes.extend(code.notes)
    return read


def _from_questions(path: Path) -> Iterator[Annotation]:
    for row in read_question_rows(path):
        found = Annotation(_key_of(row), f"{path.name} question {row.id}", adds=True)
        _read_answer(found, row.question.strip().casefold(), (row.answer or "").strip())
        yield found


def _read_answer(found: Annotation, question: str, answer: str) -> None:
    """Take facts out of one question and its answer; free prompts ("analyse ... in detail") give none."""
    if not answer:
        return
    if question.startswith("what is the coarse expression class"):
        _words(found, "", answer)
    elif question.startswith("what is the fine-grained expression class"):
        _words(found, answer, "")
    elif re.match(r"what (is|are) the action units?\?", question):
        _read_units(found, answer)
    elif located := re.match(r"is the action unit (.+?) located on the left or right face", question):
        aus = _named(located.group(1)).aus
        side = answer.casefold().strip(" .")
        if len(aus) == 1 and side in ("left", "right"):
            found.aus = [aus[0].model_copy(update={"side": side})]


def corpus_of_subject(subject: str) -> str | None:
    """Which corpus a subject folder belongs to: subNN CASME II, sNN SMIC, NNN SAMM; else None."""
    name = subject.strip().casefold()
    for pattern, corpus in ((r"sub\d+", "casme2"), (r"s\d+", "smic"), (r"\d{3}", "samm")):
        if re.fullmatch(pattern, name):
            return corpus
    return None
