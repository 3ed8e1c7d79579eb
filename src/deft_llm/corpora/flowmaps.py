"""Precomputed optical-flow maps, without faces: a STSTNet/HTNet folder or a folder with ``manifest.csv``.

Layout (a): ``<root>/<subject>/u_train|u_test/<0|1|2>/<name>.png`` (0 negative, 1 positive, 2 surprise). Each
subject's folder repeats the whole corpus; its own clips are those of its ``u_test``. R, G, B of a PNG are u,
v and strain, each stretched to 0..255 for itself, so zero and scale of the motion are lost.
Layout (b): ``manifest.csv`` with clip_id, subject, path and whatever else is known; PNG as above, or float
flow (.npy, .npz; H x W x 2 or 3, px).
"""

from __future__ import annotations

import os
from pathlib import Path

from deft_llm.corpora.base import Corpus, Request, loader, safe_name, safe_path, slashes, subject_name
from deft_llm.corpora.joining import (
    Annotation,
    Key,
    clip_name,
    corpus_of_subject,
    corpus_word,
    join_key,
    read_annotations,
    smic_name,
)
from deft_llm.corpora.labels import coarse_word
from deft_llm.corpora.tables import cell_number, find_table
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import coarse_of, fine_word
from deft_llm.records import Clip, Coarse, Source, loose

CLASSES: dict[str, Coarse] = {"0": "negative", "1": "positive", "2": "surprise"}
_IGNORED = {"thumbs.db", "desktop.ini"}

MANIFEST = {
    "clip_id": ("clip_id", "clip", "id"),
    "corpus": ("corpus", "dataset"),
    "subject": ("subject",),
    "path": ("path", "file"),
    "path_offset": ("path_offset",),
    "emotion": ("emotion", "fine"),
    "coarse": ("coarse",),
    "aus": ("aus", "action units", "au"),
    "fps": ("fps",),
}


@loader("flowmaps", "precomputed flow maps: <subject>/u_test/<0|1|2>/<name>.png, or a manifest.csv")
def load(request: Request) -> Corpus:
    """Flow maps of any number of corpora, with annotations joined where ``--annotations`` is given."""
    corpus = Corpus("flowmaps", request.root)
    manifest = request.root / "manifest.csv"
    if manifest.is_file():
        _load_manifest(corpus, manifest)
        corpus.coding = manifest.name
    else:
        _load_folders(corpus)
        corpus.coding = "flow maps (class folders)"
    if request.annotations is not None:
        _join(corpus, request.annotations)
    for clip in corpus.clips:
        clip.coding = corpus.coding
    return corpus


# ---- layout (a): subject folders


def _load_folders(corpus: Corpus) -> None:
    subjects = _folders(corpus, corpus.root)
    seen: dict[str, tuple[str, str]] = {}  # name -> (class, path), from u_test
    trained: dict[tuple[str, str], str] = {}  # (name, class) -> first path in u_train folders
    used = 0
    for folder in subjects:
        inside = {name.casefold(): name for name in _folders(None, corpus.root / folder)}
        if "u_test" not in inside and "u_train" not in inside:
            corpus.note(
                "unknown-folder", f"folder {folder} has neither u_test nor u_train; left out.", path=folder
            )
            continue
        used += 1
        if "u_test" in inside:
            _load_subject(corpus, folder, inside["u_test"], seen)
        else:
            corpus.fault(
                "missing-folder",
                f"subject folder {folder} has no u_test: its own clips are not known.",
                path=folder,
            )
        if "u_train" in inside:
            _read_training(corpus, folder, inside["u_train"], trained)
    if not used:
        raise DeftError(
            f"{corpus.root}: no <subject>/u_test/<0|1|2> folders and no manifest.csv; "
            "give the folder that holds the subject folders."
        )
    bare = {name.partition("_")[2] for name in seen}
    for (name, kind), path in sorted(trained.items()):
        if name not in seen and name in bare:
            continue  # tools that leave the subject out of the file name: owner known, class not comparable
        if name not in seen:
            corpus.fault(
                "training-only",
                f"map {path} is in u_train folders, but in no u_test: nobody owns it; left out.",
                path=path,
            )
        elif seen[name][0] != kind:
            corpus.fault(
                "two-classes",
                f"map {path} has class {kind} here and {seen[name][0]} in {seen[name][1]}.",
                path=path,
            )


