"""What cannot be judged in a video or a movement, each with its reason; silence is never a finding."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deft_llm.explain.units import CODED
from deft_llm.facs.regions import PART_REGIONS
from deft_llm.facs.words import listed, percent
from deft_llm.spotting.movement import (
    A_WORD,
    BEYOND,
    COVERED,
    DARK,
    NEAR_BORDER,
    SPOKEN,
    UNIT_HELD,
    Kind,
    Movement,
)
from deft_llm.spotting.spot import SpottingSettings
from deft_llm.state.compression import COARSE, MODERATE, STRONG, coding_floor, quantiser_of
from deft_llm.store.motion import ALIGNED_IOD

if TYPE_CHECKING:
    from deft_llm.spotting.signal import Signal
    from deft_llm.state.face_state import FaceState

LEAST_IOD = 20.0
"""px between the eyes: below, aligned faces are enlarged 4.5 times and more, and 1 % IOD is 0.2 px."""
SMALL_IOD = 30.0
DARK_SHARE, COVERED_SHARE = 0.05, 0.05  # of the frames from which it is said of the whole video
LEAST_FPS = 20.0
"""Frames a second: below, a movement of 0.1 s, as brief as coders mark, may lie between two frames."""


HIDDEN = {COVERED: "occlusion", BEYOND: "face-missing", DARK: "darkness", SPOKEN: "speech"}
"""Why ``spotting.joint.hidden_regions`` hides a part of the face -> ``Unjudged.state``."""


_FIGURE = re.compile(r"^(?:z [^:]*: |\d+ % IOD is )")


@dataclass(frozen=True)
class Unjudged:
    """``what`` cannot be judged, and ``why``. ``state``: face-too-small, below-noise, fps-too-low, no-offset,
    speech, head-motion, face-missing, darkness, occlusion, compression or not-measured."""

    state: str
    what: str
    why: str

    @property
    def head(self) -> str:
        """ "Cannot be judged: its Action Units and class."."""
        return f"Cannot be judged: {self.what[0].lower()}{self.what[1:]}."

    def to_dict(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


def hold_small_faces_back(movements: Sequence[Movement], state: FaceState) -> list[Movement]:
    """The movements; those on a face that is too small are marked as not judged and state nothing."""
    seen = []
    for movement in movements:
        inside = state.iod[movement.onset : movement.end + 1]
        iod = float(np.nan_to_num(np.nanmean(inside))) if np.isfinite(inside).any() else 0.0
        if movement.judged and iod < LEAST_IOD:
            reason = f"The face is too small: {iod:.0f} px between the eyes, {LEAST_IOD:.0f} are needed."
            kind: Kind = "given" if movement.kind == "given" else "movement"
            movement = replace(movement, judged=False, kind=kind, reason=reason, units=(), hidden={})
        seen.append(movement)
    return seen


def of_video(
    state: FaceState, signal: Signal | None, movements: Sequence[Movement], set_aside: int = 0
) -> list[Unjudged]:
    """What the recording itself does not allow to judge; ``signal`` is None where no flow was computed,
    ``set_aside``: motions in speech or turns of the head, which are no movements."""
    found = []
    there = state.seen
    iod = float(state.iod[there].mean()) if there.any() else 0.0
    if iod < SMALL_IOD:
        what = "Fine movements" if iod >= LEAST_IOD else "All movements"
        why = (
            f"The face is too small: {iod:.0f} px between the eyes; fine movements show from "
            f"{SMALL_IOD:.0f} px on, below {LEAST_IOD:.0f} px nothing is judged."
        )
        found.append(Unjudged("face-too-small", what, why))
    if state.fps < LEAST_FPS:
        why = (
            f"{state.fps:.4g} frames a second are too few: what lasts less than {2000 / state.fps:.0f} ms "
            "may lie between two frames, and durations are uncertain by as much."
        )
        found.append(Unjudged("fps-too-low", "The briefest movements, and micro against macro", why))
    if signal is None:
        why = "Only shape and appearance were read (--fast): movements of a few pixels need the optical flow."
        found.append(Unjudged("below-noise", "Fine movements", why))
    elif not movements and set_aside:
        why = (
            f"In speech and fast turns of the head the skin moved {set_aside} "
            f"time{'s' * (set_aside != 1)}, which is set aside."
        )
        found.append(Unjudged("not-measured", "What moves in speech and fast turns of the head", why))
    elif not movements:
        least = least_visible(signal)
        why = (
            f"No facial movement stands above this video's noise: one must move the skin by about "
            f"{least * iod / ALIGNED_IOD:.2f} px ({100 * least / ALIGNED_IOD:.1f} % of the distance between "
            "the eyes) to be seen here. Less may have happened."
        )
        found.append(Unjudged("below-noise", "Movements below the noise floor", why))
    if not there.all():
        missing = 1 - float(there.mean())
        share = percent(missing) if missing >= 0.01 else f"{(~there).sum()} of {len(there)}"
        why = f"No face is seen in {share} of the frames."
        found.append(Unjudged("face-missing", "Frames without a face", why))
    skipped = float(np.median(state.skipped[there])) if there.any() else 0.0
    if skipped > MODERATE:
        said = "states no Action Unit" if skipped > STRONG else "is of low confidence"
        why = (
            f"The video is strongly compressed: {percent(skipped)} of the blocks at the face repeat the "
            f"frame before, so fine motion alone {said}."
        )
        found.append(Unjudged("compression", "Fine movements", why))
    elif (coded := quantiser_of(state.quantiser[there])) > COARSE:
        why = (
            f"The video is compressed (quantiser {coded:.0f} of 51): fine motion alone is of low confidence, "
            f"below {coding_floor(coded):.1f} px it states no Action Unit."
        )
        found.append(Unjudged("compression", "Fine movements", why))
    dark = float(state.visibility.dark.mean())
    if dark > DARK_SHARE:
        share = percent(dark)
        why = f"The face is too dark in {share} of the frames: its detail drowns in the camera's noise."
        found.append(Unjudged("darkness", "Dark frames", why))
    covered = float(state.visibility.covered.mean())
    if covered > COVERED_SHARE:
        share = percent(covered)
        why = f"Something (a hand, a mask, hair, glare) covers a part of the face in {share} of the frames."
        found.append(Unjudged("occlusion", "What is covered", why))
    return found


def of_movement(
    movement: Movement, *, read: bool, named: bool, warning: str = "", coded: str = ""
) -> list[Unjudged]:
    """What cannot be said about one movement; ``warning`` is why it could not be measured, ``named``:
    whether an Action Unit is stated, ``coded``: the ``units.hindrance`` of its motion."""
    if not movement.judged:
        state = "face-too-small" if "too small" in movement.reason else "head-motion"
        return [Unjudged(HIDDEN.get(movement.kind, state), "This movement", movement.reason)]
    found = []
    if movement.offset is None and movement.kind != "given":
        what = "Its duration, micro against macro, and the way back"
        found.append(Unjudged("no-offset", what, movement.reason or "Its end is not seen."))
    elif movement.offset is None:
        found.append(Unjudged("no-offset", "Its duration and the way back", "No offset was given."))
    elif NEAR_BORDER in movement.reason:
        found.append(Unjudged("fps-too-low", "Micro against macro", movement.reason))
    elif movement.reason == A_WORD:
        found.append(Unjudged("speech", "Micro against macro", movement.reason))
    elif movement.reason.endswith(UNIT_HELD):
        found.append(Unjudged("no-offset", "How long all of its Action Units last", movement.reason))
    for reason, keys in _hidden(movement).items():
        found.append(Unjudged(HIDDEN[reason], listed(keys), f"{reason[0].upper()}{reason[1:]}."))
    if warning and not read:
        what = "Its class" if named else "Its Action Units and class"
        found.append(Unjudged("not-measured", what, warning))
    elif read and not named:
        why = "Its motion fits no Action Unit above this clip's noise."
        state = "compression" if coded.startswith(CODED) else "occlusion" if coded else "below-noise"
        found.append(Unjudged(state, "Its Action Units", f"{coded[0].upper()}{coded[1:]}." if coded else why))
    return found


def _hidden(movement: Movement) -> dict[str, list[str]]:
    """Reason -> the parts of the face that cannot be judged meanwhile."""
    found: dict[str, list[str]] = {}
    for part in PART_REGIONS:
        if reason := hidden_in(part, movement.hidden):
            found.setdefault(reason, []).append(f"the {part}")
    return found


def hidden_in(part: str, hidden: Mapping[str, str]) -> str:
    """Why a part of the face (brows, eyes, mouth) cannot be judged, "" where it can be; ``hidden``: region ->
    reason."""
    return next((hidden[key] for key in hidden if key.endswith(PART_REGIONS[part])), "")


def least_visible(signal: Signal, settings: SpottingSettings | None = None) -> float:
    """About the least motion, in aligned px, that spotting can tell from this video's noise."""
    settings = settings or SpottingSettings()
    lag = max(1, int(round(0.1 * signal.fps)))
    steps = [
        np.linalg.norm(signal.displacement[part][lag:] - signal.displacement[part][:-lag], axis=2).ravel()
        for part, _ in signal.windows()
        if part.stop - part.start > lag
    ]
    noise = float(np.nanmedian(np.concatenate(steps))) if steps else 0.0
    return max(settings.least_px, settings.least_z * noise / 2)


def by_reason(not_judged: Mapping[int, str]) -> dict[str, list[int]]:
    """AUs that cannot be judged, gathered by their reason; the figure that it begins with is left out."""
    grouped: dict[str, list[int]] = {}
    for au, reason in sorted(not_judged.items()):
        grouped.setdefault(_FIGURE.sub("", reason), []).append(au)
    return grouped
