"""CASME II: 200 fps, codings of 2014 (CASME2-coding-20140508) and 2019 (20190701, with objective classes)."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader, subject_name
from deft_llm.corpora.coded import Builder, Coded, cells_of, note_unused, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.tables import Table
from deft_llm.records import loose, subject_number

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "aus": ("Action Units", "AU"),
    "emotion": ("Estimated Emotion", "Emotion"),
    "objective": ("Objective Classes", "Objective Class"),
}
_REQUIRED = ("subject", "filename", "onset", "apex", "emotion")
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion", "objective")
FOLDERS = ("raw_selected", "raw", "cropped")


@loader(
    "casme2", "CASME II: CASME2-coding-*.xlsx and CASME2_RAW_selected/subNN/EPnn_nn/imgN.jpg (or Cropped)"
)
def load(request: Request) -> Corpus:
    """CASME II; the 2019 coding is used where both are there, and how they differ is noted."""
    builder = Builder.of(request, fps=200.0)
    tree = Tree(request.root)
    tables = tables_of(request, tree, COLUMNS, _REQUIRED, builder.corpus)
    table = max(tables, key=lambda t: (edition(t), "updated" not in t.path.name.casefold(), t.path.name))
    for other in tables:
        if other is not table:
            builder.corpus.note(
                "other-coding",
                f"{other.path.name} ({edition(other)}) is not used: it differs from "
                f"{table.path.name} ({edition(table)}) in {differences(other, table)}.",
            )
    used: set[str] = set()
    for row in table.rows:
        subject, name = subject_name("casme2", row.text("subject")), row.text("filename")
        folder = tree.find(subject, name, prefer=FOLDERS)
        used |= {folder or ""}
        builder.add(Coded(subject, name, row.number, cells_of(row, _READ), folder))
    note_unused(builder, tree, used, lambda path: _is_spare(path, used))
    return builder.finish(f"{edition(table)} coding, {table.coding}", table)


def edition(table: Table) -> str:
    """ "2019" for the coding with objective classes, else "2014"."""
    return "2019" if "objective" in table.columns or "2019" in table.path.name else "2014"


def differences(one: Table, two: Table) -> str:
    """How two codings differ, row by row of the same clip: "3 emotions, 57 AU strings, 0 apexes"."""
    keys = [
        {(subject_number(r.text("subject")), loose(r.text("filename"))): r for r in t.rows}
        for t in (one, two)
    ]
    both = keys[0].keys() & keys[1].keys()
    counts = []
    for name, word in (("emotion", "emotions"), ("aus", "AU strings"), ("apex", "apexes")):
        changed = sum(loose(keys[0][key].text(name)) != loose(keys[1][key].text(name)) for key in both)
        counts.append(f"{changed} {word}")
    single = len(keys[0].keys() ^ keys[1].keys())
    return ", ".join(counts) + (f" and {single} rows that only one has" if single else "")


def _is_spare(path: str, used: set[str]) -> bool:
    """A frame folder subNN/NAME that no row names in any of its copies (raw, cropped)."""
    tails = {loose("/".join(folder.split("/")[-2:])) for folder in used}
    return path.count("/") >= 1 and loose("/".join(path.split("/")[-2:])) not in tails
