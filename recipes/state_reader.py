"""Makes src/deft_llm/state/reader.npz: how the channels of a face over its neutral add up to Action Units.

    python -m recipes.state_reader render FRAMES.npz --units arkit --subjects 100 --start 0
    python -m recipes.state_reader check TRAIN.npz TEST.npz     # of other subjects (--start)
    python -m recipes.state_reader fit FRAMES.npz [FRAMES.npz ...] --out src/deft_llm/state/reader.npz

``render`` draws subjects of the training split with exact unit weights (several Action Units at once, both
sides or one, any pose, light and camera of ``deft synth``) and keeps what the landmarker says of them, so
that the reader is trained on the landmarker's own noise. A stopped run goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deft_llm.errors import DeftError, UsageError
from deft_llm.faces.align import align, transform_of
from deft_llm.faces.graph import BLENDSHAPES
from deft_llm.faces.landmarker import Face, Landmarker
from deft_llm.files import atomic_path
from deft_llm.state.channels import shape_channels
from deft_llm.state.face_state import FULL
from deft_llm.state.furrows import furrow_contrast
from deft_llm.state.intensity import part_of
from deft_llm.state.pose import in_space, upright
from deft_llm.state.reader import FARTHEST, Weights, features
from deft_llm.state.reader import READ_AUS as AUS
from deft_llm.state.track import KEPT
from deft_llm.synth.core.identity import sample_identity, split_seeds
from deft_llm.synth.core.units import Component, components
from deft_llm.synth.video.assets import subject_of
from deft_llm.synth.video.camera import Camera, sample_camera
from deft_llm.synth.video.film import Performer, still_plan
from deft_llm.synth.video.render import Renderer

# Prefixes of the channels that a part's units may use.
_BROWS = ("brow", "furrow_glabella", "furrow_forehead", "furrow_nose_root", "eye", "lid", "aperture", "iris")
_EYES = ("brow", "eye", "lid", "aperture", "iris", "cheek", "furrow_crow", "furrow_nose_root", "fold",
         "corner_up", "mouthSmile")  # fmt: skip
_NOT_MOUTH = ("brow_apart", "brow_out", "browInner", "browOuter", "browDown", "eye", "lid", "aperture",
              "iris", "furrow_glabella", "furrow_forehead", "furrow_crow", "furrow_fold", "furrow_cheek",
              "furrow_chin", "noseSneer", "cheekSquint", "cheekPuff")  # fmt: skip
SIDES = ("left", "right")
# Action Units that are often seen together; the rest of the draws are single units and chance sets.
TOGETHER = (
    (1, 2), (1, 2, 5), (1, 2, 5, 26), (1, 4), (1, 2, 4), (4, 7), (4, 5, 7), (6, 12), (6, 12, 25), (12, 25),
    (6, 7, 12, 25, 26), (9, 10), (4, 9), (10, 25), (4, 7, 10), (15, 17), (1, 4, 15, 17), (17, 24), (14, 24),
    (12, 14), (16, 25), (20, 25), (25, 26), (22, 25), (18, 25), (20, 25, 26), (1, 2, 25), (12, 26), (4, 43),
    (10, 12, 25), (10, 16, 25), (12, 17), (28, 17),
)  # fmt: skip
DISTURBANCES = ("mouth left", "mouth right", "jaw left", "jaw right", "cheek puff")
CALM, EXPRESSIVE = 8, 52  # frames of each subject
SIZES = (180, 360)  # px of the square picture: 40 to 95 px between the eyes
ONE_SIDED, UNEVEN = 0.25, 0.2
POSE_DEGREES = (12.0, 9.0, 6.0)  # standard deviation of yaw, pitch, roll
QUALITY = (35, 96)  # of the JPEG that every picture passes: blocks and lost detail


def keys() -> list[tuple[int, str]]:
    """(AU, side) in the order of the truth's columns."""
    return [(au, side) for au in AUS for side in SIDES]


def draw_weights(rng: np.random.Generator) -> np.ndarray:
    """(2 A,) weights 0..1 of one expression in the order of ``keys``."""
    kind = rng.random()
    if kind < 0.35:
        chosen: tuple[int, ...] = (int(rng.choice(AUS)),)
    elif kind < 0.8:
        chosen = TOGETHER[int(rng.integers(len(TOGETHER)))]
    else:
        chosen = tuple(int(au) for au in rng.choice(AUS, size=int(rng.integers(2, 5)), replace=False))
    weights = np.zeros((len(AUS), 2))
    whole, one = rng.uniform(0.1, 1.0), rng.random() < ONE_SIDED
    side = int(rng.integers(2))
    for au in chosen:
        both = np.full(2, np.clip(whole * rng.uniform(0.5, 1.3), 0, 1))
        if len(components(au)) == 2 and components(au)[0].side:
            if one:
                both[1 - side] *= rng.choice([0.0, 0.0, 0.3])
            elif rng.random() < UNEVEN:
                both *= rng.uniform(0.4, 1.0, 2)
        weights[AUS.index(au)] = both
    return weights.ravel()


