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
    spoken = [one for one in result["movements"] if one["kind"] == "mouth movement in speech"]
    assert spoken and all(not one["judged"] and one["reason"] for one in spoken)
    assert not [one for one in result["movements"] if one["judged"] and one["kind"] == "micro-expression"]
