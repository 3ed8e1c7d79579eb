"""Frame folders on disk: found by loose names (case, zero padding), listed by number, checked for gaps."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deft_llm.corpora.tables import is_table
from deft_llm.records import loose

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".m4v", ".webm")


class Tree:
    """All folders below ``root`` (links followed once), to be found by their last names."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.tables: list[Path] = []
        self.videos: list[str] = []
        self.folders: list[str] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)
        seen: set[str] = set()
        for place, folders, files in os.walk(self.root, followlinks=True):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            relative = os.path.relpath(place, self.root).replace(os.sep, "/")
            relative = "" if relative == "." else relative
            self.folders.append(relative)
            if relative:
                self._by_name[loose(relative.rsplit("/", 1)[-1])].append(relative)
            for name in sorted(files):
                self._file(place, relative, name)

    def _file(self, place: str, relative: str, name: str) -> None:
        suffix = os.path.splitext(name)[1].casefold()
        if suffix in VIDEOS and not name.startswith("."):
            self.videos.append(f"{relative}/{name}".lstrip("/"))
        elif suffix not in IMAGES and is_table(Path(name)):
            self.tables.append(Path(place) / name)

    def find(self, *tail: str, prefer: Sequence[str] = ()) -> str | None:
        """The folder whose last names are ``tail`` (compared loosely); ``prefer``: words of its path.

        Without a word of ``prefer`` in any, the shortest path wins.
        """
        found = [path for path in self._by_name.get(loose(tail[-1]), ()) if self._ends(path, tail)]
        return preferred(found, prefer)

    def starting(self, parent: str, start: str) -> list[str]:
        """Folders below a folder named ``parent`` whose own name begins with ``start``."""
        wanted, prefix = loose(parent), loose(start)
        return [
            path
            for path in self.folders
            if "/" in path
            and loose(path.rsplit("/", 1)[-1]).startswith(prefix)
            and loose(path.split("/")[-2]) == wanted
        ]

    @staticmethod
    def _ends(path: str, tail: Sequence[str]) -> bool:
        parts = path.split("/")
        return len(parts) >= len(tail) and all(
            loose(part) == loose(name) for part, name in zip(parts[-len(tail) :], tail)
        )

    @cached_property
    def clip_folders(self) -> list[str]:
        """Folders that hold images themselves."""
        return [path for path in self.folders if path and list_frames(self.root / path).names]


def preferred(paths: Sequence[str], prefer: Sequence[str] = ()) -> str | None:
    """The path with the first word of ``prefer``, else the shortest; None of none."""
    return min(paths, key=lambda path: (_rank(path, prefer), len(path), path), default=None)


def _rank(path: str, prefer: Sequence[str]) -> int:
    lower = path.casefold()
    return next((rank for rank, word in enumerate(prefer) if word.casefold() in lower), len(prefer))


@dataclass(frozen=True)
class Frames:
    """A folder's images in the order of their numbers; ``numbers`` are the file numbers.

    Left out, and named: ``copies`` of a file ("img46 (1).png" beside "img46.png") and ``unnumbered`` files.
    """

    names: list[str]
    numbers: list[int]
    copies: tuple[str, ...] = ()
    unnumbered: tuple[str, ...] = ()

    def index_of(self, number: int) -> int | None:
        """Index of the frame with that file number, None where there is none."""
        try:
            return self.numbers.index(number)
        except ValueError:
            return None

    @property
    def gaps(self) -> list[int]:
        """File numbers after which one or more frames are missing."""
        return [a for a, b in zip(self.numbers, self.numbers[1:]) if b - a > 1]

    @property
    def repeated(self) -> list[int]:
        """File numbers that two files have."""
        return [a for a, b in zip(self.numbers, self.numbers[1:]) if a == b]

    def part(self, first: int, last: int) -> Frames:
        """The frames with indices first..last."""
        return Frames(self.names[first : last + 1], self.numbers[first : last + 1])


_COPY = re.compile(r"\s*(\(\d+\)|- copy( \(\d+\))?)$", re.IGNORECASE)


def original_name(name: str) -> str:
    """A file's name without the mark of a copy: "img46 (1).png" and "img46 - Copy.png" -> "img46.png"."""
    stem, suffix = os.path.splitext(name)
    return _COPY.sub("", stem) + suffix


def frame_number(name: str) -> int | None:
    """The last number in a file name: img46.jpg 46, 006_05562.jpg 5562, reg_image013486.bmp 13486, and
    "face (12).jpg" 12, as Windows numbers files that are renamed together.
    """
    digits = re.findall(r"\d+", os.path.splitext(name)[0])
    return int(digits[-1]) if digits else None


def list_frames(folder: Path) -> Frames:
    """The images of a folder by number; no folder or no images: empty. Hidden files are no images.

    A single "img46 (1).png" whose original is gone has its number, 46; several ("img46 (1).png", "img46
    (2).png") were renamed together and have those in brackets.
    """
    try:
        with os.scandir(folder) as listing:
            names = [
                entry.name
                for entry in listing
                if entry.name.casefold().endswith(IMAGES)
                and not entry.name.startswith(".")
                and os.path.isfile(entry)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return Frames([], [])
    there = set(names)
    copies = {name for name in names if original_name(name) != name and original_name(name) in there}
    alike = Counter(original_name(name) for name in there - copies)
    numbers = {name: _number(name, alike) for name in sorted(there - copies)}
    found = sorted((number, name) for name, number in numbers.items() if number is not None)
    unnumbered = tuple(name for name, number in numbers.items() if number is None)
    return Frames([name for _, name in found], [n for n, _ in found], tuple(sorted(copies)), unnumbered)


def _number(name: str, alike: Mapping[str, int]) -> int | None:
    """A file's number; ``alike``: how many files have one name but for the mark of a copy."""
    original = original_name(name)
    number = frame_number(original) if alike[original] == 1 else None
    return frame_number(name) if number is None else number
