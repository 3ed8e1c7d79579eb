"""Action Units of a frame from shape, blendshapes and furrows over the person's neutral.

Each reading is a share of what anybody sees (1 = clearly visible); ``VISIBLE`` turns it into an intensity of
0 to 5 (5 = the unit's full weight). Shape gives sides, brows and the units whose blendshape is dead
(cheekSquint, noseSneer, mouthFrown); blendshapes give precision: a nod lifts the mouth's corners, but
mouthSmile stays 0. Whole-face units (4, 17, 18, 22 to 28) are the same on both sides.
"""

from __future__ import annotations

import numpy as np

from deft_llm.spooled import Spool
from deft_llm.state.channels import SIDES, Channels, smooth
from deft_llm.state.furrows import PATCH_NAMES
from deft_llm.state.neutral import OPEN_EYE

Key = tuple[int, str]
"""(Action Unit, side): "right" and "left", the subject's own."""

WHOLE = (4, 17, 18, 22, 24, 25, 26, 28)
"""Units that are read for the face as a whole."""
SIDED = (1, 2, 5, 6, 7, 9, 10, 12, 14, 15, 20, 43)
STATE_AUS = tuple(sorted((*SIDED, *WHOLE)))
"""The Action Units that shape and appearance show."""

# Intensity (0 to 5) at which a unit is clearly visible. On rendered faces the median of 5 x weight over the
# reading is 1.3 (AU25) to 5 (AU10); real people move farther than the rendered units at full weight, so half
# of it is taken (at least 1.3, at most 2.5): strong real expressions stay on the scale.
VISIBLE: dict[int, float] = {
    1: 2.0, 2: 2.0, 4: 2.5, 5: 2.5, 6: 2.0, 7: 2.0, 9: 2.5, 10: 2.0, 12: 1.8, 14: 2.5, 15: 2.2, 17: 2.0,
    18: 2.0, 20: 2.5, 22: 2.5, 24: 2.5, 25: 1.3, 26: 1.8, 28: 2.5, 43: 3.0,
}  # fmt: skip

UPPER_AUS = frozenset({1, 2, 4, 5, 6, 7, 9, 43})
BROW_AUS, LID_AUS = frozenset({1, 2, 4}), frozenset({5, 6, 7, 43})

MOST_NARROWED = 3.0  # % of the eye distance by which lids narrow in AU6: more is a closing eye
TIGHT_LOW, TIGHT_NARROW = 0.8, 1.6  # % that the lower lid rises and the eye narrows in a visible AU7
WIDE_OPEN = 3.0  # % that the eye opens wider in a visible AU5
JAW_DRAG = 0.7  # share of the jaw's way that takes the corners down
FURROW_SHARE = 0.6  # of the lines between the brows in AU4
FURROW_VISIBLE = 0.5  # relative gain of contrast between the brows that anybody sees
# Patches that tell light and focus: what changes all of them is no furrow; a smile or a hand changes some.
REFERENCES = ("forehead", "nose_root", "cheek_right", "cheek_left", "chin")
NOT_SMILING, SMILE_GAIN = 0.2, 8.0  # corners that rise while no blendshape smiles count up to the first


def readings(c: Channels, d: Channels) -> Spool[Key]:
    """(AU, side) -> (T,) share of clearly visible. ``d``: channels over neutral; ``c``: as measured."""
    out: Spool[Key] = Spool()
    for side in SIDES:
        for of_side in (_upper(c, d, side), _middle(d, side), _corners(d, side)):
            out.update(of_side)
    for au, curve in _whole(d).items():
        out.update({(au, side): curve for side in SIDES})
    return out


def part_of(au: int) -> str:
    """The part of the face (brows, eyes, mouth) that a unit moves most."""
    return "brows" if au in BROW_AUS else "eyes" if au in LID_AUS else "mouth"


def _mix(share: float, shape: np.ndarray, blendshape: np.ndarray) -> np.ndarray:
    return share * shape + (1 - share) * blendshape


def _up(curve: np.ndarray) -> np.ndarray:
    return np.maximum(curve, 0.0)


def open_share(aperture: np.ndarray) -> np.ndarray:
    """(T,) opening of an eye as a share of its usual one."""
    return aperture / max(float(np.nanquantile(aperture, OPEN_EYE)), 1e-6)


def _upper(c: Channels, d: Channels, side: str) -> dict[Key, np.ndarray]:
    """Brows and lids."""
    name = side.capitalize()
    opening = c[f"aperture_{side}"]
    share = opening / np.maximum(opening - d[f"aperture_{side}"], 1e-6)  # of what is open at rest
    lid = d[f"lid_up_{side}"] + 0.5 * d[f"aperture_{side}"]
    return {
        (1, side): _mix(0.65, d[f"brow_in_{side}"] / 3, d["browInnerUp"] / 0.35),
        (2, side): _mix(0.65, d[f"brow_out_{side}"] / 3.5, d[f"browOuterUp{name}"] / 0.35),
        (5, side): _without_gaze(lid, d[f"iris_{side}"], share) / 3.5,
        (43, side): (1 - share) / 0.6,
    }  # fmt: skip


