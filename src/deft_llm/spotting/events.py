"""What is no expression but moves the face: blinks, speech, turns of the head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from deft_llm.spotting.signal import HANDOVER, Array, Signal, jitter_of
from deft_llm.state.channels import runs, zigzag
from deft_llm.store.motion import ALIGNED_IOD

BLINK_DEPTH = 0.28  # share of the eye's usual opening that a blink takes away
BLINK_NOISE = 6.0  # times the lids' jitter that a blink takes away at least
# Shares of a blink's depth: at which it begins and ends, and which the lid that closes less shows too.
BLINK_EDGE, BLINK_OTHER = 0.35, 0.4
USUAL_SECONDS, USUAL_SHARE = 2.0, 75  # s of the running median of slow changes; percentile of an open eye
BLINK_MAX, CLOSED_MAX = 0.5, 4.0  # s
SPEECH_WINDOW, SPEECH_TURNS = 1.3, 4  # s, reversals of the mouth's opening within it
SPEECH_SWING = 2.2  # aligned px (2.4 % of the inter-ocular distance): a reversal smaller than this is none
SPEECH_OVER_JITTER, LANDMARK_JITTER = 5.0, 0.3  # times the lips' jitter, which is at most so many source px
SPEECH_PAD = 0.25  # s before the first reversal and after the last
TURN_ANGLE, TURN_SHIFT, TURN_SIZE = 0.07, 5.0, 0.05  # rad, aligned px, log scale within TURN_WINDOW
TURN_WINDOW = 0.4  # s
HEAD_SMOOTHING = 0.06  # s: the landmarks that place the head jitter by a pixel
SHIFT_BLURS = 3.0  # times TURN_SHIFT: a shift in the picture so fast that it blurs
SpanKind = Literal["blink", "eye closure", "speech", "head movement"]


@dataclass(frozen=True)
class Span:
    """A stretch of frames, both ends included, and what it is."""

    kind: SpanKind
    start: int
    stop: int
    peak: int
    strength: float

    def overlaps(self, start: int, stop: int, margin: int = 0) -> bool:
        """Whether the span and [start, stop] share a frame, ``margin`` frames added on both sides."""
        return self.start - margin <= stop and start <= self.stop + margin


def joined(spans: list[Span]) -> list[Span]:
    """Spans in the order of time, those that share a frame as one (found in windows that overlap)."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        if found and found[-1].overlaps(span.start, span.stop):
            main = max(found[-1], span, key=lambda one: one.strength)
            stop = max(found[-1].stop, span.stop)
            found[-1] = replace(main, start=found[-1].start, stop=stop)
        else:
            found.append(span)
    return found


def find_blinks(signal: Signal, part: slice) -> list[Span]:
    """Blinks, and eye closures where the lids stay down longer, in one measured stretch."""
    opening = signal.eye_opening[part]
    usual = np.percentile(opening, USUAL_SHARE, axis=0)
    closure = 1.0 - opening / np.maximum(usual, 1e-3)
    # Slow changes (gaze down, a squint) are no blink: take away the running median.
    closure = closure - _running_median(closure, int(USUAL_SECONDS * signal.fps) | 1)
    both = closure.mean(1)
    noise = 1.4826 * float(np.median(np.abs(np.diff(both)))) if len(both) > 2 else 0.0
    depth = max(BLINK_DEPTH, BLINK_NOISE * noise)
    spans = []
    for start, stop in runs(both > BLINK_EDGE * depth):
        peak = start + int(np.argmax(both[start:stop]))
        length = (stop - start) / signal.fps
        if both[peak] < depth or length > CLOSED_MAX or min(closure[peak]) < BLINK_OTHER * depth:
            continue
        kind: SpanKind = "blink" if length <= BLINK_MAX else "eye closure"
        first = part.start
        spans.append(Span(kind, first + start, first + stop - 1, first + peak, float(both[peak])))
    return spans


