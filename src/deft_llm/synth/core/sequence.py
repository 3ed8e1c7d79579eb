"""What happens in a film of several seconds: expressions that rise, are held and released, speech, blinks,
closed eyes, winks, gaze, turning heads, hands. ``synth/video/sequences.py`` draws it.

Everything starts from the person's own neutral face, which may look like an expression (``Plan.tracks`` hold
that as well, ``Sequence.shown`` does not: truth counts over the neutral). Times are seconds, strengths shares
of the AU at full strength; an intensity is five times that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from deft_llm.facs.units import entry
from deft_llm.synth.core import dynamics
from deft_llm.synth.core.dynamics import Pulse
from deft_llm.synth.core.events import Plan, component_strengths
from deft_llm.synth.core.prior import ActiveAU, Prior
from deft_llm.synth.core.units import Component, components

INTENSITY = 5.0  # of an AU at full strength
SINGLES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28, 38)
# AUs of either set cannot be done together with those of the other
OPPOSED = (
    ({23, 24, 28}, {22, 25, 26}), ({18, 22}, {12, 14, 20}), ({5}, {43}), ({15}, {26}), ({17}, {16, 26}),
)  # fmt: skip
RESTS = ((12,), (6, 12), (4,), (15,), (14,), (17,), (5,), (1, 4), (24,), (10,), (2,), (43,), (25,))
VISEMES = (
    {26: 0.35, 25: 0.5}, {26: 0.2, 25: 0.4, 20: 0.3}, {26: 0.15, 22: 0.5}, {18: 0.5, 25: 0.15}, {24: 0.5},
    {25: 0.25, 10: 0.15}, {16: 0.35, 25: 0.2}, {26: 0.45, 25: 0.6}, {28: 0.15, 24: 0.2}, {12: 0.12, 25: 0.3},
)  # fmt: skip
TURN_LIMIT = (0.45, 0.26, 0.22)  # radians of yaw, pitch, roll that turning heads reach


class UnitRow(NamedTuple):
    """One AU's rise or release: seconds, sides' intensities where it is strongest (rise: at the apex,
    release: where it begins), and the stronger side's before and after."""

    number: int
    phase: str
    onset: float
    apex: float
    offset: float
    left: float
    right: float
    before: float
    after: float


@dataclass
class Movement:
    """AUs that go together. ``kind``: "macro-expression" or "micro-expression"."""

    kind: str
    rows: list[UnitRow]
    fine: str | None = None
    coarse: str | None = None


@dataclass
class Sequence:
    """A film's plan and its truth. ``shown``: strengths over the neutral; ``rest``: what is held throughout;
    ``events``: dicts with kind, onset and offset (seconds) and, where it applies, side or place."""

    plan: Plan
    shown: dict[Component, np.ndarray] = field(default_factory=dict)
    rest: dict[int, float] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def show(self, component: Component, strength: np.ndarray) -> None:
        """Add motion over the neutral face."""
        self.plan.add(component, strength)
        known = self.shown.get(component)
        self.shown[component] = strength if known is None else known + strength

    def event(self, kind: str, onset: float, offset: float, **more: Any) -> None:
        """Note something that happens beside expressions."""
        end = float(self.plan.times[-1])
        self.events.append({"kind": kind, "onset": max(onset, 0.0), "offset": min(offset, end), **more})


def plan_sequence(rng: np.random.Generator, prior: Prior, *, fps: float, seconds: float) -> Sequence:
    """Plan a film of ``seconds``: one of several kinds of scene, everything else drawn on top of it."""
    times = np.arange(round(seconds * fps)) / fps
    sequence = Sequence(Plan(fps, times, "sequence"))
    _still_life(rng, sequence)
    if rng.random() < 0.35:
        _rest(rng, sequence)
    scene = str(rng.choice(["expressions", "talk", "calm", "busy"], p=[0.5, 0.2, 0.1, 0.2]))
    talked = _talk(rng, sequence) if scene in ("talk", "busy") else (0.0, 0.0)
    if scene != "calm":
        _expressions(rng, sequence, prior, talked, gap=(0.1, 0.7) if scene == "busy" else (0.3, 1.6))
    if rng.random() < (0.7 if scene in ("busy", "talk") else 0.35):
        _turns(rng, sequence)
    _gaze(rng, sequence, float(rng.choice([0.15, 0.5])))
    _lids(rng, sequence)
    if rng.random() < (0.3 if scene == "busy" else 0.12):
        _hand(rng, sequence)
    sequence.events.sort(key=lambda event: event["onset"])
    return sequence


