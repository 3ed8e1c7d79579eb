"""Makes docs/reference/commands.md from the command line and docs/reference/settings.md from the settings.

    python -m recipes.reference

Descriptions are those of ``--help`` and of the pydantic fields, so a page can't say what the program doesn't.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from deft_llm.files import write_text

DOCS = Path(__file__).parents[1] / "docs" / "reference"
SETTINGS = (
    (
        "Training: `deft train`",
        "deft_llm.training.settings",
        "TrainConfig",
    ),
    (
        "Benchmark: `deft benchmark`",
        "deft_llm.benchmark.settings",
        "BenchmarkSettings",
    ),
    ("Measuring motion: `deft prepare`", "deft_llm.motion.measure", "MeasureSettings"),
    ("Spotting: `Analyzer(settings=...)`", "deft_llm.spotting.spot", "SpottingSettings"),
    ("Rendered clips: `deft synth`", "deft_llm.synth.core.settings", "VideoSettings"),
    ("Key frames: `deft synth --film keys`", "deft_llm.synth.video.keys", "KeySettings"),
    ("Flow level: `deft synth --level flow`", "deft_llm.synth.flow.store", "FlowSettings"),
    ("Flow level, one sample", "deft_llm.synth.flow.config", "FlowConfig"),
    ("`--method svm`, `mdmo_svm`, `lbptop_svm`", "deft_llm.methods.kernel", "SVMOptions"),
    ("`--method ststnet`, `dynamic_image`, `motion_diff`", "deft_llm.methods.network", "NetworkOptions"),
    ("`--method flow2text`", "deft_llm.methods.flow2text", "Flow2TextOptions"),
)
HEAD = "<!-- made by python -m recipes.reference; tests/readme/test_reference.py holds it current -->"
EXIT_CODES = """Exit codes: 0 done, 1 the work failed, 2 wrong usage. `deft --debug ...` shows the traceback.
"""
KEYS = """YAML (`--config FILE`) and words `a.b=c` take the same keys; an unknown one is refused with its near
miss. A run folder keeps the settings that it ran with.
"""


def command_page() -> str:
    """Every command with its help, arguments and options."""
    from deft_llm.cli import COMMANDS, app

    for name in COMMANDS:
        import_module(f"deft_llm.cli.{name}").register(app)
    commands = typer.main.get_command(app).commands
    parts = [part for name in sorted(commands) for part in _command(commands[name], f"deft {name}")]
    return "\n".join([HEAD, "# Commands\n", EXIT_CODES, *parts])


def _command(command: Any, name: str) -> list[str]:
    if hasattr(command, "commands"):  # typer brings a click of its own: its classes are not those of click
        inner = sorted(command.commands.items())
        return [part for sub, child in inner for part in _command(child, f"{name} {sub}")]
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    table = ["| | default | |", "|---|---|---|", *rows, ""] if rows else []
    return [f"## {name}\n", _prose(command.help or "") + "\n", *table]


def _prose(text: str) -> str:
    """Help text as Markdown, its example in a block."""
    before, *examples = text.replace("\b", "").strip().split("Example: ")
    words = re.sub(r"[ \t]*\n[ \t]*", "\n", before).strip()
    lines = "\n".join(" ".join(example.split()) for example in examples)
    return words + (f"\n\n```\n{lines}\n```" if lines else "")


def _parameter(parameter: Any) -> str:
    words = ", ".join(f"`{word}`" for word in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        words = f"`{parameter.metavar or (parameter.name or '').upper()}`"
    plain = isinstance(parameter.default, str | int | float) and parameter.default is not False
    shown = f"`{parameter.default}`" if plain else ""
    return f"| {words} | {shown} | {_cell(getattr(parameter, 'help', None) or '')} |"


def settings_page() -> str:
    """Every setting with its type, default and description."""
    parts = [HEAD, "# Settings\n", KEYS]
    for title, module, name in SETTINGS:
        model = getattr(import_module(module), name)
        about = " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())
        parts += [f"## {title}\n", f"{about}\n", "| key | type | default | |", "|---|---|---|---|"]
        parts += [*_rows(model), ""]
    return "\n".join(parts)


def _rows(model: type[BaseModel], prefix: str = "") -> list[str]:
    rows = []
    for key, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        if inner is not None:
            rows += _rows(inner, f"{prefix}{key}.")
            continue
        default = info.get_default(call_default_factory=True)
        cells = (f"`{prefix}{key}`", f"`{_type_name(info.annotation)}`",
                 "" if default is PydanticUndefined else f"`{default}`", info.description or "")  # fmt: skip
        rows.append("| " + " | ".join(map(_cell, cells)) + " |")
    return rows


def _model_in(annotation: Any) -> type[BaseModel] | None:
    options = getattr(annotation, "__args__", None) or (annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    text = re.sub(r"\b(typing|pathlib|collections\.abc)\.", "", str(annotation))
    return text.replace("Literal", "one of ").replace("|", "or")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def undescribed() -> list[str]:
    """Keys of all settings that lack a description."""
    models = [getattr(import_module(module), name) for _, module, name in SETTINGS]
    return [row.split("`")[1] for model in models for row in _rows(model) if row.endswith("|  |")]


def main() -> None:
    """Write both pages."""
    write_text(DOCS / "commands.md", command_page())
    write_text(DOCS / "settings.md", settings_page())


if __name__ == "__main__":
    main()
