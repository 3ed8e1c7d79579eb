"""What happens in a clip: micro-expressions, negatives, lures and long videos, planned frame by frame.

A plan holds only numbers: strengths of components per frame, gaze, head, light. It is drawn by
``synth.video.film``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deft_llm.records import ActionUnit, Coarse
from deft_llm.synth.core import dynamics
from deft_llm.synth.core.dynamics import Pulse
from deft_llm.synth.core.prior import ActiveAU, Prior
from deft_llm.synth.core.unit_map import AU_MAP
from deft_llm.synth.core.units import Component, components

PX_PER_IOD = 104.0  # inter-ocular distance of a face that is 280 px wide: 2.7 of them span the face
NEGATIVES = (
    "neutral",
    "blink",
    "gaze shift",
    "swallow",
    "speech",
    "head motion",
    "head pitch",
    "macro-expression",
)
LURES = ("held smile", "asymmetric face", "deep wrinkles", "head pitch")
BLINK_CHANCE = 0.12  # of a blink, often partial, during an expression
EXPRESSIONS = ("micro-expression", "macro-expression")


@dataclass
class Event:
    """One thing that happens: frames onset, apex, offset (inclusive) and, for expressions, AUs and label."""

    kind: str
    onset: int
    apex: int
    offset: int
    aus: list[ActionUnit] = field(default_factory=list)
    fine: str | None = None
    coarse: Coarse | None = None
    peak_px: float = 0.0

    def record(self) -> dict[str, Any]:
        """The event as JSON."""
        return {
            "kind": self.kind, "onset": self.onset, "apex": self.apex, "offset": self.offset,
            "aus": [au.model_dump(exclude_defaults=True) for au in self.aus],
            "fine": self.fine, "coarse": self.coarse, "peak_px": round(self.peak_px, 3),
        }  # fmt: skip


@dataclass
class Plan:
    """All numbers of a clip. Strengths are shares of the AU at full strength; gaze radians (yaw, pitch); head
    move dm and turn radians (yaw, pitch, roll); ``creases``: folds of AUs that show throughout, 0..1;
    ``fold_gain`` (folds,): how strongly each family of folds answers to its AUs, None: all by 1."""

    fps: float
    times: np.ndarray
    kind: str
    tracks: dict[Component | str, np.ndarray] = field(default_factory=dict)
    gaze: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    move: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    turn: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    creases: dict[int, float] = field(default_factory=dict)
    fold_gain: np.ndarray | None = None
    lure: str | None = None
    events: list[Event] = field(default_factory=list)

    def add(self, key: Component | str, strength: np.ndarray) -> None:
        """Add a component's strength (T,) to what is there."""
        present = self.tracks.get(key)
        self.tracks[key] = strength.astype(np.float32) + (0 if present is None else present)

    @property
    def main(self) -> Event | None:
        """The event that the clip is about: its first expression."""
        return next((event for event in self.events if event.kind in EXPRESSIONS), None)


def component_strengths(active: ActiveAU) -> list[tuple[Component, float]]:
    """The components that an active AU moves, with their relative strengths."""
    parts = components(active.number)
    if len(parts) == 1:
        return [(parts[0], active.left)]
    first, second = parts
    return [(first, active.left), (second, active.right)]


def share_of(au: int, pixels: float) -> float:
    """Strength (share of full) at which ``au`` moves skin by ``pixels`` at its peak, on a 280-px face."""
    return pixels / (PX_PER_IOD * AU_MAP[au].full)


def plan_clip(
    rng: np.random.Generator, prior: Prior, *, kind: str, fps: float, lure: str | None = None,
    classed: bool = False,
) -> Plan:  # fmt: skip
    """Plan a clip of one ``kind``: "micro-expression" or one of NEGATIVES, with an optional lure.

    ``classed`` draws only expressions that have a coarse class (SMIC knows no others).
    """
    # SMIC's folders hold a clip from onset to offset only
    lead = 1 / fps if classed else float(rng.uniform(0.04, 0.09))
    seconds = {"macro-expression": 1.6, "speech": 0.5, "swallow": 0.45}.get(kind, 0.35)
    pulse = dynamics.micro_pulse(rng, lead)
    if kind == "macro-expression":
        pulse = dynamics.macro_pulse(rng, lead)
    if kind in EXPRESSIONS:
        seconds = pulse.offset + (1 / fps if classed else float(rng.uniform(0.03, 0.07)))
    frames = max(int(np.ceil(seconds * fps)), 12)
    plan = Plan(fps, np.arange(frames) / fps, kind, lure=lure)
    disturb(rng, plan)
    if kind in EXPRESSIONS:
        express(rng, plan, prior, pulse, kind, classed)
        if rng.random() < BLINK_CHANCE:
            _negative(rng, plan, "blink", float(rng.uniform(0, plan.times[-1])))
    else:
        _negative(rng, plan, kind, lead)
    if lure:
        mislead(rng, plan, lure)
    return plan


