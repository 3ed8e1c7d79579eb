"""Training: exact resume, two processes, augmentation that respects physics, text that parses back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deft_llm.answer import parse
from deft_llm.errors import DeftError, UsageError
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.training.augment import AugmentSettings, augment, mirror, relative
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.flow_text import answer_text, triples
from deft_llm.training.loop import fit
from deft_llm.training.motion import Stage1, Stage1Config
from deft_llm.training.state import STATE, read_meta, read_state

# Two processes on CPU: torchrun sets the world up, Accelerate takes it from there (gloo).
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
EXPERT = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}


def settings(**changes) -> Stage1Config:
    return Stage1Config(**{"steps": 6, "batch": 8, "expert": EXPERT, "seed": 3, "save_every": 2, **changes})


def alike(one, two) -> bool:
    """Whether two nested structures of tensors are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(alike(value, two[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    return bool(one == two)


def test_a_stopped_run_goes_on_to_the_same_state(shards: Path, tmp_path: Path) -> None:
    whole = fit(Stage1(settings(), FlowShards(shards)), tmp_path / "a")
    stop = lambda step: (_ for _ in ()).throw(KeyboardInterrupt) if step == 5 else None  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        fit(Stage1(settings(), FlowShards(shards)), tmp_path / "c", before_step=stop)
    assert read_meta(tmp_path / "c" / STATE)["step"] == 4
    resumed = fit(Stage1(settings(), FlowShards(shards)), tmp_path / "c")
    assert resumed.step == whole.step == 6
    assert alike(read_state(tmp_path / "c" / STATE), read_state(tmp_path / "a" / STATE))


def test_the_log_never_has_a_step_twice(shards: Path, tmp_path: Path) -> None:
    def die(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Stage1(settings(), FlowShards(shards)), tmp_path, log_every=1, before_step=die)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 6, "au')  # cut by the kill
    fit(Stage1(settings(), FlowShards(shards)), tmp_path, log_every=1)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_a_run_of_other_settings_or_another_start_is_not_gone_on_with(shards: Path, tmp_path: Path) -> None:
    fit(Stage1(settings(steps=2), FlowShards(shards)), tmp_path, base="one")
    with pytest.raises(UsageError, match="batch=8, this command says 4"):
        fit(Stage1(settings(batch=4), FlowShards(shards)), tmp_path, base="one")
    with pytest.raises(UsageError, match="another checkpoint"):
        fit(Stage1(settings(), FlowShards(shards)), tmp_path, base="two")
    assert fit(Stage1(settings(steps=3), FlowShards(shards)), tmp_path, base="one").step == 3


def test_a_state_that_is_cut_short_is_named(shards: Path, tmp_path: Path) -> None:
    fit(Stage1(settings(steps=1), FlowShards(shards)), tmp_path)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DeftError, match=f"{path}.*no training state"):
        fit(Stage1(settings(), FlowShards(shards)), tmp_path)


def test_the_rate_rises_stays_and_falls(shards: Path, tmp_path: Path) -> None:
    part, rates = Stage1(settings(steps=10, warmup_steps=2, cooldown_steps=4), FlowShards(shards)), []
    fit(part, tmp_path, before_step=lambda _: rates.append(part.optimizer.param_groups[0]["lr"] / 1.5e-3))
    assert rates[:7] == pytest.approx([0.02, 0.51, 1, 1, 1, 1, 1])
    assert rates[7:] == pytest.approx([0.02 + 0.98 * (1 - k**0.5) for k in (0.25, 0.5, 0.75)])


def test_the_weight_average_moves_and_is_what_is_kept(shards: Path, tmp_path: Path) -> None:
    part = Stage1(settings(ema=0.5), FlowShards(shards))
    first = {name: value.clone() for name, value in part.expert.state_dict().items()}
    fit(part, tmp_path)
    kept, now = part.averaged().state_dict(), part.expert.state_dict()
    name = "trunk.stem.weight"
    assert not torch.equal(kept[name], first[name]), "the average stands where it began"
    assert not torch.equal(kept[name], now[name]), "nothing is averaged"
    assert (kept[name] - now[name]).norm() < (first[name] - now[name]).norm()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    code = (
        "import os,sys\nfrom pathlib import Path\nfrom deft_llm.training.motion import *\n"
        "from deft_llm.training.loop import fit\n"
        f"c=Stage1Config(steps=6,batch=8,seed=3,save_every=2,expert={EXPERT!r})\n"
        "kill=(lambda step: os.kill(os.getpid(),9) if step==5 else None) if sys.argv[1]=='kill' else None\n"
        f"fit(Stage1(c,FlowShards(Path({str(shards)!r}))),Path({str(tmp_path / 'k')!r}),before_step=kill)"
    )
    killed = subprocess.run([sys.executable, "-c", code, "kill"], capture_output=True, text=True)
    assert killed.returncode == -9
    subprocess.run([sys.executable, "-c", code, "go"], check=True, capture_output=True)
    fit(Stage1(settings(), FlowShards(shards)), tmp_path / "w")
    assert alike(*(read_state(tmp_path / name / STATE) for name in "kw"))


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(shards: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom deft_llm.training.motion import *\n"
        "from deft_llm.training.loop import fit\nfrom accelerate import Accelerator\n"
        "losses=LossWeights(au=1.0,coarse=0.0,fine=0.0,clean=1.0,text=0.0)\n"
        f"c=Stage1Config(steps=4,batch=8,seed=3,augment_on=False,table=1.0,both_phases=0.0,losses=losses,"
        f"expert=dict({EXPERT!r},dropout=0.0))\n"
        f"fit(Stage1(c,FlowShards(Path({str(shards)!r}))),Path(sys.argv[1]),log_every=1,"
        "accelerator=Accelerator(cpu=True))\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "one")], check=True, capture_output=True)
    done = subprocess.run([*LAUNCH, str(script), str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [read_meta(tmp_path / name / STATE)["processes"] for name in ("one", "two")] == [1, 2]
    one, two = (read_state(tmp_path / name / STATE)[0]["model"] for name in ("one", "two"))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-3), name


def test_mirror_turns_u_round_and_swaps_sides() -> None:
    maps, clean = torch.randn(2, 1, 3, 28, 28), torch.randn(2, 2, 14, 14)
    side = torch.zeros(2, len(EXPERT_AUS), 2)
    side[:, AU_INDEX[12], 0] = 1
    m, c, s = mirror(maps, clean, side)
    assert torch.equal(m[:, :, 0], -maps[:, :, 0].flip(-1))
    assert torch.equal(m[:, :, 1:], maps[:, :, 1:].flip(-1))
    assert torch.equal(c[:, 0], -clean[:, 0].flip(-1))
    assert s[0, AU_INDEX[12]].tolist() == [0, 1]


def test_torch_relative_equals_the_one_normalisation() -> None:
    from deft_llm.motion.normalise import relative as numpy_relative

    maps = np.random.default_rng(0).normal(size=(2, 1, 3, 27, 27)).astype(np.float32)
    assert np.allclose(
        relative(torch.from_numpy(maps)).numpy(), np.clip(numpy_relative(maps), -6, 6), atol=1e-2
    )


def test_augmentation_is_seeded_and_keeps_shapes() -> None:
    maps, clean = torch.randn(4, 2, 3, 28, 28), torch.randn(4, 2, 14, 14)
    side = torch.zeros(4, len(EXPERT_AUS), 2)
    first = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(1))
    again = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(1))
    other = augment(maps, clean, side, AugmentSettings(), torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == maps.shape and torch.isfinite(first[0]).all()


def test_every_training_answer_parses_back_to_its_aus() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        side = np.zeros((len(EXPERT_AUS), 2), np.uint8)
        for row in rng.choice(len(EXPERT_AUS), 3, replace=False):
            side[row] = ((1, 1), (1, 0), (0, 1))[int(rng.integers(3))]
        answer = parse(answer_text(side, int(rng.integers(-1, 10)), -1))
        assert {item.au for item in answer.evidence} <= {n for n, r in zip(EXPERT_AUS, side) if r.any()}
        assert len(answer.rationale) <= 400


def test_questions_never_tell_the_answer() -> None:
    side = np.zeros((40, len(EXPERT_AUS), 2), np.uint8)
    side[:, AU_INDEX[4]] = 1
    rows = triples(side, np.full(40, 4), np.zeros(40, int), np.arange(40), np.random.default_rng(0))
    assert len(rows) == 40
    assert {row.answer for row in rows if "seen in this clip" in row.question} <= {"yes", "no"}
    assert not any("anger" in row.question for row in rows)


def test_log_is_written(shards: Path, tmp_path: Path) -> None:
    fit(Stage1(settings(steps=2), FlowShards(shards)), tmp_path / "l", log_every=1)
    lines = [json.loads(line) for line in (tmp_path / "l" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"au", "coarse", "fine", "clean", "text"} <= lines[0].keys()
