"""Codings keep what each format can hold; bad files are named; golden files stand for ELAN and Datavyu."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from deft_llm.cli import main
from deft_llm.codings import formats, table
from deft_llm.codings.as_data import movements_of, write_clips
from deft_llm.codings.events import CodedEvent, Coding, FrameClock, event_at, parse_name
from deft_llm.codings.formats import read_coding
from deft_llm.codings.proposals import proposals_of
from deft_llm.codings.tiers import on_tiers
from deft_llm.errors import DeftError, UsageError

GOLDEN = Path(__file__).with_name("golden")
CLOCK = FrameClock(25.0)


def event(
    au: int, onset: int, apex: int | None, offset: int, clock: FrameClock = CLOCK, **rest
) -> CodedEvent:
    return event_at(clock, where="test", au=au, onset=onset, apex=apex, offset=offset, **rest)


def coding(clock: FrameClock = CLOCK, media: str = "clips/a b.mp4") -> Coding:
    events = [
        event(12, 10, 14, 20, clock, side="left", intensity="C", note="with a blink, = small"),
        event(12, 15, None, 30, clock, side="left", note="overlaps the first"),
        event(12, 21, 24, 24, clock, side="left", phase="release", status="proposed"),
        event(4, 3, 3, 3, clock, intensity="A", face=2),
        event(1, 40, 44, 60, clock, side="asymmetric", status="corrected"),
    ]
    return Coding(media=media, fps=clock.fps, coder="Ann", events=events).sorted()


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
    if name == "datavyu":
        return  # a sheet without columns says nothing at all
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
    assert parse_name("AU12 left") == (12, "left")
    assert parse_name("12L") == (12, "left")
    assert parse_name("au04_R") == (4, "right")
    assert parse_name("AU1") == (1, "both")
    assert parse_name("speech") is None and parse_name("lips") is None


def result_json(**more) -> dict:
    unit = {"number": 12, "side": "left", "phase": "rise", "onset": 10, "apex": 14, "offset": 20,
            "confidence": 0.9, "reason": ""}  # fmt: skip
    held = unit | {"number": 4, "side": "both", "offset": None, "confidence": 0.3}
    movement = {"face": 1, "onset": 10, "apex": 14, "offset": 20, "reason": "", "warning": "",
                "aus": [unit, held], "au_probabilities": {"12": 0.9, "6": 0.8, "1": 0.2},
                "aus_not_judged": {"6": "z 0.9: not above the clip's noise"}}  # fmt: skip
    bare = movement | {"onset": 30, "apex": 31, "offset": None, "aus": [], "au_probabilities": {}}
    blink = {"kind": "blink", "onset": 5, "apex": 6, "offset": 8, "side": "both", "face": 1, "aus": [45]}
    return {"video": {"fps": 25}, "source": "a.mp4", "movements": [movement, bare], "events": [blink], **more}


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


def read_text(text: str, suffix: str, folder: Path) -> Coding:
    path = folder / f"b{suffix}"
    path.write_text(text)
    return read_coding(path)


def written(suffix: str, folder: Path) -> str:
    formats.write_coding(coding(), folder / f"a{suffix}")
    return (folder / f"a{suffix}").read_text()


@pytest.mark.parametrize(("suffix", "old", "new", "said"), [
    (".eaf", r'TIME_VALUE="\d+"', "", "is not aligned with a time"),
    (".eaf", r'TIME_SLOT_REF1="\w+"', 'TIME_SLOT_REF1="ts=1+1"', "refers to 'ts=1.1', which is not there"),
    (".eaf", 'MEDIA_URL="clips', 'TIME_ORIGIN="480" MEDIA_URL="clips', r"TIME_ORIGIN 480 ms"),
    (".eaf", r'(frames-per-second">)[\d.]+', r"\1nan", "a frame rate of nan is none"),
    (".boris", r'("fps": \{\s*"[^"]+": )[\d.]+', r"\g<1>-5", "a frame rate of -5.0 is none"),
    (".boris", r'"events": \[.*?\]\s*\],', '"events": {},', "events are no list"),
    (".csv", r"(?m)^(clips/a b.mp4,)25", r"\1nan", "a frame rate of nan is none"),
    (".csv", r"\Z", "a.mp4,25,me,1,12,both,rise,B,1,2,3,,,,coded,one, two\n", "more cells than the header"),
    (".csv", "onset,apex", "onset,onset", "the column 'onset' is there twice"),
])  # fmt: skip
def test_what_a_coding_lacks_is_named_with_its_file(suffix, old, new, said, tmp_path: Path) -> None:
    text = written(suffix, tmp_path)
    damaged = re.sub(old, new, text, count=0 if suffix == ".csv" else 1, flags=re.S)
    assert damaged != text
    with pytest.raises(DeftError, match=said) as error:
        read_text(damaged, suffix, tmp_path)
    assert str(tmp_path / f"b{suffix}") in str(error.value)


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan"), float("inf"), 1e5])
def test_a_rate_that_is_none_is_wrong_usage(fps: float) -> None:
    with pytest.raises(UsageError, match="--fps .* is no frame rate"):
        formats.clock_of(None, fps)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", None])
def test_a_damaged_file_of_a_coder_is_no_clip_without_movements(data, tmp_path: Path) -> None:
    folder = tmp_path / "anna" / "s1"
    folder.mkdir(parents=True)
    one_face = [event for event in coding().events if event.face == 1]
    formats.write_coding(coding().model_copy(update={"events": one_face}), folder / "a.mp4.csv")
    assert write_clips(tmp_path / "anna", tmp_path / "out.csv") > 0
    (folder / "b.mp4.csv").write_bytes(data) if data is not None else (folder / "b.mp4.csv").mkdir()
    with pytest.raises(DeftError, match=r"b\.mp4\.csv: holds no events"):
        write_clips(tmp_path / "anna", tmp_path / "out.csv")
    with pytest.raises(DeftError, match="holds no coding of events"):
        write_clips(tmp_path / "anna" / "none", tmp_path / "out.csv")


def eaf_with(tier: str, rows: list[tuple[int, int, str]], path: Path) -> Path:
    from pympi import Elan

    eaf = Elan.Eaf()
    eaf.remove_tier("default")
    eaf.add_tier(tier)
    for row in rows:
        eaf.add_annotation(tier, *row)
    eaf.to_file(path)
    return path


@pytest.mark.parametrize("name", ["AU12+25", "AU99", "AU12 links", "4+7", "AU12\u200b"])
def test_a_name_that_means_aus_and_is_none_is_told(name: str, tmp_path: Path) -> None:
    """Its events would be taken for none."""
    with pytest.raises(DeftError, match="is not that of one AU") as error:
        read_coding(eaf_with(name, [(400, 800, "rise")], tmp_path / "a.eaf"), CLOCK)
    assert "a.eaf" in str(error.value)
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"{name}.ordinal,{name}.onset,{name}.offset\n1,400,800\n", encoding="utf-8")
    with pytest.raises(DeftError, match="is not that of one AU"):
        read_coding(sheet, CLOCK)


def test_other_tiers_are_no_events(tmp_path: Path) -> None:
    for number, name in enumerate(("speech", "2 speakers", "AU12 left note", "audio")):
        path = eaf_with(name, [(400, 800, "rise")], tmp_path / f"{number}.eaf")
        assert read_coding(path, CLOCK).events == []


def test_an_annotation_that_ends_before_it_begins_is_told(tmp_path: Path) -> None:
    path = eaf_with("AU12 left", [(400, 800, "rise")], tmp_path / "a.eaf")
    path.write_text(path.read_text().replace('TIME_VALUE="800"', 'TIME_VALUE="-400"'))
    with pytest.raises(DeftError, match="ends before it"):
        read_coding(path, CLOCK)


def test_points_are_no_events_of_a_textgrid(tmp_path: Path) -> None:
    from praatio import textgrid

    grid = textgrid.Textgrid(0, 2)
    grid.addTier(textgrid.PointTier("AU12", [(0.5, "apex")], 0, 2))
    grid.save(str(tmp_path / "a.TextGrid"), "short_textgrid", True)
    with pytest.raises(DeftError, match="AU12 is a tier of points"):
        read_coding(tmp_path / "a.TextGrid", CLOCK)


@pytest.mark.parametrize(("head", "row", "said"), [
    ("onset,AU12.offset", ",800", "has no onset"),
    ("onset,AU12.offset,AU12.onset", "400,800,480", "'AU12.onset' is there twice"),
    ("onset,AU12.offset,AU12.face", "400,800,²", "face: '²' is no number"),
    ("onset,AU12.offset,AU12.intensity", "400,800,nan", "intensity 'nan' is unknown"),
])  # fmt: skip
def test_a_cell_of_datavyu_that_cannot_be_read_is_told(head, row, said, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(f"AU12.ordinal,AU12.{head}\n1,{row}\n", encoding="utf-8")
    with pytest.raises(DeftError, match=said) as error:
        read_coding(path, CLOCK)
    assert "sheet.csv" in str(error.value)


@pytest.mark.parametrize(("head", "rows", "said"), [
    ("au,onset,offset", ["12,1_0,20"], "'1_0' is no number"),
    ("au,onset,offset,face", ["12,10,20,0"], "face: Input should be"),
    ("au,onset,offset,coder", ["12,10,20,Ann", "12,30,40,Ben"], r"events of 2 coders \(Ann, Ben\)"),
])  # fmt: skip
def test_rows_that_cannot_be_are_told(head, rows, said, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    with pytest.raises(DeftError, match=said):
        read_coding(path, CLOCK)


def test_one_rate_written_in_two_ways_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("au,onset,offset,fps\n12,5,9,25\n12,30,40,25.0\n")
    assert read_coding(tmp_path / "a.csv").fps == 25.0


def test_two_videos_one_after_another_are_told(tmp_path: Path) -> None:
    formats.write_coding(coding(), tmp_path / "a.boris")
    project = json.loads((tmp_path / "a.boris").read_text())
    project["observations"]["coding"]["file"]["1"].append("second.mp4")
    (tmp_path / "a.boris").write_text(json.dumps(project))
    with pytest.raises(DeftError, match="holds 2 videos one after another"):
        read_coding(tmp_path / "a.boris")


def test_a_written_file_is_never_an_input(tmp_path: Path, capsys) -> None:
    for name in ("a.csv", "b.csv"):
        formats.write_coding(coding(), tmp_path / name)
    (tmp_path / "link.csv").symlink_to("a.csv")
    before = (tmp_path / "a.csv").read_bytes()
    first, second = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    for table_file in (first, str(tmp_path / "link.csv"), str(tmp_path / "x.eaf")):
        with pytest.raises(SystemExit) as end:
            main(["agree", second, first, "--table", table_file])
        assert end.value.code == 2
        assert table_file in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert", second, first, "--media", first])
    with pytest.raises(SystemExit):
        main(["corpus", "from-codings", str(tmp_path), "--out", second])
    assert (tmp_path / "a.csv").read_bytes() == before and not (tmp_path / "x.eaf").exists()


@pytest.mark.parametrize("record", [
    {"movements": []}, {"movements": [], "video": None}, {"movements": [], "video": {}},
    {"movements": [], "video": {"fps": "x"}}, {"movements": [], "video": {"fps": [25]}}, {"movements": None},
])  # fmt: skip
def test_a_result_that_lacks_something_is_told(record, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.raises(DeftError, match=r"result\.json: this is no result of this version"):
        read_coding(tmp_path / "result.json")


def test_a_result_takes_the_clock_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result_json()))
    found = read_coding(tmp_path / "result.json", FrameClock(50.0))
    assert found.fps == 50.0 and [one.onset_time for one in found.events] == [0.1, 0.2, 0.2]


def test_what_lies_after_the_film_is_told(tmp_path: Path) -> None:
    """A time may lie at the film's end, one frame after its last one; what is later is of another film."""
    film, path = FrameClock(25.0, [frame / 25 for frame in range(50)]), tmp_path / "a.csv"
    path.write_text("au,onset_time,offset_time\n12,1.0,2.0\n")
    assert [(one.onset, one.offset) for one in read_coding(path, film).events] == [(25, 49)]
    for text in ("au,onset_time,offset_time\n12,1.0,2.1\n", "au,onset_time,offset_time\n12,3.0,4.0\n",
                 "au,onset,offset\n12,30,50\n"):  # fmt: skip
        path.write_text(text)
        with pytest.raises(DeftError, match=r"a\.csv, line 2: .* after the last of the video's 50 frames"):
            read_coding(path, film)


