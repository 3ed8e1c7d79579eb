"""The command line called again and again in one process, as tests and notebooks do."""

from __future__ import annotations


def test_commands_are_registered_once(run, capsys) -> None:
    from deft_llm.cli import app

    assert run("--version") == 0
    first = len(app.registered_commands), len(app.registered_groups)
    assert run("--version") == 0
    assert (len(app.registered_commands), len(app.registered_groups)) == first
    assert capsys.readouterr().out.count("deft-llm") == 2