def _still_life(rng: np.random.Generator, sequence: Sequence) -> None:
    """What a face at rest does: drift, tremor, breath, and for hand-held cameras some shake."""
    plan = sequence.plan
    drift, turned = np.exp(rng.uniform(np.log([0.0004, 0.001]), np.log([0.004, 0.012])))
    plan.move, plan.turn = dynamics.head_motion(rng, plan.times, drift, turned, float(rng.uniform(0, 5e-5)))
    if rng.random() < 0.2:
        shake = float(np.exp(rng.uniform(np.log(0.001), np.log(0.008))))
        for axis in (0, 1):
            plan.move[:, axis] += shake * dynamics.smooth_walk(rng, plan.times, 0.12)
        sequence.event("camera shake", 0.0, float(plan.times[-1]), dm=round(shake, 4))
    plan.gaze = np.tile(rng.normal(0, 0.03, 2), (len(plan.times), 1)).astype(np.float32)
    breath = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * plan.times + rng.uniform(0, 6.28))
    for part in components(38):
        plan.add(part, 0.05 * float(rng.uniform(0, 1)) * breath)


def _rest(rng: np.random.Generator, sequence: Sequence) -> None:
    """A neutral face that looks like an expression: held throughout, no part of the truth."""
    for au in RESTS[int(rng.integers(len(RESTS)))]:
        strength = float(rng.uniform(0.12, 0.45)) * (0.6 if au in (43, 25) else 1.0)
        sequence.rest[au] = round(strength, 3)
        for part in components(au):
            sequence.plan.add(part, np.full(len(sequence.plan.times), strength * rng.uniform(0.75, 1.0)))


def draw_units(rng: np.random.Generator, prior: Prior) -> tuple[tuple[ActiveAU, ...], str | None, str | None]:
    """AUs of one expression with their label: of the prior, single ones, or a grimace of several."""
    kind = rng.random()
    if kind < 0.5:
        drawn = prior.sample(rng)
        if not any(active.number in (43, 45) for active in drawn.aus):
            return drawn.aus, drawn.fine, drawn.coarse
    count = 1 if kind < 0.8 else int(rng.integers(2, 5))
    numbers: list[int] = []
    for au in rng.permutation(SINGLES):
        if len(numbers) < count and compatible(int(au), numbers):
            numbers.append(int(au))
    return tuple(_sided(rng, au) for au in numbers), None, None


def compatible(au: int, others: list[int]) -> bool:
    """Whether a face can do ``au`` together with ``others``."""
    present = set(others)
    return not any((au in a and present & b) or (au in b and present & a) for a, b in OPPOSED)


def _sided(rng: np.random.Generator, au: int) -> ActiveAU:
    """An AU alone: mostly both sides, now and then one side or both unequally."""
    main = float(rng.uniform(0.7, 1.0))
    if entry(au).scoring != "sides":
        return ActiveAU(au, main, main * float(rng.uniform(0.7, 1.0)))
    share = float(rng.choice([rng.uniform(0.8, 1.0), 0.0, rng.uniform(0.3, 0.55)], p=[0.62, 0.28, 0.1]))
    left, right = (main, main * share) if rng.random() < 0.5 else (main * share, main)
    return ActiveAU(au, left, right)


