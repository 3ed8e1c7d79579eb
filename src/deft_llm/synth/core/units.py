"""AU -> displacement of the head mesh: two unit sets, sides, lip parts and each subject's own style."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit

from deft_llm.errors import UsageError
from deft_llm.facs.units import entry
from deft_llm.synth.core.identity import Identity
from deft_llm.synth.core.mesh import FaceMesh
from deft_llm.synth.core.unit_map import AU_MAP, NUISANCE_UNITS, SYNTH_AUS, Band, Pull, Unit, UnitSet

__all__ = [
    "SYNTH_AUS",
    "Component",
    "MotorStyle",
    "au_displacement",
    "component_field",
    "components",
    "motor_style",
]

Side = Literal["left", "right"]


class Component(NamedTuple):
    """The smallest part of an AU that moves alone: a side, a lip part, or the whole."""

    au: int
    side: Side | None = None
    part: Literal["upper", "lower"] | None = None


class MotorStyle(NamedTuple):
    """How one subject performs one component: turn (radians), share of dragged skin, gain, drag reach and
    shift (inter-ocular units), and a factor for each pull."""

    turn: float = 0.0
    drag: float = 0.5
    gain: float = 1.0
    reach: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    pulls: tuple[float, ...] = ()


def components(au: int) -> tuple[Component, ...]:
    """The components of ``au`` as FACS scores it. Raises: UsageError for an AU that synthesis cannot make."""
    if au not in AU_MAP:
        raise UsageError(f"AU{au}: synthesis does not make it; choose from {', '.join(map(str, SYNTH_AUS))}.")
    scoring = entry(au).scoring
    if scoring == "sides":
        return (Component(au, "left"), Component(au, "right"))
    if scoring == "parts":
        return (Component(au, None, "upper"), Component(au, None, "lower"))
    return (Component(au),)


def motor_style(identity: Identity, component: Component) -> MotorStyle:
    """The stable style of ``identity``: people pull their skin in slightly different directions and areas."""
    number = (component.side == "right") + 2 * (component.part == "lower")
    shared = np.random.default_rng([identity.seed, 77, component.au])
    own = np.random.default_rng([identity.seed, 78, component.au, number])
    turn = math.radians(float(shared.normal(0, 8)))
    mirror = -1.0 if component.side == "right" else 1.0
    return MotorStyle(
        turn=mirror * turn + math.radians(float(own.normal(0, 5))),
        drag=float(np.clip(shared.uniform(0.3, 0.8) + own.normal(0, 0.05), 0.15, 0.9)),
        gain=float(np.exp(own.normal(0, 0.14))),
        reach=float(np.exp(shared.normal(0.05, 0.18))),
        shift=(float(shared.normal(0, 0.035)), float(shared.normal(0, 0.035))),
        pulls=tuple(float(x) for x in np.exp(shared.normal(0, 0.3, len(AU_MAP[component.au].pulls)))),
    )


def au_displacement(
    mesh: FaceMesh,
    identity: Identity,
    au: int,
    side: str = "both",
    part: str | None = None,
    unit_set: UnitSet = "arkit",
) -> np.ndarray:
    """Displacement (V, 3), dm, of ``au`` at full strength on ``identity``; linear in strength.

    ``side`` "both" or "asymmetric" moves both sides (scale a side yourself), "left"/"right" the subject's
    own; ``part`` "upper"/"lower" one lip, None both. Raises: UsageError for an AU that cannot be made.
    """
    chosen = [
        c
        for c in components(au)
        if (c.side is None or side in ("both", "asymmetric", c.side))
        and (c.part is None or part in (None, c.part))
    ]
    total = np.zeros_like(mesh.vertices)
    for component in chosen:
        style = motor_style(identity, component)
        field = component_field(mesh, component, unit_set, tuple(identity.ancestry.items()), style)
        total += field * np.float32(style.gain)
    left, right = mesh.eye_centres(identity.vertices)
    return total * np.float32(AU_MAP[au].full * np.linalg.norm(left - right))


def component_field(
    mesh: FaceMesh,
    component: Component,
    unit_set: UnitSet = "arkit",
    ancestry: tuple[tuple[str, float], ...] = (("caucasian", 1.0),),
    style: MotorStyle | None = None,
) -> np.ndarray:
    """Displacement (V, 3) of one component with a peak of 1 in the image plane of a frontal face.

    The face units (``unit_set``) and the drag of soft tissue are mixed by ``style.drag``.
    """
    style = style or MotorStyle()
    sculpted = sculpted_field(mesh, component, unit_set, ancestry)
    dragged = _drag_field(mesh, component, style)
    if sculpted is None:
        mixed = dragged
    else:
        mixed = (1 - style.drag) * sculpted + style.drag * dragged
    cos, sin = math.cos(style.turn), math.sin(style.turn)
    turned = mixed.copy()
    turned[:, 0] = cos * mixed[:, 0] - sin * mixed[:, 1]
    turned[:, 1] = sin * mixed[:, 0] + cos * mixed[:, 1]
    return _normalised(mesh, turned)


def nuisance_displacement(mesh: FaceMesh, identity: Identity, name: str) -> np.ndarray:
    """Displacement (V, 3), dm, of a motion that no AU names (jaw sideways, gaze), at full strength."""
    if name not in NUISANCE_UNITS:
        raise UsageError(f"{name}: no such nuisance motion; choose from {', '.join(NUISANCE_UNITS)}.")
    left, right = mesh.eye_centres(identity.vertices)
    scale = np.linalg.norm(left - right) / np.linalg.norm(mesh.eyes[0] - mesh.eyes[1])
    return np.float32(scale) * np.sum(
        [mesh.offset(f"arkit/{unit.name}") for unit in NUISANCE_UNITS[name]], axis=0
    )


def _normalised(mesh: FaceMesh, field: np.ndarray) -> np.ndarray:
    """Scale ``field`` so that the skin's peak motion in the image plane is 1 (the fourth largest vertex)."""
    length = np.hypot(field[:, 0], field[:, 1])[mesh.vertex_group == 0]
    peak = np.sort(length)[-4]
    return (field / max(peak, 1e-9)).astype(np.float32)


