"""Confidence of a stated Action Unit: the share of such statements that are right, fitted on rendered films.

A logistic function of what is known of a phase (its size over its limit and its noise, what the trained
reader sees of it, what disturbs it). ``recipes/confidence.py`` fits it on films with exact truth and writes
``confidence.json``; every weight keeps the sign that its evidence must have. Once the flow of a rise was
measured, its log odds go up where the skin moves as the unit moves it, and down where it does not.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, logit

from deft_llm.errors import DeftError
from deft_llm.files import read_object, reading
from deft_llm.spotting.phases import LIMITS, AUPhase, change_in, shown_at_top
from deft_llm.state.channels import SIDES
from deft_llm.state.face_state import FaceState
from deft_llm.state.intensity import VISIBLE, part_of

FILE = Path(__file__).with_name("confidence.json")
FIT_AGAIN = "make it with 'python -m recipes.confidence fit'"
NEAR_SECONDS = 0.3  # around a phase in which a turn of the head disturbs it
FULL_TURN, FULL_TRAINED = 15.0, 5.0  # degrees; intensity by the trained reader: 1 in the features
LEAST_PRESENCE, LEAST_NOISE = 0.05, 0.02
LEAST_CHANCE = 1e-3  # of shape, before the skin's motion weighs
COMPANY = {1: 2, 2: 1, 5: 1, 6: 12, 7: 12}  # unit -> the one that mostly goes along with it
SURE_SMALL = {12: 2.5}  # unit -> limits as which less counts too: a blendshape that is 0 without a smile
SMILE_SHOWN = 0.6  # reading of 12 from which it pulls the whole mouth and the cheeks
KINDS: dict[str, tuple[int, ...]] = {
    "brow": (1, 2), "frown": (4,), "lid": (5, 7), "cheek": (6,), "nose": (9, 10), "smile": (12,),
    "corner": (14, 15, 20), "lip": (17, 18, 22, 24, 28), "open": (25, 26),
}  # fmt: skip
"""Units whose statements are alike sure; each kind has an offset of its own."""
EVIDENCE: dict[str, int] = {
    "size": 1, "trained": 1, "clear": 1, "company": 1,
    "presence": 1, "turned": -1, "spoken": -1, "covered": -1, "slow": -1,
    "smiling": -1, "release": 0, "unseen_rise": -1,
}  # fmt: skip
"""Feature -> the sign that its weight must have (0: either)."""
FEATURES = (*EVIDENCE, *KINDS)


class Calibration(BaseModel):
    """``weights`` of FEATURES and ``bias`` of the logistic function; ``moved``: added to the log odds of a
    measured rise whose skin moves along, and of one whose skin does not; ``least``: probability from which a
    unit is stated; ``fitted_on``: films and statements."""

    model_config = ConfigDict(extra="forbid")
    features: list[str]
    weights: list[float]
    bias: float
    moved: tuple[float, float] = (0.0, 0.0)
    least: float = Field(ge=0.0, le=1.0)
    fitted_on: str

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(...,) of features (..., F)."""
        found: np.ndarray = expit(features @ np.array(self.weights) + self.bias)
        return found

    def seconded(self, chance: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """(N,) probabilities (N,) by shape, with what the skin did: ``moves`` (N,) bool."""
        odds = logit(np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE))
        found: np.ndarray = expit(odds + np.where(moves, *self.moved))
        return found


@lru_cache(maxsize=1)
def shipped() -> Calibration:
    """The calibration in the package. Raises: DeftError where it was fitted for other features."""
    with reading(FILE):
        found = Calibration(**read_object(FILE))
    if found.features != list(FEATURES):
        raise DeftError(f"{FILE.name}: was fitted for other features; {FIT_AGAIN}.")
    return found


def confidence_of(phase: AUPhase, state: FaceState) -> float:
    """Probability, 0 to 1, that the face shows this phase."""
    return round(float(shipped().probability(features_of(phase, state))), 3)


def features_of(phase: AUPhase, state: FaceState) -> np.ndarray:
    """(F,) of FEATURES."""
    side = SIDES[0] if phase.side == "both" else phase.side
    inside, near = slice(phase.onset, phase.apex + 1), round(NEAR_SECONDS * state.fps)
    around = slice(max(0, phase.onset - near), phase.apex + near + 1)
    trained = change_in(state.trained[phase.au, side], phase, state)
    noise = max(state.floor[phase.au, side] / VISIBLE[phase.au], LEAST_NOISE)
    smile = shown_at_top(phase, state, 12)
    mouth = part_of(phase.au) == "mouth"
    values = {
        "size": float(np.log(max(phase.strength, SURE_SMALL.get(phase.au, 0.0)))),
        "trained": float(np.clip(trained / FULL_TRAINED, -1, 1)),
        "clear": float(np.log(phase.size / noise)),
        "company": _company(phase, state, side),
        "presence": float(np.log(max(float(state.confidence[inside].mean()), LEAST_PRESENCE))),
        "turned": state.turn_in(around) / FULL_TURN,
        "spoken": float(state.speech[inside].mean()) if mouth else 0.0,
        "covered": float(state.visibility.disturbed[inside].mean()),
        "slow": (phase.apex - phase.onset) / state.fps,
        "smiling": float(smile > SMILE_SHOWN and phase.au not in (6, 12, 25, 26)),
        "release": float(phase.kind == "release"),
        "unseen_rise": float(phase.kind == "release" and phase.of is None),
    }  # fmt: skip
    kinds = [float(phase.au in units) for units in KINDS.values()]
    return np.array([values[name] for name in EVIDENCE] + kinds)


def _company(phase: AUPhase, state: FaceState, side: str) -> float:
    """Share, 0 to 1, of its limit by which the unit changes that mostly goes along with this one."""
    beside = COMPANY.get(phase.au)
    if beside is None:
        return 0.0
    change = float(np.nan_to_num(change_in(state.intensity[beside, side], phase, state)))
    return float(np.clip(change / VISIBLE[beside] / LIMITS[beside], 0, 1))
