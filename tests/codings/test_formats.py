"""Codings keep what each format can hold; bad files are named; golden files stand for ELAN and Datavyu."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from deft_llm.cli import main
from deft_llm.codings import formats, table
from deft_llm.codings.events import Coding, FrameClock, event_at, parse_name
from deft_llm.codings.formats import read_coding
from deft_llm.codings.proposals import proposals_of
from deft_llm.codings.tiers import on_tiers
from deft_llm.errors import DeftError, UsageError
from deft_llm.facs.notation import parse_aus
from tests.codings.conftest import CLOCK, coding, event, result_json

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("fps", [24.0, 29.97, 60.0, 200.0])
@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_round_trip_keeps_every_event(name: str, fps: float, tmp_path: Path) -> None:
    clock = FrameClock(fps)
    first = coding(clock)
    path = tmp_path / f"coding{formats.FORMATS[name].suffix}"
    formats.write_coding(first, path, name)
    lacks = formats.FORMATS[name].lacks
    again = formats.read_coding(path, clock if "frame rate" in lacks else None)
    assert again.events == first.events
    assert again.fps == pytest.approx(fps, rel=1e-6)
    for what in ("media", "coder"):
        assert getattr(again, what) == ("" if what in lacks else getattr(first, what))


NOTES = ("Zoë: 笑顔 😀", '"quoted", with; =1+1', "@x", "-1", "a\tb", "<b>&amp;</b>", "x" * 3000)


@pytest.mark.parametrize("fps", [25.0, 29.97, 120.0, 500.0])
@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_odd_events_are_kept_and_read_by_the_libraries(name: str, fps: float, tmp_path: Path) -> None:
    """No length, on the first and last frame, touching, both sides at once, any script and punctuation."""
    clock, last = FrameClock(fps), round(2 * fps) - 1
    of = lambda *words, **rest: event(*words, clock, **rest)  # noqa: E731
    events = [
        of(12, last, last, last, side="left"), of(12, last, None, last, side="right"), of(4, 0, 0, 0),
        of(4, 0, None, 0, side="left"), of(1, 5, 5, 9), of(1, 9, 9, 12), of(1, 12, 12, 12, phase="release"),
        of(12, 5, 7, 9, side="left", intensity="E"), of(12, 5, 7, 9, side="right", intensity="A"),
        of(12, 5, 7, 9), *(of(45, 20 + 2 * i, None, 21 + 2 * i, note=note) for i, note in enumerate(NOTES)),
    ]  # fmt: skip
    first = Coding(media="Ordner ü/中 文.mp4", fps=fps, coder="Zoë Ångström", events=events).sorted()
    path = tmp_path / f"odd{formats.FORMATS[name].suffix}"
    formats.write_coding(first, path, name)
    assert formats.read_coding(path, clock).events == first.events
    seen = None
    if name == "elan":
        from pympi import Elan

        eaf = Elan.Eaf(str(path), suppress_version_warning=True)
        own = [tier for tier in eaf.get_tier_names() if not tier.endswith((" apex", " note"))]
        seen = sum(len(eaf.get_annotation_data_for_tier(tier)) for tier in own)
    elif name == "textgrid":
        from praatio import textgrid

        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        seen = sum(len(tier.entries) for tier in grid.tiers if not tier.name.endswith(" apex"))
    assert seen in (None, len(events))


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_a_coding_without_events_is_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{formats.FORMATS[name].suffix}"
    formats.write_coding(Coding(media="a.mp4", fps=30, coder="Bo"), path, name)
    assert formats.read_coding(path, FrameClock(30)).events == []


@pytest.mark.parametrize("name", ["elan", "textgrid"])
def test_many_random_events_round_trip(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clock = FrameClock(30.0)
    events = []
    for _ in range(120):
        onset, apex, offset = np.sort(rng.integers(0, 900, 3)).tolist()
        events.append(event(
            int(rng.choice([1, 2, 4, 12])), onset, apex if rng.random() < 0.7 else None, offset, clock,
            side=str(rng.choice(["both", "left", "right"])), phase=str(rng.choice(["rise", "release"])),
            intensity=rng.choice([None, "B", "E"]),
        ))  # fmt: skip
    first = Coding(fps=30, events=events).sorted()
    path = tmp_path / f"x{formats.FORMATS[name].suffix}"
    formats.write_coding(first, path, name)
    again = formats.read_coding(path, clock)
    key = lambda e: e.model_dump_json()  # noqa: E731
    assert sorted(map(key, again.events)) == sorted(map(key, first.events))


@pytest.mark.parametrize("name", ["a.eaf", "datavyu.csv", "datavyu_foreign.csv"])
def test_golden_files_are_read(name: str) -> None:
    found = formats.read_coding(GOLDEN / name, CLOCK)
    rows = [(e.name, e.phase, e.onset, e.apex, e.offset, e.intensity) for e in found.events]
    assert rows == [tuple(row) for row in json.loads((GOLDEN / f"{name}.json").read_text())]


def test_elan_has_tiers_vocabulary_and_media(tmp_path: Path) -> None:
    from pympi import Elan

    formats.write_coding(coding(), tmp_path / "a.eaf")
    eaf = Elan.Eaf(str(tmp_path / "a.eaf"), suppress_version_warning=True)
    assert {"AU12 left", "AU12 left #2", "AU4 both face 2", "AU1 asymmetric"} <= set(eaf.get_tier_names())
    entries = [value[0][0] for value, _ in eaf.get_cv_entries("FACS event").values()]
    assert "rise C" in entries and "release proposed" in entries
    assert eaf.linguistic_types["facs-event"]["CONTROLLED_VOCABULARY_REF"] == "FACS event"
    assert eaf.get_linked_files()[0]["MEDIA_URL"] == "clips/a b.mp4"
    assert eaf.get_parameters_for_tier("AU12 left apex")["PARENT_REF"] == "AU12 left"


def test_boris_rows_start_and_stop_with_frames(tmp_path: Path) -> None:
    formats.write_coding(coding(), tmp_path / "a.boris")
    project = json.loads((tmp_path / "a.boris").read_text())
    rows = project["observations"]["coding"]["events"]
    assert [0.4, "face 1", "AU12 left", "rise|C", "apex 14; with a blink, = small", 10] in rows
    assert [0.8, "face 1", "AU12 left", "rise|C", "", 20] in rows
    names = {behaviour["code"] for behaviour in project["behaviors_conf"].values()}
    assert names == {"AU1 asymmetric", "AU4 both", "AU12 left", "AU12 left #2"}


def test_frame_and_time_that_contradict_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table.write(coding(), path)
    path.write_text(path.read_text().replace(",0.4,", ",0.5,"))
    with pytest.raises(
        DeftError, match=r"a\.csv, line \d+: onset is frame 10 \(0\.400 s at 25 frames per second"
    ):
        formats.read_coding(path)


def test_variable_frame_rate_uses_the_video_times() -> None:
    clock = FrameClock(25.0, [0.0, 0.04, 0.2, 0.24])
    assert clock.frame_of(0.19) == 2 and clock.time_of(2) == 0.2 and clock.frame_of(9.0) == 3
    assert event(4, 1, 2, 3, clock).apex_time == 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("au,onset,offset\n12,3,9\n", "states no frame rate"),
        ("au,onset,offset,fps\n7-Apr,3,9,25\n", "'7-Apr' is no code of FACS"),
        ("au,onset,offset,fps\n12,9,3,25\n", "not in order"),
        ("au,onset,offset,fps\n12,3.5,9,25\n", "is no frame index"),
        ("au,onset,offset,fps\n12,3,,25\n", "has no offset"),
        ("au,onset,offset,fps\n12,3,9,nan\n", "frame rate of nan"),
        ("au,onset_time,offset_time,fps\n12,inf,9,25\n", "is no time of a video"),
        ("au,onset,offset,fps,side\n12,3,9,25,up\n", "side 'up' is unknown"),
        ("au,onset,offset,fps,file\n12,3,9,25,a.mp4\n4,3,9,25,b.mp4\n", "holds events of 2 videos"),
        ("name,when\n1,2\n", "its header names neither"),
        ("", "its header names neither"),
    ],
)
def test_bad_tables_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DeftError, match=message) as caught:
        formats.read_coding(path)
    assert "bad.csv" in str(caught.value) or "frame rate of nan" in str(caught.value)


@pytest.mark.parametrize("suffix", [".eaf", ".TextGrid", ".boris", ".json"])
@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff\xfe\x00", b"<a/>", b"[" * 100_000])
def test_damaged_files_are_named(suffix: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(data)
    with pytest.raises(DeftError, match=r"bad\."):
        formats.read_coding(path, CLOCK)


def test_names_of_tiers() -> None:
    for name in ("AU12 left", "12L", "L12", "left AU12", "AU12_left", "l-AU 12"):
        assert parse_name(name) == (12, "left", None, 1)
    for name in ("R12C", "12CR", "right AU12 C", "AU12_C_right", "AU12 right c"):
        assert parse_name(name) == (12, "right", "C", 1)
    assert parse_name("au04_R") == (4, "right", None, 1)
    assert parse_name("AU1") == parse_name("B1") == parse_name("AU1 bilateral") == (1, "both", None, 1)
    for name in ("speech", "lips", "12F", "L12R", "left AU12 right", "12CL C", "T23", "99", "4 7"):
        assert parse_name(name) is None


@pytest.mark.parametrize(
    "code", ["A12", "12A", "12B", "12C", "A1B", "R14A", "12L", "l4", "L 12", "12 C", "AU4"]
)
def test_a_name_says_what_facs_notation_says(code: str) -> None:
    (unit,) = parse_aus(code).aus
    assert parse_name(code) == (unit.number, unit.side, unit.intensity, 1)


@pytest.mark.parametrize(
    ("name", "fps"),
    [*((name, fps) for name in formats.FORMATS for fps in (25.0, 29.97, 500.0)), ("textgrid", 10_000.0)],
)
def test_apexes_where_two_events_touch_are_kept(name: str, fps: float, tmp_path: Path) -> None:
    """Of a rise that ends in the frame in which its release begins; the one, the other, both or none."""
    clock, path = FrameClock(fps), tmp_path / f"a{formats.FORMATS[name].suffix}"
    for first, second in product((10, 15, 20, None), (20, 25, 30, None)):
        events = [event(12, 10, first, 20, clock), event(12, 20, second, 30, clock, phase="release")]
        formats.write_coding(Coding(media="a.mp4", fps=fps, events=events), path, name)
        assert read_coding(path, clock).events == events


def test_proposals_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result_json()))
    found = formats.read_coding(tmp_path / "result.json")
    assert [(e.au, e.onset, e.apex, e.offset, e.status) for e in found.events] == [
        (45, 5, 6, 8, "proposed"), (4, 10, 14, 14, "proposed"), (12, 10, 14, 20, "proposed"),
    ]  # fmt: skip
    assert found.events[1].note == "confidence 0.30; end not seen"


def test_what_deft_is_unsure_of_or_refused_is_proposed_but_not_stated() -> None:
    found = {one.id: one for one in proposals_of(result_json())}
    assert {key: (one.kind, one.au) for key, one in found.items()} == {
        "lid 1": ("stated", 45), "1.1": ("stated", 12), "1.2": ("unsure", 4), "1.3": ("refused", 6),
        "2.0": ("unnamed", None),
    }  # fmt: skip
    assert "noise" in found["1.3"].reason and found["1.3"].confidence == 0.8
    assert not found["1.2"].offset_seen and not found["1.3"].is_stated
    with pytest.raises(DeftError, match="analyse the video again"):
        proposals_of({"video": {"fps": 25}, "movements": [{}]})


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table.write(coding(), tmp_path / "a.csv")
    main_ok(["convert", str(tmp_path / "a.csv"), str(tmp_path / "a.TextGrid")])
    assert "does not hold: media, coder, frame rate" in capsys.readouterr().out
    main_ok(["convert", str(tmp_path / "a.TextGrid"), str(tmp_path / "b.eaf"), "--fps", "25", "--json"])
    assert json.loads(capsys.readouterr().out)["events"] == 5
    assert formats.read_coding(tmp_path / "b.eaf").events == coding().events


@pytest.mark.parametrize(
    ("words", "code"),
    [(["a.csv", "b.xyz"], 2), (["a.csv", "b.csv", "--to", "word"], 2), (["none.csv", "b.eaf"], 1),
     (["a.csv", "a.csv"], 2)],
)  # fmt: skip
def test_wrong_usage(words: list[str], code: int, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    table.write(coding(), tmp_path / "a.csv")
    with pytest.raises(SystemExit) as caught:
        main(["convert", *words])
    assert caught.value.code == code and capsys.readouterr().err.startswith("deft: ")


def main_ok(words: list[str]) -> None:
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code


def test_unknown_format_is_usage() -> None:
    with pytest.raises(UsageError, match="no format has this suffix"):
        formats.format_of(Path("a.docx"))


@pytest.mark.parametrize(("kind", "said"), [("folder", "is a folder"), ("pipe", "is not a regular file")])
@pytest.mark.parametrize("suffix", [".csv", ".eaf", ".boris", ".TextGrid", ".json"])
def test_what_is_no_file_is_called_what_it_is(kind: str, said: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(DeftError, match=said):
        read_coding(path, FrameClock(25.0))


def test_of_three_that_overlap_the_third_takes_the_free_tier() -> None:
    spans = [(0, 10), (5, 20), (10, 12), (11, 14)]
    events = [event_at(FrameClock(25.0), where="-", au=12, onset=a, offset=b) for a, b in spans]
    numbers = [number for number, _ in on_tiers(events, lambda e: (e.onset, e.offset))]
    assert numbers == [1, 2, 1, 3]
    assert [number for number, _ in on_tiers(events, lambda e: (e.onset, e.offset + 1))] == [1, 2, 3, 1]
