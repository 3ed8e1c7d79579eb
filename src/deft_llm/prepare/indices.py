"""Onset, apex and offset where the annotation lacks them: found in the motion, and marked as found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deft_llm.errors import DeftError
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.records import Clip
from deft_llm.spotting.build_signal import signal_of
from deft_llm.spotting.spot import spot
from deft_llm.store import Motion

SPOTTED = "apex found by spotting"
SPOTTED_ALL = "onset, apex and offset found by spotting"


def before_measuring(clip: Clip, stream: Callable[[], Iterator[Any]], fps: float) -> Clip:
    """The clip with an onset and an apex or an offset; where there are none, the strongest judged movement's.

    An apex that alone is missing is found while measuring. Raises: DeftError where nothing moves.
    """
    if clip.onset is not None and (clip.apex is not None or clip.offset is not None):
        return clip

    signal = signal_of(stream(), fps, landmarker=default_landmarker())
    judged = [movement for movement in spot(signal).movements if movement.judged]
    if not judged:
        raise DeftError(
            f"{clip.clip_id}: no movement was found by spotting; give onset and apex in its table."
        )
    first = judged[0]
    found = {"onset": first.onset, "apex": first.apex, "offset": first.offset, "apex_is_annotated": False}
    return clip.model_copy(update=found | {"notes": [*clip.notes, SPOTTED_ALL]})


def after_measuring(clip: Clip, motion: Motion) -> Clip:
    """The clip with the apex that measuring found (the largest head-compensated movement), marked so."""
    if clip.apex is not None or motion.indices is None:
        return clip
    found = {"apex": motion.indices[1], "apex_is_annotated": False, "notes": [*clip.notes, SPOTTED]}
    return clip.model_copy(update=found)
