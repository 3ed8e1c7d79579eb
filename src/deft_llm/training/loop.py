"""The training loop of every part, on Hugging Face Accelerate: one process, several GPUs, any launcher.

Every step depends on (seed, step) alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from deft_llm.config import MOST_SEED
from deft_llm.errors import DeftError, UsageError
from deft_llm.training.objective import Weights
from deft_llm.training.state import BEST, STATE, read_state, save_state, writer

MOST_BATCH = 65_536
LEAST_RATE = 0.02
"""Share of the learning rate at which warm-up begins and cool-down ends."""
SEED_STRIDE = 1_000_003
"""Steps of different seeds draw from different places of torch's generator."""


class PartSettings(BaseModel):
    """What every part of the training is told."""

    parts: ClassVar[frozenset[str]] = frozenset()
    """Parts of the loss that exist in this part of the training."""
    model_config = ConfigDict(extra="forbid")
    seed: int | None = Field(
        None, ge=0, le=MOST_SEED, description="Seed of weights, batches, dropout; null: the run's."
    )
    steps: int = Field(1000, ge=0, description="Steps of the optimiser.")
    batch: int = Field(32, ge=1, le=MOST_BATCH, description="Clips per step, all processes together.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Rate between warm-up and cool-down.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of AdamW.")
    warmup_steps: int = Field(30, ge=0, description="First steps, over which the rate rises.")
    cooldown_steps: int = Field(150, ge=0, description="Last steps, over which the rate falls.")
    cooldown: Literal["linear", "1-sqrt", "cosine"] = Field("linear", description="Shape of the cool-down.")
    ema: float = Field(0.0, ge=0, lt=1, description="Decay of the weight average that is kept; 0: none.")
    gamma_negative: float = Field(2.0, ge=0, le=10, description="Focus of the AU loss on hard negatives.")
    losses: Weights = Field(default_factory=Weights, description="Weights of the loss.")
    validate_every: int = Field(0, ge=0, description="Steps between validations; 0: none.")
    patience: int = Field(6, ge=0, description="Validations without progress that end it; 0: never.")
    save_every: int = Field(200, ge=1, description="Steps between saved states; a stopped run goes on there.")

    @field_validator("losses", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """What is given replaces the part's own weights one by one."""
        if not isinstance(given, dict):
            return given
        own = cls.model_fields["losses"].get_default(call_default_factory=True)
        return {**own.model_dump(), **given}

    @field_validator("losses")
    @classmethod
    def _weights_have_effect(cls, weights: Weights) -> Weights:
        for name, value in weights.model_dump().items():
            if value and cls.parts and name not in cls.parts:
                raise ValueError(f"{name} has no effect here; choose from {', '.join(sorted(cls.parts))}")
        return weights


FREE = {"steps", "cooldown_steps", "cooldown", "save_every", "validate_every", "patience"}
"""Settings that may change when a run goes on; any other belongs to what was trained so far."""


class Part(ABC):
    """Model, optimiser, schedule and weight average of one part; subclasses make its batches.

    ``model(batch)`` gives (total loss, its parts). ``groups``: (beginnings of parameters' names, share of the
    learning rate); all other parameters are frozen. ``averaged``: module whose weight average is kept.
    """

    def __init__(
        self, model: nn.Module, settings: PartSettings, groups: Sequence[tuple[tuple[str, ...], float]],
        averaged: nn.Module | None = None,
    ) -> None:  # fmt: skip
        self.model, self.settings, self.step = model, settings, 0
        self.frozen = freeze_all_but(model, tuple(name for names, _ in groups for name in names))
        named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        taken = [([v for name, v in named if name.startswith(names)], share) for names, share in groups]
        rate = settings.learning_rate
        self.optimizer = torch.optim.AdamW(
            [{"params": values, "lr": rate * share} for values, share in taken if values],
            lr=rate, weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.scheduler = self._schedule()
        self.average: AveragedModel | None = None
        if averaged is not None and settings.ema:
            self.averaged_module = averaged
            self.average = AveragedModel(averaged, avg_fn=self._mixed)

    def _mixed(self, average: Any, current: Any, count: Any) -> Any:
        """Exponential average whose memory grows with ``count`` updates, so that short runs forget too."""
        keep = min(self.settings.ema, float(1 + count) / float(10 + count))
        return torch.lerp(current, average, keep)

    def _schedule(self) -> Any:
        """Warm-up, constant, cool-down: any state of the constant stretch can be forked into a finished model
        by a run of few steps more."""
        from transformers import get_wsd_schedule

        settings = self.settings
        warm = settings.warmup_steps
        cool = min(settings.cooldown_steps, max(settings.steps - warm, 0))
        return get_wsd_schedule(
            self.optimizer, num_warmup_steps=warm, num_decay_steps=cool, decay_type=settings.cooldown,
            num_stable_steps=max(settings.steps - warm - cool, 0), min_lr_ratio=LEAST_RATE,
            last_epoch=self.step - 1,
        )  # fmt: skip

    @abstractmethod
    def batch_of(self, step: int, rank: int = 0, world: int = 1) -> Any:
        """The batch of a step, the same for any number of processes; process ``rank`` takes its share."""

    def set_modes(self) -> None:
        """Called before each step: what is trained in training mode; frozen modules read without dropout."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    def tensors(self) -> dict[str, Any]:
        """The tensors that a state keeps: those that are trained."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def load_tensors(self, tensors: dict[str, Any]) -> None:
        """Put back what ``tensors`` gave."""
        own = self.tensors()
        if own.keys() != tensors.keys() or any(own[n].shape != v.shape for n, v in tensors.items()):
            raise DeftError("the training state is of another model; give another --out.")
        self.model.load_state_dict(tensors, strict=False)

    def optimise(self, accelerator: Any, model: Any, optimizer: Any) -> dict[str, Any]:
        """One step on this process's share of the batch; returns the parts of the loss."""
        torch.manual_seed((self.settings.seed or 0) * SEED_STRIDE + self.step)
        self.set_modes()
        batch = self.batch_of(self.step, accelerator.process_index, accelerator.num_processes)
        total, parts = model(batch.to(accelerator.device))
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(total)
        accelerator.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        self.step += 1
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.averaged_module)
        return parts  # type: ignore[no-any-return]

    def result(self) -> Any:
        """What the part has made: the model in eval mode."""
        return self.model.eval()

    def state(self) -> dict[str, Any]:
        """Everything a resume needs."""
        kept = {"average": self.average.state_dict()} if self.average is not None else {}
        return {"step": self.step, "model": self.tensors(), "optimizer": self.optimizer.state_dict(), **kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; the schedule is that of the settings now, at the state's step."""
        self.step = int(state["step"])
        self.load_tensors(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler = self._schedule()
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def freeze_all_but(model: nn.Module, trained: tuple[str, ...]) -> list[nn.Module]:
    """Let the parameters whose names begin with one of ``trained`` learn, of a language model its adapter
    alone; returns the modules of which none does."""
    for name, parameter in model.named_parameters():
        learns = name.startswith(trained) and (".llm." not in f".{name}" or "lora_" in name)
        parameter.requires_grad_(learns)
    learning = lambda module: [value.requires_grad for value in module.parameters()]  # noqa: E731
    return [module for module in model.modules() if learning(module) and not any(learning(module))]


def fit(
    part: Part, out: Path, *, base: str = "", validate: Callable[[], dict[str, float]] | None = None,
    watch: str = "uf1", log_every: int = 50, accelerator: Any = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Part:  # fmt: skip
    """Train ``part`` to its last step; states and logs in ``out``, from which a stopped run goes on.

    ``base`` names what the part began from. ``watch`` names the validation score (higher is better) whose
    lack of progress over ``patience`` checks ends the run; the best state is kept, and loaded at the end.
    Raises: UsageError where ``out`` holds a run of another base or of other settings.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list

    settings, out = part.settings, Path(out)
    accelerator = accelerator or Accelerator(cpu=on_cpu())
    # Experts that a step leaves out have no gradient in it.
    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
    best, waited = _resumed(part, out, base)
    ended = lambda: part.step >= settings.steps or (0 < settings.patience <= waited)  # noqa: E731
    main = accelerator.is_main_process
    if not ended():
        model, optimizer = accelerator.prepare(part.model, part.optimizer)
        log = writer(out, part.step) if main else (lambda *_: None)
    elif main and not (out / STATE).is_file():  # a run of no steps leaves what it began with
        save_state(out / STATE, part.state(), _meta(part, base, accelerator.num_processes))
    while not ended():
        parts = part.optimise(accelerator, model, optimizer)
        last = part.step >= settings.steps
        if main and (part.step % log_every == 0 or last):
            values = {name: float(value) for name, value in parts.items()}
            log(part.step, values)
            if progress is not None:
                progress(part.step, settings.steps, values)
        meta = _meta(part, base, accelerator.num_processes)
        if (
            validate is not None
            and settings.validate_every
            and (part.step % settings.validate_every == 0 or last)
        ):
            scores = validate() if main else {}
            log(part.step, {f"validation/{name}": value for name, value in scores.items()})
            # The main process alone has the score: it decides, the others are told.
            score = float(broadcast_object_list([scores.get(watch, 0.0)])[0])
            best, waited = max(best, score), 0 if score > best else waited + 1
            if waited == 0 and main:
                save_state(out / BEST, part.state(), meta)
        if main and (part.step % settings.save_every == 0 or ended()):
            checked = {"best": best, "waited": waited} if best > -float("inf") else None
            save_state(out / STATE, part.state(), {**meta, "watched": checked})
    accelerator.wait_for_everyone()
    if validate is not None and settings.validate_every and (out / BEST).is_file():
        part.load_state(read_state(out / BEST)[0])
    return part


def _meta(part: Part, base: str, processes: int) -> dict[str, Any]:
    return {
        "step": part.step,
        "settings": part.settings.model_dump(mode="json"),
        "base": base,
        "processes": processes,
    }


def _resumed(part: Part, out: Path, base: str) -> tuple[float, int]:
    """Load the state in ``out`` where there is one; (best score, checks without progress)."""
    path = out / STATE
    if not path.is_file():
        return -float("inf"), 0
    state, meta = read_state(path)
    ours = part.settings.model_dump(mode="json")
    # A setting that came later had no effect then: its default, or a weight of 0.
    theirs = {**type(part.settings)().model_dump(mode="json"), **meta["settings"]}
    theirs["losses"] = {**dict.fromkeys(ours["losses"], 0.0), **meta["settings"]["losses"]}
    for name in sorted(ours.keys() - FREE):
        if theirs[name] != ours[name]:
            raise UsageError(
                f"{out}: was begun with {name}={theirs[name]}, this command says {ours[name]}; "
                "give that setting again, or another --out."
            )
    if meta["base"] != base:
        raise UsageError(
            f"{out}: was begun from another checkpoint or other data ({meta['base']}) than this command's"
            f" ({base}); give another --out."
        )
    part.load_state(state)
    watched = meta.get("watched") or {"best": -float("inf"), "waited": 0}
    return float(watched["best"]), int(watched["waited"])


def on_cpu() -> bool:
    """Whether processes train on the CPU: where there is nothing else, or ACCELERATE_USE_CPU says so."""
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return forced or not torch.accelerator.is_available()
