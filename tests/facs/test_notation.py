"""Every way in which corpora write Action Units is read, and what is not read is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft_llm.facs.notation import format_aus, parse_aus, shown_and_open
from deft_llm.facs.units import ENTRIES
from deft_llm.records import ActionUnit


def codes(cell):
    """The cell in short: (number, side, part, intensity) of each AU."""
    return [(unit.number, unit.side, unit.part, unit.intensity) for unit in parse_aus(cell).aus]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("4+R12+25", [(4, "both", None, None), (12, "right", None, None), (25, "both", None, None)]),
        ("A2", [(2, "asymmetric", None, None)]),
        ("12A", [(12, "both", None, "A")]),
        ("4B+7B+43E", [(4, "both", None, "B"), (7, "both", None, "B"), (43, "both", None, "E")]),
        ("A1B+A2C", [(1, "asymmetric", None, "B"), (2, "asymmetric", None, "C")]),
        ("12L", [(12, "left", None, None)]),
        ("4R+7", [(4, "right", None, None), (7, "both", None, None)]),
        ("B18", [(18, "both", "lower", None)]),
        ("T23", [(23, "both", "upper", None)]),
        ("l4", [(4, "left", None, None)]),
        (12, [(12, "both", None, None)]),
        (12.0, [(12, "both", None, None)]),
        ("12.0", [(12, "both", None, None)]),
        (1.2, [(1, "both", None, None), (2, "both", None, None)]),
        ("4,7\uff0c12,", [(4, "both", None, None), (7, "both", None, None), (12, "both", None, None)]),
        ("AU4 AU7", [(4, "both", None, None), (7, "both", None, None)]),
        ("R14A", [(14, "right", None, "A")]),
        ("4 7", [(4, "both", None, None), (7, "both", None, None)]),
        ("4\n7", [(4, "both", None, None), (7, "both", None, None)]),
        ("4\r\nR12C", [(4, "both", None, None), (12, "right", None, "C")]),
        ("1\u00a02\t5", [(1, "both", None, None), (2, "both", None, None), (5, "both", None, None)]),
        ("4;7 ; 12", [(4, "both", None, None), (7, "both", None, None), (12, "both", None, None)]),
        ("AU 4 AU 7 C", [(4, "both", None, None), (7, "both", None, "C")]),
        ("L 12", [(12, "left", None, None)]),
        ("12 C", [(12, "both", None, "C")]),
        ("L12B+R12C", [(12, "asymmetric", None, "C")]),
        ("R12B+4+L12B", [(12, "both", None, "B"), (4, "both", None, None)]),
        ("12L+12R", [(12, "both", None, None)]),
        ("L12+R12D", [(12, "both", None, "D")]),
        ("L12+R14", [(12, "left", None, None), (14, "right", None, None)]),
        ("LT23+RB23", [(23, "left", "upper", None), (23, "right", "lower", None)]),
    ],
)
def test_plain_notations(cell, expected):
    assert codes(cell) == expected
    assert parse_aus(cell).unread == []


def test_kinds():
    units = parse_aus("AD31+M57+AU4").aus
    assert [(unit.kind, unit.number) for unit in units] == [("AD", 31), ("M", 57), ("AU", 4)]


@pytest.mark.parametrize("cell", ["13?", "AU13(k)", "13(?)", "13 ?"])
def test_uncertain(cell):
    (unit,) = parse_aus(cell).aus
    assert (unit.number, unit.certain) == (13, False)


@pytest.mark.parametrize("cell", ["L12+R12?", "L12+ref(R12)", "L12B+(R12C or R14C)"])
def test_a_side_that_is_open_is_not_joined(cell):
    assert [unit.side for unit in parse_aus(cell).aus] == ["left", "right"]


def test_uncertain_is_per_unit():
    first, second = parse_aus("AU4(k)+AU7").aus
    assert (first.certain, second.certain) == (False, True)


def test_referred():
    units = parse_aus("4D+ref(6)+7C+43E").aus
    assert [(unit.number, unit.referred) for unit in units] == [
        (4, False),
        (6, True),
        (7, False),
        (43, False),
    ]
    (first, second) = parse_aus("ref(L10)+A12B").aus
    assert (first.side, first.referred, second.side, second.intensity) == ("left", True, "asymmetric", "B")


def test_alternatives():
    first, second = parse_aus("(R6 or R12)+R15").aus
    assert (first.number, first.side, [other.number for other in first.alternatives]) == (6, "right", [12])
    assert second.number == 15 and not second.alternatives
    (unit,) = parse_aus("R14A or 17A or 24A").aus
    assert [unit.number, *(other.number for other in unit.alternatives)] == [14, 17, 24]
    (graded,) = parse_aus("10A/B").aus
    assert [graded.intensity, graded.alternatives[0].intensity] == ["A", "B"]
    (graded,) = parse_aus("4(B/C)").aus
    assert [graded.intensity, graded.alternatives[0].intensity] == ["B", "C"]
    (sided,) = parse_aus("A/L12").aus
    assert [sided.side, sided.alternatives[0].side] == ["asymmetric", "left"]
    (sided,) = parse_aus("L/R14").aus
    assert [sided.side, sided.alternatives[0].side] == ["left", "right"]
    (either,) = parse_aus("4/7").aus
    assert [either.number, either.alternatives[0].number] == [4, 7]
    assert [unit.referred for unit in parse_aus("ref(4) or ref(7)").aus[0].alternatives] == [True]


@pytest.mark.parametrize(
    ("cell", "shown", "left_open"),
    [
        ("4/9", set(), {4, 9}),
        ("4+4/9", {4}, {9}),
        ("13?+2", {2}, {13}),
        ("AU4(k)", set(), {4}),
        ("4?/9", set(), {4, 9}),
        ("R14A or 17A or 24A", set(), {14, 17, 24}),
        ("10B/C+A/L12", {10, 12}, set()),
        ("ref(6)+1", {1}, set()),
        ("4/ref(9)", set(), {4}),
    ],
)
def test_what_a_coder_left_open(cell, shown, left_open):
    assert shown_and_open(parse_aus(cell).aus) == (shown, left_open)


@pytest.mark.parametrize("cell", [None, "", " ", float("nan"), "/", "nan", "-", "n/a", "NA", ","])
def test_a_missing_code_is_not_no_au(cell):
    parsed = parse_aus(cell)
    assert parsed == ([], [], [], True) and not parsed.complete


@pytest.mark.parametrize(("cell", "expected"), [("none", []), ("0", [0]), (0, [0])])
def test_nothing_is_no_au(cell, expected):
    parsed = parse_aus(cell)
    assert [unit.number for unit in parsed.aus] == expected and parsed.complete and not parsed.missing


def test_readings_are_noted():
    assert parse_aus(12.1).notes == ["12.1 is read as AU12 and AU1"]
    assert parse_aus("4/7").notes == ["4/7 is read as AU4 or AU7"]
    assert parse_aus("12.0").notes == parse_aus("A/L12+4(B/C)").notes == []
    assert not parse_aus("4+7-Apr").complete and parse_aus("4+soft focus").complete


@pytest.mark.parametrize(
    ("cell", "unread"),
    [("?", ["?"]), ("soft focus", ["soft focus"]), ("4+soft focus", ["soft focus"]), ("L/R", ["L/R"]),
     ("2014-04-12 00:00:00", ["2014-04-12 00:00:00"]), ("400", ["400"]), ("LR4", ["LR4"]),
     ("7-Apr", ["7-Apr"]), ("47", ["47"]), ("4+47", ["47"]), ("4 L 7", ["4 L 7"]), ("4 B 7", ["4 B 7"])],
)  # fmt: skip
def test_unread_is_kept(cell, unread):
    assert parse_aus(cell).unread == unread


units = st.builds(
    ActionUnit,
    number=st.sampled_from(sorted(ENTRIES)),
    kind=st.sampled_from(["AU", "AD", "M"]),
    side=st.sampled_from(["both", "left", "right", "asymmetric"]),
    part=st.sampled_from([None, "upper", "lower"]),
    intensity=st.sampled_from([None, "A", "B", "C", "D", "E"]),
    certain=st.booleans(),
    referred=st.booleans(),
)
cells = st.lists(st.builds(
    lambda unit, others: unit.model_copy(update={"alternatives": others}), units, st.lists(units, max_size=2)
), max_size=5, unique_by=lambda unit: unit.number)  # fmt: skip


@given(cells)
def test_format_reads_back(aus):
    parsed = parse_aus(format_aus(aus))
    assert parsed.unread == []
    assert parsed.aus == aus


@given(st.text(max_size=30))
def test_any_text_is_read_or_kept(text):
    parsed = parse_aus(text)
    digits = sum(character.isascii() and character.isdigit() for character in text)
    assert digits == 0 or parsed.aus or parsed.unread