def strengths_of(rng: np.random.Generator, weights: np.ndarray) -> dict[Component | str, float]:
    """What the performer plays for weights (2 A,)."""
    strengths: dict[Component | str, float] = {}
    for (au, side), weight in zip(keys(), weights, strict=True):
        for part in components(au):
            if part.side in (None, side) and weight > 0:
                strengths[part] = float(weight)
    if rng.random() < 0.15:
        strengths[str(rng.choice(DISTURBANCES))] = float(rng.uniform(0.1, 0.5))
    return strengths


class Renders:
    """Rows of one file: what the landmarker sees of each rendered frame, and the truth."""

    COLUMNS = ("landmarks", "depth", "blend", "presence", "furrows", "weights", "subject", "calm", "gaze")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[tuple] = []
        if path.exists():
            kept = np.load(path)
            self.rows = list(zip(*(kept[name] for name in self.COLUMNS), strict=True))

    def done(self) -> set[int]:
        """Subjects that are in the file."""
        return {int(row[6]) for row in self.rows}

    def save(self) -> None:
        """Write all rows."""
        columns = dict(zip(self.COLUMNS, map(np.array, zip(*self.rows, strict=True)), strict=True))
        with atomic_path(self.path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, **columns)


def render_subject(renderer: Renderer, seed: int, units: str, landmarker: Landmarker) -> list[tuple]:
    """All frames of one subject in one camera."""
    import cv2

    rng = np.random.default_rng([2611, seed, units == "arkit"])
    subject = subject_of(sample_identity(seed))
    performer = Performer(subject, units)
    renderer.load(subject)
    camera: Camera = sample_camera(rng, int(rng.integers(*SIZES)), grey=False)
    renderer.light_scene(camera.scene, camera.pose)
    quality = int(rng.integers(*QUALITY))
    rows, face = [], None
    for number in range(CALM + EXPRESSIVE):
        calm = number < CALM
        weights = np.zeros(2 * len(AUS)) if calm else draw_weights(rng)
        spread = np.radians(POSE_DEGREES) * (0.25 if calm else float(rng.choice([0.25, 1.0])))
        turn = np.array(camera.pose) + rng.normal(0, spread)
        plan = still_plan(strengths_of(rng, weights), turn=tuple(turn))
        plan.gaze[:] = rng.normal(0, 0.05 if calm else 0.12, 2)
        picture = camera.develop(renderer.draw(performer.state(plan, 0)), rng)
        packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        face = see(landmarker, picture, face)
        if face is None:
            continue
        grey = align(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), transform_of(face.landmarks))
        rows.append((
            face.landmarks, face.depth, np.array(list(face.blendshapes.values()), np.float32),
            np.float32(face.presence), furrow_contrast(grey), weights.astype(np.float32), seed, calm,
            plan.gaze[0].astype(np.float32),
        ))  # fmt: skip
    return rows


def see(landmarker: Landmarker, picture: np.ndarray, before: Face | None) -> Face | None:
    """The face of a picture: where the last one was, or anywhere."""
    followed = None if before is None else landmarker.track(picture, before)
    if followed is not None:  # a second look from its own window: turns between stills are large
        followed = landmarker.track(picture, followed)
    return followed or next(iter(landmarker.detect(picture, max_faces=1)), None)


def render(path: Path, units: str, subjects: int, start: int, split: str) -> None:
    """Draw the subjects that are not in the file yet."""
    renders, renderer, landmarker = Renders(path), Renderer(), Landmarker()
    todo = [seed for seed in split_seeds(split, subjects, start) if seed not in renders.done()]
    for number, seed in enumerate(todo, 1):
        renders.rows += render_subject(renderer, seed, units, landmarker)
        if number % 5 == 0 or number == len(todo):
            renders.save()
            print(f"{len(renders.done())} of {subjects} subjects, {len(renders.rows)} frames", flush=True)


ALPHA = 500.0  # of the ridge, on features in units of their spread
LEAST_CALM = 3  # frames of a subject that make its neutral
VISIBLE_WEIGHT = 1.5  # intensity from which the scale is set: shrinkage is undone there
MOST_SCALE = 6.0


