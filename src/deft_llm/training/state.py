"""Training state on disk: one atomic file without pickles, exact to the bit when resumed.

The file's header holds all that belongs to its tensors (step, settings, early stopping), so that no kill can
leave the tensors of one step beside the figures of another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deft_llm.files import atomic_path, open_tensors, read_jsonl, write_jsonl

STATE = "state.safetensors"
BEST = "best.safetensors"
"""Files of a part's folder: where training stands, and the state that validated best."""
LOG = "log.jsonl"
BOARD = "tensorboard"
HEADER = "deft"
"""Entry of a state's header that holds all but the tensors."""
MEND = "remove it to train this part anew"


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


def save_state(path: Path, state: dict[str, Any], meta: dict[str, Any]) -> None:
    """Write ``state`` (nested dicts and lists of tensors and plain values) and ``meta`` as one file."""
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    header = {"meta": meta, "structure": flatten(state, "s", tensors)}
    with atomic_path(path) as temporary:
        # one entry: safetensors writes several in an order of chance
        save_file(tensors, temporary, metadata={HEADER: json.dumps(header)})


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(state, meta) as ``save_state`` was given them. Raises: DeftError for a file that it did not write."""
    with open_tensors(path, "pt", MEND) as handle:
        header = json.loads((handle.metadata() or {})[HEADER])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        return unflatten(header["structure"], tensors), header["meta"]


def writer(folder: Path, step: int) -> Callable[[int, dict[str, float]], None]:
    """Log scalars to ``log.jsonl`` and TensorBoard in ``folder``; what a killed run logged after ``step``,
    from where training now goes on, is taken out of both."""
    from torch.utils.tensorboard import SummaryWriter

    lines = Path(folder) / LOG
    if lines.is_file():
        write_jsonl(lines, [row for row in _whole_rows(lines) if row["step"] <= step])
    lines.parent.mkdir(parents=True, exist_ok=True)
    board = SummaryWriter(str(Path(folder) / BOARD), purge_step=step + 1)

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            board.add_scalar(name, value, step)
        row = {"step": step, **{name: round(float(value), 5) for name, value in values.items()}}
        with lines.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")

    return log


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a log whose last line a kill may have cut."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if text and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    return list(read_jsonl(path))
