"""Channels: what is measured of a face in every frame, shape per side and blendshapes, smoothed over 0.1 s.

Shape is in % of the distance between the eyes, pose taken out; upwards and outwards are positive. Names end
in ``_right`` and ``_left``, the subject's own; blendshapes keep the landmarker's names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deft_llm.faces.regions import TWIN
from deft_llm.spooled import Spool

SIDES = ("right", "left")
# Landmarks of the subject's right side (the image's left); the left side's are their twins.
POINTS: dict[str, tuple[int, ...]] = {
    "brow_in": (107, 66, 55, 65), "brow_out": (70, 63, 46, 53), "brow_head": (107, 55),
    "lid_up": (158, 159, 160), "lid_low": (144, 145, 153), "cheek": (50, 101, 118, 205),
    "wing": (64, 98, 129, 48), "lip_up": (37, 39, 40), "corner": (61,), "lip_low": (84, 181, 91),
    "thin_up": (37, 39), "inner_up": (82, 81), "inner_low": (87, 178), "eye_in": (133,), "eye_out": (33,),
    "fold": (206, 216), "iris": (468,),
}  # fmt: skip
MIDDLE: dict[str, tuple[int, ...]] = {
    "lip_top": (0,), "gap_up": (13,), "gap_low": (14,), "lip_bottom": (17,), "boss": (18, 200),
    "chin": (152, 175, 148, 377), "nose": (2,), "mouth_right": (61,), "mouth_left": (291,),
}  # fmt: skip
SMOOTHING = 0.05  # s, half of the triangle that smooths channels
JITTER_SECONDS = 0.07  # s on either side of a frame with which it is compared
QUICK = ("aperture", "eyeBlink")  # lids move within a frame: never smoothed
LIDS = ("aperture", "lid_", "eyeBlink")  # no median either

# % of the eye distance by which a brow seems to rise (below 0: sink) per degree that the head is lifted: the
# landmarker's depth of brows is off. Rendered films at rest, medians of 24: -.14 (inner), -.2 (outer); real
# clips: -.3 to .1.
PITCH_LEAK: dict[str, float] = {"brow_in": -0.12, "brow_out": -0.12}

Channels = Mapping[str, np.ndarray]
"""Name -> (T,) of every frame."""


def shape_channels(points: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Channels (T,) of upright points (T, K, 3) of the landmarks ``ids`` (K,), ascending."""

    def at(numbers) -> np.ndarray:
        """Mean point (T, 3) of some landmarks."""
        return points[:, np.searchsorted(ids, np.asarray(numbers))].mean(1)

    out: dict[str, np.ndarray] = {}
    mid = {name: at(numbers) for name, numbers in MIDDLE.items()}
    parting = (mid["gap_up"][:, 1] + mid["gap_low"][:, 1]) / 2
    for side, outwards in zip(SIDES, (-1, 1), strict=True):
        q = {
            name: at(numbers if side == "right" else TWIN[list(numbers)]) for name, numbers in POINTS.items()
        }
        eye = (q["eye_in"] + q["eye_out"]) / 2
        values = {
            "brow_in": q["brow_in"][:, 1], "brow_out": q["brow_out"][:, 1],
            "brow_apart": outwards * q["brow_head"][:, 0],
            "lid_up": q["lid_up"][:, 1] - eye[:, 1], "lid_low": q["lid_low"][:, 1] - eye[:, 1],
            "aperture": q["lid_up"][:, 1] - q["lid_low"][:, 1],
            "cheek": q["cheek"][:, 1], "wing": q["wing"][:, 1], "fold": q["fold"][:, 1],
            "wing_out": outwards * q["wing"][:, 0], "lip_up": q["lip_up"][:, 1],
            "corner_up": q["corner"][:, 1], "corner_out": outwards * q["corner"][:, 0],
            "lip_low": q["lip_low"][:, 1],
            "thick_up": q["thin_up"][:, 1] - q["inner_up"][:, 1],
            "thick_low": q["inner_low"][:, 1] - q["lip_low"][:, 1],
            "iris": q["iris"][:, 1] - eye[:, 1], "iris_x": q["iris"][:, 0] - eye[:, 0],
            "bend": q["corner"][:, 1] - parting,
        }  # fmt: skip
        out |= {f"{name}_{side}": value for name, value in values.items()}
    out["gap"] = mid["gap_up"][:, 1] - mid["gap_low"][:, 1]
    out["thick"] = (mid["lip_top"] - mid["gap_up"] + mid["gap_low"] - mid["lip_bottom"])[:, 1]
    out["boss"], out["chin"] = mid["boss"][:, 1], mid["chin"][:, 1]
    out["lip_bottom"], out["lip_top"] = mid["lip_bottom"][:, 1], mid["lip_top"][:, 1]
    out["forward"] = (mid["lip_top"] + mid["lip_bottom"])[:, 2] / 2
    out["width"] = mid["mouth_left"][:, 0] - mid["mouth_right"][:, 0]
    out["mouth_x"] = (mid["mouth_left"][:, 0] + mid["mouth_right"][:, 0]) / 2
    return out


