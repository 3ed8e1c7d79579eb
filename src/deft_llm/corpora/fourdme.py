"""4DME: 60 fps, several labels a clip (one column each), uncertain AUs marked "(k)"."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.labels import coarse_word
from deft_llm.corpora.tables import Row
from deft_llm.facs.emotions import fine_word

LABELS = ("Positive", "Negative", "Surprise", "Repression", "Others")
COLUMNS = {
    "subject": ("sub_ID", "Subject"),
    "filename": ("fold_name", "folder name", "Filename"),
    "emotion": ("Emotion",),
    "onset": ("Onset",),
    "apex": ("Apex",),
    "offset": ("Offset",),
    "aus": ("AUs", "AU"),
} | {label.casefold(): (label,) for label in LABELS}
_READ = ("filename", "onset", "apex", "offset", "aus")


@loader("fourdme", "4DME: 4DME_Labelling_Micro_release v1.xlsx and a folder of frames for each fold_name")
def load(request: Request) -> Corpus:
    """4DME (grey videos); a clip with one label gets it, several are noted and left undecided."""
    builder = Builder.of(request, fps=60.0, coarse_only=True)
    tree = Tree(request.root)
    tables = tables_of(request, tree, COLUMNS, ("subject", "filename", "onset", "apex"), builder.corpus)
    table = min(tables, key=lambda t: ("extra" in t.path.name.casefold(), t.path.name))
    for row in table.rows:
        subject, name = row.text("subject"), row.text("filename")
        said = labels_of(row)
        cells = cells_of(row, _READ)
        notes = [] if len(said) == 1 else [f"labels in the table: {', '.join(said) or 'none'}"]
        coded = Coded(
            subject, name, row.number, cells, tree.find(subject, name) or tree.find(name), notes=notes
        )
        clip = builder.add(coded)
        if clip is None:
            continue
        if len(said) == 1:
            clip.emotion = fine_word(said[0]) if said[0] in ("Repression", "Others") else None
            clip.coarse = coarse_word(said[0])
        elif said:
            builder.corpus.note("several-labels", f"row {row.number}: {', '.join(said)}.", clip.clip_id)
        else:
            builder.corpus.fault("unknown-label", f"row {row.number}: no emotion is given.", clip.clip_id)
    return builder.finish(table.coding, table)


def labels_of(row: Row) -> list[str]:
    """The labels that are set, in the order of ``LABELS``; without their columns, the Emotion cell's."""
    if any(label.casefold() in row.cells for label in LABELS):
        return [label for label in LABELS if row.text(label.casefold()) in ("1", "True", "TRUE")]
    words = row.text("emotion").replace("+", ",").replace("/", ",").split(",")
    return [label for label in LABELS if label.casefold() in {word.strip().casefold() for word in words}]
