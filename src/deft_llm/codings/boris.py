"""BORIS project files (.boris, format 7.0): AU and side are behaviours, an event is a start and a stop.

Events are rows ``[time s, subject, behaviour, modifiers, comment, frame]``; a state behaviour starts and
stops in turn. Modifiers hold phase and intensity ("rise|C"), the comment of the start holds apex, status and
note. Read by the rules of BORIS 8 (``project_functions.events_start_stop``), which is a desktop program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from deft_llm.codings.events import (
    INTENSITIES,
    PHASES,
    STATUSES,
    AUName,
    CodedEvent,
    Coding,
    FrameClock,
    clock_for,
    event_at,
    media_name,
)  # fmt: skip
from deft_llm.codings.tiers import on_tiers, parse_tier, tier_name, unread_of, words_of
from deft_llm.errors import DeftError
from deft_llm.files import read_object, write_text

FORMAT_VERSION = "7.0"
OBSERVATION = "coding"
NONE = "None"
"""BORIS' word for a modifier that was not chosen."""


def write(coding: Coding, path: Path) -> None:
    """Write ``coding`` as a project with one observation of its video."""
    coding = coding.sorted()
    named = [  # the face is the subject, no part of the behaviour; both frames of an event belong to it
        (tier_name(event.model_copy(update={"face": 1}), number), event)
        for number, event in on_tiers(coding.events, lambda event: (event.onset, event.offset + 1))
    ]
    names = sorted({name for name, _ in named})
    media = coding.media or "video.mp4"
    last = max((event.offset_time for event in coding.events), default=0.0)
    rows = sorted((row for name, event in named for row in _rows(name, event)), key=lambda row: row[0])
    project = {
        "time_format": "hh:mm:ss", "project_date": "1970-01-01T00:00:00", "project_name": media_name(media),
        "project_description": "facial events, AU and side", "project_format_version": FORMAT_VERSION,
        "subjects_conf": {str(i): {"key": "", "name": name, "description": ""}
                          for i, name in enumerate(sorted({_subject(event) for event in coding.events}))},
        "behaviors_conf": {str(i): _behaviour(name) for i, name in enumerate(names)},
        "observations": {OBSERVATION: {
            "file": {"1": [media], **{str(player): [] for player in range(2, 9)}}, "type": "MEDIA",
            "date": "1970-01-01T00:00:00", "description": "", "time offset": 0.0, "events": rows,
            "observation time interval": [0, 0], "independent_variables": {"coder": coding.coder},
            "visualize_spectrogram": False, "visualize_waveform": False,
            "close_behaviors_between_videos": False,
            "media_info": {"length": {media: last}, "fps": {media: coding.fps}, "hasVideo": {media: True},
                           "hasAudio": {media: False}, "offset": {"1": 0.0}},
        }},
        "behavioral_categories": [],
        "independent_variables": {"0": {"label": "coder", "description": "", "type": "text",
                                        "default value": "", "possible values": ""}},
        "coding_map": {}, "behaviors_coding_map": [], "converters": {},
    }  # fmt: skip
    write_text(path, json.dumps(project, indent=1, ensure_ascii=False) + "\n")


def _behaviour(name: str) -> dict[str, Any]:
    sets = {
        str(i): {"name": title, "description": "", "type": 0, "values": list(values), "ask at stop": False}
        for i, (title, values) in enumerate((("phase", PHASES), ("intensity", INTENSITIES)))
    }
    return {"type": "State event", "key": "", "code": name, "description": "", "color": "", "category": "",
            "modifiers": sets, "excluded": "", "coding map": ""}  # fmt: skip


def _subject(event: CodedEvent) -> str:
    return f"face {event.face}"


def _rows(name: str, event: CodedEvent) -> list[list[Any]]:
    modifiers = f"{event.phase}|{event.intensity or NONE}"
    apex = "" if event.apex is None else f"apex {event.apex}"
    status = "" if event.status == "coded" else event.status
    comment = "; ".join(filter(None, (apex, status, event.note)))
    return [
        [event.onset_time, _subject(event), name, modifiers, comment, event.onset],
        [event.offset_time, _subject(event), name, modifiers, "", event.offset],
    ]


