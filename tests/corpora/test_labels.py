"""Label maps: the MEGC2019 composite from complete tables, other settings, and what each leaves out."""

from __future__ import annotations

import pytest

from deft_llm.corpora import load
from deft_llm.corpora.labels import SETTINGS, coarse_word, label, roman, sort_out
from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE, fine_word
from deft_llm.records import Clip, Source

# Rows that the official list leaves out; everything else about the tables below is invented.
LEFT_OUT = {(4, "EP12_01f"): "disgust", (5, "EP09_05f"): "disgust"}
RELABELLED = [(24, "EP07_01"), (24, "EP07_04f"), (24, "EP10_03")]


def casme2_rows(edition: str) -> list[list]:
    """255 rows with the counts of the edition; 24 subjects have the three classes, 10 and 18 others only."""
    surprise, sadness = (28, 4) if edition == "2019" else (25, 7)
    labels = ["disgust"] * 61 + ["happiness"] * 32 + ["repression"] * 27 + ["surprise"] * 25 + ["fear"] * 2
    labels += ["sadness"] * 4
    usual = [number for number in range(1, 27) if number not in (10, 18)]
    rows = [[usual[i % 24], f"EP50_{i:03d}", None, 1, 5, 9, None, "4", name] for i, name in enumerate(labels)]
    rows += [[(10, 18)[i % 2], f"EP60_{i:03d}", None, 1, 5, 9, None, "4", "others"] for i in range(99)]
    rows += [[*key, None, 1, 5, 9, None, "4", name] for key, name in LEFT_OUT.items()]
    rows += [
        [*key, None, 1, 5, 9, None, "4", "surprise" if edition == "2019" else "sadness"] for key in RELABELLED
    ]
    assert len(rows) == 255 and [r[8] for r in rows].count("surprise") == surprise
    assert [r[8] for r in rows].count("sadness") == sadness and [r[8] for r in rows].count("disgust") == 63
    return rows


@pytest.fixture
def composite(make):
    """The three corpora's tables in full size (no frames needed: labels are counted from tables)."""
    for edition in ("2014", "2019"):
        rows = [[*row, 3] if edition == "2019" else row for row in casme2_rows(edition)]
        make.casme2(f"casme2_{edition}/coding_{edition}.xlsx", rows)
    counts = {
        "Anger": 57,
        "Other": 26,
        "Happiness": 26,
        "Surprise": 15,
        "Contempt": 12,
        "Disgust": 9,
        "Fear": 8,
        "Sadness": 6,
    }
    names = [name for name, count in counts.items() if name != "Other" for _ in range(count)]
    rows = [
        [1 + i % 28, f"{1 + i % 28:03d}_9_{i}", 9, 1, 5, 9, 9, "Micro - 1/2", "4", name, 3, None]
        for i, name in enumerate(names)
    ]
    rows += [[29, f"029_9_{i}", 9, 1, 5, 9, 9, "Micro - 1/2", "4", "Other", 3, None] for i in range(26)]
    make.samm("samm/SAMM.xlsx", rows)
    for number, (code, word) in enumerate(
        [("ne", "negative")] * 70 + [("po", "positive")] * 51 + [("sur", "surprise")] * 43
    ):
        make.frames(
            f"smic/HS/s{1 + number % 16}/micro/{word}/s{1 + number % 16}_{code}_{number:02d}", [1], "{}.bmp"
        )
    return make.root


