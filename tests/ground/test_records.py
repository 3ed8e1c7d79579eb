"""The records refuse what does not belong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deft_llm.errors import UsageError
from deft_llm.methods.protocol import Task, build_method
from deft_llm.records import ActionUnit, Clip, Prediction, Source


def test_unknown_fields_and_impossible_values_are_errors():
    with pytest.raises(ValidationError):
        ActionUnit(number=12, sides="left")
    with pytest.raises(ValidationError):
        ActionUnit(number=12, intensity="F")
    with pytest.raises(ValidationError, match="not in"):
        Prediction(
            method="svm", clip_id="a/b/c", corpus="a", subject="a/b", label_space="megc3", aus={"12": 1.2}
        )


def test_a_clip_round_trips_through_json_and_says_whether_aus_were_coded():
    clip = Clip(
        clip_id="casme2/sub01/x",
        corpus="casme2",
        subject="casme2/sub01",
        source=Source(kind="frames", path="x", frames=["1.jpg"]),
        aus=[ActionUnit(number=4, side="left", alternatives=[ActionUnit(number=7)])],
    )
    again = Clip.model_validate_json(clip.model_dump_json(by_alias=True))
    assert again == clip
    assert again.has_aus
    assert not clip.model_copy(update={"aus": None}).has_aus


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(UsageError, match="deft"):
        build_method("oracle", Task())


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\u202eevil", "\x00", "a\x7f"])
def test_labels_and_names_are_of_plain_text(text: str) -> None:
    clip = {"clip_id": "c/s/1", "corpus": "c", "subject": "c/s", "source": {"kind": "flow", "path": "x"}}
    Clip.model_validate(clip | {"emotion": "happiness"})
    with pytest.raises(ValueError, match="emotion"):
        Clip.model_validate(clip | {"emotion": text})
    row = {"method": "m", "clip_id": "c/s/1", "corpus": "c", "subject": "c/s", "label_space": "native"}
    Prediction.model_validate(row | {"label": "anger", "probabilities": {"anger": 1.0}})
    for wrong in (
        {"label": text},
        {"method": text},
        {"probabilities": {text: 1.0}},
        {"truth": {"label": text}},
    ):
        with pytest.raises(ValueError, match="control or formatting character"):
            Prediction.model_validate(row | wrong)
