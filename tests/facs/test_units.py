"""The AU table is complete and consistent, and directions go to words and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft_llm.errors import UsageError
from deft_llm.facs.directions import direction_word, face_vector, image_vector
from deft_llm.facs.regions import DIRECTIONS, MIDLINE_REGIONS, PAIRED_REGIONS
from deft_llm.facs.units import (
    BENCHMARK_AUS,
    ENTRIES,
    MICRO_AUS,
    entry,
    is_valid,
    name,
    number_of,
    valid_directions,
)

FULL = [1, 2, *range(4, 19), *range(20, 29), 31, 38, 39, 40, 43, 45, 46]


@pytest.mark.parametrize("number", FULL)
def test_full_entries(number):
    code = ENTRIES[number]
    assert code.muscle and code.motion and code.pattern != "none" and code.look_alikes
    assert math.isclose(sum(motion.weight for motion in code.motion), 1.0)
    for motion in code.motion:
        assert motion.region in MIDLINE_REGIONS + PAIRED_REGIONS
        assert math.isclose(math.hypot(motion.medial, motion.up), 1.0)
        assert motion.region not in MIDLINE_REGIONS or motion.medial == 0
        words = valid_directions(number, motion.region)
        assert words and set(words) <= set(DIRECTIONS)
        assert motion.region not in MIDLINE_REGIONS or not any("medial" in word for word in words)


def test_converging_units_oppose_each_other():
    """A converging or diverging AU pulls two regions, or the two sides of one, against each other."""
    for code in ENTRIES.values():
        if code.pattern in ("converging", "diverging"):
            vertical = [motion.up for motion in code.motion]
            assert (min(vertical) < 0 < max(vertical)) or any(abs(m.medial) > 0.9 for m in code.motion), code


def test_known_facts():
    assert entry(12).motion[0].region == "mouth corner"
    assert valid_directions(12, "mouth corner") == ("up-lateral", "lateral", "up")
    assert valid_directions(12, "chin") == ()
    assert name(12) == "lip corner puller" and number_of("Lip Corner Puller") == 12
    assert set(BENCHMARK_AUS) <= set(MICRO_AUS) <= set(ENTRIES)
    assert is_valid(23, "upper", "upper lip", "converging") and not is_valid(
        23, "left", "upper lip", "converging"
    )
    assert {51, 57, 61, 64, 70, 80} <= set(ENTRIES)


@pytest.mark.parametrize("call", [lambda: entry(47), lambda: number_of("eyebrow wiggler")])
def test_unknown_codes(call):
    with pytest.raises(UsageError):
        call()


def test_direction_words():
    assert direction_word(-1.0, -1.0, "right") == "up-lateral"  # the subject's right is the image's left
    assert direction_word(-1.0, -1.0, "left") == "up-medial"
    assert direction_word(1.0, 0.0, "right") == "medial"
    assert direction_word(0.0, 1.0, "mid") == "down"
    assert direction_word(1.0, 0.0, "mid") == direction_word(-1.0, 0.0, "mid") == "lateral"


@given(st.floats(-5, 5), st.floats(-5, 5), st.sampled_from(["left", "right"]))
def test_directions_go_back(dx, dy, side):
    assert image_vector(*face_vector(dx, dy, side), side) == (dx, dy)
    other = "left" if side == "right" else "right"
    assert direction_word(dx, dy, side) == direction_word(-dx, dy, other)