def boris_with(change, folder: Path, first: Coding | None = None) -> Path:
    """A project that was changed: ``change`` gets the project and its observation."""
    path = folder / "changed.boris"
    formats.write_coding(first or coding(), path)
    project = json.loads(path.read_text(encoding="utf-8"))
    change(project, project["observations"]["coding"])
    path.write_text(json.dumps(project), encoding="utf-8")
    return path


def test_point_events_of_boris_are_no_aus(tmp_path: Path) -> None:
    def change(project, observation) -> None:
        for behaviour in project["behaviors_conf"].values():
            behaviour["type"] = "Point event"

    with pytest.raises(DeftError, match=r"changed\.boris: AU.* is a point event.* make it a state event"):
        read_coding(boris_with(change, tmp_path))


def test_the_time_offset_of_boris_is_taken_off(tmp_path: Path) -> None:
    def change(project, observation) -> None:
        observation["time offset"] = 60.0
        for row in observation["events"]:
            row[0] = round(row[0] + 60, 3)

    assert read_coding(boris_with(change, tmp_path)).events == coding().events


def test_two_subjects_of_boris_are_not_one_face(tmp_path: Path) -> None:
    def change(project, observation) -> None:
        for row in observation["events"]:
            row[1] = {"face 1": "Anna", "face 2": "Ben"}[row[1]]

    with pytest.raises(DeftError, match="are both read as face 1"):
        read_coding(boris_with(change, tmp_path))

    def of_one(project, observation) -> None:
        for row in observation["events"]:
            row[1] = "Anna"

    assert {one.face for one in read_coding(boris_with(of_one, tmp_path)).events} == {1}