def _load_subject(corpus: Corpus, folder: str, test: str, seen: dict[str, tuple[str, str]]) -> None:
    name = corpus_of_subject(folder)
    if name is None:
        corpus.note(
            "unknown-subject",
            f"subject folder {folder} is of no known corpus (subNN, sNN, NNN); "
            "its clips go under 'flowmaps'.",
            path=folder,
        )
    if not safe_name(folder):
        corpus.fault(
            "unsafe-name", f"subject folder {folder!r} has a name that no clip id may hold.", path=folder
        )
        return
    found: dict[str, Clip] = {}
    for number, file in _maps(corpus, f"{folder}/{test}"):
        path = f"{folder}/{test}/{number}/{file}"
        if not safe_name(_clip_name(name or "flowmaps", folder, file)):
            corpus.fault("unsafe-name", f"map {path!r} has a name that no clip id may hold.", path=path)
            continue
        clip = _clip(corpus, name or "flowmaps", folder, file, path, CLASSES[number])
        if clip.clip_id in found:
            first = found[clip.clip_id]
            kind = "duplicate-clip" if first.coarse == clip.coarse else "two-classes"
            used = "the first is used" if kind == "duplicate-clip" else "its class is left open"
            corpus.fault(
                kind,
                f"clip {clip.clip_id} is there twice: {first.source.path} and {path}; {used}.",
                clip.clip_id,
                path,
            )
            if kind == "two-classes":
                first.coarse = None
            continue
        found[clip.clip_id] = clip
        seen.setdefault(_unique(folder, file), (number, path))
    if not found:
        corpus.fault("empty-folder", f"subject folder {folder}/{test} holds no map.", path=f"{folder}/{test}")
    corpus.clips += found.values()


def _read_training(corpus: Corpus, folder: str, train: str, trained: dict[tuple[str, str], str]) -> None:
    for number, file in _maps(None, f"{folder}/{train}", corpus.root):
        trained.setdefault((_unique("", file), number), f"{folder}/{train}/{number}/{file}")


def _unique(folder: str, file: str) -> str:
    """A file's name as it is unique over the whole corpus (CASME II names repeat over subjects)."""
    stem = loose(_stem(file))
    prefix = loose(folder)
    return stem if not folder or stem.startswith(prefix + "_") else f"{prefix}_{stem}"


def _stem(file: str) -> str:
    return os.path.splitext(file)[0].strip()


def _maps(corpus: Corpus | None, relative: str, root: Path | None = None) -> list[tuple[str, str]]:
    """(class, file) of all maps below ``relative``; other things are noted where ``corpus`` is given."""
    base = (corpus.root if corpus is not None else root or Path()) / relative
    found = []
    for name in _folders(corpus, base, relative):
        if name not in CLASSES:
            if corpus is not None:
                corpus.note(
                    "unknown-folder",
                    f"class folder {relative}/{name} is none of 0, 1, 2; left out.",
                    path=f"{relative}/{name}",
                )
            continue
        with os.scandir(base / name) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name.casefold() in _IGNORED:
                    continue
                if entry.name.casefold().endswith(".png") and os.path.isfile(entry):
                    found.append((name, entry.name))
                elif corpus is not None:
                    corpus.note(
                        "stray-file",
                        f"{relative}/{name}/{entry.name} is no PNG; left out.",
                        path=f"{relative}/{name}/{entry.name}",
                    )
    return found


def _folders(corpus: Corpus | None, base: Path, relative: str = "") -> list[str]:
    found = []
    with os.scandir(base) as listing:
        for entry in sorted(listing, key=lambda entry: entry.name):
            if entry.name.startswith((".", "__MACOSX")) or entry.name.casefold() in _IGNORED:
                continue
            if os.path.isdir(entry):  # of a loop of links the entry itself would raise
                found.append(entry.name)
            elif corpus is not None:
                place = f"{relative}/{entry.name}".lstrip("/")
                corpus.note("stray-file", f"{place} does not belong to the layout; left out.", path=place)
    return found


def _clip_name(corpus: str, folder: str, file: str) -> str:
    name = clip_name(folder, file)
    return smic_name(name) if corpus == "smic" else name


def _clip(maps: Corpus, corpus: str, folder: str, file: str, path: str, coarse: Coarse | None) -> Clip:
    subject = subject_name(corpus, folder)
    return Clip(
        clip_id=f"{corpus}/{subject}/{_clip_name(corpus, folder, file)}",
        corpus=corpus,
        subject=maps.subject(f"{corpus}/{subject}", path),
        source=Source(kind="flow", path=path),
        coarse=coarse,
    )


# ---- layout (b): manifest.csv


def _load_manifest(corpus: Corpus, manifest: Path) -> None:
    table = find_table(manifest, MANIFEST, ("clip_id", "subject", "path"))
    corpus.unread(table)
    seen: set[str] = set()
    for row in table.rows:
        clip_id = row.text("clip_id")
        where = f"{manifest.name} row {row.number}"
        if not row.text("subject") or not row.text("path") or not clip_id:
            corpus.fault(
                "empty-cell", f"{where}: clip_id, subject and path must be filled; left out.", clip_id or None
            )
            continue
        if clip_id in seen:
            corpus.fault(
                "duplicate-clip", f"{where}: clip {clip_id} is there twice; the first is used.", clip_id
            )
            continue
        seen.add(clip_id)
        clip = _manifest_clip(corpus, clip_id, row, where)
        if clip is not None:
            corpus.clips.append(clip)


