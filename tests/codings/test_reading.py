"""What codings of other programs and hands hold is read, or told with its file."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from deft_llm.cli import main
from deft_llm.codings import formats, table
from deft_llm.codings.agreement import agreement_over
from deft_llm.codings.as_data import movements_of, write_clips, write_overlay
from deft_llm.codings.events import Coding, FrameClock
from deft_llm.codings.formats import read_coding
from deft_llm.codings.pairs import pairs_of
from deft_llm.errors import DeftError, UsageError
from tests.codings.conftest import CLOCK, coding, event, result_json
from tests.corpora.conftest import Maker

GOLDEN = Path(__file__).with_name("golden")


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
    assert write_clips(tmp_path / "anna", tmp_path / "out.csv").clips > 0
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


@pytest.mark.parametrize(
    "name",
    [
        "AU12+25",
        "AU99",
        "AU12 links",
        "4+7",
        "12+99",
        "AU12\u200b",
        "L12+R14C",
        "T23",
        "L99",
        "left AU99",
        "L12R",
        "13?",
    ],
)
def test_a_name_that_means_aus_and_is_none_is_told(name: str, tmp_path: Path) -> None:
    """Its events would be taken for none."""
    with pytest.raises(DeftError, match="is not that of one AU") as error:
        read_coding(eaf_with(name, [(400, 800, "rise")], tmp_path / "a.eaf"), CLOCK)
    assert "a.eaf" in str(error.value)
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"{name}.ordinal,{name}.onset,{name}.offset\n1,400,800\n", encoding="utf-8")
    with pytest.raises(DeftError, match="is not that of one AU"):
        read_coding(sheet, CLOCK)


OTHERS = ("speech", "2 speakers", "audio", "take 1, 2", "T1", "T1+T2", "A3", "V2", "A99", "12F", "R2D2")


def test_other_tiers_are_no_events_and_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Names that only look like AUs too: FACS has no upper lip of AU1 (T1) and no sides of AU3 (A3)."""
    for number, name in enumerate((*OTHERS, "AU12 left note", "left AU12 apex", "no events")):
        told = [name] if name in OTHERS else []
        path = eaf_with(name, [(400, 800, "rise")], tmp_path / f"{number}.eaf")
        grid = textgrid_with(name, (0.4, 0.8, "rise"), tmp_path / f"{number}.TextGrid")
        sheet = tmp_path / f"{number}.csv"
        sheet.write_text(f'"{name}.ordinal","{name}.onset","{name}.offset"\n1,400,800\n')
        for found in (read_coding(path, CLOCK), read_coding(grid, CLOCK), read_coding(sheet, CLOCK)):
            assert (found.events, found.unread) == ([], told)

    def change(project, observation) -> None:
        observation["events"] += [[0.1, "face 1", name, "", ""] for name in ("T1", "speech", "T1")]

    boris = boris_with(change, tmp_path, Coding(media="a.mp4", fps=25, events=[event(12, 10, None, 20)]))
    found = read_coding(boris)
    assert ([one.name for one in found.events], found.unread) == (["AU12 both"], ["T1", "speech"])
    line = "not read, no names of AUs: T1, speech"
    convert = ["convert", str(boris), str(tmp_path / "b.eaf")]
    assert line in run(convert, capsys)
    assert json.loads(run([*convert, "--json"], capsys))["unread"] == ["T1", "speech"]
    said = run(["agree", str(boris), str(boris)], capsys)
    assert f"A: {line}" in said and f"B: {line}" in said
    folder = tmp_path / "codings" / "anna" / "s1"
    folder.mkdir(parents=True)
    (folder / "a.mp4.boris").write_bytes(boris.read_bytes())
    assert line in run(
        ["corpus", "from-codings", str(folder.parent), "--out", str(tmp_path / "o.csv")], capsys
    )


