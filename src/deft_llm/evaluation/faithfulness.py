"""Interpretability as numbers: does an answer say what was measured, agree with
itself, and follow its inputs?

All from prediction rows: ``evidence`` and ``answer`` (what was claimed),
``extras["measured"]`` (the flow's own AU support, label-free, filled by the benchmark)
and ``extras["counterfactuals"]`` (answers with one input changed).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence, Set
from typing import Any

from deft_llm.answer import AnswerError, parse
from deft_llm.evaluation.rows import label_of
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import coarse_of
from deft_llm.facs.notation import shown_and_open
from deft_llm.records import SUPPORTED, Prediction


def claimed_units(row: Prediction) -> set[int] | None:
    """AUs that an answer claims: from its text, else from its evidence; None where it has neither."""
    if row.answer is not None and row.question_id is None:
        try:
            return {item.au for item in parse(row.answer).evidence}
        except AnswerError:
            return set()
    if row.evidence:
        return {item.au for item in row.evidence if item.au is not None and item.status != "unexplained"}
    return None


def faithfulness(rows: Sequence[Prediction]) -> dict[str, Any] | None:
    """Claimed AUs against measured flow and against the truth (precision, recall), and claimed directions.

    None where no row claims anything. Against flow: an AU counts as measured at support >= 0.5. Against the
    truth, AUs that the coder left open do not count.
    """
    against_flow, against_truth = _Counts(), _Counts()
    directions = [0, 0]
    for row in rows:
        claimed = claimed_units(row)
        if claimed is None:
            continue
        measured = row.extras.get("measured")
        if measured is not None:
            against_flow.add(claimed, {m["au"] for m in measured if m["support"] >= SUPPORTED})
        if row.truth.aus is not None:
            shown, left_open = shown_and_open(row.truth.aus)
            against_truth.add(claimed - left_open, shown)
        agree, stated = _directions(row)
        directions = [directions[0] + agree, directions[1] + stated]
    if not against_flow.rows and not against_truth.rows:
        return None
    return {
        "against_flow": against_flow.summary(),
        "against_truth": against_truth.summary(),
        "directions_agree": directions[0] / directions[1] if directions[1] else None,
        "directions": directions[1],
    }


class _Counts:
    """Claimed and true AUs over rows: how many, how many in common."""

    def __init__(self) -> None:
        self.shared = self.claimed = self.there = self.rows = 0

    def add(self, claimed: set[int], there: Set[int]) -> None:
        self.shared += len(claimed & there)
        self.claimed += len(claimed)
        self.there += len(there)
        self.rows += 1

    def summary(self) -> dict[str, Any] | None:
        if not self.rows:
            return None
        return {
            "precision": self.shared / self.claimed if self.claimed else None,
            "recall": self.shared / self.there if self.there else None,
            "claimed": self.claimed,
            "there": self.there,
            "clips": self.rows,
        }


def _directions(row: Prediction) -> tuple[int, int]:
    """(directions that agree, directions stated) of evidence whose displacement was measured.

    Converging and diverging are motions of two parts against each other: one displacement cannot test them.
    """
    agree = stated = 0
    for item in row.evidence:
        if item.direction in ("converging", "diverging") or (item.dx == 0 and item.dy == 0):
            continue
        words = {direction_word(item.dx, item.dy, side) for side in _sides(item.side)}
        stated += 1
        agree += item.direction in words
    return agree, stated


def _sides(side: str) -> tuple[Any, ...]:
    return (side,) if side in ("left", "right") else ("left", "right", "mid")


def consistency(rows: Sequence[Prediction]) -> dict[str, Any] | None:
    """Share of answers that parse, whose class agrees with itself and the head, and whose rationale fits E.

    None where no row has an answer in the (C, E, R) form.
    """
    texts = [row for row in rows if row.answer is not None and row.question_id is None]
    if not texts:
        return None
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in texts:
        try:
            answer = parse(row.answer or "")
        except AnswerError:
            counts["parsed"][1] += 1
            continue
        counts["parsed"] = [counts["parsed"][0] + 1, counts["parsed"][1] + 1]
        _count(counts["coarse_follows_fine"], coarse_of(answer.fine) in (None, answer.coarse))
        head = label_of(row)
        if head is not None:
            _count(counts["text_is_head"], head in (answer.fine, answer.coarse))
        named = {int(n) for n in re.findall(r"AU\s?(\d{1,2})", answer.rationale)}
        _count(counts["rationale_within_evidence"], named <= {item.au for item in answer.evidence})
        if row.aus:
            detected = {int(au) for au, p in row.aus.items() if p >= 0.5}
            _count(counts["evidence_within_head_aus"], {item.au for item in answer.evidence} <= detected)
    return {name: hit / total for name, (hit, total) in counts.items()} | {"answers": len(texts)}


def _count(cell: list[int], hit: bool) -> None:
    cell[0] += hit
    cell[1] += 1


def counterfactuals(rows: Sequence[Prediction]) -> dict[str, Any] | None:
    """What changes when one expert's input is removed, or swapped with a donor clip's.

    Reads extras["counterfactuals"] = {name: {"label", "aus", "donor"}}. ``follows``: of swaps where donor and
    clip had different classes, the share that took the donor's class.
    """
    labels = {row.clip_id: label_of(row) for row in rows}
    units = {row.clip_id: {int(au) for au, p in row.aus.items() if p >= 0.5} for row in rows}
    table: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in rows:
        for name, other in row.extras.get("counterfactuals", {}).items():
            cells, donor = table[name], other.get("donor")
            _count(cells["class_changed"], other["label"] != labels[row.clip_id])
            if donor in labels and labels[donor] != labels[row.clip_id]:
                _count(cells["class_follows_donor"], other["label"] == labels[donor])
                _count(cells["class_stays"], other["label"] == labels[row.clip_id])
            if "aus" in other:
                after = {int(au) for au, p in other["aus"].items() if p >= 0.5}
                _count(cells["aus_changed"], after != units[row.clip_id])
                if donor in units and units[donor] != units[row.clip_id]:
                    nearer = len(after ^ units[donor]) < len(after ^ units[row.clip_id])
                    _count(cells["aus_follow_donor"], nearer)
    return {
        name: {cell: hit / total for cell, (hit, total) in cells.items()}
        | {"clips": cells["class_changed"][1]}
        for name, cells in sorted(table.items())
    } or None
