"""Where one pass over a video stands, on disk, so that a killed one goes on from there to the same numbers.

Plain values, arrays and the classes named here; nothing that a file says is run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.faces.follow import Followed
from deft_llm.faces.landmarker import Face
from deft_llm.files import atomic_path, read_arrays
from deft_llm.motion.flow import estimate, estimate_small
from deft_llm.motion.skull import Skull
from deft_llm.spotting.build_signal import Reference

SCHEMA = 1
FILE = "state.npz"
CLASSES = {cls.__name__: cls for cls in (Face, Followed, Reference, Skull)}
FUNCTIONS: dict[str, Any] = {"estimate": estimate, "estimate_small": estimate_small}


def save(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write ``state`` atomically; ``key`` says of what video and settings it is."""
    arrays: list[np.ndarray] = []
    tree = json.dumps({"schema": SCHEMA, "key": key, "state": _packed(state, arrays)})
    with atomic_path(folder / FILE) as temporary, temporary.open("wb") as handle:
        numbered: dict[str, Any] = {str(i): array for i, array in enumerate(arrays)}
        np.savez(handle, tree=np.array(tree), **numbered)


def load(folder: Path, key: str) -> dict[str, Any] | None:
    """What ``save`` wrote with this key; None where there is no such state, or it cannot be read."""
    if not (folder / FILE).is_file():
        return None
    try:
        kept = read_arrays(folder / FILE)
        tree = json.loads(str(kept["tree"]))
        if (tree["schema"], tree["key"]) != (SCHEMA, key):
            return None
        found: dict[str, Any] = _unpacked(tree["state"], kept)
        return found
    except (DeftError, KeyError, TypeError, ValueError):
        return None


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON; arrays are put aside and named by their place."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, (np.ndarray, np.generic)):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(inner, arrays)] for key, inner in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_packed(inner, arrays) for inner in value]}
    name = next((name for name, function in FUNCTIONS.items() if function is value), None)
    if name is not None:
        return {"function": name}
    if CLASSES.get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, "of": _packed(vars(value), arrays)}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _unpacked(value: Any, kept: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float.fromhex(value["float"])
    if "array" in value:
        array = kept[str(value["array"])]
        return array[()] if value["scalar"] else array
    if "dict" in value:
        return {key: _unpacked(inner, kept) for key, inner in value["dict"]}
    if "list" in value or "tuple" in value:
        found = [_unpacked(one, kept) for one in value.get("list") or value.get("tuple") or ()]
        return found if "list" in value else tuple(found)
    if "function" in value:
        return FUNCTIONS[value["function"]]
    made = object.__new__(CLASSES[value["class"]])
    made.__dict__.update(_unpacked(value["of"], kept))
    return made
