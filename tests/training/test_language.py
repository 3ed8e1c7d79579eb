"""Stages 2 and 3, `deft train` and `deft predict` from end to end, with a tiny language model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deft_llm.answer import parse
from deft_llm.errors import DeftError
from deft_llm.model.checkpoint import WEIGHTS
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.training.flow_shards import FlowShards
from deft_llm.training.language import Stage2, Stage2Config, flow_source, like_lengths, run
from deft_llm.training.run import train
from deft_llm.training.start import TrainConfig, start_model
from deft_llm.training.state import BEST, STATE, read_meta

SMALL = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}
# Two processes on CPU: torchrun sets the world up, Accelerate takes it from there (gloo).
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TINY = {"backbone": "tiny-random", "lora_rank": 2, "experts": ["motion"]}
STAGE2 = {"steps": 4, "batch": 4, "autocast": False, "warmup_steps": 1, "save_every": 1}


def start_checkpoint(folder: Path) -> Path:
    """A small random expert, no language part."""
    torch.manual_seed(0)
    DeftModel(DeftConfig(motion=SMALL, experts=["motion"])).save_pretrained(folder)
    return folder


def config(folder: Path, **changes) -> TrainConfig:
    return TrainConfig(**{**TINY, "start": str(folder), "stages": [2], "stage2": STAGE2, **changes})


def words(folder: Path, shards: Path, steps: int = 4) -> list[str]:
    """Settings of the same run on the command line."""
    return [f"start={folder}", f"flow_shards={shards}", "stages=[2]", "backbone=tiny-random", "lora_rank=2",
            "experts=[motion]", "stage2.batch=4", "stage2.autocast=false", "stage2.warmup_steps=1",
            "stage2.save_every=1", f"stage2.steps={steps}"]  # fmt: skip


def same(first: Path, second: Path, tolerance: float = 0.0) -> bool:
    one, two = load_file(first / "model" / WEIGHTS), load_file(second / "model" / WEIGHTS)
    assert one.keys() == two.keys()
    return all(torch.allclose(one[n].float(), two[n].float(), atol=tolerance, rtol=0) for n in one)


def test_the_shared_start_of_the_prompt_changes_no_loss(shards: Path, tmp_path: Path) -> None:
    model = start_model(config(tmp_path / "c"), start_checkpoint(tmp_path / "c")).eval()
    settings = Stage2Config(**{**STAGE2, "bucket": 3, "cut_rationale": 0.5, "full_answers": 0.6})
    source = flow_source(FlowShards(shards), settings)
    kinds = set()
    for step in range(8):
        batch = source(step, 0, 1)
        kinds.add((batch.cut, "Rationale" in batch.answers[0]))
        plain = model(batch.clips, batch.questions, batch.answers, cut=batch.cut)[1]
        shared = model(batch.clips, batch.questions, batch.answers, cut=batch.cut, share_prefix=True)[1]
        assert torch.allclose(plain, shared, atol=1e-5)
    assert kinds == {(True, False), (False, True), (False, False)}


def test_a_cut_answer_teaches_no_end(shards: Path, tmp_path: Path) -> None:
    model = start_model(config(tmp_path / "c"), start_checkpoint(tmp_path / "c")).eval()
    batch = flow_source(FlowShards(shards), Stage2Config(**STAGE2))(0, 0, 1)
    whole = model(batch.clips, ["?"] * 4, ["yes"] * 4)[1]
    cut = model(batch.clips, ["?"] * 4, ["yes"] * 4, cut=True)[1]
    assert not torch.allclose(whole, cut, atol=1e-4)


def test_rows_of_like_length_are_neighbours_and_all_have_their_turn() -> None:
    lengths = [5, 1, 9, 3, 7, 2, 8, 4]
    rng, seen = np.random.default_rng(0), set()
    for _ in range(50):
        rows = like_lengths(lengths, 2, rng)
        chosen = sorted(lengths[row] for row in rows)
        assert chosen in ([1, 2], [3, 4], [5, 7], [8, 9])
        seen |= set(rows)
    assert seen == set(range(8))
    assert like_lengths([3, 1], 4, rng) == [0, 1]


def test_only_the_language_part_moves_in_stage_2_and_experts_move_in_stage_3(shards, tmp_path) -> None:
    folder = start_checkpoint(tmp_path / "c")
    for joint in (False, True):
        settings = Stage2Config(**{**STAGE2, "train_experts": joint, "share_prefix": True})
        model = start_model(config(folder), folder)
        before = {name: value.clone() for name, value in model.own_tensors().items()}
        run(Stage2(model, settings, flow_source(FlowShards(shards), settings)), tmp_path / f"run{joint}")
        moved = {name.split(".")[0] for name, value in model.own_tensors().items()
                 if not torch.equal(value, before[name])}  # fmt: skip
        assert {"llm", "projectors"} <= moved
        assert ("motion" in moved) == joint


def test_without_the_loss_of_the_text_the_language_part_is_not_run(shards, tmp_path, monkeypatch) -> None:
    from deft_llm.model import deft

    monkeypatch.setattr(deft, "answer_loss", lambda *args, **options: pytest.fail("the LLM was run"))
    folder = start_checkpoint(tmp_path / "c")
    settings = Stage2Config(**{**STAGE2, "train_experts": True, "losses": {"text": 0.0}})
    model = start_model(config(folder), folder)
    before = {name: value.clone() for name, value in model.own_tensors().items()}
    run(Stage2(model, settings, flow_source(FlowShards(shards), settings)), tmp_path / "run")
    moved = {n.split(".")[0] for n, value in model.own_tensors().items() if not torch.equal(value, before[n])}
    assert "motion" in moved and not moved & {"llm", "projectors"}


@pytest.mark.parametrize("rule", ["both", "neither"])
def test_answers_are_held_to_the_rule_of_the_config(shards: Path, rule: str) -> None:
    settings = Stage2Config(**{**STAGE2, "text_rule": rule, "false_labels": 0.3, "full_answers": 1.0})
    first, again = (flow_source(FlowShards(shards), settings)(4, 0, 1) for _ in range(2))
    free = flow_source(FlowShards(shards), settings.model_copy(update={"text_rule": None}))(4, 0, 1)
    assert first.answers == again.answers
    assert first.answers != free.answers, "the true AUs"


def test_training_stops_early_and_keeps_the_best_state(shards: Path, tmp_path: Path) -> None:
    from deft_llm.training.loop import fit
    from deft_llm.training.motion import Stage1, Stage1Config

    scores = iter([0.5, 0.4, 0.3, 0.9, 0.9])
    settings = Stage1Config(steps=9, batch=8, expert=SMALL, validate_every=1, patience=2)
    for _ in range(2):  # a run that has ended stays ended
        part = fit(Stage1(settings, FlowShards(shards)), tmp_path, validate=lambda: {"uf1": next(scores)})
        assert part.step == 1
        assert read_meta(tmp_path / BEST)["step"] == 1
        meta = read_meta(tmp_path / STATE)
        assert (meta["step"], meta["watched"]) == (3, {"best": 0.5, "waited": 2})


def test_an_adapter_begins_anew_for_another_backbone(shards: Path, tmp_path: Path) -> None:
    folder = start_checkpoint(tmp_path / "c")
    train(config(folder, flow_shards=str(shards)), [], tmp_path / "run")
    trained = load_file(tmp_path / "run" / "model" / WEIGHTS)
    name = next(n for n in trained if n.startswith("llm.") and "lora_B" in n)
    assert float(trained[name].float().abs().sum()) > 0
    again = start_model(config(folder), tmp_path / "run" / "model")
    assert torch.equal(again.own_tensors()[name].to(torch.bfloat16), trained[name])
    for other in (start_model(config(folder), tmp_path / "run" / "model", language=False),
                  start_model(config(folder, lora_rank=3), tmp_path / "run" / "model")):  # fmt: skip
        assert float(other.own_tensors()[name].abs().sum()) == 0


def test_an_adapter_is_joined_to_its_own_experts_only(shards: Path, tmp_path: Path) -> None:
    from deft_llm.training.export import add_adapter

    folder = start_checkpoint(tmp_path / "c")
    settings = Stage2Config(**STAGE2)
    model = start_model(TrainConfig(experts=["motion"], backbone="tiny-random"), folder)
    run(Stage2(model, settings, flow_source(FlowShards(shards), settings)), tmp_path / "a")
    tiny = {"backbone": "tiny-random"}
    add_adapter(folder, tmp_path / "a", tmp_path / "joined", **tiny)
    joined = DeftModel.from_pretrained(tmp_path / "joined")
    assert joined.llm is not None and joined.config.conditioned_on == ["motion"]
    torch.manual_seed(5)
    DeftModel(DeftConfig(motion=SMALL, experts=["motion"])).save_pretrained(tmp_path / "other")
    with pytest.raises(DeftError, match="other experts"):
        add_adapter(tmp_path / "other", tmp_path / "a", tmp_path / "no", **tiny)


def test_three_stages_then_predict(shards, seen_store, fresh_store, instructions, tmp_path, capsys) -> None:
    """`deft train` through all stages on a store, `deft predict` with answers on unseen subjects."""
    from deft_llm.cli import main

    settings = ["stages=[1,2,3]", "start=null", "backbone=tiny-random", "lora_rank=2", "experts=[motion]",
                f"stage1.expert={json.dumps(SMALL)}", "stage1.steps=2", "stage1.batch=4", "stage2.steps=2",
                "stage2.batch=4", "stage2.autocast=false", "stage3.steps=2", "stage3.batch=4",
                "stage3.autocast=false", "stage3.validate_every=1"]  # fmt: skip
    run_folder = tmp_path / "run"
    assert call(main, "train", seen_store, "--unimer", instructions, "--out", run_folder, *settings) == 0
    for stage in (1, 2, 3):
        log = (run_folder / f"stage{stage}" / "log.jsonl").read_text().splitlines()
        assert json.loads(log[-1])["step"] == 2
    card = json.loads((run_folder / "model" / "config.json").read_text())
    assert card["language"] and card["language_note"].startswith("stage 3")
    assert len(card["trained_on"]["subjects"]) == 3  # the fourth validated
    out = tmp_path / "predicted"
    assert call(main, "predict", run_folder, fresh_store, "--out", out, "--answers") == 0
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and all(row["answer"] for row in rows)
    for row in rows:
        if row["parsed"]:
            parse(row["answer"])
    capsys.readouterr()
    assert call(main, "predict", run_folder, seen_store, "--out", tmp_path / "no") == 1
    assert "trained on" in capsys.readouterr().err


def call(main, *arguments: object) -> int:
    """Exit code of the command line."""
    try:
        return int(main([str(argument) for argument in arguments]) or 0)
    except SystemExit as leaving:
        return int(leaving.code or 0)


KILLED = """
import os, signal, sys
from deft_llm.cli import main
from deft_llm.training import loop
save = loop.save_state
def save_then_die(path, state, meta):
    save(path, state, meta)
    if meta["step"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
loop.save_state = save_then_die
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_command_goes_on_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    folder = start_checkpoint(tmp_path / "c")
    line = ["train", "--out", str(tmp_path / "killed"), *words(folder, shards)]
    done = subprocess.run([sys.executable, "-c", KILLED, *line], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert not (tmp_path / "killed" / "model").exists()
    subprocess.run([sys.executable, "-m", "deft_llm.cli", *line], check=True, capture_output=True)
    train(config(folder, flow_shards=str(shards)), [], tmp_path / "whole")
    assert same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_train_the_adapter_of_one(shards: Path, tmp_path: Path) -> None:
    """`torchrun -m deft_llm.cli train`: two processes, gloo on CPU."""
    folder = start_checkpoint(tmp_path / "c")
    done = subprocess.run(
        [*LAUNCH, "-m", "deft_llm.cli", "train", "--out", str(tmp_path / "two"), *words(folder, shards)],
        capture_output=True, text=True, env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    train(config(folder, flow_shards=str(shards)), [], tmp_path / "one")
    assert [read_meta(tmp_path / name / "stage2" / STATE)["processes"] for name in ("one", "two")] == [1, 2]
    assert same(tmp_path / "one", tmp_path / "two", tolerance=3e-3)
    losses = [[json.loads(line)["text"] for line in (tmp_path / name / "stage2" / "log.jsonl").open()]
              for name in ("one", "two")]  # fmt: skip
    assert len(losses[0]) == len(losses[1]) > 0


@pytest.mark.slow
def test_early_stopping_ends_every_process(shards: Path, tmp_path: Path) -> None:
    """The score is known on the main process alone; both must stop at the same step."""
    script = tmp_path / "stop.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom deft_llm.training.motion import *\n"
        "from deft_llm.training.loop import fit\nfrom accelerate import Accelerator\n"
        f"c=Stage1Config(steps=50,batch=8,expert={SMALL!r},validate_every=2,patience=2)\n"
        f"scores=iter([.5,.4,.3,.9])\na=Accelerator(cpu=True)\ns=Stage1(c,FlowShards(Path({str(shards)!r})))\n"
        "count=[]\nfit(s,Path(sys.argv[1]),validate=lambda:{'uf1':next(scores)},before_step=count.append,accelerator=a)\n"
        "Path(sys.argv[1],f'rank{a.process_index}').write_text(str(len(count)))\n"
    )
    done = subprocess.run(
        [*LAUNCH, str(script), str(tmp_path / "r")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(tmp_path / "r" / f"rank{rank}").read_text() for rank in (0, 1)] == ["6", "6"]


def test_a_training_state_with_a_missing_tensor_is_refused(shards: Path, tmp_path: Path) -> None:
    folder = start_checkpoint(tmp_path / "c")
    train(config(folder, flow_shards=str(shards)), [], tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "model" / WEIGHTS)
    name = "projectors.motion.words"
    shape = tuple(tensors[name].shape)
    tensors[name] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "run" / "model" / WEIGHTS)
    with pytest.raises(DeftError) as error:
        DeftModel.from_pretrained(tmp_path / "run" / "model")
    assert f"{name}: the file has (2, 2), the model {shape}" in str(error.value)
