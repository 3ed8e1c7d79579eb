"""Reads annotation tables (.xlsx, .xls, .csv) as they are: mixed cell types, notes above the header."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deft_llm.errors import DeftError
from deft_llm.files import existing_file, sha256_of

SUFFIXES = (".xlsx", ".xls", ".xlsm", ".csv", ".tsv")
_HEADER_SEARCH = 40
SHOWN = 40  # characters of a cell that a message shows
# Limits far above any annotation table: one cell at the far corner of a sheet, or a file that unpacks without
# end, must not cost memory.
MOST_BYTES, MOST_UNPACKED = 100_000_000, 500_000_000
MOST_ROWS, MOST_COLUMNS, MOST_CELLS, SHEET_ROWS = 200_000, 1_000, 4_000_000, 1_048_576

DELIMITERS = (",", ";", "\t")
NUMBERS = frozenset({"onset", "apex", "offset", "fps", "duration"})  # fields whose cells are numbers
_BINARY = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f]")  # in no text file; \x1a: DOS's last byte

Sheet = list[list[Any]]


@dataclass(frozen=True)
class Row:
    """One table row: its number in the sheet (from 1, for messages), its cells by field, and its number of
    cells up to the last filled one.
    """

    number: int
    cells: Mapping[str, Any]
    length: int = 0

    def get(self, name: str) -> Any:
        """The raw cell, None where it is empty or the column is absent."""
        return self.cells.get(name)

    def text(self, name: str) -> str:
        """The cell as people see it, stripped; "" where it is empty."""
        return cell_text(self.cells.get(name))


class Unread(NamedTuple):
    """A row that was not read: its number, how many of its known cells are filled, and all that as words."""

    number: int
    filled: int
    told: str


@dataclass(frozen=True)
class Table:
    """Rows under a header that was found, and where they come from.

    ``unread``: rows below the header that say something in a known column and lack what names their clip:
    remarks, or rows that are damaged.
    """

    path: Path
    sheet: str
    rows: list[Row]
    columns: frozenset[str]
    unread: tuple[Unread, ...] = ()

    @property
    def coding(self) -> str:
        """File name, row count and start of the SHA-256: what a record says about its annotation."""
        return f"{self.path.name} ({len(self.rows)} rows, sha256 {sha256_of(self.path)[:12]})"


def cell_text(cell: Any) -> str:
    """A cell as text; whole numbers without ".0" (6.0 and "6.0" are "6"); "" for empty cells."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and math.isfinite(cell) and cell == int(cell):
        return str(int(cell))
    text = str(cell).replace("\xa0", " ").strip()
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text)


def cell_integer(cell: Any) -> int | None:
    """A whole number out of a cell ("12", 12.0, " 12 "), None where it is none."""
    text = cell_text(cell)
    return int(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else None


def cell_number(cell: Any) -> float | None:
    """A finite positive number out of a cell, None where it is none."""
    try:
        number = float(cell_text(cell))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def with_point(cell: Any, delimiter: str) -> Any:
    """A number with a decimal comma ("29,97") as one with a point, in a table that is cut at semicolons, as
    spreadsheets write it where the comma is in numbers; any other cell as it is.
    """
    if delimiter != ";" or not isinstance(cell, str):
        return cell
    return re.sub(r"^(\s*[+-]?\d+),(\d+\s*)$", r"\1.\2", cell)


def plain(name: Any) -> str:
    """A column name for comparing: letters and digits only, lower case."""
    return re.sub(r"[^a-z0-9]", "", cell_text(name).casefold())


def read_sheets(path: Path) -> dict[str, Sheet]:
    """All sheets of a table file as rows of raw cells; the kind is told by content, not by suffix.

    Raises: DeftError that names the file where it cannot be read.
    """
    path = existing_file(path)
    if path.stat().st_size > MOST_BYTES:
        raise DeftError(f"{path}: is larger than {MOST_BYTES} bytes; give the annotation table alone.")
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
        if start.startswith(b"PK"):
            return _read_xlsx(path)
        if start.startswith(b"\xd0\xcf\x11\xe0"):
            return _read_xls(path)
        if path.suffix.casefold() in (".xlsx", ".xls", ".xlsm"):
            raise ValueError("neither xlsx nor xls inside")
        return _read_csv(path)
    except DeftError:
        raise
    except Exception as error:
        raise DeftError(
            f"{path}: the table cannot be read ({type(error).__name__}: {error}); "
            "get the file again or save it as .xlsx or .csv."
        ) from error


def _limited(rows: Iterable[Sequence[Any]]) -> Sheet:
    """Rows with the empty cells at their ends cut off; a table beyond the limits is refused at once."""
    found: Sheet = []
    cells = 0
    for number, row in enumerate(rows, 1):
        filled = max((place for place, cell in enumerate(row, 1) if cell is not None), default=0)
        if filled > MOST_COLUMNS or (filled and number > MOST_ROWS) or number > SHEET_ROWS:
            raise ValueError(f"a cell in row {number}, column {filled}: beyond what annotation tables have")
        cells += filled
        if cells > MOST_CELLS:
            raise ValueError(f"more than {MOST_CELLS} cells")
        found.append(list(row[:filled]))
    while found and not found[-1]:
        found.pop()
    return found


def _read_xlsx(path: Path) -> dict[str, Sheet]:
    import warnings
    from zipfile import ZipFile

    from openpyxl import load_workbook

    with ZipFile(path) as parts:
        if sum(part.file_size for part in parts.infolist()) > MOST_UNPACKED:
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = load_workbook(path, data_only=True, read_only=True)  # a stream: a far cell costs nothing
        try:
            sheets = {}
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # what the file says of its own size
                sheets[sheet.title] = _limited(sheet.iter_rows(values_only=True))
            return sheets
        finally:
            book.close()


def _read_xls(path: Path) -> dict[str, Sheet]:
    import xlrd

    book = xlrd.open_workbook(str(path), ragged_rows=True, logfile=io.StringIO())
    return {
        sheet.name: _limited(
            [_xls_cell(cell, xlrd) for cell in sheet.row(number)] for number in range(sheet.nrows)
        )
        for sheet in book.sheets()
    }


def _xls_cell(cell: Any, xlrd: Any) -> Any:
    if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK, xlrd.XL_CELL_ERROR):
        return None
    return cell.value


