"""The real clip, a man who talks in a car: movements with times, speech not judged, nothing guessed."""

import contextlib
import json

import pytest

from deft_llm.cli import main
from deft_llm.setup.weights import require


@pytest.mark.slow
def test_carphone_names_movements_with_times_and_leaves_speech_unjudged(capsys):
    with contextlib.suppress(SystemExit):
        main(["analyze", str(require("carphone")), "--method", "rules", "--json"])
    result = json.loads(capsys.readouterr().out)
    named = [*result["movements"], *result["events"]]
    assert len(named) >= 4
    assert all(0 <= one["onset_time"] <= one["apex_time"] <= 4.1 for one in named)
    assert any(event["kind"] == "blink" for event in result["events"])
    assert any(event["kind"] == "speech" for event in result["events"])
    stated = [unit["number"] for one in result["movements"] for unit in one["aus"]]
    assert not set(stated) & {15, 17, 18, 20, 22, 25, 26}  # what speech does with the mouth is not stated
    assert not [one for one in result["movements"] if one["aus"] and one["kind"] == "micro-expression"]
