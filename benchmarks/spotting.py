"""Spotting on real skin: FACS-like warps of known size, side and time in real video, found or not.

    python -m benchmarks.spotting                                  the portrait, carphone whole and at rest
    python -m benchmarks.spotting --signals DIR --pieces 3         three videos a call, resumed from DIR
    python -m benchmarks.spotting --video FILE                     another face video, whole and at rest

Videos: the astronaut portrait brought to life (40 s), and the carphone clip (a talking man) looped back and
forth (24 s), whole and ``at rest``: its longest stretch that spotting calls neither speech nor restless. The
portrait gets camera noise and H.264; a real clip keeps its own noise and compression and is stored without
loss (``--fresh``: camera noise and H.264 once more on top). Per size: share found (any judged movement with
interval IoU >= .5), found as micro-expression, side right, error of onset, apex and offset; without warps:
false micro-expressions a minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.looped import clip_of
from deft_llm.explain.samples import Injected, living_portrait, save_video
from deft_llm.faces.video import frames, probe
from deft_llm.facs.regions import REGIONS
from deft_llm.setup.weights import require
from deft_llm.spotting.build_signal import signal_of
from deft_llm.spotting.excursions import measure_paths
from deft_llm.spotting.movement import Movement
from deft_llm.spotting.signal import Signal
from deft_llm.spotting.spot import PARTS, Spotting, SpottingSettings, spot

AUS = (1, 2, 4, 12, 14, 15)
LOWER = {12, 14, 15}
AT_REST = " at rest"
LOSSLESS = 0  # x264's constant rate factor
BROWS = [index for index, region in enumerate(REGIONS) if "brow" in region.name]
UNREST = ("not_judged", "restless", "speech", "bone_px", "brows_px")
EVERY = 1.6  # s from one warp to the next
RISE_AND_FALL = (0.0, 0.18, 0.42)  # s: onset, apex, offset


@dataclass(frozen=True)
class Piece:
    """One video to make and read; ``px`` None: without warps. ``source``: a real clip; None: the portrait."""

    video: str
    seconds: float
    fps: float
    px: float | None
    seed: int
    quality: int
    linear: bool
    source: Path | None = None
    fresh: bool = True

    @property
    def at_rest(self) -> bool:
        return self.video.endswith(AT_REST)

    @property
    def name(self) -> str:
        """What the file of results calls it."""
        words = [
            self.video,
            f"{self.seconds:g}s",
            f"{self.fps:g}fps",
            f"crf{self.quality}" if self.fresh else "own",
            f"seed{self.seed}",
        ]
        return " ".join([*words, f"{self.px or 0:g}px", *(["linear"] if self.linear else [])])


def plan(count: int, fps: float, px: float, seed: int, linear: bool = False) -> list[Injected]:
    """Warps of all AUs on both sides in turn, at uneven distances."""
    random = np.random.default_rng(seed)
    kinds = cycle([(au, side) for au in AUS for side in ("left", "right")])
    found, start = [], 1.0
    while (start + RISE_AND_FALL[2] + 0.6) * fps < count:
        au, side = next(kinds)
        onset, apex, offset = (int(round((start + at) * fps)) for at in RISE_AND_FALL)
        found.append(Injected(au, side, onset, apex, offset, px, linear=linear))
        start += EVERY + random.uniform(-0.2, 0.2)
    return found


def score(spotting: Spotting, truth: list[Injected], signal: Signal) -> list[dict]:
    """One row a warp: judgeable, found, kind, side, errors in ms."""
    rows = []
    for warp in truth:
        in_speech = any(s.overlaps(warp.onset, warp.offset) for s in spotting.speech) and warp.au in LOWER
        in_turn = any(s.overlaps(warp.onset, warp.apex) for s in spotting.restless)
        seen = signal.segment[warp.onset : warp.offset + 1]
        unseen = seen.min() < 0 or seen.min() < seen.max()
        best = max(spotting.movements, key=lambda m: iou(m, warp), default=None)
        judgeable = not (in_speech or in_turn or unseen)
        row = {"au": warp.au, "side": warp.side, "judgeable": judgeable, "found": False}
        if best is not None and best.judged and iou(best, warp) >= 0.5:
            row["found"] = True
            row |= {"micro": best.kind == "micro-expression", "side_right": side_of(best) == warp.side} | {
                name: abs(getattr(best, name) - getattr(warp, name)) / signal.fps * 1000
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


def signal_for(piece: Piece, truth: list[Injected], folder: Path | None) -> Signal:
    """The motion signal of a piece's video, made or taken from ``folder``."""
    kept = folder / f"{piece.name.replace(' ', '_')}.npz" if folder else None
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            return Signal(**{name: arrays[name] for name in arrays.files}, fps=piece.fps)
    if piece.source is not None:
        noise = np.random.default_rng(piece.seed) if piece.fresh else None
        images = clip_of(piece.source, piece.at_rest).looped(piece.seconds, truth, noise)
    else:
        count = int(piece.seconds * piece.fps)
        images = living_portrait(truth, count, fps=piece.fps, seed=piece.seed, drift=1.0)
    with tempfile.TemporaryDirectory() as name:
        quality = piece.quality if piece.fresh else LOSSLESS
        path = save_video(Path(name) / "clip.mp4", images, piece.fps, quality=quality)
        signal = signal_of(frames(path), piece.fps)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        names = (
            "times",
            "displacement",
            "head",
            "eye_opening",
            "mouth_opening",
            "residual",
            "segment",
            "iod_px",
        )
        np.savez(kept, **{name: getattr(signal, name) for name in names})
    return signal


