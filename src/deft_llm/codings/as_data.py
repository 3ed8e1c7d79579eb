"""Coders' events as data to train on: rows of a table of clips, or corrections of a known corpus' table.

AUs that begin together (onsets within ``TOGETHER`` s of the first) make one clip, as the flow from its onset
to its apex shows them together; what was rejected, and releases, are no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from deft_llm.codings.events import INTENSITIES, CodedEvent, Coding, FrameClock
from deft_llm.codings.formats import read_coding
from deft_llm.codings.pairs import coding_files
from deft_llm.corpora import load
from deft_llm.corpora.base import Corpus, safe_name
from deft_llm.corpora.frames import frame_number
from deft_llm.corpora.tables import cell_integer, cell_text, find_table
from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.faces.video import image_files
from deft_llm.facs.notation import format_aus, parse_aus
from deft_llm.files import digest, real_path, sha256_of, write_csv, write_text
from deft_llm.records import ActionUnit, Clip

TOGETHER = 0.2  # s
COLUMNS = ("path", "clip_id", "subject", "onset", "apex", "offset", "fps", "aus", "coder")


@dataclass(frozen=True)
class CodedMovement:
    """AUs that begin together; frames are 0-based, inclusive. ``apex``: that of the strongest AU."""

    onset: int
    apex: int | None
    offset: int
    aus: list[ActionUnit]
    face: int


def movements_of(coding: Coding) -> list[CodedMovement]:
    """What a coder saw rise, in order of time; AUs of one face go together."""
    groups: list[list[CodedEvent]] = []
    latest: dict[int, list[CodedEvent]] = {}
    for event in coding.sorted().events:
        if event.status in ("rejected", "proposed") or event.phase != "rise":
            continue
        group = latest.get(event.face)
        if group is not None and event.onset_time - group[0].onset_time <= TOGETHER:
            group.append(event)
        else:
            latest[event.face] = [event]
            groups.append(latest[event.face])
    return [_movement(group) for group in groups]


def _of_one_person(path: Path, coding: Coding) -> list[CodedMovement]:
    """The movements of a coding file. Raises: DeftError where they are of several faces: a row is of one."""
    movements = movements_of(coding)
    faces = sorted({movement.face for movement in movements})
    if len(faces) > 1:
        raise DeftError(
            f"{path}: holds movements of faces {', '.join(map(str, faces))}, and a clip is of one person; "
            "keep the events of one face."
        )
    return movements


def _movement(events: list[CodedEvent]) -> CodedMovement:
    strength = lambda e: -1 if e.intensity is None else INTENSITIES.index(e.intensity)  # noqa: E731
    with_apex = [event for event in events if event.apex is not None]
    units = {(e.au, e.side): ActionUnit(number=e.au, side=e.side, intensity=e.intensity) for e in events}
    return CodedMovement(
        min(event.onset for event in events), max(with_apex, key=strength).apex if with_apex else None,
        max(event.offset for event in events), [units[key] for key in sorted(units)], events[0].face,
    )  # fmt: skip


class Tabled(NamedTuple):
    """How many ``clips`` a coder's table has, and names in the codings that are no AUs'."""

    clips: int
    unread: list[str]


def write_clips(
    codings: Path, out: Path, subjects: Mapping[str, str] | None = None, clock: FrameClock | None = None
) -> Tabled:  # fmt: skip
    """Write one coder's movements as a table of clips that ``deft prepare folder`` reads.

    codings: the coder's folder of codings. subjects: clip -> person; without it, the folder that a clip lies
    in is its person. clock: the rate of codings that state none. Raises: UsageError where nothing says who a
    clip shows: folds are disjoint by person; DeftError where a coding is of several faces.
    """
    rows = []
    unread: dict[str, None] = {}
    files = coding_files(codings, whole=True)
    if not files:
        raise DeftError(f"{codings}: holds no coding of events; give a coder's folder, codings/NAME.")
    for clip, path in files.items():
        subject = (subjects or {}).get(clip) or (Path(clip).parent.name if subjects is None else "")
        if not safe_name(subject):
            raise UsageError(
                f"{clip}: nothing says whom it shows; put clips into a folder per person, or give --subjects "
                "with columns clip and subject."
            )
        coding = read_coding(path, clock)
        unread |= dict.fromkeys(coding.unread)
        for movement in _of_one_person(path, coding):
            stem = Path(clip).with_suffix("").as_posix().replace("/", "-")
            rows.append({
                "path": clip, "clip_id": f"folder/{subject}/{stem}-{movement.onset}", "subject": subject,
                "onset": movement.onset, "apex": movement.apex, "offset": movement.offset,
                "fps": f"{coding.fps:.10g}", "aus": format_aus(movement.aus),
                "coder": coding.coder or Path(codings).name,
            })  # fmt: skip
    write_csv(out, COLUMNS, rows)
    return Tabled(len(rows), list(unread))


def read_subjects(path: Path) -> dict[str, str]:
    """Clip -> person of a table with columns clip and subject. Raises: DeftError where it is none."""
    columns = {name: (name,) for name in ("clip", "subject")}
    table = find_table(path, columns, tuple(columns), mend="give a row for each clip")
    return {row.text("clip"): row.text("subject") for row in table.rows}


@dataclass
class Written:
    """What became of a coder's clips: ``corrections`` written, clips that are ``equal`` to the table,
    ``unseen`` clips in which the coder coded nothing where the table has a movement; ``unread``: names in
    the codings that are no AUs'."""

    corrections: list[dict[str, Any]] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def write_overlay(
    codings: Path, clips: Path, name: str, root: Path, out: Path, clock: FrameClock | None = None
) -> Written:  # fmt: skip
    """Write what one coder codes differently from a corpus' table as a versioned correction file.

    clips: the folder that was coded, the corpus' ``root`` or below it. clock: the rate of codings that
    state none. Raises: DeftError where no coded clip is one of the corpus, a coding is of several faces, or a
    correction does not apply when the corpus is read with the file.
    """
    import yaml

    corpus = load(name, root)
    files = coding_files(codings, whole=True)
    if not real_path(clips).is_relative_to(real_path(root)):
        raise UsageError(f"--clips {clips}: is not in --root {root}; give the corpus' folder or one in it.")
    base = real_path(clips).relative_to(real_path(root)).as_posix()
    placed = {f"{base}/{clip}".removeprefix("./"): path for clip, path in files.items()}
    written, coder = Written(), ""
    for clip in corpus.clips:
        if clip.clip_id in corpus.cells and clip.source.path in placed:
            path = placed[clip.source.path]
            coding = read_coding(path, clock)
            written.unread += [name for name in coding.unread if name not in written.unread]
            coder = coding.coder or Path(codings).name
            with naming(path):
                _compare(corpus, clip, _of_one_person(path, coding), coder, written)
    if not coder:
        raise DeftError(
            f"{codings}: holds no coding of a clip of {name}; --clips is the folder that was coded."
        )
    version = f"{coder} {digest([sha256_of(path) for path in files.values()], 8)}"
    overlay = {"schema": 1, "corpus": name, "version": version, "corrections": written.corrections}
    write_text(out, yaml.safe_dump(overlay, sort_keys=False, allow_unicode=True))
    if written.corrections:
        corrected = load(name, root, corrections=[out])
        told = sum(coder in note for clip in corrected.clips for note in clip.notes)
        if told < len(written.corrections):
            raise DeftError(
                f"{out}: {len(written.corrections) - told} of its corrections do not apply to {name}."
            )
    return written


