"""Every ``deft`` command that the README shows is run, in the README's order, in one scratch folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deft_llm.cli import main
from recipes.forked import run as forked

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
LICENSED = "# needs a licensed corpus"
SERVER = "# serves until stopped"


def commands(text: str) -> list[str]:
    """The shell lines of all bash blocks, continuation lines joined."""
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def runnable(text: str) -> list[str]:
    """The ``deft`` commands that need neither a licensed corpus nor a person."""
    return [c for c in commands(text) if c.startswith("deft ") and LICENSED not in c and SERVER not in c]


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = runnable(text)
    assert len(found) >= 5
    for command in found:
        words = shlex.split(command, comments=True)
        code, said = forked(main, words[1:], log=tmp_path / "log", folder=tmp_path, words=words)
        assert code == 0, f"{command}\n{said[-2000:]}"
        if "--out" in words:
            out = tmp_path / words[words.index("--out") + 1]
            assert out.is_file() == bool(out.suffix) and out.exists(), f"{command}: {out.name}"


def test_every_command_of_the_readme_is_known_and_marked():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in commands(text):
        first = shlex.split(command, comments=True)[0]
        assert first in {"deft", "make", "git", "cd", "pip", "python"}, command


def test_every_name_of_the_table_from_paper_to_code_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## From the paper to the code") : text.index("## How it is laid out")]
    places = re.findall(r"`([\w/]+\.py)` `(\w+)`", table)
    assert len(places) >= 12
    for file, name in places:
        source = (ROOT / "src" / "deft_llm" / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:class|def) {name}\b", source, re.M), f"{file} has no {name}"