def read(path: Path, clock: FrameClock | None, observation: str | None = None) -> Coding:
    """The coded AUs of one observation; behaviours that name no AU are not events.

    Raises: DeftError for a file that is no project, several observations, and what ``_events`` refuses.
    """
    try:
        project = read_object(path, mend="save it anew in BORIS")
        observations = project["observations"]
        name = observation or (next(iter(observations)) if len(observations) == 1 else None)
        if name is None:
            raise DeftError(
                f"{path}: holds {len(observations)} observations; export one of them to a project of its own."
            )
        found = observations[name]
        media = next((m for files in found["file"].values() for m in files), "")
        if more := next((files for files in found["file"].values() if len(files) > 1), None):
            raise DeftError(
                f"{path}: the observation holds {len(more)} videos one after another; code each in an "
                "observation of its own."
            )
        rate = found.get("media_info", {}).get("fps", {}).get(media)
        clock = clock_for(clock, [] if rate is None else [float(rate)], path)
        if clock is None:
            raise KeyError("fps")
        if not isinstance(found["events"], list):
            raise TypeError("events are no list")
        later = round(float(found.get("time offset") or 0), 3)  # s, as BORIS adds it to the times it records
        rows = [_row(row, i, path, later) for i, row in enumerate(found["events"], 1)]
        points = {
            str(one.get("code")) for one in project.get("behaviors_conf", {}).values()
            if str(one.get("type")).lower().startswith("point")
        }  # fmt: skip
        coder = str(found.get("independent_variables", {}).get("coder", ""))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DeftError(
            f"{path}: is no BORIS project with a video and its frame rate ({type(error).__name__}: {error}); "
            "save it anew in BORIS, or give the rate with --fps."
        ) from error
    behaviours = {row[2]: parse_tier(row[2], path) for row in sorted(rows, key=lambda row: row[0])}
    events = _events(path, rows, behaviours, points, clock)
    return Coding(
        media=media, fps=clock.fps, coder=coder, events=events, unread=unread_of(behaviours)
    ).sorted()


def _row(row: Any, number: int, path: Path, later: float) -> tuple[float, str, str, str, str, int | None]:
    """One event, its time that of the video: ``later`` s before the recorded one."""
    if not isinstance(row, list) or len(row) < 5:
        raise DeftError(
            f"{path}: event {number} is no row of time, subject, behaviour, modifiers, comment; "
            "save the project anew in BORIS."
        )
    frame = row[5] if len(row) > 5 and isinstance(row[5], int) and row[5] >= 0 else None
    return float(row[0]) - later, str(row[1]), str(row[2]), str(row[3] or ""), str(row[4] or ""), frame


def _events(
    path: Path, rows: list[Any], behaviours: Mapping[str, AUName | None], points: set[str], clock: FrameClock
) -> list[CodedEvent]:
    """Starts and stops in turn, per subject, behaviour and modifiers, as BORIS pairs them.

    ``behaviours``: what each one's name says. ``points``: those that are point events. Raises: DeftError for
    one of these that is an AU, a start without a stop, and two subjects of one face.
    """
    streams: dict[tuple[str, str, str], list[Any]] = {}
    for row in sorted(rows, key=lambda row: row[0]):
        if behaviours[row[2]] is not None:
            streams.setdefault(row[1:4], []).append(row)
    events = []
    subjects: dict[int, str] = {}
    for (subject, behaviour, modifiers), found in streams.items():
        if behaviour in points:
            raise DeftError(
                f"{path}: {behaviour} is a point event, which has no offset; make it a state event in BORIS."
            )
        where = f"{path}: {behaviour} at {found[-1][0]:.3f} s"
        if len(found) % 2:
            raise DeftError(f"{where}: starts and never stops; add the stop in BORIS.")
        named = behaviours[behaviour]
        assert named is not None
        numbered = re.fullmatch(r"face (\d+)", subject)
        face = int(numbered[1]) if numbered else named.face
        if (other := subjects.setdefault(face, subject)) != subject:
            raise DeftError(
                f"{path}: the subjects {other!r} and {subject!r} are both read as face {face}; "
                "call them 'face 1', 'face 2' and so on in BORIS."
            )
        for start, stop in list(pairwise(found))[::2]:
            apex, status, note = _comment(start[4])
            chosen = [part for part in modifiers.split("|") if part != NONE]
            where = f"{path}: {behaviour} at {start[0]:.3f} s"
            events.append(event_at(
                clock, where=where, au=named.au, side=named.side,
                onset=start[5], onset_time=start[0], offset=stop[5], offset_time=stop[0], apex=apex,
                face=face, **words_of([*chosen, status], note, named.intensity, where),
            ))  # fmt: skip
    return events


def _comment(text: str) -> tuple[int | None, str, str]:
    """Apex frame, status and note of a start's comment."""
    status = "|".join(STATUSES[1:])
    found = re.match(rf"(?:apex (\d+)(?=; |$))?(?:(?:^|; )({status})(?=; |$))?(?:; |$)?(.*)", text, re.S)
    assert found is not None
    return (int(found[1]) if found[1] else None), found[2] or "", found[3]
