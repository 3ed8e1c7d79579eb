"""What ``deft corpus check`` reports: faults, notes, and what each label setting keeps and leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deft_llm.corpora.base import Corpus, Fault, safe_path
from deft_llm.corpora.labels import SETTINGS, Sorted, sort_out
from deft_llm.corpora.mapfiles import read_map
from deft_llm.errors import DeftError


@dataclass
class Check:
    """The result of checking a corpus; ``ok`` where it has no fault (notes are allowed)."""

    corpus: Corpus
    settings: dict[str, Sorted]

    @property
    def faults(self) -> list[Fault]:
        """What must be mended, or corrected by a correction file with a reason."""
        return [fault for fault in self.corpus.faults if fault.severity == "fault"]

    @property
    def notes(self) -> list[Fault]:
        """What is known and handled."""
        return [fault for fault in self.corpus.faults if fault.severity == "note"]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        clips = self.corpus.clips
        return {
            "corpus": self.corpus.name,
            "coding": self.corpus.coding,
            "ok": self.ok,
            "clips": len(clips),
            "subjects": len({clip.subject for clip in clips}),
            "with_aus": sum(clip.has_aus for clip in clips),
            "with_annotated_apex": sum(clip.apex_is_annotated for clip in clips),
            "kinds": dict(Counter(fault.kind for fault in self.faults)),
            "faults": [asdict(fault) for fault in self.faults],
            "notes": [asdict(fault) for fault in self.notes],
            "labels": {
                name: {"classes": found.counts, "subjects": len(found.subjects), "left_out": found.left_out}
                for name, found in self.settings.items()
            },
        }


def check(corpus: Corpus) -> Check:
    """Check a loaded corpus and sort its clips under every label setting; frames are not decoded."""
    _check_order(corpus)
    _check_files(corpus)
    return Check(corpus, {setting: sort_out(corpus.clips, setting) for setting in SETTINGS})


def _check_order(corpus: Corpus) -> None:
    """onset <= apex <= offset, inside the clip's frames, whatever loader made the record."""
    known = {fault.clip_id for fault in corpus.faults if fault.kind.endswith(("-outside", "-equals-onset"))}
    for clip in corpus.clips:
        marks = [mark for mark in (clip.onset, clip.apex, clip.offset) if mark is not None]
        last = len(clip.source.frames) - 1 if clip.source.frames else None
        wrong = marks != sorted(marks) or any(
            mark < 0 or (last is not None and mark > last) for mark in marks
        )
        if wrong and clip.clip_id not in known:
            corpus.fault(
                "apex-outside",
                f"onset, apex, offset {marks} are out of order or outside the clip's "
                f"{'' if last is None else last + 1} frames.",
                clip.clip_id,
            )


def _is_empty(path: Path) -> bool:
    """Whether a file is there and holds nothing; loaders have told what is not there."""
    try:
        return path.is_file() and path.stat().st_size == 0
    except OSError:  # a name too long for the file system, a folder that may not be looked into
        return False


def _check_files(corpus: Corpus) -> None:
    """Flow maps are read whole; frames must not be empty files (decoding them is ``deft prepare``'s work)."""
    sizes: Counter[tuple[int, ...]] = Counter()
    for clip in corpus.clips:
        base = safe_path(corpus.root, clip.source.path)
        if base is None:
            continue
        if clip.source.kind == "flow":
            paths = [base, *([corpus.root / clip.source.path_offset] if clip.source.path_offset else [])]
            for path in paths:
                try:
                    sizes[read_map(path)[0].shape[1:]] += path.exists()
                except DeftError as error:
                    if path.exists():
                        corpus.fault(
                            "unreadable-map", str(error), clip.clip_id, str(path.relative_to(corpus.root))
                        )
        for name in clip.source.frames or ():
            if _is_empty(base / name):
                corpus.fault("empty-file", f"{clip.source.path}/{name} is empty.", clip.clip_id, name)
    if len(sizes) > 1:
        told = ", ".join(f"{count} of {size[1]} x {size[0]}" for size, count in sizes.most_common())
        corpus.note("map-sizes", f"maps have several sizes: {told}.")
