"""Flow-level samples beside published maps: where and how skin moves in 28 x 28 maps of (u, v, strain).

    python -m benchmarks.flow_statistics [--samples 800] [--old] [--json]
    python -m benchmarks.flow_statistics --maps FOLDER [--eyes .37 .5] [--aspect 1.28]

A and B are means over 213 clips of two public sets of maps of the same clips by different estimators and
crops (A: TV-L1, one phase; B: another flow and crop). Maps are relative: median 0, standard deviation 1 per
channel. --old: the distribution of generator 4, for comparison. --maps: a folder in the layout ``flowmaps``
instead, all maps of one crop: --eyes, their height and distance as shares of the map's side, --aspect, the
crop's height over its width before it was resized (defaults: those of ``recipes.second_maps``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import kurtosis

from deft_llm.corpora import load
from deft_llm.corpora.mapfiles import read_map
from deft_llm.motion.normalise import relative
from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth
from recipes import second_maps

REAL: dict[str, dict[str, tuple[float, ...]]] = {
    "A": {"lids": (0.68, 1.18, 1.44), "nose": (0.43, 0.32, 0.29), "cheeks": (0.94, 0.75, 0.60),
          "chin": (0.56, 0.72, 0.45), "border": (0.74, 0.63, 0.35), "largest v at the lids": (0.36,),
          "spectrum of u": (0.43, 0.19, 0.12, 0.10), "spectrum of v": (0.40, 0.19, 0.11, 0.11),
          "kurtosis": (8, 11, 25), "strain of gradients": (0.84,), "eyes": (0.25, 0.58)},
    "B": {"lids": (0.68, 1.25, 1.37), "nose": (0.48, 0.36, 0.31), "cheeks": (0.91, 0.55, 0.41),
          "chin": (0.67, 0.86, 0.45), "border": (0.67, 0.55, 0.32), "largest v at the lids": (0.35,),
          "spectrum of u": (0.53, 0.17, 0.09, 0.07), "spectrum of v": (0.36, 0.19, 0.12, 0.10),
          "kurtosis": (11, 14, 64), "strain of gradients": (0.63,), "eyes": (0.37, 0.50)},
}  # fmt: skip
OLD = {
    "blink_chance": 0.08, "crop_top": (0.45, 1.55), "crop_bottom": (1.45, 2.35), "crop_square_chance": 0.0,
    "crop_half_width": (0.85, 1.45), "crop_centre": 0.09, "border_chance": 0.5, "head_removed_chance": 0.2,
    "outlier_chance": 0.25, "spikes_chance": 0.3, "coloured_noise": (0.01, 0.25), "illumination_chance": 0.35,
    "background_texture": (0.001, 0.5), "lid_tension_chance": 0.0, "blink_amplitude": (0.3, 5.0),
    "jaw_chance": 0.25,
    "head_translation": (0.01, 0.8), "head_rotation": (0.02, 0.9), "head_scale": (0.0001, 0.006),
}  # fmt: skip
# Boxes about the middle between the eyes: left and right edges, top and bottom, in inter-ocular distances.
BOXES = {
    "lids": ((-0.78, -0.22, -0.18, 0.16), (0.22, 0.78, -0.18, 0.16)),
    "nose": ((-0.16, 0.16, 0.1, 0.62),),
    "cheeks": ((-0.85, -0.3, 0.45, 0.95), (0.3, 0.85, 0.45, 0.95)),
    "chin": ((-0.3, 0.3, 1.25, 1.6),),
}


def statistics(config: FlowConfig, samples: int, seed: int = 3) -> dict[str, tuple[float, ...]]:
    """Means over ``samples`` maps of the first phase, of validation identities."""
    synth = FlowSynth("validation", config.model_copy(update={"phases": 1, "takes": 4, "identities": 24}))
    return _mean(
        [one(sample.maps[0], sample.eyes, sample.aspect) for sample in synth.samples(seed, 0, samples)]
    )


def folder_statistics(root: Path, eyes: tuple[float, float], aspect: float) -> dict[str, tuple[float, ...]]:
    """Means over the first maps of a folder in the layout ``flowmaps``."""
    files = [root / clip.source.path for clip in load("flowmaps", root).clips if clip.source.path]
    maps = (
        np.concatenate([flow, strain[None]]) for flow, strain in map(read_map, files) if strain is not None
    )
    return _mean([one(each, eyes, aspect) for each in maps])


def _mean(rows: list[dict[str, tuple[float, ...]]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(np.nanmean([row[name] for row in rows], 0).round(3).tolist()) for name in rows[0]}


def one(maps: np.ndarray, eyes: tuple[float, float], aspect: float) -> dict[str, tuple[float, ...]]:
    """The statistics of one map (3, size, size)."""
    maps = relative(maps.astype(np.float32))
    size = maps.shape[-1]
    found: dict[str, tuple[float, ...]] = {}
    height, distance = eyes
    rows, columns = (np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size
    down, across = (rows - height) / distance * aspect, (columns - 0.5) / distance
    for name, boxes in BOXES.items():
        inside = np.zeros((size, size), bool)
        for left, right, top, bottom in boxes:
            inside |= ((down >= top) & (down <= bottom))[:, None] & ((across >= left) & (across <= right))[
                None
            ]
        found[name] = _size(maps, inside)
    edge = np.ones((size, size), bool)
    edge[2:-2, 2:-2] = False
    found["border"] = _size(maps, edge)
    strongest = int(np.unravel_index(np.abs(maps[1]).argmax(), maps[1].shape)[0])
    found["largest v at the lids"] = (float(abs(strongest - height * size + 0.5) <= 2),)
    found["spectrum of u"], found["spectrum of v"] = _spectrum(maps[0]), _spectrum(maps[1])
    found["kurtosis"] = tuple(float(kurtosis(channel, axis=None)) for channel in maps)
    found["strain of gradients"] = (_strain_match(maps),)
    found["eyes"] = eyes
    return found


def _size(maps: np.ndarray, inside: np.ndarray) -> tuple[float, ...]:
    if not inside.any():
        return (np.nan,) * 3
    return tuple(float(np.abs(channel[inside]).mean()) for channel in maps)


def _spectrum(channel: np.ndarray) -> tuple[float, ...]:
    """Shares of energy at radius 1, 2, 3 and 4."""
    power = np.abs(np.fft.fft2(channel - channel.mean())) ** 2
    at = np.fft.fftfreq(len(channel), 1 / len(channel))
    radius = np.round(np.hypot(*np.meshgrid(at, at)))
    return tuple(float(power[radius == r].sum() / power.sum()) for r in (1, 2, 3, 4))


def _strain_match(maps: np.ndarray) -> float:
    """Correlation of the strain channel with the strain of the map's own gradients."""
    (uy, ux), (vy, vx) = np.gradient(maps[0]), np.gradient(maps[1])
    own = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
    return float(np.corrcoef(own.ravel(), maps[2].ravel())[0, 1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=800)
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--maps", type=Path)
    parser.add_argument(
        "--eyes", type=float, nargs=2, default=(second_maps.EYE_LINE, second_maps.IOD / second_maps.WIDTH)
    )
    parser.add_argument("--aspect", type=float, default=second_maps.HEIGHT / second_maps.WIDTH)
    options = parser.parse_args()
    if options.maps:
        found = folder_statistics(options.maps, tuple(options.eyes), options.aspect)
    else:
        found = statistics(FlowConfig(**(OLD if options.old else {})), options.samples)
    if options.json:
        print(json.dumps(found))
        return
    show = lambda values: " ".join(f"{value:.2f}" for value in values)  # noqa: E731
    print(f"{'':24}{'A':24}{'B':24}{options.maps.name if options.maps else 'synthetic'}")
    for name, values in found.items():
        print(f"{name:24}{show(REAL['A'][name]):24}{show(REAL['B'][name]):24}{show(values)}")


if __name__ == "__main__":
    main()
