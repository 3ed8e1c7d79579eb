"""Reads a run's predictions and refuses what cannot be scored: missing, doubled or foreign rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from deft_llm.errors import DeftError
from deft_llm.evaluation.folds import Folds, read_folds
from deft_llm.files import read_jsonl, read_model
from deft_llm.records import COARSE, PREDICTION_SCHEMA, Prediction

Key = tuple[str, str | None, int]


class RunSettings(BaseModel):
    """What scores and tables say of a run's settings (``benchmark.json`` holds more).

    ``inputs``: digests of what it ran on: stores, folds, questions and the method's weights.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    zero_shot: bool = False


@dataclass
class Run:
    """One method's predictions in order of their keys, with the folds and settings where they are known."""

    path: Path
    rows: list[Prediction]
    folds: Folds | None = None
    settings: RunSettings = field(default_factory=RunSettings)

    @property
    def name(self) -> str:
        """Method, its options and what else sets this run apart, for tables."""
        row = self.rows[0]
        extra = [word for word, on in (("zero-shot", self.settings.zero_shot), ("LEAKY", row.leaky)) if on]
        options = [f"{name}={_shown(value)}" for name, value in flattened(self.settings.options).items()]
        return " ".join([row.method, *(f"({word})" for word in extra), *options])


def _shown(value: Any) -> Any:
    """An option's value as tables show it: a file or folder by its name, wherever it lay."""
    return Path(value).name if isinstance(value, str) and "/" in value else value


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their names from the outermost on: {"a": {"b": 1}} is {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def key_of(row: Prediction) -> Key:
    """What a prediction is about; a run holds each key once."""
    return row.clip_id, row.question_id, row.seed


def sort_key(row: Prediction) -> tuple[str, str, int]:
    """Order in which rows are scored and written."""
    return row.clip_id, row.question_id or "", row.seed


def read_rows(path: Path) -> list[Prediction]:
    """Predictions of a file. Raises: DeftError naming the line that is not one, or has another schema."""
    rows = []
    for number, raw in enumerate(read_jsonl(path), 1):
        schema = raw.get("schema", raw.get("schema_version", PREDICTION_SCHEMA))
        if schema != PREDICTION_SCHEMA:
            raise DeftError(
                f"{path}: row {number} has schema {schema!r}, this version reads {PREDICTION_SCHEMA}; "
                "run the benchmark again."
            )
        try:
            row = Prediction.model_validate(raw)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "row"
            why = fault["msg"].removeprefix("Value error, ")
            raise DeftError(
                f"{path}: row {number} is no prediction ({place}: {why}); mend or remove that row."
            ) from error
        seconds = row.extras.get("seconds")
        if row.task == "spotting" and seconds is not None and not _length(seconds):
            raise DeftError(
                f"{path}: row {number}: extras.seconds is {seconds!r}, no length of a video; mend that row."
            )
        rows.append(row)
    return rows


def _length(seconds: Any) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf


def check_rows(rows: Sequence[Prediction], folds: Folds | None = None, name: str = "predictions") -> None:
    """Raise DeftError where rows are empty, doubled, missing, unexpected, mixed, or in a wrong fold."""
    if not rows:
        raise DeftError(f"{name}: holds no predictions; run the benchmark again.")
    seen: set[Key] = set()
    for row in rows:
        key = key_of(row)
        if key in seen:
            raise DeftError(f"{name}: {_words(key)} is predicted twice; remove the doubled row.")
        seen.add(key)
    for attribute in ("method", "task", "label_space", "leaky", "seed"):
        found = sorted({str(getattr(row, attribute)) for row in rows})
        if len(found) > 1:
            raise DeftError(f"{name}: rows mix {attribute} {' and '.join(found)}; one run has one.")
    if folds is None:
        return
    expected = folds.expected_keys()
    subject_of = folds.subject_of
    for row in rows:
        short = (row.clip_id, row.question_id)
        if short not in expected:
            raise DeftError(
                f"{name}: {_words(key_of(row))} is not among the keys of folds.json; remove that row."
            )
        if row.fold != expected[short]:
            raise DeftError(
                f"{name}: {_words(key_of(row))} is of fold {row.fold}, folds.json says {expected[short]}."
            )
        if row.subject != subject_of[row.clip_id]:
            raise DeftError(
                f"{name}: {_words(key_of(row))} is of subject {row.subject}, folds.json says "
                f"{subject_of[row.clip_id]}; mend that row."
            )
    missing = sorted((set(expected) - {(row.clip_id, row.question_id) for row in rows}), key=str)
    if missing:
        clip, question = missing[0]
        raise DeftError(
            f"{name}: {len(missing)} prediction(s) are missing, first "
            f"{_words((clip, question, 0))}; "
            "run the benchmark again to finish it."
        )


def _words(key: Key) -> str:
    return f"clip {key[0]}" + (f", question {key[1]}" if key[1] is not None else "")


def read_run(path: Path) -> Run:
    """A run folder, or a predictions.jsonl (beside its folds.json where it has one), checked and sorted."""
    path = Path(path)
    file = path / "predictions.jsonl" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise DeftError(f"{path}: holds no predictions.jsonl; run 'deft benchmark' to its end first.")
    rows = read_rows(file)
    folds_file, settings_file = file.parent / "folds.json", file.parent / "benchmark.json"
    folds = read_folds(folds_file) if folds_file.exists() else None
    check_rows(rows, folds, str(file))
    settings = read_model(RunSettings, settings_file) if settings_file.exists() else RunSettings()
    return Run(path, sorted(rows, key=sort_key), folds, settings)


def scorable(rows: Sequence[Prediction]) -> list[Prediction]:
    """Rows of an emotion run whose true class is known (and, under megc3, one of its three)."""
    return [
        row
        for row in rows
        if row.truth.label is not None and (row.label_space != "megc3" or row.truth.label in COARSE)
    ]


def classes_of(rows: Sequence[Prediction]) -> tuple[str, ...]:
    """The class set that scorable ``rows`` are scored over: the classes of their truth, for every method.

    ``megc3`` always has its three, in MEGC's order. A prediction outside the set is a miss.
    """
    return _class_set(rows, (row.truth.label for row in rows))


def spotting_classes_of(rows: Sequence[Prediction]) -> tuple[str, ...]:
    """``classes_of`` for videos: the classes of the micro-expressions that really are in them."""
    return _class_set(rows, (item.label for row in rows for item in row.truth.intervals or ()))


def _class_set(rows: Sequence[Prediction], labels: Iterable[str | None]) -> tuple[str, ...]:
    if rows and rows[0].label_space == "megc3":
        return COARSE
    return tuple(sorted({label for label in labels if label is not None}))


def label_of(row: Prediction) -> str | None:
    """The class that a row decides for: its label, else the most probable class (ties: first by name)."""
    if row.label is not None or not row.probabilities:
        return row.label
    return max(sorted(row.probabilities), key=lambda name: row.probabilities[name])