def _compare(
    corpus: Corpus, clip: Clip, movements: list[CodedMovement], coder: str, written: Written
) -> None:  # fmt: skip
    """Add a correction for every cell of the clip's row that the coder codes differently.

    Raises: DeftError for a movement that ends after the clip's images.
    """
    row = corpus.cells[clip.clip_id]
    names = image_files(corpus.root / clip.source.path)
    end = max((movement.offset for movement in movements), default=0)
    if end >= len(names):
        raise DeftError(
            f"an event ends at frame {end}, and {clip.source.path} has only {len(names)} images; "
            "correct the event, or give the right rate with --fps."
        )
    number = lambda index: _number(row, names, index)  # noqa: E731
    first, last = (cell_integer(row.cells.get(mark)) for mark in ("onset", "offset"))
    shared = [
        min(number(m.offset), number(m.offset) if last is None else last)
        - max(number(m.onset), number(m.onset) if first is None else first)
        for m in movements
    ]
    if not shared or max(shared) < 0:
        written.unseen.append(clip.clip_id)
        return
    seen = movements[shared.index(max(shared))]
    values: dict[str, Any] = {"aus": format_aus(seen.aus), "offset": number(seen.offset)}
    if seen.apex is not None:
        values["apex"] = number(seen.apex)
    values["onset"] = number(seen.onset)  # last: corrections tell rows apart by their onset
    found = [
        {"subject": row.subject, "filename": row.filename, "onset": first, "field": name,
         "was": cell_text(row.cells.get(name)), "value": value, "reason": f"coded by {coder} in deft app"}
        for name, value in values.items()
        if name in row.cells and not _same(name, row.cells.get(name), value)
    ]  # fmt: skip
    written.corrections += found
    if not found:
        written.equal.append(clip.clip_id)


def _number(row: Any, names: list[str], index: int) -> int:
    """What a table writes for the frame with an index: the number in its file's name, or counted."""
    if isinstance(row.base, int):
        return index + row.base
    found = frame_number(names[index])
    if found is None:
        raise DeftError(f"{names[index]}: has no number in its name; the table's frames cannot be told.")
    return found


def _same(name: str, cell: Any, value: Any) -> bool:
    if name != "aus":
        return cell_integer(cell) == value
    own, theirs = ({(unit.number, unit.side, unit.intensity) for unit in parse_aus(text).aus}
                   for text in (value, cell))  # fmt: skip
    return own == theirs
