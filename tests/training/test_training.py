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
from deft_llm.model.units import AU_INDEX, EXPERT_AUS
from deft_llm.training.augment import AugmentSettings, augment, mirror, relative
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.flow_text import answer_text, triples
from deft_llm.training.loop import fit
from deft_llm.training.motion import Stage1, Stage1Config

# Two processes on CPU: torchrun sets the world up, Accelerate takes it from there (gloo).
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
EXPERT = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}


def settings(**changes) -> Stage1Config:
    return Stage1Config(**{"steps": 6, "batch": 8, "expert": EXPERT, "seed": 3, **changes})


def test_a_stopped_run_goes_on_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    whole = fit(Stage1(settings(), FlowShards(shards)), tmp_path / "a", steps=6, save_every=2)
    fit(Stage1(settings(), FlowShards(shards)), tmp_path / "b", steps=4, save_every=2)
    resumed = fit(Stage1(settings(), FlowShards(shards)), tmp_path / "b", steps=6, save_every=2)
    assert resumed.step == 6
    pairs = zip(whole.model.state_dict().values(), resumed.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(whole.average[name], resumed.average[name]) for name in whole.average)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    code = (
        "import os,sys\nfrom pathlib import Path\nfrom deft_llm.training.motion import *\n"
        "from deft_llm.training.loop import fit\n"
        f"c=Stage1Config(steps=6,batch=8,seed=3,expert={EXPERT!r})\n"
        "kill=(lambda step: os.kill(os.getpid(),9) if step==5 else None) if sys.argv[1]=='kill' else None\n"
        f"fit(Stage1(c,FlowShards(Path({str(shards)!r}))),Path({str(tmp_path / 'k')!r}),"
        "steps=6,save_every=2,before_step=kill)"
    )
    killed = subprocess.run([sys.executable, "-c", code, "kill"], capture_output=True, text=True)
    assert killed.returncode == -9
    subprocess.run([sys.executable, "-c", code, "go"], check=True, capture_output=True)
    whole = fit(Stage1(settings(), FlowShards(shards)), tmp_path / "w", steps=6, save_every=6)
    from deft_llm.training.state import read_structure

    found = read_structure(tmp_path / "k")["model"]
    assert all(torch.equal(value, found[name]) for name, value in whole.model.state_dict().items())


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(shards: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom deft_llm.training.motion import *\n"
        "from deft_llm.training.loop import fit\nfrom accelerate import Accelerator\n"
        "losses=LossWeights(au=1.0,coarse=0.0,fine=0.0,clean=1.0,text=0.0)\n"
        f"c=Stage1Config(steps=4,batch=8,seed=3,augment_on=False,table=1.0,both_phases=0.0,losses=losses,"
        f"expert=dict({EXPERT!r},dropout=0.0))\n"
        f"fit(Stage1(c,FlowShards(Path({str(shards)!r}))),Path(sys.argv[1]),steps=4,save_every=4,log_every=1,"
        "accelerator=Accelerator(cpu=True))\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "one")], check=True, capture_output=True)
    done = subprocess.run([*LAUNCH, str(script), str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    from deft_llm.training.state import read_meta, read_structure

    assert [read_meta(tmp_path / name)["processes"] for name in ("one", "two")] == [1, 2]
    one, two = (read_structure(tmp_path / name)["model"] for name in ("one", "two"))
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
    fit(Stage1(settings(steps=2), FlowShards(shards)), tmp_path / "l", steps=2, log_every=1)
    lines = [json.loads(line) for line in (tmp_path / "l" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"au", "coarse", "fine", "clean", "text"} <= lines[0].keys()
