"""Held-out check of the dual constraint: labels made false on purpose, and clips without evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from deft_llm.aus.calibration import Calibration, load_calibration
from deft_llm.aus.support import AUSupport, measure_support
from deft_llm.aus.verdict import side_fault, verdicts
from deft_llm.facs.units import entry
from deft_llm.records import ActionUnit
from deft_llm.store.motion import Motion, RegionTable
from deft_llm.training.text_rules import falsified
from recipes.au_support.simulate import Scenes, World

FALSE_SHARE = 0.3


@dataclass(frozen=True)
class Case:
    """One clip with its true AUs and each AU's own peak motion in aligned px."""

    motion: Motion
    truth: tuple[ActionUnit, ...]
    sizes: tuple[float, ...]
    kind: str = "expression"
    noise: float = 0.0


@dataclass
class Row:
    """One judged label: what it was, how it was made, what came out.

    side_right: the measured side is the true one to the letter; side_agrees: as ``verdict.side_fault`` holds
    them together (a stronger left side agrees with "left"). None: a false label, a missed AU, no sides.
    """

    kind: str
    au: int
    size: float
    noise: float
    supported: bool
    seen: bool
    side_right: bool | None
    side_agrees: bool | None = None


@dataclass
class HeldOut:
    """Judged labels, and per calm clip whether any AU came out as evidence."""

    rows: list[Row] = field(default_factory=list)
    calm: list[tuple[str, bool]] = field(default_factory=list)


def scene_cases(scenes: Scenes, world: World, units: str = "px") -> Iterator[Case]:
    """Cases from region-level scenes (``au_support.simulate``); maps lose their zero and scale."""
    for row in range(len(scenes.vectors)):
        truth, sizes = [], []
        for au in world.numbers:
            found = _truth(scenes.amplitudes[row], world, au)
            if found:
                truth.append(found[0])
                sizes.append(found[1])
        motion = table_motion(f"scene/{row}", scenes.vectors[row], scenes.floors[row], units)
        noise = float(np.median(scenes.floors[row]))
        yield Case(motion, tuple(truth), tuple(sizes), str(scenes.kinds[row]), noise)


def table_motion(clip_id: str, vectors: np.ndarray, floors: np.ndarray, units: str = "px") -> Motion:
    """A motion record that holds a region table only (no maps), from region vectors (R, 2)."""
    dx, dy = (vectors[None, :, axis].astype(np.float32) for axis in (0, 1))
    length = np.hypot(dx, dy)
    floor = floors[None].astype(np.float32)
    empty = np.full_like(length, np.nan)
    iod = length / 90.0 * 100.0 if units == "px" else empty
    table = RegionTable(dx, dy, length, length if units == "px" else empty, iod, floor, length / floor, empty)
    blank = np.zeros((1, 2, 1, 1), np.float32)
    return Motion(clip_id, units, blank, blank[:, 0], table, iod_px=90.0 if units == "px" else None)  # type: ignore[arg-type]


def _truth(amplitudes: np.ndarray, world: World, au: int) -> tuple[ActionUnit, float] | None:
    whole = world.atom(au, "both")
    if whole is not None:
        size = float(amplitudes[whole])
        return (ActionUnit(number=au), size) if size > 0 else None
    left, right = float(amplitudes[world.atom(au, "left")]), float(amplitudes[world.atom(au, "right")])
    if left <= 0 and right <= 0:
        return None
    if min(left, right) <= 0:
        return ActionUnit(number=au, side="left" if left > right else "right"), max(left, right)
    side = "asymmetric" if min(left, right) < 0.5 * max(left, right) else "both"
    return ActionUnit(number=au, side=side), max(left, right)  # type: ignore[arg-type]


def run_held_out(
    cases: Iterable[Case],
    available: tuple[int, ...],
    rng: np.random.Generator,
    calibration: Calibration | None = None,
    draws: int = 1,
) -> HeldOut:
    """Judge true and falsified labels of all cases; neutral and blink clips must yield no evidence.

    Every case is measured once; its labels are falsified ``draws`` times over.
    """
    calibration = calibration or load_calibration()
    result = HeldOut()
    for case in cases:
        supports = measure_support(case.motion, calibration)
        if not case.truth:
            calm = not verdicts(supports, None, calibration, case.motion.units)
            result.calm.append((case.kind, calm))
            continue
        for _ in range(draws):
            for position, (label, size) in enumerate(zip(case.truth, case.sizes, strict=True)):
                kind = "true"
                if rng.random() < FALSE_SHARE:
                    kind, label = falsified(case.truth, position, available, rng)
                result.rows.append(_judged(case, kind, label, size, supports, calibration))
    return result


def _judged(
    case: Case,
    kind: str,
    label: ActionUnit,
    size: float,
    supports: list[AUSupport],
    calibration: Calibration,
) -> Row:
    units = case.motion.units
    kept = verdicts(supports, [label], calibration, units)[0].status == "supported"
    measured = next((support for support in supports if support.au == label.number), None)
    limit = calibration.threshold(units, label.number)
    if measured is None or limit is None or measured.support < limit:
        return Row(kind, label.number, size, case.noise, kept, False, None)
    right = side_right(label, measured.side) if kind == "true" else None
    agrees = None if right is None else not side_fault(label, measured)
    return Row(kind, label.number, size, case.noise, kept, True, right, agrees)


def side_right(label: ActionUnit, measured: str) -> bool | None:
    """Whether the measured side is the label's; None where the AU has no sides. Asymmetric counts as both."""
    if entry(label.number).scoring != "sides":
        return None
    plain = {"asymmetric": "both"}
    return plain.get(label.side, label.side) == plain.get(measured, measured)


def figures(result: HeldOut, smallest: float = 0.0, largest: float = np.inf) -> dict[str, float | int | None]:
    """Precision, recall, rejection of false labels by kind, laterality, for AUs of a range of motion."""
    rows = [row for row in result.rows if smallest <= row.size < largest]
    true = [row for row in rows if row.kind == "true"]
    false = [row for row in rows if row.kind != "true"]
    kept = sum(row.supported for row in rows)
    exact = [row.side_right for row in true if row.side_right is not None]
    sides = [row.side_agrees for row in true if row.side_agrees is not None]
    found: dict[str, float | int | None] = {
        "labels": len(rows),
        "precision": _share(sum(row.supported for row in true), kept),
        "recall": _share(sum(row.supported for row in true), len(true)),
        "false rejected": _share(sum(not row.supported for row in false), len(false)),
        "laterality": _share(sum(bool(side) for side in sides), len(sides)),
        "laterality exact": _share(sum(bool(side) for side in exact), len(exact)),
        "sided labels": len(exact),
    }
    for kind in ("random", "neighbour", "wrong side"):
        some = [row for row in false if row.kind == kind]
        found[f"{kind} rejected"] = _share(sum(not row.supported for row in some), len(some))
    return found


def _share(part: float, whole: float) -> float | None:
    return None if not whole else round(part / whole, 4)


__all__ = ["Case", "HeldOut", "figures", "run_held_out", "scene_cases", "side_right", "table_motion"]
