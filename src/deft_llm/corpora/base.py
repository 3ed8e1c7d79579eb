"""What a loader gives back, the registry of loaders, and the names that clips get.

A new corpus is one file in this folder with one function under ``@loader(KEY)``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

from deft_llm.corpora.tables import Table
from deft_llm.errors import DeftError, UsageError, is_plain, printable
from deft_llm.facs.notation import parse_aus
from deft_llm.files import sha256_of
from deft_llm.records import Clip, person, subject_number

Severity = Literal["fault", "note"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong (``fault``) or worth knowing (``note``) about a corpus.

    ``kind`` is a fixed word for machines ("missing-frames"), ``message`` one sentence for people.
    """

    kind: str
    message: str
    clip_id: str | None = None
    path: str | None = None
    severity: Severity = "fault"

    def __post_init__(self) -> None:
        for name in ("message", "clip_id", "path"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, printable(value))


@dataclass(frozen=True)
class TableRow:
    """A clip's row as the owner's table says it, before any correction; ``base`` as in ``coded.Coded``."""

    subject: str
    filename: str
    base: str | int
    cells: dict[str, Any]


@dataclass
class Corpus:
    """A corpus on disk: its clips, what is wrong with it, and the edition of its annotation.

    ``clips`` holds every annotated clip, also those whose frames are missing (their source has no
    frames), so that labels can be counted from tables alone. ``empty_videos``: long videos in which the
    table codes no micro-expression, one record each without indices; spotting counts its false alarms there.
    ``cells``: the table's rows by clip id, of corpora whose table can be corrected. ``digests``: SHA-256 of
    the files that the user gave, by what they are (annotations, corrections).
    """

    name: str
    root: Path
    clips: list[Clip] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    coding: str = ""
    empty_videos: list[Clip] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=dict)
    cells: dict[str, TableRow] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # path of a film -> whose it is
    digests: dict[str, list[str]] = field(default_factory=dict)

    @property
    def edition(self) -> dict[str, Any]:
        """What the labels come from: ``coding``, and ``digests`` of the user's own files."""
        return {"coding": self.coding, **self.digests}

    def fault(self, kind: str, message: str, clip_id: str | None = None, path: str | None = None) -> None:
        """Add a fault."""
        self.faults.append(Fault(kind, message, clip_id, path))

    def subject(self, name: str, where: str) -> str:
        """A subject's name in the first spelling that was met: "006" and "6" are one person; it is noted."""
        first = self.people.setdefault(person(name), name)
        if first != name:
            told = f"subjects {first} and {name} are one person: {first}"
            if not any(fault.message.startswith(told) for fault in self.faults):
                self.note("one-person", f"{told} ({where}).")
        return first

    def owns(self, subject: str, path: str, where: str, clip_id: str) -> bool:
        """Whether a file shows this subject and nobody else; a fault where it is another's already."""
        owner = self.owners.setdefault(os.path.normpath(path), subject)
        if owner != subject:
            self.fault("two-subjects", f"{where}: {path} is {owner}'s already; left out.", clip_id)
        return owner == subject

    def aus(self, clip: Clip, cell: Any, where: str) -> None:
        """Read an AU cell into ``clip``; what cannot be read is a fault, and leaves the clip not coded where
        an AU may be lost, for it must not count as "no AU".
        """
        parsed = parse_aus(cell)
        clip.aus = parsed.aus if parsed.complete and (parsed.aus or not parsed.unread) else None
        for piece in parsed.unread:
            self.fault("unread-aus", f"{where}: AU {piece!r} could not be read.", clip.clip_id)
        for note in parsed.notes:
            self.note("aus-reading", f"{where}: {note}.", clip.clip_id)

    def note(self, kind: str, message: str, clip_id: str | None = None, path: str | None = None) -> None:
        """Add a note: known, handled, no reason to stop."""
        self.faults.append(Fault(kind, message, clip_id, path, severity="note"))

    def unread(self, table: Table) -> None:
        """Name the rows of a table that no clip was made of: a fault where it looks like a damaged row (two
        cells or more), a note where it may be a remark."""
        for row in table.unread:
            (self.fault if row.filled > 1 else self.note)("unread-row", f"{table.path.name} {row.told}.")


@dataclass(frozen=True)
class Request:
    """What a loader is asked for: the corpus folder, the user's annotation file and correction files."""

    name: str
    root: Path
    annotations: Path | None = None
    corrections: tuple[Path, ...] = ()


Loader = Callable[[Request], Corpus]


