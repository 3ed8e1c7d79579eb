"""What ``Analyzer.analyze`` gives back: movements with evidence and class, other events; as JSON, a table, a
plot or HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from deft_llm.claims import LIMITS
from deft_llm.explain.judgement import Unjudged, of_movement, of_video
from deft_llm.facs.units import name
from deft_llm.records import Evidence, Prediction
from deft_llm.spotting.excursions import smooth
from deft_llm.spotting.signal import Signal
from deft_llm.spotting.spot import AREA, Movement, Spotting
from deft_llm.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from deft_llm.explain.attribution import Attribution
    from deft_llm.store import Motion

RESULT_SCHEMA = 2
TIMELINE_POINTS = 1500
AREAS = ("brows", "eyes", "mouth")


@dataclass
class Reading:
    """One movement read: where and when (``movement``), what moved (``evidence``), what it is called.

    ``prediction`` and ``motion`` are None for movements that were spotted but not read, ``attribution`` until
    ``Analysis.attribute`` was called. ``not_judged``: AUs that could not be judged, with the reason.
    """

    movement: Movement
    evidence: list[Evidence] = field(default_factory=list)
    prediction: Prediction | None = None
    motion: Motion | None = field(default=None, repr=False)
    warning: str = ""
    not_judged: dict[int, str] = field(default_factory=dict)
    attribution: Attribution | None = field(default=None, repr=False)

    @property
    def unjudged(self) -> list[Unjudged]:
        """What cannot be said about this movement, each with its reason."""
        read = self.prediction is not None
        return of_movement(self.movement, read=read, evidence=self.evidence, warning=self.warning)

    def to_dict(self) -> dict[str, Any]:
        """As one entry of ``movements`` in result.json."""
        record = {"read": self.prediction is not None, **self.movement.to_dict()}
        record["evidence"] = [
            {**row.model_dump(), "name": name(row.au) if row.au is not None else None}
            for row in self.evidence
        ]
        record["class"], record["answer"], record["aus"] = None, None, {}
        if self.prediction is not None:
            seen = self.prediction
            record["class"] = {
                "fine": seen.fine, "coarse": seen.coarse, "label": seen.label,
                "probabilities": seen.probabilities,
            }  # fmt: skip
            record["answer"] = seen.answer
            record["aus"] = {au: round(p, 4) for au, p in seen.aus.items()}
        record["attribution"] = None if self.attribution is None else self.attribution.to_dict()
        record["cannot_judge"] = [state.to_dict() for state in self.unjudged]
        record["aus_not_judged"] = {str(au): reason for au, reason in self.not_judged.items()}
        record["warning"] = self.warning
        return record


@dataclass
class Analysis:
    """The result for one video."""

    source: str
    method: str
    video: dict[str, Any]
    readings: list[Reading]
    spotting: Spotting
    signal: Signal = field(repr=False)
    question: str | None = None
    question_answer: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = field(default=None, repr=False)

    def attribute(self) -> Analysis:
        """Measure what class and AUs of each read movement rest on (method deft only); once, on demand.

        Takes about half a second a movement; then JSON and report hold it. Returns this analysis.
        """
        from deft_llm.explain.attribution import attribute

        started = perf_counter()
        for reading in self.readings:
            if self.method != "deft" or reading.motion is None or reading.prediction is None:
                continue
            if reading.attribution is None:
                reading.attribution = attribute(reading.motion, self.checkpoint)
        self.seconds.setdefault("attribution", perf_counter() - started)
        return self

    @property
    def movements(self) -> list[Movement]:
        """All movements, ranked."""
        return [reading.movement for reading in self.readings]

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json (schema in docs/reference/result.md); plain JSON types without NaN."""
        return _plain({
            "schema": RESULT_SCHEMA,
            "deft_llm": __version__,
            "source": self.source,
            "method": self.method,
            "video": self.video,
            "movements": [{"rank": i + 1, **reading.to_dict()} for i, reading in enumerate(self.readings)],
            "events": [event.to_dict() for event in self.spotting.events],
            "speech": [
                {"start": span.start, "stop": span.stop, "start_time": float(self.signal.times[span.start]),
                 "stop_time": float(self.signal.times[span.stop])} for span in self.spotting.speech
            ],
            "timeline": self.timeline(),
            "question": self.question,
            "question_answer": self.question_answer,
            "cannot_judge": [state.to_dict() for state in self.unjudged],
            "notes": self.notes,
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "limits": list(LIMITS),
        })  # fmt: skip

    @property
    def unjudged(self) -> list[Unjudged]:
        """What this video does not allow to judge, each with its reason."""
        return of_video(self.signal, self.movements)

    @property
    def own_answer(self) -> str | None:
        """The answer to the question where it is none of the movements' own (with regions held still)."""
        told = {one.prediction.answer for one in self.readings if one.prediction is not None}
        return None if self.question_answer in told else self.question_answer

    def timeline(self) -> dict[str, list[float]]:
        """Motion per area over time, aligned px away from where the area was a second around; thinned."""
        return self._timeline

    @cached_property
    def _timeline(self) -> dict[str, list[float]]:
        times, courses = area_courses(self.signal)
        step = max(1, math.ceil(len(times) / TIMELINE_POINTS))
        shown: dict[str, list[float]] = {"times": np.round(times[::step], 3).tolist()}
        for area, course in courses.items():
            # The largest value of each bin, so that a short movement is not thinned away.
            bins = [course[i : i + step] for i in range(0, len(course), step)]
            shown[area] = [
                round(float(np.nanmax(part)), 3) if np.isfinite(part).any() else 0.0 for part in bins
            ]
        return shown

    def to_dataframe(self) -> pd.DataFrame:
        """One row an evidence (movements without evidence keep one row with empty AU columns)."""
        import pandas as pd

        rows = []
        for rank, reading in enumerate(self.readings, 1):
            movement = reading.movement
            base = {
                "rank": rank, "kind": movement.kind, "judged": movement.judged, "onset": movement.onset,
                "apex": movement.apex, "offset": movement.offset, "onset_time": movement.onset_time,
                "apex_time": movement.apex_time, "offset_time": movement.offset_time,
                "fine": reading.prediction.fine if reading.prediction else None,
                "coarse": reading.prediction.coarse if reading.prediction else None,
            }  # fmt: skip
            seen: list[Evidence | None] = [*reading.evidence] or [None]
            for row in seen:
                values = row.model_dump() if row is not None else dict.fromkeys(Evidence.model_fields)
                rows.append(base | values)
        columns = None if rows else ["rank", "kind", "onset", "apex", "offset", *Evidence.model_fields]
        return pd.DataFrame(rows, columns=columns)

    def plot(self) -> Figure:
        """The timeline as a matplotlib figure."""
        from deft_llm.explain.timeline import plot_timeline

        return plot_timeline(self)

    def summary(self) -> str:
        """Plain text for a terminal."""
        from deft_llm.explain.words import summary_of

        return summary_of(self)

    def _repr_html_(self) -> str:
        """A notebook shows the report in a frame of its own."""
        import base64

        from deft_llm.explain.report import render_report

        page = base64.b64encode(render_report(self).encode()).decode()
        return (
            f'<iframe src="data:text/html;base64,{page}" style="width:100%;height:640px;border:0" '
            'title="deft-llm report" sandbox></iframe>'
        )


def area_courses(signal: Signal) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times (T,) and, per area, how far its most moved region is from its median of a second around, px."""
    from scipy.ndimage import median_filter

    courses = {area: np.full(len(signal), np.nan) for area in AREAS}
    for part in signal.segments():
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
            courses[area][part] = away[:, area == AREA].max(1)
    return signal.times, courses


def _plain(value: Any) -> Any:
    """Numpy and tuples to JSON types; numbers that are none become null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
