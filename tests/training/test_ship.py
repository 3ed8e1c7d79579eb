"""The program that makes the shipped checkpoint: its commands exist, its small run works."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from deft_llm.config import load_config
from deft_llm.model.checkpoint import SHIPPED
from deft_llm.synth.core.identity import sample_identity
from deft_llm.training.settings import TrainConfig
from deft_llm.training.store_data import split_subjects
from recipes import forked, ship
from recipes.ship import FULL, FURTHER, SMALL, Profile, commands


@pytest.mark.parametrize("profile", [SMALL, FULL], ids=["small", "full"])
def test_settings_of_every_profile_are_read(profile, tmp_path: Path) -> None:
    *_, experts, language = commands(tmp_path, profile, "a note, by hand")
    for words, parts in ((experts, ["motion", "faces"]), (language, ["language", "joint"])):
        settings = load_config(TrainConfig, None, [word for word in words if "=" in word])
        assert settings.parts == (parts if profile is SMALL else [part for part in parts if part != "joint"])
        assert settings.note == "a note, by hand"
        assert settings.flow_shards == str(tmp_path / "samples")


def test_a_start_keeps_its_motion_expert(tmp_path: Path) -> None:
    *films, experts = commands(tmp_path, FURTHER, "note", start="shipped")
    settings = load_config(TrainConfig, None, [word for word in experts if "=" in word])
    assert settings.parts == ["faces"] and not settings.faces.anew
    assert settings.faces.steps == 0, "the experts stay as they are"
    assert settings.validation_share > 0.9, "nearly all films calibrate"
    assert [words[-2:] == ["smallest=0.3", "largest=1"] for words in films] == [False, False, True, True]
    assert experts[experts.index("--start") + 1] == "shipped"
    assert experts[experts.index("--out") + 1] == str(tmp_path / "run"), "no language part comes after it"
    assert all("synth" in words for words in films), "what does not learn from maps needs none"


def test_face_experts_and_language_part_learn_from_other_people(tmp_path: Path) -> None:
    """The language part has to know what their word is worth on strangers."""
    for profile in (SMALL, FULL):
        met = {learns: people(profile, learns) for learns in ("faces", "language")}
        assert met["faces"] and met["language"] and not met["faces"] & met["language"]


def people(profile: Profile, learns: str) -> set[int]:
    """Identities of the films that a part learns from."""
    from deft_llm.synth.core.identity import split_seeds

    found: set[int] = set()
    for films in profile.films:
        if films.learns == learns:
            found |= set(split_seeds("train", films.subjects, films.seed * films.subjects))
    return found


def test_what_calibrates_has_not_been_learned_from() -> None:
    calibrates = people(FURTHER, "faces")
    assert not calibrates & (people(FULL, "faces") | people(FULL, "language"))


def test_films_that_calibrated_the_shipped_checkpoint_calibrate_it_again() -> None:
    """Who trained it or calibrated it does so once more where the recipe is run from it."""
    films = {sample_identity(seed).id for seed in people(FURTHER, "faces")}
    before = json.loads((SHIPPED / "config.json").read_text())["trained_on"]
    for seed in range(3):
        known, held = split_subjects(
            sorted(films), 0.99, seed, before["subjects"], before["validation_subjects"]
        )
        assert known and len(held) > 300 and not held & {*before["subjects"]}
        assert held >= films & {*before["validation_subjects"]}


def test_the_small_profile_makes_a_checkpoint_of_all_parts_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(words: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess:
        code, said = forked.run(forked.module, words[2:], log=tmp_path / "log", environment=env)
        assert code == 0, said[-2000:]
        return subprocess.CompletedProcess(words, code)

    monkeypatch.setattr(ship.subprocess, "run", step)
    monkeypatch.setattr("sys.argv", ["ship", "out", "--small"])
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time nothing is left to do
        ship.main()
        card = json.loads((tmp_path / "out" / "run" / "model" / "config.json").read_text())
        assert card["experts"] == ["structure", "texture", "motion"]
        assert card["conditioned_on"] == [*card["experts"], "beliefs"]
        assert list(card["training"]) == ["motion", "faces", "language", "joint"] and card["language"]
        assert "recipes.ship out --small" in (tmp_path / "out/run/model/README.md").read_text()
