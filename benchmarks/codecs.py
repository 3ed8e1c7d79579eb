"""What is stated of the portrait once an encoder was at it, and of one that is covered, dark or mirrored.

    python -m benchmarks.codecs [--seeds 3] [--codings 6 18 26 gif] [--covers hand dark] [--fps 25]

Clips of 75 frames, 43 px between the eyes: at rest, or with one movement that is known exactly (AU12 of the
right side, 0.44 s from rise to return, peak of 1 or 4 source px); noise and drift anew per seed. By coding
(x264's constant rate factor, or GIF) it is counted how often AU12 right is stated, how often of these with
low confidence, and what the result says where it is not; nothing else moves, so any other unit is false.
Covers (a hand that passes, a mask, a beard, darkness: painted onto the portrait; a mirror in the display
matrix): by what events the result names them in the frames in which they are there, and what it states.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from deft_llm.explain import Analysis, Analyzer
from deft_llm.explain.samples import Injected, landmarks_of, living_portrait, portrait, save_video
from deft_llm.explain.words import DOUBTFUL
from deft_llm.faces.geometry import inter_ocular

FRAMES = 75
RISE, APEX, BACK = 1.24, 1.42, 1.68  # s
UNIT, SIDE = 12, "right"
SIZES = (0.0, 1.0, 4.0)  # source px; 0: at rest
CODINGS = ("6", "10", "14", "18", "20", "23", "26", "28", "32", "35", "40", "gif")
COVERED = (0.8, 2.0)  # s in which a hand is before the mouth
COVERS = ("none", "hand", "mask", "beard", "dark", "mirror")
COVER_SIZE, COVER_QUALITY = 2.0, 18  # source px of the movement, rate factor
JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
MASK_TOP = (454, 280, 195, 50, 234)  # cheeks and bridge, from the subject's left to the right
CLOTH, HAIR, DARKNESS = (196, 214, 224), (38, 28, 22), 0.06

Images = list[np.ndarray]


@dataclass
class Row:
    """Clips of one coding and size: ``stated`` AU12 right, ``low`` with low confidence; ``false`` units;
    ``why``: reasons where it is not stated."""

    clips: int = 0
    stated: int = 0
    low: int = 0
    false: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)

    def add(self, analysis: Analysis, moves: bool, side: str = SIDE) -> None:
        """Count one clip, in which AU12 of ``side`` moves or nothing does."""
        self.clips += 1
        units = [unit for movement in analysis.movements for unit in movement.units]
        right = [unit for unit in units if moves and (unit.number, unit.side) == (UNIT, side)]
        self.false.update(unit.words for unit in units if unit not in right)
        rises = [unit for unit in right if unit.phase == "rise"]
        self.stated += bool(rises)
        self.low += bool(rises) and max(unit.confidence for unit in rises) < DOUBTFUL
        if moves and not rises:
            self.why[reason_of(analysis)] += 1


def reason_of(analysis: Analysis) -> str:
    """Why a result does not state the movement, in its own words; "not said" where it gives none."""
    for reading in analysis.readings:
        if reading.movement.onset_time > BACK or reading.movement.apex_time < RISE:
            continue
        if reading.not_judged.get(UNIT):
            return reading.not_judged[UNIT]
        if not reading.movement.judged:
            return reading.movement.reason
    states = [one.state for one in analysis.unjudged]
    states += [one.state for reading in analysis.readings for one in reading.unjudged]
    for state in ("compression", "occlusion", "darkness", "speech", "head-motion", "below-noise"):
        if state in states:
            return state
    return "not said"


def moving(size: float, fps: float, seed: int, image: np.ndarray | None = None) -> Images:
    """Frames (H, W, 3) of the portrait, or of an ``image`` of it; AU12 right peaks at ``size`` px."""
    frames = [round(at * fps) for at in (RISE, APEX, BACK)]
    moves = [Injected(UNIT, SIDE, *frames, size)] if size else []
    points = landmarks_of(portrait())
    return list(living_portrait(moves, FRAMES, fps=fps, seed=seed, image=image, landmarks=points))


def coded(path: Path, images: Iterable[np.ndarray], fps: float, coding: str) -> Path:
    """A film of the frames: H.264 at a rate factor, or GIF."""
    if coding != "gif":
        return save_video(path.with_suffix(".mp4"), images, fps, quality=int(coding))
    import av

    path = path.with_suffix(".gif")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=Fraction(fps).limit_denominator(100))
        stream.pix_fmt = "rgb8"
        for image in images:
            if not stream.codec_context.is_open:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def mirrored(path: Path) -> Path:
    """The film with a display matrix that shows it as a mirror does, as phones store it."""
    data = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    flip = struct.pack(">9i", -(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + flip + data[at + len(flip) :])
    return path


def masked(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A face with a cloth over nose, mouth and chin."""
    import cv2

    rim = np.concatenate([points[list(MASK_TOP)], points[list(JAW)]])
    area = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(area, [np.round(rim).astype(np.int32)], 255)
    area = cv2.GaussianBlur(area, (0, 0), 1.0)[..., None] / 255
    rows = np.arange(image.shape[0])[:, None, None]
    cloth = np.array(CLOTH) + 8 * np.sin(rows / 5)
    return np.round(image + area * (cloth - image)).astype(np.uint8)


