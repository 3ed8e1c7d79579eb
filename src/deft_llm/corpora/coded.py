"""From a table row and a frame folder to a Clip; what is wrong becomes a Fault, never a crash.

Frame numbers in tables are file numbers. Here they become 0-based indices into the clip's frames. An apex
that cannot be (outside onset..offset, equal to the onset, no number) is dropped and named, so that
``deft prepare`` finds one by spotting and marks it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft_llm.corpora.base import Corpus, Request, TableRow, safe_name
from deft_llm.corpora.frames import Frames, Tree, list_frames, preferred
from deft_llm.corpora.labels import coarse_word, is_slip, roman
from deft_llm.corpora.overlays import Corrections, corrections_for
from deft_llm.corpora.tables import Row, Table, cell_integer, cell_text, find_table, read_sheets
from deft_llm.errors import DeftError
from deft_llm.facs.emotions import fine_word, objective_class
from deft_llm.records import Clip, Source, loose

CONTEXT_SECONDS = 0.1  # frames kept around a clip that is cut out of a long video
ONSET_SECONDS = 0.5  # frames kept before its first known place where the onset is not known


@dataclass
class Coded:
    """One annotated expression as its table says it; numbers are file numbers until ``add`` has placed them.

    ``base``: what turns a number into an index: "file" (the number in the file name) or an integer that is
    subtracted from it. ``whole``: the folder is the clip (else it is cut out of a long video).
    """

    subject: str
    name: str
    row: int
    cells: dict[str, Any]
    folder: str | None = None
    base: str | int = "file"
    whole: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class Builder:
    """Builds a corpus out of ``Coded`` rows."""

    corpus: Corpus
    fps: float
    corrections: Corrections = field(default_factory=Corrections)
    coarse_only: bool = False  # the corpus labels negative, positive, surprise only
    people: str = ""  # the corpus whose subjects these are, where two releases show the same people
    seen: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, fps: float, *, people: str = "", coarse_only: bool = False) -> Builder:
        """A builder for a request, with the corrections of its corpus."""
        corrections = corrections_for(request.name, request.corrections)
        return cls(Corpus(request.name, request.root), fps, corrections, coarse_only, people or request.name)

    def finish(self, coding: str, *tables: Table) -> Corpus:
        """The corpus, its clips carrying the edition of the annotation and of the corrections; rows of its
        ``tables`` that were not read are named."""
        for table in tables:
            self.corpus.unread(table)
        used = len(self.corrections.used)
        self.corpus.coding = coding + (f"; {used} corrections ({self.corrections.version})" if used else "")
        for clip in self.corpus.clips:
            clip.coding = self.corpus.coding
        return self.corpus

    def add(self, coded: Coded) -> Clip | None:
        """Add one row's clip; None where it has no usable name or is there already."""
        name = self.corpus.name
        where = f"row {coded.row}"
        if not (safe_name(coded.subject) and safe_name(coded.name)):
            self.corpus.fault(
                "unsafe-name",
                f"{where}: {coded.subject!r}/{coded.name!r} is no name that a path may hold; left out.",
            )
            return None
        coded.subject = self.corpus.subject(coded.subject, where)
        clip_id = f"{name}/{coded.subject}/{coded.name}"
        if clip_id in self.seen:
            self.corpus.fault(
                "duplicate-clip",
                f"{where}: {clip_id} is also in row {self.seen[clip_id]}; the first is used.",
                clip_id,
            )
            return None
        self.seen[clip_id] = coded.row
        clip = Clip(
            clip_id=clip_id,
            corpus=name,
            subject=f"{self.people}/{coded.subject}",
            fps=self.fps,
            source=Source(kind="frames", path=coded.folder or ""),
            notes=list(coded.notes),
        )
        filename = str(coded.cells.get("filename") or coded.name)
        self.corpus.cells[clip_id] = TableRow(coded.subject, filename, coded.base, dict(coded.cells))
        for change in self.corrections.apply(coded.subject, filename, coded.cells):
            self.corpus.note("corrected", f"{where}: {change}.", clip_id)
            clip.notes.append(f"corrected: {change}")
        self._labels(clip, coded, where)
        self._indices(clip, coded, where)
        self.corpus.clips.append(clip)
        return clip

    def add_empty_videos(
        self,
        videos: Iterable[tuple[str, str, str]],
        used: set[tuple[str | None, str | None]],
        prefer: Sequence[str] = (),
    ) -> None:
        """Add the long videos, of (subject, video, folder), in which the table codes no micro-expression: one
        folder of each video, ``prefer``: words of its path.

        ``used``: (subject, video) of the table's rows, None for what a row does not tell: it may be any. Both
        names are compared loosely.
        """
        taken = {tuple(name and loose(name) for name in row) for row in used}
        folders: dict[tuple[str, str], list[str]] = {}
        subjects: dict[tuple[str, str], str] = {}
        for subject, video, folder in videos:
            key = loose(subject), loose(video)
            subjects.setdefault(key, subject)
            folders.setdefault(key, []).append(folder)
        for (subject, video), paths in folders.items():
            if not {(subject, video), (subject, None), (None, video), (None, None)} & taken:
                self._add_empty_video(subjects[subject, video], preferred(paths, prefer) or paths[0])

    def _add_empty_video(self, subject: str, folder: str) -> None:
        name = folder.replace("/", "_")
        self.corpus.empty_videos.append(
            Clip(
                clip_id=f"{self.corpus.name}/{subject}/{name}",
                corpus=self.corpus.name,
                subject=f"{self.people}/{subject}",
                fps=self.fps,
                source=Source(kind="frames", path=folder),
            )
        )

    # ---- labels

    def _labels(self, clip: Clip, coded: Coded, where: str) -> None:
        native = cell_text(coded.cells.get("emotion"))
        if native:
            fine = fine_word(native)
            clip.emotion = None if self.coarse_only and fine != "others" else fine
            clip.coarse = coarse_word(native)
            if fine is None and clip.coarse is None:
                self.corpus.fault("unknown-label", f"{where}: emotion {native!r} is not known.", clip.clip_id)
            elif is_slip(native):
                self.corpus.note("spelling", f"{where}: emotion {native!r} is read as {fine}.", clip.clip_id)
        elif "emotion" in coded.cells:
            self.corpus.fault("unknown-label", f"{where}: no emotion is given.", clip.clip_id)
        if "aus" in coded.cells:
            self.corpus.aus(clip, coded.cells["aus"], where)
        objective = cell_text(coded.cells.get("objective"))
        if objective:
            clip.objective = roman(objective)
            if clip.objective is None:
                self.corpus.fault(
                    "unknown-label", f"{where}: objective class {objective!r} is not known.", clip.clip_id
                )
        self._plausible(clip, where)

    def _plausible(self, clip: Clip, where: str) -> None:
        """Labels against AUs: worth a look, never a fault (coders may see more than the table's AUs)."""
        if not clip.aus:
            return
        counted = [unit for unit in clip.aus if not unit.referred]
        numbers = {option.number for unit in clip.aus for option in (unit, *unit.alternatives)}
        if clip.objective is not None and counted and objective_class(counted) != clip.objective:
            self.corpus.note(
                "objective-differs",
                f"{where}: objective class {clip.objective}, but the AUs give {objective_class(counted)}.",
                clip.clip_id,
            )
        if clip.emotion == "happiness" and not numbers & {6, 12}:
            self.corpus.note("label-against-aus", f"{where}: happiness without AU6 and AU12.", clip.clip_id)
        elif clip.coarse == "negative" and numbers <= {6, 12, 25}:
            self.corpus.note(
                "label-against-aus", f"{where}: a negative label, but only AUs of happiness.", clip.clip_id
            )

    # ---- indices

    def _indices(self, clip: Clip, coded: Coded, where: str) -> None:
        onset, apex, offset = (self._number(clip, coded, name, where) for name in ("onset", "apex", "offset"))
        known = coded.cells.get("known", set())
        onset, apex, offset = self._order(clip, onset, apex, offset, where, known)
        frames = self._frames(clip, coded, where)
        if frames is None:
            return
        places = [
            self._place(clip, frames, coded, word, number, where)
            for word, number in (("onset", onset), ("apex", apex), ("offset", offset))
        ]
        if not coded.whole:
            if places == [None, None, None]:
                self.corpus.fault(
                    "unplaced",
                    f"{where}: neither onset, apex nor offset is among the frames of {coded.folder}, so the "
                    "clip cannot be cut out of its long video; correct one of them.",
                    clip.clip_id,
                    coded.folder,
                )
                return
            frames, places = self._cut(frames, places)
        self._gaps(clip, coded, frames)
        clip.onset, clip.apex, clip.offset = places
        clip.apex_is_annotated = clip.apex is not None
        clip.source.frames = frames.names

    def _number(self, clip: Clip, coded: Coded, name: str, where: str) -> int | None:
        if name not in coded.cells:
            return None
        cell = coded.cells[name]
        number = cell_integer(cell)
        if number is None and name not in coded.cells.get("known", ()):
            self.corpus.fault(
                f"{name}-missing", f"{where}: {name} is {cell_text(cell)!r}, no frame number.", clip.clip_id
            )
        return number

    def _order(
        self, clip: Clip, onset: int | None, apex: int | None, offset: int | None, where: str, known: set[str]
    ) -> tuple[int | None, int | None, int | None]:
        """onset <= apex <= offset, or faults that say where not; a number that cannot be is dropped."""
        if offset is not None and offset <= 0 and (onset or 0) > 0:
            self.corpus.note(
                "offset-zero",
                f"{where}: offset {offset} means not annotated; the apex is the last frame used.",
                clip.clip_id,
            )
            offset = apex
        if onset is not None and offset is not None and offset < onset:
            # An onset far beyond apex and offset is the typo, else the offset is.
            wrong = "onset" if apex is not None and apex <= offset else "offset"
            self.corpus.fault(
                f"{wrong}-outside",
                f"{where}: onset {onset}, apex {apex}, offset {offset} are out of "
                f"order; the {wrong} is not used.",
                clip.clip_id,
            )
            onset, offset = (None, offset) if wrong == "onset" else (onset, None)
        if apex is None or onset is None:
            return onset, apex, offset
        if apex == onset:
            self.corpus.fault(
                "apex-equals-onset",
                f"{where}: apex {apex} is the onset; an apex will be found by spotting.",
                clip.clip_id,
            )
            apex = None
        elif apex < onset or (offset is not None and apex > offset):
            self.corpus.fault(
                "apex-outside",
                f"{where}: apex {apex} lies outside {onset}..{offset}; an apex will be found by spotting.",
                clip.clip_id,
            )
            apex = None
        return onset, apex, offset

    def _frames(self, clip: Clip, coded: Coded, where: str) -> Frames | None:
        if not coded.folder:
            self.corpus.fault(
                "missing-frames",
                f"{where}: no folder of frames was found for {coded.subject}/{coded.name}.",
                clip.clip_id,
            )
            return None
        frames = list_frames(self.corpus.root / coded.folder)
        if not frames.names:
            self.corpus.fault("empty-folder", f"{coded.folder} holds no image.", clip.clip_id, coded.folder)
            return None
        if frames.copies:
            self.corpus.note(
                "copied-frame", f"{coded.folder}: {frames.copies[0]} is a copy; left out.", clip.clip_id
            )
        if frames.unnumbered:
            self.corpus.note(
                "unnumbered-frame",
                f"{coded.folder}: {frames.unnumbered[0]} has no number; left out.",
                clip.clip_id,
            )
        if frames.repeated:
            self.corpus.fault(
                "repeated-frame",
                f"{coded.folder}: two files have the number {frames.repeated[0]}.",
                clip.clip_id,
                coded.folder,
            )
        return frames

    def _gaps(self, clip: Clip, coded: Coded, frames: Frames) -> None:
        """Frames that are missing in the clip itself, not elsewhere in a long video."""
        if frames.gaps:
            self.corpus.fault(
                "frame-gap",
                f"{coded.folder}: frames are missing after number {frames.gaps[0]}"
                f" ({len(frames.gaps)} gaps).",
                clip.clip_id,
                coded.folder,
            )

    def _place(
        self, clip: Clip, frames: Frames, coded: Coded, word: str, number: int | None, where: str
    ) -> int | None:
        if number is None:
            return None
        if isinstance(coded.base, int):
            index: int | None = number - coded.base
            index = index if index is not None and 0 <= index < len(frames.names) else None
        else:
            index = frames.index_of(number)
        if index is None and number == 0 and frames.numbers[0] == 1:
            self.corpus.note(
                "zero-index", f"{where}: {word} 0, but frames start at 1: the first is taken.", clip.clip_id
            )
            return 0
        if index is None:
            self.corpus.fault(
                f"{word}-outside",
                f"{where}: {word} {number} is not among the frames "
                f"{frames.numbers[0]}..{frames.numbers[-1]} of {coded.folder}.",
                clip.clip_id,
            )
        return index

    def _cut(self, frames: Frames, places: list[int | None]) -> tuple[Frames, list[int | None]]:
        """The clip's own frames with a little context, out of a long video; at least one place is known."""
        inside = [place for place in places if place is not None]
        context = max(2, round(self.fps * CONTEXT_SECONDS))
        before = context if places[0] is not None else max(2, round(self.fps * ONSET_SECONDS))
        first = max(0, min(inside) - before)
        last = min(len(frames.names) - 1, max(inside) + context)
        return frames.part(first, last), [None if place is None else place - first for place in places]