def sculpted_field(
    mesh: FaceMesh,
    component: Component,
    unit_set: UnitSet,
    ancestry: tuple[tuple[str, float], ...] = (("caucasian", 1.0),),
) -> np.ndarray | None:
    """The sculpted units (V, 3) of a component, peak 1; None where the set has no unit for this AU."""
    units = getattr(AU_MAP[component.au], unit_set)
    if not units:
        return None
    total = np.zeros_like(mesh.vertices)
    for unit in units:
        for name, weight in _names(mesh, unit, unit_set, component.side, ancestry):
            field = mesh.offset(name) * np.array(unit.scale, np.float32)
            if component.side and "{" not in unit.name:
                field = field * _side_mask(mesh, component.side)[:, None]
            total += weight * field * _band_mask(mesh, unit.band)[:, None]
    if component.part:
        total *= _band_mask(mesh, "upper lip" if component.part == "upper" else "lower lip")[:, None]
    return _normalised(mesh, total)


def _names(
    mesh: FaceMesh, unit: Unit, unit_set: UnitSet, side: Side | None, ancestry: tuple[tuple[str, float], ...]
) -> list[tuple[str, float]]:
    """Offset names and weights of one unit; a sided name without a side stands for both."""
    sides: tuple[Side, ...] = (side,) if side else ("left", "right")
    found: list[tuple[str, float]] = []
    stems = [unit.name.format(Side=s.capitalize(), side=s, s=s[0]) for s in sides]
    for stem in dict.fromkeys(stems):
        if stem.startswith("shape/"):
            found.append((stem, unit.weight))
        elif unit_set == "arkit":
            found.append((f"arkit/{stem}", unit.weight))
        else:
            found += [
                (f"makehuman/{name}/{stem}", unit.weight * share) for name, share in ancestry if share > 0
            ]
    return found


def _drag_field(mesh: FaceMesh, component: Component, style: MotorStyle) -> np.ndarray:
    """The soft-tissue drag of a component, peak 1."""
    total = np.zeros_like(mesh.vertices)
    for sign in (1.0, -1.0):
        if component.side == ("right" if sign > 0 else "left"):
            continue
        for number, pull in enumerate(AU_MAP[component.au].pulls):
            if sign < 0 and pull.x == 0:
                continue  # a midline pull acts once
            factor = style.pulls[number] if style.pulls else 1.0
            total += factor * _pull_field(mesh, pull, sign, style)
    if component.part:
        total *= _band_mask(mesh, "upper lip" if component.part == "upper" else "lower lip")[:, None]
    return _normalised(mesh, total)


def _pull_field(mesh: FaceMesh, pull: Pull, sign: float, style: MotorStyle) -> np.ndarray:
    chart = mesh.face_coordinates
    dx = (chart[:, 0] - sign * (pull.x + style.shift[0] * (pull.x > 0))) / (pull.reach * style.reach)
    dy = chart[:, 1] - (pull.y + style.shift[1])
    dy = np.where(dy > 0, dy / (pull.reach_up * style.reach), dy / (pull.reach_down * style.reach))
    bell = pull.weight * np.exp(-0.5 * (dx**2 + dy**2)) * _skin_mask(mesh) * _band_mask(mesh, pull.band)
    return (bell[:, None] * np.array([sign * pull.lateral, pull.up, pull.forward])).astype(np.float32)


@lru_cache(maxsize=64)
def _mask(mesh_key: int, kind: str) -> np.ndarray:
    mesh = _MESHES[mesh_key]
    x, y, z = mesh.face_coordinates.T
    if kind == "upper lip":
        mask = 1 - mesh.lower_jaw
    elif kind == "lower lip":
        mask = mesh.lower_jaw
    elif kind == "above eye":
        mask = expit(y / 0.015)
    elif kind == "below eye":
        mask = expit((-0.03 - y) / 0.015)
    elif kind in ("left", "right"):
        mask = expit((x if kind == "left" else -x) / 0.06)
    else:  # skin of the face that muscles drag: not eyes, teeth, ears or the back of the head
        mask = expit((z + 0.25) / 0.06) * expit((1.15 - y) / 0.08) * (mesh.vertex_group == 0)
    return mask.astype(np.float32)


_MESHES: dict[int, FaceMesh] = {}


def _cached_mask(mesh: FaceMesh, kind: str) -> np.ndarray:
    _MESHES[id(mesh)] = mesh
    return _mask(id(mesh), kind)


def _band_mask(mesh: FaceMesh, band: Band) -> np.ndarray:
    """0..1 (V,): on which side of the mouth or eye line a vertex lies."""
    return np.ones(len(mesh.vertices), np.float32) if band == "all" else _cached_mask(mesh, band)


def _side_mask(mesh: FaceMesh, side: Side) -> np.ndarray:
    """0..1 (V,): smooth halves of the face."""
    return _cached_mask(mesh, side)


def _skin_mask(mesh: FaceMesh) -> np.ndarray:
    return _cached_mask(mesh, "skin")
