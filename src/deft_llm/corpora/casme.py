"""CASME (v1): 60 fps, two cameras, two apex columns; subjects are not those of CASME II."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader, subject_name
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetF", "OnsetFrame"),
    "apex": ("ApexF1", "ApexF", "ApexFrame"),
    "apex2": ("ApexF2",),
    "offset": ("OffsetF", "OffsetFrame"),
    "aus": ("AU", "AUs", "Action Units"),
    "emotion": ("Emotion", "Estimated Emotion"),
}
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion")


@loader("casme", "CASME: casme.xlsx and CASME_raw_selected/subNN/EPnn_n/*.jpg")
def load(request: Request) -> Corpus:
    """CASME; ApexF1 is the apex, another ApexF2 is noted on the clip."""
    builder = Builder.of(request, fps=60.0)
    tree = Tree(request.root)
    table = tables_of(
        request, tree, COLUMNS, ("subject", "filename", "onset", "apex", "apex2"), builder.corpus
    )[0]
    for row in table.rows:
        subject, name = subject_name("casme", row.text("subject")), row.text("filename")
        second = row.text("apex2")
        notes = (
            [f"second apex in the table: {second}"] if second not in ("", "/", "0", row.text("apex")) else []
        )
        folder = tree.find(subject, name, prefer=("raw_selected", "raw", "cropped"))
        builder.add(Coded(subject, name, row.number, cells_of(row, _READ), folder, notes=notes))
    return builder.finish(table.coding, table)
