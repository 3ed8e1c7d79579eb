"""Which expert knows what, on unseen subjects under light and cameras that no probe was fitted on.

    deft synth films --film keys --split train --clips 800 --subjects 80 conditions.phase=rise \\
        conditions.light=near-frontal conditions.lures=.3
    deft synth test --film keys --clips 144 --subjects 24 conditions.phase=rise \\
        conditions.light=far-side conditions.lures=.5 conditions.twins=true
    python -m benchmarks.disentangle CHECKPOINT test films [small] [--json FILE]

Linear and MLP probes are fitted on ``films`` (training subjects) and scored on ``test``; permuted: the
same on shuffled targets. Landmark R2: the ten main components of the onset's landmarks; exact: true
places of 35 points; pose: yaw and pitch of the face (rigid fit of true bony places in space), mesh pose:
the same from the rest of the subject's own mesh; "geometry itself": the same probes on the landmarks,
depth and turn that the structure expert is given. Swaps put another subject's structure, or another
clip's motion, into a clip. Lures: the same movement with a misleading face. Onset-only and apex-only
models see one picture and were trained on ``films``.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from benchmarks.films import LURES, face_data, load_films
from deft_llm.errors import DeftError
from deft_llm.evaluation.probes import Kind, estimator
from deft_llm.model.deft import DeftModel
from deft_llm.training.checkpoints import start_model
from deft_llm.training.faces import FaceConfig, FacePart, choose_axes, read_faces
from deft_llm.training.loop import fit as train
from deft_llm.training.settings import TrainConfig

AU_PX = 0.5
MIN_CLIPS = 8
CLEAR = 0.8


def tokens_of(predictor: Any, films: Any) -> dict[str, np.ndarray]:
    """Tokens (N, T * D) of every expert that the checkpoint has."""
    readout = predictor.read(*films.inputs())
    tokens = {name: getattr(readout, name) for name in ("motion", "structure", "texture")}
    return {name: value.flatten(1).numpy() for name, value in tokens.items() if value is not None}


def au_targets(films: Any) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(AU, rows, present) of AUs with enough clips: coded at AU_PX and more, or not moving at all."""
    from deft_llm.model.units import EXPERT_AUS

    found = []
    coded, moved = films.side.max(-1) > 0, films.moved.max(-1)
    for k, number in enumerate(EXPERT_AUS):
        yes, no = coded[:, k] & (moved[:, k] >= AU_PX), ~coded[:, k] & (moved[:, k] < 0.05)
        if min(yes.sum(), no.sum()) >= MIN_CLIPS:
            found.append((number, np.flatnonzero(yes | no), yes[yes | no].astype(int)))
    return found