def _pulse(rng: np.random.Generator, start: float, kind: str) -> Pulse:
    """When an expression rises, is held, and is released."""
    if kind == "micro-expression":
        return dynamics.micro_pulse(rng, start)
    rise, fall = np.exp(rng.uniform(np.log([0.12, 0.18]), np.log([0.8, 1.2])))
    hold = float(np.exp(rng.uniform(np.log(0.1), np.log(2.5))))
    return Pulse(start, start + rise, start + rise + hold + fall, hold, float(rng.uniform(1.3, 2.2)),
                 float(rng.uniform(1.1, 1.8)), 0.0)  # fmt: skip


def _expressions(
    rng: np.random.Generator, sequence: Sequence, prior: Prior, talked: tuple[float, float],
    gap: tuple[float, float],
) -> None:  # fmt: skip
    """Expressions one after another; some overlap, and some follow while the last one is released."""
    end = float(sequence.plan.times[-1])
    clock = float(rng.uniform(0.8, 1.8))
    busy: dict[int, float] = {}
    while clock < end - 0.6:
        kind = "micro-expression" if rng.random() < 0.25 else "macro-expression"
        pulse = _pulse(rng, clock, kind)
        active, fine, coarse = draw_units(rng, prior)
        inside = talked[0] - 0.2 < pulse.offset and clock < talked[1] + 0.2
        free = tuple(
            unit for unit in active
            if busy.get(unit.number, -1.0) < clock and not (inside and not _beside_speech(unit.number))
            and compatible(unit.number, [au for au, until in busy.items() if until > clock])
        )  # fmt: skip
        if free:
            label = (fine, coarse) if len(free) == len(active) else (None, None)
            _perform(rng, sequence, free, pulse, kind, *label)
            busy |= {unit.number: pulse.offset + 0.15 for unit in free}
        follow = rng.random()
        if follow < 0.2:  # overlaps with what is held
            clock = pulse.apex + float(rng.uniform(0.1, 0.6)) * max(pulse.hold, 0.2)
        elif follow < 0.35:  # takes its place
            clock = pulse.apex + pulse.hold + float(rng.uniform(-0.05, 0.1))
        else:
            clock = pulse.offset + float(rng.uniform(*gap))


def _beside_speech(au: int) -> bool:
    """Whether an AU is coded while somebody speaks: brows, lids, cheeks, nose, and a smile."""
    return au in (1, 2, 4, 5, 6, 7, 9, 12)


def _perform(
    rng: np.random.Generator, sequence: Sequence, active: tuple[ActiveAU, ...], pulse: Pulse, kind: str,
    fine: str | None, coarse: str | None,
) -> None:  # fmt: skip
    """Move the AUs, slightly out of step, and note their rises and releases."""
    low, high = (0.08, 0.4) if kind == "micro-expression" else (0.2, 1.0)
    strength = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if kind == "macro-expression" and rng.random() < 0.5:
        strength = float(rng.uniform(0.45, 1.0))
    times, rows = sequence.plan.times, []
    for number, unit in enumerate(active):
        own = pulse if number == 0 else dynamics.asynchronous(rng, pulse)
        curve = own.curve(times)
        reached = {}
        for component, relative in component_strengths(unit):
            peak = min(strength * relative, 1.0)
            sequence.show(component, (peak * curve).astype(np.float32))
            reached[component.side or component.part or "both"] = INTENSITY * peak * float(curve.max())
        values = list(reached.values())
        sides = (values[0], values[-1]) if entry(unit.number).scoring == "sides" else (max(values),) * 2
        rows += _rows(unit.number, own, sides, float(times[-1]))
    if rows:
        sequence.movements.append(Movement(kind, rows, fine, coarse))


def _rows(number: int, pulse: Pulse, sides: tuple[float, float], end: float) -> list[UnitRow]:
    """The rise of one AU, and its release where the film still shows it."""
    top, left, right = max(sides), round(sides[0], 3), round(sides[1], 3)
    fall = pulse.apex + pulse.hold
    apex, offset = min(pulse.apex, end), min(pulse.offset, end)
    rows = [UnitRow(number, "rise", pulse.onset, apex, offset, left, right, 0.0, round(top, 3))]
    if fall < end - 0.1:
        seen = min(pulse.offset, end)
        kept = 1.0 - float(np.interp(seen, [fall, pulse.offset], [0.0, 1.0]))
        rows.append(UnitRow(number, "release", fall, (fall + seen) / 2, seen, left, right, round(top, 3),
                            round(top * kept, 3)))  # fmt: skip
    return rows


