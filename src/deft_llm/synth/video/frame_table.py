"""Exact truth of a film, frame by frame: AU intensities per side, lids, gaze, head pose, what hides what.

Columns are those of a FrameState table: ``frame, time_s, face, confidence``; ``yaw, pitch, roll`` degrees (to
the image's right, up, to the image's right); ``gaze_x, gaze_y`` degrees in the head (to the image's right,
up); ``lid_left, lid_right`` opening over the neutral opening (1 neutral, 0 shut); ``AU01_L, AU01_R, ...``
intensity 0..5, five times the unit's weight, over the person's neutral; ``AU01_sure, ...`` 0 where the AU
cannot be judged in that frame. Beside them: ``speech, blink, closure, wink, hand`` 0/1 and ``hidden_brows,
hidden_eyes, hidden_mouth`` shares of the places that something hides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from deft_llm.facs.units import entry
from deft_llm.records import ActionUnit
from deft_llm.synth.core.sequence import INTENSITY, Movement, Sequence, UnitRow
from deft_llm.synth.core.unit_map import SYNTH_AUS
from deft_llm.synth.video import truth
from deft_llm.synth.video.film import Performer
from deft_llm.synth.video.hands import HIDDEN
from deft_llm.synth.video.scene import rotation

FRAME_AUS = tuple(au for au in SYNTH_AUS if au != 45)  # a blink is AU43 for a short time
SPAN_EVENTS = ("speech", "blink", "closure", "wink", "hand")
TURNED = 35.0  # degrees of yaw from which one side of the face is not judged
SPOKEN = (10, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28)  # mouth units that speech uses
PLACE = {"brows": (1, 2, 4), "eyes": (5, 6, 7, 43), "mouth": (12, *SPOKEN)}


def frame_table(sequence: Sequence, performer: Performer, hidden: np.ndarray) -> pd.DataFrame:
    """The table of a film; hidden (T, 3): shares of brows, eyes and mouth that something hides."""
    plan = sequence.plan
    count = len(plan.times)
    pose = head_pose(sequence, performer)
    columns: dict[str, Any] = {
        "frame": np.arange(count), "time_s": np.round(plan.times, 5), "face": np.zeros(count, int),
        "confidence": np.round(1 - hidden.mean(1), 3),
        "yaw": pose[:, 0].round(3), "pitch": pose[:, 1].round(3), "roll": pose[:, 2].round(3),
        "gaze_x": np.degrees(plan.gaze[:, 0]).round(3), "gaze_y": np.degrees(plan.gaze[:, 1]).round(3),
    }  # fmt: skip
    opening = lid_opening(sequence, performer)
    columns |= {"lid_left": opening[:, 0].round(4), "lid_right": opening[:, 1].round(4)}
    for au in FRAME_AUS:
        left, right = intensities(sequence, au)
        columns |= {f"AU{au:02d}_L": left.round(3), f"AU{au:02d}_R": right.round(3)}
    spans = {name: np.zeros(count, int) for name in SPAN_EVENTS}
    for event in sequence.events:
        name = event["kind"].split()[0]
        if name in spans:
            spans[name][(plan.times >= event["onset"]) & (plan.times <= event["offset"])] = 1
    for number, place in enumerate(HIDDEN):
        columns[f"hidden_{place}"] = hidden[:, number].round(3)
    turned = np.abs(pose[:, 0]) > TURNED
    for au in FRAME_AUS:
        sure = ~turned
        for number, place in enumerate(HIDDEN):
            if au in PLACE[place]:
                sure = sure & (hidden[:, number] < 0.5)
        if au in SPOKEN:
            sure = sure & (spans["speech"] == 0)
        columns[f"AU{au:02d}_sure"] = sure.astype(int)
    return pd.DataFrame(columns | spans)


def intensities(sequence: Sequence, au: int) -> tuple[np.ndarray, np.ndarray]:
    """Intensity (T,) of an AU on the subject's left and right; lip parts count where they are strongest."""
    silent = np.zeros(len(sequence.plan.times), np.float32)
    sides = {"left": silent, "right": silent}
    for component, curve in sequence.shown.items():
        if component.au == au:
            for side in sides:
                if component.side in (None, side):
                    sides[side] = np.maximum(sides[side], curve)
    left, right = (np.clip(INTENSITY * sides[side], 0, INTENSITY) for side in ("left", "right"))
    return left, right


def head_pose(sequence: Sequence, performer: Performer) -> np.ndarray:
    """Yaw, pitch, roll (T, 3) degrees of the face as ``faces.pose`` measures them."""
    known = truth.landmark_vertices()[truth.BONY]
    head = performer.subject.head
    tilt = truth.rigid_turn(performer.subject.vertices[known], head.rest[known])
    return np.array([truth.angles(rotation(*turn) @ tilt) for turn in sequence.plan.turn])


