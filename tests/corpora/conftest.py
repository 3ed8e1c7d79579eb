"""Makes corpora on disk in the field's exact formats, with invented subjects, names and numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

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
