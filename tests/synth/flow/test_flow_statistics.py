"""Flow-level samples look more like published maps than those of the generator before; releases run back."""

from __future__ import annotations

import numpy as np

from benchmarks.flow_statistics import OLD, REAL, main, statistics
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth

AREAS = ("lids", "nose", "cheeks", "chin", "border", "largest v at the lids", "spectrum of v")


def distance(found: dict[str, tuple[float, ...]]) -> float:
    """Mean log ratio to the mean of both published sets."""
    ratios = []
    for name in AREAS:
        real = np.mean([REAL[name_][name] for name_ in ("A", "B")], 0)
        ratios.append(np.abs(np.log(np.maximum(found[name], 0.02) / real)).mean())
    return float(np.mean(ratios))


def test_motion_lies_where_published_maps_have_it() -> None:
    new, old = statistics(FlowConfig(), 96), statistics(FlowConfig(**OLD), 96)
    assert distance(new) < 0.85 * distance(old)
    assert new["lids"][1] > old["lids"][1] and new["border"][1] < old["border"][1]


def test_a_release_runs_back_and_has_no_class() -> None:
    config = FlowConfig(identities=2, takes=4, stretch=False, release_chance=1.0)
    rising = FlowConfig(identities=2, takes=4, stretch=False)
    back, there = (FlowSynth("train", one).block(3, 0) for one in (config, rising))
    for gone, risen in zip(back, there, strict=True):
        assert gone.expression is None and gone.released == risen.expression and risen.released is None
        assert gone.drawn.expression == {row: -weight for row, weight in risen.drawn.expression.items()}


def test_the_benchmark_prints_its_table(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["flow_statistics", "--samples", "8"])
    main()
    assert len(capsys.readouterr().out.splitlines()) == 12
