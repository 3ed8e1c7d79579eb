"""Your own videos: a folder of video files or of frame folders, or a CSV with what is known about them."""

from __future__ import annotations

import os
from pathlib import Path

from deft_llm.corpora.base import Corpus, Request, loader, safe_name, safe_path, slashes
from deft_llm.corpora.frames import Tree, list_frames
from deft_llm.corpora.labels import coarse_word
from deft_llm.corpora.tables import Row, cell_integer, cell_number, find_table
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import fine_word
from deft_llm.records import CODED_BY, Clip, Source

COLUMNS = {
    "path": ("path", "file", "video"),
    "clip_id": ("clip_id", "clip"),
    "subject": ("subject",),
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
    "fps": ("fps",),
    "emotion": ("emotion",),
    "coarse": ("coarse",),
    "aus": ("aus", "action units", "au"),
    "coder": ("coder",),
}
TABLE = "clips.csv"


@loader(
    "folder", "your own videos: <subject>/<video or frame folder>, or clips.csv (path, subject, onset, ...)"
)
def load(request: Request) -> Corpus:
    """A folder of videos; with clips.csv (or --annotations), the rows of that table.

    Frame indices in the table are 0-based. Without a table, subjects are the folders that hold the videos.
    """
    corpus = Corpus("folder", request.root)
    table_path = request.annotations or request.root / TABLE
    if table_path.is_file():
        table = find_table(table_path, COLUMNS, ("path",))
        for row in table.rows:
            _add_row(corpus, row, f"{table_path.name} row {row.number}")
        corpus.unread(table)
        corpus.coding = table.coding
    else:
        _add_files(corpus, Tree(request.root))
        corpus.coding = "no annotation"
    if not corpus.clips and not corpus.faults:
        raise DeftError(f"{request.root}: no video files and no folders of images were found.")
    for clip in corpus.clips:
        clip.coding = corpus.coding + clip.coding
    return corpus


def _add_files(corpus: Corpus, tree: Tree) -> None:
    for path in [*tree.videos, *tree.clip_folders]:
        source = _source(corpus.root, path)
        parts = os.path.splitext(path)[0].split("/") if source.kind == "video" else path.split("/")
        if not all(safe_name(part) for part in parts):
            corpus.fault("unsafe-name", f"{path!r} has a name that no clip id may hold.", path=path)
            continue
        subject = parts[-2] if len(parts) > 1 else "unknown"
        _add(
            corpus,
            Clip(
                clip_id=f"folder/{subject}/{parts[-1]}",
                corpus="folder",
                subject=corpus.subject(f"folder/{subject}", path),
                source=source,
            ),
            path,
        )
    empty = [path for path in tree.folders if path and not os.listdir(tree.root / path)]
    for path in empty:
        corpus.fault("empty-folder", f"{path} holds nothing.", path=path)


def _source(root: Path, path: str) -> Source:
    if (root / path).is_dir():
        return Source(kind="frames", path=path, frames=list_frames(root / path).names)
    return Source(kind="video", path=path)


def _add(corpus: Corpus, clip: Clip, where: str) -> None:
    if clip.source.kind == "frames":
        frames = list_frames(corpus.root / clip.source.path)
        for name in (*frames.copies, *frames.unnumbered):
            corpus.note(
                "left-out-frame", f"{where}: {name} is a copy or has no number; left out.", clip.clip_id
            )
        for number in frames.repeated:
            corpus.fault("repeated-frame", f"{where}: two files have the number {number}.", clip.clip_id)
    if any(known.clip_id == clip.clip_id for known in corpus.clips):
        corpus.fault(
            "duplicate-clip", f"{where}: clip {clip.clip_id} is there twice; the first is used.", clip.clip_id
        )
        return
    owner = corpus.owners.setdefault(os.path.normpath(clip.source.path), clip.subject)
    if owner != clip.subject:
        corpus.fault(
            "two-subjects", f"{where}: {clip.source.path} is {owner}'s already; left out.", clip.clip_id
        )
        return
    corpus.clips.append(clip)


def _add_row(corpus: Corpus, row: Row, where: str) -> None:
    text = slashes(row.text("path"))
    path = safe_path(corpus.root, text)
    if path is None:
        corpus.fault("unsafe-name", f"{where}: path {text!r} leads out of the corpus folder; left out.")
        return
    subject = row.text("subject") or "unknown"
    name = os.path.splitext(text)[0].rstrip("/").split("/")[-1]
    clip_id = row.text("clip_id") or f"folder/{subject}/{name}"
    for what, given in (("subject", subject), ("clip id", clip_id)):
        if not all(safe_name(part) for part in given.split("/")):
            corpus.fault(
                "unsafe-name", f"{where}: {what} {given!r} holds parts that no path may hold; left out."
            )
            return
    subject = corpus.subject(subject if "/" in subject else f"folder/{subject}", where)
    clip = Clip(
        clip_id=clip_id,
        corpus="folder",
        subject=subject,
        source=_source(corpus.root, text),
        coding=f"{CODED_BY}{row.text('coder')}" if row.text("coder") else "",
    )
    if not path.exists():
        corpus.fault("missing-frames", f"{where}: {text} is not there.", clip_id, text)
    elif clip.source.kind == "frames" and not clip.source.frames:
        corpus.fault("empty-folder", f"{where}: {text} holds no image.", clip_id, text)
    _numbers(corpus, clip, row, where)
    _labels(corpus, clip, row, where)
    _add(corpus, clip, where)


def _numbers(corpus: Corpus, clip: Clip, row: Row, where: str) -> None:
    for name in ("onset", "apex", "offset"):
        if row.text(name):
            number = cell_integer(row.get(name))
            if number is None or number < 0:
                corpus.fault(
                    f"{name}-missing", f"{where}: {name} is {row.text(name)!r}, no frame index.", clip.clip_id
                )
            else:
                setattr(clip, name, number)
    if row.text("fps"):
        clip.fps = cell_number(row.get("fps"))
        if clip.fps is None:
            corpus.fault("bad-number", f"{where}: fps {row.text('fps')!r} is no number.", clip.clip_id)
    known = [
        (name, getattr(clip, name)) for name in ("onset", "apex", "offset") if getattr(clip, name) is not None
    ]
    if [value for _, value in known] != sorted(value for _, value in known):
        corpus.fault(
            "apex-outside",
            f"{where}: {', '.join(f'{n} {v}' for n, v in known)} are out of order; they will "
            "be found by spotting.",
            clip.clip_id,
        )
        clip.onset = clip.apex = clip.offset = None
    if clip.apex is not None and clip.apex == clip.onset:
        corpus.fault(
            "apex-equals-onset",
            f"{where}: apex {clip.apex} is the onset; an apex will be found by spotting.",
            clip.clip_id,
        )
        clip.apex = None
    clip.apex_is_annotated = clip.apex is not None


def _labels(corpus: Corpus, clip: Clip, row: Row, where: str) -> None:
    emotion, coarse = row.text("emotion"), row.text("coarse")
    clip.emotion = fine_word(emotion) if emotion else None
    clip.coarse = coarse_word(coarse or emotion) if coarse or emotion else None
    if (emotion and clip.emotion is None and coarse_word(emotion) is None) or (
        coarse and coarse_word(coarse) is None
    ):
        corpus.fault("unknown-label", f"{where}: label {emotion or coarse!r} is not known.", clip.clip_id)
    if row.text("aus"):
        corpus.aus(clip, row.get("aus"), where)
