"""Exports of instructions to the formats that trainers read, held to the consumer's own rules.

A format is one module with ``write(rows, out) -> list[Path]`` and ``validate(out) -> list[str]``.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from deft_llm.errors import DeftError, UsageError
from deft_llm.records import Instruction

FORMATS = ("llava", "llamafactory", "messages", "trl", "megc")


def export(rows: Iterable[Instruction], format_name: str, out: Path) -> list[Path]:
    """Write ``rows`` as ``format_name`` and hold the result to its consumer's rules.

    Raises: UsageError for an unknown format; DeftError where the result breaks a rule.
    """
    if format_name not in FORMATS:
        raise UsageError(f"--format {format_name}: unknown; choose one of {', '.join(FORMATS)}.")
    module = import_module(f"deft_llm.unimer.exports.{format_name}")
    written = module.write(rows, Path(out))
    faults = module.validate(Path(out))
    if faults:
        raise DeftError(f"{out}: {faults[0]}; mend the instructions and export again.")
    return written