# ---- tables of a request


def tables_of(
    request: Request,
    tree: Tree,
    columns: Mapping[str, Any],
    required: tuple[str, ...],
    corpus: Corpus,
    sheet: str | None = None,
) -> list[Table]:
    """The annotation tables to choose from: the user's, else all below the root that have these columns.

    A table that cannot be read is a fault where another one serves. Raises: DeftError where none is left.
    """
    if request.annotations is not None:
        return [find_table(request.annotations, columns, required, sheet)]
    found = []
    for path in tree.tables:
        try:
            read_sheets(path)
        except DeftError as error:
            note_unreadable(corpus, path, error)
            continue
        try:
            found.append(find_table(path, columns, required, sheet))
        except DeftError:
            continue  # some other table
    if not found:
        unread = [fault.message for fault in corpus.faults if fault.kind == "unreadable-table"]
        raise DeftError(
            unread[0]
            if unread
            else f"{request.root}: no annotation table of {request.name} was found; "
            "put it there or give it with --annotations."
        )
    return found


def note_unreadable(corpus: Corpus, path: Path, error: DeftError) -> None:
    """A fault for a table that cannot be read, once."""
    place = str(path.relative_to(corpus.root))
    if not any(fault.kind == "unreadable-table" and fault.path == place for fault in corpus.faults):
        corpus.fault("unreadable-table", str(error), path=place)


def cells_of(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    """The cells of a row that the builder reads (columns that the table lacks are left out)."""
    return {name: row.get(name) for name in names if name in row.cells}


def note_unused(builder: Builder, tree: Tree, used: set[str], is_clip: Any) -> None:
    """Note folders of frames that no row names."""
    for folder in tree.clip_folders:
        if folder not in used and is_clip(folder):
            builder.corpus.note(
                "not-annotated", f"{folder} has frames, but no row of the table names it.", path=folder
            )