FREE = ["a bit of smile", "destra e sinistra", "rejected by supervisor", "rise and fall", "B B"]


@pytest.mark.parametrize("text", FREE)
def test_free_text_is_a_note_and_no_code(text: str, tmp_path: Path) -> None:
    (found,) = read_coding(eaf_with("AU12 left", [(400, 800, text)], tmp_path / "a.eaf"), CLOCK).events
    assert (found.phase, found.intensity, found.status, found.note) == ("rise", None, "coded", text)
    (found,) = read_coding(eaf_with("AU12", [(400, 800, "release c")], tmp_path / "b.eaf"), CLOCK).events
    assert (found.phase, found.intensity, found.note) == ("release", "C", "")


def test_free_text_of_boris_is_a_note_and_no_code(tmp_path: Path) -> None:
    def change(project, observation) -> None:
        for row in observation["events"]:
            row[3] = "rise|a bit|None"
        observation["events"][0][4] = "rejected by supervisor"

    one = Coding(media="a.mp4", fps=25, coder="Ann", events=[event(12, 10, None, 20)])
    (found,) = read_coding(boris_with(change, tmp_path, one)).events
    assert (found.phase, found.intensity, found.status) == ("rise", None, "coded")
    assert found.note == "a bit rejected by supervisor"


def test_child_tiers_of_elan_are_events_of_their_annotator(tmp_path: Path) -> None:
    from pympi import Elan

    eaf = Elan.Eaf()
    eaf.remove_tier("default")
    eaf.add_linguistic_type("inside", constraints="Included_In")
    eaf.add_tier("smile")
    eaf.add_annotation("smile", 0, 1000, "one")
    eaf.add_tier("AU12 left", "inside", parent="smile", part="subject 3", ann="Ann")
    eaf.add_annotation("AU12 left", 400, 800, "rise")
    eaf.to_file(tmp_path / "a.eaf")
    found = read_coding(tmp_path / "a.eaf", CLOCK)
    assert [(one.name, one.onset, one.offset) for one in found.events] == [("AU12 left", 10, 20)]
    assert found.coder == "Ann"


