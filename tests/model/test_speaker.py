"""Answers name as evidence only what the experts see surely enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deft_llm.errors import DeftError
from deft_llm.model.deft import DeftConfig, DeftModel
from deft_llm.model.predictor import MotionReader
from deft_llm.model.speaker import Speaker
from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.export import precise_from

from .conftest import SMALL, make_motion


def motions(count: int = 3):
    rng = np.random.default_rng(0)
    return [make_motion(f"a/{index}", rng.normal(size=(1, 2, 28, 28))) for index in range(count)]


def speaker(model: DeftModel, sure: list[float]) -> Speaker:
    ones, zeros = [1.0] * len(EXPERT_AUS), [0.0] * len(EXPERT_AUS)
    calibration = {"au_scale": ones, "au_bias": zeros, "au_sure": sure}
    return Speaker(model, MotionReader(list(model.motion), {"calibration": calibration}))


def test_nothing_is_named_where_the_experts_are_sure_of_nothing(tiny_model) -> None:
    said = speaker(tiny_model, [99.0] * len(EXPERT_AUS)).say(motions())
    assert all(one.answer is not None and not one.answer.evidence for one in said)
    assert all("AU" not in one.raw.split("Rationale:")[1] for one in said)


def test_only_sure_units_are_named_each_once(tiny_model) -> None:
    sure = [99.0] * len(EXPERT_AUS)
    for number in (4, 12):
        sure[EXPERT_AUS.index(number)] = -99.0
    for one in speaker(tiny_model, sure).say(motions(6)):
        assert one.answer is not None
        named = [item.au for item in one.answer.evidence]
        assert named == sorted(set(named)) and set(named) <= {4, 12}


def test_a_unit_is_named_on_the_side_where_the_experts_see_it(tiny_model) -> None:
    from deft_llm.model.heads import seen_sides

    sure = [99.0] * len(EXPERT_AUS)
    for number in (12, 17):
        sure[EXPERT_AUS.index(number)] = -99.0
    one, clips = speaker(tiny_model, sure), motions(8)
    reading = one.reader.read(_inputs(8))
    seen = seen_sides(reading, one.reader.config["calibration"])
    logits = reading.au_logits()[:, EXPERT_AUS.index(12)]
    for row, (left, right) in enumerate(logits):
        weaker = "left" if left < right else "right"
        assert seen[row][12] == (
            "both" if min(left, right) > 0 else {"left": "right", "right": "left"}[weaker]
        )
        assert 17 not in seen[row], "FACS scores no side of AU17"
    named = 0
    for said, sides in zip(one.say(clips), seen, strict=True):
        for item in said.answer.evidence:
            named += item.au == 12
            assert item.side == (sides[12] if item.au == 12 else "both")
    assert named


def test_where_pixels_are_known_the_measured_place_is_said(tiny_model, monkeypatch) -> None:
    from dataclasses import replace

    from deft_llm.aus import support as constraint
    from deft_llm.model import speaker as module

    def only(number: int) -> Speaker:
        sure = [99.0] * len(EXPERT_AUS)
        sure[EXPERT_AUS.index(number)] = -99.0
        return speaker(tiny_model, sure)

    clip = motions(1)[0]
    smile, chin = (s for s in constraint.measure_support(clip) if s.au in (12, 17))
    smile = replace(smile, support=0.9, side="left", region="cheek", direction="up-medial")
    chin = replace(chin, support=0.9, side="both", region="chin", direction="down")
    found, asked = [smile, chin], []
    monkeypatch.setattr(constraint, "measure_support", lambda motion: asked.append(motion) or found)
    assert module.measured_places(clip, found) == {}, "maps without a scale"
    px = replace(clip, units="px")
    assert module.measured_places(px, found) == {12: ("left", "cheek", "up-medial"), 17: (None, None, None)}
    (said,) = only(12).say([px])
    assert len(asked) == 1, "a clip is measured once"
    places = [(item.side, item.region, item.direction) for item in said.answer.evidence]
    assert places == [("left", "cheek", "up-medial")]
    (said,) = only(17).say([px])
    (item,) = said.answer.evidence
    assert item.au == 17 and item.direction != "down", "FACS knows no chin that sinks with AU17"


def test_figures_are_those_of_the_place_that_is_named() -> None:
    from dataclasses import replace

    from deft_llm.answer import parse
    from deft_llm.aus.region_vectors import region_vector
    from deft_llm.aus.sighting import motion_of
    from deft_llm.aus.support import measure_support
    from deft_llm.model.speaker import evidence_for
    from deft_llm.store.motion import ALIGNED_IOD

    clip = replace(motions(1)[0], units="px", iod_px=45.0)
    supports = measure_support(clip)
    seen = next(s for s in supports if s.au == 12)
    other = next(r for r in ("mouth corner", "cheek") if r != seen.region)
    said = parse(f"Class: happiness (positive)\nEvidence: AU12 left, {other}, up\nRationale: It moves.")
    (row,) = evidence_for(said, supports, clip)
    dx, dy, z = motion_of(other, "left", region_vector(clip))
    assert (row.dx, row.dy, row.z) == pytest.approx((dx, dy, z))
    assert row.px == pytest.approx(np.hypot(dx, dy) * 45.0 / ALIGNED_IOD) and row.support == seen.support


def test_a_checkpoint_without_the_limit_may_name_any_unit(tiny_model) -> None:
    free = Speaker(tiny_model, MotionReader(list(tiny_model.motion), {}))
    assert all("au45:" in grammar for grammar in free.grammars(_inputs()))


def _inputs(count: int = 3):
    from deft_llm.model.inputs import motion_input

    return [motion_input(motion) for motion in motions(count)]


def test_a_checkpoint_without_language_is_refused() -> None:
    with pytest.raises(DeftError, match="no language part"):
        Speaker(DeftModel(DeftConfig(motion=[SMALL], experts=["motion"])))


def test_the_limit_is_the_lowest_probability_of_the_wanted_precision() -> None:
    p = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.55])
    truth = np.array([1, 1, 1, 0, 1, 0])
    assert precise_from(p, truth, 0.9) == 0.8
    assert precise_from(p, truth, 0.8) == 0.6
    assert precise_from(p, np.zeros(6), 0.9) == 0.95


def test_a_sure_unit_is_named_and_the_class_is_one_that_the_head_holds_possible(tiny_model) -> None:
    sure = [99.0] * len(EXPERT_AUS)
    sure[EXPERT_AUS.index(12)] = -99.0
    one = speaker(tiny_model, sure)
    for member in tiny_model.motion:  # a head that knows one class
        torch.nn.init.zeros_(member.coarse.weight)
        member.coarse.bias.data = torch.tensor([-9.0, 9.0, -9.0])
    for said in one.say(motions(4)):
        assert said.answer is not None and said.answer.coarse == "positive"
        assert [item.au for item in said.answer.evidence] == [12]
