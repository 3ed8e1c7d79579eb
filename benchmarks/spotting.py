"""Spotting on real skin: FACS-like warps of known size, side and time in real video, found or not.

    python benchmarks/spotting.py --seconds 60 --sizes 0.3 0.5 1 2

Two videos: the carphone clip (a talking man, looped back and forth) and the astronaut portrait brought to
life; each gets fresh camera noise and H.264. Per size: share found (any judged movement with interval
IoU >= .5), found as micro-expression, side right, error of onset, apex and offset; without warps: false
micro-expressions a minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from deft_llm.explain.samples import Injected, living_portrait, move_pixels, save_video, warp_field
from deft_llm.faces.landmarker import Landmarker
from deft_llm.faces.video import frames
from deft_llm.motion.spotting import Movement, Spotting, spot
from deft_llm.motion.spotting_signal import signal_of
from deft_llm.setup.weights import require

AUS = (1, 2, 4, 12, 14, 15)
LOWER = {12, 14, 15}
EVERY = 1.6  # s from one warp to the next
COURSE = (0.0, 0.18, 0.42)  # s: onset, apex, offset


def plan(count: int, fps: float, px: float, seed: int, linear: bool = False) -> list[Injected]:
    """Warps of all AUs on both sides in turn, at uneven distances."""
    random = np.random.default_rng(seed)
    kinds = cycle([(au, side) for au in AUS for side in ("left", "right")])
    found, start = [], 1.0
    while (start + COURSE[2] + 0.6) * fps < count:
        au, side = next(kinds)
        marks = [int(round((start + at) * fps)) for at in COURSE]
        found.append(Injected(au, side, *marks, px, linear=linear))
        start += EVERY + random.uniform(-0.2, 0.2)
    return found


def looped_carphone(seconds: float, movements: list[Injected], seed: int) -> Iterator[np.ndarray]:
    """Carphone forth and back until ``seconds`` are full, warped along the face, with fresh camera noise."""
    clip = [frame.image for frame in frames(require("carphone"))]
    landmarker, face, tracks = Landmarker(), None, []
    for image in clip:
        face = (face and landmarker.track(image, face)) or landmarker.detect(image)[0]
        tracks.append(face.landmarks)
    order = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    random = np.random.default_rng(seed)
    for i in range(int(seconds * 30)):
        source = order[i % len(order)]
        image = clip[source]
        for movement in movements:
            if amount := movement.amount(i):
                field = warp_field(tracks[source], movement.au, movement.side, image.shape[:2])
                image = move_pixels(image, np.float32(amount * movement.px) * field)
        yield np.clip(image + random.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8)


def score(spotting: Spotting, truth: list[Injected], fps: float) -> list[dict]:
    """One row a warp: judgeable, found, kind, side, errors in ms."""
    rows = []
    for warp in truth:
        in_speech = any(s.overlaps(warp.onset, warp.offset) for s in spotting.speech) and warp.au in LOWER
        in_turn = any(s.overlaps(warp.onset, warp.apex) for s in spotting.restless)
        best = max(spotting.movements, key=lambda m: iou(m, warp), default=None)
        hit = best is not None and best.judged and iou(best, warp) >= 0.5
        row = {"au": warp.au, "side": warp.side, "judgeable": not (in_speech or in_turn), "found": hit}
        if hit:
            row |= {"micro": best.kind == "micro-expression", "side_right": side_of(best) == warp.side} | {
                name: abs(getattr(best, name) - getattr(warp, name)) / fps * 1000
                for name in ("onset", "apex", "offset") if getattr(best, name) is not None
            }  # fmt: skip
        rows.append(row)
    return rows


def iou(movement: Movement, warp: Injected) -> float:
    inner = min(movement.end, warp.offset) - max(movement.onset, warp.onset) + 1
    outer = max(movement.end, warp.offset) - min(movement.onset, warp.onset) + 1
    return max(0.0, inner / outer)


def side_of(movement: Movement) -> str:
    weight = {"left": 0.0, "right": 0.0}
    for shift in movement.regions:
        side = shift.region.split()[0]
        if side in weight:
            weight[side] += np.hypot(shift.dx, shift.dy)
    return max(weight, key=lambda side: weight[side])


def run(
    video: str, seconds: float, px: float | None, seed: int, folder: Path, linear: bool = False
) -> tuple[list[dict], Spotting]:
    """One video at one size (None: no warps) -> rows and everything spotted."""
    fps = 30.0 if video == "carphone" else 50.0
    truth = plan(int(seconds * fps), fps, px, seed, linear) if px else []
    path = folder / f"{video}-{px}.mp4"
    if video == "carphone":
        images = looped_carphone(seconds, truth, seed)
    else:
        images = living_portrait(truth, int(seconds * fps), fps=fps, seed=seed, drift=1.0)
    save_video(path, images, fps, quality=20)
    spotting = spot(signal_of(frames(path), fps))
    return score(spotting, truth, fps), spotting


def table(rows: list[dict]) -> dict:
    judgeable = [row for row in rows if row["judgeable"]]
    found = [row for row in judgeable if row["found"]]
    share = lambda key: round(float(np.mean([row[key] for row in found])), 3) if found else None  # noqa: E731
    errors = {
        name: round(float(np.median([row[name] for row in found if name in row])), 1)
        for name in ("onset", "apex", "offset") if any(name in row for row in found)
    }  # fmt: skip
    return {
        "warps": len(rows), "cannot_be_judged": len(rows) - len(judgeable),
        "found": round(len(found) / len(judgeable), 3) if judgeable else None,
        "as_micro": share("micro"), "side_right": share("side_right"), "median_error_ms": errors,
        "found_by_au": {
            str(au): round(float(np.mean([r["found"] for r in judgeable if r["au"] == au])), 2)
            for au in AUS if any(r["au"] == au for r in judgeable)
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="per video")
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.3, 0.5, 1.0, 2.0], help="source px")
    parser.add_argument("--videos", nargs="*", default=["portrait", "carphone"])
    parser.add_argument("--linear", action="store_true", help="straight courses instead of raised cosines")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result: dict = {"seconds": options.seconds, "seed": options.seed}
    with tempfile.TemporaryDirectory() as name:
        for video in options.videos:
            _, still = run(video, options.seconds, None, options.seed, Path(name))
            false = [m for m in still.movements if m.kind == "micro-expression" and m.judged]
            result[video] = {"false_micro_a_minute": round(60 * len(false) / options.seconds, 2)}
            print(json.dumps({video: result[video]}), flush=True)
            for px in options.sizes:
                rows, _ = run(video, options.seconds, px, options.seed, Path(name), options.linear)
                result[video][f"{px:g} px"] = table(rows)
                print(json.dumps({video: {f"{px:g} px": table(rows)}}), flush=True)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