def _read_csv(path: Path) -> dict[str, Sheet]:
    """The table cut at each delimiter, a sheet each: which one it is, its header tells (a note above it, or
    lists inside cells, may hold more commas than the table has columns).
    """
    text = _decoded(path.read_bytes())
    found = _BINARY.search(text)
    if found:
        raise ValueError(f"binary data in line {text.count(chr(10), 0, found.start()) + 1}")
    sheets = {}
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        sheets[delimiter] = _limited([cell if cell.strip() else None for cell in row] for row in rows)
    return sheets


def _decoded(data: bytes) -> str:
    """Text of a table: by its mark, else UTF-16 where every second byte is zero, UTF-8, GB 18030, Latin-1."""
    start = data[:512]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings: tuple[str, ...] = ("utf-16",)
    elif start and start[1::2].count(0) > len(start) // 4:
        encodings = ("utf-16-le",)
    elif start and start[::2].count(0) > len(start) // 4:
        encodings = ("utf-16-be",)
    else:
        encodings = ("utf-8-sig", "gb18030", "latin-1")
    for encoding in encodings[:-1]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode(encodings[-1])


def find_table(
    path: Path, columns: Mapping[str, Sequence[str]], required: Sequence[str], sheet: str | None = None,
    *, mend: str = "give the annotation table of this corpus",
) -> Table:  # fmt: skip
    """The sheet of ``path`` whose header holds the ``required`` fields, found wherever it stands.

    ``columns`` maps a field to the names that files give it (compared by ``plain``); rows without what is
    ``required`` (blank lines, remarks below the table) are no clips; those that say something are ``unread``.
    Raises: DeftError where the file cannot be read, no sheet has such a header, a column is there twice, or a
    row of a CSV has more cells than the header: what stands in which column is not known then.
    """
    sheets = read_sheets(path)
    order = sorted(sheets, key=lambda name: name != sheet)
    for name in order:
        found = _header(sheets[name], columns, required)
        if found is not None:
            number, places = found
            header = sheets[name][number]
            _check_header(path, header, places)
            rows, unread = _rows(sheets[name], number, places, required, name)
            long = next((row for row in rows if row.length > len(header)), None)
            if name in DELIMITERS and long is not None:
                raise DeftError(
                    f"{path}: row {long.number} has {long.length} cells, the header {len(header)}; put a "
                    "cell that holds the delimiter into quotes."
                )
            return Table(path, name, rows, frozenset(places), tuple(unread))
    wanted = ", ".join(columns[field][0] for field in required)
    raise DeftError(f"{path}: no sheet with the columns {wanted}; {mend}.")


def _check_header(path: Path, header: Sequence[Any], places: Mapping[str, int]) -> None:
    names = [plain(cell) for cell in header]
    doubled = next((header[place] for place in places.values() if names.count(names[place]) > 1), None)
    if doubled is not None:
        raise DeftError(f"{path}: the column {doubled!r} is there twice; rename or remove one of them.")


def _header(
    sheet: Sheet, columns: Mapping[str, Sequence[str]], required: Sequence[str]
) -> tuple[int, dict[str, int]] | None:
    for number, row in enumerate(sheet[:_HEADER_SEARCH]):
        names = [plain(cell) for cell in row]
        places: dict[str, int] = {}
        for field_name, aliases in columns.items():
            for alias in aliases:
                if plain(alias) in names:
                    places[field_name] = names.index(plain(alias))
                    break
        if all(field_name in places for field_name in required):
            return number, places
    return None


def _rows(
    sheet: Sheet, header: int, places: Mapping[str, int], required: Sequence[str], delimiter: str
) -> tuple[list[Row], list[Unread]]:
    rows, unread = [], []
    for number, row in enumerate(sheet[header + 1 :], header + 2):
        cells = {name: row[place] if place < len(row) else None for name, place in places.items()}
        cells |= {name: with_point(cells[name], delimiter) for name in NUMBERS & cells.keys()}
        there = [name for name in cells if cell_text(cells[name])]
        lacking = [name for name in required if name not in there]
        if len(required) - len(lacking) >= min(2, len(required)):
            rows.append(Row(number, cells, len(row)))
        elif there:
            said = cell_text(cells[there[0]])
            told = f"row {number} ({said[:SHOWN]!r}) lacks {' and '.join(lacking)} and was not read"
            unread.append(Unread(number, len(there), told))
    return rows, unread


def is_table(path: Path) -> bool:
    """Whether ``path`` looks like a table file (no lock or hidden file)."""
    return path.suffix.casefold() in SUFFIXES and not path.name.startswith((".", "~"))
