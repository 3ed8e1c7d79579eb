"""A folder whose clips are coded: its clips, coders, files of events, and how far each coding is.

Beside the clips lies ``codings/CODER/CLIP.csv``, the coder's events as they are now, and
``codings/CODER-first-round/CLIP.csv``, the same frozen when the coder first called the clip coded: what is
changed later, with proposals or another coder's events in view, never touches it. ``codings/deft`` holds
what deft proposes. ``CLIP`` is the clip's path below the folder with its suffix.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from deft_llm.codings import table
from deft_llm.codings.agreement import disagreements_of
from deft_llm.codings.events import Coding, FrameClock
from deft_llm.codings.formats import clock_of, read_coding
from deft_llm.corpora.base import safe_name
from deft_llm.corpora.frames import Tree
from deft_llm.errors import DeftError
from deft_llm.faces.video import ASSUMED_FPS
from deft_llm.files import digest, read_model, real_path, write_bytes, write_json
from deft_llm.records import Record

CODINGS = "codings"
DEFT = "deft"
FIRST_ROUND = "-first-round"
PROGRESS = "progress.json"
PROGRESS_SCHEMA = 1
LIST_SECONDS = 5.0  # for which a list of the folder's clips is good

State = Literal["uncoded", "proposed", "started", "coded", "agreed"]


class ClipProgress(Record):
    """How far one coder is with one clip."""

    finished: bool = Field(default=False, description="the coder has called the clip coded")
    first_round: Literal["blind", "with proposals"] | None = Field(
        default=None, description="how the frozen first round was coded; None before it"
    )
    shown: bool = Field(default=False, description="whether the coder has been shown deft's proposals of it")
    actions: int = Field(default=0, ge=0, description="keys, clicks and drags spent on it in the page")
    dismissed: list[str] = Field(default_factory=list, description="unnamed movements that were put aside")


class Progress(Record):
    """One coder's clips."""

    schema_version: int = Field(default=PROGRESS_SCHEMA, alias="schema")
    clips: dict[str, ClipProgress] = Field(default_factory=dict)

    model_config = {"extra": "forbid", "populate_by_name": True}


