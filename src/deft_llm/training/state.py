"""Training state on disk: atomic, without pickles, exact to the bit when resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deft_llm.files import atomic_path, read_json, write_json

STATE = "state.safetensors"
META = "state.json"


def flatten(value: Any, prefix: str, tensors: dict[str, Any]) -> Any:
    """Replace tensors in nested dicts and lists by their names; the tensors go into ``tensors``."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[prefix] = value.detach().cpu().contiguous().clone()
        return {"__tensor__": prefix}
    if isinstance(value, dict):
        return {"__dict__": [[k, flatten(v, f"{prefix}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"__list__": [flatten(v, f"{prefix}.{i}", tensors) for i, v in enumerate(value)]}
    return value


def unflatten(value: Any, tensors: dict[str, Any]) -> Any:
    """The inverse of ``flatten``."""
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        if "__dict__" in value:
            return {k: unflatten(v, tensors) for k, v in value["__dict__"]}
        return [unflatten(v, tensors) for v in value["__list__"]]
    return value


def save_state(
    folder: Path, stage: Any, config: dict[str, Any], watched: dict[str, Any] | None = None,
    processes: int = 1,
) -> None:  # fmt: skip
    """Write ``stage.state()`` atomically as one file (its structure rides in the header).

    ``watched``: how early stopping stands; ``processes``: how many trained. Both are kept beside it.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    structure = flatten(stage.state(), "s", tensors)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with atomic_path(Path(folder) / STATE) as temporary:
        save_file(tensors, temporary, metadata={"structure": json.dumps(structure)})
    kept = {"watched": watched} if watched and watched["best"] > -float("inf") else {}
    write_json(Path(folder) / META, {"step": stage.step, "processes": processes, "config": config, **kept})


def load_state(folder: Path, stage: Any) -> bool:
    """Load the state of ``folder`` into ``stage`` if there is one; True if so."""
    if not (Path(folder) / STATE).is_file():
        return False
    stage.load_state(read_structure(folder))
    return True


def read_structure(folder: Path) -> Any:
    """What ``stage.state()`` was when it was saved."""
    from safetensors import safe_open

    with safe_open(Path(folder) / STATE, framework="pt") as handle:
        structure = json.loads(handle.metadata()["structure"])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return unflatten(structure, tensors)


def read_meta(folder: Path) -> dict[str, Any]:
    """Step and config of a training folder."""
    return read_json(Path(folder) / META)


def writer(folder: Path) -> Callable[[int, dict[str, float]], None]:
    """Log scalars to TensorBoard and to ``log.jsonl`` in ``folder``."""
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(folder))
    lines = Path(folder) / "log.jsonl"

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            board.add_scalar(name, value, step)
        with lines.open("a", encoding="utf-8") as handle:
            handle.write(
                json.dumps({"step": step, **{k: round(float(v), 5) for k, v in values.items()}}) + "\n"
            )

    return log
