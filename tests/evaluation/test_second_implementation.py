"""200 random runs, scored by this package, by scikit-learn and by a second implementation written here."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import accuracy_score, f1_score, recall_score

from deft_llm.evaluation.rows import Run
from deft_llm.evaluation.score import score_run
from deft_llm.records import COARSE, Interval, Prediction, PredictionTruth

FIVE = ("disgust", "happiness", "others", "repression", "surprise")
CASES = 200


def _row(number: int, corpus: str, subject: int, **values) -> Prediction:  # type: ignore[no-untyped-def]
    name = f"{corpus}/s{subject}"
    return Prediction(method="m", clip_id=f"{name}/c{number}", corpus=corpus, subject=name, **values)


@pytest.mark.parametrize("seed", range(CASES))
def test_class_figures(seed: int) -> None:
    rng = random.Random(seed)
    space, names = rng.choice([("megc3", COARSE), ("5", FIVE)])
    pool = {corpus: rng.sample(names, rng.randint(1, len(names))) for corpus in ("casme2", "samm")}
    rows = []
    for number in range(rng.randint(2, 40)):
        corpus = rng.choice(("casme2", "samm"))
        truth, answer = rng.choice(pool[corpus]), rng.choice([*names, "anger", None])
        label = PredictionTruth(label=truth)
        rows.append(_row(number, corpus, rng.randint(1, 4), label_space=space, label=answer, truth=label))
    found = score_run(Run("run", rows))["emotion"]  # type: ignore[arg-type]
    groups = {"pooled": rows, **{c: [r for r in rows if r.corpus == c] for c in ("casme2", "samm")}}
    cells = {"pooled": found["pooled"], **found.get("per_corpus", {})}
    for name, cell in cells.items():
        truth = [row.truth.label for row in groups[name]]
        said = [row.label or "none" for row in groups[name]]
        classes = list(COARSE) if space == "megc3" else sorted(set(truth))
        f1 = f1_score(truth, said, labels=classes, average="macro", zero_division=0)
        assert cell["uf1"]["value"] == pytest.approx(f1)
        recall = recall_score(truth, said, labels=classes, average="macro", zero_division=0)
        assert cell["uar"]["value"] == pytest.approx(recall)
        assert cell["acc"]["value"] == pytest.approx(accuracy_score(truth, said))
        assert cell["uf1"]["value"] == pytest.approx(_uf1(truth, said, classes))


def _uf1(truth: list[str], said: list[str], classes: list[str]) -> float:
    """MEGC2019's formula, written out."""
    total = 0.0
    for name in classes:
        tp = sum(t == name == s for t, s in zip(truth, said))
        fp = sum(s == name != t for t, s in zip(truth, said))
        fn = sum(t == name != s for t, s in zip(truth, said))
        total += 2 * tp / (2 * tp + fp + fn) if 2 * tp + fp + fn else 0.0
    return total / len(classes)


@pytest.mark.parametrize("seed", range(CASES))
def test_spotting_figures(seed: int) -> None:
    rng = random.Random(seed)
    space, names = rng.choice([("megc3", COARSE), ("native", FIVE)])
    rows = []
    for number in range(rng.randint(1, 6)):
        truth = [_interval(rng, [*names, None]) for _ in range(rng.randint(0, 4))]
        guesses = [_near(rng, t, [*names, None]) for t in truth if rng.random() < 0.8]
        guesses += [_interval(rng, [*names, None]) for _ in range(rng.randint(0, 3))]
        rng.shuffle(guesses)
        rows.append(
            _row(
                number, "samm_lv", rng.randint(1, 3), task="spotting", label_space=space, intervals=guesses,
                truth=PredictionTruth(intervals=truth), extras={"seconds": 30.0},
            )
        )  # fmt: skip
    found = score_run(Run("run", rows))["spotting"]["pooled"]  # type: ignore[arg-type]
    hits = sum(_most_pairs(r.intervals or [], r.truth.intervals or []) for r in rows)
    guessed = sum(len(r.intervals or []) for r in rows)
    there = sum(len(r.truth.intervals or []) for r in rows)
    assert (found["tp"], found["fp"], found["fn"]) == (hits, guessed - hits, there - hits)
    assert found["false_alarms_per_minute"] == pytest.approx((guessed - hits) / (len(rows) / 2))
    greedy = [(r, _greedy(r.intervals or [], r.truth.intervals or [])) for r in rows if r.truth.intervals]
    count = sum(len(pairs) for _, pairs in greedy)
    over = sum(len(r.intervals or []) for r, _ in greedy) + there
    f1 = 2 * count / over if over else 0.0
    assert found["f1_megc"] == pytest.approx(f1)
    pairs = [pair for _, some in greedy for pair in some if pair[1] is not None]
    labels = {t.label for r in rows for t in r.truth.intervals or () if t.label}
    classes = COARSE if space == "megc3" else sorted(labels)
    if not pairs:
        assert found["strs"] is None
        return
    precisions, recalls = [], []
    for name in classes:
        hit = sum(p == name == t for p, t in pairs)
        precisions.append(hit / max(sum(p == name for p, _ in pairs), 1))
        recalls.append(hit / max(sum(t == name for _, t in pairs), 1))
    precision, recall = sum(precisions) / len(classes), sum(recalls) / len(classes)
    analysis = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert found["strs"] == pytest.approx(f1 * analysis)


def _interval(rng: random.Random, labels: list) -> Interval:  # type: ignore[type-arg]
    onset = rng.randint(0, 60)
    return Interval(onset=onset, offset=onset + rng.randint(0, 25), label=rng.choice(labels))


def _near(rng: random.Random, one: Interval, labels: list) -> Interval:  # type: ignore[type-arg]
    onset = max(0, one.onset + rng.randint(-3, 3))
    label = one.label if rng.random() < 0.6 else rng.choice(labels)
    return Interval(onset=onset, offset=max(onset, one.offset + rng.randint(-3, 3)), label=label)


def _share(a: Interval, b: Interval) -> float:
    first, second = (set(range(x.onset, x.offset + 1)) for x in (a, b))
    return len(first & second) / len(first | second)


def _most_pairs(guesses: list[Interval], truth: list[Interval]) -> int:
    if not guesses or not truth:
        return 0
    fits = csr_matrix(np.array([[_share(g, t) >= 0.5 for t in truth] for g in guesses], int))
    return int((maximum_bipartite_matching(fits) >= 0).sum())


def _greedy(guesses: list[Interval], truth: list[Interval]) -> list[tuple[str | None, str | None]]:
    taken: set[int] = set()
    pairs = []
    for guess in sorted(guesses, key=lambda g: (g.onset, g.offset)):
        best, place = 0.0, -1
        for number, one in enumerate(truth):
            if number not in taken and _share(guess, one) > best:
                best, place = _share(guess, one), number
        if best >= 0.5:
            taken.add(place)
            pairs.append((guess.label, truth[place].label))
    return pairs
