"""The folders and spreadsheets of real corpora, filled with synthetic clips, so
that real loaders are exercised.

Each layout says where a clip's frames lie and how they are called, and writes the corpus' annotation table
with its exact columns (field notes: corpora layouts). Tables hold the *annotated* values, as real ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft_llm.facs.emotions import objective_class as classify
from deft_llm.facs.notation import aus_cell
from deft_llm.files import atomic_path, write_text
from deft_llm.records import Clip
from deft_llm.synth.core.settings import ClipSpec

CASME2_TABLE = "CASME2-coding-20190701.xlsx"
SAMM_TABLE = "SAMM_Micro_FACS_Codes_v2.xlsx"
CASME3_TABLE = "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
SMIC_CODES = {"negative": "ne", "positive": "po", "surprise": "sur"}

# Labels that a corpus does not know become the nearest of the same coarse class that it knows.
CASME2_LABELS = {"anger": "disgust", "contempt": "repression", "tense": "others"}
SAMM_LABELS = {"repression": "sadness", "tense": "other", "others": "other"}
CASME3_LABELS = {
    "contempt": "disgust", "repression": "sad", "sadness": "sad", "happiness": "happy", "tense": "others",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """``folder`` and ``frame`` name a clip's frames (relative to the corpus root); ``first`` is the number of
    frame 0; ``table`` writes the annotation after all clips are there; ``grey`` forces one channel;
    ``shared``: several clips lie in one folder."""

    folder: Callable[[ClipSpec, Clip], str]
    frame: Callable[[ClipSpec, int], str]
    table: Callable[[Path, list[tuple[ClipSpec, Clip]]], None]
    first: Callable[[ClipSpec], int]
    grey: bool | None = None
    shared: bool = False


def objective_class(clip: Clip) -> str:
    """The objective class I..VII of the annotated AUs."""

    return classify(clip.aus or [])


def casme2_name(spec: ClipSpec) -> str:
    """CASME II's file name of a clip: episode and take."""
    return f"EP{spec.place // 20 + 1:02d}_{spec.place % 20 + 1:02d}" + ("f" if spec.place % 5 == 1 else "")


def _marks(clip: Clip) -> tuple[int, int, int]:
    """Onset, apex and offset, which every synthetic clip has."""
    assert clip.onset is not None and clip.apex is not None and clip.offset is not None, clip.clip_id
    return clip.onset, clip.apex, clip.offset


def _casme2_table(root: Path, rows: list[tuple[ClipSpec, Clip]]) -> None:
    header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
              "Estimated Emotion", "Objective Classes"]  # fmt: skip
    roman = ["I", "II", "III", "IV", "V", "VI", "VII"]
    body = []
    for spec, clip in rows:
        label = CASME2_LABELS.get(clip.emotion or "others", clip.emotion or "others")
        body.append([spec.subject + 1, casme2_name(spec), None, *(at + 1 for at in _marks(clip)),
                     None,_cell(clip), label, roman.index(objective_class(clip)) + 1])  # fmt: skip
    _workbook(root / CASME2_TABLE, "Sheet1", [header, *body])


def _cell(clip: Clip) -> str | int:
    """The AU cell: spreadsheets hold a lone plain AU as a number."""
    text = aus_cell(clip.aus)
    return int(text) if text.isdigit() else text


def _samm_first(spec: ClipSpec) -> int:
    return 100 + 137 * spec.place


def _samm_name(spec: ClipSpec) -> str:
    return f"{spec.subject + 6:03d}_{spec.place // 9 + 1}_{spec.place % 9 + 1}"


def _samm_table(root: Path, rows: list[tuple[ClipSpec, Clip]]) -> None:
    header = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
    "Duration",
              "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"]  # fmt: skip
    roman = ["I", "II", "III", "IV", "V", "VI", "VII"]
    notes: list[list[Any]] = [
        ["SAMM micro-movements, same columns"],
        ["Synthetic clips in this layout"],
        *[[None]] * 11,
    ]
    body = []
    for spec, clip in rows:
        first = _samm_first(spec)
        label = SAMM_LABELS.get(clip.emotion or "other", clip.emotion or "other").capitalize()
        frames = [first + at for at in _marks(clip)]
        body.append([spec.subject + 6, _samm_name(spec), spec.place // 9 + 1, *frames,
        frames[2] - frames[0] + 1,
                     "Micro - 1/2", _cell(clip), label, roman.index(objective_class(clip)) + 1,
                     None])  # fmt: skip
    _workbook(root / SAMM_TABLE, "MICRO_ONLY", [*notes, header, *body])