class CodingFolder:
    """The clips below ``root`` and what is coded of them. ``fps``: rate of folders of images.

    Raises: DeftError where there is no clip.
    """

    def __init__(self, root: Path, fps: float | None = None) -> None:
        self.root = real_path(root)
        self.fps = fps or ASSUMED_FPS
        self._lock = threading.RLock()
        self._clocks: dict[str, FrameClock] = {}
        self._agreed: dict[Any, bool] = {}
        self._listed: tuple[float, list[str]] = (-LIST_SECONDS, [])
        if not self.clips():
            raise DeftError(
                f"{root}: holds no videos and no folders of images; give the folder of the clips."
            )

    def clips(self) -> list[str]:
        """Paths below the folder, in order: videos and folders of images that lie in it themselves."""
        with self._lock:
            if time.monotonic() - self._listed[0] > LIST_SECONDS:
                tree = Tree(self.root)
                found = [path for path in (*tree.videos, *tree.clip_folders) if self._lies_inside(path)]
                self._listed = (time.monotonic(), sorted(found, key=_natural))
            return self._listed[1]

    def _lies_inside(self, path: str) -> bool:
        parts = path.split("/")
        if parts[0] == CODINGS or not all(safe_name(part) for part in parts):
            return False
        return real_path(self.root / path).is_relative_to(self.root)

    def path_of(self, clip: str) -> Path:
        """Where a listed clip lies. Raises: DeftError for anything else, wherever it leads."""
        if clip not in self.clips():
            raise DeftError("This clip is not in the folder; choose one from the list.")
        return self.root / clip

    def clock(self, clip: str) -> FrameClock:
        """Frames and seconds of a clip."""
        path = self.path_of(clip)
        if clip not in self._clocks:
            clock = FrameClock(self.fps) if path.is_dir() else clock_of(path, None)
            assert clock is not None
            self._clocks[clip] = clock
        return self._clocks[clip]

    def coders(self) -> list[str]:
        """Coders that have a folder here."""
        place = self.root / CODINGS
        found = [path.name for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
        return sorted(name for name in found if is_coder(name))

    def file_of(self, coder: str, clip: str, *, first_round: bool = False) -> Path:
        """The coder's file of events. Raises: DeftError for a name that is none, or an unknown clip."""
        check_coder(coder)
        self.path_of(clip)
        return self.root / CODINGS / (coder + FIRST_ROUND * first_round) / f"{clip}.csv"

    def proposals_file(self, clip: str, what: str) -> Path:
        """Where deft's ``result``, ``curves`` (JSON) or ``events`` (CSV) of a clip are kept."""
        self.path_of(clip)
        name = f"{clip}.csv" if what == "events" else f"{clip}.{what}.json"
        return self.root / CODINGS / DEFT / name

    def coding(self, coder: str, clip: str) -> tuple[Coding, str]:
        """What the coder has coded so far, and the file's revision ("" before there is one)."""
        clock = self.clock(clip)
        path = self.proposals_file(clip, "events") if coder == DEFT else self.file_of(coder, clip)
        with self._lock:
            if not path.is_file():
                return Coding(media=clip, fps=clock.fps, coder=coder), ""
            return read_coding(path, clock), digest(path.read_text(encoding="utf-8"))

    def save(
        self, coder: str, clip: str, coding: Coding, revision: str, actions: int, dismissed: list[str]
    ) -> str:
        """Write the coder's events; gives back the new revision. ``actions``: spent since the last time.

        Raises: DeftError where the file is another one than that of ``revision``: somebody else wrote it.
        """
        path = self.file_of(coder, clip)
        with self._lock:
            if path.is_file() and digest(path.read_text(encoding="utf-8")) != revision:
                raise DeftError(
                    f"{clip}: the coding of {coder} was changed elsewhere meanwhile; load the page again."
                )
            table.write(coding, path)
            self._note(coder, clip, lambda one: {
                "actions": one.actions + actions, "dismissed": dismissed,
            })  # fmt: skip
            return digest(path.read_text(encoding="utf-8"))

    def progress(self, coder: str) -> Progress:
        """How far a coder is."""
        check_coder(coder)
        path = self.root / CODINGS / coder / PROGRESS
        with self._lock:
            if not path.is_file():
                return Progress()
            return read_model(
                Progress, path, schema=PROGRESS_SCHEMA, mend="remove it; codings stay as they are"
            )

    def progress_of(self, coder: str, clip: str) -> ClipProgress:
        """How far a coder is with a clip."""
        return self.progress(coder).clips.get(clip, ClipProgress())

    def note_shown(self, coder: str, clip: str) -> None:
        """Remember that the coder has been shown what deft proposes."""
        if not self.progress_of(coder, clip).shown:
            self._note(coder, clip, lambda one: {"shown": True})

    def finish(self, coder: str, clip: str, finished: bool = True) -> ClipProgress:
        """Call a clip coded (or not yet). The first time, the coding is frozen as the first round."""
        coding, _ = self.coding(coder, clip)
        first = self.file_of(coder, clip, first_round=True)
        with self._lock:
            if finished and not self.file_of(coder, clip).is_file():
                table.write(coding, self.file_of(coder, clip))  # nothing was seen: that is a coding too
            if finished and self.progress_of(coder, clip).first_round is None:
                write_bytes(first, self.file_of(coder, clip).read_bytes())
            return self._note(coder, clip, lambda one: {
                "finished": finished,
                "first_round": one.first_round or (
                    None if not finished else "with proposals" if one.shown else "blind"
                ),
            })  # fmt: skip

    def _note(self, coder: str, clip: str, change: Any) -> ClipProgress:
        with self._lock:
            progress = self.progress(coder)
            one = progress.clips.get(clip, ClipProgress())
            progress.clips[clip] = ClipProgress.model_validate(one.model_dump() | change(one))
            record = progress.model_dump(mode="json", by_alias=True)
            write_json(self.root / CODINGS / coder / PROGRESS, record)
            return progress.clips[clip]

    def state(self, coder: str, clip: str, progress: dict[str, Progress]) -> State:
        """The clip's state for a coder; ``progress``: that of all coders, by name."""
        done = [name for name, one in progress.items() if one.clips.get(clip, ClipProgress()).finished]
        if len(done) > 1 and self._all_agree(done, clip):
            return "agreed"
        if coder in done:
            return "coded"
        if coder and self.file_of(coder, clip).is_file():
            return "started"
        return "proposed" if self.proposals_file(clip, "result").is_file() else "uncoded"

    def _all_agree(self, coders: list[str], clip: str) -> bool:
        files = [self.file_of(name, clip) for name in coders]
        key = (clip, *((path, path.stat().st_mtime_ns) for path in files if path.is_file()))
        if key not in self._agreed:
            try:
                codings = [self.coding(name, clip)[0] for name in coders]
                pairs = [(a, b) for i, a in enumerate(codings) for b in codings[i + 1 :]]
                self._agreed[key] = not any(disagreements_of(a, b) for a, b in pairs)
            except DeftError:
                return False  # a file that cannot be read, or contradicts itself, agrees with none
        return self._agreed[key]


def is_coder(name: str) -> bool:
    """Whether a name may be a coder's: a folder is called so."""
    good = re.fullmatch(r"[A-Za-z0-9][\w .-]{0,39}", name) is not None
    return good and name == name.strip(" .") and name.lower() != DEFT and not name.endswith(FIRST_ROUND)


def check_coder(name: str) -> None:
    """Raises: DeftError for a name that no coder can have."""
    if not is_coder(name):
        raise DeftError(
            f"{name[:40]!r} is no name for a coder; take letters, digits, '-', '_' and spaces, not 'deft'."
        )


def _natural(path: str) -> list[Any]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part.casefold())
            for part in re.split(r"(\d+)", path)]  # fmt: skip
