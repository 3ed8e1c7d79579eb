"""SAMM Long Videos: micro-expressions cut out of long videos; emotions come from SAMM's own table."""

from __future__ import annotations

import re

from deft_llm.corpora.base import Corpus, Request, loader, subject_name
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.samm import COLUMNS as MICRO_COLUMNS
from deft_llm.corpora.samm import REQUIRED as MICRO_REQUIRED
from deft_llm.corpora.samm import check_row
from deft_llm.corpora.tables import Row, find_table
from deft_llm.errors import DeftError
from deft_llm.records import loose

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("Onset", "Onset Frame"),
    "apex": ("Apex", "Apex Frame"),
    "offset": ("Offset", "Offset Frame"),
    "duration": ("Duration",),
    "kind": ("Type",),
    "aus": ("Action Units",),
}
_VIDEO = re.compile(r"(\d+)_\d+")
_READ = ("filename", "onset", "apex", "offset", "aus")


@loader(
    "samm_lv", "SAMM Long Videos: SAMM_LongVideos_V*_Release.xlsx and SAMM_longvideos/006_1/006_1_0001.jpg"
)
def load(request: Request) -> Corpus:
    """SAMM Long Videos, type "Micro"; macro-expressions are counted, not loaded."""
    builder = Builder.of(request, fps=200.0, people="samm")
    tree = Tree(request.root)
    table = tables_of(request, tree, COLUMNS, ("subject", "filename", "onset", "kind"), builder.corpus)[-1]
    emotions = _emotions(tree)
    others = 0
    used: set[tuple[str | None, str | None]] = set()
    for row in table.rows:
        if not row.text("kind").casefold().startswith("micro"):
            others += 1
            continue
        subject, name = subject_name("samm", row.text("subject")), row.text("filename")
        check_row(builder, row, subject, name)
        cells = cells_of(row, _READ) | _emotion_of(builder, emotions, row, f"samm_lv/{subject}/{name}")
        video = "_".join(name.split("_")[:2])  # it names its subject
        folder = tree.find(video)
        used.add((None, video))
        builder.add(Coded(subject, name, row.number, cells, folder, whole=False))
    videos = ((path, _VIDEO.fullmatch(path.rsplit("/", 1)[-1])) for path in tree.clip_folders)
    builder.add_empty_videos(((subject_name("samm", v[1]), v[0], path) for path, v in videos if v), used)
    if others:
        builder.corpus.note(
            "left-out", f"{others} rows of {table.path.name} are no micro-expressions; left out."
        )
    if not emotions:
        builder.corpus.note(
            "no-emotions",
            "SAMM's micro-expression table was not found below the root: clips have "
            "no emotion; put SAMM_Micro_FACS_Codes_v2.xlsx there to join them by file name.",
        )
    return builder.finish(table.coding, table)


def _emotions(tree: Tree) -> dict[str, Row]:
    """Rows of SAMM's micro-expression table by file name."""
    for path in tree.tables:
        try:
            table = find_table(path, MICRO_COLUMNS, MICRO_REQUIRED, "MICRO_ONLY")
        except DeftError:
            continue
        return {loose(row.text("filename")): row for row in table.rows}
    return {}


def _emotion_of(builder: Builder, emotions: dict[str, Row], row: Row, clip_id: str) -> dict[str, object]:
    found = emotions.get(loose(row.text("filename")))
    if found is None:
        if emotions:
            builder.corpus.fault(
                "not-joined", f"row {row.number}: {row.text('filename')} is not in SAMM's table.", clip_id
            )
        return {}
    if found.text("onset") != row.text("onset"):
        builder.corpus.fault(
            "onset-differs",
            f"row {row.number}: onset {row.text('onset')} here, "
            f"{found.text('onset')} in SAMM's table; this one counts.",
            clip_id,
        )
    return {"emotion": found.get("emotion"), "objective": found.get("objective")}
