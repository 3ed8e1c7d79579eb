"""The real clip, a man who talks in a car: movements with times, speech not judged, nothing guessed."""

import contextlib
import json

import pytest

from deft_llm.cli import main
from deft_llm.setup.weights import require


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("carphone")
    with contextlib.suppress(SystemExit):
        main(["analyze", str(require("carphone")), "--method", "rules", "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.slow
def test_carphone_names_movements_with_times(result):
    named = [*result["movements"], *result["events"]]
    assert len(named) >= 4
    assert all(0 <= one["onset_time"] <= one["apex_time"] <= 4.1 for one in named)
    assert any(event["kind"] == "blink" for event in result["events"])
    assert any(event["kind"] == "speech" for event in result["events"])


@pytest.mark.slow
def test_what_speech_does_with_the_mouth_is_not_stated(result):
    stated = {unit["number"] for one in result["movements"] for unit in one["aus"]}
    assert not stated & {15, 17, 18, 20, 22, 25, 26}
    assert not [one for one in result["movements"] if one["aus"] and one["kind"] == "micro-expression"]
