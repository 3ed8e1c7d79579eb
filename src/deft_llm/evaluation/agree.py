"""Agreement of two annotation files, two prediction files, or one of each: kappa of labels and of AUs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.evaluation.rows import label_of, read_rows
from deft_llm.evaluation.units import agreement
from deft_llm.files import read_jsonl
from deft_llm.records import Clip


@dataclass(frozen=True)
class Coding:
    """What one file says of one clip; None where it says nothing."""

    coarse: str | None = None
    fine: str | None = None
    aus: frozenset[int] | None = None


def read_codings(path: Path) -> dict[str, Coding]:
    """Codings by clip: of a run, predictions.jsonl, Clip records (jsonl), or an annotation table (CSV, xlsx,
    jsonl).

    Raises: DeftError where the file is none of these.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "predictions.jsonl"
    if not path.is_file():
        raise DeftError(
            f"{path}: no such file; give a run, predictions, clip records or an annotation table."
        )
    first: Mapping[str, Any] = {}
    if path.suffix == ".jsonl":
        first = next(read_jsonl(path), {})
    if "method" in first and "truth" in first:
        return _of_predictions(path)
    if "clip_id" in first and "source" in first:
        clips = [Clip.model_validate(row) for row in read_jsonl(path)]
        return {_key(c.clip_id): _coding(c.coarse, c.emotion, c.aus) for c in clips}
    from deft_llm.corpora.joining import read_annotations

    return {"/".join(key): _coding(a.coarse, a.emotion, a.aus) for key, a in read_annotations(path).items()}


def _of_predictions(path: Path) -> dict[str, Coding]:
    found = {}
    for row in read_rows(path):
        aus = frozenset(int(au) for au, p in row.aus.items() if p >= 0.5) if row.aus else None
        coarse = row.coarse or (label_of(row) if row.label_space == "megc3" else None)
        found[_key(row.clip_id)] = Coding(coarse, row.fine, aus)
    return found


def _coding(coarse: str | None, emotion: str | None, aus: Iterable[Any] | None) -> Coding:
    from deft_llm.corpora.labels import coarse_word, fine_word

    numbers = None if aus is None else frozenset(unit.number for unit in aus)
    fine = fine_word(emotion) if emotion else None
    return Coding(coarse or (coarse_word(emotion) if emotion else None), fine, numbers)


def _key(clip_id: str) -> str:
    """A clip's name as annotation tables write it, so that records and tables meet."""
    from deft_llm.corpora.joining import join_key

    parts = clip_id.split("/")
    return "/".join(join_key(parts[0], parts[1], parts[-1])) if len(parts) >= 3 else clip_id


def cohen_kappa(first: Sequence[Any], second: Sequence[Any]) -> float | None:
    """Cohen's kappa of two raters; None where chance agreement is already complete."""
    labels = sorted(set(first) | set(second), key=str)
    index = {label: place for place, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, ([index[v] for v in first], [index[v] for v in second]), 1)
    table /= max(table.sum(), 1)
    chance = float(table.sum(1) @ table.sum(0))
    return None if chance >= 1 else (float(np.trace(table)) - chance) / (1 - chance)


def agree(first: Mapping[str, Coding], second: Mapping[str, Coding]) -> dict[str, Any]:
    """Agreement on the clips that both know. Raises: DeftError where they share none."""
    shared = sorted(set(first) & set(second))
    if not shared:
        raise DeftError("the two files share no clip; check corpus, subject and file names.")
    result: dict[str, Any] = {
        "clips": len(shared),
        "only_first": len(first) - len(shared),
        "only_second": len(second) - len(shared),
    }
    for name in ("coarse", "fine"):
        pairs = [(getattr(first[c], name), getattr(second[c], name)) for c in shared]
        pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
        if pairs:
            a, b = map(list, zip(*pairs))
            result[name] = {
                "clips": len(pairs),
                "same": float(np.mean([x == y for x, y in pairs])),
                "kappa": cohen_kappa(a, b),
            }
    coded = [(first[c].aus, second[c].aus) for c in shared]
    both = [(set(a), set(b)) for a, b in coded if a is not None and b is not None]
    if both:
        result["aus"] = _units(both)
    return result


def _units(pairs: Sequence[tuple[set[int], set[int]]]) -> dict[str, Any]:
    sums = np.array([agreement(a, b) for a, b in pairs]).sum(0)
    numbers = sorted(set().union(*(a | b for a, b in pairs)))
    per_au = {
        str(au): {
            "first": sum(au in a for a, _ in pairs),
            "second": sum(au in b for _, b in pairs),
            "both": sum(au in a and au in b for a, b in pairs),
            "kappa": cohen_kappa([au in a for a, _ in pairs], [au in b for _, b in pairs]),
        }
        for au in numbers
    }
    return {"clips": len(pairs), "agreement": float(sums[0] / sums[1]) if sums[1] else None, "per_au": per_au}
