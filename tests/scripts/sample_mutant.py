"""What ``test_mutants.py`` lets a mutant break; named so that no other run collects it."""

from deft_llm.version import __version__


def test_version_is_numbers() -> None:
    assert __version__[0].isdigit()
