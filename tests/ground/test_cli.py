"""The command line called again and again in one process, as tests and notebooks do."""

from __future__ import annotations

import pytest


def test_commands_are_registered_once(run, capsys) -> None:
    from deft_llm.cli import app

    assert run("--version") == 0
    first = len(app.registered_commands), len(app.registered_groups)
    assert run("--version") == 0
    assert (len(app.registered_commands), len(app.registered_groups)) == first
    assert capsys.readouterr().out.count("deft-llm") == 2


@pytest.mark.parametrize("words", [["analyze", ""], ["corpus", "check", "folder", ""], ["evaluate", ""]])
def test_an_empty_argument_is_not_this_folder(words: list[str], run, capsys) -> None:
    """As of a shell variable that is not set: `deft analyze "$VIDEO"`."""
    assert run(*words) == 2
    assert "an argument is empty" in capsys.readouterr().err
