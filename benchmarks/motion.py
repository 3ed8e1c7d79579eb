"""How well motion is measured: region errors on real skin moved by known amounts, and on real video.

Run: python -m benchmarks.motion [--quick]. Prints the tables of docs/results/motion.md.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from deft_llm.faces.align import move, transform_of
from deft_llm.faces.landmarker import default_landmarker
from deft_llm.faces.regions import region_weights, rigid_weight
from deft_llm.faces.video import frames
from deft_llm.facs.regions import REGION_INDEX
from deft_llm.motion.head import HeadFit, depth_map
from deft_llm.motion.measure import MeasureSettings, measure_clip
from deft_llm.motion.table import region_vectors
from deft_llm.setup.weights import require
from deft_llm.store.motion import Motion
from tests.motion.skin import BROW_LOWER, BROW_RAISE, CHIN_RAISE, SMILE, SMILE_RIGHT, Skin

MOVES = {"smile": SMILE, "smile, right side": SMILE_RIGHT, "brows up": BROW_RAISE, "brows down": BROW_LOWER,
         "chin up": CHIN_RAISE}  # fmt: skip
MOUTH = ("mouth", "lip", "chin", "nasolabial")


def measure(skin: Skin, settings: MeasureSettings) -> Motion:
    """The clip, measured at its true indices."""
    return measure_clip(skin.frames, onset=skin.onset, apex=skin.apex, offset=skin.offset, fps=skin.fps,
                        settings=settings)  # fmt: skip


def score(skin: Skin, motion: Motion) -> dict[str, float]:
    """Errors against the truth; aligned px. ``gain``: recovered share of the movement."""
    true = region_vectors(skin.true_flow(), region_weights(motion.landmarks[0]))
    found = np.stack([motion.regions.dx[0], motion.regions.dy[0]], 1)
    size = np.linalg.norm(true, axis=1)
    moving = size > 0.25 * size.max() if size.max() > 0 else np.zeros(26, bool)
    error = np.linalg.norm(found - true, axis=1)
    row = {
        "still": float(np.sqrt((error[~moving] ** 2).mean())),
        "still z max": float(motion.regions.z[0, ~moving].max()),
        "floor": float(np.median(motion.regions.floor[0])),
    }
    if moving.any():
        most = motion.regions.z[0, size.argmax()]
        row |= {
            "moving": float(np.sqrt((error[moving] ** 2).mean())),
            "gain": float((found * true)[moving].sum() / (true[moving] ** 2).sum()),
            "z": float(most),
            "found": float(most > row["still z max"]),
        }
    return row


def table(title: str, rows: dict[str, list[dict[str, float]]]) -> None:
    """Print mean scores as a Markdown table."""
    names = ["moving", "gain", "still", "floor", "z", "still z max", "found"]
    print(f"\n{title}\n\n| | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for label, scores in rows.items():
        cells = [[s[n] for s in scores if n in s] for n in names]
        print(f"| {label} | {' | '.join(f'{np.mean(c):.3f}' if c else '-' for c in cells)} |", flush=True)


def by_size(seeds: int, quick: bool) -> None:
    """Error by the movement's size, the head drifting and rolling."""
    rows: dict[str, list[dict[str, float]]] = {}
    for size in (0.0, 0.15, 0.3, 0.5, 1.0, 2.0):
        for name in list(MOVES)[: 2 if quick else 5] if size else ["smile"]:
            for seed in range(seeds):
                skin = Skin(MOVES[name], amplitude=size, seed=seed, drift=(0.06, 0.03), roll=0.0005)
                result = score(skin, measure(skin, MeasureSettings(profile=0)))
                rows.setdefault(f"{size} px ({100 * size / 41.8:.1f} % IOD)", []).append(result)
    table(
        "Real skin, 100 fps, noise 2/255, head drifting; aligned px (1 source px = 2.15)",
        rows,
    )


def by_setting(seeds: int, quick: bool) -> None:
    """What each setting is worth at 0.3 px."""
    rows: dict[str, list[dict[str, float]]] = {}
    choices: dict[str, MeasureSettings] = {
        "default": MeasureSettings(profile=0),
        "no averaging": MeasureSettings(profile=0, average_ms=0),
        "averaging 20 ms": MeasureSettings(profile=0, average_ms=20),
        "no parallax": MeasureSettings(profile=0, parallax=False),
        "farneback": MeasureSettings(profile=0, flow="farneback"),
        "farneback8": MeasureSettings(profile=0, flow="farneback8"),
    }
    if not quick:
        choices["tvl1"] = MeasureSettings(profile=0, flow="tvl1")
    for label, settings in choices.items():
        count = 1 if label == "tvl1" else seeds
        for name in list(MOVES)[: 2 if quick else 5]:
            for seed in range(count):
                skin = Skin(MOVES[name], amplitude=0.3, seed=seed, drift=(0.06, 0.03), roll=0.0005)
                rows.setdefault(label, []).append(score(skin, measure(skin, settings)))
    table("Settings, movements of 0.3 source px", rows)


