"""`deft train` from end to end with a tiny language model: parts, what is kept, kills, finished runs."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from deft_llm.answer import parse
from deft_llm.cli import main
from deft_llm.errors import DeftError, UsageError
from deft_llm.model.checkpoint import CONFIG, WEIGHTS
from deft_llm.model.deft import LANGUAGE, DeftModel, is_language
from deft_llm.model.language import tiny_backbone
from deft_llm.records import person
from deft_llm.store import Store, StoreWriter
from deft_llm.training import run as runs
from deft_llm.training.checkpoints import start_model
from deft_llm.training.run import Data, train
from deft_llm.training.settings import TrainConfig
from deft_llm.training.state import STATE, read_state
from deft_llm.training.store_data import split_subjects
from recipes.forked import run as forked
from tests.training.conftest import make_store

SMALL = {"width": 16, "stem": 8, "middle": 8, "blocks": 1, "heads": 2}
FACES = {"width": 8, "channels": 4, "space": 2}
QUICK = {"steps": 2, "batch": 4, "validate_every": 0, "save_every": 1, "cooldown_steps": 1, "warmup_steps": 1}
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def config(**changes: Any) -> TrainConfig:
    """A quick training with a tiny language model."""
    quick = {
        "motion": {**QUICK, "expert": SMALL}, "faces": {**QUICK, "sizes": FACES, "expert_dropout": 0.0},
        "language": {**QUICK, "autocast": False, "learning_rate": 0.05},
        "joint": {**QUICK, "autocast": False},
    }  # fmt: skip
    for name in quick:
        quick[name] = {**quick[name], **changes.pop(name, {})}
    return TrainConfig(**{"backbone": "tiny-random", "lora_rank": 2, "start": None, **quick, **changes})


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return load_file((run / "model" if (run / "model").is_dir() else run) / WEIGHTS)


def card(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "model" / CONFIG).read_text())
    return found


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file but TensorBoard's, which holds the times of its writing; the revision apart, which
    changes where somebody works on the checkout."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "tensorboard" not in path.parts:
            lines = [line for line in path.read_bytes().split(b"\n") if not line.startswith(b"git_revision")]
            found[str(path.relative_to(folder))] = hashlib.sha256(b"\n".join(lines)).hexdigest()
    return found


def moved(before: Path, after: Path) -> set[str]:
    """First words of the names of the tensors that differ or are new."""
    one, two = tensors(before), tensors(after)
    assert one.keys() <= two.keys(), "a part of the start was lost"
    return {n.split(".")[0] for n in two if n not in one or not torch.equal(one[n], two[n])}


def test_flow_only_stores_train_all_but_faces(seen_store: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(config(), [seen_store], tmp_path / "run", say=said.append)
    assert "faces: not trained: no training clip has a face" in said
    made = card(tmp_path / "run")
    assert made["experts"] == ["motion"] and made["conditioned_on"] == ["motion", "beliefs"]
    assert made["language"]
    assert list(made["training"]) == ["motion", "language", "joint"]
    assert not any(name.startswith(("structure", "texture")) for name in tensors(tmp_path / "run"))
    DeftModel.from_pretrained(tmp_path / "run" / "model")


def test_stores_with_faces_train_all_parts(face_store: Path, instructions: Path, tmp_path: Path) -> None:
    train(config(), [face_store], tmp_path / "run", [instructions])
    made = card(tmp_path / "run")
    assert made["experts"] == ["structure", "texture", "motion"] == made["conditioned_on"][:-1]
    assert list(made["training"]) == ["motion", "faces", "language", "joint"]
    model = DeftModel.from_pretrained(tmp_path / "run" / "model")
    assert model.structure is not None and model.texture is not None and model.llm is not None
    folders = [tmp_path / "run" / name for name in ("motion", "faces", "language", "joint")]
    assert moved(folders[0], folders[1]) == {"structure", "texture", "fusion"}
    assert moved(folders[1], folders[2]) == {"llm", "projectors", "delimiters", "absent", "alone", "beliefs"}
    assert {"motion", "llm", "projectors"} <= moved(folders[2], folders[3])


def test_an_expert_that_is_left_out_is_not_listed(face_store: Path, tmp_path: Path) -> None:
    train(config(parts=["motion", "faces"], faces={"experts": ["texture"]}), [face_store], tmp_path / "run")
    assert card(tmp_path / "run")["experts"] == ["texture", "motion"]
    assert not any(name.startswith("structure") for name in tensors(tmp_path / "run"))


def test_a_run_does_not_go_on_with_other_data(seen_store: Path, shards: Path, tmp_path: Path) -> None:
    settings = config(parts=["motion"], flow_shards=str(shards))
    train(settings, [seen_store], tmp_path / "run")
    train(settings, [seen_store], tmp_path / "run")  # the same again changes nothing
    other = make_store(tmp_path / "other", "other", 4)
    with pytest.raises(UsageError, match="other data"):
        train(settings, [other], tmp_path / "run")


def test_a_run_does_not_go_on_with_corrected_labels(seen_store: Path, tmp_path: Path) -> None:
    """The same clips, prepared again with another annotation; where the store lies changes nothing."""
    settings = config(parts=["motion"])
    train(settings, [seen_store], tmp_path / "run")
    train(settings, [make_store(tmp_path / "moved", "seen", 4)], tmp_path / "run")
    with pytest.raises(UsageError, match="other data"):
        train(settings, [make_store(tmp_path / "corrected", "seen", 4, smile=6)], tmp_path / "run")


def test_other_maps_of_the_same_clips_are_other_data(seen_store: Path) -> None:
    before = Data.of(config(), [seen_store]).digest()
    store = Store(seen_store)
    items = [(clip, replace(motion, flow=2 * motion.flow)) for clip, motion in store.stream()]
    writer = StoreWriter(seen_store, store.settings)
    writer.write_shard(0, "of other maps", items)
    writer.finish(1)
    assert Data.of(config(), [seen_store]).digest() != before


def test_a_run_does_not_go_on_with_another_backbone(seen_store: Path, tmp_path: Path, start: Any) -> None:
    """One of the same shape would take over the adapter of the first."""
    llm, tokenizer = tiny_backbone()
    llm.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    settings = {"parts": ["language"], "start": str(start("motion"))}
    train(config(**settings), [seen_store], tmp_path / "run")
    with pytest.raises(UsageError, match="was begun from another checkpoint or other data"):
        train(config(**settings, backbone=str(tmp_path / "other")), [seen_store], tmp_path / "run")


@pytest.mark.parametrize("part", ["motion", "faces", "language"])
def test_every_part_of_the_start_is_kept(part: str, face_store: Path, tmp_path: Path, start: Any) -> None:
    begun = start("structure", "texture", "motion", language=True)
    train(config(parts=[part], start=str(begun)), [face_store], tmp_path / "run")
    own = {"motion": {"motion"}, "faces": {"structure", "texture", "fusion"},
           "language": set(LANGUAGE)}  # fmt: skip
    assert moved(begun, tmp_path / "run") <= own[part]
    assert part == "language" or moved(begun, tmp_path / "run")
    made = card(tmp_path / "run")
    assert made["language"] and made["experts"] == ["structure", "texture", "motion"]
    assert made["conditioned_on"] == made["experts"] + ["beliefs"] * (part == "language")
    assert made["trained_on"]["subjects"][0] == "old/0"
    assert made["prior"] == "of the training clips"  # the stores' classes came in


def test_face_experts_begin_anew_where_that_is_asked_for(
    face_store: Path, tmp_path: Path, start: Any
) -> None:
    begun = start("structure", "texture", "motion", language=True)
    for anew in (False, True):
        out = tmp_path / f"run{anew}"
        train(config(parts=["faces"], start=str(begun), seed=3, faces={"learning_rate": 1e-9, "anew": anew}),
              [face_store], out)  # fmt: skip
        made, before = tensors(out), tensors(begun)
        kept = torch.allclose(made["structure.linear.weight"], before["structure.linear.weight"], atol=1e-2)
        assert kept == (not anew)
        assert made["structure.axes"].any() or not anew
        assert torch.allclose(made["motion.query"], before["motion.query"], atol=1e-2)


def test_a_language_part_that_no_longer_sees_texture_is_told_no_folds(start: Any) -> None:
    begun = start("structure", "texture", "motion", language=True)
    options: dict[str, Any] = {"experts": ("structure", "texture", "motion"), "motion": {}, "faces": {}}
    settings = config(backbone="tiny-random", lora_rank=2)
    for conditioned in (["motion"], ["texture", "motion"]):
        made = start_model(settings, begun, 0, language=True, conditioned_on=conditioned, **options)
        assert (made.folds is not None) == ("texture" in conditioned)


def test_a_language_part_of_another_rank_begins_anew(seen_store: Path, tmp_path: Path, start: Any) -> None:
    begun = start("motion", language=True)
    train(config(parts=["language"], start=str(begun), lora_rank=3), [seen_store], tmp_path / "run")
    made, before = tensors(tmp_path / "run"), tensors(begun)
    assert {name.split(".")[0] for name in made.keys() ^ before.keys()} == {"beliefs"}
    changed = [name for name in made.keys() & before.keys() if made[name].shape != before[name].shape]
    assert changed and all(is_language(name) for name in changed)
    DeftModel.from_pretrained(tmp_path / "run" / "model")


def test_untrained_experts_are_refused(
    seen_store: Path, face_store: Path, tmp_path: Path, start: Any
) -> None:
    with pytest.raises(UsageError, match="the motion expert was not trained"):
        train(config(parts=["language"]), [seen_store], tmp_path / "run")
    begun = str(start("motion"))
    wanted = config(parts=["language"], start=begun, conditioned_on=["structure", "motion"])
    with pytest.raises(UsageError, match="the structure expert was not trained; train it first .parts="):
        train(wanted, [face_store], tmp_path / "run")
    with pytest.raises(UsageError, match="joint cannot be trained: there is no language part"):
        train(config(parts=["joint"], start=begun), [seen_store], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_part_that_was_asked_for_and_cannot_be_is_an_error(seen_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="faces cannot be trained: no training clip has a face"):
        train(config(parts=["motion", "faces"]), [seen_store], tmp_path / "run")


def test_a_finished_command_run_again_changes_nothing(
    face_store: Path, instructions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        train(config(), [face_store], Path("run"), [instructions], command="deft train")
        trees.append(tree(Path("run")))
    assert trees[0] == trees[1], "the same command elsewhere"
    times = {
        path: path.stat().st_mtime_ns for path in Path("run").rglob("*") if path.suffix == ".safetensors"
    }
    train(config(), [face_store], Path("run"), [instructions], command="deft train")
    assert tree(Path("run")) == trees[0], "the same command again"
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_longer_run_replaces_the_model_only_when_it_is_finished(
    seen_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deft_llm.training import run

    parts = ["motion", "language"]
    train(config(parts=parts), [seen_store], tmp_path / "run")
    before = tree(tmp_path / "run" / "model")
    longer = config(parts=parts, motion={"steps": 4})
    with pytest.raises(UsageError, match="language: was begun from another checkpoint or other data"):
        train(longer, [seen_store], tmp_path / "run")
    assert tree(tmp_path / "run" / "model") == before
    again = config(parts=parts, language={"steps": 4})
    fit = run.fit

    def stopped(part: Any, *rest: Any, **options: Any) -> Any:
        fit(part, *rest, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(again, [seen_store], tmp_path / "run")
    assert tree(tmp_path / "run" / "model") == before


@pytest.mark.parametrize("renames", [0, 1])
def test_a_finished_folder_survives_a_kill_while_it_is_replaced(
    renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deft_llm.training import checkpoints

    folder, new = tmp_path / "model", checkpoints.beside(tmp_path / "model")
    folder.mkdir()
    (folder / "weights").write_text("finished")
    (new / "weights").write_text("newer")
    left, plain = iter(range(renames, -1, -1)), os.replace

    def killed(*paths: Path) -> None:
        if not next(left):
            raise KeyboardInterrupt
        plain(*paths)

    monkeypatch.setattr(checkpoints.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.replace_folder(new, folder)
    monkeypatch.undo()
    checkpoints.restore_folder(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "weights").read_text() == "finished"


KILLED = """
import os, signal
from deft_llm.cli import main
def counted(*rest, plain=os.replace):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*rest)
os.replace = counted
main(line)
"""


def words(store: Path, out: Path) -> list[str]:
    """The command line of a quick training."""
    given = [f"{part}.{key}={value}" for part in ("motion", "language")
             for key, value in {**QUICK, "batch": 2}.items()]  # fmt: skip
    return [
        "train", str(store), "--out", str(out), "start=null", "backbone=tiny-random", "lora_rank=2",
        "parts=[motion,language]", f"motion.expert={json.dumps(SMALL)}", "language.autocast=false", *given,
    ]  # fmt: skip


def test_a_killed_command_goes_on_to_the_same_files(seen_store: Path, tmp_path: Path) -> None:
    """Killed in the middle of its n-th write, then run again: all bytes as of a run without a kill."""
    script, line = tmp_path / "killed.py", words(seen_store, Path("run"))
    script.write_text(KILLED)

    def whole(name: str) -> dict[str, str]:
        (tmp_path / name).mkdir(exist_ok=True)
        code, said = forked(main, line, log=tmp_path / "log", folder=tmp_path / name, words=["deft", *line])
        assert code == 0, said
        return tree(tmp_path / name / "run")

    undisturbed = whole("whole")
    for writes in (2, 3, 5, 7, 9):
        folder = tmp_path / f"killed{writes}"
        folder.mkdir()
        given = {"left": writes, "line": line}
        code, said = forked(runpy.run_path, str(script), given, log=tmp_path / "log", folder=folder,
                            words=["deft", *line])  # fmt: skip
        assert code == -signal.SIGKILL, said
        assert whole(folder.name) == undisturbed, f"killed at write {writes}"


@pytest.mark.slow
def test_two_processes_train_the_language_part_of_one(seen_store: Path, tmp_path: Path, start: Any) -> None:
    """`torchrun -m deft_llm.cli train`: two processes, gloo on CPU; frozen experts have no dropout."""
    line = ["parts=[language]", "language.batch=4", "language.steps=4", "language.expert_dropout=0.0"]
    begun = start("motion")
    one, two = ([*words(seen_store, tmp_path / name), f"start={begun}", *line] for name in ("one", "two"))
    code, said = forked(main, one, log=tmp_path / "log", environment={"ACCELERATE_USE_CPU": "true"})
    assert code == 0, said
    done = subprocess.run(
        [*LAUNCH, "-m", "deft_llm.cli", *two], capture_output=True, text=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    metas = [read_state(tmp_path / name / "language" / STATE)[1] for name in ("one", "two")]
    assert [meta["processes"] for meta in metas] == [1, 2]
    one, two = (tensors(tmp_path / name) for name in ("one", "two"))
    for name, value in one.items():
        assert torch.allclose(value.float(), two[name].float(), atol=4e-3), name


def test_no_share_of_an_expert_that_nobody_trained(seen_store: Path, tmp_path: Path, capsys: Any) -> None:
    from deft_llm.cli import main

    line = [*words(seen_store, tmp_path / "a run"), "motion.start_share=0.5", "parts=[motion]"]
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2 and "motion.start_share" in capsys.readouterr().err


def test_command_config_and_versions_stand_in_the_run(seen_store: Path, tmp_path: Path, capsys: Any) -> None:
    line = [*words(seen_store, tmp_path / "a run"), "motion.steps=1", "parts=[motion]"]
    call(main, *line)
    assert "motion: 1 steps, from nothing" in capsys.readouterr().out
    record = yaml.safe_load((tmp_path / "a run" / "config.yaml").read_text())
    assert record["config"]["motion"]["steps"] == 1 and record["seed"] == 0
    assert "torch" in record["versions"] and "git_revision" in record


def test_the_exact_command_is_recorded(seen_store: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import shlex

    line = [*words(seen_store, tmp_path / "a run"), "motion.steps=1", "parts=[motion]"]
    monkeypatch.setattr(sys, "argv", ["deft", *line])
    call(main, *line)
    record = yaml.safe_load((tmp_path / "a run" / "config.yaml").read_text())
    assert shlex.split(record["command"]) == ["deft", *line]
    assert card(tmp_path / "a run")["training"]["motion"]["command"] == record["command"]


def call(main: Any, *arguments: object) -> int:
    """Exit code of the command line."""
    try:
        return int(main([str(argument) for argument in arguments]) or 0)
    except SystemExit as leaving:
        return int(leaving.code or 0)


def test_all_parts_then_predict(
    face_store: Path, fresh_store: Path, instructions: Path, tmp_path: Path, capsys: Any
) -> None:
    """`deft predict` with answers on unseen subjects; subjects of the training are refused."""
    run = tmp_path / "run"
    train(config(), [face_store], run, [instructions])
    before = card(run)["trained_on"]
    assert len(before["subjects"]) == 3 and len(before["validation_subjects"]) == 1
    out = tmp_path / "predicted"
    assert call(main, "predict", run, fresh_store, "--out", out, "--answers") == 0
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and all(row["answer"] for row in rows)
    for row in rows:
        if row["parsed"]:
            parse(row["answer"])
    capsys.readouterr()
    assert call(main, "predict", run, face_store, "--out", tmp_path / "no") == 1
    assert "trained or validated on" in capsys.readouterr().err


def test_a_checkpoint_with_a_tensor_of_another_shape_is_refused(start: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    begun = start("motion", language=True)
    found, name = tensors(begun), "projectors.motion.words"
    shape = tuple(found[name].shape)
    found[name] = torch.zeros(2, 2)
    save_file(found, begun / WEIGHTS)
    with pytest.raises(DeftError) as error:
        DeftModel.from_pretrained(begun)
    assert f"{name}: the file has (2, 2), the model {shape}" in str(error.value)


def test_a_start_without_a_checkpoint_is_named(seen_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--start .*no checkpoint there"):
        train(config(start=str(tmp_path / "no")), [seen_store], tmp_path / "run")


def test_rows_of_other_clips_are_found_before_the_first_part_trains(
    seen_store: Path, instructions: Path, tmp_path: Path
) -> None:
    rows = (instructions / "instructions.jsonl").read_text()
    (instructions / "instructions.jsonl").write_text(rows.replace("seen/", "gone/"))
    with pytest.raises(DeftError, match="no instruction belongs to a clip of these stores"):
        train(config(parts=["motion", "language"]), [seen_store], tmp_path / "run", [instructions])
    with pytest.raises(DeftError, match="no such file"):
        train(config(parts=["motion", "language"]), [seen_store], tmp_path / "run", [tmp_path / "none"])
    assert not (tmp_path / "run").exists()


def test_all_names_of_a_person_are_on_one_side() -> None:
    names = ["p/006", "p/007", "p/6", "p/7"]
    for seed in range(20):
        sides = split_subjects(names, 0.5, seed)
        assert [len({*map(person, side)}) for side in sides] == [1, 1] and set.union(*sides) == set(names)
    for seed in range(20):
        assert split_subjects(names, 0.5, seed, trained=["p/06"]) == ({"p/006", "p/6"}, {"p/007", "p/7"})
        assert split_subjects(names, 0.5, seed, validated=["p/06"]) == ({"p/007", "p/7"}, {"p/006", "p/6"})


def test_who_trained_the_start_is_never_held_out_and_who_validated_it_always() -> None:
    names = [f"p/{number}" for number in range(1, 11)]
    for seed in range(20):
        known, held = split_subjects(names, 0.3, seed, trained=names[:7], validated=names[6:8])
        assert names[7] in held and len(held) == 3 and known >= {*names[:7]}, "p/7 was trained on as well"
        assert split_subjects(names, 0.1, seed, validated=names[4:])[1] == {*names[4:]}
        assert split_subjects(names, 0.0, seed, validated=names[4:])[1] == set()
        assert split_subjects(names, 0.3, seed, trained=["other/1"]) == split_subjects(names, 0.3, seed)


def test_a_run_from_another_never_validates_on_whom_that_learned_of(seen_store: Path, tmp_path: Path) -> None:
    """With another seed, and with one store more."""
    train(config(parts=["motion"]), [seen_store], tmp_path / "one")
    first = card(tmp_path / "one")["trained_on"]
    assert len(first["validation_subjects"]) == 1
    more = make_store(tmp_path / "more", "more", 2)
    settings = config(parts=["motion"], start=str(tmp_path / "one"), seed=1)
    for name, stores in (("seed", [seen_store]), ("store", [seen_store, more])):
        train(settings, stores, tmp_path / name)
        made = card(tmp_path / name)["trained_on"]
        assert made["validation_subjects"] == first["validation_subjects"]
        assert not {*made["subjects"]} & {*made["validation_subjects"]}


def test_a_start_that_learned_of_everyone_is_refused_where_somebody_has_to_judge(
    seen_store: Path, shards: Path, tmp_path: Path, start: Any
) -> None:
    begun = str(start("motion", trained_on={"subjects": [f"seen/0{number}" for number in range(4)]}))
    with pytest.raises(UsageError, match=r"start: was trained on all .* calibrate motion on; add a store"):
        train(config(parts=["motion", "language"], start=begun), [seen_store], tmp_path / "run")
    with pytest.raises(UsageError, match="none is left to validate or calibrate language on"):
        train(config(parts=["language"], start=begun, language={"validate_every": 1}), [seen_store],
              tmp_path / "run")  # fmt: skip
    assert not (tmp_path / "run").exists()
    nobody = {"parts": ["motion"], "validation_share": 0.0}
    for name, changes in {"text": {"parts": ["language"]}, "flow": {"flow_shards": str(shards)},
                          "none": nobody}.items():  # fmt: skip
        train(config(**{"parts": ["motion"], "start": begun, **changes}), [seen_store], tmp_path / name)
        assert not card(tmp_path / name)["trained_on"]["validation_subjects"]


def test_a_start_that_everyone_validated_leaves_nobody_to_learn_from(
    seen_store: Path, tmp_path: Path, start: Any
) -> None:
    begun = str(start("motion", trained_on={"validation_subjects": [f"seen/{n}" for n in range(4)]}))
    with pytest.raises(UsageError, match="all subjects of .* validated it, none is left to learn from; add"):
        train(config(parts=["motion"], start=begun), [seen_store], tmp_path / "run")


def test_whose_clips_calibrate_a_joint_training_on_flow_samples_are_named(
    face_store: Path, shards: Path, tmp_path: Path, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``validate_every`` is 0, and AUs that were measured in px are calibrated all the same."""
    used: list[str] = []
    monkeypatch.setattr(
        runs, "calibrate_measured", lambda readout, held, known: used.extend(held.subject_names)
    )
    begun = str(start("motion", language=True))
    flow = {"flow_shards": str(shards), "flow_validation": str(shards)}
    train(config(parts=["joint"], start=begun, **flow), [face_store], tmp_path / "run")
    assert used and card(tmp_path / "run")["trained_on"]["validation_subjects"] == used
