"""A second simulator of flow maps: another face, texture, estimator and crop than ``deft synth`` has.

    python -m recipes.second_maps OUT [--clips 442 --subjects 68 --seed 0 --wrong 0.1]

What is trained on one simulator should be measured on another. This one shares no displacement field, mesh,
noise or estimator model with ``deft_llm.synth``: an Action Unit moves smooth bumps of skin where, and which
way, the table of FACS says; a procedural skin with brows, eyes and lips is warped by them, filmed in 8 bit
with sensor noise, and a real estimator measures onset -> apex and apex -> offset. Shared are the FACS table,
P(AUs | label) of FACS and the canonical landmarks. Sizes, noise and crop were set so that the maps have the
statistics of set B of ``benchmarks/flow_statistics.py``; no method's score was looked at.

OUT is read by ``deft benchmark flowmaps OUT``: manifest.csv and 28 x 28 PNG of u, v and strain, each
stretched to 0..255, of three sub-corpora. The same options give the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deft_llm.errors import UsageError
from deft_llm.faces.regions import CANONICAL_LANDMARKS, FACE_OVAL, RIGHT_EYE_OUTLINE, TWIN
from deft_llm.facs.emotions import coarse_of
from deft_llm.facs.notation import format_aus
from deft_llm.facs.units import ENTRIES, entry
from deft_llm.files import write_bytes, write_csv
from deft_llm.motion.strain import optical_strain
from deft_llm.records import ActionUnit
from deft_llm.synth.core.prior import Prior, load_prior

SIZE = 28
WIDTH, HEIGHT, IOD = 160, 205, 80  # px of a frame, and between the eyes
EYE_LINE = 0.37  # height of the eyes in the frame
SHARES = {"negative": 0.57, "positive": 0.25, "surprise": 0.18}
CORPORA = {"seconda": (0.36, 0.8), "secondb": (0.40, 0.5), "secondc": (0.24, 1.2)}
"""Sub-corpus -> (share of the subjects, sd of the sensor's noise in grey levels)."""

COLUMNS = ("clip_id", "corpus", "subject", "path", "path_offset", "emotion", "coarse", "aus")

# Region -> (landmarks of the subject's right side, spread across and up in inter-ocular distances).
# fmt: off
PLACES: dict[str, tuple[tuple[int, ...], float, float]] = {
    "forehead": ((108, 69), 0.30, 0.20), "glabella": ((9, 8), 0.16, 0.16),
    "nose root": ((6, 197), 0.16, 0.14), "inner brow": ((107, 55, 66), 0.20, 0.13),
    "outer brow": ((105, 63, 52), 0.22, 0.13), "upper lid": ((159, 27), 0.26, 0.075),
    "lower lid": ((145, 23), 0.26, 0.075), "outer eye corner": ((130, 226), 0.14, 0.12),
    "cheek": ((50, 101), 0.24, 0.20), "nostril wing": ((129, 64), 0.12, 0.12),
    "nasolabial fold": ((206, 207), 0.17, 0.20), "upper lip": ((37, 39), 0.18, 0.11),
    "lower lip": ((84, 181), 0.19, 0.13), "mouth corner": ((61, 57), 0.22, 0.20),
    "chin": ((200, 199), 0.28, 0.20),
}
BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
# fmt: on
ON_THE_MIDLINE = ("glabella", "nose root", "chin")
Rng = np.random.Generator
MOVING = tuple(number for number, unit in ENTRIES.items() if unit.motion)

AMPLITUDE = 0.012, 0.6  # peak of an AU: median in inter-ocular distances, sd of its logarithm
ONE_SIDED, OTHERS_ONE_SIDED, ONE_LIP = {14: 0.4, 10: 0.25, 12: 0.2}, 0.12, 0.3  # chances
STRAY = 0.3, (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 24, 25)  # chance of a faint AU that coders leave out
WIDTHS, HALO = 0.7, (0.12, 2.2)  # of all places; skin around is dragged along: its share, how much wider
HABITS = {"x": 0.04, "y": 0.03, "width": 0.2, "turn": 8.0, "gain": 0.15}  # sd over subjects; turn in degrees
OTHER_SIDE, OTHER_LIP = 0.08, 0.15  # what moves of them along with a one-sided AU
BLINK = 0.6, 0.075, 0.6  # chance, median in inter-ocular distances, sd of its logarithm
DRIFT = {18: 0.0012, 26: 0.0011, 17: 0.0011, 31: 0.0045}
"""sd in inter-ocular distances of what moves as these AUs do and nobody codes: mouth, jaw, chin, cheeks."""
HEAD = {"shift": 0.002, "turn": 0.001, "roll": 0.0004, "grow": 0.0004}  # sd of what alignment left
BOX = 0.015, 0.02  # sd of a face box's scale and place
RIM = 0.1  # over so many inter-ocular distances the face's motion fades into the background
FLICKER = 0.004  # sd of a frame's brightness
GLINT = 0.15, 60.0, 1.5  # chance of a highlight in a frame, its grey levels and radius in px


@dataclass(frozen=True)
class Face:
    """One subject: landmarks (478, 2) in inter-ocular distances about the middle between the eyes, and how it
    moves: (AUs, motions, sides, 5) normal deviates of place x and y, width, direction and gain."""

    points: np.ndarray
    habits: np.ndarray
    seed: int


def draw_face(seed: int, subject: int) -> Face:
    """Subject number ``subject`` of a corpus."""
    rng = np.random.default_rng([seed, subject, 1])
    points = (CANONICAL_LANDMARKS.astype(float) - [111.5, 64.0]) / 90.0
    lower = np.clip(points[:, 1], 0, None)
    points[:, 0] *= 1 + rng.normal(0, 0.03) * lower
    points[:, 1] += rng.normal(0, 0.05) * lower + rng.normal(0, 0.03) * (points[:, 1] < -0.15)
    return Face(points, rng.normal(size=(len(MOVING), 6, 2, 5)), int(rng.integers(2**31)))


def unit_field(face: Face, unit: ActionUnit, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement (2, ...) of one AU at its peak, right and down, largest about 1; ``x`` and ``y`` in
    inter-ocular distances about the middle between the eyes."""
    field = np.zeros((2, *x.shape))
    moves, habits = entry(unit.number).motion, face.habits[MOVING.index(unit.number)]
    largest = max(move.weight for move in moves)
    for move, own in zip(moves, habits, strict=False):
        landmarks, across, up = PLACES[move.region]
        for number, (side, sign) in enumerate((("right", 1), ("left", -1))):
            habit, stronger = own[number], np.exp(HABITS["gain"] * habits[0, number, 4])
            gain = _gain(unit, move.region, side) * move.weight / largest * stronger
            centre = face.points[list(landmarks) if side == "right" else TWIN[list(landmarks)]].mean(0)
            if move.region in ON_THE_MIDLINE:
                gain, sign, centre = gain / 2, 0, centre * [0, 1]
            way = complex(sign * move.medial, -move.up) * np.exp(1j * np.deg2rad(HABITS["turn"]) * habit[3])
            wide = WIDTHS * np.exp(HABITS["width"] * habit[2])
            away = ((x - centre[0] - HABITS["x"] * habit[0]) / (across * wide)) ** 2
            away = away + ((y - centre[1] - HABITS["y"] * habit[1]) / (up * wide)) ** 2
            bump = (1 - HALO[0]) * np.exp(-0.5 * away) + HALO[0] * np.exp(-0.5 * away / HALO[1] ** 2)
            field += gain * np.stack([way.real * bump, way.imag * bump])
    return field


def _gain(unit: ActionUnit, region: str, side: str) -> float:
    """How much of a unit shows in a region of a side: the other side and the other lip hardly move."""
    if unit.side in ("left", "right") and unit.side != side:
        return OTHER_SIDE
    return OTHER_LIP if region == {"upper": "lower lip", "lower": "upper lip"}.get(unit.part or "") else 1.0


Performed = list[tuple[ActionUnit, float]]
"""AUs with their peaks in inter-ocular distances."""


def draw_clip(rng: Rng, prior: Prior, coarse: str) -> tuple[str, list[ActionUnit], Performed]:
    """A clip of a class: its label, its AUs as coders write them, and what moves: these and faint others."""
    shares = {fine: p for fine, p in prior.label_probability.items() if coarse_of(fine) == coarse}
    fine = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    peak = AMPLITUDE[0] * np.exp(AMPLITUDE[1] * rng.normal())
    coded = [_sided(rng, number) for number in prior.draw_aus(rng, fine)]
    sizes = peak * rng.uniform(0.5, 1.1, len(coded))
    sizes[rng.integers(len(coded))] = peak
    performed = list(zip(coded, sizes.tolist(), strict=True))
    stray = int(rng.choice(STRAY[1]))
    if rng.random() < STRAY[0] and all(unit.number != stray for unit in coded):
        performed.append((_sided(rng, stray), peak * rng.uniform(0.1, 0.35)))
    return fine, coded, performed


def _sided(rng: Rng, number: int) -> ActionUnit:
    scoring, chance, first = entry(number).scoring, rng.random(), rng.random() < 0.5
    if scoring == "sides" and chance < ONE_SIDED.get(number, OTHERS_ONE_SIDED):
        return ActionUnit(number=number, side="left" if first else "right")
    if scoring == "parts" and chance < ONE_LIP:
        return ActionUnit(number=number, part="upper" if first else "lower")
    return ActionUnit(number=number)


def miscode_units(rng: Rng, coded: list[ActionUnit]) -> list[ActionUnit]:
    """The list with one AU taken for a look-alike, or missed where all its look-alikes are coded."""
    place, numbers = int(rng.integers(len(coded))), {unit.number for unit in coded}
    alike = [other for other in entry(coded[place].number).look_alikes if other in MOVING]
    taken_for = [ActionUnit(number=other) for other in alike if other not in numbers]
    shown = taken_for[rng.integers(len(taken_for)) :][:1] if taken_for else []
    return [*coded[:place], *shown, *coded[place + 1 :]]


def grid(rng: Rng) -> tuple[np.ndarray, ...]:
    """x and y (HEIGHT, WIDTH) of a frame's pixels in inter-ocular distances: a face box, not quite placed."""
    scale = IOD * np.exp(BOX[0] * rng.normal())
    across = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / scale + BOX[1] * rng.normal()
    down = (np.arange(HEIGHT) + 0.5 - EYE_LINE * HEIGHT) / scale + BOX[1] * rng.normal()
    return tuple(np.meshgrid(across, down))


def draw_fields(rng: Rng, face: Face, units: Performed, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacements (3, 2, HEIGHT, WIDTH) in inter-ocular distances since rest: at onset, apex and offset."""
    fields = np.zeros((3, 2, *x.shape))
    for unit, peak in units:
        shares = rng.uniform([0, 0.75, 0], [0.1, 1.0, 0.35])  # marked frames are off by some
        fields += peak * shares[:, None, None, None] * unit_field(face, unit, x, y)
    lids = unit_field(face, ActionUnit(number=45), x, y)
    if rng.random() < BLINK[0]:
        fields[rng.integers(3)] += BLINK[1] * np.exp(BLINK[2] * rng.normal()) * lids
    for number, size in DRIFT.items():
        fields += rng.normal(0, size, (3, 1, 1, 1)) * unit_field(face, ActionUnit(number=number), x, y)
    return (fields + _head(rng, x, y)) * cv2.GaussianBlur(_filled(face, FACE_OVAL, x, y), (0, 0), RIM * IOD)


def _head(rng: Rng, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What alignment left of head motion (3, 2, H, W): shift, turn (near skin moves more), roll, growth."""
    nose = 0.4 * np.exp(-0.5 * ((x / 0.22) ** 2 + ((y - 0.5) / 0.3) ** 2))
    near = 1 - (x / 1.3) ** 2 - ((y - 0.4) / 1.8) ** 2 + nose
    moved = np.zeros((3, 2, *x.shape))
    for frame in moved:
        shift, turn = rng.normal(0, HEAD["shift"], (2, 1, 1)), rng.normal(0, HEAD["turn"], (2, 1, 1))
        roll, grow = rng.normal(0, HEAD["roll"]), rng.normal(0, HEAD["grow"])
        frame += shift + turn * near + np.stack([grow * x - roll * y, roll * x + grow * y])
    return moved


def _filled(face: Face, outline: tuple[int, ...] | np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The inside (H, W) of an outline of landmarks, 1 or 0."""
    points = (face.points[list(outline)] - [x[0, 0], y[0, 0]]) / (x[0, 1] - x[0, 0])
    mask = np.zeros(x.shape)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    return mask


def texture(face: Face, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Skin in grey levels (H, W): shading, pores and blotches of five sizes, brows, eyes, lips, backdrop."""
    rng = np.random.default_rng(face.seed)
    light, tone = rng.normal(0, 18, 2), rng.uniform(110, 180)
    skin = tone + light[0] * x + light[1] * (y - 0.4) - 25 * (x / 1.1) ** 2 - 8 * (y - 0.4) ** 2
    contrast, shares = rng.uniform(5, 11), rng.dirichlet([2.0, 3.0, 3.0, 2.0, 2.0])
    for share, sigma in zip(shares, (0.7, 1.4, 2.8, 5.6, 11.2), strict=True):
        noise = cv2.GaussianBlur(rng.normal(size=x.shape), (0, 0), sigma)
        skin += contrast * np.sqrt(share) * noise / noise.std()
    hair = rng.normal(0, 14, x.shape)
    dark = 0.55 + 0.2 * rng.random()
    for outline, level, soft in ((BROW, tone * dark - 15, 1.6), (RIGHT_EYE_OUTLINE, tone * 0.75, 0.7)):
        for side in (list(outline), TWIN[list(outline)]):
            mask = cv2.GaussianBlur(_filled(face, side, x, y), (0, 0), soft)
            skin += mask * (level - skin + (hair if outline is BROW else 0))
    for side in (468, 473):  # irises
        iris = np.exp(-((((x - face.points[side, 0]) ** 2 + (y - face.points[side, 1]) ** 2) / 0.006) ** 2))
        skin += 0.6 * iris * (40 - skin)
    skin -= 0.18 * tone * cv2.GaussianBlur(_filled(face, LIPS, x, y), (0, 0), 1.2)
    skin -= 35 * np.exp(-0.5 * ((y - face.points[13, 1]) / 0.012) ** 2) * (np.abs(x) < 0.4)
    inside = cv2.GaussianBlur(_filled(face, FACE_OVAL, x, y), (0, 0), 1.5)
    behind = rng.uniform(60, 200) + cv2.GaussianBlur(rng.normal(0, 30, x.shape), (0, 0), 4.0)
    return inside * skin + (1 - inside) * behind


def film(rng: Rng, skin: np.ndarray, shifts: np.ndarray, sigma: float) -> list[np.ndarray]:
    """Three grey 8-bit frames (H, W) of a texture moved by ``shifts`` (3, 2, H, W) px."""
    rows, columns = np.mgrid[0 : skin.shape[0], 0 : skin.shape[1]].astype(np.float32)
    frames = []
    for field in shifts.astype(np.float32):
        u, v = field
        for _ in range(2):  # backwards along the motion: where a pixel came from
            u, v = (cv2.remap(part, columns - u, rows - v, cv2.INTER_LINEAR) for part in field)
        source = (skin.astype(np.float32), columns - u, rows - v, cv2.INTER_CUBIC)
        moved = cv2.remap(*source, borderMode=cv2.BORDER_REFLECT)
        moved = moved * (1 + rng.normal(0, FLICKER)) + rng.normal(0, sigma, skin.shape)
        if rng.random() < GLINT[0]:
            row, column = rng.integers(skin.shape[0]), rng.integers(skin.shape[1])
            away = ((rows - row) ** 2 + (columns - column) ** 2) / GLINT[2] ** 2
            moved += GLINT[1] * np.exp(-0.5 * away)
        frames.append(np.clip(np.rint(moved), 0, 255).astype(np.uint8))
    return frames


def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow (2, H, W) float32 px of two grey frames: dense inverse search (Kroeger et al. 2016)."""
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setFinestScale(0)
    return solver.calc(first, second, None).transpose(2, 0, 1)


def to_map(flow: np.ndarray) -> np.ndarray:
    """Flow (2, H, W) to a picture (SIZE, SIZE, 3) uint8 of u, v and strain, each stretched to 0..255.

    Of the strain at full size every so many px are kept: it comes out as grainy as set B's."""
    planes = [cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for plane in flow]
    planes.append(cv2.resize(optical_strain(flow), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST))
    stretched = [(plane - plane.min()) * (255 / max(np.ptp(plane), 1e-9)) for plane in planes]
    return np.rint(np.stack(stretched, -1)).astype(np.uint8)


def maps_of(rng: Rng, face: Face, units: Performed, sigma: float) -> list[np.ndarray]:
    """The maps of a clip: onset -> apex and apex -> offset."""
    x, y = grid(rng)
    fields = draw_fields(rng, face, units, x, y) * IOD
    onset, apex, offset = film(rng, texture(face, x, y), fields, sigma)
    return [to_map(estimate(onset, apex)), to_map(estimate(apex, offset))]


def make(out: Path, clips: int = 442, subjects: int = 68, seed: int = 0, wrong: float = 0.1) -> None:
    """Write the corpus; manifest.csv comes last.

    ``wrong``: share of clips that get the label of another class, and of (other) clips one AU of which is
    taken for a look-alike; the maps do not depend on it. Raises: UsageError where anything will not do.
    """
    faults = {
        f"--subjects {subjects}: there are three sub-corpora; ask for 3 or more.": subjects < 3,
        f"--clips {clips}: each of {subjects} subjects has one; ask for more.": clips < subjects,
        f"--seed {seed}: give a whole number from 0 on.": seed < 0,
        f"--wrong {wrong}: give a share between 0 and 1.": not 0 <= wrong <= 1,
        f"{out}: is there already; name a new folder.": out.exists(),
    }
    if any(faults.values()):
        raise UsageError(next(fault for fault, holds in faults.items() if holds))
    cv2.setNumThreads(1)
    prior, rows = load_prior("facs"), []
    for number, (corpus, subject, coarse, wrong_class, wrong_unit) in enumerate(
        _plan(clips, subjects, seed, wrong)
    ):
        drawn, filmed, coder = (np.random.default_rng([seed, number, purpose]) for purpose in (2, 3, 4))
        fine, coded, performed = draw_clip(drawn, prior, coarse)
        paths = [f"maps/{number:05d}_{phase}.png" for phase in (0, 1)]
        pictures = maps_of(filmed, draw_face(seed, subject), performed, CORPORA[corpus][1])
        for path, picture in zip(paths, pictures, strict=True):
            write_bytes(out / path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        if wrong_class:
            other = str(coder.choice([name for name in SHARES if name != coarse]))
            fine = draw_clip(coder, prior, other)[0]
        if wrong_unit:
            coded = miscode_units(coder, coded)
        clip_id, aus = f"{corpus}/s{subject:03d}/{number:05d}", format_aus(coded)
        row = (clip_id, corpus, f"s{subject:03d}", *paths, fine, coarse_of(fine), aus)
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    write_csv(out / "manifest.csv", COLUMNS, rows)


def _plan(clips: int, subjects: int, seed: int, wrong: float) -> list[tuple[str, int, str, bool, bool]]:
    """(sub-corpus, subject, true class, whether the class, whether an AU is miscoded) of each clip."""
    rng, everyone = np.random.default_rng([seed, 0]), np.arange(subjects)
    more = rng.choice(everyone, clips - subjects, p=rng.dirichlet(np.full(subjects, 2.0)))
    owners = np.sort(np.concatenate([everyone, more]))
    starts = np.cumsum([share for share, _ in CORPORA.values()]) * subjects
    places = np.searchsorted(np.clip(np.rint(starts), [1, 2, 3], None), owners, "right")
    ends = np.rint(np.cumsum(list(SHARES.values())) * clips)
    classes = rng.permutation(np.searchsorted(ends, np.arange(clips), "right"))
    rank, miscoded = rng.permutation(clips), round(wrong * clips)
    return [
        (list(CORPORA)[place], owner, list(SHARES)[coarse], rank < miscoded, rank >= clips - miscoded)
        for place, owner, coarse, rank in zip(places, owners.tolist(), classes, rank, strict=True)
    ]


def main() -> None:
    """Command line: options -> a folder of maps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=442)
    parser.add_argument("--subjects", type=int, default=68)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of clips that are miscoded")
    given = parser.parse_args()
    try:
        make(**vars(given))
    except UsageError as error:
        parser.exit(2, f"second_maps: {error}\n")
    print(f"{given.clips} clips of {given.subjects} subjects: {given.out}")


if __name__ == "__main__":
    main()
