"""The mutants' program: a mutant that the tests let pass is found, one whose text is gone is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes import mutants
from recipes.mutant_table import MUTANTS, Mutant

ROOT = Path(mutants.ROOT)
SAMPLE = ("tests/scripts/sample_mutant.py",)


def test_every_text_is_in_its_file_once_and_the_tests_are_there() -> None:
    assert len(MUTANTS) >= 25 and len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        assert (ROOT / "src/deft_llm" / mutant.file).read_text().count(mutant.old) == 1, mutant.name
        assert mutant.old != mutant.new and mutant.tests
        for test in mutant.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).exists(), test
            assert not name or f"def {name}(" in (ROOT / file).read_text(), test


def test_a_mutant_that_no_test_notices_survives(capsys: pytest.CaptureFixture) -> None:
    gone = Mutant("gone", "nothing", "version.py", "not there", "x", SAMPLE)
    text = (ROOT / "src/deft_llm/version.py").read_text()
    broken = Mutant("broken", "the version", "version.py", text, "__version__ = 'none'\n", SAMPLE)
    whole = Mutant("harmless", "nothing", "version.py", text, text + "\n", SAMPLE)
    states = {one.mutant.name: one.state for one in mutants.run([whole, gone, broken], workers=1)}
    assert states == {"harmless": "survived", "gone": "not applied", "broken": "killed"}
    assert "the text of gone is there 0 times" in capsys.readouterr().out


def test_tests_that_fail_anyhow_prove_nothing() -> None:
    text = (ROOT / "src/deft_llm/version.py").read_text()
    mutant = Mutant("any", "nothing", "version.py", text, text + "\n", ("tests/scripts/no_such_test.py",))
    with pytest.raises(RuntimeError, match="the tests fail without any mutant"):
        mutants.run([mutant], workers=1)
