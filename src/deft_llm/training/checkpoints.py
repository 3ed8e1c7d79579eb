"""Checkpoints along a training: the model that a part begins from, and what the part makes of it.

A part replaces the tensors that it trained and keeps all others, so no part of a checkpoint is ever lost; a
finished checkpoint is replaced by a finished one alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deft_llm.errors import UsageError
from deft_llm.files import sha256_of
from deft_llm.model.beliefs import BELIEFS
from deft_llm.model.checkpoint import (
    CONFIG,
    SHIPPED,
    WEIGHTS,
    load_strict,
    read_checkpoint,
    save_checkpoint,
    write_card,
)
from deft_llm.model.deft import DeftConfig, DeftModel, is_language
from deft_llm.model.experts import FaceExpertConfig
from deft_llm.model.language import FACE_EXPERTS, PROMPT_VERSION, load_backbone
from deft_llm.training.settings import TrainConfig

MODEL = "model"
"""Folder of a run, and of each of its parts, that holds the checkpoint."""
WIDENS = {"structure": ("neutral", "phase", "course"), "texture": ("folds",)}
"""Sizes of each face expert that one of a checkpoint can be given later."""
NOTHING = "nothing"
"""Digest of the start of a training that begins from no checkpoint."""


def checkpoint_folder(start: str | Path | None) -> Path | None:
    """The checkpoint of "shipped", a run folder or a checkpoint folder; None for None.

    Raises: UsageError where there is none.
    """
    if start is None:
        return None
    if start == "shipped":
        return SHIPPED
    for folder in (Path(start), Path(start) / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    raise UsageError(
        f"--start {start}: no checkpoint there; give shipped, a run of deft train or a checkpoint."
    )


def digest_of(folder: Path | None) -> str:
    """What names a checkpoint's content: of its weights and its config."""
    if folder is None:
        return NOTHING
    return f"{sha256_of(folder / WEIGHTS)[:16]}-{sha256_of(folder / CONFIG)[:16]}"


def saved_config(folder: Path | None) -> dict[str, Any]:
    """Config of a checkpoint; of none that of a model without any trained expert."""
    return {"experts": [], "language": False} if folder is None else read_checkpoint(folder)[0]


def start_model(
    config: TrainConfig, folder: Path | None, seed: int, *, experts: Iterable[str], motion: dict[str, Any],
    faces: dict[str, Any], language: bool, conditioned_on: list[str] | None = None,
    anew: Iterable[str] = (), widened: Iterable[str] = (),
) -> DeftModel:  # fmt: skip
    """The model that a part trains: ``experts`` and all else of ``folder``, new where that has none.

    ``motion``, ``faces``: sizes of new experts. ``anew``: face experts that begin as new ones although
    ``folder`` has them. ``widened``: face experts of ``folder`` that are given what they had not: structure
    the shape over the person's neutral and heads for phases, texture the lines at folds. ``language``: with
    its language model; projectors and adapter are taken over where they belong to the same backbone and LoRA
    rank, else they begin anew.
    Raises: DeftError for a checkpoint that does not fit.
    """
    saved, tensors = read_checkpoint(folder) if folder is not None else ({}, {})
    made = DeftConfig.of(saved)
    made.experts = [name for name in ("structure", "texture", "motion") if name in experts]
    if not saved:
        made.motion, made.conditioned_on = motion, []
    if not (set(FACE_EXPERTS) & set(saved.get("experts", ()))) - set(anew):
        made.faces = faces
    else:
        more = [name for expert in widened for name in WIDENS[expert]]
        made.faces = {**made.faces, **{n: made.faces.get(n) or faces.get(n, 0) for n in more}}
    if conditioned_on is not None:
        made.conditioned_on = conditioned_on
    alike = (saved.get("backbone"), saved.get("lora_rank")) == (config.backbone, config.lora_rank)
    if language:
        made.backbone, made.lora_rank, made.lora_alpha = config.backbone, config.lora_rank, config.lora_alpha
        made.prompt_version = PROMPT_VERSION
    torch.manual_seed(seed)
    deft = DeftModel(made)
    deft.calibration = saved.get("calibration")
    if language:
        llm, tokenizer = load_backbone(config.backbone, dtype=config.dtype, four_bit=config.four_bit)
        deft.add_language(llm, tokenizer)
    own = deft.own_tensors()
    given = {n: t for n, t in tensors.items() if not is_language(n) or (language and alike)}
    unused = {name for name in FACE_EXPERTS if name not in made.experts} | set(anew)
    unused |= {"fusion"} if anew else set()
    unused |= set() if BELIEFS in made.conditioned_on else {BELIEFS}
    unused |= {"folds"} if deft.folds is None else set()
    given = {n: t for n, t in given.items() if n.split(".")[0] not in unused}
    now, before = FaceExpertConfig(**made.faces), FaceExpertConfig(**saved.get("faces", {}))
    if saved and now.width != before.width:
        given = {n: t for n, t in given.items() if not n.startswith("fusion.")}
    if deft.fusion.phase is None or now.phase != before.phase:
        given = {n: t for n, t in given.items() if not n.startswith("fusion.phase.")}
    if now.course != before.course:
        given = {n: t for n, t in given.items() if not n.startswith("fusion.phase.course.")}
    load_strict(deft, given, str(folder), {name: own[name] for name in given if name in own})
    return deft


