"""Typed configuration: a pydantic model, YAML, ``a.b=c`` overrides; a resolved copy with every run."""

from __future__ import annotations

import difflib
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from deft_llm.errors import DeftError, UsageError
from deft_llm.files import read_yaml, write_text
from deft_llm.version import __version__

Model = TypeVar("Model")
RESOLVED = "config.yaml"
MOST_SEED = 2**32 - 1  # what every generator of random numbers takes
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "opencv-contrib-python-headless",
             "scikit-learn", "ai-edge-litert", "llguidance", "safetensors")  # fmt: skip


def load_config(model: type[Model], file: Path | None = None, overrides: list[str] | None = None) -> Model:
    """Build ``model`` (a pydantic class) from defaults, then ``file`` (YAML), then ``a.b=c`` overrides.

    Raises: UsageError that names an unknown key and its near miss, or a value that does not fit.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = list(overrides or [])
    for text in overrides:
        if "=" not in text or text.startswith("="):
            raise UsageError(f"{text!r}: is not an override; write key=value, as in training.steps=100.")
    try:
        merged: Any = OmegaConf.create(_read_yaml(file) if file else {})
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(overrides))
        values = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"{file or 'overrides'}: {str(error).splitlines()[0]}; mend that value.") from error
    config = _validate(model, values, str(file) if file else "configuration")
    # Asked of the model: it takes the text "1e999" for a number.
    place = next(_not_finite(config.model_dump()), None)
    if place is not None:
        raise UsageError(f"{file or 'configuration'}: {place} is not a finite number; give one.")
    return config


def _not_finite(value: Any, place: str = "") -> Iterator[str]:
    """Dotted keys of numbers that are NaN or infinite: no setting can be one."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_finite(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield place


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = read_yaml(file)
    except DeftError as error:
        raise UsageError(error) from error
    if values is not None and not isinstance(values, dict):
        raise UsageError(f"{file}: must hold 'key: value' lines, not a {type(values).__name__}.")
    return values or {}


def _validate(model: Any, values: Any, origin: str) -> Any:
    from pydantic import ValidationError

    for key, mend in getattr(model, "gone", {}).items():
        if isinstance(values, dict) and key in values:
            raise UsageError(f"{origin}: {key} {mend}.")
    unknown = next(_unknown_keys(model, values), None)
    if unknown is not None:
        key, known = unknown
        leaf = key.rpartition(".")[2]  # first: the right name under the wrong parent
        near = [name for name in known if name.rpartition(".")[2] == leaf][:1]
        near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}."
        raise UsageError(f"{origin}: unknown key {key}; {hint}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(piece) for piece in first["loc"]) or "value"
        shown = repr(first.get("input"))[:80]
        raise UsageError(f"{origin}: {place}={shown} does not fit: {first['msg']}.") from error


def _unknown_keys(model: Any, values: Any) -> Iterator[tuple[str, list[str]]]:
    """Keys of ``values`` that ``model`` lacks, each with all dotted keys that it has."""
    known = list(dotted_keys(model))

    def walk(branch: Any, value: Any, prefix: str) -> Iterator[tuple[str, list[str]]]:
        fields = getattr(branch, "model_fields", None)
        if fields is None or not isinstance(value, dict):
            return
        for key, inner in value.items():
            if str(key) not in fields:
                yield f"{prefix}{key}", known
            else:
                yield from walk(_model_of(fields[str(key)].annotation), inner, f"{prefix}{key}.")

    yield from walk(model, values, "")


def dotted_keys(model: Any, prefix: str = "") -> Iterator[str]:
    """All dotted keys of a pydantic model, branches included."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        branch = _model_of(field.annotation)
        if branch is not None:
            yield from dotted_keys(branch, f"{prefix}{name}.")


def _model_of(annotation: Any) -> Any:
    """The pydantic model in an annotation such as ``Section`` or ``Section | None``, else None."""
    if hasattr(annotation, "model_fields"):
        return annotation
    arguments = getattr(annotation, "__args__", ())
    return next((inner for inner in arguments if hasattr(inner, "model_fields")), None)


def save_resolved(config: Any, run_dir: Path, *, seed: int | None = None, command: str = "") -> Path:
    """Write ``run_dir/config.yaml``: the command, resolved config, seed, git
    revision and package versions."""
    import yaml

    record = {
        **({"command": command} if command else {}),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "git_revision": git_revision(),
        "versions": package_versions(),
    }
    path = Path(run_dir) / RESOLVED
    write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    return path


def git_revision() -> str | None:
    """The revision of the checkout that this package runs from, with "+dirty" on changes; else None."""
    here = Path(__file__).resolve().parent
    try:
        top = _git(here, "rev-parse", "--show-toplevel")
        if not (Path(top) / "src" / "deft_llm").is_dir():
            return None  # installed inside somebody else's repository
        return _git(here, "rev-parse", "HEAD") + ("+dirty" if _git(here, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def package_versions() -> dict[str, str]:
    """Versions of Python, deft-llm and the packages that results depend on."""
    versions = {"python": sys.version.split()[0], "platform": platform.platform(), "deft-llm": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
