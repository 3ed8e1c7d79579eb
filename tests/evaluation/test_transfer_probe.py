"""Probes fitted on some subjects and scored on others."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.disentangle import transfer_probe
from deft_llm.errors import DeftError
from deft_llm.evaluation.probes import probe


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_finds_what_is_there_and_nothing_else(model: str) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 80)), rng.normal(size=(200, 80))
    wanted = tuple((part[:, 0] + part[:, 1] > 0).astype(int) for part in (first, second))
    found = transfer_probe((first, second), wanted, "binary", model=model, components=80)  # type: ignore[arg-type]
    assert found["score"] > 0.85
    assert abs(found["baseline"] - 0.5) < 0.15
    nothing = tuple(rng.integers(0, 2, 200) for _ in range(2))
    lost = transfer_probe((first, second), nothing, "binary", model=model)  # type: ignore[arg-type]
    assert abs(lost["score"] - 0.5) < 0.15


def test_regression_weighs_columns_by_their_variance() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(150, 5)), rng.normal(size=(150, 5))
    target = [np.stack([10 * x[:, 0], rng.normal(size=150) * 0.1], 1) for x in (first, second)]
    found = transfer_probe((first, second), (target[0], target[1]), "regression")
    assert found["score"] > 0.99 and found["baseline"] < 0.2


def test_a_constant_target_is_refused() -> None:
    with pytest.raises(DeftError, match="one value"):
        transfer_probe((np.ones((4, 2)), np.ones((4, 2))), (np.ones(4), np.ones(4)), "binary")


def test_what_only_tells_who_it_is_tells_no_label_of_the_person() -> None:
    """A label that all clips of a person share: permuted by clip, chance would look too low."""
    low = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(10), 8)
        features = rng.normal(size=(10, 6))[who] + 0.3 * rng.normal(size=(80, 6))
        target = rng.permutation(np.arange(10) % 2)[who]
        found = probe(features, target, [str(one) for one in who], "binary", permutations=9, folds=5)
        low += found["p"] <= 0.1
    assert low <= 4
