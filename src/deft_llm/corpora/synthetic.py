"""The corpus that ``deft synth`` makes: records.jsonl beside the frames."""

from __future__ import annotations

import os
from pathlib import Path

from deft_llm.corpora.base import Corpus, Request, loader, safe_path
from deft_llm.errors import DeftError, is_plain
from deft_llm.files import read_object, read_rows
from deft_llm.records import SCHEMA, Clip

MAKE_AGAIN = "make the corpus again with deft synth"


@loader(
    "synthetic", "Rendered faces with exact truth, made by `deft synth` (records.jsonl, frames/, truth/)."
)
def load(request: Request) -> Corpus:
    """Read a folder that ``deft synth`` made. Raises: DeftError for an unfinished or older corpus."""
    root = request.root
    marker = root / "corpus.json"
    if not marker.is_file():
        raise DeftError(
            f"{root}: holds no synthetic corpus (no corpus.json); make one with `deft synth {root}`."
        )
    read_object(marker, schema=SCHEMA, mend=MAKE_AGAIN)
    records = request.annotations or root / "records.jsonl"
    if not records.is_file():
        raise DeftError(f"{root}: the corpus is not finished; run the same `deft synth` command again.")
    corpus = Corpus("synthetic", root, coding="simulated coder")
    seen = set()
    for clip in read_rows(Clip, records, schema=SCHEMA, mend=MAKE_AGAIN):
        where = f"{records.name}: clip {clip.clip_id}"
        if clip.clip_id in seen:
            corpus.fault("duplicate-clip", f"{where} is there twice; the first is used.", clip.clip_id)
            continue
        seen.add(clip.clip_id)
        path = clip.source.path
        base = safe_path(root, path)
        names = [path, *(clip.source.frames or ())]
        odd = next((name for name in names if not is_plain(name) or safe_path(root, name) is None), None)
        if base is None or odd is not None:
            corpus.fault(
                "unsafe-name", f"{where}: path {odd!r} is none of this corpus; left out.", clip.clip_id
            )
            continue
        corpus.clips.append(clip)
        if not os.path.exists(base):
            corpus.fault("missing-frames", f"{where}: {path} is not there.", clip.clip_id, path)
        elif clip.source.kind == "frames" and (lost := lost_frames(base, clip.source.frames)):
            corpus.fault("missing-frames", f"{where}: {lost}.", clip.clip_id, path)
    return corpus


def lost_frames(folder: Path, names: list[str] | None) -> str:
    """What of a clip's frames is not there, in words; "" where all are."""
    if not names:
        return "lists no frames"
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    lost = [name for name in names if name not in there]
    return f"{len(lost)} of {len(names)} frames are not there, the first {lost[0]}" if lost else ""