def run(piece: Piece, folder: Path | None, settings: SpottingSettings) -> dict:
    """One video at one size -> rows of the warps, and the judged movements of each kind."""
    count = int(piece.seconds * piece.fps)
    truth = plan(count, piece.fps, piece.px, piece.seed, piece.linear) if piece.px else []
    signal = signal_for(piece, truth, folder)
    spotting = spot(signal, settings)
    judged = [movement.kind for movement in spotting.movements if movement.judged]
    covered = lambda spans: round(sum(span.stop - span.start + 1 for span in spans) / count, 2)  # noqa: E731
    return {
        "rows": score(spotting, truth, signal),
        "judged": {kind: judged.count(kind) for kind in set(judged)},
        "not_judged": sum(not movement.judged for movement in spotting.movements),
        "restless": covered(spotting.restless), "speech": covered(spotting.speech), **unrest(signal),
    }  # fmt: skip


def unrest(signal: Signal) -> dict:
    """Aligned px (90 between the eyes): what the skull's motion leaves on bone, and how far brows are away
    from where they were 0.25 s before and after (median and upper tenth)."""
    parts = [
        measure_paths(signal, part, PARTS)
        for part in signal.segments()
        if part.stop - part.start > signal.fps
    ]
    brows = np.concatenate([paths.away[0.25][:, BROWS].ravel() for paths in parts])
    return {
        "bone_px": round(float(np.nanmedian(signal.residual)), 2),
        "brows_px": [round(float(np.quantile(brows, at)), 2) for at in (0.5, 0.9)],
    }


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


def report(pieces: list[Piece], done: dict[str, dict]) -> dict:
    """Curves by video and size, and false movements a minute where nothing was injected."""
    result: dict = {}
    pool: dict[str, list[dict]] = {}
    for piece in pieces:
        if piece.name not in done:
            continue
        found = done[piece.name]
        if piece.px:
            result.setdefault(piece.video, {})[f"{piece.px:g} px"] = table(found["rows"])
            pool.setdefault(f"{piece.px:g} px", []).extend(found["rows"])
        else:
            a_minute = {kind: round(60 * n / piece.seconds, 2) for kind, n in found["judged"].items()}
            false = a_minute.get("micro-expression", 0.0)
            shares = {key: found[key] for key in UNREST}
            result.setdefault(piece.video, {})["no warps"] = {
                "false_micro_a_minute": false, "all_judged_a_minute": a_minute, **shares,
            }  # fmt: skip
    if len(result) > 1:
        result["all videos"] = {px: table(rows) for px, rows in pool.items()}
    return result


def planned(options: argparse.Namespace) -> list[Piece]:
    """All videos to make: without warps first, then size by size."""
    sources = {"portrait": None, "carphone": require("carphone")}
    videos = options.videos or ["portrait", "carphone", f"carphone{AT_REST}"]
    if options.video:
        sources[options.video.stem] = options.video
        videos = options.videos or [options.video.stem, options.video.stem + AT_REST]
    pieces = []
    for px in (None, *options.sizes):
        for video in videos:
            source = sources[video.removesuffix(AT_REST)]
            seconds = options.seconds or (24.0 if source else 40.0)
            fps = float(round(probe(source).fps or 25.0)) if source else options.fps
            fresh = source is None or options.fresh
            settings = (options.seed, options.quality, options.linear)
            pieces.append(Piece(video, seconds, fps, px, *settings, source, fresh))
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, help="of each video; default: 40 of the portrait, 24 of others"
    )
    parser.add_argument("--sizes", type=float, nargs="*", default=[1.0, 0.5, 2.0, 0.3], help="source px")
    parser.add_argument("--videos", nargs="*", help='of portrait, carphone, "carphone at rest"')
    parser.add_argument("--video", type=Path, help="a face video to take instead, whole and at rest")
    parser.add_argument("--fps", type=float, default=30.0, help="of the portrait; clips keep their own")
    parser.add_argument("--quality", type=int, default=20, help="x264's constant rate factor")
    parser.add_argument("--fresh", action="store_true", help="real clips too: camera noise and H.264 anew")
    parser.add_argument("--linear", action="store_true", help="straight curves instead of raised cosines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--signals", type=Path, help="folder that keeps motion signals: only spotting runs again"
    )
    parser.add_argument("--pieces", type=int, help="stop after so many videos; another call goes on")
    parser.add_argument(
        "--bone-limit", type=float, help="aligned px left on bone beyond which faces are not judged"
    )
    options = parser.parse_args()
    limit = options.bone_limit
    settings = SpottingSettings() if limit is None else SpottingSettings(residual_limit=limit)
    pieces = planned(options)
    done: dict[str, dict] = {}
    for piece in pieces[: options.pieces]:
        done[piece.name] = run(piece, options.signals, settings)
        print(json.dumps(report([piece], done)), flush=True)
    print(json.dumps(report(pieces, done), indent=2))


if __name__ == "__main__":
    main()
