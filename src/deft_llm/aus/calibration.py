"""The dual constraint's calibration: one versioned file in package data, made by recipes/au_support."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from deft_llm.aus.dense import MapFilters
from deft_llm.aus.region_vectors import REGION_COUNT, mirrored
from deft_llm.aus.spread import head_covariance, noise_covariance, template_covariance
from deft_llm.errors import DeftError
from deft_llm.facs.regions import REGION_KEYS
from deft_llm.files import read_object, reading

CALIBRATION_VERSION = 2  # 2: the second pass over the AUs that are there (``aus.second_pass``)
CALIBRATE_AGAIN = "make it with 'python -m recipes.au_support.calibrate'"
CALIBRATION_FILE = Path(__file__).with_name("calibration.json")


class Atom(BaseModel):
    """One motion template: the region vector of an AU on the subject's left side, or of the whole face.

    ``vector`` is (R, 2) flattened, its strongest region moving by 1; ``made_of`` says whether it was
    learned from face units ("units") or drawn from the FACS table ("table").
    """

    model_config = ConfigDict(extra="forbid")
    au: int
    side: Literal["left", "right", "both"]
    vector: list[float]
    made_of: Literal["units", "table"] = "units"


class Filter(BaseModel):
    """A logistic filter over support features: probability = 1 / (1 + exp(-(w . x + b)))."""

    model_config = ConfigDict(extra="forbid")
    weights: list[float]
    bias: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Probability of ``features`` (..., F), of which the first len(weights) are read."""
        logit = np.asarray(features)[..., : len(self.weights)] @ self._weights + self.bias
        found: np.ndarray = expit(logit)
        return found

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.array(self.weights)


ALIASES = {45: 43}  # a blink is the closure of both eyes: the same motion, told apart by time only


class AUModel(BaseModel):
    """How one AU is decided: presence, second side, and the support from which a label counts as seen."""

    model_config = ConfigDict(extra="forbid")
    presence: Filter
    second_side: Filter | None = None
    threshold: float = Field(ge=0.0, le=1.0)
    side_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    unlabelled_threshold: float = Field(default=0.9, ge=0.0, le=1.0)


class SecondPass(BaseModel):
    """What tells the sides of a px clip's AUs once it is known which AUs are there (``aus.second_pass``).

    centres: (R, 2) region centres around the face's middle, aligned px; spreads: per AU the (C, 2R) main
    components by which people differ from its left or whole-face template (none: drawn from the FACS table);
    filter: one for all AUs, .5 being its cut.
    """

    model_config = ConfigDict(extra="forbid")
    centres: list[list[float]]
    spreads: dict[int, list[list[float]]]
    filter: Filter

    @cached_property
    def noise(self) -> np.ndarray:
        """Covariance (2R, 2R) of noise of unit size."""
        return noise_covariance(np.array(self.centres))

    @cached_property
    def head(self) -> np.ndarray:
        """Covariance (2R, 2R) of residual head motion, px^2."""
        return head_covariance(np.array(self.centres))


class MapModel(BaseModel):
    """Support on flow maps: filter banks for the same AUs, whose log odds are averaged, and, per AU, where a
    label counts as seen (see ``AUModel``)."""

    model_config = ConfigDict(extra="forbid")
    command: str
    filters: list[MapFilters] = Field(min_length=1)
    thresholds: dict[int, float]
    unlabelled_thresholds: dict[int, float]

    @property
    def numbers(self) -> list[int]:
        """The A Action Units that the banks know."""
        return self.filters[0].numbers

    def odds(self, maps: np.ndarray) -> np.ndarray:
        """Log odds (n, 3, A) of relative maps (n, 3, h, w): presence, left and right side."""
        return np.mean([bank.odds(maps) for bank in self.filters], 0)


