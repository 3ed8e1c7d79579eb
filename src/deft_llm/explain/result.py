"""Records of an analysis: a movement read, and everything found in one video; as JSON and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.answer import mark_of
from deft_llm.claims import LIMITS
from deft_llm.explain.tables import tidy
from deft_llm.explain.units import hindrance
from deft_llm.explain.unjudged import Unjudged, hidden_in, of_movement, of_video
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.facs.units import name
from deft_llm.records import COARSE, Evidence, Prediction
from deft_llm.spooled import OnDisk
from deft_llm.spotting.excursions import smooth
from deft_llm.spotting.movement import Movement, MovementUnit, OtherEvent
from deft_llm.spotting.signal import Signal
from deft_llm.spotting.spot import AREA, Spotting
from deft_llm.state.face_state import FaceState, table_parts
from deft_llm.state.intensity import part_of
from deft_llm.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from deft_llm.explain.attribution import Attribution
    from deft_llm.store import Motion

RESULT_SCHEMA = 3
TIMELINE_POINTS = 1500
AREAS = ("brows", "eyes", "mouth")


@dataclass
class MovementReading:
    """One movement read: where and when (``movement``), what moved (``evidence``), what it is called.

    ``prediction`` and ``motion`` are None for movements that were spotted but not read, ``attribution`` until
    ``Analysis.attribute`` was called. ``not_judged``: AUs that could not be judged, with the reason;
    ``statements``: of the answer, each held against the measurement; ``marks``: what in the answer the
    measurement does not bear out, with why; ``pictures``: frame -> aligned RGB face of onset and apex of
    movements that were not measured.
    """

    movement: Movement
    evidence: list[Evidence] = field(default_factory=list)
    prediction: Prediction | None = None
    motion: OnDisk[Motion | None] = OnDisk(None)
    warning: str = ""
    not_judged: dict[int, str] = field(default_factory=dict)
    attribution: Attribution | None = field(default=None, repr=False)
    answer: str | None = None
    statements: list[Evidence] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    pictures: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def read(self) -> bool:
        """Whether something is stated about it: a class, or the Action Units of a release."""
        return self.prediction is not None or self.answer is not None

    @property
    def unjudged(self) -> list[Unjudged]:
        """What cannot be said about this movement, each with its reason."""
        named = bool(self.evidence) or bool(self.movement.units)
        coded = hindrance(self.not_judged)
        return of_movement(self.movement, read=self.read, named=named, warning=self.warning, coded=coded)

    @property
    def told(self) -> list[Unjudged]:
        """Of ``unjudged`` what a page says in a sentence of its own: no noise, and not the warning again."""
        return [one for one in self.unjudged if one.state != "below-noise" and one.why != self.warning]

    def to_dict(self) -> dict[str, Any]:
        """As one entry of ``movements`` in result.json."""
        record = {"read": self.read, **self.movement.to_dict()}
        hidden = record.pop("hidden")
        reason = self.movement.reason or "not judged"
        record["judged"] = {
            key: hidden.get(key, None if self.movement.judged else reason) for key in REGION_KEYS
        }
        record["evidence"] = _rows(self.evidence)
        record["class"], record["au_probabilities"] = None, {}
        if self.prediction is not None:
            seen = self.prediction
            record["class"] = {
                "fine": seen.fine, "coarse": seen.coarse, "label": seen.label,
                "probabilities": seen.probabilities,
            }  # fmt: skip
            record["au_probabilities"] = {au: round(p, 4) for au, p in seen.aus.items()}
        record["answer"], record["statements"] = self.answer, _rows(self.statements)
        record["contradicted"] = self.marks
        record["attribution"] = None if self.attribution is None else self.attribution.to_dict()
        record["cannot_judge"] = [state.to_dict() for state in self.unjudged]
        record["aus_not_judged"] = {str(au): reason for au, reason in self.not_judged.items()}
        record["warning"] = self.warning
        return record


def _rows(evidence: list[Evidence]) -> list[dict[str, Any]]:
    """Rows of evidence as JSON, each with its unit's name and the mark that people read."""
    return [
        {**row.model_dump(), "name": name(row.au) if row.au is not None else None, "mark": mark_of(row)}
        for row in evidence
    ]