def lid_opening(sequence: Sequence, performer: Performer) -> np.ndarray:
    """Distance of upper from lower lid over the neutral one, left and right (T, 2)."""
    names = list(truth.LANDMARKS)
    chosen = [names.index(f"{side} {lid} lid") for side in ("left", "right") for lid in ("upper", "lower")]
    vertices = truth.landmark_vertices()[chosen]
    base = performer.subject.vertices[vertices]
    places = np.repeat(base[None].astype(np.float64), len(sequence.plan.times), 0)
    still = base.astype(np.float64)
    for key, curve in sequence.plan.tracks.items():
        field = performer.displacement(key)[0][vertices]
        shown = 0.0 if isinstance(key, str) else sequence.shown.get(key, 0.0)
        held = np.broadcast_to(np.asarray(curve - shown), curve.shape)
        places += curve[:, None, None] * field
        still = still + float(np.median(held)) * (not isinstance(key, str)) * field
    gap = lambda points: points[..., 0::2, 1] - points[..., 1::2, 1]  # noqa: E731
    return np.clip(gap(places) / np.maximum(gap(still), 1e-3), 0, None)


def movement_json(sequence: Sequence) -> dict[str, Any]:
    """Movements and events with frames and seconds, as the JSON beside the film holds them."""
    plan = sequence.plan
    place = lambda seconds: int(np.clip(round(seconds * plan.fps), 0, len(plan.times) - 1))  # noqa: E731
    movements = []
    for movement in sequence.movements:
        rows = [_row(row, place) for row in movement.rows]
        movements.append({
            "kind": movement.kind, "fine": movement.fine, "coarse": movement.coarse,
            "onset": min(row["onset"] for row in rows), "offset": max(row["offset"] for row in rows),
            "aus": rows,
        })  # fmt: skip
    events = [
        event | {"onset": place(event["onset"]), "offset": place(event["offset"]),
                 "onset_time": round(event["onset"], 4), "offset_time": round(event["offset"], 4)}
        for event in sequence.events
    ]  # fmt: skip
    return {
        "schema": 1, "fps": plan.fps, "frames": len(plan.times), "movements": movements, "events": events,
        "rest": {str(au): share for au, share in sequence.rest.items()},
    }  # fmt: skip


def _row(row: UnitRow, place: Any) -> dict[str, Any]:
    return {
        "number": row.number, "side": side_of(row), "phase": row.phase,
        "onset": place(row.onset), "apex": place(row.apex), "offset": place(row.offset),
        "onset_time": round(row.onset, 4), "apex_time": round(row.apex, 4),
        "offset_time": round(row.offset, 4), "left": row.left, "right": row.right,
        "intensity_before": row.before, "intensity_after": row.after,
    }  # fmt: skip


def side_of(row: UnitRow) -> str:
    """The side as a coder writes it."""
    if entry(row.number).scoring != "sides":
        return "both"
    low, high = sorted((row.left, row.right))
    if low < 0.2 * high:
        return "left" if row.left > row.right else "right"
    return "asymmetric" if low < 0.6 * high else "both"


def clip_events(sequence: Sequence) -> list[dict[str, Any]]:
    """What the clip's record says happens: expressions with their AUs, then everything else, frames."""
    told = movement_json(sequence)
    found = [_expression(movement, known) for movement, known in
             zip(sequence.movements, told["movements"], strict=True)]  # fmt: skip
    for event in told["events"]:
        middle = (event["onset"] + event["offset"]) // 2
        marks = {"onset": event["onset"], "apex": middle, "offset": event["offset"]}
        found.append({"kind": event["kind"]} | marks
                     | {"aus": [], "fine": None, "coarse": None, "peak_px": 0.0})  # fmt: skip
    return sorted(found, key=lambda event: event["onset"])


def _expression(movement: Movement, known: dict[str, Any]) -> dict[str, Any]:
    rises = [row for row in known["aus"] if row["phase"] == "rise"]
    strongest = max(rises, key=lambda row: row["intensity_after"])
    units = [ActionUnit(number=row["number"], side=row["side"]) for row in rises]
    return {
        "kind": movement.kind, "onset": known["onset"], "apex": strongest["apex"], "offset": known["offset"],
        "aus": [unit.model_dump(exclude_defaults=True) for unit in units], "fine": movement.fine,
        "coarse": movement.coarse, "peak_px": 0.0,
    }  # fmt: skip