def _middle(d: Channels, side: str) -> dict[Key, np.ndarray]:
    """Cheeks, nose, upper lip."""
    smile = _up(d[f"corner_up_{side}"] + JAW_DRAG * _up(-d["chin"]))
    closing = np.maximum(d[f"aperture_{side}"], -MOST_NARROWED)
    narrow = (1.2 * d[f"lid_low_{side}"] - 0.4 * closing) / 2.5
    return {
        (6, side): 0.6 * d[f"cheek_{side}"] / 4 + 0.4 * narrow,
        (9, side): 0.6 * (d[f"wing_{side}"] - 0.2 * smile) / 3 - 0.4 * d[f"brow_in_{side}"] / 3,
        (10, side): _mix(0.6, (d[f"lip_up_{side}"] - 0.55 * smile) / 3.5,
                         d[f"mouthUpperUp{side.capitalize()}"] / 0.35),
    }  # fmt: skip


def _corners(d: Channels, side: str) -> dict[Key, np.ndarray]:
    """The corners of the mouth."""
    name = side.capitalize()
    up = d[f"corner_up_{side}"] + JAW_DRAG * _up(-d["chin"])
    out, smile = d[f"corner_out_{side}"], _up(up)
    shown = _up(np.maximum(d["mouthSmileRight"], d["mouthSmileLeft"]))
    twelve = _mix(0.7, (0.8 * up + 0.4 * out) / 6, d[f"mouthSmile{name}"] / 0.45)
    return {
        (12, side): np.minimum(twelve, NOT_SMILING + SMILE_GAIN * shown),
        (14, side): _mix(0.5, (out - 0.8 * np.abs(up)) / 4, d[f"mouthDimple{name}"] / 0.2),
        (15, side): _mix(0.8, (-0.6 * d[f"bend_{side}"] - 0.6 * up) / 4, d[f"mouthFrown{name}"] / 0.2),
        (20, side): _mix(0.5, (out - 0.8 * smile) / 5, d[f"mouthStretch{name}"] / 0.3),
    }  # fmt: skip


def _whole(d: Channels) -> dict[int, np.ndarray]:
    """Units of the face as a whole."""
    jaw = _up(-d["chin"])
    smile = _up(np.minimum(d["corner_up_right"], d["corner_up_left"]) + JAW_DRAG * jaw)
    frown = [
        _mix(0.7, (-d[f"brow_in_{side}"] - 1.2 * d[f"brow_apart_{side}"]) / 3.5,
             d[f"browDown{side.capitalize()}"] / 0.3) for side in SIDES
    ]  # fmt: skip
    press = (d["mouthPressLeft"] + d["mouthPressRight"]) / 2
    roll = (d["mouthRollLower"] + d["mouthRollUpper"]) / 2
    return {
        4: (frown[0] + frown[1]) / 2,
        17: _mix(0.7, (0.5 * d["boss"] + 0.5 * d["lip_bottom"] - 0.4 * smile) / 4,
                 d["mouthShrugLower"] / 0.25),
        18: _mix(0.5, -d["width"] / 12, d["mouthPucker"] / 0.5),
        22: _mix(0.3, -d["width"] / 10, d["mouthFunnel"] / 0.25),
        24: _mix(0.6, (-d["thick"] - 0.4 * smile) / 5, press / 0.3),
        25: d["gap"] / 5,
        26: _mix(0.5, jaw / 8, d["jawOpen"] / 0.25),
        28: _mix(0.4, -d["thick"] / 10, roll / 0.35),
    }  # fmt: skip


def tightened(d: Channels, trained: np.ndarray, side: str) -> np.ndarray:
    """(T,) share of visible AU7: what the trained reader sees of it (T,), as far as the lower lid rises and
    the eye narrows too. Eyes that look down narrow without the one, smiling ones may do without the other."""
    low, narrow = d[f"lid_low_{side}"] / TIGHT_LOW, -d[f"aperture_{side}"] / TIGHT_NARROW
    return np.minimum(trained / VISIBLE[7], np.maximum(np.minimum(low, narrow), 0.0))


def widened(d: Channels, read: np.ndarray, trained: np.ndarray, side: str) -> np.ndarray:
    """(T,) intensity of AU5 by the trained reader, or what its reading ``read`` (T,) shows as far as the eye
    opens wider too: of lids that rise with the brows the reader, which learned on rendered ones, sees little.
    """
    return np.maximum(trained, VISIBLE[5] * np.minimum(read, d[f"aperture_{side}"] / WIDE_OPEN))


def _without_gaze(lid: np.ndarray, iris: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The upper lid's height less what goes with the eye's (slope over open eyes, 0 to 1.5)."""
    ok = np.isfinite(lid) & np.isfinite(iris) & (share > 0.6)
    if ok.sum() < 20:
        return lid
    height = iris - np.median(iris[ok])
    slope = np.clip((height[ok] * lid[ok]).sum() / ((height[ok] ** 2).sum() + 0.3 * ok.sum()), 0, 1.5)
    return lid - slope * height


def frown_lines(furrows: np.ndarray, rest: np.ndarray, usable: np.ndarray, fps: float) -> np.ndarray:
    """(T,) how much the vertical lines between the brows have deepened, 1 where clearly visible.

    furrows (T, P): contrast there over its own rest and over the same in other patches (light, focus and
    distance change all of them). Sees the AU4 of oblique and raised brows, of which landmarks show nothing.
    """
    width = 2 * round(0.05 * fps) + 1
    gain = {}
    for name in ("glabella", *REFERENCES):
        curve = smooth(np.where(usable, furrows[:, PATCH_NAMES.index(name)], np.nan), width)
        low = 0.5 * (np.nanmedian(curve[rest]) + np.nanquantile(curve, 0.3))
        gain[name] = np.log(np.maximum(curve, 1e-6) / max(low, 1e-6))
    others = np.min([gain[name] for name in REFERENCES], 0)
    return (np.exp(gain["glabella"] - _up(others)) - 1) / FURROW_VISIBLE