@dataclass
class AnalysisResult:
    """Everything that was found in one video: ``readings`` in the order of time, ``events`` that are no
    expression, ``states`` of every face; ``spotting`` and ``signal`` are the first face's motion (None where
    only the state was read); ``digests``: of the checkpoint that read it, as ``digests_of`` its method."""

    source: str
    method: str
    video: dict[str, Any]
    readings: list[MovementReading]
    events: list[OtherEvent]
    states: list[FaceState] = field(repr=False)
    spotting: Spotting | None = field(default=None, repr=False)
    signal: Signal | None = field(default=None, repr=False)
    question: str | None = None
    question_answer: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = field(default=None, repr=False)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> np.ndarray:
        """(T,) s of the frames."""
        return self.states[0].times

    @property
    def movements(self) -> list[Movement]:
        """All movements, in the order of time."""
        return [reading.movement for reading in self.readings]

    @property
    def speech(self) -> list[OtherEvent]:
        """Stretches of speech."""
        return [event for event in self.events if event.kind == "speech"]

    @property
    def unjudged(self) -> list[Unjudged]:
        """What this video does not allow to judge, each with its reason."""
        aside = 0 if self.spotting is None else self.spotting.set_aside
        return of_video(self.states[0], self.signal, self.movements, aside)

    @property
    def own_answer(self) -> str | None:
        """The answer to the question where it is none of the movements' own (with regions held still)."""
        told = {one.answer for one in self.readings}
        return None if self.question_answer in told else self.question_answer

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json (schema in docs/reference/result.md); plain JSON types without NaN."""
        return plain({
            "schema": RESULT_SCHEMA,
            "deft_llm": __version__,
            "source": self.source,
            "method": self.method,
            "checkpoint": self.digests,
            "video": self.video,
            "neutral": [{"face": s.face, **s.neutral.to_dict()} for s in self.states],
            "movements": [{"rank": i + 1, **reading.to_dict()} for i, reading in enumerate(self.readings)],
            "events": [event.to_dict() for event in self.events],
            "timeline": self.timeline(),
            "question": self.question,
            "question_answer": self.question_answer,
            "cannot_judge": [state.to_dict() for state in self.unjudged],
            "notes": self.notes,
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "limits": list(LIMITS),
        })  # fmt: skip

    def timeline(self) -> dict[str, list[float]]:
        """Motion per area over time, aligned px away from where the area was a second around; thinned."""
        return self._timeline

    @cached_property
    def _timeline(self) -> dict[str, list[float]]:
        if self.signal is None:
            return {"times": [], **{area: [] for area in AREAS}}
        times, curves = area_curves(self.signal)
        step = max(1, math.ceil(len(times) / TIMELINE_POINTS))
        shown: dict[str, list[float]] = {"times": np.round(times[::step], 3).tolist()}
        for area, curve in curves.items():
            # The largest value of each bin, so that a short movement is not thinned away.
            bins = [curve[i : i + step] for i in range(0, len(curve), step)]
            shown[area] = [
                round(float(np.nanmax(part)), 3) if np.isfinite(part).any() else 0.0 for part in bins
            ]
        return shown

    def frames_table(self) -> pd.DataFrame:
        """FrameState: one row per frame and face (columns in docs/reference/result.md)."""
        import pandas as pd

        return pd.concat(self.frames_parts(), ignore_index=True)

    def frames_parts(self) -> Iterator[pd.DataFrame]:
        """The rows of ``frames_table`` in parts: of hours of video the table would be most of the memory."""
        import pandas as pd

        yield from map(pd.DataFrame, table_parts(self.states))

    def to_dataframe(self) -> pd.DataFrame:
        """One tidy row per movement and Action Unit (``tables.COLUMNS``); see ``rows``."""
        return tidy(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows as JSON types. A movement without an Action Unit keeps a row, and so does a video
        without a movement."""
        found = [row for rank, one in enumerate(self.readings, 1) for row in self._rows(rank, one)]
        return [plain(row) for row in found or [{"file": self.source, "fps": self.video["fps"]}]]

    def _rows(self, rank: int, reading: MovementReading) -> list[dict[str, Any]]:
        movement, seen = reading.movement, reading.prediction
        share = seen.probabilities if seen else {}
        base = {
            "file": self.source, "fps": self.video["fps"], "face": movement.face, "movement": rank,
            "kind": movement.kind, "read": reading.read,
            "judged": movement.judged, "reason": movement.reason or reading.warning,
            "class": (seen.fine or seen.coarse) if seen else None, "coarse": seen.coarse if seen else None,
            **{f"p_{label}": share.get(label) for label in COARSE},
        }  # fmt: skip
        if not movement.units:
            whole = {
                "phase": None, "au": None, "side": None, "onset": movement.onset, "apex": movement.apex,
                "offset": movement.offset, "onset_s": movement.onset_time, "apex_s": movement.apex_time,
                "offset_s": movement.offset_time, "duration_ms": _milliseconds(movement),
            }  # fmt: skip
            return [base | whole]
        rows = []
        for unit in movement.units:
            why = hidden_in(part_of(unit.number), movement.hidden)
            rows.append(base | {
                "phase": unit.phase, "au": unit.number, "au_name": name(unit.number), "side": unit.side,
                "onset": unit.onset, "apex": unit.apex, "offset": unit.offset, "onset_s": unit.onset_time,
                "apex_s": unit.apex_time, "offset_s": unit.offset_time, "duration_ms": _milliseconds(unit),
                "intensity_before": unit.intensity_before, "intensity_after": unit.intensity_after,
                "confidence": unit.confidence, "seen_by": unit.seen_by, "px": unit.px,
                "iod_percent": unit.iod_percent, "z": unit.z, "support": unit.support,
                "reason": unit.reason or why or base["reason"],
            })  # fmt: skip
        return rows


def _milliseconds(span: Movement | MovementUnit) -> float | None:
    """From onset to offset; None where that is not seen."""
    return None if span.offset_time is None else 1000 * (span.offset_time - span.onset_time)


def area_curves(signal: Signal) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times (T,) and, per area, how far its most moved region is from its median of a second around, px."""
    from scipy.ndimage import median_filter

    curves = {area: np.full(len(signal), np.nan) for area in AREAS}
    for part, own in signal.windows():
        path = smooth(signal.displacement[part], signal.fps)
        width = max(1, int(2 * signal.fps) | 1)
        step = max(1, width // 25)  # a median over two seconds needs no more than some 25 samples
        thin = median_filter(path[::step], size=(max(3, (width // step) | 1), 1, 1), mode="nearest")
        at = np.arange(len(path)) / step
        rest = np.stack([
            np.interp(at, np.arange(len(thin)), column) for column in thin.reshape(len(thin), -1).T
        ], axis=1).reshape(path.shape)  # fmt: skip
        away = np.linalg.norm(path - rest, axis=2)
        for area in AREAS:
            inside = slice(own.start - part.start, own.stop - part.start)
            curves[area][own] = away[inside, area == AREA].max(1)
    return signal.times, curves


def plain(value: Any) -> Any:
    """Numpy and tuples to JSON types; numbers that are none become null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
