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
from deft_llm.records import CODED_BY, Clip, Source, person

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

    Frame indices in the table are 0-based. Without a table, or a column ``subject`` in it, people are the top
    folders; the folders in them (sessions, conditions) are theirs.
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
        parts = _parts(path, source)
        if not all(safe_name(part) for part in parts):
            corpus.fault("unsafe-name", f"{path!r} has a name that no clip id may hold.", path=path)
            continue
        subject = _person_folder(corpus, parts, path)
        if subject is None:
            subject = "unknown"
            _note_once(
                corpus,
                "unknown-person",
                f"{path} lies in no person's folder; all such clips count as one person, folder/{subject}.",
            )
        clip = Clip(
            clip_id=_clip_id(subject, parts),
            corpus="folder",
            subject=corpus.subject(f"folder/{subject}", path),
            source=source,
        )
        _add(corpus, clip, path, "rename one of the two")
    empty = [path for path in tree.folders if path and not os.listdir(tree.root / path)]
    for path in empty:
        corpus.fault("empty-folder", f"{path} holds nothing.", path=path)


def _parts(path: str, source: Source) -> list[str]:
    """The names on a clip's path below the corpus folder, that of a video without its suffix."""
    return (os.path.splitext(path)[0] if source.kind == "video" else path).split("/")


def _person_folder(corpus: Corpus, parts: list[str], path: str) -> str | None:
    """The person whose folder a clip lies in, the top one; None for a clip in no folder."""
    if len(parts) > 2:
        _note_once(
            corpus,
            "person-folder",
            f"{path} lies deeper than in a person's folder; the person is the top folder, {parts[0]}, in all "
            "such paths.",
        )
    return parts[0] if len(parts) > 1 else None


def _note_once(corpus: Corpus, kind: str, message: str) -> None:
    if not any(fault.kind == kind for fault in corpus.faults):
        corpus.note(kind, message)


def _clip_id(subject: str, parts: list[str]) -> str:
    """The clip's id after its path, or the part of it that is below the person's folder."""
    own = len(parts) > 1 and person(parts[0]) == person(subject)
    return f"folder/{subject}/{'-'.join(parts[1:] if own else parts)}"


def _source(root: Path, path: str) -> Source:
    if (root / path).is_dir():
        return Source(kind="frames", path=path, frames=list_frames(root / path).names)
    return Source(kind="video", path=path)


def _add(corpus: Corpus, clip: Clip, where: str, mend: str) -> None:
    """Add a clip; ``mend``: what to do where another one has its id."""
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
            "duplicate-clip",
            f"{where}: clip {clip.clip_id} is there twice, and the first is used; {mend}.",
            clip.clip_id,
        )
        return
    if corpus.owns(clip.subject, clip.source.path, where, clip.clip_id):
        corpus.clips.append(clip)


def _add_row(corpus: Corpus, row: Row, where: str) -> None:
    text = slashes(row.text("path"))
    path = safe_path(corpus.root, text)
    if path is None:
        corpus.fault("unsafe-name", f"{where}: path {text!r} leads out of the corpus folder; left out.")
        return
    source = _source(corpus.root, text)
    parts = _parts(os.path.relpath(path, os.path.normpath(corpus.root)), source)
    named = "subject" in row.cells
    subject = row.text("subject").removeprefix("folder/") if named else _person_folder(corpus, parts, text)
    if not subject:
        corpus.fault(
            "no-subject",
            f"{where}: nothing says whom {text} shows, and it is left out; name the person in the column "
            "subject.",
            path=text,
        )
        return
    clip_id = row.text("clip_id") or _clip_id(subject, parts)
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
        source=source,
        coding=f"{CODED_BY}{row.text('coder')}" if row.text("coder") else "",
    )
    if not path.exists():
        corpus.fault("missing-frames", f"{where}: {text} is not there.", clip_id, text)
    elif clip.source.kind == "frames" and not clip.source.frames:
        corpus.fault("empty-folder", f"{where}: {text} holds no image.", clip_id, text)
    _numbers(corpus, clip, row, where)
    _labels(corpus, clip, row, where)
    _add(corpus, clip, where, "give each movement of a video a name of its own in the column clip_id")


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