def rows_of(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features (2 N, F) seen from either side and intensities (2 N, A) of a file of ``render``."""
    kept = np.load(path)
    seen, truth, names = [], [], ()
    for subject in np.unique(kept["subject"]):
        mine = kept["subject"] == subject
        calm = kept["calm"][mine]
        if calm.sum() < LEAST_CALM:
            continue
        landmarks, depth = kept["landmarks"][mine][:, KEPT], kept["depth"][mine][:, KEPT]
        points, _ = upright(in_space(landmarks, depth), KEPT)
        channels = shape_channels(points, KEPT)
        channels |= {name: kept["blend"][mine][:, i].astype(float) for i, name in enumerate(BLENDSHAPES)}
        over = {name: values - np.median(values[calm]) for name, values in channels.items()}
        lines = np.log(np.maximum(kept["furrows"][mine], 1e-6))
        values, names = features(over, lines - np.median(lines[calm], 0))
        weights = kept["weights"][mine].reshape(len(calm), len(AUS), 2)
        for side in SIDES:
            seen.append(values[side])
            truth.append(FULL * weights[:, :, SIDES.index(side)])
    return np.concatenate(seen), np.concatenate(truth), names


def subjects_of(path: Path) -> set[int]:
    """Subjects of a file of ``render``."""
    return set(np.load(path)["subject"].tolist())


def usable_features(au: int, names: tuple[str, ...]) -> np.ndarray:
    """(K,) indices of the features that a unit may use: those of its part of the face."""
    part = part_of(au)
    if part == "mouth":
        kept = [not name.startswith(_NOT_MOUTH) and name != "brow_in|other" for name in names]
    else:
        kept = [name.startswith(_BROWS if part == "brows" else _EYES) for name in names]
    return np.flatnonzero(kept)


def fitted(paths: list[Path]) -> Weights:
    """One ridge a unit on the files of ``render``."""
    from sklearn.linear_model import Ridge

    parts = [rows_of(path) for path in paths]
    values, truth = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    names = parts[0][2]
    spread = values.std(0) + 1e-3
    z = np.clip(values / spread, -FARTHEST, FARTHEST)
    weights = np.zeros((len(AUS), len(names)), np.float32)
    for row, au in enumerate(AUS):
        used = usable_features(au, names)
        found = Ridge(alpha=ALPHA, fit_intercept=False).fit(z[:, used], truth[:, row]).coef_
        up = truth[:, row] > VISIBLE_WEIGHT
        told = np.maximum(z[up][:, used] @ found, 0.1)
        weights[row, used] = found * min(MOST_SCALE, float(np.median(truth[up, row] / told)))
    return Weights(names, spread.astype(np.float32), weights)


def fit(paths: list[Path], out: Path) -> None:
    """Fit the reader on the files of ``render`` and write it."""
    reader = fitted(paths)
    with atomic_path(out) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(
            handle, names=np.array(reader.names), spread=reader.spread, weights=reader.weights
        )
    print(f"{out}: {len(reader.names)} features")


def check(train: list[Path], test: Path) -> None:
    """Fit on some files and print each unit's area under the curve on another: sides that show it (1.5 of 5
    and more) against sides of faces that move otherwise.

    Raises: UsageError where subjects are in both.
    """
    from sklearn.metrics import roc_auc_score

    met = set().union(*(subjects_of(path) for path in train)) & subjects_of(test)
    if met:
        raise UsageError(
            f"{test}: {len(met)} of its subjects are in the files to fit on too; render others (--start)."
        )

    reader = fitted(train)
    values, truth, _ = rows_of(test)
    told = np.clip(values / reader.spread, -FARTHEST, FARTHEST) @ reader.weights.T
    areas = []
    for row, au in enumerate(AUS):
        shown, absent = truth[:, row] > VISIBLE_WEIGHT, (truth[:, row] == 0) & (truth.sum(1) > 0)
        label = np.concatenate([np.ones(shown.sum()), np.zeros(absent.sum())])
        areas.append(roc_auc_score(label, np.concatenate([told[shown, row], told[absent, row]])))
        print(f"AU{au}: {areas[-1]:.2f} ({shown.sum()} sides)")
    print(f"mean of {len(areas)} units: {np.mean(areas):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    drawing = parts.add_parser("render")
    drawing.add_argument("path", type=Path)
    drawing.add_argument("--units", choices=("arkit", "makehuman"), default="arkit")
    drawing.add_argument("--subjects", type=int, default=100)
    drawing.add_argument("--start", type=int, default=0)
    drawing.add_argument("--split", default="train")
    fitting = parts.add_parser("fit")
    fitting.add_argument("paths", type=Path, nargs="+")
    fitting.add_argument("--out", type=Path, required=True)
    checking = parts.add_parser("check")
    checking.add_argument("paths", type=Path, nargs="+", help="files to fit on, the last one to test on")
    options = parser.parse_args()
    if options.part == "fit":
        fit(options.paths, options.out)
    if options.part == "check":
        check(options.paths[:-1], options.paths[-1])
    if options.part == "render":
        if not options.path.parent.is_dir():
            raise DeftError(f"{options.path.parent}: is no folder; make it first.")
        render(options.path, options.units, options.subjects, options.start, options.split)


if __name__ == "__main__":
    main()
