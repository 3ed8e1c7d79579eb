"""What cannot be judged is said, each with its reason: in JSON, summary, report, page and chat."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from deft_llm.claims import find_claims
from deft_llm.explain import Analyzer
from deft_llm.explain.report import render_report
from deft_llm.explain.samples import Injected, save_video
from deft_llm.explain.unjudged import by_reason, of_movement
from deft_llm.spotting.movement import Movement


@pytest.fixture(scope="module")
def analyzer():
    return Analyzer.from_pretrained("rules")


def states(found) -> dict[str, str]:
    return {state["state"]: f"{state['what']}: {state['why']}" for state in found}


def said_everywhere(analysis, words):
    """The reason stands in the summary, the report, the page's pieces and the chat's answer."""
    from deft_llm.app import chat, page
    from deft_llm.app.worker import Result

    result = Result(analysis)
    shown = " ".join(page.shown(result, 0)[1:4]) + page.views.notes_html(result)
    answer = chat.reply(result, 0, "How sure is it?")
    for text in (analysis.summary(), render_report(analysis), shown, answer):
        plain = re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", text, flags=re.S)
        assert words in plain.replace("&#39;", "'").replace("&#x27;", "'"), plain[:600]
        assert find_claims(plain) == []


def test_face_too_small(analyzer, make_frames, tmp_path):
    frames = make_frames([Injected(12, "right", 4, 10, 18, 2.0)], 22)
    side = frames[0].shape[0]
    canvas = np.full((side, side, 3), 128, np.uint8)
    small = []
    for frame in frames:
        held = canvas.copy()
        tiny = cv2.resize(frame, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
        held[side // 3 : side // 3 + side // 4, side // 3 : side // 3 + side // 4] = tiny
        small.append(held)
    analysis = analyzer.analyze(save_video(tmp_path / "small.mp4", small, 50), 4, 10, 18)
    result = analysis.to_dict()
    assert result["video"]["inter_ocular_px"] < 20
    assert "px between the eyes" in states(result["cannot_judge"])["face-too-small"]
    (movement,) = result["movements"]
    assert all("too small" in reason for reason in movement["judged"].values())
    assert not movement["read"] and movement["class"] is None and movement["aus"] == []
    assert "too small" in states(movement["cannot_judge"])["face-too-small"]
    said_everywhere(analysis, "The face is too small")


def test_motion_below_the_noise_floor(analyzer, still_frames, tmp_path):
    analysis = analyzer.analyze(save_video(tmp_path / "still.mp4", still_frames * 3, 50))
    result = analysis.to_dict()
    assert result["movements"] == []
    why = states(result["cannot_judge"])["below-noise"]
    assert (
        re.search(r"about \d+\.\d\d px \(\d+\.\d % of the distance", why) and "Less may have happened" in why
    )
    said_everywhere(analysis, "Less may have happened")


def test_frame_rate_too_low(analyzer, make_frames, tmp_path):
    frames = make_frames([Injected(12, "right", 15, 30, 55, 2.5)], 80, drift=0.2)[::5]
    analysis = analyzer.analyze(save_video(tmp_path / "slow.mp4", frames, 10), 3, 6, 11)
    why = states(analysis.to_dict()["cannot_judge"])["fps-too-low"]
    assert "10 frames a second are too few" in why and "200 ms" in why
    said_everywhere(analysis, "frames a second are too few")


def test_no_offset(analyzer, make_frames, tmp_path):
    frames = make_frames([Injected(12, "right", 20, 32, 90, 2.0)], 36, drift=0.3)
    analysis = analyzer.analyze(save_video(tmp_path / "cut.mp4", frames, 50))
    first = analysis.to_dict()["movements"][0]
    assert first["kind"] == "movement" and first["offset"] is None and first["duration"] is None
    why = states(first["cannot_judge"])["no-offset"]
    assert "ends before the movement does" in why and "duration" in why
    said_everywhere(analysis, "The recording ends before the movement does.")
    given = analyzer.analyze(tmp_path / "cut.mp4", onset=20, apex=32)
    assert "No offset was given" in states(given.to_dict()["movements"][0]["cannot_judge"])["no-offset"]


def movement(**changes) -> Movement:
    return Movement(**{
        "kind": "movement", "onset": 0, "apex": 5, "offset": 9, "onset_time": 0.0, "apex_time": 0.1,
        "offset_time": 0.2, "duration": (0.1, 0.3), "strength": 9.0, **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        (
            {"kind": "mouth movement in speech", "judged": False, "reason": "The mouth moves in speech."},
            "speech",
        ),
        ({"judged": False, "reason": "The head moves too much here."}, "head-motion"),
        ({"offset": None, "duration": None, "reason": "It does not go back."}, "no-offset"),
        (
            {"kind": "macro-expression", "reason": "Its duration lies within one frame of 0.5 s."},
            "fps-too-low",
        ),
        ({"hidden": {"chin": "something covers it"}, "reason": ""}, "occlusion"),
        ({"hidden": {"chin": "mouth movement in speech"}, "reason": ""}, "speech"),
    ],
)
def test_states_of_a_movement(changes, state):
    (found,) = of_movement(movement(**changes), read=True, named=True)
    hidden = next(iter(changes.get("hidden", {}).values()), "")
    assert found.state == state and found.why == (changes["reason"] or f"{hidden.capitalize()}.")


def test_measured_but_not_named():
    (found,) = of_movement(movement(), read=True, named=False)
    assert found.state == "below-noise" and "Action Unit" in found.why
    (found,) = of_movement(movement(), read=False, named=False, warning="It could not be measured: no face.")
    assert found.state == "not-measured" and "no face" in found.why
    assert of_movement(movement(), read=True, named=True) == []
    (found,) = of_movement(movement(), read=False, named=True, warning="Only 1 movements were to be read.")
    assert found.what == "Its class", "its units stand beside it"
    coded = "the video is compressed too strongly for motion this fine"
    (found,) = of_movement(movement(), read=True, named=False, coded=coded)
    assert found.state == "compression" and found.why == f"The{coded.removeprefix('the')}."


def test_units_are_grouped_by_reason():
    reasons = {
        4: "z 1.2: not above the clip's noise",
        1: "z 0.4: not above the clip's noise",
        9: "no template",
        25: "32 % IOD is more than skin moves: the flow failed",
        26: "30 % IOD is more than skin moves: the flow failed",
    }
    assert by_reason(reasons) == {
        "not above the clip's noise": [1, 4], "no template": [9],
        "more than skin moves: the flow failed": [25, 26],
    }  # fmt: skip
