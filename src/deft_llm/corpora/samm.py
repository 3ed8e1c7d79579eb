"""SAMM: 200 fps, grey frames, table with notes above its header."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader, subject_name
from deft_llm.corpora.coded import Builder, Coded, cells_of, note_unused, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.tables import Row, cell_integer
from deft_llm.records import loose, subject_number

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("Onset Frame", "Onset"),
    "apex": ("Apex Frame", "Apex"),
    "offset": ("Offset Frame", "Offset"),
    "duration": ("Duration",),
    "micro": ("Micro", "Type"),
    "aus": ("Action Units",),
    "emotion": ("Estimated Emotion", "Emotion"),
    "objective": ("Objective Classes",),
}
REQUIRED = ("subject", "filename", "onset", "apex", "emotion")
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion", "objective")


@loader("samm", "SAMM: SAMM_Micro_FACS_Codes_v2.xlsx and SAMM/006/006_1_2/006_05562.jpg (or SAMM_CROP)")
def load(request: Request) -> Corpus:
    """SAMM micro-expressions."""
    builder = Builder.of(request, fps=200.0)
    tree = Tree(request.root)
    table = tables_of(request, tree, COLUMNS, REQUIRED, builder.corpus, sheet="MICRO_ONLY")[0]
    used: set[str] = set()
    for row in table.rows:
        subject, name = subject_name("samm", row.text("subject")), row.text("filename")
        folder = tree.find(subject, name, prefer=("samm/", "raw", "crop"))
        used.add(loose("/".join((folder or "").split("/")[-2:])))
        check_row(builder, row, subject, name)
        builder.add(Coded(subject, name, row.number, cells_of(row, _READ), folder))
    note_unused(builder, tree, set(), lambda path: loose("/".join(path.split("/")[-2:])) not in used)
    return builder.finish(table.coding, table)


def check_row(builder: Builder, row: Row, subject: str, name: str) -> None:
    """File name against subject, duration against onset and offset."""
    clip_id = f"{builder.corpus.name}/{subject}/{name}"
    if subject_number(name.split("_")[0]) != subject_number(subject):
        builder.corpus.fault(
            "subject-differs",
            f"row {row.number}: file {name} does not start with subject {subject}.",
            clip_id,
        )
    onset, offset, duration = (cell_integer(row.get(key)) for key in ("onset", "offset", "duration"))
    if None not in (onset, offset, duration) and duration != offset - onset + 1:  # type: ignore[operator]
        builder.corpus.note(
            "duration-differs",
            f"row {row.number}: duration {duration}, but {onset}..{offset} are {offset - onset + 1} frames.",  # type: ignore[operator]
            clip_id,
        )
