"""Checkpoints: safetensors beside a config, loaded strictly (every key and shape must agree, both sides are
printed), and the model card beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft_llm.errors import DeftError
from deft_llm.files import atomic_path, open_tensors, read_object, write_json, write_text
from deft_llm.model.language import EMBEDDED, PROMPT_VERSION

if TYPE_CHECKING:
    from torch import Tensor, nn

CHECKPOINT_SCHEMA = 2
LARGEST_SIZE = 4096
"""Of an expert's widths, channels and counts: no checkpoint comes near it."""
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TRAIN_AGAIN = "copy or train the checkpoint again"
SHIPPED = Path(__file__).with_name("shipped")
"""The checkpoint that comes with the package."""


def save_checkpoint(
    folder: Path, tensors: dict[str, Tensor], config: dict[str, Any], *, half: bool = True
) -> None:
    """Write weights (bfloat16 where ``half``) and config atomically; the config last: without it
    there is none."""
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


def existing_checkpoint(folder: Path) -> Path:
    """``folder`` where it holds a checkpoint. Raises: DeftError naming what is missing."""
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise DeftError(f"{folder}: no checkpoint here ({CONFIG}, {WEIGHTS}); train one with `deft train`.")
    return folder


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and float32 tensors, of the shapes that they were saved in, of a checkpoint folder.

    Raises: DeftError naming what is missing or too old.
    """
    import torch

    folder = existing_checkpoint(folder)
    config = read_object(folder / CONFIG, mend=TRAIN_AGAIN)
    if config.get("schema") != CHECKPOINT_SCHEMA:
        raise DeftError(
            f"{folder}: checkpoint of schema {config.get('schema')}, this version reads "
            f"{CHECKPOINT_SCHEMA}; train again."
        )
    _check_sizes(config, folder / CONFIG)
    _check_language(config, folder / CONFIG)
    with open_tensors(folder / WEIGHTS, "pt", TRAIN_AGAIN) as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return config, {n: t.to(torch.float32) if t.is_floating_point() else t for n, t in tensors.items()}


def _check_sizes(config: dict[str, Any], path: Path) -> None:
    """Raises: DeftError for sizes of experts of which no model can be built."""
    for part in ("motion", "faces"):
        sizes = config.get(part) or {}
        for name, value in sizes.items() if isinstance(sizes, dict) else ((part, sizes),):
            if type(value) not in (int, float) or not 0 <= value <= LARGEST_SIZE:
                raise DeftError(f"{path}: {part}.{name} is {value!r}, no size of a model; {TRAIN_AGAIN}.")
    motion = config.get("motion") or {}
    width, heads = motion.get("width"), motion.get("heads")
    if width and heads is not None and (heads < 1 or width % heads):
        raise DeftError(
            f"{path}: motion.width {width} is no multiple of motion.heads {heads}; {TRAIN_AGAIN}."
        )


def _check_language(config: dict[str, Any], path: Path) -> None:
    """Raises: DeftError for a backbone that is no name, or a prompt that this version does not know."""
    backbone = config.get("backbone", EMBEDDED)
    if not isinstance(backbone, str) or not backbone.strip():
        raise DeftError(f"{path}: backbone is {backbone!r}, no name of a language model; {TRAIN_AGAIN}.")
    version = config.get("prompt_version", PROMPT_VERSION)
    if type(version) is not int or not 1 <= version <= PROMPT_VERSION:
        raise DeftError(
            f"{path}: prompt_version is {version!r}, this version knows 1 to {PROMPT_VERSION}; use the "
            "checkpoint's own version, or train again."
        )


def load_strict(
    module: nn.Module, tensors: dict[str, Tensor], where: str, own: dict[str, Tensor] | None = None
) -> None:
    """Load ``tensors`` into ``module``; ``own``: the part of it that they must fill (default: all of it).

    Raises: DeftError for any key that is missing, extra or of another shape, both sides printed.
    """
    wanted = {name: tuple(v.shape) for name, v in (module.state_dict() if own is None else own).items()}
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
    module.load_state_dict(tensors, strict=False)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under ``prefix.`` with the prefix removed."""
    return {
        name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(prefix + ".")
    }


