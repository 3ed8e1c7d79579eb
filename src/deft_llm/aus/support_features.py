"""Features from which an AU's support is read: templates explained away, then the raw regions.

The face is turned so that the AU's stronger side is the subject's left; one filter then serves both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deft_llm.aus.calibration import Calibration
from deft_llm.aus.region_vectors import RegionVector, Regression, mirrored, misfit, regress

RELATIVE_ERROR = 0.15


@dataclass(frozen=True)
class Explained:
    """A region vector and its explanation by all templates."""

    motion: RegionVector
    regression: Regression


def explain(motion: RegionVector, calibration: Calibration) -> Explained:
    """Explain a region vector by all templates at once, each region weighted by its noise.

    Noise is the clip's floor plus a share of the motion's own size, for faces differ from the templates.
    """
    noise = np.sqrt(motion.floor**2 + (RELATIVE_ERROR * motion.scale) ** 2)
    weights = np.where(motion.usable, 1.0 / np.maximum(noise, 1e-6), 0.0)[:, None] * np.ones(2)
    if motion.units == "relative":
        return Explained(motion, _regress_relative(motion.vector, weights, calibration))
    return Explained(motion, regress(motion.vector, weights, calibration.atom_array))


CHANNEL_RATIOS = (0.5, 0.8, 1.25, 2.0)


def _regress_relative(vector: np.ndarray, weights: np.ndarray, calibration: Calibration) -> Regression:
    """Regression where the vertical channel's scale against the horizontal one is unknown: try a few ratios.

    Templates lose their own channel medians, as the measured vector did.
    """
    centred = calibration.atom_array - np.median(calibration.atom_array, axis=1, keepdims=True)
    turned = [centred * np.array([1.0, ratio]) for ratio in CHANNEL_RATIOS]
    best = min(turned, key=lambda atoms: misfit(vector, weights, atoms))
    return regress(vector, weights, best)


def strong_side(explained: Explained, calibration: Calibration, au: int) -> str:
    """The side on which the AU's template is stronger ("left" or "right"), or "both" for midline AUs."""
    positions = calibration.atom_index[au]
    if "both" in positions:
        return "both"
    amplitudes = explained.regression.amplitudes
    left, right = amplitudes[positions["left"]], amplitudes[positions["right"]]
    if left == right:
        vector, atoms = explained.motion.vector, calibration.atom_array
        left, right = (float(np.sum(vector * atoms[positions[side]])) for side in ("left", "right"))
    return "left" if left >= right else "right"


def features(explained: Explained, calibration: Calibration, au: int) -> np.ndarray:
    """Feature vector (F,) of one AU: its own templates first, then all templates, then all regions."""
    motion, fit = explained.motion, explained.regression
    vector, amplitudes, gains = motion.vector, fit.amplitudes, fit.gains
    side = strong_side(explained, calibration, au)
    if side == "right":
        vector, order = mirrored(vector), calibration.mirror_order
        amplitudes, gains = amplitudes[order], gains[order]
    positions = calibration.atom_index[au]
    own = [positions["both"]] * 2 if side == "both" else [positions["left"], positions["right"]]
    scale = motion.scale if motion.scale > 1e-9 else 1.0
    typical = motion.typical_floor
    head = [
        *np.log1p(gains[own]),
        *np.log1p(amplitudes[own] / typical),
        amplitudes[own].min() / (amplitudes[own].max() + 1e-6),
        amplitudes[own].max() / (amplitudes.max() + 1e-6),
        fit.residual,
        np.log(scale / typical),
    ]
    squashed = np.tanh(vector / (3.0 * typical)) if motion.units == "px" else np.tanh(vector / 2.0)
    pair = np.zeros(PAIR) if side == "both" else _pair(vector / scale, amplitudes / scale, own, calibration)
    pair[PAIR_SCALED] = np.arcsinh(pair[PAIR_SCALED] * scale / typical)
    return np.concatenate([head, amplitudes / scale, (vector / scale).ravel(), squashed.ravel(), pair])


PAIR = 8  # the last features: how the weaker side compares with the stronger one
PAIR_SCALED = [2, 3, 6, 7]


def _pair(vector: np.ndarray, amplitudes: np.ndarray, own: list[int], calibration: Calibration) -> np.ndarray:
    """Both sides' shares of a region vector, plain and with the other templates' motion taken out, (PAIR,).

    Per vector: weak over strong share, the same squashed where an asymmetric second side begins, both shares.
    """
    atoms = calibration.atom_array
    others = np.ones(len(atoms), bool)
    others[own] = False
    rest = vector - np.einsum("k,krc->rc", amplitudes[others], atoms[others])
    mine = atoms[own].reshape(2, -1)
    gram = mine @ mine.T + 1e-3 * np.eye(2)
    found: list[float] = []
    for seen in (vector, rest):
        strong, weak = np.linalg.solve(gram, mine @ seen.ravel())
        ratio = float(np.clip(weak / max(abs(strong), 1e-3), -1.0, 1.5))
        found += [ratio, float(np.tanh((ratio - 0.25) / 0.1)), float(weak), float(strong)]
    return np.array(found)
