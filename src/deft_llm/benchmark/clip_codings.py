"""Reads what a file says of clips, for ``deft agree``: a run, predictions, clip records, or a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from deft_llm.corpora.joining import Annotation, join_key, read_annotations
from deft_llm.corpora.labels import coarse_word
from deft_llm.evaluation.agree import MARKS, CodedUnit, Coding, Codings
from deft_llm.evaluation.rows import label_of, read_rows
from deft_llm.facs.emotions import fine_word
from deft_llm.facs.notation import shown_and_open
from deft_llm.files import existing_file, read_jsonl, reading
from deft_llm.records import ActionUnit, Clip, Prediction


def read_codings(path: Path) -> Codings:
    """Codings by clip: of a run, predictions.jsonl, Clip records (jsonl), or an
    annotation table (CSV, xlsx, jsonl).

    A clip that is there twice is a problem: what its rows say differently is left open. Raises: DeftError
    where the file is none of these.
    """
    path = Path(path)
    path = existing_file(path / "predictions.jsonl" if path.is_dir() else path)
    first = next(read_jsonl(path), {}) if path.suffix == ".jsonl" else {}
    if "method" in first and "truth" in first:
        return _joined(path, ((row.clip_id, _of_prediction(row)) for row in read_rows(path)))
    if "clip_id" in first and "source" in first:
        return _joined(path, ((clip.clip_id, _of_clip(clip)) for clip in _clips(path)))
    read = read_annotations(path)
    found = Codings(str(path), {}, problems=read.unread)
    for key, row in read.clips.items():
        found.clips["/".join(key)] = _of_annotation(row)
        found.problems += [f"{row.where}: {text}" for text in row.problems]
        found.notes += [f"{row.where}: {text}" for text in row.notes]
    return found


def _clips(path: Path) -> Iterable[Clip]:
    for number, row in enumerate(read_jsonl(path), 1):
        with reading(path, f"mend or remove line {number}"):
            yield Clip.model_validate(row)


def _joined(path: Path, codings: Iterable[tuple[str, Coding]]) -> Codings:
    found = Codings(str(path), {})
    for clip_id, coding in codings:
        key = _key(clip_id)
        if key in found.clips and found.clips[key] != coding:
            found.problems.append(f"{path.name}: clip {clip_id} is there twice, and differently; left open")
            coding = Coding()
        found.clips[key] = coding
        found.names[key] = clip_id
    return found


def _key(clip_id: str) -> str:
    """A clip's name as annotation tables write it, so that records and tables meet."""
    parts = clip_id.split("/")
    return "/".join(join_key(parts[0], parts[1], parts[-1])) if len(parts) >= 3 else clip_id


def _of_prediction(row: Prediction) -> Coding:
    coarse = row.coarse or (label_of(row) if row.label_space == "megc3" else None)
    seen = {int(au): CodedUnit(row.sides.get(au, "both")) for au, p in row.aus.items() if p >= 0.5}
    return Coding(coarse, row.fine, seen if row.aus else None)


def _of_clip(clip: Clip) -> Coding:
    marks = {name: getattr(clip, name) for name in MARKS if getattr(clip, name) is not None}
    return _coding(clip.coarse, clip.emotion, clip.aus, marks)


def _of_annotation(row: Annotation) -> Coding:
    return _coding(row.coarse, row.emotion, row.aus, row.marks)


def _coding(
    coarse: str | None, emotion: str | None, aus: Sequence[ActionUnit] | None, marks: dict[str, int]
) -> Coding:
    shown, left_open = shown_and_open(aus or ())
    units = {unit.number: CodedUnit(unit.side, unit.intensity) for unit in aus or () if unit.number in shown}
    fine = fine_word(emotion) if emotion else None
    coarse = coarse or (coarse_word(emotion) if emotion else None)
    return Coding(coarse, fine, None if aus is None else units, left_open, marks)
