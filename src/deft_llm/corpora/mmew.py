"""MMEW: 90 fps; clips lie in folders of their emotion, or of their subject and emotion."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.facs.emotions import fine_word

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "aus": ("Action Units",),
    "emotion": ("Estimated Emotion",),
    "remarks": ("remarks",),
}
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion")


@loader("mmew", "MMEW: MMEW_Micro_Exp.xlsx and Micro_Expression/<emotion>/S01-01-001/1.jpg")
def load(request: Request) -> Corpus:
    """MMEW micro-expressions; both layouts (emotion/clip and subject/emotion/clip)."""
    builder = Builder.of(request, fps=90.0)
    tree = Tree(request.root)
    required = ("subject", "filename", "onset", "apex", "emotion")
    tables = tables_of(request, tree, COLUMNS, required, builder.corpus)
    table = min(tables, key=lambda t: ("micro" not in t.path.name.casefold(), t.path.name))
    for row in table.rows:
        name = row.text("filename")
        subject = name.split("-")[0] if name.upper().startswith("S") else f"S{row.text('subject').zfill(2)}"
        folder = tree.find(name, prefer=("micro",))
        notes = [f"remark in the table: {row.text('remarks')}"] if row.text("remarks") else []
        builder.add(Coded(subject, name, row.number, cells_of(row, _READ), folder, notes=notes))
        if folder and "/" in folder:
            placed, said = fine_word(folder.split("/")[-2]), fine_word(row.text("emotion"))
            if placed and said and placed != said:
                builder.corpus.fault(
                    "label-conflict",
                    f"row {row.number}: {name} is {said} in the table, but lies in "
                    f"a folder of {placed}; the table counts.",
                    f"mmew/{subject}/{name}",
                    folder,
                )
    return builder.finish(table.coding, table)
