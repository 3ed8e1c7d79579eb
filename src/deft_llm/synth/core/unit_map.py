"""Which mesh units and which soft-tissue pulls make each AU: the mapping as data.

Two independent sets: ``arkit`` (ARKit face units) and ``makehuman`` (MakeHuman's expression units and
local targets, sculpted by other people). Where a set's unit points another way than FACS and two
independent face models do (``benchmarks/au_table.py``), its components are scaled or units are combined.
Both sets peak at the same displacement (``full``). Face units move too small an area, real skin drags:
each AU also has *pulls*, bell-shaped drags along the muscle's line of action (the linear muscle of Waters,
SIGGRAPH 1987), in inter-ocular units on the base face: x lateral from the midline, y up from the eyes.
``synth/core/units.py`` mixes both.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

UnitSet = Literal["arkit", "makehuman"]
UNIT_SETS: tuple[UnitSet, ...] = ("arkit", "makehuman")
Band = Literal["all", "upper lip", "lower lip", "above eye", "below eye"]


class Unit(NamedTuple):
    """One mesh unit: its name ("{Side}" = Left/Right, "{side}" = left/right, "{s}" = l/r), weight, band and
    a scale of its (lateral, up, forward) components. A name without side is split at the midline."""

    name: str
    weight: float = 1.0
    band: Band = "all"
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Pull(NamedTuple):
    """One drag: centre (x, y), direction (lateral, up, forward), weight, reach across, up, down."""

    x: float
    y: float
    lateral: float
    up: float
    forward: float
    weight: float
    reach: float
    reach_up: float
    reach_down: float
    band: Band = "all"


class AUMap(NamedTuple):
    """How one AU is made. ``full`` is the peak displacement at full strength, in inter-ocular distances."""

    full: float
    arkit: tuple[Unit, ...]
    makehuman: tuple[Unit, ...]
    pulls: tuple[Pull, ...]


_UPPER: Band = "upper lip"
_LOWER: Band = "lower lip"
_ABOVE: Band = "above eye"
_BELOW: Band = "below eye"

AU_MAP: dict[int, AUMap] = {
    1: AUMap(0.12, (Unit("browInnerUp"),), (Unit("eyebrows-{side}-inner-up"),), (
        Pull(0.22, 0.36, 0, 1, 0.1, 1, 0.24, 0.45, 0.16), Pull(0.20, 0.70, 0, 1, 0, 0.6, 0.30, 0.32, 0.30),
        Pull(0.34, 0.13, 0, 1, 0, 0.2, 0.16, 0.10, 0.06, _ABOVE))),
    2: AUMap(0.15, (Unit("browOuterUp{Side}"),), (Unit("eyebrows-{side}-extern-up"),), (
        Pull(0.78, 0.30, 0, 1, 0, 1, 0.26, 0.40, 0.16), Pull(0.72, 0.65, 0, 1, 0, 0.45, 0.28, 0.30, 0.30),
        Pull(0.62, 0.14, 0, 1, 0, 0.3, 0.20, 0.10, 0.08, _ABOVE))),
    4: AUMap(0.12, (Unit("browDown{Side}"),),
             (Unit("eyebrows-{side}-down", 1, "all", (-3, 1, 1)), Unit("nose-compression", 1.0)), (
        Pull(0.24, 0.30, -0.5, -0.85, 0.1, 1, 0.22, 0.22, 0.16),
        Pull(0.05, 0.20, -0.05, -1, 0, 0.6, 0.12, 0.20, 0.15),
        Pull(0.65, 0.30, -0.35, -0.95, 0, 0.5, 0.25, 0.20, 0.15),
        Pull(0.25, 0.66, 0, -1, 0, 0.35, 0.30, 0.30, 0.25),
        Pull(0.50, 0.12, 0, -1, 0, 0.25, 0.22, 0.08, 0.06, _ABOVE))),
    5: AUMap(0.07, (Unit("eyeWide{Side}"),), (Unit("eye-{side}-opened-up"),), (
        Pull(0.52, 0.07, 0, 1, -0.2, 1, 0.20, 0.11, 0.05, _ABOVE),)),
    6: AUMap(0.12, (Unit("cheekSquint{Side}", 1, "all", (-0.7, 1, 1)), Unit("eyeSquint{Side}", 0.5)),
             (Unit("shape/{s}-cheek-trans-up"), Unit("eye-{side}-slit", 0.4, _BELOW)), (
        Pull(0.66, -0.50, -0.05, 1, 0.2, 1, 0.26, 0.25, 0.25),
        Pull(0.90, -0.08, -0.95, 0.2, 0, 0.6, 0.14, 0.16, 0.16),
        Pull(0.55, -0.18, 0, 1, 0, 0.45, 0.22, 0.08, 0.10, _BELOW))),
    7: AUMap(0.06, (Unit("eyeSquint{Side}", 1, _BELOW), Unit("eyeBlink{Side}", 0.10, _ABOVE)),
             (Unit("eye-{side}-slit", 1, _BELOW, (-1, 1, 1)), Unit("eye-{side}-slit", 0.3, _ABOVE)), (
        Pull(0.52, -0.13, -0.15, 1, 0, 1, 0.22, 0.07, 0.12, _BELOW),
        Pull(0.52, 0.08, 0, -1, 0, 0.5, 0.22, 0.10, 0.05, _ABOVE),
        Pull(0.78, -0.03, -1, 0, 0, 0.3, 0.08, 0.08, 0.08))),
    9: AUMap(0.12, (Unit("noseSneer{Side}", 1, _BELOW, (-0.3, 1, 1)), Unit("noseSneer{Side}", 0.4, _ABOVE)),
             (Unit("nose-{side}-elevation", 1, _BELOW, (-0.25, 1, 1)), Unit("nose-compression", -1, _BELOW),
              Unit("eyebrows-{side}-down", 0.25, _ABOVE, (-3, 1, 1))), (
        Pull(0.17, -0.35, -0.06, 1, 0.1, 1, 0.12, 0.25, 0.20),
        Pull(0.22, -0.66, -0.06, 1, 0, 0.9, 0.10, 0.12, 0.10, _UPPER),
        Pull(0.08, -0.10, 0, 1, 0, 0.5, 0.12, 0.10, 0.12),
        Pull(0.20, 0.28, -0.3, -0.95, 0, 0.4, 0.16, 0.18, 0.10),
        Pull(0.16, -0.95, 0, 1, 0, 0.4, 0.12, 0.10, 0.10, _UPPER),
        Pull(0.34, -0.74, 0, 1, 0, 0.5, 0.12, 0.15, 0.15, _UPPER),
        Pull(0.36, -0.30, -0.3, 0.9, 0, 0.35, 0.15, 0.12, 0.15, _BELOW))),
    10: AUMap(0.12, (Unit("mouthUpperUp{Side}", 1, "all", (0.6, 1, 1)),),
              (Unit("mouth-elevation", 1, _UPPER),), (
        Pull(0.20, -0.97, 0.12, 1, 0, 1, 0.16, 0.12, 0.08, _UPPER),
        Pull(0.36, -0.78, 0.2, 1, 0.1, 0.75, 0.14, 0.18, 0.14, _UPPER),
        Pull(0.22, -0.66, 0.1, 1, 0, 0.25, 0.10, 0.10, 0.10, _UPPER))),
    12: AUMap(0.25, (Unit("mouthSmile{Side}"),), (Unit("mouth-corner-puller", 1, "all", (1.5, 1, 1)),), (
        Pull(0.42, -1.08, 0.68, 0.74, -0.2, 1, 0.15, 0.16, 0.14),
        Pull(0.60, -0.70, 0.15, 1, 0.15, 1.0, 0.27, 0.27, 0.22),
        Pull(0.45, -0.86, 0.5, 0.85, 0, 0.6, 0.14, 0.18, 0.14),
        Pull(0.22, -1.00, 0.85, 0.35, 0, 0.45, 0.14, 0.10, 0.08, _UPPER),
        Pull(0.22, -1.18, 0.85, 0.35, 0, 0.45, 0.14, 0.08, 0.12, _LOWER),
        Pull(0.58, -0.22, 0, 1, 0, 0.15, 0.20, 0.08, 0.12, _BELOW))),
    14: AUMap(0.10, (Unit("mouthDimple{Side}", 1, _LOWER, (0.3, 1, 1)),
                     Unit("mouthDimple{Side}", 0.9, _UPPER, (0.3, 1, 1)),
                     Unit("cheekPuff", -0.6, "all", (1, 0.3, 1))),
              (Unit("mouth-compression", 0.6), Unit("mouth-retraction", 1, "all", (1.2, 1, 1)),
               Unit("shape/{s}-cheek-volume-decr", 0.6)), (
        Pull(0.42, -1.08, 0.5, 0.87, -0.6, 1, 0.12, 0.13, 0.13),
        Pull(0.24, -1.00, 0.85, 0.5, 0, 0.3, 0.13, 0.10, 0.08, _UPPER),
        Pull(0.24, -1.18, 0.8, 0.6, 0, 0.35, 0.13, 0.08, 0.10, _LOWER),
        Pull(0.68, -1.04, -0.95, 0.1, 0, 0.7, 0.12, 0.20, 0.20),
        Pull(0.42, -1.36, 0.1, 1, 0, 0.55, 0.16, 0.14, 0.16, _LOWER))),
    15: AUMap(0.12, (Unit("mouthFrown{Side}"),), (Unit("mouth-depression"),), (
        Pull(0.42, -1.10, 0.2, -1, 0, 1, 0.13, 0.14, 0.18),
        Pull(0.38, -1.38, 0.1, -0.9, 0, 0.5, 0.16, 0.18, 0.15, _LOWER),
        Pull(0.25, -1.18, 0.3, -0.9, 0, 0.45, 0.13, 0.06, 0.12, _LOWER),
        Pull(0.42, -0.90, 0, -1, 0, 0.25, 0.14, 0.14, 0.10))),
    16: AUMap(0.12, (Unit("mouthLowerDown{Side}"),), (Unit("mouth-depression-retraction", 1, _LOWER),), (
        Pull(0.15, -1.18, 0.25, -0.95, 0, 1, 0.18, 0.06, 0.15, _LOWER),
        Pull(0.10, -1.45, 0.1, -1, 0, 0.45, 0.20, 0.15, 0.15, _LOWER))),
    17: AUMap(0.13, (Unit("mouthShrugLower"), Unit("mouthShrugUpper", 0.2)),
              (Unit("mouth-eversion", 1, _LOWER, (0.3, 1.6, 0.5)),
               Unit("shape/mouth-lowerlip-height-decr", 0.7), Unit("shape/chin-height-decr", 0.35)), (
        Pull(0.0, -1.50, 0, 1, 0.2, 1, 0.25, 0.22, 0.20, _LOWER),
        Pull(0.0, -1.20, 0, 1, 0.3, 0.8, 0.28, 0.10, 0.14, _LOWER),
        Pull(0.0, -1.00, 0, 1, 0, 0.15, 0.20, 0.08, 0.08, _UPPER))),
    18: AUMap(0.13, (Unit("mouthPucker"),), (Unit("mouth-pursing"),), (
        Pull(0.38, -1.09, -1, 0, 0.3, 1, 0.16, 0.13, 0.13),
        Pull(0.18, -1.00, -0.7, -0.1, 0.5, 0.6, 0.14, 0.14, 0.08, _UPPER),
        Pull(0.18, -1.18, -0.7, 0.1, 0.5, 0.6, 0.14, 0.08, 0.14, _LOWER),
        Pull(0.62, -1.05, -0.6, 0, 0, 0.35, 0.16, 0.20, 0.20))),
    20: AUMap(0.15, (Unit("mouthStretch{Side}", 1, "all", (1.4, 0.4, 1)),),
              (Unit("mouth-retraction", 1, "all", (1.6, -0.25, 0.8)), Unit("neck-platysma", 0.2)), (
        Pull(0.43, -1.10, 1, -0.15, -0.2, 1, 0.15, 0.14, 0.16),
        Pull(0.62, -1.12, 1, -0.15, 0, 0.65, 0.20, 0.20, 0.25),
        Pull(0.22, -1.00, 1, 0, 0, 0.45, 0.14, 0.10, 0.08, _UPPER),
        Pull(0.22, -1.18, 1, -0.1, 0, 0.45, 0.14, 0.08, 0.12, _LOWER),
        Pull(0.42, -1.60, 0.5, -0.7, 0, 0.35, 0.25, 0.20, 0.20, _LOWER))),
    22: AUMap(0.15, (Unit("mouthFunnel"), Unit("mouthShrugUpper", 0.8, _UPPER)), (Unit("mouth-protusion"),), (
        Pull(0.38, -1.09, -1, 0, 0.4, 0.7, 0.14, 0.12, 0.12),
        Pull(0.08, -0.99, -0.2, 0.9, 0.6, 0.9, 0.18, 0.12, 0.06, _UPPER),
        Pull(0.08, -1.19, -0.2, -0.9, 0.6, 0.9, 0.18, 0.06, 0.12, _LOWER))),
    23: AUMap(0.08,
              (Unit("mouthRollUpper", 0.3, _UPPER), Unit("mouthRollLower", 0.5, _LOWER),
               Unit("mouthPucker", 0.4)),
              (Unit("shape/mouth-upperlip-height-decr", 0.7), Unit("shape/mouth-lowerlip-height-decr"),
               Unit("shape/mouth-upperlip-middle-down", 0.5), Unit("mouth-pursing", 0.35)), (
        Pull(0.15, -1.00, -0.35, -0.9, 0, 0.8, 0.20, 0.10, 0.06, _UPPER),
        Pull(0.15, -1.18, -0.35, 0.9, 0, 0.8, 0.20, 0.06, 0.12, _LOWER),
        Pull(0.40, -1.09, -1, 0, 0, 0.9, 0.13, 0.11, 0.11))),
    24: AUMap(0.09, (Unit("mouthRollUpper", 0.5, _UPPER), Unit("mouthRollLower", 0.8, _LOWER)),
              (Unit("shape/mouth-upperlip-height-decr"), Unit("shape/mouth-lowerlip-height-decr"),
               Unit("shape/mouth-upperlip-volume-decr", 0.5)), (
        Pull(0.15, -0.99, 0, -1, -0.1, 1, 0.25, 0.12, 0.06, _UPPER),
        Pull(0.15, -1.19, 0, 1, -0.1, 1, 0.25, 0.06, 0.13, _LOWER),
        Pull(0.10, -1.45, 0, 1, 0, 0.2, 0.22, 0.14, 0.14, _LOWER))),
    25: AUMap(0.12, (Unit("mouthLowerDownLeft", 1, _LOWER), Unit("mouthLowerDownRight", 1, _LOWER),
                     Unit("mouthUpperUpLeft", 0.35, _UPPER), Unit("mouthUpperUpRight", 0.35, _UPPER)),
              (Unit("mouth-part-later", 1, _LOWER), Unit("mouth-parling", 1.6, _UPPER)), (
        Pull(0.12, -1.18, 0, -1, 0, 1, 0.22, 0.06, 0.14, _LOWER),
        Pull(0.12, -1.00, 0, 1, 0, 0.35, 0.20, 0.10, 0.06, _UPPER))),
    26: AUMap(0.45, (Unit("jawOpen"),), (Unit("mouth-open"),), (
        Pull(0.0, -1.50, 0, -1, -0.4, 1, 0.70, 0.30, 0.40, _LOWER),
        Pull(0.55, -1.15, -0.1, -1, -0.2, 0.4, 0.25, 0.30, 0.30))),
    28: AUMap(0.18, (Unit("mouthRollUpper", 0.8), Unit("mouthRollLower")),
              (Unit("shape/mouth-upperlip-volume-decr"), Unit("shape/mouth-lowerlip-volume-decr"),
               Unit("shape/mouth-upperlip-height-decr", 0.7),
               Unit("shape/mouth-lowerlip-height-decr", 0.7)), (
        Pull(0.12, -0.97, 0, -1, -0.5, 1, 0.26, 0.16, 0.08, _UPPER),
        Pull(0.12, -1.22, 0, 1, -0.5, 1, 0.26, 0.08, 0.16, _LOWER),
        Pull(0.08, -1.48, 0, 1, 0, 0.45, 0.25, 0.16, 0.16, _LOWER),
        Pull(0.40, -1.09, -0.8, 0, -0.3, 0.3, 0.12, 0.12, 0.12))),
    38: AUMap(0.04, (), (Unit("nose-{side}-dilatation"),), (
        Pull(0.23, -0.65, 1, 0.1, 0, 1, 0.07, 0.08, 0.08, _UPPER),)),
    43: AUMap(0.19, (Unit("eyeBlink{Side}"),), (Unit("eye-{side}-closure"),), (
        Pull(0.52, 0.07, 0, -1, 0, 1, 0.20, 0.10, 0.05, _ABOVE),
        Pull(0.52, -0.13, -0.2, 0.9, 0, 0.12, 0.20, 0.05, 0.08, _BELOW),
        Pull(0.50, 0.28, 0, -1, 0, 0.06, 0.30, 0.10, 0.10))),
}  # fmt: skip
AU_MAP[45] = AU_MAP[43]
SYNTH_AUS: tuple[int, ...] = tuple(sorted(AU_MAP))
"""Every AU that synthesis can make."""

# Motion that no AU of the catalogue names; it disturbs clips. Names are ARKit units.
NUISANCE_UNITS: dict[str, tuple[Unit, ...]] = {
    "jaw left": (Unit("jawLeft"),),
    "jaw right": (Unit("jawRight"),),
    "jaw forward": (Unit("jawForward"),),
    "mouth left": (Unit("mouthLeft"),),
    "mouth right": (Unit("mouthRight"),),
    "cheek puff": (Unit("cheekPuff"),),
    "gaze up": (Unit("eyeLookUpLeft"), Unit("eyeLookUpRight")),
    "gaze down": (Unit("eyeLookDownLeft"), Unit("eyeLookDownRight")),
    "gaze left": (Unit("eyeLookOutLeft"), Unit("eyeLookInRight")),
    "gaze right": (Unit("eyeLookInLeft"), Unit("eyeLookOutRight")),
}
