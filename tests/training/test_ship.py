"""The program that makes the shipped checkpoint: its commands exist, its small run works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deft_llm.config import load_config
from deft_llm.training.settings import TrainConfig
from recipes.ship import FULL, ROOT, SMALL, commands


@pytest.mark.parametrize("profile", [SMALL, FULL], ids=["small", "full"])
def test_settings_of_every_profile_are_read(profile, tmp_path: Path) -> None:
    *_, train = commands(tmp_path, profile, "a note, by hand")
    settings = load_config(TrainConfig, None, [word for word in train if "=" in word])
    assert settings.parts == (["motion", "faces", "language"] if profile is FULL else None)
    assert settings.note == "a note, by hand"
    assert settings.flow_shards == str(tmp_path / "samples")


@pytest.mark.slow
def test_the_small_profile_makes_a_checkpoint_of_all_parts_and_goes_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    for _ in range(2):  # the second time nothing is left to do
        done = subprocess.run(
            [sys.executable, "-m", "recipes.ship", "out", "--small"], cwd=tmp_path, env=environment,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        card = json.loads((tmp_path / "out" / "run" / "model" / "config.json").read_text())
        assert card["experts"] == ["structure", "texture", "motion"]
        assert card["conditioned_on"] == [*card["experts"], "beliefs"]
        assert list(card["training"]) == ["motion", "faces", "language", "joint"] and card["language"]
        assert "recipes.ship out --small" in (tmp_path / "out/run/model/README.md").read_text()
