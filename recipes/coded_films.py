"""Films of ``deft synth --film sequences``: what is stated of them beside what is true, one to one per AU.

A statement meets a true rise or release of the same unit whose onset lies within 0.35 s (release: 0.4 s), or
a rise in which its apex lies; a maximum matching uses each once. Units that pictures hardly tell apart count
as one (6 and 7, 23 and 24, 25 to 27); lids are not counted.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.evaluation.spotting import Pairs, most_pairs
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.video import frames, probe
from deft_llm.files import read_json, sha256_of
from deft_llm.spotting.movement import MovementUnit
from deft_llm.spotting.phases import AUPhase
from deft_llm.spotting.watch import watch
from deft_llm.state.track import FaceTrack

SAME = {7: 6, 24: 23, 26: 25, 27: 25}
LIDS = frozenset({43, 45, 46})
RISE_SECONDS, RELEASE_SECONDS, LATE_SECONDS = 0.35, 0.4, 0.1
TWIN_SECONDS = 0.15  # between onsets of units that count as one
PARTING = frozenset({10, 16, 22})  # units that part the lips: FACS scores 25 then, the films' truth does not
VISIBLE_LEVEL = 1.5  # of 5: what is stronger anybody sees, and counts for recall
NO_LEVEL = 0.3  # below this nothing is there


class Row(NamedTuple):
    """One unit in one phase; seconds; ``level`` 0 to 5; ``sure``: whether it can be judged there."""

    phase: str
    au: int
    side: str
    onset: float
    apex: float
    level: float = 0.0
    sure: bool = True


def row_of_unit(unit: MovementUnit) -> Row:
    """What a movement states of a unit."""
    return Row(unit.phase, SAME.get(unit.number, unit.number), unit.side, unit.onset_time, unit.apex_time)


def row_of_phase(phase: AUPhase, times: np.ndarray, side: str | None = None) -> Row:
    """What a unit's phase would state, on its own side or another; ``times`` (T,): seconds of the frames."""
    onset, apex = float(times[phase.onset]), float(times[phase.apex])
    return Row(phase.kind, SAME.get(phase.au, phase.au), side or phase.side, onset, apex)


@dataclass(frozen=True)
class Film:
    """``content``: hash of the video; ``truth``: as ``deft synth`` wrote it; ``rows``: its rises and releases
    without lids."""

    name: str
    content: str
    track: FaceTrack
    truth: dict[str, Any]
    rows: list[Row]

    @property
    def calm(self) -> bool:
        """Whether no expression happens in it."""
        return not self.truth["movements"]


def film_options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every script that reads such films: folders, ``--tracks``, ``--films``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--tracks", type=Path, required=True, help="keeps what the landmarker saw")
    parser.add_argument("--films", type=int, help="only the first so many of each folder")
    return parser


def films_of(folder: Path, tracks: Path, most: int | None = None) -> Iterator[Film]:
    """The first ``most`` films of a folder with their tracks, read once and kept in ``tracks`` by the films'
    names and contents.

    Raises: UsageError where the folder holds no film.
    """
    videos = sorted((folder / "video").glob("*.mp4"))
    done = [path for path in videos if (folder / "records" / f"{path.stem}.json").is_file()]
    if not done:
        raise UsageError(f"{folder}: holds no film; make some with 'deft synth {folder} --film sequences'.")
    tracks.mkdir(parents=True, exist_ok=True)
    for path in done[:most]:
        content = sha256_of(path)[:16]
        kept = tracks / f"{path.stem}-{content}.track.npz"
        if not kept.is_file():
            fps = probe(path).fps
            watched = watch(frames(path), fps or 25.0, default_landmarker(), motion=False)
            watched.tracks[1].save(kept)
        truth = read_json(folder / "truth" / f"{path.stem}.json")
        rows = true_rows(truth, folder / "truth" / f"{path.stem}.csv")
        yield Film(path.stem, content, FaceTrack.load(kept), truth, rows)


def true_rows(truth: dict[str, Any], table: Path) -> list[Row]:
    """Rises and releases of a film, without lids."""
    with open(table, newline="", encoding="utf-8") as handle:
        lines = list(csv.DictReader(handle))
    rows = []
    for movement in truth["movements"]:
        for unit in movement["aus"]:
            if unit["number"] in LIDS:
                continue
            column = f"AU{unit['number']:02d}_sure"
            inside = lines[unit["onset"] : max(unit["apex"], unit["onset"]) + 1]
            rows.append(Row(
                unit["phase"], SAME.get(unit["number"], unit["number"]),
                "both" if unit["side"] == "asymmetric" else unit["side"], unit["onset_time"],
                unit["apex_time"], max(unit["intensity_before"], unit["intensity_after"]),
                float(np.mean([int(line.get(column, 1)) for line in inside])) > 0.5,
            ))  # fmt: skip
    rows = folded(rows)
    return rows + parted(rows)


def parted(rows: list[Row]) -> list[Row]:
    """Rows of AU25 that is neither right nor wrong: other units part the lips, no row of its own says so."""
    own = [row for row in rows if row.au == 25]
    return [
        row._replace(au=25, side="both", sure=False) for row in rows
        if row.au in PARTING and not any(one.phase == row.phase and one.onset <= row.apex + LATE_SECONDS
                                         and row.onset <= one.apex + LATE_SECONDS for one in own)
    ]  # fmt: skip


def folded(rows: list[Row]) -> list[Row]:
    """Units that count as one and move at the same time are one row: 6 and 7 of a wink."""
    kept: list[Row] = []
    for row in rows:
        at = next((i for i, one in enumerate(kept) if (one.phase, one.au) == (row.phase, row.au)
                   and abs(one.onset - row.onset) <= TWIN_SECONDS), None)  # fmt: skip
        if at is None:
            kept.append(row)
            continue
        one = kept[at]
        kept[at] = one._replace(
            side=one.side if one.side == row.side else "both", apex=max(one.apex, row.apex),
            level=max(one.level, row.level), sure=one.sure and row.sure,
        )  # fmt: skip
    return kept


def matched(stated: list[Row], truth: list[Row]) -> Pairs:
    """Pairs (statement, truth), as many as can be."""
    if not stated or not truth:
        return []
    gap = np.array([[abs(one.onset - two.onset) for two in truth] for one in stated])
    allowed = np.array([[_meets(one, two) for two in truth] for one in stated])
    return most_pairs(1 / (1 + gap), allowed)


def _meets(stated: Row, true: Row) -> bool:
    if stated.au != true.au or stated.phase != true.phase:
        return False
    gap = abs(stated.onset - true.onset)
    if stated.phase == "release":
        return gap <= RELEASE_SECONDS
    return gap <= RISE_SECONDS or true.onset <= stated.apex <= true.apex + LATE_SECONDS
