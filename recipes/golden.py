"""Two runs of the same command held against each other: what a change of the code moved.

    python -m recipes.golden BEFORE AFTER [--within 0.01]

BEFORE and AFTER: predictions.jsonl, result.json, or folders that hold them (run folders of `deft benchmark`
and `deft analyze`; files are paired by their place in the folder). Prints per column the largest difference
of a probability and how many rows are farther apart than ``--within``, every label, AU side and answer that
changed, and exits 1 where a probability, a label or a side did.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.files import read_json, read_jsonl

FILES = ("predictions.jsonl", "result.json")
WITHIN = 0.01
WORDS = ("label", "coarse", "fine")
KEY = ("clip_id", "question_id", "seed", "fold")


@dataclass
class Row:
    """One clip or movement: probabilities by (column, name), words by column, the answer's text."""

    numbers: dict[tuple[str, str], float]
    words: dict[str, Any]
    answer: str | None


@dataclass
class Difference:
    """``largest``: per column the largest difference and where; ``beyond``: rows farther apart than allowed
    per column; ``changed``: (row, what, before, after) of words; ``answers``: (row, before, after)."""

    rows: int = 0
    largest: dict[str, tuple[float, str]] = field(default_factory=dict)
    beyond: dict[str, set[str]] = field(default_factory=dict)
    changed: list[tuple[str, str, Any, Any]] = field(default_factory=list)
    answers: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    @property
    def moved(self) -> bool:
        """Whether a probability moved farther than allowed, or a label or a side changed."""
        return any(self.beyond.values()) or bool(self.changed)


def rows_of(path: Path) -> dict[str, Row]:
    """The rows of one file by their key."""
    if path.suffix == ".jsonl":
        return dict(_predictions(read_jsonl(path)))
    return dict(_movements(read_json(path)["movements"]))


def _predictions(records: Any) -> Iterator[tuple[str, Row]]:
    for record in records:
        numbers = {("class", name): p for name, p in (record["probabilities"] or {}).items()}
        numbers |= {(f"AU{au}", "presence"): p for au, p in record["aus"].items()}
        words = {name: record[name] for name in WORDS}
        words |= {f"side of AU{au}": side for au, side in (record["sides"] or {}).items()}
        key = " ".join(str(record[name]) for name in KEY if record[name] is not None)
        yield key, Row(numbers, words, record["answer"])


def _movements(records: Any) -> Iterator[tuple[str, Row]]:
    for record in records:
        klass = record["class"] or {}
        numbers = {("class", name): p for name, p in (klass.get("probabilities") or {}).items()}
        words = {name: klass.get(name) for name in WORDS}
        for unit in _units(record["aus"]):
            numbers[f"AU{unit['number']}", unit.get("phase", "presence")] = unit["confidence"] or 0.0
            if "side" in unit:
                words[f"side of AU{unit['number']}"] = unit["side"]
        yield (
            f"face {record.get('face', 1)}, {record['onset']}-{record['apex']}",
            Row(numbers, words, record["answer"]),
        )


def _units(aus: Any) -> list[dict[str, Any]]:
    """Units of a movement; results of schema 2 and older hold probabilities by number."""
    if isinstance(aus, dict):
        return [{"number": number, "confidence": p} for number, p in aus.items()]
    return list(aus)


def compare(before: dict[str, Row], after: dict[str, Row], within: float = WITHIN) -> Difference:
    """Differences of the rows of two files. Raises: DeftError where they do not hold the same rows."""
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        raise DeftError(f"{len(odd)} rows are in one file alone ({odd[0]}); compare runs on the same clips.")
    found = Difference(rows=len(before))
    for key, old in before.items():
        new = after[key]
        for column, name in old.numbers.keys() | new.numbers.keys():
            gap = abs(old.numbers.get((column, name), 0.0) - new.numbers.get((column, name), 0.0))
            found.largest[column] = max(found.largest.get(column, (0.0, key)), (gap, f"{key} {name}"))
            found.beyond.setdefault(column, set())
            if gap > within:
                found.beyond[column].add(key)
        for what in sorted(old.words.keys() | new.words.keys()):
            if old.words.get(what) != new.words.get(what):
                found.changed.append((key, what, old.words.get(what), new.words.get(what)))
        if old.answer != new.answer:
            found.answers.append((key, old.answer, new.answer))
    return found


def pairs(before: Path, after: Path) -> list[tuple[str, Path, Path]]:
    """(name, file, file) to compare. Raises: DeftError where one side lacks a file of the other."""
    if before.is_file():
        return [(before.name, before, after)]
    names = [
        {p.relative_to(folder).as_posix() for kind in FILES for p in folder.rglob(kind)}
        for folder in (before, after)
    ]
    if names[0] != names[1] or not names[0]:
        odd = sorted(names[0] ^ names[1])
        raise DeftError(f"{before}, {after}: {odd[0] if odd else FILES[0]} is not in both; run both alike.")
    return [(name, before / name, after / name) for name in sorted(names[0])]


def show(name: str, found: Difference, within: float) -> None:
    """Print what differs."""
    print(f"{name}: {found.rows} rows")
    for column, (gap, where) in sorted(found.largest.items()):
        print(f"  {column}: {gap:.4f} ({where}); beyond {within:g}: {len(found.beyond[column])}")
    for key, what, old, new in found.changed:
        print(f"  {key}: {what} {old} -> {new}")
    for key, before, after in found.answers:
        print(f"  {key}: answer\n    {before!r}\n    {after!r}")


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; 1 where a probability, a label or a side moved, or the runs do not compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--within", type=float, default=WITHIN)
    given = parser.parse_args(arguments)
    moved = False
    try:
        for name, first, second in pairs(given.before, given.after):
            found = compare(rows_of(first), rows_of(second), given.within)
            show(name, found, given.within)
            moved |= found.moved
    except DeftError as error:
        print(f"golden: {error}", file=sys.stderr)
        return 1
    return int(moved)


if __name__ == "__main__":
    sys.exit(main())
