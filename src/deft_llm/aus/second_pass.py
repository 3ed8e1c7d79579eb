"""The second pass over a px clip: which sides take part, once the presence filters have named the AUs.

Only the templates of AUs that the first pass keeps explain the motion, by least squares whitened with noise,
residual head motion and how each kept AU differs from person to person. Where the first pass is nearly sure
that the other side is still, it stays still: on real skin least squares alone finds sides that do not move.
No label is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from deft_llm.aus.calibration import Calibration
from deft_llm.aus.region_vectors import RegionVector
from deft_llm.aus.spread import FLOOR_OVER_NOISE
from deft_llm.facs.units import entry

KEPT_SHARE = 0.5  # of an AU's threshold: from this presence on its templates take part
STILL_SHARE = 0.5  # of the first pass' cut: below it the second side is still, whatever the second pass says
UNKNOWN = 0.02  # share of the motion's energy taken as scatter before the AUs' sizes are known
RIDGE = 1e-4
LEAST_PX = 1e-3
LEAST_SHARE = 1e-4  # of the first pass' probabilities, before odds are taken


@dataclass(frozen=True)
class FirstPass:
    """What the first pass says of one AU: presence, its stronger side, the other side's probability."""

    presence: float
    strong: str
    second: float


def side_probabilities(
    motion: RegionVector, calibration: Calibration, first: Mapping[int, FirstPass]
) -> dict[int, float]:
    """Probability that the weaker side takes part, per two-sided AU that the first pass keeps."""
    if calibration.second_pass is None:
        return {}
    read, models = calibration.second_pass.filter, calibration.models["px"]
    found = {}
    for au, row in side_rows(motion, calibration, first).items():
        second, still = first[au].second, STILL_SHARE * models[au].side_threshold
        share = float(read.probability(row))
        found[au] = min(share, second) if second < still else share
    return found


def kept_aus(first: Mapping[int, FirstPass], calibration: Calibration) -> list[int]:
    """AUs whose templates take part: present enough, learned from face units, not outdone by a look-alike.

    Of look-alikes, one below its own threshold is left out beside one of more presence: it would take that
    one's motion. Templates drawn from the FACS table are left out for the same reason.
    """
    models = calibration.models["px"]
    near = [
        au
        for au, found in first.items()
        if found.presence >= KEPT_SHARE * models[au].threshold and au not in calibration.drawn
    ]

    def outdone(au: int) -> bool:
        if first[au].presence >= models[au].threshold:
            return False
        return any(
            first[other].presence > first[au].presence
            for other in near
            if other in entry(au).look_alikes or au in entry(other).look_alikes
        )

    return [au for au in near if not outdone(au)]


def side_rows(
    motion: RegionVector, calibration: Calibration, first: Mapping[int, FirstPass]
) -> dict[int, np.ndarray]:
    """Features (8,) of every two-sided AU that the first pass keeps; ``first`` names all AUs with a model."""
    models = calibration.models["px"]
    kept = kept_aus(first, calibration)
    asked = [au for au in kept if models[au].second_side is not None]
    if not asked:
        return {}
    columns = [position for au in kept for position in calibration.atom_index[au].values()]
    sizes, errors = whitened_fit(motion, calibration, columns)
    rows = {}
    for au in asked:
        positions, found = calibration.atom_index[au], first[au]
        strong = columns.index(positions[found.strong])
        weak = columns.index(positions["left" if found.strong == "right" else "right"])
        rows[au] = _row(sizes[strong], sizes[weak], errors[weak], found.second, len(kept))
    return rows


def whitened_fit(
    motion: RegionVector, calibration: Calibration, columns: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Amounts of the templates ``columns`` in a region vector and their standard errors, px, (k,) each.

    Generalised least squares in two steps: the first does not know the amounts yet, the second adds each
    template's scatter times its squared amount of the first. Regions that could not be measured are left out.
    """
    second = calibration.second_pass
    assert second is not None
    seen = np.repeat(motion.usable, 2)
    pick = np.ix_(seen, seen)
    vector = motion.vector.ravel()[seen]
    templates = calibration.atom_array[columns].reshape(len(columns), -1)[:, seen]
    noise = max((motion.typical_floor / FLOOR_OVER_NOISE) ** 2, 1e-8)
    base = noise * second.noise[pick] + second.head[pick]
    ridge = RIDGE / noise * np.eye(len(columns))
    scatter = UNKNOWN * np.mean(vector**2) * np.eye(len(vector))
    for _ in range(2):
        whitened = np.linalg.solve(base + scatter, templates.T)
        covariance = np.linalg.inv(templates @ whitened + ridge)
        sizes = covariance @ (whitened.T @ vector)
        weights = np.maximum(sizes, 0.0) ** 2
        scatter = np.tensordot(weights, calibration.template_covariances[columns], 1)[pick]
    return sizes, np.sqrt(np.diag(covariance))


def _row(strong: float, weak: float, error: float, second: float, kept: int) -> np.ndarray:
    """Features (8,): odds of the first pass, weak over strong side, the weak side's z, number of kept AUs."""
    ratio = float(np.clip(weak / max(strong, LEAST_PX), -1.0, 2.0))
    z = weak / error
    share = float(np.clip(second, LEAST_SHARE, 1 - LEAST_SHARE))
    strong_z = float(np.clip(np.log(max(strong, LEAST_PX) / error), -2.0, 6.0))
    return np.array(
        [
            logit(share),
            np.tanh((ratio - 0.25) / 0.1),
            np.clip(ratio, -0.5, 1.2),
            np.clip(z, -4.0, 12.0),
            np.tanh(z / 3.0),
            np.tanh((ratio - 0.12) / 0.1),
            strong_z * np.tanh((ratio - 0.2) / 0.15),
            float(kept),
        ]
    )