@pytest.mark.parametrize("edition", ["2014", "2019"])
def test_megc2019_composite(composite, edition):
    """442 clips of 68 subjects, from either coding of CASME II."""
    clips = [
        clip
        for name, folder in (("casme2", f"casme2_{edition}"), ("samm", "samm"), ("smic", "smic"))
        for clip in load(name, composite / folder).clips
    ]
    parts = {
        name: sort_out([c for c in clips if c.corpus == name], "megc3") for name in ("casme2", "samm", "smic")
    }
    assert {name: (found.counts, len(found.subjects)) for name, found in parts.items()} == {
        "casme2": ({"negative": 88, "positive": 32, "surprise": 25}, 24),
        "samm": ({"negative": 92, "positive": 26, "surprise": 15}, 28),
        "smic": ({"negative": 70, "positive": 51, "surprise": 43}, 16),
    }
    found = sort_out(clips, "megc3")
    assert (len(found.kept), len(found.subjects)) == (442, 68)
    assert found.counts == {"negative": 250, "positive": 109, "surprise": 83}
    assert len(found.kept) + len(found.left_out) == len(clips), "nothing is dropped silently"
    assert sum("MEGC2019 list" in reason for reason in found.left_out.values()) == 5


def test_five_classes(composite):
    five = sort_out(load("casme2", composite / "casme2_2019").clips, "5")
    assert five.counts == {"disgust": 63, "happiness": 32, "others": 99, "repression": 27, "surprise": 28}
    assert len(five.kept) == 249 and set(five.reasons) == {
        "label 'sadness' is not in the setting",
        "label 'fear' is not in the setting",
    }
    older = sort_out(load("casme2", composite / "casme2_2014").clips, "5")
    assert older.counts == five.counts | {"surprise": 25} and len(older.kept) == 246
    samm = sort_out(load("samm", composite / "samm").clips, "5")
    assert len(samm.kept) == 136 and samm.counts["anger"] == 57


def clip(corpus="casme3", **fields) -> Clip:
    return Clip(
        clip_id=f"{corpus}/s/x",
        corpus=corpus,
        subject=f"{corpus}/s",
        source=Source(kind="video", path="x"),
        **fields,
    )


def test_seven_four_and_native():
    assert label(clip(emotion="others"), "7") == "others" and label(clip(emotion="contempt"), "7") is None
    assert label(clip("dfme", emotion="contempt"), "7") == "contempt"
    assert (
        label(clip("mmew", emotion="disgust"), "4") == "disgust"
        and label(clip("mmew", emotion="fear"), "4") is None
    )
    assert label(clip(emotion="fear"), "4") == "negative" and label(clip(emotion="others"), "4") == "others"
    assert label(clip("smic", coarse="positive"), "native") == "positive"
    assert label(clip("smic", coarse="positive"), "megc3") == "positive", "falls back to the coarse class"
    assert label(clip("smic", coarse="positive"), "7") is None
    assert label(clip("casme2", emotion="fear", coarse="negative"), "megc3") is None, (
        "not on the official list"
    )
    assert label(clip("samm", emotion="fear", coarse="negative"), "megc3") == "negative"
    assert label(clip(emotion="tense"), "megc3") is None and label(clip(), "native") is None


def test_objective_classes_come_from_the_table_or_from_aus():
    from deft_llm.facs.notation import parse_aus

    assert (
        label(clip(objective="II"), "objective") == "II" and label(clip(objective="VII"), "objective") is None
    )
    assert label(clip(aus=parse_aus("6+12").aus), "objective") == "I"
    assert label(clip(), "objective") is None
    assert [roman(word) for word in ("3", "vii", "III", "x")] == ["III", "VII", "III", None]


def test_words():
    assert [
        fine_word(w) for w in ("Others", "Other", "happy", "comtempt", "fear?", "sad", "negative", "bliss")
    ] == ["others", "others", "happiness", "contempt", "fear", "sadness", None, None]
    assert [coarse_word(w) for w in ("ne", "Positive", "sur", "repression", "tense", "2")] == [
        "negative",
        "positive",
        "surprise",
        "negative",
        None,
        "surprise",
    ]
    from deft_llm.corpora.labels import _data

    for setting in set(SETTINGS) - {"native", "objective"}:
        for classes in _data()["settings"][setting]["maps"].values():
            assert set(classes) <= set(FINE)


def test_unknown_setting():
    with pytest.raises(UsageError, match="--labels 6"):
        label(clip(), "6")
