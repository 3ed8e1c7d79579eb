"""Checkpoints: safetensors beside a config, loaded strictly: every key and shape must agree, both sides
printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, open_tensors, read_object, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

CHECKPOINT_SCHEMA = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TRAIN_AGAIN = "copy or train the checkpoint again"
SHIPPED = Path(__file__).with_name("shipped")
"""The checkpoint that comes with the package."""


def save_checkpoint(
    folder: Path, tensors: dict[str, Tensor], config: dict[str, Any], *, half: bool = True
) -> None:
    """Write weights (bfloat16 where ``half``) and config atomically; the config last, so that it makes it
    count."""
    import torch
    from safetensors.torch import save_file

    folder = Path(folder)
    ready = {
        name: (value.to(torch.bfloat16) if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for name, value in tensors.items()
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(ready, temporary)
    write_json(folder / CONFIG, {"schema": CHECKPOINT_SCHEMA, **config})


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and float32 tensors of a checkpoint folder. Raises: DeftError naming what is not there or too
    old."""
    import torch

    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise DeftError(f"{folder}: no checkpoint here ({CONFIG}, {WEIGHTS}); train one with `deft train`.")
    config = read_object(folder / CONFIG, mend=TRAIN_AGAIN)
    if config.get("schema") != CHECKPOINT_SCHEMA:
        raise DeftError(
            f"{folder}: checkpoint of schema {config.get('schema')}, this version reads "
            f"{CHECKPOINT_SCHEMA}; train again."
        )
    with open_tensors(folder / WEIGHTS, "pt", TRAIN_AGAIN) as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return config, {n: t.to(torch.float32) if t.is_floating_point() else t for n, t in tensors.items()}


def load_strict(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Load ``tensors`` into ``module``; any missing, extra or wrong-shaped key is refused with both sides
    printed."""
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    faults = [f"{n}: missing (the model has {wanted[n]})" for n in sorted(wanted.keys() - found.keys())]
    faults += [f"{n}: extra (the file has {found[n]})" for n in sorted(found.keys() - wanted.keys())]
    faults += [
        f"{n}: the file has {found[n]}, the model {wanted[n]}"
        for n in sorted(wanted.keys() & found.keys())
        if wanted[n] != found[n]
    ]
    if faults:
        shown = "; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else "")
        raise DeftError(f"{where}: {len(faults)} keys do not fit: {shown}; use the checkpoint's own version.")
    module.load_state_dict(tensors)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix.`` with the prefix removed."""
    return {
        name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(prefix + ".")
    }
