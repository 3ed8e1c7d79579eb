"""CAS(ME)^3: part A (long RGB-D videos, three apexes of trouble) and part C (mock crime, no apex), 30 fps."""

from __future__ import annotations

import re

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, cells_of, tables_of
from deft_llm.corpora.frames import Tree
from deft_llm.corpora.tables import Table, cell_integer
from deft_llm.errors import DeftError
from deft_llm.records import subject_number

PART_A = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("Onset",),
    "apex": ("Apex",),
    "offset": ("Offset",),
    "aus": ("AU",),
    "objective": ("Objective class",),
    "emotion": ("emotion",),
    "kind": ("Expression type",),
}
PART_C = {
    "subject": ("sub",),
    "filename": ("count",),
    "onset": ("onset",),
    "offset": ("offset",),
    "aus": ("au",),
    "emotion": ("emotion",),
}
_VIDEO = re.compile(r"(?:^|/)spNO\.(\d+)/([a-z])/color$", re.IGNORECASE)
_READ = ("filename", "onset", "apex", "offset", "aus", "emotion", "objective")


@loader(
    "casme3",
    "CAS(ME)^3 A and C: *part_A_ME_label_JpgIndex_v2.xlsx, part_A/spNO.1/a/color/1.jpg; part_C_ME.xlsx",
)
def load(request: Request) -> Corpus:
    """CAS(ME)^3, the parts whose tables are there."""
    builder = Builder.of(request, fps=30.0)
    tree = Tree(request.root)
    tables: dict[str, Table] = {}
    missing: DeftError | None = None
    for part, columns, required in (
        ("A", PART_A, ("subject", "filename", "onset", "apex", "emotion")),
        ("C", PART_C, ("subject", "filename", "onset", "offset", "emotion")),
    ):
        try:
            found = tables_of(request, tree, columns, required, builder.corpus)
        except DeftError as error:
            missing = missing or error
            continue
        tables[part] = max(found, key=lambda t: ("v2" in t.path.name.casefold(), t.path.name))
    if not tables:
        raise missing or DeftError(f"{request.root}: no table of part A or part C was found.")
    if "A" in tables:
        _load_part_a(builder, tree, tables["A"])
    if "C" in tables:
        _load_part_c(builder, tree, tables["C"])
    coding = " + ".join(f"part {part}: {table.coding}" for part, table in tables.items())
    return builder.finish(coding, *tables.values())


def _load_part_a(builder: Builder, tree: Tree, table: Table) -> None:
    name = table.path.name.casefold()
    if "label" in name and "v2" not in name:
        builder.corpus.note(
            "superseded",
            f"{table.path.name} is the first edition; the owners replaced it by "
            "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx.",
        )
    used: set[tuple[str | None, str | None]] = set()
    for row in table.rows:
        number, letter = subject_number(row.text("subject")), row.text("filename").casefold()
        subject = f"spNO.{number}"
        onset = row.text("onset")
        cells = cells_of(row, _READ)
        clip = next(
            (
                f
                for f in (
                    tree.find(f"{subject}_{letter}_{start}", prefer=("frame",))
                    for start in (onset, row.text("apex"))
                )
                if f and "depth" not in f.casefold()
            ),
            None,
        )
        folder = clip or tree.find(subject, letter, "color") or tree.find(subject, letter)
        used.add((subject, letter))
        builder.add(Coded(subject, f"{letter}_{onset}", row.number, cells, folder, whole=clip is not None))
    videos = ((path, _VIDEO.search(path)) for path in tree.clip_folders)
    builder.add_empty_videos(((f"spNO.{int(v[1])}", v[2], path) for path, v in videos if v), used)


def _load_part_c(builder: Builder, tree: Tree, table: Table) -> None:
    """Part C names its people by number; they are others than those of part A."""
    coarse = Builder(
        builder.corpus,
        builder.fps,
        builder.corrections,
        coarse_only=True,
        people=builder.people,
        seen=builder.seen,
    )
    for row in table.rows:
        if cell_integer(row.get("onset")) is None and not row.text("emotion"):
            continue
        person, count = row.text("subject"), row.text("filename")
        folder = next(
            (
                f
                for f in (
                    tree.find(person, count, "color"),
                    tree.find(person, count),
                    tree.find(f"{person}_{count}"),
                )
                if f
            ),
            None,
        )
        builder_row = Coded(
            f"C{subject_number(person)}", count, row.number, cells_of(row, _READ), folder, whole=False
        )
        coarse.add(builder_row)
