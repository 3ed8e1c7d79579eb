"""The trained reader: Action Units as weighted sums of channels over neutral, learned on rendered faces.

Fitted by ``recipes/state_reader.py`` on faces with exact unit weights of both unit sets, seen through the
same landmarker. It is linear and sees only channels of the unit's part of the face. Its knowledge is what
moves along with what; a change that it does not see at all is no change of that unit (``spotting.phases``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deft_llm.faces.graph import BLENDSHAPES
from deft_llm.spooled import Spool, in_parts
from deft_llm.state.channels import SIDES, Channels, smooth
from deft_llm.state.furrows import PATCH_NAMES
from deft_llm.state.intensity import Key

FILE = Path(__file__).with_name("reader.npz")
READ_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 28, 43)
FARTHEST = 5.0  # spreads of a channel on rendered faces beyond which it counts no more
OTHER = {"left": "right", "right": "left"}
MIRRORED = ("mouth_x", "iris_x")  # channels whose sign is the image's, not the subject's side


class Weights(NamedTuple):
    """``names`` (F,) of features, their ``spread`` (F,), ``weights`` (A, F) of READ_AUS in intensity."""

    names: tuple[str, ...]
    spread: np.ndarray
    weights: np.ndarray


@lru_cache(maxsize=1)
def shipped() -> Weights:
    """The reader that comes with the package."""
    with np.load(FILE, allow_pickle=False) as kept:
        return Weights(tuple(map(str, kept["names"])), kept["spread"], kept["weights"])


def features(d: Channels, furrows: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Side -> (T, F) features seen from that side (own, other, middle), and their names.

    d: channels (T,) over neutral; furrows (T, P): logarithm of the contrasts over their rest.
    """
    d = dict(d) | {f"furrow_{name}": furrows[:, i] for i, name in enumerate(PATCH_NAMES)}
    stems = sorted({name.removesuffix("_right") for name in d if name.endswith("_right")})
    shown = sorted({name.removesuffix("Right") for name in BLENDSHAPES if name.endswith("Right")})
    middle = sorted(
        name for name in d
        if not name.endswith(("_right", "_left", "Right", "Left")) and name != "_neutral"
    )  # fmt: skip
    out: dict[str, np.ndarray] = {}
    names: list[str] = []
    for side in SIDES:
        columns, names = [], []
        for stem in (*stems, *shown):
            for whose, one in (("own", side), ("other", OTHER[side])):
                name = f"{stem}_{one}" if stem in stems else f"{stem}{one.capitalize()}"
                columns.append(_signed(stem, d[name], side))
                names.append(f"{stem}|{whose}")
        columns += [_signed(name, d[name], side) for name in middle]
        names += middle
        out[side] = np.stack(columns, 1)
    return out, tuple(names)


def _signed(name: str, curve: np.ndarray, side: str) -> np.ndarray:
    return -curve if name in MIRRORED and side == "right" else curve


def read_trained(d: Channels, furrows: np.ndarray, rest: np.ndarray, fps: float) -> Spool[Key]:
    """(AU, side) -> (T,) intensity 0 to 5 of the shipped reader; missing channels count as neutral.

    furrows (T, P) contrasts as measured; rest: indices of the neutral frames.
    """
    reader = shipped()
    width = 2 * round(0.05 * fps) + 1
    lines = np.log(np.maximum(furrows, 1e-6))
    lines = lines - np.nanmedian(lines[rest], axis=0)
    lines = np.stack([smooth(column, width) for column in lines.T], 1)
    out: Spool[Key] = Spool()
    for part in in_parts(len(lines)):
        seen, names = features({name: curve[part] for name, curve in d.items()}, lines[part])
        if names != reader.names:
            raise RuntimeError(f"{FILE.name} was fitted for other channels; run recipes/state_reader.py fit.")
        for side, values in seen.items():
            z = np.clip(np.nan_to_num(values) / reader.spread, -FARTHEST, FARTHEST)
            for au, weights in zip(READ_AUS, reader.weights, strict=True):
                out.put((au, side), z @ weights, part.start, len(lines))
    return out
