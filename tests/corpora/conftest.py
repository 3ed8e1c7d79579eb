"""Makes corpora on disk in the field's exact formats, with invented subjects, names and numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

CASME2 = [
    "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
    "Estimated Emotion",
]  # fmt: skip
SAMM = [
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration",
    "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
]  # fmt: skip
_JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


class Maker:
    """Writes tables and frame folders below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def xlsx(
        self, name: str, rows: list[list], *, sheet: str = "Sheet1", above: list[list] = (), **more
    ) -> Path:
        """A real .xlsx; ``above``: rows over the header; ``more``: further sheets by name."""
        from openpyxl import Workbook

        book = Workbook()
        book.active.title = sheet
        for row in [*above, *rows]:
            book.active.append(row)
        for title, content in more.items():
            other = book.create_sheet(title.replace("_", " "))
            for row in content:
                other.append(row)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        book.save(path)
        return path

    def casme2(self, name: str, rows: list[list]) -> Path:
        """A coding of CASME II; rows with a tenth cell are of 2019 and carry objective classes."""
        classes = ["Objective Classes"] if any(len(row) > len(CASME2) for row in rows) else []
        return self.xlsx(name, [[*CASME2, *classes], *rows])

    def samm(self, name: str, rows: list[list]) -> Path:
        """SAMM's table: thirteen lines of notes above the header."""
        notes = [[f"note {number}"] for number in range(13)]
        return self.xlsx(name, [SAMM, *rows], sheet="MICRO_ONLY", above=notes)

    def xls(self, name: str, rows: list[list], sheet: str = "Sheet1") -> Path:
        """A real .xls (BIFF)."""
        import xlwt

        book = xlwt.Workbook()
        page = book.add_sheet(sheet)
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                if cell is not None:
                    page.write(y, x, cell)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        book.save(str(path))
        return path

    def csv(self, name: str, text: str) -> Path:
        """A text file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def frames(self, folder: str, numbers, form: str = "img{}.jpg") -> None:
        """Tiny JPEGs with those file numbers."""
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (path / form.format(number)).write_bytes(_JPEG)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A maker of corpora in a fresh folder."""
    return Maker(tmp_path)


@pytest.fixture
def kinds():
    """Kinds of a corpus' faults (or notes), each once, sorted."""

    def kinds(corpus, severity: str = "fault") -> list[str]:
        return sorted({fault.kind for fault in corpus.faults if fault.severity == severity})

    return kinds


@pytest.fixture
def by_id():
    """A corpus' clips by id."""
    return lambda corpus: {clip.clip_id: clip for clip in corpus.clips}