def _smic_name(spec: ClipSpec, clip: Clip) -> str:
    return f"s{spec.subject + 1}_{SMIC_CODES[clip.coarse or 'negative']}_{spec.place + 1:02d}"


def _smic_folder(spec: ClipSpec, clip: Clip) -> str:
    return (
        f"SMIC_all_cropped/HS/s{spec.subject + 1}/micro/{clip.coarse or 'negative'}/{_smic_name(spec, clip)}"
    )


def _casme3_letter(spec: ClipSpec) -> str:
    return "abcdefghijklm"[spec.place % 13]


def _casme3_first(spec: ClipSpec) -> int:
    return 1 + 5000 * (spec.place // 13)


def _casme3_table(root: Path, rows: list[tuple[ClipSpec, Clip]]) -> None:
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    body = []
    for spec, clip in rows:
        label = CASME3_LABELS.get(clip.emotion or "others", clip.emotion or "others")
        first = _casme3_first(spec)
        body.append([f"spNO.{spec.subject + 1}", _casme3_letter(spec), *(first + at for at in _marks(clip)),
                     _cell(clip), objective_class(clip), label])  # fmt: skip
    _workbook(root / CASME3_TABLE, "label", [header, *body])


def _folder_table(root: Path, rows: list[tuple[ClipSpec, Clip]]) -> None:
    """A plain table for the generic folder loader: one line per clip, 0-based frame indices."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "subject", "clip", "fps", "onset", "apex", "offset", "aus", "emotion"])
    for spec, clip in rows:
        name = f"s{spec.subject + 1:02d}"
        writer.writerow([f"{name}/{spec.name}", name, spec.name, f"{spec.fps:g}",
                         *("" if v is None else v for v in (clip.onset, clip.apex, clip.offset)),
                         aus_cell(clip.aus), clip.emotion or ""])  # fmt: skip
    write_text(root / "clips.csv", text.getvalue())


def _no_table(root: Path, rows: list[tuple[ClipSpec, Clip]]) -> None:
    """Nothing besides the records (native) or the folder names (SMIC)."""


def _workbook(path: Path, sheet: str, rows: list[list]) -> None:
    """Write rows to an .xlsx whose bytes depend on the rows only."""
    import datetime

    from openpyxl import Workbook

    book = Workbook()
    page = book.active
    page.title = sheet
    for row in rows:
        page.append(row)
    book.properties.created = book.properties.modified = datetime.datetime(2020, 1, 1)
    with atomic_path(path) as temporary:
        book.save(temporary)


def _first_one(spec: ClipSpec) -> int:
    return 1


def _first_zero(spec: ClipSpec) -> int:
    return 0


LAYOUTS: dict[str, Layout] = {
    "native": Layout(
        lambda spec, clip: f"frames/{clip.clip_id.removeprefix('synthetic/')}",
        lambda spec, index: f"{index:05d}.png", _no_table, _first_zero,
    ),
    "folder": Layout(
        lambda spec, clip: f"s{spec.subject + 1:02d}/{spec.name}",
        lambda spec, index: f"{index:05d}.png", _folder_table, _first_zero,
    ),
    "casme2": Layout(
        lambda spec, clip: f"CASME2_RAW_selected/sub{spec.subject + 1:02d}/{casme2_name(spec)}",
        lambda spec, index: f"img{index + 1}.jpg", _casme2_table, _first_one,
    ),
    "samm": Layout(
        lambda spec, clip: f"SAMM/{spec.subject + 6:03d}/{_samm_name(spec)}",
        lambda spec, index: f"{spec.subject + 6:03d}_{_samm_first(spec) + index:05d}.jpg", _samm_table,
        _samm_first,
        grey=True,
    ),
    "smic": Layout(
        _smic_folder, lambda spec, index: f"reg_image{13000 + index:06d}.bmp", _no_table, _first_zero,
    ),
    "casme3": Layout(
        lambda spec, clip: f"part_A_split/part_A/spNO.{spec.subject + 1}/{_casme3_letter(spec)}/color",
        lambda spec, index: f"{_casme3_first(spec) + index}.jpg", _casme3_table, _casme3_first, shared=True,
    ),
}  # fmt: skip
