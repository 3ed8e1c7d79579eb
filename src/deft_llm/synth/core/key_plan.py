"""Short performances for training: one movement that rises, is released, or takes another one's place, on a
face that may hold something already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from deft_llm.records import ActionUnit, ClipPhase, Coarse
from deft_llm.synth.core import dynamics, events
from deft_llm.synth.core.coder import SEEN_PX
from deft_llm.synth.core.dynamics import Pulse
from deft_llm.synth.core.events import Plan, component_strengths, share_of
from deft_llm.synth.core.prior import ActiveAU, Prior
from deft_llm.synth.core.sequence import RESTS, compatible, draw_units
from deft_llm.synth.core.units import components

HELD, TURN = "held_px", "turn"
"""What a synthetic clip's ``truth.attributes`` say of its onset: {AU: [left, right] px on a face 280 px
wide}, and [yaw, pitch] of the face in degrees."""
SHARES: dict[ClipPhase, float] = {"rise": 0.66, "release": 0.2, "transition": 0.14}
LEAST_PX = 0.2  # of a 280-px face: what is smaller is no movement that anybody coded
LARGER = 1.5  # times the largest rise is the largest release
STAYS = 0.35  # share of rises that do not go back by the offset, as a release does not
HELD_CHANCE, REST_CHANCE = 0.25, 0.3


@dataclass
class KeyPlan:
    """A performance and its truth. ``rising`` and ``released``: AUs with sides; ``held``: AU -> share of full
    strength that stays throughout; frames ``onset``, ``apex``, ``offset``; ``px``: of the main AU."""

    plan: Plan
    phase: ClipPhase
    onset: int
    apex: int
    offset: int
    px: float
    rising: list[ActionUnit] = field(default_factory=list)
    released: list[ActionUnit] = field(default_factory=list)
    held: dict[int, float] = field(default_factory=dict)
    fine: str | None = None
    coarse: Coarse | None = None


def draw_key_plan(
    rng: np.random.Generator, prior: Prior, *, fps: float, smallest: float, largest: float,
    phase: ClipPhase | None = None,
) -> KeyPlan:  # fmt: skip
    """Plan one performance whose main AU moves by ``smallest`` to ``largest`` px of a 280-px face (log-
    uniform), of what is released by SEEN_PX to LARGER times the ``largest``, for a face holds what anybody
    can see. ``phase``: None draws it by SHARES."""
    phase = phase or rng.choice(list(SHARES), p=list(SHARES.values()))
    start = float(rng.uniform(0.05, 0.1))
    pulse = dynamics.micro_pulse(rng, start) if rng.random() < 0.6 else dynamics.macro_pulse(rng, start)
    frames = max(int(np.ceil((pulse.offset + 0.06) * fps)), 12)
    plan = Plan(fps, np.arange(frames) / fps, "micro-expression")
    events.disturb(rng, plan)
    place = [min(round(t * fps), frames - 1) for t in (pulse.onset, pulse.apex, pulse.offset)]
    place[1] = int(np.clip(place[1], place[0] + 1, frames - 2))
    if phase == "rise" and rng.random() < STAYS:
        pulse = replace(pulse, rest=1.0)
    least, most = (smallest, largest) if phase == "rise" else (SEEN_PX, max(LARGER * largest, SEEN_PX))
    px = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    made = KeyPlan(plan, phase, place[0], place[1], max(place[2], place[1] + 1), px)
    active, fine, coarse = draw_units(rng, prior)
    numbers = [unit.number for unit in active]
    if phase == "rise":
        made.rising = _move(rng, made, active, pulse, rising=True)
        made.fine, made.coarse = fine, coarse  # type: ignore[assignment]
        if rng.random() < HELD_CHANCE:
            _hold(rng, made, numbers)
    else:
        made.released = _move(rng, made, active, pulse, rising=False)
        if phase == "transition":
            second, fine, coarse = draw_units(rng, prior)
            free = tuple(u for u in second if u.number not in numbers and compatible(u.number, numbers))
            made.rising = _move(rng, made, free, pulse, rising=True) if free else []
            made.phase = "transition" if made.rising else "release"
            if made.rising and len(free) == len(second):
                made.fine, made.coarse = fine, coarse  # type: ignore[assignment]
    if rng.random() < REST_CHANCE:
        _hold(rng, made, numbers + [unit.number for unit in made.rising])
    return made


def _move(
    rng: np.random.Generator, made: KeyPlan, active: tuple[ActiveAU, ...], pulse: Pulse, *, rising: bool
) -> list[ActionUnit]:
    """Let AUs rise and fall back, or fall from what was held; returns those that a coder would see move."""
    times, seen = made.plan.times, []
    for number, unit in enumerate(active):
        own = pulse if number == 0 else dynamics.asynchronous(rng, pulse)
        if rising:
            curve = own.curve(times)
        else:  # held until the onset, gone by the apex
            fall = Pulse(own.onset, own.apex, own.apex + 1e3, 1e3, own.fall, own.fall)
            curve = 1.0 - fall.curve(times)
        moved = []
        for component, relative in component_strengths(unit):
            share = min(share_of(unit.number, made.px * relative), 1.0)
            made.plan.add(component, share * curve)
            moved.append(made.px * relative)
        if not unit.faint and max(moved) >= LEAST_PX:
            seen.append(unit.record())
    return seen


def _hold(rng: np.random.Generator, made: KeyPlan, busy: list[int]) -> None:
    """Something that the face shows all the time."""
    for au in RESTS[int(rng.integers(len(RESTS)))]:
        if au in busy or not compatible(au, busy):
            continue
        strength = float(rng.uniform(0.15, 0.6))
        made.held[au] = round(strength, 3)
        for part in components(au):
            made.plan.add(part, np.full(len(made.plan.times), strength * rng.uniform(0.8, 1.0)))
