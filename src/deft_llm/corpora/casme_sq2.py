"""CAS(ME)^2: 30 fps long videos; a table without header, and two sheets that name subjects and videos."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, note_unreadable
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.tables import Row, Sheet, Table, cell_integer, cell_text, read_sheets
from deft_llm.errors import DeftError

FIELDS = ("participant", "filename", "onset", "apex", "offset", "aus", "emotion", "kind", "report")
_VIDEO = re.compile(r"(?:^|/)(s\d+)/\d+_(\d{4})[^/]*$", re.IGNORECASE)
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion")


@dataclass(frozen=True)
class _Names:
    """Participant number -> "s15"; video word ("disgust1") -> code ("0101")."""

    subjects: dict[str, str]
    videos: dict[str, str]

    def video(self, filename: str) -> str | None:
        """The code of the video that a row's file name ("disgust1_2") is of; None where no sheet names it."""
        return self.videos.get(filename.split("_")[0].casefold())


@loader("casme_sq2", "CAS(ME)^2: CAS(ME)^2code_final.xlsx and rawpic/s15/15_0101disgustingteeth/img001.jpg")
def load(request: Request) -> Corpus:
    """CAS(ME)^2 micro-expressions; macro-expressions are counted, not loaded."""
    builder = Builder.of(request, fps=30.0, coarse_only=True)
    tree = Tree(request.root)
    table, names = _tables(request, tree, builder)
    macro = 0
    used: set[tuple[str | None, str | None]] = set()
    for row in table.rows:
        if not row.text("kind").casefold().startswith("micro"):
            macro += 1
            continue
        person = row.text("participant")
        subject = names.subjects.get(person) or (person if person.startswith("s") else None)
        used.add((subject, names.video(row.text("filename"))))
        if subject is None:
            builder.corpus.fault(
                "unknown-subject",
                f"row {row.number}: participant {person} is not in the sheet that names subjects; left out.",
            )
            continue
        folder, whole = _folder(tree, names, subject, row.text("filename"))
        cells = {name: row.get(name) for name in _READ}
        builder.add(Coded(subject, row.text("filename"), row.number, cells, folder, whole=whole))
    videos = ((path, _VIDEO.search(path)) for path in tree.clip_folders)
    found = ((video[1].casefold(), video[2], path) for path, video in videos if video)
    builder.add_empty_videos(found, used, prefer=("rawpic",))
    if macro:
        builder.corpus.note("left-out", f"{macro} macro-expressions of {table.path.name} are left out.")
    return builder.finish(table.coding, table)


def _folder(tree: Tree, names: _Names, subject: str, filename: str) -> tuple[str | None, bool]:
    """The clip's frames: its long video (rawpic), else its own folder (selectedpic)."""
    code = names.video(filename)
    if code:
        found = [
            path
            for path in tree.starting(subject, f"{subject[1:]}_{code}")
            if path.rsplit("/", 1)[-1].startswith((f"{subject[1:]}_{code}", f"{int(subject[1:])}_{code}"))
        ]
        if found:
            return min(found, key=lambda path: ("rawpic" not in path.casefold(), path)), False
    return tree.find(subject, filename, prefer=("selectedpic", "rawpic")), True


def _tables(request: Request, tree: Tree, builder: Builder) -> tuple[Table, _Names]:
    paths = [request.annotations] if request.annotations else tree.tables
    for path in sorted(paths, key=lambda p: ("updated" not in p.name.casefold(), p.name)):
        try:
            sheets = read_sheets(path)
        except DeftError as error:
            if request.annotations:
                raise
            note_unreadable(builder.corpus, path, error)
            continue
        found = _read(path, sheets)
        if found:
            return found
    unread = [fault.message for fault in builder.corpus.faults]
    raise DeftError(
        unread[0]
        if unread
        else f"{request.root}: no CAS(ME)^2code_final.xlsx was found; put it there or "
        "give it with --annotations."
    )


def _read(path: Path, sheets: dict[str, Sheet]) -> tuple[Table, _Names] | None:
    """The coding sheet is told by its eighth column (micro- or macro-expression), not by its name."""
    for name, sheet in sheets.items():
        rows = [
            Row(number, dict(zip(FIELDS, [*cells, *[None] * len(FIELDS)])))
            for number, cells in enumerate(sheet, 1)
            if len(cells) >= 8 and re.search(r"(micro|macro)", cell_text(cells[7]), re.IGNORECASE)
        ]
        if rows:
            others = [other for title, other in sheets.items() if title != name]
            return Table(path, name, rows, frozenset(FIELDS)), _names(others)
    return None


def _names(sheets: list[Sheet]) -> _Names:
    subjects: dict[str, str] = {}
    videos: dict[str, str] = {}
    for sheet in sheets:
        for row in sheet:
            texts = [cell_text(cell) for cell in row if cell_text(cell)]
            code = next((text for text in texts if re.fullmatch(r"s\d+", text, re.IGNORECASE)), None)
            if code is not None:
                numbers = [str(cell_integer(text)) for text in texts if cell_integer(text) is not None]
                subjects |= {number: code.casefold() for number in numbers[:1]}
                continue
            video = next((text for text in texts if re.fullmatch(r"\d{3,4}", text)), None)
            word = next((text for text in texts if re.search(r"[a-zA-Z]", text)), None)
            if video and word:
                videos[word.casefold()] = video.zfill(4)  # Excel may have lost the leading zero
    return _Names(subjects, videos)
