"""The main job on real skin: what moved, on which side, when; the same through files and pages."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from deft_llm.claims import find_claims
from deft_llm.errors import UsageError
from deft_llm.explain import Analyzer
from deft_llm.explain.account import stated_chances
from deft_llm.explain.inputs import VideoInput
from deft_llm.explain.outputs import _shown_times
from deft_llm.explain.report import render_report
from deft_llm.faces.video import frame_times

TRUE = (30, 39, 52)


@pytest.fixture(scope="module")
def analysis(smile_clip):
    return Analyzer.from_pretrained("rules").analyze(smile_clip)


def test_a_pull_of_one_pixel_is_named_sided_and_timed(analysis):
    first = analysis.readings[0]
    assert first.movement.kind == "micro-expression"
    for seen, true in zip((first.movement.onset, first.movement.apex, first.movement.offset), TRUE):
        assert abs(seen - true) / 50.0 <= 0.04
    assert (first.evidence[0].au, first.evidence[0].side) == (12, "right")
    assert first.prediction.coarse == "positive"
    assert 0.4 < first.evidence[0].px < 1.3


def test_result_is_plain_json(analysis):
    result = json.loads(json.dumps(analysis.to_dict(), allow_nan=False))
    assert result["schema"] == 3 and result["method"] == "rules" and result["checkpoint"] == {}
    (movement, *_) = result["movements"]
    assert movement["evidence"][0]["name"] == "lip corner puller"
    assert movement["class"]["coarse"] == "positive" and movement["answer"].startswith("Class: ")
    assert len(result["timeline"]["times"]) == len(result["timeline"]["mouth"])
    assert any("not a lie detector" in limit for limit in result["limits"])


def test_table_and_plot(analysis):
    frames = analysis.frames_table()
    assert len(frames) == len(analysis.times) and {"frame", "AU12_L", "AU12_R", "pitch"} <= set(frames)
    table = analysis.to_dataframe()
    assert table.iloc[0]["au"] == 12 and table.iloc[0]["side"] == "right"
    figure = analysis.plot()
    assert len(figure.axes) == 3


class _Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.images = [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("src", "href") if key in values]
        if tag == "img":
            self.images.append(values["alt"])


def test_report_stands_alone_and_claims_nothing(analysis):
    page = render_report(analysis)
    checker = _Checker()
    checker.feed(page)
    assert checker.links and all(link.startswith("data:image/") for link in checker.links)
    assert len(checker.images) >= 4 and all(checker.images)
    assert "url(" not in page and "<script" not in page and "viewport" in page and "@media print" in page
    text = re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.S)
    assert find_claims(text) == [] and find_claims(analysis.summary()) == []
    assert "AU12" in text and "right" in text and "checkpoint" not in text
    assert "<iframe" in analysis._repr_html_()


def test_mirrored_swaps_sides(smile_clip):
    swapped = Analyzer.from_pretrained("rules").analyze(smile_clip, mirrored=True)
    assert (swapped.readings[0].evidence[0].au, swapped.readings[0].evidence[0].side) == (12, "left")


def test_given_frames_take_precedence(smile_clip):
    given = Analyzer.from_pretrained("rules").analyze(smile_clip, onset=29, apex=40, offset=53)
    (reading,) = given.readings
    assert reading.movement.kind == "given"
    assert (reading.movement.onset, reading.movement.apex, reading.movement.offset) == (29, 40, 53)
    assert reading.evidence[0].au == 12


def test_the_method_is_told_what_the_movement_states(smile_clip):
    analyzer, asked = Analyzer.from_pretrained("rules"), []
    original = analyzer.method.predict
    analyzer.method.predict = lambda samples: asked.extend(samples) or original(samples)
    (reading,) = analyzer.analyze(smile_clip, onset=29, apex=40, offset=53).readings
    left, right = asked[0].stated[12]
    assert left < 0.5 <= right, "the side that moves, and the one that does not"
    assert asked[0].stated == stated_chances(reading.movement) == reading.motion.stated


def test_the_apex_is_found_between_given_frames(smile_clip):
    given = Analyzer.from_pretrained("rules").analyze(smile_clip, onset=29, offset=53)
    assert abs(given.readings[0].movement.apex - 39) <= 3


def test_methods_that_need_training_are_refused():
    with pytest.raises(UsageError, match="trained"):
        Analyzer.from_pretrained("svm")
    with pytest.raises(UsageError, match="unknown"):
        Analyzer.from_pretrained("magic")


def test_elan_gets_the_times_that_a_player_shows_whatever_rate_was_given(smile_clip, tmp_path):
    own = frame_times(smile_clip)
    fast = SimpleNamespace(times=np.arange(len(own)) / 500.0)
    assert _shown_times(VideoInput(smile_clip, "smile", fps=500.0), fast) == own
    assert _shown_times(VideoInput(smile_clip, "smile"), fast) == fast.times.tolist()
    shorter = SimpleNamespace(times=fast.times[:-1])
    assert _shown_times(VideoInput(smile_clip, "smile", fps=500.0), shorter) == shorter.times.tolist()