def _manifest_clip(corpus: Corpus, clip_id: str, row, where: str) -> Clip | None:  # type: ignore[no-untyped-def]
    parts = clip_id.split("/")
    if not all(safe_name(part) for part in parts):
        corpus.fault(
            "unsafe-name", f"{where}: clip id {clip_id!r} holds parts that no path may hold; left out."
        )
        return None
    paths = {}
    for name in ("path", "path_offset"):
        text = slashes(row.text(name))
        if not text:
            continue
        path = safe_path(corpus.root, text)
        if path is None:
            corpus.fault(
                "unsafe-name", f"{where}: {name} {text!r} leads out of the corpus folder; left out.", clip_id
            )
            return None
        if not path.is_file():
            corpus.fault("missing-frames", f"{where}: {name} {text} is not there.", clip_id, text)
            if name == "path_offset":
                continue
        paths[name] = text
    name = corpus_word(row.text("corpus")) or (parts[0] if len(parts) > 2 else "flowmaps")
    subject = row.text("subject")
    if not all(safe_name(part) for part in subject.split("/")):
        corpus.fault("unsafe-name", f"{where}: subject {subject!r} is no name; left out.", clip_id)
        return None
    group, _, own = subject.rpartition("/")
    subject = corpus.subject(f"{group or name}/{subject_name(corpus_word(group) or name, own)}", where)
    if not all(corpus.owns(subject, text, where, clip_id) for text in paths.values()):
        return None
    clip = Clip(
        clip_id=clip_id,
        corpus=name,
        subject=subject,
        source=Source(kind="flow", path=paths["path"], path_offset=paths.get("path_offset")),
    )
    _manifest_labels(corpus, clip, row, where)
    return clip


def _manifest_labels(corpus: Corpus, clip: Clip, row, where: str) -> None:  # type: ignore[no-untyped-def]
    emotion, coarse = row.text("emotion"), row.text("coarse")
    clip.emotion = fine_word(emotion) if emotion else None
    clip.coarse = coarse_word(coarse) if coarse else coarse_word(emotion) if emotion else None
    if emotion and clip.emotion is None and coarse_word(emotion) is None:
        corpus.fault("unknown-label", f"{where}: emotion {emotion!r} is not known.", clip.clip_id)
    if coarse and clip.coarse is None and coarse.casefold() not in ("none", "null", "others", "other"):
        corpus.fault("unknown-label", f"{where}: coarse class {coarse!r} is not known.", clip.clip_id)
    if row.text("aus"):
        corpus.aus(clip, row.get("aus"), where)
    if row.text("fps"):
        clip.fps = cell_number(row.get("fps"))
        if clip.fps is None:
            corpus.fault("bad-number", f"{where}: fps {row.text('fps')!r} is no number.", clip.clip_id)


# ---- annotations


def _join(corpus: Corpus, path: Path) -> None:
    """Bring emotion and AUs to the clips; a class folder's label stays, disagreement is a fault."""
    read = read_annotations(path)
    annotations = read.clips
    unused: dict[Key, Annotation] = dict(annotations)
    matched = 0
    for clip in corpus.clips:
        subject, name = clip.subject.rsplit("/", 1)[-1], clip.clip_id.rsplit("/", 1)[-1]
        key = join_key(clip.corpus, subject, name)
        found = annotations.get(key) or annotations.get(("", *key[1:]))
        if found is None:
            continue
        matched += 1
        unused.pop(found.key, None)
        _annotate(corpus, clip, found)
    for row in read.unread:
        corpus.note("unread-row", f"{row}.")
    for annotation in unused.values():
        corpus.note(
            "unmatched-annotation", f"{annotation.where}: {'/'.join(annotation.key)} matches no clip."
        )
    if annotations and not matched:
        corpus.fault(
            "unmatched-annotation",
            f"{path.name}: none of {len(annotations)} annotated clips is here; "
            "check that it belongs to these maps.",
        )
    without = len(corpus.clips) - matched
    if without:
        corpus.note("not-annotated", f"{without} of {len(corpus.clips)} clips are not in {path.name}.")
    corpus.coding += f" + {path.name} ({matched} of {len(annotations)} clips joined)"


def _annotate(corpus: Corpus, clip: Clip, found: Annotation) -> None:
    for problem in found.problems:
        corpus.fault("unread-annotation", f"{found.where}: {problem}.", clip.clip_id)
    for note in found.notes:
        corpus.note("aus-reading", f"{found.where}: {note}.", clip.clip_id)
    if found.emotion is not None:
        clip.emotion = found.emotion
    said = found.coarse or coarse_of(found.emotion)
    if clip.coarse is None:
        clip.coarse = said
    elif said is not None and said != clip.coarse:
        corpus.fault(
            "label-conflict",
            f"{found.where}: class {said}, but the map lies in the folder of "
            f"{clip.coarse}; the folder counts.",
            clip.clip_id,
        )
        clip.emotion = None if found.emotion and coarse_of(found.emotion) != clip.coarse else clip.emotion
    if found.aus is not None:
        clip.aus = found.aus
