"""A checkpoint whose sizes or language part cannot be is named before a model is built of them."""

from __future__ import annotations

import json
import re

import pytest

from deft_llm.errors import DeftError
from deft_llm.model.checkpoint import CONFIG, SHIPPED, WEIGHTS, read_checkpoint


@pytest.mark.parametrize(("part", "name", "value", "said"), [
    ("motion", "width", -96, "motion.width is -96"), ("motion", "blocks", 100_000, "motion.blocks is 100000"),
    ("motion", "heads", 5, "motion.width 96 is no multiple of motion.heads 5"),
    ("motion", "heads", 0, "motion.width 96 is no multiple of motion.heads 0"),
    ("motion", "stem", "24", "motion.stem is '24'"), ("faces", "space", None, "faces.space is None"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_named(part, name, value, said, tmp_path) -> None:
    config = json.loads((SHIPPED / CONFIG).read_text())
    config[part][name] = value
    (tmp_path / CONFIG).write_text(json.dumps(config))
    (tmp_path / WEIGHTS).symlink_to(SHIPPED / WEIGHTS)
    with pytest.raises(DeftError, match=re.escape(f"{CONFIG}: {said}")):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("prompt_version", 99, "prompt_version is 99, this version knows 1 to"),
    ("prompt_version", "1", "prompt_version is '1'"), ("prompt_version", True, "prompt_version is True"),
    ("backbone", 7, "backbone is 7, no name of a language model"), ("backbone", " ", "backbone is ' '"),
])  # fmt: skip
def test_a_language_part_that_cannot_be_is_named(name, value, said, tmp_path) -> None:
    config = json.loads((SHIPPED / CONFIG).read_text()) | {name: value}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    (tmp_path / WEIGHTS).symlink_to(SHIPPED / WEIGHTS)
    with pytest.raises(DeftError, match=re.escape(f"{CONFIG}: {said}")):
        read_checkpoint(tmp_path)


def test_the_shipped_sizes_are_read() -> None:
    assert read_checkpoint(SHIPPED)[0]["motion"]["width"] == 96