@dataclass(frozen=True)
class Entry:
    """A registered loader and the one line that ``deft corpus list`` shows for it."""

    load: Loader
    about: str


_ENTRIES: dict[str, Entry] = {}
_INFRASTRUCTURE = {
    "base", "check", "coded", "frames", "joining", "labels", "mapfiles", "overlays", "questions", "tables",
}  # fmt: skip


def loader(name: str, about: str = "") -> Callable[[Loader], Loader]:
    """Register a loader under ``name``; ``about`` is its line in ``deft corpus list``."""

    def register(function: Loader) -> Loader:
        _ENTRIES[name] = Entry(function, about or (function.__doc__ or "").strip().split("\n")[0])
        return function

    return register


def entries() -> dict[str, Entry]:
    """All loaders by name; importing this package's modules registers them."""
    package = Path(__file__).parent
    for module in iter_modules([str(package)]):
        if module.name not in _INFRASTRUCTURE:
            import_module(f"deft_llm.corpora.{module.name}")
    return dict(sorted(_ENTRIES.items()))


def load(
    name: str, root: Path | str, annotations: Path | str | None = None, corrections: Iterable[Path | str] = ()
) -> Corpus:
    """Read the corpus ``name`` at ``root``; clips come in order of clip id.

    Raises: UsageError for an unknown name or a folder that is not there; DeftError where its annotation
    cannot be read at all.
    """
    known = entries()
    if name not in known:
        near = name.replace("^", "").replace("(", "").replace(")", "").casefold()
        raise UsageError(
            f"corpus {name}: unknown; choose one of {', '.join(known)}"
            + (f" (did you mean {near}?)." if near in known and near != name else ".")
        )
    folder = Path(root)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the folder that holds {name}.")
    table = Path(annotations) if annotations is not None else None
    if table is not None and not table.is_file():
        raise UsageError(f"{table}: no such file; give an annotation table with --annotations.")
    own = tuple(Path(path) for path in corrections)
    corpus = known[name].load(Request(name, folder, table, own))
    corpus.digests = {
        "annotations": [sha256_of(table)] if table is not None else [],
        "corrections": [sha256_of(path) for path in own],
    }
    corpus.clips = [clip for clip in corpus.clips if _is_named_well(corpus, clip)]
    corpus.clips.sort(key=lambda clip: clip.clip_id)
    if not corpus.clips and not corpus.faults:
        raise DeftError(
            f"{folder}: nothing of corpus {name} was found here; see 'deft corpus list' for layouts."
        )
    return corpus


def _is_named_well(corpus: Corpus, clip: Clip) -> bool:
    """Whether the clip's files have names that records can hold; a fault where they have not."""
    source = clip.source
    names = (source.path, source.path_offset or "", *(source.frames or ()))
    odd = next((name for name in names if not is_plain(name)), None)
    if odd is not None:
        corpus.fault(
            "unsafe-name",
            f"{odd!r}, a file of this clip, has control or formatting characters in its name, or bytes that "
            "are not UTF-8; rename it.",
            clip.clip_id,
            odd,
        )
    return odd is None


_UNSAFE = re.compile(r"[\x00-\x1f\\:*?\"<>|]")


def safe_name(name: str) -> bool:
    """Whether ``name`` may be a part of a clip id and of a path: no separators, no "..", nothing hidden."""
    hidden = name.startswith((".", "-"))
    return bool(name) and not hidden and "/" not in name and not _UNSAFE.search(name) and is_plain(name)


def slashes(path: str) -> str:
    """A relative path with slashes alone."""
    return path.replace("\\", "/")


def safe_path(root: Path, relative: str) -> Path | None:
    """``root/relative`` where it stays below ``root`` (links are not followed), else None.

    Back slashes of another system are slashes.
    """
    relative = slashes(relative)
    if not relative or "\x00" in relative or os.path.isabs(relative) or re.match(r"[A-Za-z]:", relative):
        return None
    joined = os.path.normpath(os.path.join(root, relative))
    inside = os.path.normpath(root)
    return Path(joined) if joined == inside or joined.startswith(inside.rstrip(os.sep) + os.sep) else None


def subject_name(corpus: str, subject: str) -> str:
    """A subject's name as its corpus writes it: casme2 "sub01", samm "006", smic "s1"."""
    number = subject_number(subject)
    if not number.isdigit():
        return subject
    forms = {
        "casme2": f"sub{int(number):02d}",
        "casme": f"sub{int(number):02d}",
        "samm": f"{int(number):03d}",
        "smic": f"s{int(number)}",
    }
    return forms.get(corpus, subject)
