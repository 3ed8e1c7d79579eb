"""AUs that a coder left open ("4/9", "13?") are neither scored nor learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.benchmark.samples import blind
from deft_llm.evaluation.faithfulness import faithfulness
from deft_llm.evaluation.score import au_scores, subject_unit_counts
from deft_llm.facs.notation import parse_aus
from deft_llm.methods.decisions import OPEN, best_threshold, unit_targets
from deft_llm.methods.kernel import KernelMethod, SVMOptions
from deft_llm.methods.network import _balanced_loss, _quality
from deft_llm.methods.protocol import Sample, Task, build_method
from deft_llm.methods.refit import AURefit, Stacker, f1_threshold
from deft_llm.records import Evidence, Prediction, PredictionTruth

TASK = Task("au", aus=(4, 9))


def row(number: int, coded: str, **aus: float) -> Prediction:
    """A clip coded as ``coded``; ``aus``: AU4=.9."""
    return Prediction(
        method="m", task="au", clip_id=f"a/1/{number}", corpus="a", subject=f"a/{number % 2}",
        label_space="megc3", aus={name[2:]: p for name, p in aus.items()},
        truth=PredictionTruth(aus=parse_aus(coded).aus),
    )  # fmt: skip


def sample(number: int, aus: set[int], left_open: set[int] = frozenset()) -> Sample:  # type: ignore[assignment]
    def load() -> None:
        raise AssertionError("no motion is read")

    return Sample(
        f"a/{number}/c", "a", f"a/{number}", load, aus=frozenset(aus), open_aus=frozenset(left_open)
    )  # type: ignore[arg-type]


def test_open_units_are_in_no_cell_and_in_no_curve() -> None:
    rows = [
        row(0, "4", AU4=0.9, AU9=0.1),
        row(1, "4/9", AU4=0.2, AU9=0.9),  # was a miss of 4 and a false alarm of 9
        row(2, "4?+12", AU4=0.1, AU9=0.1),  # was a miss of 4
        row(3, "10B/C+A/L12", AU4=0.3, AU9=0.2, AU10=0.9, AU12=0.9),
    ]
    found = au_scores(rows, [4, 9, 10, 12])
    four, nine = found["per_au"]["4"], found["per_au"]["9"]
    assert [four[cell] for cell in ("tp", "fp", "fn", "tn", "positives")] == [1, 0, 0, 1, 1]
    assert four["auroc"] == 1.0, "clip 3 alone is without AU4"
    assert [nine[cell] for cell in ("tp", "fp", "fn", "tn")] == [0, 0, 0, 3]
    assert found["per_au"]["10"]["tp"] == 1 and found["per_au"]["12"]["tp"] == 1, "one number, one AU"
    assert sum(cell["clips"] for cell in found["calibration"]["bins"]) == 4 * 4 - 3
    assert subject_unit_counts(rows, [4])[1][:, 0].sum() == 2


def test_sides_that_are_left_open_are_not_scored() -> None:
    rows = [row(0, "L12", AU12=0.9), row(1, "L/A12", AU12=0.9), row(2, "L12?", AU12=0.9)]
    rows = [r.model_copy(update={"sides": {"12": "left"}}) for r in rows]
    assert au_scores(rows, [12])["sides"] == {"one_sided": 1, "detected": 1, "right": 1, "accuracy": 1.0}


def test_claims_are_not_held_against_what_a_coder_left_open() -> None:
    claim = Evidence(au=9, region="nose", direction="up", dx=0, dy=-1, support=0.9, status="supported")
    claims = [claim, claim.model_copy(update={"au": 1})]
    found = faithfulness([row(0, "4/9+1").model_copy(update={"evidence": claims})])
    assert found is not None
    told = {name: found["against_truth"][name] for name in ("claimed", "there", "precision", "recall")}
    assert told == {"claimed": 1, "there": 1, "precision": 1.0, "recall": 1.0}


def test_targets() -> None:
    samples = [sample(0, {4}), sample(1, set(), {4, 9}), sample(2, {12})]
    assert unit_targets(samples, TASK.aus).tolist() == [[1, 0], [OPEN, OPEN], [0, 0]]
    assert blind(samples[1]).open_aus == frozenset(), "methods do not see it when they predict"


def test_frequencies_and_thresholds_are_of_the_known_clips(tmp_path: Path) -> None:
    majority = build_method("majority", TASK)
    train = [sample(0, {4}), sample(1, set(), {4}), sample(2, set())]
    majority.fit(train, [], seed=0, workdir=tmp_path)
    assert majority.predict(train[:1])[0].aus == {"4": 0.5, "9": 0.0}
    score, truth = np.array([0.9, 0.7, 0.5, 0.3]), np.array([1, OPEN, OPEN, 0])
    assert best_threshold(truth, score) == best_threshold(np.array([1, 0]), score[[0, 3]]) == 0.6
    assert f1_threshold(score, truth) == f1_threshold(score[[0, 3]], np.array([1, 0]))
    assert f1_threshold(score, np.full(4, OPEN)) == 0.5


def test_a_machine_of_an_au_learns_from_the_clips_where_it_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    place = np.repeat([1.0, -1.0], 12) + 0.1 * rng.normal(size=24)
    number = lambda one: int(one.subject.partition("/")[2])  # noqa: E731
    method = KernelMethod(
        "svm", frozenset(), TASK, lambda one: np.array([place[number(one)]]), SVMOptions(gamma=[1.0])
    )
    train = [sample(n, {4} if n < 4 else set(), {4, 9} if 4 <= n < 12 else set()) for n in range(24)]
    method.fit(train, [], seed=0, workdir=tmp_path)
    seen, constant = method.machines
    assert sorted(seen.rows) == [i for i, one in enumerate(sorted(train, key=lambda s: s.clip_id))
                                 if not one.open_aus]  # fmt: skip
    assert constant == 0, "AU9 is never there"
    found = [row.aus["4"] for row in method.predict(train)]
    assert min(found[:12]) > 0.5 > max(found[12:])


def test_a_network_gets_no_gradient_from_open_units() -> None:
    truth = torch.tensor([[1, 0], [OPEN, 0], [0, OPEN], [0, 1]])
    scores = torch.zeros(4, 2, requires_grad=True)
    _balanced_loss(truth, 2, units=True)(scores, truth).backward()
    assert scores.grad is not None and ((scores.grad == 0) == (truth == OPEN)).all()
    assert _quality(torch.tensor([[1.0, -1], [1, -1], [-1, 1], [-1, 1]]), truth) == 1.0


def test_a_refit_is_not_moved_by_open_units() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (60, 2))
    scores = rng.normal(size=(60, 2, 2)) + 2.0 * labels[:, None]
    labels[50:, 1] = OPEN
    first = Stacker(0.1).fit_sigmoid(scores, labels)
    scores[50:, :, 1] = -9.0
    again = Stacker(0.1).fit_sigmoid(scores, labels)
    assert np.array_equal(first.weights, again.weights) and np.array_equal(first.bias, again.bias)


def test_the_refit_of_a_fold_reads_an_open_unit_as_unknown() -> None:
    """As absent it would teach that the pattern means nothing."""
    rng = np.random.default_rng(2)
    there = np.repeat([1, 0], 30)
    features = (there[:, None] + 0.2 * rng.normal(size=(60, 4)))[:, None]
    labels = there[:, None].copy()
    labels[10:30] = OPEN
    groups, rows = np.tile(np.arange(10), 6), np.arange(60)
    prior = np.zeros((60, 1))
    model = AURefit().fit([features], prior, rows, labels, groups)
    p = model.probabilities([features], prior, rows)[:, 0]
    assert p[:30].mean() > 0.5 > p[30:].mean() and ((p > 0.5) == there).mean() > 0.9
    assert model.level.item() == pytest.approx(2 * 10 / 40 - 1)