def bearded(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A face with a full beard: hairs over jaw, chin and upper lip; the lips are free."""
    import cv2

    random = np.random.default_rng(0)
    rim = np.concatenate([points[[361, 426, 2, 206, 132]], points[list(JAW)]])
    area, lips = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
    cv2.fillPoly(area, [np.round(rim).astype(np.int32)], 1)
    cv2.fillPoly(lips, [np.round(points[list(LIPS)]).astype(np.int32)], 1)
    rows, columns = np.nonzero((area > 0) & (cv2.dilate(lips, np.ones((3, 3), np.uint8)) == 0))
    out, length = image.copy(), 0.07 * inter_ocular(points)
    for at in random.integers(0, len(rows), 2 * len(rows)):
        root = np.array([columns[at], rows[at]])
        tip = root + random.normal(0, 0.4 * length, 2) + [0, length]
        shade = np.clip(np.array(HAIR) + random.normal(0, 10), 0, 255)
        cv2.line(out, root.tolist(), np.round(tip).astype(int).tolist(), shade.tolist(), 1, cv2.LINE_AA)
    out[lips > 0] = image[lips > 0]
    return out


def with_hand(images: Images, points: np.ndarray, fps: float) -> Images:
    """Frames in which four fingers come up before the mouth, stay, and go again."""
    import cv2

    unit, mouth = inter_ocular(points), points[[13, 14]].mean(0)
    columns, rows = points[[50, 280, 151]].astype(int).T
    skin = np.median(portrait()[rows, columns], 0)
    out = []
    for number, image in enumerate(images):
        at = number / fps
        away = np.interp(at, [COVERED[0] - 0.3, COVERED[0], COVERED[1], COVERED[1] + 0.3], [1, 0, 0, 1])
        shown = image.copy()
        for finger in range(4):
            tip = mouth + unit * np.array([0.75 * (finger - 1.5) * 0.62, 3.0 * away - 0.35])
            colour = (skin * (0.97 - 0.04 * (finger % 2))).tolist()
            base = tip + [0, 2.6 * unit]
            cv2.line(shown, np.round(tip).astype(int).tolist(), np.round(base).astype(int).tolist(),
                     (0.75 * skin).tolist(), round(0.5 * unit), cv2.LINE_AA)  # fmt: skip
            cv2.line(shown, np.round(tip).astype(int).tolist(), np.round(base).astype(int).tolist(),
                     colour, round(0.42 * unit), cv2.LINE_AA)  # fmt: skip
        out.append(shown)
    return out


def film_of(cover: str, size: float, fps: float, seed: int, path: Path) -> Path:
    """A film of the portrait with what covers it."""
    points = landmarks_of(portrait())
    painted: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"mask": masked, "beard": bearded}
    still = painted[cover](portrait(), points) if cover in painted else None
    images = moving(size, fps, seed, still)
    if cover == "hand":
        images = with_hand(images, points, fps)
    elif cover == "dark":
        images = [np.round(DARKNESS * image).astype(np.uint8) for image in images]
    path = coded(path, images, fps, str(COVER_QUALITY))
    return mirrored(path) if cover == "mirror" else path


def named(analysis: Analysis, fps: float) -> dict[str, float]:
    """Kind of event -> its share of the frames between the times in which a hand covers the mouth."""
    inside = np.zeros(FRAMES, bool)
    inside[round(COVERED[0] * fps) : round(COVERED[1] * fps)] = True
    shares: dict[str, float] = {}
    for kind in sorted({event.kind for event in analysis.events}):
        there = np.zeros(FRAMES, bool)
        for event in analysis.events:
            if event.kind == kind:
                there[event.onset : event.end + 1] = True
        shares[kind] = float(there[inside].mean())
    return shares


def said(counts: Counter[str]) -> str:
    """ "2 below-noise, 1 compression"."""
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def codings_table(analyzer: Analyzer, options: argparse.Namespace, folder: Path) -> None:
    """One line per coding and size."""
    print("| coding | px | clips | AU12 right stated | low confidence | not stated: why | false | skipped |")
    print("|---|---|---|---|---|---|---|---|")
    films = {(size, seed): moving(size, options.fps, seed) for size in options.sizes
             for seed in range(options.seeds)}  # fmt: skip
    for coding in options.codings:
        for size in options.sizes:
            row, skipped = Row(), []
            for seed in range(options.seeds):
                path = coded(folder / f"{coding}-{size:g}-{seed}", films[size, seed], options.fps, coding)
                analysis = analyzer.analyze(path)
                row.add(analysis, size > 0)
                skipped.append(float(np.median(analysis.states[0].skipped)))
            name = coding if coding == "gif" else f"crf {coding}"
            print(f"| {name} | {size:g} | {row.clips} | {row.stated if size else '-'} "
                  f"| {row.low if size else '-'} | {said(row.why)} | {said(row.false)} "
                  f"| {np.mean(skipped):.2f} |", flush=True)  # fmt: skip


def covers_table(analyzer: Analyzer, options: argparse.Namespace, folder: Path) -> None:
    """One line per cover, at rest and with a movement."""
    print("| cover | px | clips | AU12 on its side | not stated: why | false | named (share of frames) |")
    print("|---|---|---|---|---|---|---|")
    for cover in options.covers:
        for size in (0.0, COVER_SIZE):
            row, shares = Row(), Counter[str]()
            for seed in range(options.seeds):
                path = film_of(cover, size, options.fps, seed, folder / f"{cover}-{size:g}-{seed}")
                analysis = analyzer.analyze(path)
                row.add(analysis, size > 0, "left" if cover == "mirror" else SIDE)
                shares.update(named(analysis, options.fps))
            told = ", ".join(f"{kind} {share / options.seeds:.2f}" for kind, share in sorted(shares.items()))
            print(f"| {cover} | {size:g} | {row.clips} | {row.stated if size else '-'} "
                  f"| {said(row.why)} | {said(row.false)} | {told} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--codings", nargs="*", default=list(CODINGS), choices=CODINGS)
    parser.add_argument("--sizes", type=float, nargs="+", default=list(SIZES), help="source px; 0: at rest")
    parser.add_argument("--covers", nargs="*", default=list(COVERS), choices=COVERS)
    options = parser.parse_args()
    analyzer = Analyzer.from_pretrained("rules")
    with tempfile.TemporaryDirectory() as name:
        if options.codings:
            codings_table(analyzer, options, Path(name))
        if options.covers:
            covers_table(analyzer, options, Path(name))


if __name__ == "__main__":
    main()