def test_a_reference_tier_of_elan_is_no_au(tmp_path: Path) -> None:
    from pympi import Elan

    eaf = Elan.Eaf()
    eaf.remove_tier("default")
    eaf.add_linguistic_type("beside", constraints="Symbolic_Association", timealignable=False)
    eaf.add_tier("smile")
    eaf.add_annotation("smile", 0, 1000, "one")
    eaf.add_tier("AU12 left", "beside", parent="smile")
    eaf.add_ref_annotation("AU12 left", "smile", 500, "rise")
    eaf.to_file(tmp_path / "a.eaf")
    with pytest.raises(DeftError, match=r"a\.eaf: AU12 left: its annotations refer to those of another"):
        read_coding(tmp_path / "a.eaf", CLOCK)


def test_a_side_of_datavyu_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    head = "{0}.ordinal,{0}.onset,{0}.offset,{0}.side\n1,400,800,left\n"
    path.write_text(head.format("AU12"))
    (found,) = read_coding(path, CLOCK).events
    assert (found.name, found.face, found.note) == ("AU12 left", 1, "")
    path.write_text(head.format("AU12_left_face_2"))
    (found,) = read_coding(path, CLOCK).events
    assert (found.name, found.face) == ("AU12 left", 2)
    path.write_text(head.format("AU12_right"))
    with pytest.raises(DeftError, match=r"sheet\.csv, line 2, AU12_right: side 'left' contradicts the name"):
        read_coding(path, CLOCK)


