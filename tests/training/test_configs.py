"""Every config in the repository is one that `deft train` reads, and every setting says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from deft_llm.config import load_config
from deft_llm.errors import UsageError
from deft_llm.training.language import fast_bfloat16
from deft_llm.training.run import train
from deft_llm.training.settings import PARTS, TrainConfig

FILES = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_is_read(file: Path) -> None:
    assert load_config(TrainConfig, file, []).parts


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}", info
        for inner in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from fields(inner, f"{prefix}{name}.")


def test_every_setting_has_a_description() -> None:
    found = dict(fields(TrainConfig))
    assert {"motion.losses.au", "faces.swap", "language.augment.noise", "joint.expert_rate"} <= found.keys()
    assert not [name for name, info in found.items() if not (info.description or "").endswith((".", ")"))]


def test_unknown_key_is_named() -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        load_config(TrainConfig, None, ["motion.learning_rat=1"])


@pytest.mark.parametrize(
    ("old", "mend"),
    [("stages=[1,2]", "parts="), ("stage2.steps=3", "language.KEY"), ("patience=3", "motion.patience")],
)
def test_older_settings_are_refused_with_the_mend(old: str, mend: str) -> None:
    with pytest.raises(
        UsageError, match=f"configuration: {old.partition('=')[0].partition('.')[0]} .*{mend}"
    ):
        load_config(TrainConfig, None, [old])


@pytest.mark.parametrize(
    "word", ["motion.learning_rate=nan", "lora_rank=0", "motion.batch=-1", "motion.losses.au=-1",
             "motion.expert={width:-4}", "motion.expert={widht:4}", "language.losses.au=1", "parts=[voice]"]
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(word: str) -> None:
    with pytest.raises(UsageError):
        load_config(TrainConfig, None, [word])


def test_parts_have_weights_of_their_own() -> None:
    config = load_config(TrainConfig, None, ["joint.losses.au=3"])
    assert config.joint.losses.au == 3 and config.joint.losses.text == 1
    assert [getattr(config, part).losses.text for part in PARTS] == [0, 0, 1, 1]


def test_training_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="STORE"):
        train(TrainConfig(), [], tmp_path / "run")


def test_bfloat16_is_taken_where_the_processor_has_units_for_it(monkeypatch: Any) -> None:
    import torch

    for name, able in (("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert fast_bfloat16("cpu") is able


@pytest.mark.parametrize(
    "wrong",
    [{"seed": 10**30}, {"language": {"batch": 10**12}},
     {"motion": {"seed": 2**32}}, {"parts": []}, {"faces": {"batch": 10**12}},
     {"motion": {"batch": 10**12}}, {"motion": {"expert": {"width": 10**9}}}],
)  # fmt: skip
def test_numbers_beyond_all_use_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(**wrong)
