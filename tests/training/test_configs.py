"""Every config in the repository is one that `deft train` reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft_llm.config import load_config
from deft_llm.errors import UsageError
from deft_llm.training.faces import FaceConfig
from deft_llm.training.start import TrainConfig

FILES = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_is_read(file: Path) -> None:
    if file.parent.name == "faces":
        assert load_config(FaceConfig, file, []).experts
    else:
        assert load_config(TrainConfig, file, []).stages


def test_unknown_key_is_named() -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        load_config(TrainConfig, None, ["stage1.learning_rat=1"])


def test_training_without_data_is_refused(tmp_path: Path) -> None:
    from deft_llm.training.run import train

    with pytest.raises(UsageError, match="STORE"):
        train(TrainConfig(), [], tmp_path / "run")


def test_bfloat16_is_taken_where_the_processor_has_units_for_it(monkeypatch) -> None:
    import torch

    from deft_llm.training.language import fast_bfloat16

    for name, able in (("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert fast_bfloat16("cpu") is able
