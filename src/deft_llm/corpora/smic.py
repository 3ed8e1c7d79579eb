"""SMIC: labels are folder names, no apex; HS (100 fps), VIS and NIR (25 fps) show the same people."""

from __future__ import annotations

import re

from deft_llm.corpora.base import Corpus, Request, loader
from deft_llm.corpora.coded import Builder, Coded, note_unreadable
from deft_llm.corpora.frames import Tree, list_frames
from deft_llm.corpora.joining import smic_name
from deft_llm.corpora.labels import coarse_word
from deft_llm.corpora.tables import Row, Table, cell_integer, find_table
from deft_llm.errors import DeftError
from deft_llm.records import loose

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "first": ("FirstF",),
    "onset": ("OnsetF",),
    "offset": ("OffsetF",),
    "onset2": ("Onset2F",),
    "emotion": ("Emotion",),
}
_CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", re.IGNORECASE)
_WORDS = {"hs": ("hs",), "vis": ("vis",), "nir": ("nir",)}


@loader("smic", "SMIC-HS: HS/s1/micro/<negative|positive|surprise>/s1_ne_01/*.bmp (raw or SMIC_all_cropped)")
def load_hs(request: Request) -> Corpus:
    """SMIC high-speed."""
    return _load(request, "hs", 100.0)


@loader("smic_vis", "SMIC-VIS: VIS/s11/micro/<negative|positive|surprise>/s11_ne_01/*")
def load_vis(request: Request) -> Corpus:
    """SMIC visible light; subjects are those of smic."""
    return _load(request, "vis", 25.0)


@loader("smic_nir", "SMIC-NIR: NIR/s11/micro/<negative|positive|surprise>/s11_ne_01/*")
def load_nir(request: Request) -> Corpus:
    """SMIC near infrared; subjects are those of smic."""
    return _load(request, "nir", 25.0)


def _load(request: Request, mode: str, fps: float) -> Corpus:
    builder = Builder.of(request, fps, people="smic", coarse_only=True)
    tree = Tree(request.root)
    rows, coding = _rows(request, tree, builder, mode)
    folders = _folders(tree, mode)
    for number, ((subject, name), folder) in enumerate(sorted(folders.items()), 1):
        _add(builder, subject, name, folder, rows.pop(loose(name), None), number)
    for path in _unread(tree, mode):
        builder.corpus.fault(
            "unread-name",
            f"{path}: a folder of frames whose name is none like s1_ne_01; left out.",
            path=path,
        )
    for row in rows.values():
        builder.corpus.fault(
            "missing-frames",
            f"row {row.number}: no folder of frames was found for {row.text('filename')}.",
            f"{request.name}/{row.text('subject')}/{row.text('filename')}",
        )
    if not folders and not builder.corpus.faults:
        raise DeftError(
            f"{request.root}: no clip folders like {mode.upper()}/s1/micro/negative/s1_ne_01 were found."
        )
    return builder.finish(coding)


def _folders(tree: Tree, mode: str) -> dict[tuple[str, str], str]:
    """Clip folders of one camera by (subject, clip); raw frames before cropped ones, micro only."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in tree.folders:
        match = _CLIP.fullmatch(smic_name(path.rsplit("/", 1)[-1]))
        parts = [part.casefold() for part in path.split("/")[:-1]]
        if not match or any("non_micro" in part or "non-micro" in part for part in parts):
            continue
        if _mode_of(parts) != mode:
            continue
        subject = f"s{match[1]}"
        found.setdefault((subject, f"{subject}_{match[2].casefold()}_{int(match[3]):02d}"), []).append(path)
    return {key: min(paths, key=lambda p: ("crop" in p.casefold(), p)) for key, paths in found.items()}


def _unread(tree: Tree, mode: str) -> list[str]:
    """Folders of frames of one camera, below a class, that no clip name tells."""
    found = []
    for path in tree.clip_folders:
        parts = [part.casefold() for part in path.split("/")]
        below = len(parts) > 1 and coarse_word(parts[-2]) is not None and parts[-2].isalpha()
        if below and not _CLIP.fullmatch(smic_name(parts[-1])) and _mode_of(parts[:-1]) == mode:
            found.append(path)
    return found


def _mode_of(parts: list[str]) -> str:
    """The camera that a path names; HS where it names none."""
    for part in reversed(parts):
        for mode in _WORDS:
            if mode in re.split(r"[^a-z]+", part):
                return mode
    return "hs"


def _add(builder: Builder, subject: str, name: str, folder: str, row: Row | None, number: int) -> None:
    code = name.split("_")[1]
    label = coarse_word(code)
    frames = list_frames(builder.corpus.root / folder)
    cells: dict[str, object] = {"emotion": label}
    base: str | int = "file"
    notes = []
    if row is not None:
        cells |= {"onset": row.get("onset"), "offset": row.get("offset")}
        first, onset = cell_integer(row.get("first")), cell_integer(row.get("onset"))
        if first is not None and onset is not None and frames.index_of(onset) is None:
            base = first  # frames were renumbered: index = OnsetF - FirstF
        if row.text("onset2"):
            notes.append(f"the table has a second movement from frame {row.text('onset2')}")
    elif frames.names:
        cells |= {"onset": frames.numbers[0], "offset": frames.numbers[-1]}
        notes.append("onset and offset are the first and last frame of the folder")
    clip_id = f"{builder.corpus.name}/{subject}/{name}"
    for said, place in (
        (folder.split("/")[-2] if "/" in folder else "", "a folder"),
        (row.text("emotion") if row is not None else "", "the table"),
    ):
        word = coarse_word(said) if said else None
        if word is not None and word != label:
            builder.corpus.fault(
                "label-conflict",
                f"{name} is {label} by its name, {word} by {place}; the name counts.",
                clip_id,
                folder,
            )
    builder.add(Coded(subject, name, row.number if row else number, cells, folder, base=base, notes=notes))


def _rows(request: Request, tree: Tree, builder: Builder, mode: str) -> tuple[dict[str, Row], str]:
    """Rows of a SMIC-E annotation by clip name; none without such a table (labels are folder names)."""
    wanted = request.annotations
    found: list[Table] = []
    for path in [wanted] if wanted else tree.tables:
        try:
            found.append(find_table(path, COLUMNS, ("subject", "filename", "onset")))
        except DeftError as error:
            if wanted:
                raise
            if "cannot be read" in str(error):
                note_unreadable(builder.corpus, path, error)
    found = [table for table in found if wanted or _mode_of([table.path.stem.casefold()]) == mode]
    if not found:
        return {}, "labels of folder names"
    table = min(found, key=lambda t: ("orig" in t.path.stem, t.path.name))
    builder.corpus.unread(table)
    rows = {}
    for row in table.rows:
        match = _CLIP.search(smic_name(row.text("filename")))
        if match:
            rows[loose(f"s{match[1]}_{match[2]}_{int(match[3]):02d}")] = row
    return rows, table.coding
