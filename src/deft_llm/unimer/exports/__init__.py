"""Exports of instructions to the formats that trainers read, held to the consumer's own rules.

A format is one module with ``FILE`` (the usual name), ``write(rows, path) -> list[Path]`` and
``validate(path) -> list[str]``; ``path`` is the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from itertools import chain
from pathlib import Path

from deft_llm.errors import DeftError, UsageError, naming
from deft_llm.files import claim_folder
from deft_llm.records import Instruction

FORMATS = ("llava", "llamafactory", "messages", "trl", "megc")


def export(rows: Iterable[Instruction], format_name: str, out: Path) -> list[Path]:
    """Write ``rows`` as ``format_name`` and hold the result to its consumer's rules.

    ``out``: the file; a folder, or a name without a suffix, gets a file of the format's usual name.

    Raises: UsageError for an unknown format or the folder of another product; DeftError where nothing is left
    to write, a row does not fit the format, or the result breaks a rule.
    """
    if format_name not in FORMATS:
        raise UsageError(f"--format {format_name}: unknown; choose one of {', '.join(FORMATS)}.")
    module = import_module(f"deft_llm.unimer.exports.{format_name}")
    path = Path(out)
    if path.is_dir() or not path.suffix:
        path = claim_folder(path, "build.json") / module.FILE
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        raise DeftError(f"{out}: there is no instruction to export; build some with 'deft unimer build'.")
    with naming(out):
        written = module.write(chain([first], remaining), path)
    faults = module.validate(path)
    if faults:
        raise DeftError(f"{out}: {faults[0]}; mend the instructions and export again.")
    return written