def trained_config(saved: dict[str, Any], deft: DeftModel, changes: dict[str, Any]) -> dict[str, Any]:
    """Config of a checkpoint: what ``saved`` said, the model's own sizes and ``changes`` over it."""
    own = {**asdict(deft.config), "motion": deft.motion.config._asdict()}
    # figures that were measured belong to the checkpoint that they were measured on
    kept = {name: value for name, value in saved.items() if name not in ("schema", "scores")}
    return {**kept, **own, "language": bool(saved.get("language")) or deft.llm is not None, **changes}


def write_checkpoint(
    folder: Path,
    before: Path | None,
    deft: DeftModel,
    trained: Callable[[str], bool],
    changes: dict[str, Any],
) -> None:
    """Write ``before`` with the tensors of ``deft`` whose names are ``trained`` in the place of its own (all
    of them where it has none); the whole folder at once."""
    saved, tensors = read_checkpoint(before) if before is not None else ({}, {})
    own = deft.own_tensors()
    kept = {n: t for n, t in tensors.items() if not trained(n)}  # what a new expert has not goes
    merged: dict[str, Tensor] = {**own, **kept, **{n: t for n, t in own.items() if trained(n)}}
    if deft.llm is not None:
        merged = {n: t for n, t in merged.items() if n in own or not is_language(n)}
    config = trained_config(saved, deft, changes)
    new = beside(folder)
    save_checkpoint(new, merged, config)
    write_card(new, config)
    replace_folder(new, folder)


def beside(folder: Path) -> Path:
    """An empty folder beside ``folder``, which ``replace_folder`` puts in its place."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    return new


def replace_folder(new: Path, folder: Path) -> None:
    """Put ``new`` in the place of ``folder``; a folder that holds the same bytes already stays as it is."""
    if same_files(new, folder):
        shutil.rmtree(new)
        return
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def replace_copy(source: Path, folder: Path) -> None:
    """Put a copy of ``source`` in the place of ``folder``."""
    new = beside(folder)
    for path in sorted(source.glob("*")):
        shutil.copyfile(path, new / path.name)
    replace_folder(new, folder)


def restore_folder(folder: Path) -> None:
    """Undo what a kill inside ``replace_folder`` left: the finished folder is there again, nothing else."""
    shutil.rmtree(folder.with_name(f".{folder.name}.new"), ignore_errors=True)
    old = _old(folder)
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    shutil.rmtree(old, ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def same_files(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files."""
    names = [{path.name for path in folder.glob("*")} for folder in (first, second)]
    return names[0] == names[1] and all(
        (first / name).read_bytes() == (second / name).read_bytes() for name in sorted(names[0])
    )