def plan_long(rng: np.random.Generator, prior: Prior, *, fps: float, seconds: float) -> Plan:
    """Plan a long video: several micro- and macro-expressions among blinks, gaze shifts and speech."""
    times = np.arange(int(seconds * fps)) / fps
    plan = Plan(fps, times, "long video")
    disturb(rng, plan)
    clock = float(rng.uniform(0.4, 1.2))
    while clock < seconds - 2.5:
        kind = str(
            rng.choice(
                ["micro-expression", "micro-expression", "macro-expression", "blink", "gaze shift", "swallow"]
            )
        )
        if kind in EXPRESSIONS:
            pulse = (dynamics.micro_pulse if kind == "micro-expression" else dynamics.macro_pulse)(rng, clock)
            express(rng, plan, prior, pulse, kind)
            clock = pulse.offset
        else:
            _negative(rng, plan, kind, clock)
            clock += 0.4
        clock += float(rng.uniform(0.4, 1.3))
    return plan


def disturb(rng: np.random.Generator, plan: Plan) -> None:
    """What always goes on: head drift and tremor, tiny eye movements, breathing, uncoded faint motion."""
    times = plan.times
    drift = float(np.exp(rng.uniform(np.log(0.0002), np.log(0.0015))))
    turned = float(np.exp(rng.uniform(np.log(0.001), np.log(0.01))))
    plan.move, plan.turn = dynamics.head_motion(rng, times, drift, turned, float(rng.uniform(0, 2e-5)))
    # leaning and tilting are held back least: so the mean vector's share comes near that of real clips
    plan.move[:, 2] *= 20
    plan.turn[:, 2] *= 2
    # people hold their gaze while the head turns: most of the face's displacement is taken back
    lever = np.stack([plan.turn[:, 0] + 0.65 * plan.turn[:, 2], plan.turn[:, 1], np.zeros(len(times))], -1)
    plan.move = (plan.move - 0.97 * lever).astype(np.float32)
    saccade = np.cumsum(
        (rng.random(len(times)) < 1.2 / plan.fps)[:, None] * rng.normal(0, 0.01, (len(times), 2)), 0
    )
    plan.gaze = (rng.normal(0, 0.04, 2) + saccade).astype(np.float32)
    if rng.random() < 0.6:
        breath = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * times + rng.uniform(0, 6.28))
        for part in components(38):
            plan.add(part, share_of(38, 0.15) * breath)


def express(
    rng: np.random.Generator, plan: Plan, prior: Prior, pulse: Pulse, kind: str, classed: bool = False
) -> None:
    """Add an expression of the prior: its AUs, asynchronous, peak 0.2-3 px
    (micro) or a good part of full (macro)."""
    expression = prior.sample(rng)
    while classed and expression.coarse is None:
        expression = prior.sample(rng)
    micro = kind == "micro-expression"
    pixels = float(np.exp(rng.uniform(np.log(1.8), np.log(3.0))))
    if rng.random() < 0.15:
        pixels *= float(rng.uniform(0.15, 0.8))
    total = np.zeros(len(plan.times))
    begin, end = pulse.onset, pulse.offset
    for number, active in enumerate(expression.aus):
        own = pulse if number == 0 else dynamics.asynchronous(rng, pulse)
        curve = own.curve(plan.times)
        end = max(end, own.offset)
        for component, relative in component_strengths(active):
            peak = np.clip(pixels * relative, 0.0, 3.0) if micro else 0.0
            if micro and not active.faint and relative > 0.34:
                peak = max(peak, 0.2)
            share = share_of(active.number, peak) if micro else relative * rng.uniform(0.45, 0.9)
            plan.add(component, share * curve)
            total += (peak if micro else share) * curve
    onset = int(np.floor(begin * plan.fps))
    offset = min(int(np.ceil(end * plan.fps)), len(plan.times) - 1)
    apex = onset + int(np.argmax(np.round(total[onset : offset + 1], 6)))
    plan.events.append(Event(
        kind, onset, max(apex, onset + 1), offset, [active.record() for active in expression.marked],
        expression.fine if micro else None, expression.coarse if micro else None,
        pixels if micro else 0.0))  # fmt: skip