def transfer_probe(
    features: tuple[np.ndarray, np.ndarray],
    target: tuple[np.ndarray, np.ndarray],
    kind: Kind,
    *,
    model: Literal["linear", "mlp"] = "linear",
    components: int = 64,
    permutations: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """A probe fitted on one set of subjects and scored on another: (fit, test) features (N, D) and targets.

    Scores as ``probe``'s, R2 weighted by the variance of each target column; the baseline is fitted on
    permuted targets. MLPs read the first ``components`` principal components, or as many as there are.
    Raises: DeftError for a constant target.
    """
    if kind != "regression" and min(len(np.unique(part)) for part in target) < 2:
        raise DeftError("a probe's target has only one value; take more clips.")
    rng = np.random.default_rng(seed)
    components = min(components, *features[0].shape)

    def score(truth: np.ndarray) -> float:
        head = estimator(kind, model, seed, components if model == "mlp" else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lbfgs failed to converge")
            fitted = head.fit(features[0], truth)
        found = fitted.predict_proba(features[1])[:, 1] if kind == "binary" else fitted.predict(features[1])
        return _scored(kind, target[1], found)

    chance = [score(target[0][rng.permutation(len(target[0]))]) for _ in range(permutations)]
    own = score(target[0])
    return {"score": own, "baseline": float(np.mean(chance)) if chance else None,
            "p": (1 + sum(value >= own for value in chance)) / (1 + permutations)}  # fmt: skip


def _scored(kind: Kind, truth: np.ndarray, found: np.ndarray) -> float:
    from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

    if kind == "binary":
        return float(roc_auc_score(truth, found))
    if kind == "classes":
        return float(balanced_accuracy_score(truth, found))
    return float(r2_score(truth, found, multioutput="variance_weighted"))


def au_probe(first: np.ndarray, second: np.ndarray, fit: Any, test: Any, model: str) -> dict[str, float]:
    """Mean AUROC over AUs of a probe from fit's to test's subjects, and of the same on permuted labels."""
    fitted = {number: (rows, y) for number, rows, y in au_targets(fit)}
    scores, chance = [], []
    for number, rows, y in au_targets(test):
        if number in fitted:
            own = fitted[number]
            got = transfer_probe(
                (first[own[0]], second[rows]), (own[1], y), "binary", model=model, permutations=1
            )
            scores.append(got["score"])
            chance.append(got["baseline"])
    return {"score": float(np.mean(scores)), "permuted": float(np.mean(chance)), "AUs": len(scores)}


def truth_probe(
    first: np.ndarray, second: np.ndarray, fit: np.ndarray, test: np.ndarray, model: str
) -> dict[str, float]:
    """R2 of a probe for exact truth."""
    got = transfer_probe((first, second), (fit, test), "regression", model=model, permutations=1)
    return {"score": got["score"], "permuted": got["baseline"]}


def head_auroc(readout: Any, films: Any) -> float:
    """Mean AUROC of the experts' own AU logits, nothing fitted."""
    from sklearn.metrics import roc_auc_score

    from deft_llm.model.heads import presence_logits
    from deft_llm.model.units import AU_INDEX

    logits = presence_logits(readout)
    return float(
        np.mean([roc_auc_score(y, logits[rows, AU_INDEX[number]]) for number, rows, y in au_targets(films)])
    )


def sets_of(readout: Any, calibration: Any) -> np.ndarray:
    """(N, A) AUs that are said to be there."""
    from deft_llm.model.heads import au_probabilities

    return au_probabilities(readout, calibration).max(-1) >= 0.5


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) Jaccard overlap of two AU sets (N, A) bool, 1 where both are empty."""
    union = (first | second).sum(1)
    return np.where(union == 0, 1.0, (first & second).sum(1) / np.maximum(union, 1))


def donors(films: Any, seed: int) -> np.ndarray:
    """(N,) for every film the row of one of another subject."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(np.flatnonzero(films.subject != subject)) for subject in films.subject])


def swaps(predictor: Any, films: Any, seed: int) -> dict[str, float]:
    """What changes when one expert's input comes from a clip of another subject."""
    motion, faces = films.inputs()
    donor = donors(films, seed)
    calibration = predictor.calibration
    whole = predictor.read(motion, faces)
    own, aus = whole.coarse.numpy().argmax(1), sets_of(whole, calibration)
    given = [replace(faces[d], change=face.change) for d, face in zip(donor, faces)]
    other = predictor.read(motion, given)
    found = {
        "structure swapped: class changes": (other.coarse.numpy().argmax(1) != own).mean(),
        "structure swapped: AU set changes": (sets_of(other, calibration) != aus).any(1).mean(),
    }
    differ = own != own[donor]
    moved = {
        "motion swapped": faces,
        "motion and texture swapped": [replace(f, change=faces[d].change) for d, f in zip(donor, faces)],
    }
    for name, seen in moved.items():
        got = predictor.read([motion[d] for d in donor], seen)
        follows = got.coarse.numpy().argmax(1) == own[donor]
        said = sets_of(got, calibration)
        near = (overlap(said, aus[donor]) >= 0.5) & (overlap(said, aus[donor]) > overlap(said, aus))
        found |= {
            f"{name}: class follows": follows[differ].mean(),
            f"{name}: evidence follows": near[differ].mean(),
            f"{name}: both follow": (follows & near)[differ].mean(),
        }
    return {name: float(value) for name, value in found.items()} | {"pairs of other class": int(differ.sum())}


def bayes_class(films: Any, prior: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) most probable coarse class given the true coded AUs, and (N,) its posterior, 0 where the prior
    never makes them."""
    from deft_llm.facs.emotions import coarse_of
    from deft_llm.model.units import EXPERT_AUS
    from deft_llm.records import COARSE
    from deft_llm.synth.core.prior import load_prior

    table = load_prior(prior)
    best, sure = np.zeros(len(films), int), np.zeros(len(films))
    for row, present in enumerate(films.side.max(-1) > 0):
        mass = np.zeros(3)
        for fine, p in table.posterior(tuple(n for n, yes in zip(EXPERT_AUS, present) if yes)).items():
            if coarse_of(fine):
                mass[COARSE.index(coarse_of(fine))] += p  # type: ignore[arg-type]
        best[row], sure[row] = mass.argmax(), mass.max()
    return best, sure


def lures(called: dict[str, np.ndarray], films: Any, prior: str) -> dict[str, dict[str, float]]:
    """Of lured films of at least AU_PX: how often the class is that of the same movement without the lure,
    and that of the moving AUs where these determine one; then the latter without lure."""
    plain = {plan: row for row, plan in enumerate(films.plan) if films.lure[row] == 0}
    best, sure = bayes_class(films, prior)
    table: dict[str, dict[str, float]] = {}
    for name, classes in called.items():
        for lure, text in enumerate(LURES):
            these = (films.lure == lure) if lure else (films.lure > 0) & (films.lure < 4)
            large = films.largest >= AU_PX
            rows = [r for r in np.flatnonzero(these & large) if films.plan[r] in plain]
            twins = [plain[films.plan[r]] for r in rows]
            clear = sure[rows] >= CLEAR
            table[f"{name}, {text or 'static lures together'}"] = {
                "films": len(rows), "as without lure": float((classes[rows] == classes[twins]).mean()),
                "as the moving AUs": float((classes[rows] == best[rows])[clear].mean()),
                "as the moving AUs, no lure": float((classes[twins] == best[rows])[clear].mean()),
            }  # fmt: skip
    return table


def one_picture(checkpoint: Path, fit: Any, test: Any, frame: int, steps: int) -> dict[str, np.ndarray]:
    """Logits on the N films of ``test``, (N, 3) of classes and (N, A, 2) of AUs, of a model that sees one key
    frame and no motion, trained on ``fit``."""
    settings = FaceConfig(steps=steps, experts=["structure"], swap=0.0, expert_dropout=0.0,
                          losses={"independence": 0.0}, validate_every=0)  # fmt: skip
    deft = beside(checkpoint, settings, 0)
    learn, held = (face_data(films, deft, frame, blind=True) for films in (fit, test))
    choose_axes(deft, learn)
    with TemporaryDirectory() as folder:
        train(FacePart(deft, settings, learn), Path(folder))
    readout = read_faces(deft, held)
    return {"au": readout.au.numpy(), "coarse": readout.coarse.numpy()}


def beside(checkpoint: Path, settings: FaceConfig, seed: int) -> DeftModel:
    """New face experts beside the motion expert of a checkpoint."""
    sizes: dict[str, Any] = {"motion": {}, "faces": settings.sizes}
    config = TrainConfig(start=str(checkpoint))
    return start_model(
        config, checkpoint, seed, experts={"motion", *settings.experts}, language=False, **sizes
    )


def class_scores(coarse: np.ndarray, au: np.ndarray, films: Any) -> dict[str, float]:
    """UF1 on the three classes, mean AUROC of AUs of at least AU_PX."""
    from sklearn.metrics import f1_score, roc_auc_score

    from deft_llm.model.units import AU_INDEX

    keep = films.coarse >= 0
    areas = [roc_auc_score(y, au.max(-1)[rows, AU_INDEX[n]]) for n, rows, y in au_targets(films)]
    return {"UF1": float(f1_score(films.coarse[keep], coarse.argmax(1)[keep], average="macro")),
            "AU AUROC": float(np.mean(areas))}  # fmt: skip


def truths(fit: Any, plain: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is exactly known of films ``fit`` and ``plain``, (N, D) each, by name: landmarks (ten main
    components of those of ``fit``), true places, pose and mesh pose."""
    from sklearn.decomposition import PCA

    marks = [landmarks_of(films) for films in (fit, plain)]
    axes = PCA(min(10, len(marks[0])), random_state=0).fit(marks[0])
    return {
        "landmark": (axes.transform(marks[0]), axes.transform(marks[1])),
        "exact geometry": (flat(fit.geometry), flat(plain.geometry)),
        "pose": (fit.turn, plain.turn),
        "mesh pose": (fit.pose, plain.pose),
    }


def flat(values: np.ndarray) -> np.ndarray:
    """(N, ...) to (N, D)."""
    return values.reshape(len(values), -1)


def landmarks_of(films: Any) -> np.ndarray:
    """(N, D) landmarks of the onset."""
    return flat(films.landmarks[:, 0].astype(np.float32))


def token_probes(
    tokens: tuple[np.ndarray, np.ndarray], fit: Any, plain: Any,
    targets: dict[str, tuple[np.ndarray, np.ndarray]], models: tuple[str, ...] = ("linear", "mlp"),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """What probes fitted on an expert's tokens of films ``fit`` read from those of ``plain``;
    ``targets``: their ``truths``."""
    row = {}
    for model in models:
        row[f"AU AUROC, {model}"] = au_probe(*tokens, fit, plain, model)
        for name, pair in targets.items():
            row[f"{name} R2, {model}"] = truth_probe(*tokens, *pair, model)
    return row


def probed(predictor: Any, fit: Any, plain: Any, seed: int) -> dict[str, dict[str, Any]]:
    """What probes fitted on films ``fit`` read from each expert's tokens in ``plain``,
    and from the geometry itself."""
    from deft_llm.evaluation.probes import verification_auc

    held, known = tokens_of(predictor, plain), tokens_of(predictor, fit)
    rng, targets, experts = np.random.default_rng(seed), truths(fit, plain), {}
    for place, films in ((known, fit), (held, plain)):
        space = np.stack([face.space for face in films.inputs()[1]])
        place["geometry itself"] = np.concatenate([landmarks_of(films), space], 1)
    for name, x in held.items():
        experts[name] = {
            "same-subject AUC": verification_auc(x, [str(s) for s in plain.subject]),
            "same-subject AUC, permuted": verification_auc(x, list(map(str, rng.permutation(plain.subject)))),
            **token_probes((known[name], x), fit, plain, targets),
        }
    return experts


def main() -> None:
    """Print one JSON object."""
    from deft_llm.model.predictor import load_predictor

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=300, help="of the one-picture models; 0: without them")
    parser.add_argument("--prior", default="facs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    predictor = load_predictor(given.checkpoint)
    fit, test = load_films(*given.films), load_films(given.test)
    plain = test.take(np.flatnonzero(test.lure == 0))
    experts = probed(predictor, fit, plain, given.seed)
    motion, faces = test.inputs()
    both = {"motion alone": predictor.read(motion), "all experts": predictor.read(motion, faces)}
    logits = {name: (seen.coarse.numpy(), seen.au.numpy()) for name, seen in both.items()}
    for frame, name in ((0, "onset only"), (1, "apex only")) if given.steps else ():
        seen = one_picture(given.checkpoint, fit, test, frame, given.steps)
        logits[name] = (seen["coarse"], seen["au"])
    called = {name: coarse.argmax(1) for name, (coarse, _) in logits.items()}
    result = {
        "test films": len(test), "without lure": len(plain), "subjects": len(np.unique(test.subject)),
        "experts": experts,
        "AU AUROC of the motion expert's own logits": head_auroc(predictor.read(plain.inputs()[0]), plain),
        "scores": {name: class_scores(*pair, test) for name, pair in logits.items()},
        "swaps": swaps(predictor, plain, given.seed), "lures": lures(called, test, given.prior),
    }  # fmt: skip
    text = json.dumps(result, indent=1, default=float)
    print(text)
    if given.json:
        given.json.write_text(text)


if __name__ == "__main__":
    main()
