"""Calibration of AUs that were measured in px: what the flow supports beside what the experts say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from torch import Tensor

from deft_llm.model.heads import au_probabilities
from deft_llm.model.readout import Readout
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.training import calibration
from deft_llm.training.calibration import FEWEST, calibrate_measured

BEFORE = {
    "au_scale": np.ones(len(EXPERT_AUS)).tolist(),
    "au_bias": np.zeros(len(EXPERT_AUS)).tolist(),
    "class_shares": [0.4, 0.3, 0.3],
}
COUNT, KNOWING = 400, AU_INDEX[4]


def readout_of(au: Tensor, support: Tensor) -> Readout:
    none = torch.zeros(len(au), 3)
    return Readout(au, au, none, none, none, none, none.bool(), none, support=support)


@pytest.fixture
def clips() -> tuple[Readout, Any]:
    """A readout of clips and their labels: of AU4 experts and support each know half, of AU12 nobody does;
    all others are shown by too few."""
    rng = np.random.default_rng(0)
    side = np.zeros((COUNT, len(EXPERT_AUS), 2), np.uint8)
    side[:, KNOWING] = (rng.random(COUNT) < 0.3)[:, None]
    side[:, AU_INDEX[12]] = rng.random((COUNT, 2)) < 0.3
    side[: FEWEST - 1, AU_INDEX[1]] = 1
    au, support = (rng.normal(0, 1, side.shape).astype(np.float32) for _ in range(2))
    for seen in (au, support):
        seen[:, KNOWING] += 1.2 * side[:, KNOWING]
    held = SimpleNamespace(side=side, known=np.ones(side.shape[:2]))
    return readout_of(torch.from_numpy(au), torch.from_numpy(support)), held


def test_support_is_weighed_where_it_knows_more(clips: tuple[Readout, Any]) -> None:
    readout, held = clips
    found = calibrate_measured(readout, held, BEFORE)
    assert found is not None and found["support"][KNOWING] > 0.5 * found["au"][KNOWING] > 0.2
    assert found["support"][AU_INDEX[12]] < 0.15
    assert (found["au"][AU_INDEX[1]], found["support"][AU_INDEX[1]]) == (1.0, 0.0), "too few show it"
    alone = calibrate_measured(readout, held, BEFORE, supported=False)
    assert alone is not None and not any(alone["support"])

    def right(measured: dict[str, list[float]]) -> float:
        said = au_probabilities(readout, {**BEFORE, "measured": measured})[:, KNOWING].max(-1) >= 0.5
        shown = held.side[:, KNOWING].max(-1) > 0
        return float(2 * (said & shown).sum() / (said.sum() + shown.sum()))

    assert right(found) > right(alone) + 0.05


def test_what_was_calibrated_before_stays_where_too_few_show_an_au(clips: tuple[Readout, Any]) -> None:
    readout, held = clips
    before = {name: np.full(len(EXPERT_AUS), 0.7).tolist() for name in ("au", "support", "bias")}
    found = calibrate_measured(readout, held, {**BEFORE, "measured": before})
    assert found is not None and found["support"][KNOWING] != 0.7
    assert {found[name][AU_INDEX[1]] for name in found} == {0.7}


def test_clips_without_px_calibrate_nothing(clips: tuple[Readout, Any]) -> None:
    readout, held = clips
    assert readout.support is not None
    readout.support[:] = torch.nan
    assert calibrate_measured(readout, held, BEFORE) is None


def test_probabilities_come_true(clips: tuple[Readout, Any]) -> None:
    """Without the shift to the best threshold, of clips told at p a share p shows the AU."""
    readout, held = clips
    assert readout.support is not None
    seen = torch.stack([readout.au, readout.support], -1).numpy()[:, KNOWING]
    weights, bias = calibration._logistic(seen, held.side[:, KNOWING], True)
    chance = expit(seen @ weights + bias).ravel()
    truth = held.side[:, KNOWING].ravel()
    for low, high in ((0.0, 0.3), (0.3, 1.0)):
        part = (chance >= low) & (chance < high)
        assert truth[part].mean() == pytest.approx(chance[part].mean(), abs=0.06)
    assert abs(logit(chance.mean()) - logit(truth.mean())) < 0.05


def test_a_run_without_steps_keeps_its_weights(face_store: Path, tmp_path: Path, model_of: Any) -> None:
    from deft_llm.model.checkpoint import read_checkpoint
    from deft_llm.training.run import train
    from deft_llm.training.settings import TrainConfig

    model_of(("structure", "texture", "motion")).save_pretrained(tmp_path / "start", {"calibration": BEFORE})
    config = TrainConfig(
        start=str(tmp_path / "start"), parts=["faces"], faces={"steps": 0}, validation_share=0.5,
    )  # fmt: skip
    (before, tensors), (after, kept) = (
        read_checkpoint(folder)
        for folder in (tmp_path / "start", train(config, [face_store], tmp_path / "run"))
    )
    assert all(torch.equal(value, kept[name]) for name, value in tensors.items())
    assert after["training"]["faces"]["steps"] == 0
    assert after["calibration"] == before["calibration"] == BEFORE, "maps calibrate nothing in px"
