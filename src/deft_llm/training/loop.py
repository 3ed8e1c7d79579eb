"""The training loop of every stage, on Hugging Face Accelerate: one process, several GPUs, any launcher.

A stage offers ``model`` (its forward takes a batch and gives (total loss, parts)), ``optimizer``, ``step``,
``batch_of(step, rank, world)``, ``rate()``, ``after_step()``, ``state()`` and ``load_state()``. Every step
depends
on (seed, step) alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deft_llm.training.state import load_state, save_state, writer


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
    import torch
    from accelerate import Accelerator

    accelerator = accelerator or Accelerator()
    out = Path(out)
    load_state(out, stage)
    model, optimizer = accelerator.prepare(stage.model, stage.optimizer)
    main = accelerator.is_main_process
    log = writer(out) if main else (lambda *_: None)
    best, waited = -float("inf"), 0
    while stage.step < steps:
        if before_step is not None:
            before_step(stage.step)
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
        stage.step += 1
        stage.after_step()
        if main and (stage.step % log_every == 0 or stage.step == steps):
            values = {name: float(value) for name, value in parts.items()}
            log(stage.step, values)
            if progress is not None:
                progress(stage.step, steps, values)
        if main and (stage.step % save_every == 0 or stage.step == steps):
            save_state(out, stage, settings or {})
        if (
            validate is not None
            and validate_every
            and (stage.step % validate_every == 0 or stage.step == steps)
        ):
            scores = validate() if main else {}
            log(stage.step, {f"validation/{name}": value for name, value in scores.items()})
            if watch and patience and main:
                better = scores[watch] > best
                best, waited = max(best, scores[watch]), 0 if better else waited + 1
                if better:
                    save_state(out / "best", stage, settings or {})
                if waited >= patience and accelerator.num_processes == 1:
                    break
    return stage
