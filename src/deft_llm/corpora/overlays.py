"""Corrections of annotation tables: explicit, versioned files with a reason each, keyed by subject and file.

A file is YAML: ``schema: 1``, ``corpus``, ``version``, ``corrections``; each has ``subject``, ``filename``
("*": any), ``field`` (onset, apex, offset, emotion, aus, objective), ``value`` (null: not annotated),
``reason`` and what the table must say for it to apply, so that another edition is left alone: ``was`` (the
cell) or ``when`` (unreadable, equals-onset, outside). ``onset`` tells apart several rows of one file.
Never by row number: rows move between editions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deft_llm.corpora.tables import cell_integer, cell_text
from deft_llm.errors import DeftError
from deft_llm.files import read_yaml
from deft_llm.records import loose, subject_number

ANY = ("*", "*")
FIELDS = ("onset", "apex", "offset", "emotion", "aus", "objective")


class Correction(BaseModel):
    """One corrected cell."""

    model_config = ConfigDict(extra="forbid")
    subject: str | int
    filename: str
    onset: int | None = None
    field: str = Field(pattern=f"^({'|'.join(FIELDS)})$")
    was: str | int | float | None = None
    when: Literal["unreadable", "equals-onset", "outside"] | None = None
    value: str | int | float | None
    reason: str = Field(min_length=5)

    @model_validator(mode="after")
    def _guarded(self) -> Correction:
        if (self.was is None) == (self.when is None):
            raise ValueError("give one of was and when, so that another edition of the table is left alone")
        return self

    def fits(self, cells: Mapping[str, Any]) -> bool:
        """Whether the table says what this correction expects."""
        if self.onset is not None and cell_text(cells.get("onset")) != str(self.onset):
            return False
        cell = cells.get(self.field)
        if self.when is None:
            return cell_text(cell) == cell_text(self.was)
        number, onset, offset = (
            cell_integer(cell),
            cell_integer(cells.get("onset")),
            cell_integer(cells.get("offset")),
        )
        if self.when == "unreadable":
            return number is None
        if number is None or onset is None:
            return False
        if self.when == "equals-onset":
            return number == onset
        if self.field == "onset":
            return offset is not None and number > offset > 0
        return number < onset or (offset is not None and number > offset > 0)


class Overlay(BaseModel):
    """A correction file."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = Field(alias="schema", ge=1, le=1)
    corpus: str
    version: str
    corrections: list[Correction]


@dataclass
class Corrections:
    """Corrections of one corpus by (subject, file), and which of them were used."""

    version: str = ""
    by_clip: dict[tuple[str, str], list[Correction]] = field(default_factory=dict)
    used: list[Correction] = field(default_factory=list)

    def of(self, subject: str, filename: str) -> list[Correction]:
        """Corrections of one clip."""
        own = self.by_clip.get((subject_number(subject), loose(filename)), [])
        return [*own, *self.by_clip.get(ANY, [])]

    def apply(self, subject: str, filename: str, cells: dict[str, Any]) -> list[str]:
        """Correct ``cells`` in place (``cells["known"]``: which fields); returns a sentence a change."""
        told = []
        for correction in self.of(subject, filename):
            if not correction.fits(cells):
                continue
            was = cell_text(cells.get(correction.field))
            cells[correction.field] = correction.value
            cells.setdefault("known", set()).add(correction.field)
            self.used.append(correction)
            new = "not annotated" if correction.value is None else str(correction.value)
            told.append(f"{correction.field} {was!r} -> {new} ({correction.reason})")
        return told


def read_overlay(path: Path, corpus: str) -> Overlay:
    """Read one correction file. Raises: DeftError naming the file, the entry and the fault."""
    value = read_yaml(path)
    try:
        overlay = Overlay.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DeftError(
            f"{path}: {place or 'the file'}: {first['msg']}; docs/how-to/prepare-a-corpus.md shows the form."
        ) from error
    if overlay.corpus != corpus:
        raise DeftError(
            f"{path}: holds corrections of {overlay.corpus}, not of {corpus}; give the right file."
        )
    return overlay


def corrections_for(corpus: str, own: tuple[Path, ...] = ()) -> Corrections:
    """The corrections that ship with the package and the user's own; the user's come last and win."""
    shipped = Path(__file__).parent / "overlays" / f"{corpus}.yaml"
    found = Corrections()
    versions = []
    for path in ([shipped] if shipped.is_file() else []) + list(own):
        overlay = read_overlay(path, corpus)
        versions.append(overlay.version if path == shipped else f"{path.name} {overlay.version}")
        for correction in overlay.corrections:
            wild = correction.filename == "*" and correction.subject == "*"
            key = ANY if wild else (subject_number(correction.subject), loose(correction.filename))
            known = found.by_clip.setdefault(key, [])
            known[:] = [
                c
                for c in known
                if (c.field, c.onset, c.when) != (correction.field, correction.onset, correction.when)
            ]
            known.append(correction)
    found.version = ", ".join(versions)
    return found
