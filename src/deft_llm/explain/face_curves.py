"""What coders see under the timeline: AU intensity of both sides, what is noise or unsure, the face's box."""

from __future__ import annotations

from typing import Any

import numpy as np

from deft_llm.state.channels import runs
from deft_llm.state.face_state import FULL, FaceState, unsure
from deft_llm.state.intensity import STATE_AUS

MOST_POINTS = 6000  # of a curve: of longer ones each bin's largest value is kept
MARGIN = 0.35  # of the landmarks' height, around them


def face_curves(state: FaceState) -> dict[str, Any]:
    """Curves of one face as JSON types.

    ``step``: frames in a bin; ``aus``: number -> ``left`` and ``right`` (bins, 0 to 5), ``floor`` (noise
    below it), ``unsure`` (frames [first, last] that cannot be judged); ``box`` (bins): left, top, right,
    bottom px of the face, None where it is not seen.
    """
    step = max(1, -(-len(state) // MOST_POINTS))
    aus = {}
    for au in STATE_AUS:
        sides = {side: _thinned(state.intensity[au, side], step) for side in ("left", "right")}
        floor = max(state.floor[au, side] for side in sides)
        spans = [[int(first), int(stop) - 1] for first, stop in runs(unsure(state, au))]
        aus[str(au)] = {**sides, "floor": round(float(np.nan_to_num(floor)), 2), "unsure": spans}
    return {"step": step, "frames": len(state), "aus": aus, "box": _boxes(state, step)}


def _thinned(curve: np.ndarray, step: int) -> list[float]:
    clean = np.clip(np.nan_to_num(curve), 0, FULL)
    bins = [clean[at : at + step].max() for at in range(0, len(clean), step)]
    return [round(float(value), 2) for value in bins]


def _boxes(state: FaceState, step: int) -> list[list[int] | None]:
    boxes: list[list[int] | None] = []
    for at in range(0, len(state), step):
        points = state.landmarks[at]
        if not np.isfinite(points).all():
            boxes.append(None)
            continue
        (left, top), (right, bottom) = points.min(0), points.max(0)
        around = MARGIN * (bottom - top)
        boxes.append(
            [round(float(v)) for v in (left - around, top - around, right + around, bottom + around)]
        )
    return boxes
