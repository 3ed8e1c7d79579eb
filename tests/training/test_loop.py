"""The training loop: resumed to the bit, logs without doubles, schedule, weight average, early stopping."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from deft_llm.errors import DeftError, UsageError
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.loop import fit
from deft_llm.training.motion import MotionConfig, MotionPart
from deft_llm.training.state import BEST, HEADER, LOG, STATE, read_state
from recipes.forked import world

QUICK: dict[str, Any] = {"steps": 6, "batch": 8, "seed": 3, "save_every": 2, "warmup_steps": 1}


class Stop(Exception):
    """Raised in the middle of a training."""


@pytest.fixture
def part_of(shards: Path, model_of: Callable[..., Any]) -> Callable[..., MotionPart]:
    """A motion expert's training on random samples; ``stop_at``: the step that it does not do."""

    class Stopped(MotionPart):
        stop_at: int | None = None

        def batch_of(self, step: int, *rest: Any) -> Any:
            if step == self.stop_at:
                raise Stop
            return super().batch_of(step, *rest)

    def make(stop_at: int | None = None, **changes: Any) -> MotionPart:
        part = Stopped(model_of(), MotionConfig(**{**QUICK, **changes}), FlowShards(shards))
        part.stop_at = stop_at
        return part

    return make


def alike(one: Any, two: Any) -> bool:
    """Whether two nested structures of tensors are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(alike(value, two[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    return bool(one == two)


def test_a_stopped_run_goes_on_to_the_same_state(part_of: Any, tmp_path: Path) -> None:
    fit(part_of(), tmp_path / "whole")
    with pytest.raises(Stop):
        fit(part_of(stop_at=5), tmp_path / "halves")
    assert read_state(tmp_path / "halves" / STATE)[1]["step"] == 4
    assert fit(part_of(), tmp_path / "halves").step == 6
    states = [read_state(tmp_path / name / STATE) for name in ("whole", "halves")]
    assert {"model", "average", "optimizer"} <= states[0][0].keys()
    assert alike(*states)


def test_a_finished_run_does_nothing(part_of: Any, tmp_path: Path) -> None:
    fit(part_of(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert fit(part_of(stop_at=0), tmp_path).step == 6
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}


def test_a_state_is_one_file(part_of: Any, tmp_path: Path) -> None:
    """Tensors and all that belongs to them, so no kill can leave one without the other."""
    fit(part_of(), tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {STATE, LOG}
    with safe_open(tmp_path / STATE, framework="pt") as handle:
        assert json.loads(handle.metadata()[HEADER])["meta"]["step"] == 6


def test_the_log_never_has_a_step_twice(part_of: Any, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        fit(part_of(stop_at=5), tmp_path, log_every=1)
    log = tmp_path / LOG
    assert len(log.read_text().splitlines()) == 5
    log.write_text(log.read_text() + '{"step": 6, "au')  # cut by a kill
    fit(part_of(), tmp_path, log_every=1)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {"au", "coarse", "fine", "clean", "contrast"} <= rows[0].keys()


def test_a_run_of_other_settings_or_another_start_is_not_gone_on_with(part_of: Any, tmp_path: Path) -> None:
    fit(part_of(steps=2), tmp_path, base="one")
    with pytest.raises(UsageError, match="batch=8, this command says 4"):
        fit(part_of(batch=4), tmp_path, base="one")
    with pytest.raises(UsageError, match="another checkpoint"):
        fit(part_of(), tmp_path, base="two")
    assert fit(part_of(steps=3), tmp_path, base="one").step == 3


def test_a_state_that_is_cut_short_is_named(part_of: Any, tmp_path: Path) -> None:
    fit(part_of(steps=1), tmp_path)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DeftError, match=f"{path}.*remove it to train this part anew"):
        fit(part_of(), tmp_path)


def test_the_rate_rises_stays_and_falls(part_of: Any, tmp_path: Path, monkeypatch: Any) -> None:
    part, rates = part_of(steps=10, warmup_steps=2, cooldown_steps=4), []
    batch_of = part.batch_of

    def spied(*given: Any) -> Any:
        rates.append(part.optimizer.param_groups[0]["lr"] / part.settings.learning_rate)
        return batch_of(*given)

    monkeypatch.setattr(part, "batch_of", spied)
    fit(part, tmp_path)
    assert rates[:7] == pytest.approx([0.02, 0.51, 1, 1, 1, 1, 1])
    assert rates[7:] == pytest.approx([0.02 + 0.98 * (1 - k**0.5) for k in (0.25, 0.5, 0.75)])


def test_a_share_of_the_first_expert_stays_in_what_is_kept(part_of: Any, tmp_path: Path) -> None:
    part = part_of(ema=0.0, start_share=0.25)
    begun = {name: value.clone() for name, value in part.model.deft.motion.named_parameters()}
    fit(part, tmp_path / "run")
    learned, kept = part.model.deft.motion.state_dict(), part.result().motion.state_dict()
    for name, value in begun.items():
        assert torch.allclose(kept[name], 0.75 * learned[name] + 0.25 * value, atol=1e-6), name
    assert any(not torch.equal(learned[name], value) for name, value in begun.items())


def test_the_weight_average_moves_and_is_what_is_kept(part_of: Any, tmp_path: Path) -> None:
    part = part_of(ema=0.5, learning_rate=0.01)
    name = "trunk.stem.weight"
    first = part.model.deft.motion.state_dict()[name].clone()
    seen, update = [], part.average.update_parameters

    def watched(module: Any) -> None:
        update(module)
        seen.append(part.average.module.state_dict()[name].clone())

    part.average.update_parameters = watched
    fit(part, tmp_path)
    assert all(not torch.equal(one, two) for one, two in pairwise(seen)), "the average stops at its start"
    kept, now = part.result().motion.state_dict()[name], part.model.deft.motion.state_dict()[name]
    assert not torch.equal(kept, first), "the average stands where it began"
    assert not torch.equal(kept, now), "nothing is averaged"
    assert (kept - now).norm() < (first - now).norm()


def test_training_stops_early_and_keeps_the_best_state(part_of: Any, tmp_path: Path) -> None:
    scores = iter([0.5, 0.4, 0.3, 0.9, 0.9])
    for _ in range(2):  # a run that has ended stays ended
        part = fit(part_of(steps=9, validate_every=1, patience=2), tmp_path,
                   validate=lambda: {"uf1": next(scores)})  # fmt: skip
        assert part.step == 1
        assert read_state(tmp_path / BEST)[1]["step"] == 1
        meta = read_state(tmp_path / STATE)[1]
        assert (meta["step"], meta["watched"]) == (3, {"best": 0.5, "waited": 2})


PROGRAM = """
import torch
from accelerate import Accelerator
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.loop import fit
from deft_llm.training.motion import MotionConfig, MotionPart
torch.manual_seed(0)
small = dict(width=16, stem=8, middle=8, blocks=1, heads=2, dropout=0.0)
deft = DeftModel(DeftConfig(motion=small, experts=["motion"], conditioned_on=["motion"]))
part = MotionPart(deft, MotionConfig(**given), FlowShards(shards))
"""
"""Run in two processes of one world, gloo on CPU: Accelerate takes it from the environment."""


def test_two_processes_give_the_loss_curve_of_one(shards: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(PROGRAM + "fit(part, out, log_every=1, accelerator=Accelerator(cpu=True))")
    losses = {"au": 1.0, "coarse": 0.0, "fine": 0.0, "clean": 1.0, "contrast": 0.0}
    given = {"steps": 4, "batch": 8, "augment": None, "table": 1.0, "both_phases": 0.0, "losses": losses}
    for count, name in ((1, "one"), (2, "two")):
        world(script, count, tmp_path / name, shards=shards, out=tmp_path / name, given=given)
    assert [read_state(tmp_path / name / STATE)[1]["processes"] for name in ("one", "two")] == [1, 2]
    one, two = (read_state(tmp_path / name / STATE)[0]["model"] for name in ("one", "two"))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-3), name


def test_early_stopping_ends_every_process(shards: Path, tmp_path: Path) -> None:
    """The score is known on the main process alone; both must stop at the same step."""
    script = tmp_path / "stop.py"
    script.write_text(
        PROGRAM + "scores, steps, batch_of = iter([.5, .4, .3, .9]), [], part.batch_of\n"
        "part.batch_of = lambda step, *rest: steps.append(step) or batch_of(step, *rest)\n"
        "a = Accelerator(cpu=True)\n"
        "fit(part, out, validate=lambda: {'uf1': next(scores)}, accelerator=a)\n"
        "(out / f'rank{a.process_index}').write_text(str(len(steps)))\n"
    )
    given = {"steps": 50, "batch": 8, "validate_every": 2, "patience": 2}
    world(script, 2, tmp_path / "log", shards=shards, out=tmp_path / "r", given=given)
    assert [(tmp_path / "r" / f"rank{rank}").read_text() for rank in (0, 1)] == ["6", "6"]