def test_faces_are_movements_of_their_own_and_a_clip_is_of_one(tmp_path: Path) -> None:
    events = [event(12, 10, 14, 20), event(4, 12, 14, 20, face=2), event(6, 12, 14, 20)]
    two = Coding(media="a.mp4", fps=25, coder="anna", events=events)
    assert [(m.face, [unit.number for unit in m.aus]) for m in movements_of(two)] == [(1, [6, 12]), (2, [4])]
    folder = tmp_path / "anna" / "s1"
    folder.mkdir(parents=True)
    formats.write_coding(two, folder / "a.mp4.csv")
    with pytest.raises(DeftError, match=r"a\.mp4\.csv: holds movements of faces 1, 2"):
        write_clips(tmp_path / "anna", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_with_another_delimiter_are_read(delimiter: str, tmp_path: Path) -> None:
    """As a spreadsheet of a country with decimal commas saves them."""
    table.write(coding(), tmp_path / "own.csv")
    for source in (tmp_path / "own.csv", GOLDEN / "datavyu.csv"):
        with source.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle))
        path = tmp_path / f"again-{source.name}"
        with path.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, delimiter=delimiter).writerows(rows)
        assert formats.holds_events(path)
        assert read_coding(path, CLOCK).events == read_coding(source, CLOCK).events
    assert read_coding(tmp_path / "again-own.csv").coder == "Ann"


def test_a_rate_is_given_to_codings_that_state_none(tmp_path: Path, run, capsys) -> None:
    folder, out = tmp_path / "anna" / "s1", tmp_path / "out.csv"
    folder.mkdir(parents=True)
    (folder / "a.mp4.csv").write_text("au;onset;offset\n12;10;20\n")
    words = ("corpus", "from-codings", tmp_path / "anna", "--out", out)
    assert run(*words) == 1 and "give it with --fps" in capsys.readouterr().err
    assert run(*words, "--fps", 0) == 2
    assert run(*words, "--fps", 50) == 0
    with out.open(encoding="utf-8", newline="") as handle:
        assert [(row["onset"], row["fps"]) for row in csv.DictReader(handle)] == [("10", "50")]
