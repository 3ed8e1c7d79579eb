"""Probes of a run: what its exported features tell of the classes, Action Units and people of its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.evaluation.probes import probe, read_features, verification_auc
from deft_llm.evaluation.rows import Run
from deft_llm.facs.notation import shown_and_open

LEAST = 8
COMPONENTS = 64
PERMUTATIONS = 3


def probe_run(run: Run, features: Path) -> dict[str, Any]:
    """{expert: {"class", "aus", "same_subject"}}; linear probes on at most 64 principal components.

    class: balanced accuracy; aus: mean AUROC over AUs with at least LEAST clips with and without; both on
    subjects that the probe was not fitted on, beside the same on permuted labels. same_subject: AUROC of
    telling from two clips whether they show one person (.5: identity cannot be read).
    Raises: DeftError where the file is not about this run's clips.
    """
    clips, subjects, arrays = read_features(features)
    rows = {row.clip_id: row for row in run.rows}
    known = [index for index, clip in enumerate(clips) if clip in rows]
    if len(set(clips)) != len(clips) or set(rows) - set(clips):
        missing = sorted(set(rows) - set(clips))
        raise DeftError(
            f"{features}: "
            + (
                f"lacks {len(missing)} clips of {run.path}, first {missing[0]}"
                if missing
                else "repeats clips"
            )
            + "; export it from this run: deft benchmark ... --features."
        )
    truths = [rows[clips[index]].truth for index in known]
    people = [subjects[index] for index in known]
    labels = np.array([truth.label or "" for truth in truths])
    coded = np.array([truth.aus is not None for truth in truths])
    units = [shown_and_open(truth.aus or ()) for truth in truths]
    found = {}
    for name, array in arrays.items():
        reduced = _reduced(array[known])
        found[name] = {
            "class": _class(reduced, labels, people),
            "aus": _units(reduced, units, coded, people),
            "same_subject": verification_auc(reduced, people),
            "dimensions": int(array.shape[1]),
            "clips": len(known),
        }
    return found


def _reduced(features: np.ndarray) -> np.ndarray:
    """Standardised features on their first principal components, one for eight clips; no label is used.

    The probe scales every component alike, so more of them would be noise.
    """
    from sklearn.decomposition import PCA

    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    count = min(COMPONENTS, max(4, len(scaled) // 8), *scaled.shape)
    return PCA(count, random_state=0).fit_transform(scaled)


def _class(features: np.ndarray, labels: np.ndarray, people: list[str]) -> dict[str, Any] | None:
    known = labels != ""
    if len(np.unique(labels[known])) < 2:
        return None
    mine = [person for person, keep in zip(people, known) if keep]
    return _short(probe(features[known], labels[known], mine, "classes", permutations=PERMUTATIONS))


def _units(
    features: np.ndarray,
    units: list[tuple[frozenset[int], frozenset[int]]],
    coded: np.ndarray,
    people: list[str],
) -> dict[str, Any] | None:
    """Probes of each AU on the clips that were ``coded`` (N,) and of which it was not left open; ``units``:
    AUs shown and left open of every clip."""
    per_au = {}
    for au in sorted(frozenset().union(*(shown for shown, _ in units))):
        known = coded & np.array([au not in left_open for _, left_open in units])
        truth = np.array([au in shown for shown, _ in units], int)[known]
        if min(truth.sum(), (1 - truth).sum()) >= LEAST:
            mine = [person for person, keep in zip(people, known) if keep]
            per_au[str(au)] = _short(probe(features[known], truth, mine, "binary", permutations=PERMUTATIONS))
    if not per_au:
        return None
    means = {name: float(np.mean([cell[name] for cell in per_au.values()])) for name in ("score", "permuted")}
    return means | {"per_au": {au: cell["score"] for au, cell in per_au.items()}}


def _short(found: dict[str, Any]) -> dict[str, Any]:
    return {"score": found["score"], "permuted": found["baseline"]}
