"""Config: defaults, YAML, overrides, near misses, and the resolved copy."""

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from deft_llm.config import load_config, save_resolved
from deft_llm.errors import UsageError


class Training(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = 10
    learning_rate: float = 1e-3
    layers: list[int] = [1, 2]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    training: Training = Training()
    second: Training | None = None
    name: str = "a"


def test_file_then_overrides(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training:\n  steps: 5\n  learning_rate: 0.5\n")
    config = load_config(
        Settings, file, ["training.steps=7", "training.layers=[3]", "second.steps=2", "name=b=c"]
    )
    assert (config.training.steps, config.training.learning_rate, config.training.layers) == (7, 0.5, [3])
    assert config.second.steps == 2 and config.name == "b=c"
    assert load_config(Settings) == Settings()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.step=7", "training.steps"),
        ("trainning.steps=7", "training"),
        ("steps=7", "training.steps"),
        ("zzzz=1", "known keys"),
        ("training.steps=many", "training.steps='many'"),
        ("training.steps", "key=value"),
        ("second.stepz=1", "second.steps"),
    ],
)
def test_mistakes_are_named(override, words):
    with pytest.raises(UsageError, match=words.replace("[", r"\[")):
        load_config(Settings, None, [override])


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "training: 3\n"])
def test_bad_files(tmp_path, text):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError):
        load_config(Settings, file)
    with pytest.raises(UsageError, match="no such file"):
        load_config(Settings, tmp_path / "missing.yaml")


def test_resolved_copy(tmp_path):
    config = load_config(Settings, None, ["training.steps=3"])
    record = yaml.safe_load(save_resolved(config, tmp_path, seed=4).read_text())
    assert record["seed"] == 4 and Settings(**record["config"]) == config
    assert "git_revision" in record and record["versions"]["deft-llm"]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1.0e999"])
def test_a_setting_that_is_not_finite_is_named(value, tmp_path):
    with pytest.raises(UsageError, match="training.learning_rate is not a finite number"):
        load_config(Settings, None, [f"training.learning_rate={value}"])
    (tmp_path / "c.yaml").write_text(f"training: {{learning_rate: {value}}}\n")
    with pytest.raises(UsageError, match=r"c\.yaml: training.learning_rate is not a finite"):
        load_config(Settings, tmp_path / "c.yaml")


def test_yaml_bombs_are_refused(tmp_path):
    file = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    file.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"bomb\.yaml: holds more than"):
        load_config(Settings, file)
    file.write_text("[" * 50_000)
    with pytest.raises(UsageError, match=r"bomb\.yaml: "):
        load_config(Settings, file)