_TEMPLATE = """---
library_name: deft-llm
license: apache-2.0
pipeline_tag: video-text-to-text
{base}tags: [micro-expression, facial-action-coding-system, optical-flow]
---
# DEFT-LLM checkpoint

Reads how facial skin moved in a short clip: Action Units with their sides, and the label that coders of a
convention would give. Experts, projectors, heads{adapter}; the base language model is not in here.

## Made by
```
{command}
```
- Motion expert: {parameters} parameters; {motion}.
- Face experts: {faces}.
- Trained on: {trained_on}. Label prior: `{prior}`{prior_note}.
- Language part: {language}.

## Scores
{scores}

## Uses
Research on facial motion and its coding; see `deft analyze --help`. **Not for**: telling lies, feelings,
intent, health or fitness for a job; policing, border control, hiring, teaching. A label here is what a coder
of a corpus would have written about a movement, no more.

## Limits
- Learned from synthetic faces alone, unless "Trained on" says otherwise; AUs that synthetic faces move poorly
  (5, 7, 14, 20, 23) are read worse.
- Min-max stretched maps have no known size and no known zero: there it gives no pixels, and a small motion
  may be noise.
- People differ more than the synthetic faces do, in age, skin, glasses, beards and pose; expect it to be
  worse there.
{faults}"""


def write_card(folder: Path, config: dict[str, Any]) -> None:
    """Write ``README.md`` of a checkpoint from its config."""
    scores = config.get("scores") or {}
    lines = [f"- {name}: {value}" for name, value in scores.items()] or ["- none recorded"]
    language = config.get("language")
    text = _TEMPLATE.format(
        base=f"base_model: {config.get('backbone')}\n" if language else "",
        adapter=" and a LoRA adapter" if language else "",
        command=config.get("command") or "not recorded",
        parameters=f"{config['parameters']:,}" if config.get("parameters") else "about 0.5 million",
        faces=_faces(config),
        motion=_trained(config, "motion"),
        trained_on=_trained_on(config.get("trained_on") or {}),
        prior=config.get("prior", "?"),
        prior_note=" (FACS knowledge only: no statistics of any real corpus)"
        if config.get("prior") == "facs"
        else "",
        language=config.get("language_note")
        or (_trained(config, "language", "joint") if language else "none"),
        scores="\n".join(lines),
        faults="".join(f"- Known fault: {fault}\n" for fault in config.get("faults", ())),
    )
    write_text(Path(folder) / "README.md", text)


def _trained_on(record: dict[str, Any]) -> str:
    """What a checkpoint was trained on; its subjects are counted, their names stand in the config."""
    people = {"subjects": "subjects", "validation_subjects": "subjects that validated"}
    told = [f"{name.replace('_', ' ')}: {value}" for name, value in record.items() if name not in people]
    told += [f"{len(record[name])} {words}, listed in {CONFIG}" for name, words in people.items()
             if record.get(name)]  # fmt: skip
    return "; ".join(told) or "not recorded"


def _faces(config: dict[str, Any]) -> str:
    """Which face experts there are, and what they learned from."""
    names = [name for name in config.get("experts", ()) if name != "motion"]
    if not names:
        return "none (clips with faces are read by their motion alone)"
    return f"{' and '.join(names)}; {_trained(config, 'faces')}"


def _trained(config: dict[str, Any], *parts: str) -> str:
    """How long parts of a checkpoint were trained, as its ``training`` records it."""
    found = {name: record for name, record in config.get("training", {}).items() if name in parts}
    words = [
        f"{name}: {record['steps']:,} steps of {record['batch']}, seed {record['seed']}"
        for name, record in found.items()
    ]
    return "; ".join(words) or "training not recorded"
