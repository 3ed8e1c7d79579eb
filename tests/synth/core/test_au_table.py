"""The FACS table, both unit sets and other face models agree on which way each AU moves skin."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from benchmarks.au_table import MODELS, Row, main, rows
from deft_llm.facs.units import entry
from deft_llm.synth.core.mesh import load_face
from deft_llm.synth.core.unit_map import UNIT_SETS
from deft_llm.synth.core.units import SYNTH_AUS, component_field, components


@cache
def table() -> dict[int, Row]:
    return {row.au: row for row in rows()}


def apart(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def test_the_dimpler_draws_the_corner_up_and_out():
    row = table()[14]
    for degrees in (row.table, row.arkit, row.makehuman):
        assert 35 <= degrees <= 72
    for motion in entry(14).motion:
        assert 30 <= math.degrees(math.atan2(motion.up, -motion.medial)) <= 72


@pytest.mark.parametrize("au", sorted(set(MODELS) - {14}))
def test_fields_move_as_two_other_face_models_do(au):
    low, high = MODELS[au]
    row = table()[au]
    for degrees in (row.table, row.arkit, row.makehuman):
        assert low - 8 <= degrees <= high + 8, f"AU{au}: {degrees:.0f} degrees"


@pytest.mark.parametrize("au", sorted(set(SYNTH_AUS) - {18, 22, 23}))  # there the corner moves another way
def test_unit_sets_agree_with_the_table_and_with_each_other(au):
    row = table()[au]
    assert row.field > 0.85
    assert apart(row.arkit, row.makehuman) < 20
    assert max(apart(row.table, row.arkit), apart(row.table, row.makehuman)) < 20


@pytest.mark.parametrize("au", (6, 9, 10, 23, 24, 28))
def test_sculpted_units_of_weak_aus_are_alike(au):
    assert table()[au].sculpted > 0.55


@pytest.mark.parametrize("unit_set", UNIT_SETS)
def test_every_component_peaks_at_the_same_displacement(unit_set):
    mesh = load_face()
    for au in SYNTH_AUS:
        for component in components(au):
            field = component_field(mesh, component, unit_set)
            length = np.hypot(field[:, 0], field[:, 1])[mesh.vertex_group == 0]
            assert np.sort(length)[-4] == pytest.approx(1.0, abs=1e-4), component


def test_the_benchmark_prints_one_line_an_au(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["au_table"])
    main()
    assert len(capsys.readouterr().out.splitlines()) == len(SYNTH_AUS) + 1
