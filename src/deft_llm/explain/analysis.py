"""What ``Analyzer.analyze`` gives back: the result with its presentations (text, plot, report)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from deft_llm.explain.report import render_report
from deft_llm.explain.result import AnalysisResult
from deft_llm.explain.timeline import plot_timeline
from deft_llm.explain.words import summary_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Analysis(AnalysisResult):
    """The result for one video."""

    def attribute(self) -> Analysis:
        """Measure what class and AUs of each read movement rest on (method deft only); once, on demand.

        Takes some half a second of a core per movement; then JSON and report hold it. Returns this analysis.
        """
        if self.method != "deft":
            return self
        from deft_llm.explain.attribution import attribute

        started = perf_counter()
        for reading in self.readings:
            motion = reading.motion
            if motion is not None and reading.prediction is not None and reading.attribution is None:
                reading.attribution = attribute(motion, self.checkpoint)
        self.seconds.setdefault("attribution", perf_counter() - started)
        return self

    def plot(self) -> Figure:
        """The timeline as a matplotlib figure."""
        return plot_timeline(self)

    def summary(self) -> str:
        """Plain text for a terminal."""
        return summary_of(self)

    def _repr_html_(self) -> str:
        """A notebook shows the report in a frame of its own."""
        page = base64.b64encode(render_report(self).encode()).decode()
        return (
            f'<iframe src="data:text/html;base64,{page}" style="width:100%;height:640px;border:0" '
            'title="deft-llm report" sandbox></iframe>'
        )
