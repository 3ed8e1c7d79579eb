"""What is known about one clip when its instructions are written: labels, judged evidence, moving regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deft_llm.aus.calibration import Calibration, load_calibration
from deft_llm.aus.support import AUSupport, measure_support
from deft_llm.aus.verdict import verdicts
from deft_llm.faces.pose import head_turn
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.regions import REGIONS
from deft_llm.facs.words import noun
from deft_llm.motion.table import GOES_BACK, MOVING_Z, STAYS, taken_back
from deft_llm.records import ActionUnit, Clip, ClipPhase, Coarse, Evidence, Turned, Units
from deft_llm.store.motion import Motion

STILL_Z = 1.5
PHASE_RATIO = 1.4
CLEARLY_MOST = 1.15
"""Times the motion of any other part of the face that the part has which moves most."""
STRAIGHT, TURNED = 5.0, 10.0
"""Degrees of yaw up to which a face looks straight ahead, and from which it is turned to a side."""
HELD = 0.6
"""Share of its apex's motion from which on an AU still stands at the end of the clip."""


class RegionFact(BaseModel):
    """One region's motion; ``moves`` is None where it is neither clearly moving nor clearly still.

    ``phase``: the phase that moves it more ("onset-apex", "apex-offset"), None where not clear.
    """

    model_config = ConfigDict(extra="forbid")
    key: str
    name: str
    side: str
    direction: str
    px: float | None
    iod_percent: float | None
    z: float
    moves: bool | None
    phase: str | None = None


class ClipFacts(BaseModel):
    """The facts of one clip, small enough to keep for every clip of a corpus."""

    model_config = ConfigDict(extra="forbid")
    clip_id: str
    corpus: str
    subject: str
    fine: str | None
    coarse: Coarse | None
    labels: list[ActionUnit] | None
    evidence: list[Evidence]
    supports: dict[int, float] = Field(description="support of every judged AU, no label read")
    regions: list[RegionFact]
    units: Units
    media: list[str]
    held: list[ActionUnit] | None = Field(None, description="what coders saw at the onset already")
    phase: ClipPhase | None = Field(None, description="an expression rises, is released, or gives way")
    folds: dict[str, bool] | None = Field(None, description="folds that coders saw deepen, and not")
    turn: Turned | None = Field(None, description="how the face is turned at the onset, where that is clear")
    most: str | None = Field(None, description="part of the face that moves most, where one clearly does")
    back: bool | None = Field(None, description="what moves goes back by the offset; None: unclear, unseen")
    rises: dict[int, str] = Field(default_factory=dict, description="held or released after the apex, per AU")
    phases: int = Field(1, description="1: onset to apex; 2: apex to offset as well")
    unjudged: list[str] = Field(default_factory=list, description="regions that could not be measured")
    coder: str = Field("", description="who coded it, where its annotation says it")
    figures: bool = Field(True, description="False: text says only what a model can read from the clip")

    @property
    def supported(self) -> list[Evidence]:
        """Evidence that may become text."""
        return [row for row in self.evidence if row.status == "supported"]

    @property
    def rejected(self) -> list[Evidence]:
        """Labels that the flow does not support."""
        return [row for row in self.evidence if row.status == "unsupported"]

    def without_figures(self) -> ClipFacts:
        """The facts for text that a model learns to write: no px and no IOD, which are measured and not
        written, no label that the flow does not show, no name of a corpus."""
        unmeasured = {"px": None, "iod_percent": None}
        evidence = [row.model_copy(update=unmeasured) for row in self.evidence]
        regions = [row.model_copy(update=unmeasured) for row in self.regions]
        return self.model_copy(update={"figures": False, "evidence": evidence, "regions": regions})

    @property
    def labelled(self) -> set[int]:
        """Every AU number that a coder wrote down, alternatives included."""
        return {option.number for label in self.labels or () for option in (label, *label.alternatives)}


def facts_of(clip: Clip, motion: Motion, calibration: Calibration | None = None) -> ClipFacts:
    """Measure and judge one clip; ``clip.truth`` is never read."""
    calibration = calibration or load_calibration()
    supports = measure_support(motion, calibration)
    word = (clip.emotion or "").strip().lower()
    fine = word if word in FINE else None
    return ClipFacts(
        clip_id=clip.clip_id,
        corpus=clip.corpus,
        subject=clip.subject,
        fine=fine,
        coarse=coarse_of(fine) if fine else clip.coarse,
        labels=clip.aus,
        evidence=[] if clip.aus is None else verdicts(supports, clip.aus, calibration, motion.units),
        supports={s.au: round(s.support, 4) for s in supports if s.judged},
        regions=region_facts(motion),
        units=motion.units,
        media=_media(motion),
        held=clip.held,
        phase=clip.phase,
        folds=clip.folds,
        turn=_turned(motion),
        most=_most(motion),
        back=_back(motion),
        rises=_rises(supports),
        phases=int(motion.flow.shape[0]),
        unjudged=_unjudged(motion),
        coder=clip.coder,
    )