def _talk(rng: np.random.Generator, sequence: Sequence) -> tuple[float, float]:
    """Speech for some seconds: visemes at 3 to 6 a second. Returns when it begins and ends."""
    end = float(sequence.plan.times[-1])
    start = float(rng.uniform(0.5, max(0.6, end - 3.0)))
    stop = min(start + float(rng.uniform(1.5, 4.5)), end)
    clock, loud = start, float(rng.uniform(0.5, 1.2))
    total: dict[Component, np.ndarray] = {}
    while clock < stop:
        length = float(rng.uniform(0.12, 0.3))
        pulse = Pulse(clock, clock + length * 0.5, clock + length * 1.25, 0.02, 1.3, 1.3)
        curve = pulse.curve(sequence.plan.times)
        for au, weight in VISEMES[int(rng.integers(len(VISEMES)))].items():
            amount = float(weight * loud * rng.uniform(0.6, 1.2))
            for part in components(au):
                total[part] = np.maximum(total.get(part, 0.0), amount * curve)
        clock += length * (1.0 if rng.random() < 0.9 else float(rng.uniform(1.5, 3.0)))
    for part, curve in total.items():
        sequence.show(part, np.asarray(curve, np.float32))
    sequence.event("speech", start, stop)
    return start, stop


def _turns(rng: np.random.Generator, sequence: Sequence) -> None:
    """The head turns to somewhere and stays a while, nods or shakes."""
    plan, end = sequence.plan, float(sequence.plan.times[-1])
    clock, here = float(rng.uniform(0.3, 2.5)), np.zeros(3)
    limit = np.array(TURN_LIMIT) * float(rng.choice([0.35, 0.7, 1.0]))
    while clock < end - 0.5:
        kind = str(rng.choice(["turn", "turn", "nod", "shake"]))
        if kind == "turn":
            back = rng.random() < 0.4
            target = np.zeros(3) if back else rng.uniform(-1, 1, 3) * limit
            length = float(rng.uniform(0.35, 1.3))
            step = np.clip((plan.times - clock) / length, 0, 1)
            eased = step**3 * (10 - 15 * step + 6 * step**2)
            plan.turn = plan.turn + (eased[:, None] * (target - here)).astype(np.float32)
            here = target
        else:
            cycles, rate = float(rng.integers(2, 4)), float(rng.uniform(1.4, 2.8))
            length = cycles / rate
            inside = np.clip((plan.times - clock) / length, 0, 1)
            wave = np.sin(2 * np.pi * cycles * inside) * np.sin(np.pi * inside)
            axis = np.array([0.0, 1.0, 0.0]) if kind == "nod" else np.array([1.0, 0.0, 0.0])
            plan.turn = plan.turn + (wave[:, None] * axis * float(rng.uniform(0.04, 0.14))).astype(np.float32)
        sequence.event(kind, clock, clock + length)
        clock += length + float(rng.uniform(0.3, 2.2))


def _gaze(rng: np.random.Generator, sequence: Sequence, rate: float) -> None:
    """Saccades, ``rate`` a second; upper lids follow the eyes up and down."""
    plan, times = sequence.plan, sequence.plan.times
    path, clock, here = np.zeros((len(times), 2)), float(rng.exponential(1 / rate)), np.zeros(2)
    while clock < times[-1]:
        target = np.zeros(2) if rng.random() < 0.45 else rng.uniform([-0.45, -0.35], [0.45, 0.22])
        length = 0.03 + 0.08 * float(np.abs(target - here).max())
        path += np.clip((times - clock) / length, 0, 1)[:, None] * (target - here)
        if np.abs(target - here).max() > 0.08:
            sequence.event("gaze", clock, clock + length, to=[round(float(v), 3) for v in target])
        here = target
        clock += max(float(rng.exponential(1 / rate)), 0.15)
    plan.gaze = (plan.gaze + path).astype(np.float32)
    plan.add("gaze down", np.clip(-path[:, 1] / 0.35, 0, 1.2))
    plan.add("gaze up", np.clip(path[:, 1] / 0.35, 0, 1.0))