def real_video() -> None:
    """Motion found in the upper face while the man of the carphone clip talks: mostly false."""
    shots = list(frames(require("carphone")))
    upper = np.array([i for key, i in REGION_INDEX.items() if not any(word in key for word in MOUTH)])
    found = []
    for onset in range(0, 110, 10):
        motion = measure_clip(shots, onset=onset, apex=onset + 4, offset=None, fps=29.97,
                              settings=MeasureSettings(profile=0))  # fmt: skip
        found.append(motion.regions.z[0, upper])
    z = np.array(found)
    over = [100 * float((z > limit).mean()) for limit in (3, 5)]
    print(f"\ncarphone (talking, 176x144, 21 px between the eyes), upper-face regions: z median "
          f"{np.median(z):.2f}, over 3 in {over[0]:.1f} %, over 5 in {over[1]:.1f} %")  # fmt: skip


def rendered(folder: Path) -> None:
    """Errors on clips of ``deft synth`` (head motion in depth, blinks, folds) against their exact flow."""
    from deft_llm import corpora

    errors, sizes, found, true_all = [], [], [], []
    for clip in corpora.load("synthetic", folder).clips:
        source = folder / clip.source.path
        stream = partial(frames, source, fps=clip.fps)
        motion = measure_clip(stream, onset=clip.onset, apex=clip.apex, offset=clip.offset, fps=clip.fps,
                              settings=MeasureSettings(profile=0))  # fmt: skip
        truth = np.load(folder / "truth" / f"{clip.clip_id.split('/')[-1]}.npz", allow_pickle=False)
        face = next(frames(source, clip.onset, clip.onset + 1)).image
        matrix = transform_of(default_landmarker().detect(face)[0].landmarks)
        rows, columns = np.mgrid[0:224, 0:224].astype(np.float64)
        at = move(np.stack([columns, rows], -1), cv2.invertAffineTransform(matrix)).astype(np.float32)
        flow = truth["flow"][0].astype(np.float32)
        seen = np.stack([cv2.remap(flow[k], at[..., 0], at[..., 1], cv2.INTER_LINEAR) for k in (0, 1)], -1)
        flow = np.moveaxis(seen @ matrix[:, :2].T, -1, 0).astype(np.float32)
        weight = rigid_weight(motion.landmarks[0], flow.shape[1:]) * motion.mask
        skin = flow - HeadFit(weight, depth_map(motion.landmarks[0], flow.shape[1:])).fit(flow).field
        true = region_vectors(skin, region_weights(motion.landmarks[0]))
        measured = np.stack([motion.regions.dx[0], motion.regions.dy[0]], 1)
        errors.append(np.linalg.norm(measured - true, axis=1))
        sizes.append(np.linalg.norm(true, axis=1))
        found.append(measured)
        true_all.append(true)
    error, size = np.concatenate(errors), np.concatenate(sizes)
    a, b = np.concatenate(found), np.concatenate(true_all)
    moving = size > 0.2
    turn = np.abs(np.angle((a[moving] @ [1, 1j]) * np.conj(b[moving] @ [1, 1j])))
    print(f"\nrendered clips: {len(errors)}; regions {len(error)}, error median {np.median(error):.3f} px, "
          f"95 % {np.quantile(error, 0.95):.3f} px; of {moving.sum()} that move over 0.2 px: gain "
          f"{(a * b)[moving].sum() / (b[moving] ** 2).sum():.2f}, direction off by "
          f"{np.degrees(np.median(turn)):.0f} degrees (median)")  # fmt: skip


def speed() -> None:
    """CPU seconds per clip (one core)."""
    skin = Skin(SMILE)
    clip = list(skin.frames())
    for label, settings in (("with profile", MeasureSettings()), ("profile=0", MeasureSettings(profile=0))):
        measure_clip(clip, onset=8, apex=20, offset=32, fps=100, settings=settings)
        start = time.process_time()
        measure_clip(clip, onset=8, apex=20, offset=32, fps=100, settings=settings)
        print(f"{label}: {time.process_time() - start:.2f} CPU s a clip")


def main() -> None:
    """All tables, or the check on rendered clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rendered", type=Path, help="only check a folder made by 'deft synth'")
    options = parser.parse_args()
    if options.rendered:
        return rendered(options.rendered)
    quick = options.quick
    seeds = 1 if quick else 3
    by_size(seeds, quick)
    by_setting(seeds, quick)
    real_video()
    speed()


if __name__ == "__main__":
    main()