class Gates(BaseModel):
    """Plain limits that hold beside the learned filters; see docs/explanation/unimer.md for their meaning."""

    model_config = ConfigDict(extra="forbid")
    minimum_z: float = 1.5
    unlabelled_z: float = 4.0
    unlabelled_px: float = 0.3
    apex_tolerance_frames: int = 3
    minimum_rise: float = 0.5
    asymmetry_ratio: float = 0.5
    minimum_usable: float = 0.6


class Calibration(BaseModel):
    """Everything that decides support, with the command that made it."""

    model_config = ConfigDict(extra="forbid")
    version: int
    command: str
    made_from: dict[str, Any]
    regions: list[str]
    atoms: list[Atom]
    gates: Gates = Gates()
    models: dict[Literal["px", "relative"], dict[int, AUModel]]
    maps: MapModel | None = None
    second_pass: SecondPass | None = None

    def threshold(self, units: str, au: int) -> float | None:
        """Support from which a label of this AU counts as seen; None where the AU is not judged."""
        known = ALIASES.get(au, au)
        if units == "relative" and self.maps is not None and known in self.maps.thresholds:
            return self.maps.thresholds[known]
        model = self.models[units].get(known)  # type: ignore[index]
        return None if model is None else model.threshold

    def unlabelled_threshold(self, units: str, au: int) -> float | None:
        """Support from which motion that nobody labelled is worth naming."""
        known = ALIASES.get(au, au)
        if units == "relative" and self.maps is not None and known in self.maps.unlabelled_thresholds:
            return self.maps.unlabelled_thresholds[known]
        model = self.models[units].get(known)  # type: ignore[index]
        return None if model is None else model.unlabelled_threshold

    @cached_property
    def atom_array(self) -> np.ndarray:
        """All templates, (K, R, 2)."""
        return np.array([atom.vector for atom in self.atoms]).reshape(len(self.atoms), REGION_COUNT, 2)

    @cached_property
    def atom_index(self) -> dict[int, dict[str, int]]:
        """Per AU, the positions of its templates by side."""
        index: dict[int, dict[str, int]] = {}
        for position, atom in enumerate(self.atoms):
            index.setdefault(atom.au, {})[atom.side] = position
        return index

    @cached_property
    def drawn(self) -> frozenset[int]:
        """AUs whose templates come from the FACS table, for synthesis cannot make them."""
        return frozenset(atom.au for atom in self.atoms if atom.made_of == "table")

    @cached_property
    def mirror_order(self) -> np.ndarray:
        """(K,) position of every template's mirror image."""
        swap = {"left": "right", "right": "left", "both": "both"}
        return np.array([self.atom_index[atom.au][swap[atom.side]] for atom in self.atoms])

    @cached_property
    def template_covariances(self) -> np.ndarray:
        """How much every template's motion scatters at 1 px, (K, 2R, 2R); needs the second pass."""
        spreads = self.second_pass.spreads if self.second_pass else {}
        found = []
        for atom, template in zip(self.atoms, self.atom_array, strict=True):
            components = np.array(spreads.get(atom.au, [])).reshape(-1, REGION_COUNT, 2)
            components = mirrored(components) if atom.side == "right" else components
            found.append(template_covariance(template, components))
        return np.array(found)


@lru_cache(maxsize=4)
def load_calibration(path: Path | None = None) -> Calibration:
    """Read a calibration file (the package's own by default).

    Raises: DeftError for a missing file, another version or other regions.
    """

    file = path or CALIBRATION_FILE
    value = read_object(file, mend=CALIBRATE_AGAIN)
    if value.get("version") != CALIBRATION_VERSION:
        raise DeftError(
            f"{file}: calibration version {value.get('version')}, this release reads "
            f"{CALIBRATION_VERSION}; {CALIBRATE_AGAIN}."
        )
    with reading(file, CALIBRATE_AGAIN):
        calibration = Calibration.model_validate(value)
    if tuple(calibration.regions) != REGION_KEYS:
        raise DeftError(f"{file}: made for other face regions; {CALIBRATE_AGAIN}.")
    return calibration