def run(words: list[str], capsys: pytest.CaptureFixture) -> str:
    """What a command prints."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    return capsys.readouterr().out


NAMES = [("L12", "left", None), ("R12C", "right", "C"), ("12C", "both", "C"), ("12A", "both", "A"),
         ("12B", "both", "B"), ("A12", "asymmetric", None), ("left AU12", "left", None)]  # fmt: skip


@pytest.mark.parametrize(("name", "side", "grade"), NAMES)
def test_a_side_before_and_an_intensity_behind_the_number_are_read(name, side, grade, tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(f"au,onset,offset,intensity\n{name},10,20,\n")
    (tmp_path / "sheet.csv").write_text(f"{name}.ordinal,{name}.onset,{name}.offset\n1,400,800\n")
    eaf_with(name, [(400, 800, "release")], tmp_path / "a.eaf")
    textgrid_with(name, (0.4, 0.8, "release"), tmp_path / "a.TextGrid")

    def change(project, observation) -> None:
        for row in observation["events"]:
            row[2] = name

    one = Coding(media="a.mp4", fps=25, coder="Ann", events=[event(12, 10, None, 20)])
    boris = boris_with(change, tmp_path, one)
    for path in (tmp_path / "plain.csv", tmp_path / "sheet.csv", tmp_path / "a.eaf",
                 tmp_path / "a.TextGrid", boris):  # fmt: skip
        (found,) = read_coding(path, CLOCK).events
        assert (found.au, found.side, found.intensity, found.onset) == (12, side, grade, 10), path


def test_an_intensity_or_side_that_contradicts_the_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text("au,onset,offset,intensity,side\nL12C,10,20,B,\n")
    (tmp_path / "side.csv").write_text("au,onset,offset,intensity,side\nL12C,10,20,c,right\n")
    (tmp_path / "sheet.csv").write_text("12C.ordinal,12C.onset,12C.offset,12C.intensity\n1,400,800,B\n")
    eaf_with("12C", [(400, 800, "release B")], tmp_path / "a.eaf")
    for name in ("plain.csv", "side.csv", "sheet.csv", "a.eaf"):
        with pytest.raises(DeftError, match=r"contradicts the name of the AU") as error:
            read_coding(tmp_path / name, CLOCK)
        assert name in str(error.value)
    eaf_with("12C", [(400, 800, "release c")], tmp_path / "b.eaf")
    (found,) = read_coding(tmp_path / "b.eaf", CLOCK).events
    assert (found.phase, found.intensity) == ("release", "C")


def test_an_annotation_that_ends_before_it_begins_is_told(tmp_path: Path) -> None:
    path = eaf_with("AU12 left", [(400, 800, "rise")], tmp_path / "a.eaf")
    path.write_text(path.read_text().replace('TIME_VALUE="800"', 'TIME_VALUE="-400"'))
    with pytest.raises(DeftError, match="ends before it"):
        read_coding(path, CLOCK)


def textgrid_with(tier: str, row: tuple[float, float, str], path: Path) -> Path:
    from praatio import textgrid

    grid = textgrid.Textgrid(0, 2)
    grid.addTier(textgrid.IntervalTier(tier, [row], 0, 2))
    grid.save(str(path), "short_textgrid", True)
    return path


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


@pytest.mark.parametrize(("text", "line"), [
    ("au,onset,offset,note\n12,10,20,a\n4,10,20,a\rb\n", 3),
    ("AU12.ordinal,AU12.onset,AU12.offset,AU12.note\n1,400,800,a\rb\n", 2),
    ("au,onset,offset\r12,10,20\r", 1),
])  # fmt: skip
def test_a_carriage_return_within_a_line_is_told(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    with pytest.raises(DeftError, match=rf"a\.csv, line {line}: holds a carriage return .*; put that cell"):
        read_coding(path, CLOCK)
    path.write_bytes(b'au,onset,offset,note\r\n12,10,20,"a\rb"\r\n')
    assert len(read_coding(path, CLOCK).events) == 1


def test_a_cell_that_never_ends_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('au,onset,offset,note\n12,10,20,"' + "x" * 200_000)
    with pytest.raises(DeftError, match=r"a\.csv, line 2: has a field larger .* close the quotes"):
        read_coding(tmp_path / "a.csv", CLOCK)


def test_names_that_a_spreadsheet_would_run_come_back(tmp_path: Path) -> None:
    first = Coding(media="-clip.mp4", fps=25, coder="@ann", events=[event(12, 10, None, 20, note="=1")])
    table.write(first, tmp_path / "a.csv")
    assert read_coding(tmp_path / "a.csv") == first
    formats.write_coding(first, tmp_path / "b.eaf")
    assert agreement_over(pairs_of(tmp_path / "a.csv", tmp_path / "b.eaf").both)["events"] == {
        "first": 1, "second": 1,
    }  # fmt: skip


def casme2_coded(folder: Path, name: str, *, encoding: str = "utf-8", last: int = 20) -> Path:
    """CASME II of one clip of 30 images, coded by anna in a file of the suffix ``name``."""
    make = Maker(folder)
    make.casme2("CASME2-coding-20140508.xlsx", [[31, "EP1", None, 45, 50, 60, None, "4", "disgust"]])
    make.frames("CASME2_RAW_selected/sub31/EP1", range(40, 70))
    path = make.root / "codings/anna/CASME2_RAW_selected/sub31" / f"EP1{name}"
    path.parent.mkdir(parents=True)
    formats.write_coding(Coding(fps=25, coder="anna", events=[event(4, 6, 12, last)]), path)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    return make.root


def test_a_textgrid_in_utf_16_becomes_a_correction(tmp_path: Path) -> None:
    root = casme2_coded(tmp_path, ".TextGrid", encoding="utf-16")
    found = write_overlay(root / "codings/anna", root, "casme2", root, tmp_path / "anna.yaml", CLOCK)
    assert [one["field"] for one in found.corrections] == ["apex", "onset"]


def test_an_event_after_the_images_of_a_clip_is_told(tmp_path: Path) -> None:
    root = casme2_coded(tmp_path, ".csv", last=30)
    with pytest.raises(DeftError, match=r"EP1\.csv: an event ends at frame 30.* only 30 images.*--fps"):
        write_overlay(root / "codings/anna", root, "casme2", root, tmp_path / "anna.yaml")
    assert not (tmp_path / "anna.yaml").exists()


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
    clock = FrameClock(50.0, [frame / 50 for frame in range(40)])
    found = read_coding(tmp_path / "result.json", clock)
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


def test_decimal_commas_and_the_line_that_names_the_delimiter(tmp_path: Path) -> None:
    plain, sheet = tmp_path / "a.csv", tmp_path / "sheet.csv"
    plain.write_text("sep=;\nau;onset_time;offset_time;fps;note\n12;0,40;0,80;25,00;1,5\n4;x;0,80;25;\n")
    with pytest.raises(DeftError, match=r"a\.csv, line 4: onset_time: 'x' is no number"):
        read_coding(plain)
    plain.write_text("sep=;\nau;onset_time;offset_time;fps;note\n12;0,40;0,80;25,00;1,5\n")
    sheet.write_text("sep=;\nAU12.ordinal;AU12.onset;AU12.offset\n1;400,0;800,0\n2;x;900\n")
    with pytest.raises(DeftError, match=r"sheet\.csv, line 4, AU12: 'x' is no time"):
        read_coding(sheet, CLOCK)
    sheet.write_text("sep=;\nAU12.ordinal;AU12.onset;AU12.offset\n1;400,0;800,0\n")
    for path, note in ((plain, "1,5"), (sheet, "")):
        assert formats.holds_events(path)
        (found,) = read_coding(path, CLOCK).events
        assert (found.au, found.onset, found.offset, found.note) == (12, 10, 20, note)
    plain.write_text('au,onset_time,offset_time,fps\n12,"0,40","0,80",25\n')
    with pytest.raises(DeftError, match="'0,40' is no number"):
        read_coding(plain)


@pytest.mark.parametrize("name", ["a.csv", "a.eaf", "a.boris", "result.json"])
def test_a_stated_rate_is_not_overruled(name: str, tmp_path: Path, run, capsys) -> None:
    source, out = tmp_path / name, tmp_path / "out.csv"
    if name == "result.json":
        source.write_text(json.dumps(result_json()))
    else:
        formats.write_coding(coding(), source)
    assert run("convert", source, out, "--fps", 60) == 1
    said = capsys.readouterr().err
    assert f"{name}: states 25 frames per second, and --fps says 60; correct one of them." in said
    assert not out.exists()
    assert run("convert", source, out, "--fps", 25.001) == 0
    clock = FrameClock(60.0, [frame / 60 for frame in range(200)])
    times = [frame.onset_time for frame in read_coding(out, FrameClock(25)).events]
    if name == "a.eaf":  # the times of the film hold, whatever rate the file states
        assert [one.onset for one in read_coding(source, clock).events] == [round(60 * t) for t in times]


@pytest.mark.parametrize("who", ["ANNOTATOR", "PARTICIPANT"])
def test_elan_of_two_coders_is_refused(who: str, tmp_path: Path) -> None:
    """The participant may be the person whom a tier shows: two of them name no coder."""
    formats.write_coding(coding().model_copy(update={"coder": ""}), tmp_path / "a.eaf")
    text = (tmp_path / "a.eaf").read_text()
    for tier, name in (("AU12 left", "Žofia"), ("AU4 both face 2", "Ben")):
        old = f'TIER_ID="{tier}"'
        assert old in text
        text = text.replace(old, f'{old} {who}="{name}"')
    (tmp_path / "a.eaf").write_text(text, encoding="utf-8")
    if who == "PARTICIPANT":
        assert read_coding(tmp_path / "a.eaf").coder == ""
    else:
        with pytest.raises(
            DeftError, match=r"a\.eaf: holds events of 2 coders \(Ben, Žofia\); give one coder"
        ):
            read_coding(tmp_path / "a.eaf")
    (tmp_path / "a.eaf").write_text(text.replace("Žofia", "Ben"), encoding="utf-8")
    assert read_coding(tmp_path / "a.eaf").coder == "Ben"


def test_a_number_of_one_has_no_s(tmp_path: Path, run, capsys) -> None:
    formats.write_coding(Coding(media="a.mp4", fps=25, events=[event(12, 10, None, 20)]), tmp_path / "a.csv")
    assert run("convert", tmp_path / "a.csv", tmp_path / "b.csv") == 0
    assert "b.csv: 1 event, csv" in capsys.readouterr().out


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
