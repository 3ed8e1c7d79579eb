"""docs/reference/corpora-quirks.md names tests that exist, and every corpus that has a loader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIST = HERE.parents[1] / "docs" / "reference" / "corpora-quirks.md"
NAMED = sorted(set(re.findall(r"`([\w./]+\.py)::(\w+)`", LIST.read_text())))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_named_test_exists(file, test):
    assert f"\ndef {test}(" in (HERE / file).read_text()


def test_all_rows_have_a_test():
    rows = [line for line in LIST.read_text().splitlines() if line.startswith("| ") and "quirk" not in line]
    assert len(rows) > 30 and all("::test_" in row for row in rows)