def without_leak(shape: Channels, pitch: np.ndarray) -> dict[str, np.ndarray]:
    """Shape channels without what the head's pitch (T,), degrees, adds to the brows."""
    out = dict(shape)
    for name, slope in PITCH_LEAK.items():
        for side in SIDES:
            out[f"{name}_{side}"] = out[f"{name}_{side}"] - slope * pitch
    return out


def smoothed(raw: Channels, fps: float) -> Channels:
    """Shape channels and blendshapes, single-frame spikes taken out and smoothed."""
    width = max(3, 2 * round(SMOOTHING * fps) + 1)
    out: Spool[str] = Spool()
    for name, curve in raw.items():
        if not name.startswith(LIDS):
            curve = without_spikes(curve)
        out[name] = curve if name.startswith(QUICK) else smooth(curve, width)
    return out


def smooth(curve: np.ndarray, width: int) -> np.ndarray:
    """(T,) running mean by a triangle of ``width`` frames; NaN frames count nothing and stay NaN."""
    if width < 3:
        return curve
    kernel = np.bartlett(width + 2)[1:-1]
    known = np.isfinite(curve)
    pad = lambda values: np.pad(values, width, mode="edge")  # noqa: E731
    total = np.convolve(pad(np.where(known, curve, 0.0)), kernel, "same")[width:-width]
    share = np.convolve(pad(known.astype(float)), kernel, "same")[width:-width]
    return np.where(known, total / np.maximum(share, 1e-9), np.nan)


def without_spikes(curve: np.ndarray) -> np.ndarray:
    """(T,) running median of three frames: takes out what the landmarker sees in one frame only."""
    out = curve.copy()
    out[1:-1] = np.median([curve[:-2], curve[1:-1], curve[2:]], 0)
    return np.where(np.isfinite(out), out, curve)


def jitter(curve: np.ndarray, fps: float) -> float:
    """How far a frame strays from its neighbours JITTER_SECONDS (two frames at least) away: the landmarker's
    noise."""
    lag = max(2, round(JITTER_SECONDS * fps))
    off = np.abs(curve[lag:-lag] - 0.5 * (curve[: -2 * lag] + curve[2 * lag :]))
    return float(1.2 * np.nanmedian(off)) if np.isfinite(off).any() else 0.0


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of the stretches where ``flags`` hold; stop is exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags).astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def bridged(curve: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A curve (T,) drawn straight over frames that are not ``known`` (T,) bool; 0 where none is."""
    at = np.flatnonzero(known)
    return np.interp(np.arange(len(curve)), at, curve[at]) if len(at) else np.zeros(len(curve))


def zigzag(curve: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Turning points (frame, +1 top or -1 foot) of a curve; reversals smaller than ``least`` are none."""
    points: list[tuple[int, int]] = []
    low = high = way = 0
    for i, value in enumerate(curve):
        high = i if value > curve[high] else high
        low = i if value < curve[low] else low
        if way >= 0 and curve[high] - value >= least:
            points.append((high, 1))
            way, low, high = -1, i, i
        elif way <= 0 and value - curve[low] >= least:
            points.append((low, -1))
            way, low, high = 1, i, i
    return points + ([(high, 1) if way > 0 else (low, -1)] if way else [])