def _turned(motion: Motion) -> Turned | None:
    """How the face is turned at the onset; None without a face, and between straight and turned."""
    if motion.landmarks is None or motion.depth is None:
        return None
    yaw = float(head_turn(motion.landmarks[0], motion.depth[0])[0])
    if abs(yaw) <= STRAIGHT:
        return "straight"
    if not abs(yaw) >= TURNED:
        return None
    return "left" if yaw > 0 else "right"


def _moving(motion: Motion) -> np.ndarray:
    """(K,) rows of the regions that clearly move from onset to apex, of a map with a scale."""
    if motion.units != "px":
        return np.zeros(0, int)
    return np.flatnonzero(np.nan_to_num(motion.regions.z[0]) >= MOVING_Z)


def _most(motion: Motion) -> str | None:
    """The part of the face, on whichever side, whose motion is clearly the largest."""
    sizes: dict[str, float] = {}
    for row in _moving(motion):
        part = REGIONS[row].name
        sizes[part] = max(sizes.get(part, 0.0), float(motion.regions.magnitude[0, row]))
    if not sizes:
        return None
    first, *rest = sorted(sizes, key=lambda part: -sizes[part])
    return first if not rest or sizes[first] >= CLEARLY_MOST * sizes[rest[0]] else None


def _back(motion: Motion) -> bool | None:
    """Whether all that moves goes back from apex to offset; None in between, and without a second phase."""
    rows, table = _moving(motion), motion.regions
    if not len(rows) or table.dx.shape[0] < 2:
        return None
    rise, fall = (np.stack([table.dx[phase, rows], table.dy[phase, rows]], -1) for phase in (0, 1))
    share = taken_back(rise, fall)
    return True if share >= GOES_BACK else False if share <= STAYS else None


def _unjudged(motion: Motion) -> list[str]:
    """Regions without a figure for onset to apex, as "the left cheek"."""
    table = motion.regions
    known = np.isfinite(table.dx[0]) & np.isfinite(table.dy[0]) & np.isfinite(table.z[0])
    return [noun(region.name, region.side)[0] for row, region in enumerate(REGIONS) if not known[row]]


def _rises(supports: Sequence[AUSupport]) -> dict[int, str]:
    return {
        s.au: "held" if s.rise.falls >= HELD else "released"
        for s in supports
        if s.judged and s.rise is not None and s.rise.falls is not None
    }


def _media(motion: Motion) -> list[str]:
    return (["onset", "apex"] if motion.faces is not None else []) + ["flow"]


def region_facts(motion: Motion) -> list[RegionFact]:
    """The motion of every region of the table, onset to apex, with the phase that moves it more (px only)."""
    table = motion.regions
    found = []
    for row, region in enumerate(REGIONS):
        dx, dy, z = (float(values[0, row]) for values in (table.dx, table.dy, table.z))
        if not np.isfinite([dx, dy, z]).all():
            continue
        px = float(table.px[0, row]) if np.isfinite(table.px[0, row]) else None
        iod = float(table.iod_percent[0, row]) if np.isfinite(table.iod_percent[0, row]) else None
        moves = True if z >= MOVING_Z else False if z < STILL_Z else None
        found.append(
            RegionFact(
                key=region.key,
                name=region.name,
                side=region.side,
                moves=moves,
                z=round(z, 3),
                direction=direction_word(dx, dy, region.side),
                px=None if px is None else round(px, 3),
                iod_percent=None if iod is None else round(iod, 3),
                phase=_phase(motion, row),
            )
        )
    return found


def _phase(motion: Motion, row: int) -> str | None:
    table = motion.regions
    if motion.units != "px" or table.magnitude.shape[0] < 2:
        return None
    first, second = (float(table.magnitude[phase, row]) for phase in (0, 1))
    if not np.isfinite([first, second]).all() or max(table.z[0, row], table.z[1, row]) < MOVING_Z:
        return None
    if first > PHASE_RATIO * second:
        return "onset-apex"
    return "apex-offset" if second > PHASE_RATIO * first else None
