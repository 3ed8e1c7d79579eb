"""``deft train``: one model from stores (and flow-level synthesis), stage by stage, into a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deft_llm.errors import UsageError
from deft_llm.training.language import Stage2, Stage2Batch, Stage2Config
from deft_llm.training.start import MODEL, TrainConfig, _folder, start_model
from deft_llm.training.state import BEST, STATE


def train(
    config: TrainConfig, stores: Sequence[Path], out: Path, unimer: Path | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:  # fmt: skip
    """Run the stages that ``config`` names; returns the folder of the finished checkpoint (``out``/model).

    Raises: UsageError for stages without their data.
    """
    from accelerate import PartialState

    from deft_llm.config import save_resolved
    from deft_llm.training.loop import on_cpu
    from deft_llm.training.store_data import split_subjects, subjects_of

    if not stores and not config.flow_shards:
        raise UsageError("deft train: give a STORE, or flow_shards=FOLDER for flow-level training.")
    out = Path(out)
    process = PartialState(cpu=on_cpu())
    if process.is_main_process:
        save_resolved(config, out, seed=config.seed)
    known = subjects_of(stores) if stores else []
    train_subjects, held = split_subjects(known, config.validation_share, config.seed)
    start = Path(config.start) if config.start not in (None, "shipped") else config.start
    for stage in config.stages:
        if stage == 1:
            start = _stage1(config, stores, train_subjects, held, start, out, progress)
        elif stage in (2, 3):
            start = _stage2(config, stage, stores, train_subjects, held, start, out, unimer, progress)
        else:
            raise UsageError(f"stages={config.stages}: choose from 1 (experts), 2 (adapter), 3 (joint).")
        # What the main process wrote is what all of them begin the next stage from.
        process.wait_for_everyone()
    return Path(start) if start else out / MODEL


def _stage1(
    config: TrainConfig, stores: Sequence[Path], subjects: set[str], held: set[str], start: Any, out: Path,
    progress: Any,
) -> Path:  # fmt: skip
    """Experts and heads; early stopping on validation subjects."""
    from accelerate import PartialState

    from deft_llm.model.checkpoint import load_strict, part, read_checkpoint
    from deft_llm.training.export import export
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.loop import fit
    from deft_llm.training.motion import Stage1, validate
    from deft_llm.training.store_data import StoreData

    if config.flow_shards:
        data: Any = FlowShards(Path(config.flow_shards))
        check: Any = FlowShards(Path(config.flow_validation)) if config.flow_validation else None
    else:
        data = StoreData(stores, subjects)
        check = StoreData(stores, held) if held else None
    settings = config.stage1.model_copy(update={"seed": config.seed, "patience": config.patience})
    folder = _folder(start)
    if folder is not None:
        saved, tensors = read_checkpoint(folder)
        settings = settings.model_copy(
            update={"expert": {k: v for k, v in saved["motion"].items() if k != "fine_classes"}}
        )
    stage = Stage1(settings, data)
    if folder is not None:
        load_strict(stage.expert, part(tensors, "motion"), str(folder))
        if stage.average is not None:
            stage.average.module.load_state_dict(stage.expert.state_dict())
    fit(
        stage, out / "stage1", progress=progress,
        validate=(lambda: validate(stage.averaged(), check)) if check is not None else None,
    )  # fmt: skip
    best = out / "stage1" / BEST
    if not PartialState().is_main_process:
        return out / MODEL
    export(
        best if best.is_file() else out / "stage1" / STATE, out / MODEL, check,
        command=f"deft train {' '.join(Path(s).name for s in stores)} --out {out.name}", prior="see the data",
        trained_on={"subjects": sorted(subjects)},
    )  # fmt: skip
    return out / MODEL


def _stage2(
    config: TrainConfig, number: int, stores: Sequence[Path], subjects: set[str], held: set[str], start: Any,
    out: Path, unimer: Path | None, progress: Any,
) -> Path:  # fmt: skip
    """Projectors and adapter (2), with the experts (3)."""
    from accelerate import PartialState

    from deft_llm.model.checkpoint import read_checkpoint
    from deft_llm.training.flow_shards import FlowShards
    from deft_llm.training.language import flow_source, run
    from deft_llm.training.store_data import StoreData
    from deft_llm.training.text_validation import validate_text

    settings = (config.stage2 if number == 2 else config.stage3).model_copy(
        update={"seed": config.seed, "patience": config.patience}
    )
    model = start_model(config, _folder(start))
    count = 0
    check: Any = None
    if config.flow_shards:
        source = flow_source(FlowShards(Path(config.flow_shards)), settings, model)
        check = FlowShards(Path(config.flow_validation)) if config.flow_validation else None
    elif unimer is not None:
        data = StoreData(stores, subjects)
        source, count = unimer_source(data, unimer, settings), len(data.subject_names)
        check = StoreData(stores, held) if held and settings.validate_every else None
    else:
        raise UsageError(f"stage {number} needs text: give --unimer DIR (see `deft unimer build`).")
    stage = Stage2(model, settings, source, count)
    folder_of_stage = out / f"stage{number}"
    run(
        stage, folder_of_stage, progress=progress,
        validate=None if check is None else lambda: validate_text(model, check, settings.validate_clips),
    )  # fmt: skip
    if not PartialState().is_main_process:
        return out / MODEL
    folder = _folder(start)
    saved = read_checkpoint(folder)[0] if folder is not None else {}
    keep: dict[str, Any] = {
        name: saved[name] for name in ("calibration", "prior", "stage1", "parameters") if name in saved
    }
    before = (saved.get("trained_on") or {}).get("subjects", [])
    model.save_pretrained(out / MODEL, {
        **keep, "trained_on": {"subjects": sorted({*subjects, *before})},
        "language_note": f"stage {number}, {stage.step} steps",
        "command": f"deft train {' '.join(Path(s).name for s in stores)} --out {out.name}",
    })  # fmt: skip
    return out / MODEL


def unimer_source(data: Any, folder: Path, config: Stage2Config) -> Callable[[int, int, int], Stage2Batch]:
    """Batches of Uni-MER turns on the clips of a store."""
    from deft_llm.model.inputs import batch_of
    from deft_llm.training.store_data import dialogue_rows

    turns = dialogue_rows(folder, data.rows)

    def source(step: int, rank: int, world: int) -> Stage2Batch:
        rng = np.random.default_rng([config.seed, step, 3])
        chosen = [turns[i] for i in rng.integers(0, len(turns), config.batch)][rank::world]
        rows = np.array([turn[0] for turn in chosen])
        clips = batch_of([data.inputs[row] for row in rows], [data.faces[row] for row in rows])
        as_float = lambda a: torch.from_numpy(a[rows].astype(np.float32))  # noqa: E731
        as_long = lambda a: torch.from_numpy(a[rows].astype(np.int64))  # noqa: E731
        return Stage2Batch(
            clips=clips, questions=[turn[1] for turn in chosen], answers=[turn[2] for turn in chosen],
            side=as_float(data.side), known=as_float(data.known), coarse=as_long(data.coarse),
            fine=as_long(data.fine), subject=as_long(data.subject),
        )  # fmt: skip

    return source
