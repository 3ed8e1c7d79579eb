"""One clip's measured motion, in aligned coordinates."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from deft_llm.facs.regions import REGION_KEYS
from deft_llm.records import Units
from deft_llm.spooled import Spool, Stored

ALIGNED_SIZE = 224
ALIGNED_IOD = 90.0

Array = np.ndarray


@dataclass
class RegionTable:
    """Per phase P and region R (order of ``facs.regions.REGION_KEYS``), head motion removed.

    dx, dy: aligned px (right, down), or relative units; magnitude: their length;
    px: source px, iod_percent: % of inter-ocular distance (both NaN for relative units);
    floor: the clip's own noise floor, aligned px; z: magnitude over floor;
    divergence: mean du/dx + dv/dy in the region, 1/px; converging and diverging AUs read it;
    profile: (R, T<=16) signed projection on the region's onset->apex direction over time, aligned px
    (empty where no indices are known); profile_times: (T,) seconds from onset.
    """

    dx: Array
    dy: Array
    magnitude: Array
    px: Array
    iod_percent: Array
    floor: Array
    z: Array
    divergence: Array
    profile: Array = field(default_factory=lambda: np.zeros((len(REGION_KEYS), 0), np.float32))
    profile_times: Array = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass
class Motion:
    """One clip's motion: what the store holds.

    flow: float (P, 2, H, W), phases onset to apex, then apex to offset (u right, v down), aligned px for
    units "px" (H = W = 224 at 90 px inter-ocular distance) or any size and scale for "relative";
    P = 1 where the second phase is absent. head: (P, 4) similarity (log scale, rotation rad, tx, ty)
    that was taken out of flow (zeros where none was). strain: (P, H, W) optical strain magnitude.
    mask: bool (H, W), the face. faces: uint8 RGB (3, 224, 224, 3) aligned onset, apex, offset.
    landmarks: (3, 478, 2) aligned px, head motion included; depth: (3, 478) their depth, aligned px, larger
    is farther (absent in older stores). over_neutral: (C,) % of the eye distance, what the onset's shape is
    over the person's neutral (``state.onset``; absent where none is known). dynamic: float (P, 224, 224)
    dynamic images.
    iod_px: inter-ocular distance in the source. fps: of the source. indices: onset, apex, offset.
    stated: AU -> the probabilities of its left and its right that a video's whole measurement gives, near 0
    where that denies it (``explain.account.stated_chances``; empty for the clips of a corpus).
    """

    clip_id: str
    units: Units
    flow: Array
    strain: Array
    regions: RegionTable
    head: Array | None = None
    mask: Array | None = None
    faces: Array | None = None
    landmarks: Array | None = None
    depth: Array | None = None
    over_neutral: Array | None = None
    dynamic: Array | None = None
    iod_px: float | None = None
    fps: float | None = None
    indices: tuple[int, int, int | None] | None = None
    quality: dict[str, float] = field(default_factory=dict)
    stated: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def has(self) -> frozenset[str]:
        """What this clip offers, as ``method.Sample.has`` names it."""
        names = {"flow"}
        if self.flow.shape[0] > 1:
            names.add("offset-phase")
        if self.units == "px":
            names.add("px")
        for attribute, name in (("faces", "faces"), ("landmarks", "landmarks"), ("dynamic", "dynamic")):
            if getattr(self, attribute) is not None:
                names.add(name)
        if self.regions.profile.shape[1]:
            names.add("profile")
        return frozenset(names)


class StoredMotion(Stored[Motion]):
    """A motion whose arrays lie in a ``Spool``: an hour of video has hundreds, a megabyte each."""

    def __init__(self, motion: Motion, spool: Spool[tuple[str, str]]) -> None:
        self._spool = spool
        arrays = {name: getattr(motion, name) for name in TENSOR_FIELDS}
        self._names = [name for name, array in arrays.items() if array is not None]
        for name in self._names:
            spool[motion.clip_id, name] = arrays[name]
        nothing: dict[str, Any] = dict.fromkeys(self._names, np.empty(0))
        self._rest = replace(motion, **nothing)

    def open(self) -> Motion:
        """The motion as it was."""
        clip = self._rest.clip_id
        arrays: dict[str, Any] = {name: np.array(self._spool[clip, name]) for name in self._names}
        return replace(self._rest, **arrays)

    def with_stated(self, stated: dict[int, tuple[float, float]]) -> StoredMotion:
        """The same motion, its arrays where they are, with what the video's measurement states of it."""
        told = copy(self)
        told._rest = replace(self._rest, stated=stated)
        return told


TENSOR_FIELDS = ("flow", "strain", "head", "mask", "faces", "landmarks", "depth", "over_neutral", "dynamic")
REGION_FIELDS = tuple(f.name for f in fields(RegionTable))
FLOAT16_FIELDS = frozenset({"flow", "strain", "dynamic"})
