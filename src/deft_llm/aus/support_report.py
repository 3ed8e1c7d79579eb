"""The support score held against labels it never saw: per AU, labelled against unlabelled clips."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.aus.calibration import load_calibration
from deft_llm.aus.support import measure_support
from deft_llm.aus.verdict import verdicts
from deft_llm.facs.units import MICRO_AUS, name
from deft_llm.jobs import run_jobs
from deft_llm.store import Store

PART = 64
FALSE = 0.1
"""Share of unlabelled clips that are taken for labelled ones where ``found`` is told."""


def support_rows(store: Path, *, workers: int = 1, engine: str = "local") -> Iterator[dict[str, Any]]:
    """Per clip: id, labelled AUs (None: not coded), those of them that the dual constraint keeps, and the
    support of every judged AU."""
    ids = list(Store(store).rows)
    jobs = [(Path(store), tuple(ids[start : start + PART])) for start in range(0, len(ids), PART)]
    for part in run_jobs(_measure_part, jobs, workers=workers, engine=engine):
        yield from part


def _measure_part(job: tuple[Path, tuple[str, ...]]) -> list[dict[str, Any]]:
    store = Store(job[0])
    found = []
    for clip_id in job[1]:
        clip = store.row(clip_id).clip
        motion = store.motion(clip_id, fields=())
        supports = measure_support(motion)
        labels = None if clip.aus is None else sorted({unit.number for unit in clip.aus})
        found_of = verdicts(supports, clip.aus, load_calibration(), motion.units)
        found.append(
            {
                "clip_id": clip_id,
                "subject": clip.subject,
                "aus": labels,
                "kept": sorted({row.au for row in found_of if row.status == "supported" and row.au}),
                "supports": {s.au: round(s.support, 5) for s in supports if s.judged},
            }
        )
    return found


def auc_table(rows: list[dict[str, Any]], *, least: int = 3) -> list[dict[str, Any]]:
    """Per AU: clips with and without the label, the area under the ROC curve of the support, the share of
    labelled clips found where ``FALSE`` of the unlabelled are, and the share of labels that are kept.

    AUs with fewer than ``least`` clips on either side have no AUC. Clips that nobody coded are left out.
    """
    kept: Counter[int] = Counter(au for row in rows for au in row["kept"])
    labelled: dict[int, list[float]] = defaultdict(list)
    unlabelled: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row["aus"] is None:
            continue
        for au, support in row["supports"].items():
            (labelled if int(au) in row["aus"] else unlabelled)[int(au)].append(support)
    table = []
    for au in MICRO_AUS:
        with_label, without = labelled[au], unlabelled[au]
        auc = found = None
        if len(with_label) >= least and len(without) >= least:
            auc = round(area(np.array(with_label), np.array(without)), 4)
            found = round(float(np.mean(np.array(with_label) > np.quantile(without, 1 - FALSE))), 4)
        table.append(
            {
                "au": au,
                "name": name(au),
                "labelled": len(with_label),
                "unlabelled": len(without),
                "auc": auc,
                "found": found,
                "kept": round(kept[au] / len(with_label), 4) if with_label else None,
                "mean labelled": _mean(with_label),
                "mean unlabelled": _mean(without),
            }
        )
    return table


def area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
