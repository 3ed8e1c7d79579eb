"""The reference pages say what the program says."""

from __future__ import annotations

import pytest

from recipes import reference


@pytest.mark.parametrize("name", ["commands", "settings"])
def test_pages_are_current(name):
    page = {"commands": reference.command_page, "settings": reference.settings_page}[name]()
    stored = (reference.DOCS / f"{name}.md").read_text()
    assert stored == page, f"docs/reference/{name}.md is old: python -m recipes.reference"
