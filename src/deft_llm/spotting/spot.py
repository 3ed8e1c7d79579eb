"""Spotting: onset, apex and offset of the movements in a face video, what they are, which cannot be judged.

Pass one (``build_signal``) streams the video into a small signal; ``spot`` decides on that alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.facs.directions import direction_word
from deft_llm.facs.regions import PART_REGIONS, REGIONS
from deft_llm.spotting.events import (
    Span,
    find_blinks,
    find_head_turns,
    find_restless,
    find_speech,
    head_speed,
    joined,
    restlessness,
)
from deft_llm.spotting.excursions import Excursion, find_excursions, measure_paths, unusual
from deft_llm.spotting.fit import FittedCurve, fit_curve
from deft_llm.spotting.movement import (
    MICRO_SECONDS,
    SPOKEN,
    SPOKEN_REASON,
    Kind,
    Movement,
    RegionShift,
    border,
    bounds_of,
)
from deft_llm.spotting.signal import Array, Signal

_SPEAKING = {"upper lip", "lower lip", "mouth corner", "chin"}
_PART_OF = {name: part for part, names in PART_REGIONS.items() for name in names} | {"nose root": "brows"}
AREA = np.array([_PART_OF[region.name] for region in REGIONS])
SPEAKING = np.array([r.name in _SPEAKING for r in REGIONS])
# The bridge of the nose is bone: what moves there alone is no expression.
BONE = np.array([r.name == "nose root" for r in REGIONS])
LOWER = AREA == "mouth"
PARTS = (~LOWER & ~BONE, LOWER)  # areas whose calm is measured apart: eyes and brows, mouth and cheeks

SEED_EFFORT = 12  # rounds of the first, rough fit
# An excursion is looked at over so many of its scales, and so many seconds more, on both sides of its peak.
WINDOW_SCALES, WINDOW_SECONDS = 2.2, 0.25
LEVEL_SECONDS = 0.04  # s over which the skin's place at onset and apex is averaged
SHOWN = 0.5  # share of ``member_z`` from which a region that takes part is listed
# One region must be sure by itself, or several together: shares of ``least_z``.
SURE_TOGETHER, SURE_ALONE = 1.1, 0.9
# A blink has less than this share of the energy in the mouth, and more than that in the eyes, or lasts so
# much of the movement; speech has more than this share in lips and chin.
BLINK_MOUTH, BLINK_EYES, BLINK_LASTS = 0.3, 0.4, 0.5
SPEECH_LIPS = 0.4
AT_END_SECONDS = 0.1  # s before the recording's end in which a movement that does not return is cut off by it
UNSEEN_END = 0.6  # rank of a movement whose end is not seen, among doubles
DOUBLE = 0.5  # share of the shorter of two movements that both have: they are one


class SpottingSettings(BaseModel):
    """Thresholds of spotting, explained in docs/explanation/spotting.md."""

    model_config = ConfigDict(extra="forbid")

    least_z: float = Field(5.0, description="z of an excursion that is followed up.")
    least_px: float = Field(0.25, description="Aligned px of an excursion that is followed up.")
    member_z: float = Field(3.5, description="z from which another region takes part in a movement.")
    member_likeness: float = Field(
        0.65, description="Correlation with the seed region from which another region takes part."
    )
    micro_seconds: float = Field(MICRO_SECONDS, description="Longest micro-expression, s.")
    least_seconds: float = Field(0.04, description="Shortest movement, s.")
    longest_seconds: float = Field(4.5, description="Longest movement, s.")
    least_fit: float = Field(0.55, description="Share of variance that rise, hold and fall must explain.")
    head_leak: float = Field(
        0.12, description="Noise added per unit by which the head moves faster than usual, aligned px."
    )
    head_limit: float = Field(
        3.0, description="Head motion beyond which a moment is named, in its usual spread."
    )
    residual_limit: float = Field(
        1.0, description="Aligned px left on bone beyond which a face is not judged."
    )
    stand_out: float = Field(
        5.0, description="All shifts together, over what the most straying region does in calm moments."
    )
    stand_out_alone: float = Field(2.7, description="The same for the largest shift by itself.")
    least_rise: float = Field(0.065, description="Shortest rise or fall of skin, s.")
    most: int = Field(400, description="Excursions followed up in any stretch.")
    most_a_second: float = Field(20.0, description="Excursions followed up per second of a stretch.")


@dataclass
class Spotting:
    """All that was spotted: movements ranked (expressions, then the strongest, first), other events.

    ``speech`` and ``restless`` (the head moves too much): the mouth, or face, is not judged there.
    """

    movements: list[Movement] = field(default_factory=list)
    events: list[Movement] = field(default_factory=list)
    speech: list[Span] = field(default_factory=list)
    restless: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def set_aside(self) -> int:
        """How many motions fall into speech or fast turns of the head, where they are not judged."""
        return sum(not movement.judged for movement in self.movements)


def spot(signal: Signal, settings: SpottingSettings | None = None) -> Spotting:
    """Find and rank the movements of a signal."""
    settings = settings or SpottingSettings()
    found = Spotting(notes=list(signal.notes))
    for near, own in signal.windows():
        if near.stop - near.start < 4:
            continue
        _spot_stretch(signal, near, own, settings, found)
    found.speech, found.restless = joined(found.speech), joined(found.restless)
    order = {"micro-expression": 0, "macro-expression": 1, "movement": 2}
    found.movements.sort(key=lambda m: (not m.judged, order.get(m.kind, 3), -m.strength))
    found.events.sort(key=lambda m: m.onset)
    if signal.fps < 50:
        found.notes.append(
            f"At {signal.fps:.4g} frames a second a time is known to {1000 / signal.fps:.0f} ms: "
            "durations are given as intervals."
        )
    return found


def _spot_stretch(
    signal: Signal, part: slice, own: slice, settings: SpottingSettings, found: Spotting
) -> None:  # fmt: skip
    """Adds what is found in the frames ``part`` and has its apex among the ``own`` ones, or near them."""
    slack = int(signal.fps)
    mine = range(own.start - slack, own.stop + slack)
    blinks = find_blinks(signal, part)
    speech = find_speech(signal, part)
    turns = find_head_turns(signal, part)
    found.speech += speech
    found.restless += find_restless(signal, part, settings.head_limit, settings.residual_limit)
    found.events += [_event(signal, span) for span in (*blinks, *turns) if span.peak in mine]
    context = _Context(signal, part, settings, blinks, speech)
    taken: list[tuple[int, int, Array]] = []
    for excursion in context.excursions():
        if any(
            start <= excursion.peak <= stop and members[excursion.region] for start, stop, members in taken
        ):
            continue
        movement, span, members = context.movement_of(excursion)
        taken.append((*span, members))
        if movement is None or movement.apex not in mine:
            continue
        (found.events if movement.kind in ("blink", "eye closure") else found.movements).append(movement)
    found.events = _without_doubles(found.events)
    found.movements = _without_doubles(found.movements)


class _Context:
    """One measured stretch and what is needed to turn an excursion into a movement."""

    def __init__(
        self, signal: Signal, part: slice, settings: SpottingSettings, blinks: list[Span], speech: list[Span]
    ) -> None:
        self.signal, self.part, self.settings = signal, part, settings
        self.blinks, self.speech = blinks, speech
        self.paths = measure_paths(signal, part, PARTS)
        self.path = self.paths.path
        self.times = signal.times[part]
        self.head = unusual(head_speed(signal, part), signal.fps)
        self.restless = restlessness(signal, part, settings.head_limit, settings.residual_limit)
        self.fps = signal.fps

    def excursions(self) -> list[Excursion]:
        """The strongest excursions, more of them the longer the stretch, enough to find every movement."""
        found = find_excursions(self.paths, self.fps, self.settings.least_z, self.settings.least_px)
        lasts = len(self.times) / self.fps
        return found[: max(self.settings.most, int(self.settings.most_a_second * lasts))]

    def movement_of(self, excursion: Excursion) -> tuple[Movement | None, tuple[int, int], Array]:
        """The movement around an excursion, the frames and the regions (R,) bool that it uses up."""
        window = self._window(excursion)
        direction = self._away(excursion)
        seed = self.path[window, excursion.region] @ direction
        curve = fit_curve(self.times[window], seed, excursion.peak - window.start, effort=SEED_EFFORT)
        members, weights = self._members(curve, window, seed)
        members[excursion.region] = True
        joint = (self.path[window] * weights[None]).sum((1, 2)) if weights.any() else seed
        peak = int(np.clip(np.searchsorted(self.times[window], curve.apex), 0, len(joint) - 1))
        curve = fit_curve(self.times[window], joint, peak)
        span = self._frames(curve)
        used = (
            min(span[0], excursion.peak),
            max(span[3] if span[3] is not None else span[2], excursion.peak),
        )
        if not self._is_sound(curve):
            return None, used, members
        return self._judge(curve, span, members), used, members

    def _window(self, excursion: Excursion) -> slice:
        reach = int(round((WINDOW_SCALES * excursion.scale + WINDOW_SECONDS) * self.fps))
        return slice(max(0, excursion.peak - reach), min(len(self.path), excursion.peak + reach + 1))

    def _away(self, excursion: Excursion) -> Array:
        lag = max(1, int(round(excursion.scale * self.fps)))
        last = len(self.path) - 1
        region = self.path[:, excursion.region]
        rest = 0.5 * (region[max(0, excursion.peak - lag)] + region[min(last, excursion.peak + lag)])
        away = region[excursion.peak] - rest
        return away / max(float(np.linalg.norm(away)), 1e-9)

    def _shift(self, curve: FittedCurve) -> tuple[Array, Array]:
        """(R, 2) displacement from onset to apex and (R,) its noise: the floor, which holds what the head's
        usual motion leaves, and what a faster head leaves."""
        onset, apex, release, offset = self._frames(curve)
        pad = max(1, int(round(LEVEL_SECONDS * self.fps)))
        before = self.path[max(0, onset - pad) : onset + 1].mean(0)
        top = self.path[apex : max(apex, min(release, apex + pad)) + 1].mean(0)
        hurried = float(self.head[onset : apex + 1].max())
        lasts = float(self.times[release if offset is None else offset] - self.times[onset])
        noise = np.hypot(self.paths.floor_at(lasts, apex), self.settings.head_leak * hurried)
        return top - before, noise

    def _members(self, curve: FittedCurve, window: slice, seed: Array) -> tuple[Array, Array]:
        """(R,) bool regions that move with the seed, and (R, 2) weights of their joint curve."""
        shift, noise = self._shift(curve)
        size = np.linalg.norm(shift, axis=1)
        unit = shift / np.maximum(size, 1e-9)[:, None]
        paths = np.einsum("trd,rd->tr", self.path[window], unit)
        marks = self._frames(curve)
        end = marks[3] if marks[3] is not None else marks[2]
        inside = slice(max(0, marks[0] - window.start - 2), max(4, end - window.start + 3))
        likeness = np.array([_likeness(paths[inside, r], seed[inside]) for r in range(paths.shape[1])])
        members = (size / noise > self.settings.member_z) & (likeness > self.settings.member_likeness)
        weights = np.where(members[:, None], unit * (size / noise**2)[:, None], 0.0)
        return members, weights / max(float(np.abs(weights).sum()), 1e-9)

    def _frames(self, curve: FittedCurve) -> tuple[int, int, int, int | None]:
        def nearest(time: float) -> int:
            return int(np.clip(round(float(np.interp(time, self.times, np.arange(len(self.times))))), 0,
                               len(self.times) - 1))  # fmt: skip

        onset, apex = nearest(curve.onset), nearest(curve.apex)
        apex = max(apex, min(onset + 1, len(self.times) - 1))
        release = max(apex, nearest(curve.release))
        return onset, apex, release, None if curve.offset is None else max(release, nearest(curve.offset))

    def _is_sound(self, curve: FittedCurve) -> bool:
        end = curve.offset if curve.offset is not None else curve.release
        lasts = end - curve.onset
        return (
            curve.fit >= self.settings.least_fit
            and curve.height > 0
            and self.settings.least_seconds <= lasts <= self.settings.longest_seconds
        )

    def _judge(
        self, curve: FittedCurve, span: tuple[int, int, int, int | None], members: Array
    ) -> Movement | None:
        onset, apex, _, offset = span
        shift, noise = self._shift(curve)
        size = np.linalg.norm(shift, axis=1)
        z = size / noise
        shown = np.flatnonzero(members & (z > SHOWN * self.settings.member_z))
        strength = float(np.sqrt((z[shown] ** 2).sum())) if len(shown) else 0.0
        least = self.settings.least_z
        if strength < SURE_TOGETHER * least or float((z * members).max()) < SURE_ALONE * least:
            return None
        if not self._stands_out(curve, apex, shown, size):
            return None
        first = self.part.start
        kind, judged, reason = self._kind(curve, onset, apex, offset, shown, size)
        regions = tuple(
            RegionShift(REGIONS[r].key, float(shift[r, 0]), float(shift[r, 1]),
                        direction_word(float(shift[r, 0]), float(shift[r, 1]), REGIONS[r].side), float(z[r]))
            for r in sorted(shown, key=lambda r: -z[r])
        )  # fmt: skip
        last = None if offset is None else first + offset
        times = self.signal.times
        return Movement(
            kind=kind, onset=first + onset, apex=first + apex, offset=last,
            onset_time=float(times[first + onset]), apex_time=float(times[first + apex]),
            offset_time=None if last is None else float(times[last]),
            duration=self._duration(onset, offset), strength=strength / (SURE_TOGETHER * least),
            regions=regions, judged=judged, reason=reason,
        )  # fmt: skip

    def _stands_out(self, curve: FittedCurve, apex: int, shown: Array, size: Array) -> bool:
        """Whether an area moves well above what strays in it while it is calm, and moved as skin does."""
        if self._is_sudden(curve):
            return False
        end = curve.release if curve.offset is None else curve.offset
        # A face strays less in a shorter time, but it does so more often: half a second is the least to ask.
        calm = self.paths.stray_at(max(end - curve.onset, self.settings.micro_seconds), apex)
        for area, level in zip(PARTS, calm):
            moved = size[shown][area[shown]]
            # Small shifts all over the face add up without one place that moves: that is noise.
            if (
                len(moved)
                and float(np.linalg.norm(moved)) >= self.settings.stand_out * level
                and float(moved.max()) >= self.settings.stand_out_alone * level
            ):
                return True
        return False

    def _is_sudden(self, curve: FittedCurve) -> bool:
        """Whether it rises or falls faster than skin: a hand that leaves the face, a block coded anew."""
        fall = np.inf if curve.offset is None else curve.offset - curve.release
        return min(curve.apex - curve.onset, fall) < self.settings.least_rise

    def _duration(self, onset: int, offset: int | None) -> tuple[float, float] | None:
        if offset is None:
            return None
        return bounds_of(float(self.times[offset] - self.times[onset]), self.fps)

    def _kind(
        self, curve: FittedCurve, onset: int, apex: int, offset: int | None, shown: Array, size: Array
    ) -> tuple[Kind, bool, str]:
        end = apex if offset is None else offset
        first = self.part.start
        energy = {
            area: float((size[shown][AREA[shown] == area] ** 2).sum()) for area in ("eyes", "mouth", "brows")
        }
        total = sum(energy.values()) + 1e-9
        blinking = [span for span in self.blinks if span.overlaps(first + onset, first + end, 1)]
        if blinking and energy["mouth"] < BLINK_MOUTH * total:
            covered = min(blinking[0].stop, first + end) - max(blinking[0].start, first + onset)
            if energy["eyes"] > BLINK_EYES * total or covered > BLINK_LASTS * (end - onset):
                return blinking[0].kind, True, ""
        spoken = float((size[shown][SPEAKING[shown]] ** 2).sum())
        if spoken > SPEECH_LIPS * total and any(
            span.overlaps(first + onset, first + end) for span in self.speech
        ):
            return SPOKEN, False, SPOKEN_REASON
        if float(self.restless[onset : apex + 1].max()) > 1.0:
            return "movement", False, "The head moves too much here: what the face does cannot be judged."
        if offset is None:
            last = self.part.stop == len(self.signal)
            at_end = last and self.times[-1] - curve.release < AT_END_SECONDS
            reason = "The recording ends before the movement does." if at_end else "It does not go back."
            return "movement", True, reason
        lasts = float(self.times[offset] - self.times[onset])
        reason = border(lasts, self.settings.micro_seconds, self.fps)
        micro = lasts <= self.settings.micro_seconds
        return ("micro-expression" if micro else "macro-expression"), True, reason


def _likeness(curve: Array, seed: Array) -> float:
    if len(curve) < 3:
        return 0.0
    a, b = curve - curve.mean(), seed - seed.mean()
    return float(a @ b / max(np.sqrt(float((a @ a) * (b @ b))), 1e-12))


def _event(signal: Signal, span: Span) -> Movement:
    lasts = float(signal.times[span.stop] - signal.times[span.start])
    return Movement(
        kind=span.kind, onset=span.start, apex=span.peak, offset=span.stop,
        onset_time=float(signal.times[span.start]), apex_time=float(signal.times[span.peak]),
        offset_time=float(signal.times[span.stop]), duration=bounds_of(lasts, signal.fps),
        strength=span.strength,
    )  # fmt: skip


def _without_doubles(movements: list[Movement]) -> list[Movement]:
    """Of movements that share their time and a region, or are events of one kind, keep the strongest."""
    kept: list[Movement] = []
    for movement in sorted(movements, key=lambda m: -m.strength * (UNSEEN_END if m.offset is None else 1.0)):
        regions = {shift.region for shift in movement.regions}
        for other in kept:
            shared = min(movement.end, other.end) - max(movement.onset, other.onset) + 1
            short = min(movement.end - movement.onset, other.end - other.onset) + 1
            same = not regions or not other.regions or regions & {shift.region for shift in other.regions}
            if (
                shared > DOUBLE * short
                and same
                and (movement.kind == other.kind or (regions and other.regions))
            ):
                break
        else:
            kept.append(movement)
    return kept
