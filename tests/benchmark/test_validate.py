"""What may be published of a corpus: no number of clips or labels from 1 to 4, given away or told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from deft_llm.benchmark import validate
from deft_llm.benchmark.validate import _publishable, _support_table, support_of_labels
from deft_llm.records import ActionUnit, Clip, Source

Labels = dict[int, tuple[int, int, int]]
"""AU -> its labels that are supported, unsupported and not measured."""


def support_of(
    monkeypatch: pytest.MonkeyPatch, labels: Labels, bare: int = 20, odd: int = 0
) -> dict[str, Any]:
    """The support of a store with a clip for each label, ``bare`` ones without, ``odd`` of which move."""
    kinds = ("supported", "unsupported", "not_measured")
    items = [(au, kind) for au, counts in labels.items() for kind, n in zip(kinds, counts) for _ in range(n)]
    items += [(0, "unexplained" if number < odd else "still") for number in range(bare)]

    def stream() -> Iterator[tuple[Clip, tuple[int, str]]]:
        for number, (au, kind) in enumerate(items):
            aus = [ActionUnit(number=au)] if au else []
            yield Clip(clip_id=f"a/1/{number}", corpus="a", subject="a/1",
                       source=Source(kind="flow", path="-"), aus=aus), (au, kind)  # fmt: skip

    def measured(motion: tuple[int, str]) -> list[Any]:
        lost = motion[0] if motion[1] == "not_measured" else None
        return [SimpleNamespace(au=au, judged=au != lost, support=0.5) for au in labels]

    def judged(motion: tuple[int, str], aus: Any) -> list[Any]:
        return [SimpleNamespace(au=motion[0] or None, status=motion[1])]

    monkeypatch.setattr(validate, "measure_support", measured)
    monkeypatch.setattr(validate, "judge", judged)
    store: Any = SimpleNamespace(stream=stream)
    return support_of_labels(store)


def splits(found: dict[str, Any]) -> dict[str, tuple[int | None, int | None]]:
    return {au: (cell["supported"], cell["unsupported"]) for au, cell in found["per_au"].items()}


def test_small_cells_and_their_complements_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = support_of(
        monkeypatch, {1: (20, 2, 3), 2: (9, 0, 0), 4: (12, 8, 0), 12: (8, 3, 0), 15: (2, 1, 0)}
    )
    assert splits(found) == {"1": (None, None), "2": (9, 0), "4": (12, 8), "12": (None, None)}
    assert (found["labels"], found["label_motion_gap"]) == (65, 14 / 65)
    assert found["labels_not_measured"] is None, "three"
    row = next(row for row in _support_table(found).rows if row[0].startswith("AU12 "))
    assert row[1:4] == ["11", "-", "-"]


def test_a_single_small_cell_is_not_told_by_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    found = support_of(monkeypatch, {1: (20, 2, 0), 4: (12, 8, 0), 6: (30, 9, 6)})
    assert splits(found) == {"1": (None, None), "4": (None, None), "6": (30, 9)}, "2 is not 19 - 8 - 9"
    assert found["label_motion_gap"] == 19 / 81 and found["labels_not_measured"] == 6
    unlisted = support_of(monkeypatch, {1: (2, 1, 0), 4: (12, 8, 0), 6: (30, 9, 0)})
    assert splits(unlisted) == {"4": (None, None), "6": (30, 9)}, "nor are those of an AU without a row"


def test_shares_of_few_labels_and_clips_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = support_of(monkeypatch, {4: (20, 3, 0)}, odd=4)
    assert found["label_motion_gap"] is None and found["clips_with_unexplained_motion"] is None
    assert support_of(monkeypatch, {4: (20, 0, 0)})["label_motion_gap"] == 0.0
    assert support_of(monkeypatch, {4: (20, 0, 0)}, odd=5)["clips_with_unexplained_motion"] == 5 / 40


def test_where_only_small_cells_are_nothing_is_told() -> None:
    cells = {au: {"supported": 6, "unsupported": 1} for au in (1, 2)}
    assert _publishable(cells, [1, 2]) == set()