def _negative(rng: np.random.Generator, plan: Plan, kind: str, start: float) -> None:
    """Add one thing that is no expression."""
    times, pulse = plan.times, dynamics.blink_pulse(rng, start)
    if kind == "neutral":
        return
    if kind == "blink":
        reach = float(rng.choice([1.0, rng.uniform(0.3, 0.9)]))
        for part in components(45):
            plan.add(part, reach * pulse.curve(times))
    elif kind == "gaze shift":
        pulse = Pulse(start, start + float(rng.uniform(0.03, 0.06)), times[-1] + 1, 9.0)
        plan.gaze = plan.gaze + (pulse.curve(times)[:, None] * rng.normal(0, 0.12, 2)).astype(np.float32)
    elif kind == "swallow":
        pulse = Pulse(start, start + 0.12, start + 0.35, 0.03)
        for au, pixels in ((17, 0.8), (24, 0.5)):
            for part in components(au):
                plan.add(part, share_of(au, pixels * rng.uniform(0.3, 1.2)) * pulse.curve(times))
    elif kind == "speech":
        wave = np.clip(dynamics.smooth_walk(rng, times, 0.09) * 0.5 + 0.4, 0, 1.2)
        for au, gain in ((26, 0.3), (25, 0.25), (18, 0.1)):
            for part in components(au):
                plan.add(part, gain * rng.uniform(0.5, 1.2) * wave)
        pulse = Pulse(0, times[-1] / 2, times[-1])
    elif kind == "head motion":
        plan.move, plan.turn = plan.move * 3, plan.turn * 3
        pulse = Pulse(0, times[-1] / 2, times[-1])
    elif kind == "head pitch":
        pulse = dynamics.micro_pulse(rng, start)
        _pitch(rng, plan, pulse)
    else:
        raise ValueError(f"negative {kind!r}: unknown")
    frames = [min(int(round(t * plan.fps)), len(times) - 1) for t in (pulse.onset, pulse.apex, pulse.offset)]
    plan.events.append(Event(kind, frames[0], max(frames[1], frames[0] + 1), max(frames[2], frames[1] + 1)))


def _pitch(rng: np.random.Generator, plan: Plan, pulse: Pulse) -> None:
    """The head nods up and back as fast as an expression: brows rise in the image as in 1+2."""
    angle = float(rng.uniform(0.004, 0.014))
    plan.turn = plan.turn + (pulse.curve(plan.times)[:, None] * np.array([0, angle, 0])).astype(np.float32)


def mislead(rng: np.random.Generator, plan: Plan, lure: str) -> None:
    """Give the static face the looks of one class while (maybe) another AU moves; the nod is motion."""
    still = np.ones(len(plan.times))
    if lure == "held smile":
        for au, strength in ((12, rng.uniform(0.3, 0.7)), (6, rng.uniform(0.2, 0.6))):
            for part in components(au):
                plan.add(part, strength * still)
    elif lure == "asymmetric face":
        au = int(rng.choice([2, 7, 12, 14, 15]))
        plan.add(components(au)[int(rng.integers(2))], rng.uniform(0.25, 0.6) * still)
    elif lure == "deep wrinkles":
        au = int(rng.choice([1, 4, 6, 10]))
        plan.creases[au] = float(rng.uniform(0.5, 1.0))
    elif lure == "head pitch":
        main = plan.main
        start = plan.times[main.onset] if main else 0.05
        _pitch(rng, plan, dynamics.micro_pulse(rng, float(start)))
    else:
        raise ValueError(f"lure {lure!r}: unknown")
