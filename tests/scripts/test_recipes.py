"""Scripts of recipes/ runs on the smallest input and writes what it is for."""

from __future__ import annotations

from pathlib import Path

from recipes import reference

RECIPES = Path(__file__).parents[2] / "recipes"


def test_reference(script, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "DOCS", tmp_path)
    script("recipes.reference")
    assert "## deft analyze" in (tmp_path / "commands.md").read_text()
    assert "`motion.steps`" in (tmp_path / "settings.md").read_text()
    assert not reference.undescribed()
