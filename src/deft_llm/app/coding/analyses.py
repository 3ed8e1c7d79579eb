"""Clips that deft reads for their coders, one after another, each in a process of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

from deft_llm.app.coding.folder import CodingFolder
from deft_llm.app.jobs import Progress, Slots
from deft_llm.app.limits import clean_message
from deft_llm.codings import table
from deft_llm.codings.proposals import coding_of
from deft_llm.errors import DeftError
from deft_llm.files import digest, read_object, sha256_of, write_json
from deft_llm.model.checkpoint import CONFIG, SHIPPED, WEIGHTS

KEPT = 4  # analyses that stay in memory, for questions about their movements


def identity_of(checkpoint: str | None) -> str:
    """Digest of a checkpoint's config and weights (None: the shipped one); "" where there is none."""
    folder = SHIPPED if checkpoint is None else Path(checkpoint)
    files = [folder / name for name in (CONFIG, WEIGHTS)]
    return digest([sha256_of(file) for file in files]) if all(file.is_file() for file in files) else ""


class Analyses:
    """Reads clips with ``slots`` and leaves what it finds below ``codings/deft``."""

    def __init__(self, folder: CodingFolder, slots: Slots, checkpoint: str | None = None) -> None:
        self.folder, self.slots, self.checkpoint = folder, slots, checkpoint
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._running = False
        self._read_of: dict[Any, Any] = {}  # bytes and checkpoint of the reading, by curves file and its date

    @cached_property
    def identity(self) -> str:
        """Which checkpoint reads: ``identity_of`` it."""
        return identity_of(self.checkpoint)

    def ask_for(self, clips: list[str]) -> None:
        """Have these clips read, those that are not yet."""
        for clip in clips:
            self.folder.path_of(clip)
        with self._lock:
            for clip in clips:
                waiting = self._jobs.get(clip, {}).get("state") in ("waiting", "reading")
                if not waiting and not self.is_there(clip):
                    self._jobs[clip] = {"state": "waiting", "share": 0.0, "text": "waiting"}
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, daemon=True).start()

    def jobs(self) -> dict[str, dict[str, Any]]:
        """State ("waiting", "reading", "failed"), share 0 to 1 and text of each clip that is not read yet."""
        with self._lock:
            return {clip: dict(job) for clip, job in self._jobs.items()}

    def is_there(self, clip: str) -> bool:
        """Whether a clip was read, as it lies there now, by the checkpoint that reads now."""
        path = self.folder.proposals_file(clip, "curves")
        if not path.is_file():
            return False
        key = (path, path.stat().st_mtime_ns)
        if key not in self._read_of:
            try:
                found = read_object(path)
                self._read_of[key] = found.get("bytes"), found.get("checkpoint")
            except DeftError:
                self._read_of[key] = None  # damaged: as good as not there, and read again
        return self._read_of[key] == (self._bytes(clip), self.identity)

    def of(self, clip: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """result.json's content and the curves of a clip; None before it was read."""
        if not self.is_there(clip):
            return None
        paths = (self.folder.proposals_file(clip, what) for what in ("result", "curves"))
        record, curves = (read_object(path) for path in paths)
        return record, curves

    def kept(self, clip: str) -> Any:
        """The analysis of a clip that was read since the server started, else None."""
        return self._kept.get(clip)

    def _bytes(self, clip: str) -> int:
        path = self.folder.path_of(clip)
        return sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size

    def _work(self) -> None:
        while True:
            with self._lock:
                clip = next((c for c, job in self._jobs.items() if job["state"] == "waiting"), None)
                if clip is None:
                    self._running = False
                    return
                self._jobs[clip] = {"state": "reading", "share": 0.0, "text": "starting"}
            try:
                self._read(clip)
            except Exception as error:
                text = clean_message(str(error), self.folder.root / clip)
                with self._lock:
                    self._jobs[clip] = {"state": "failed", "share": 0.0, "text": text}
                if not isinstance(error, DeftError) and self.slots.closed:
                    return

    def _read(self, clip: str) -> None:
        path, found = self.folder.path_of(clip), None
        for item in self.slots.run("propose", path, self.folder.fps, None, self.checkpoint):
            if isinstance(item, Progress):
                with self._lock:
                    self._jobs[clip] = {"state": "reading", "share": item.share, "text": item.text}
            else:
                found = item
        assert found is not None
        record = found.record | {"source": clip}
        coding = coding_of(record, clip, self.folder.clock(clip))
        table.write(coding, self.folder.proposals_file(clip, "events"))
        write_json(self.folder.proposals_file(clip, "result"), record)
        read_of = {"bytes": self._bytes(clip), "checkpoint": self.identity}
        write_json(self.folder.proposals_file(clip, "curves"), found.curves | read_of)
        with self._lock:
            del self._jobs[clip]
            self._kept[clip] = found.result
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
