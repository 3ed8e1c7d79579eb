"""The training loop of every stage, on Hugging Face Accelerate: one process, several GPUs, any launcher.

A stage offers ``model`` (its forward takes a batch and gives (total loss, parts)), ``optimizer``, ``step``,
``batch_of(step, rank, world)``, ``rate()``, ``after_step()``, ``state()`` and ``load_state()``. Every step
depends
on (seed, step) alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deft_llm.training.state import META, load_state, read_meta, save_state, writer


def fit(
    stage: Any, out: Path, *, steps: int, save_every: int = 500, log_every: int = 50, validate_every: int = 0,
    validate: Callable[[], dict[str, float]] | None = None, patience: int = 0, watch: str = "",
    before_step: Callable[[int], None] | None = None, accelerator: Any = None,
    settings: dict[str, Any] | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Any:  # fmt: skip
    """Train ``stage`` until ``steps``; checkpoints, TensorBoard and ``log.jsonl`` in ``out``; resumes by
    itself.

    ``watch`` names the validation score (higher is better) whose lack of progress over ``patience`` checks
    ends
    the run early; the best state is kept in ``out``/best.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list

    accelerator = accelerator or Accelerator(cpu=on_cpu())
    # Experts that a step leaves out have no gradient in it.
    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
    out = Path(out)
    load_state(out, stage)
    model, optimizer = accelerator.prepare(stage.model, stage.optimizer)
    main = accelerator.is_main_process
    log = writer(out) if main else (lambda *_: None)
    best, waited = _watched(out)
    while stage.step < steps and not (patience and waited >= patience):
        if before_step is not None:
            before_step(stage.step)
        parts = _optimise(accelerator, stage, model, optimizer)
        stage.step += 1
        stage.after_step()
        if main and (stage.step % log_every == 0 or stage.step == steps):
            values = {name: float(value) for name, value in parts.items()}
            log(stage.step, values)
            if progress is not None:
                progress(stage.step, steps, values)
        check = validate is not None and validate_every
        if check and (stage.step % validate_every == 0 or stage.step == steps):
            scores = validate() if main and validate is not None else {}
            log(stage.step, {f"validation/{name}": value for name, value in scores.items()})
            if watch and patience:
                # The main process alone has the score: it decides, the others hear of it.
                score = float(broadcast_object_list([scores.get(watch, 0.0)])[0])
                better = score > best
                best, waited = max(best, score), 0 if better else waited + 1
                if better and main:
                    save_state(out / "best", stage, settings or {})
        stop = bool(patience) and waited >= patience
        if main and (stage.step % save_every == 0 or stage.step == steps or stop):
            save_state(out, stage, settings or {}, watched={"best": best, "waited": waited},
                       processes=accelerator.num_processes)  # fmt: skip
        if stop:
            break
    accelerator.wait_for_everyone()
    return stage


def _optimise(accelerator: Any, stage: Any, model: Any, optimizer: Any) -> dict[str, Any]:
    """One step of the optimiser on this process's share of the batch; returns the parts of the loss."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = stage.rate() * group.get("scale", 1.0)
    torch.manual_seed(stage.seed * 1_000_003 + stage.step)
    model.train()
    stage.prepare_modes()
    batch = stage.batch_of(stage.step, accelerator.process_index, accelerator.num_processes)
    total, parts = model(batch)
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(total)
    accelerator.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    return parts


def on_cpu() -> bool:
    """Whether processes train on the CPU: where there is nothing else, or ACCELERATE_USE_CPU says so."""
    import torch

    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return forced or not torch.accelerator.is_available()


def _watched(out: Path) -> tuple[float, int]:
    """(best score, checks without progress) of a run that goes on."""
    kept = read_meta(out).get("watched") if (out / META).is_file() else None
    return (float(kept["best"]), int(kept["waited"])) if kept else (-float("inf"), 0)
