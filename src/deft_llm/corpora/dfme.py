"""DFME: three cameras (500, 300, 200 fps); the folders tell whether its tables count from 0 or 1."""

from __future__ import annotations

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree, list_frames
from deft_llm.corpora.tables import Table, cell_integer, cell_number

COLUMNS = {
    "subject": ("Subject", "subject"),
    "filename": ("Filename", "file name"),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "emotion": ("Emotion", "label", "Estimated Emotion"),
    "emotion_id": ("EmotionId", "Emotion Id", "label id"),
    "fps": ("Fps", "frame rate"),
    "aus": ("AU", "AUs", "Action Units"),
}
# EmotionId is the place in alphabetic order.
EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion")


@loader("dfme", "DFME: training_full_with_AU.xlsx (testA, testB) and train/<Filename>/00001.png")
def load(request: Request) -> Corpus:
    """DFME, all tables that are there; the part (train, test A, test B) is noted on each clip."""
    builder = Builder.of(request, fps=200.0)
    tree = Tree(request.root)
    tables = tables_of(request, tree, COLUMNS, ("subject", "filename", "onset", "apex"), builder.corpus)
    for table in tables:
        _load_table(builder, tree, table)
    return builder.finish(" + ".join(table.coding for table in tables), *tables)


def _load_table(builder: Builder, tree: Tree, table: Table) -> None:
    base = index_base(builder, tree, table)
    for row in table.rows:
        subject, name = row.text("subject"), row.text("filename")
        cells = cells_of(row, _READ)
        number, said = cell_integer(row.get("emotion_id")), row.text("emotion")
        own = cell_integer(said)
        if own is not None and 0 <= own < len(EMOTIONS):  # ids where other copies of the table have words
            said = cells["emotion"] = EMOTIONS[own]
        if not said and number is not None and 0 <= number < len(EMOTIONS):
            cells["emotion"] = EMOTIONS[number]
        elif number is not None and not _agree(said, number):
            builder.corpus.fault(
                "label-conflict",
                f"row {row.number}: emotion {said!r} has EmotionId {number}; the word counts.",
                f"dfme/{subject}/{name}",
            )
        coded = Coded(
            subject, name, row.number, cells, tree.find(name), base=base, notes=[f"table {table.path.stem}"]
        )
        clip = builder.add(coded)
        if clip is not None and row.text("fps"):
            rate = cell_number(row.get("fps"))
            if rate:
                clip.fps = rate
            else:
                builder.corpus.fault(
                    "bad-number", f"row {row.number}: Fps {row.text('fps')!r} is no number.", clip.clip_id
                )


def _agree(emotion: str, number: int) -> bool:
    return 0 <= number < len(EMOTIONS) and EMOTIONS[number][:4] == emotion.strip().casefold()[:4]


def index_base(builder: Builder, tree: Tree, table: Table) -> int:
    """0 or 1: the counting under which fewer rows leave their folders; which one is noted.

    A row that fits under neither becomes a fault of that row.
    """
    wrong = {0: 0, 1: 0}
    for row in table.rows:
        onset, offset = cell_integer(row.get("onset")), cell_integer(row.get("offset"))
        folder = tree.find(row.text("filename"))
        count = len(list_frames(builder.corpus.root / folder).names) if folder else 0
        if not count or onset is None or offset is None:
            continue
        wrong[0] += offset > count - 1
        wrong[1] += onset < 1 or offset > count
    base = 0 if wrong[0] <= wrong[1] else 1
    builder.corpus.note(
        "index-base",
        f"{table.path.name}: frames are counted from {base} ({wrong[base]} rows do not "
        f"fit; {wrong[1 - base]} would not if counted from {1 - base}).",
    )
    return base