def _lids(rng: np.random.Generator, sequence: Sequence) -> None:
    """Blinks, eyes closed for a while, winks; never two at once."""
    end = float(sequence.plan.times[-1])
    taken: list[tuple[float, float]] = []

    def free(start: float, stop: float) -> bool:
        return all(stop < begin - 0.1 or start > until + 0.1 for begin, until in taken) and stop < end + 0.5

    for kind, chance in (("closure", 0.15), ("wink", 0.15)):
        if rng.random() < chance:
            start = float(rng.uniform(0.5, end - 0.5))
            close, hold = float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.6, 2.5))
            if kind == "wink":
                close, hold = float(rng.uniform(0.06, 0.12)), float(rng.uniform(0.08, 0.45))
            pulse = Pulse(start, start + close, start + 2.5 * close + hold, hold, 1.5, 1.4)
            side = str(rng.choice(["left", "right"])) if kind == "wink" else "both"
            _close(rng, sequence, pulse, 1.0, side)
            taken.append((start, pulse.offset))
            sequence.event(kind, start, pulse.offset, side=side)
    clock = float(rng.exponential(2.5))
    while clock < end:
        pulse = dynamics.blink_pulse(rng, clock)
        if free(clock, pulse.offset):
            reach = float(rng.choice([1.0, rng.uniform(0.35, 0.9)], p=[0.8, 0.2]))
            _close(rng, sequence, pulse, reach, "both")
            taken.append((clock, pulse.offset))
            sequence.event("blink", clock, pulse.offset, reach=round(reach, 2))
        clock += float(rng.choice([0.3, rng.exponential(3.0) + 0.3], p=[0.12, 0.88]))
    lids = [part for part in components(43) if part in sequence.shown]
    for part in lids:  # a droop and a blink do not close an eye twice
        over = np.maximum(sequence.shown[part] + (sequence.rest.get(43, 0.0)) - 1.0, 0.0)
        sequence.show(part, -over.astype(np.float32))


def _close(rng: np.random.Generator, sequence: Sequence, pulse: Pulse, reach: float, side: str) -> None:
    """Lower the lids; a wink draws cheek and lid muscles of its side along."""
    curve = pulse.curve(sequence.plan.times)
    for part in components(43):
        if side in ("both", part.side):
            sequence.show(part, (reach * curve).astype(np.float32))
    if side != "both":
        pull = float(rng.uniform(0.25, 0.7))
        rows = []
        for au, share in ((6, 1.0), (7, 0.8), (12, 0.35)):
            sequence.show(Component(au, side), (pull * share * curve).astype(np.float32))  # type: ignore[arg-type]
            peak = INTENSITY * pull * share
            sides = (peak, 0.0) if side == "left" else (0.0, peak)
            rows += _rows(au, pulse, sides, float(sequence.plan.times[-1]))
        sequence.movements.append(Movement("macro-expression", rows))


def _hand(rng: np.random.Generator, sequence: Sequence) -> None:
    """A hand passes before the face, or touches it for a while."""
    end = float(sequence.plan.times[-1])
    kind = str(rng.choice(["pass", "touch"]))
    length = float(rng.uniform(0.7, 1.8)) if kind == "pass" else float(rng.uniform(1.2, 3.0))
    start = float(rng.uniform(0.5, max(0.6, end - length - 0.3)))
    place = str(rng.choice(["mouth", "chin", "cheek", "nose", "eye", "forehead"]))
    side = str(rng.choice(["left", "right"]))
    sequence.event(f"hand {kind}", start, start + length, side=side, place=place)