def find_speech(signal: Signal, part: slice) -> list[Span]:
    """Stretches in which the mouth opens and closes again and again, as in speech or chewing."""
    opening = signal.mouth_opening[part].astype(float)
    swing = _speech_swing(opening, float(np.nanmedian(signal.iod_px[part])))
    turns = [frame for frame, _ in zigzag(opening, swing)[:-1]]  # the last one has not turned yet
    speaking = np.zeros(len(opening), bool)
    width = SPEECH_WINDOW * signal.fps
    for first, _ in enumerate(turns):
        inside = [turn for turn in turns[first:] if turn - turns[first] <= width]
        if len(inside) >= SPEECH_TURNS:
            speaking[inside[0] : inside[-1] + 1] = True
    pad = int(round(SPEECH_PAD * signal.fps))
    merged = speaking.copy()
    for start, stop in runs(speaking):
        merged[max(0, start - pad) : stop + pad] = True
    spans = []
    for start, stop in runs(merged):
        peak = start + int(np.argmax(opening[start:stop]))
        strength = float(np.ptp(opening[start:stop]))
        first = part.start
        spans.append(Span("speech", first + start, first + stop - 1, first + peak, strength))
    return spans


def _speech_swing(opening: Array, iod: float) -> float:
    """Aligned px that a reversal of the mouth's opening (T,) takes: more than landmarks jitter by.

    ``iod``: source px between the eyes. Lips that do move quickly raise what looks like jitter: it counts up
    to LANDMARK_JITTER, what landmarks of a still face show.
    """
    if len(opening) < 5:
        return SPEECH_SWING
    jitter = float(jitter_of(opening))
    return max(SPEECH_SWING, SPEECH_OVER_JITTER * min(jitter, LANDMARK_JITTER * ALIGNED_IOD / max(iod, 1.0)))


def find_head_turns(signal: Signal, part: slice) -> list[Span]:
    """Stretches in which the head turns, nods, tilts or shifts by more than a still head does."""
    speed = head_speed(signal, part)
    return [_head_span(part, start, stop, speed) for start, stop in runs(speed > 1.0)]


def find_restless(signal: Signal, part: slice, speed_limit: float, residual_limit: float) -> list[Span]:
    """Stretches in which faces are not judged; see ``restlessness``."""
    values = restlessness(signal, part, speed_limit, residual_limit)
    return [_head_span(part, start, stop, values) for start, stop in runs(values > 1.0)]


def _head_span(part: slice, start: int, stop: int, speed: Array) -> Span:
    peak = start + int(np.argmax(speed[start:stop]))
    first = part.start
    return Span("head movement", first + start, first + stop - 1, first + peak, float(speed[peak]))


def restlessness(signal: Signal, part: slice, speed_limit: float, residual_limit: float) -> Array:
    """(T,) above 1 where the head's motion cannot be taken out well enough to judge the face.

    Either it turns too fast (a shift in the picture does no harm until it blurs), or rigid skin keeps more
    than ``residual_limit`` aligned px that the skull's motion does not explain, for longer than a reference
    takes to give way to that.
    """
    turning = head_speed(signal, part, turns_only=True) / speed_limit
    return np.maximum(turning, _lasting(signal.residual[part], signal.fps) / residual_limit)


def _lasting(residual: Array, fps: float) -> Array:
    """Residual (T,) without peaks that are over within HANDOVER: a fresh reference explains the face."""
    from scipy.ndimage import grey_opening

    return grey_opening(residual, size=int(round(HANDOVER * fps)) + 1, mode="nearest")


def head_speed(signal: Signal, part: slice, *, turns_only: bool = False) -> Array:
    """(T,) the head's movement within TURN_WINDOW, in units of what counts as a turn (1.0).

    ``turns_only``: a shift in the picture counts only where it is so fast that it blurs.
    """
    from scipy.ndimage import gaussian_filter1d

    smoothing = HEAD_SMOOTHING * signal.fps
    head = gaussian_filter1d(signal.head[part].astype(float), smoothing, axis=0, mode="nearest")
    half = max(1, int(round(0.5 * TURN_WINDOW * signal.fps)))
    later = head[np.minimum(np.arange(len(head)) + half, len(head) - 1)]
    change = later - head[np.maximum(np.arange(len(head)) - half, 0)]
    shift = np.hypot(change[:, 0], change[:, 1]) / (TURN_SHIFT * (SHIFT_BLURS if turns_only else 1.0))
    turn = np.abs(change[:, [2, 4, 5]]).max(1) / TURN_ANGLE
    return np.maximum.reduce([shift, turn, np.abs(change[:, 3]) / TURN_SIZE])


def _running_median(values: Array, width: int) -> Array:
    from scipy.ndimage import median_filter

    width = min(width, 2 * ((len(values) - 1) // 2) + 1)
    return median_filter(values, size=(max(width, 1), 1), mode="nearest")
