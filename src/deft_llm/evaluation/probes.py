"""What can be read from exported features on unseen subjects: linear and MLP probes with permutation
baselines.

A probe is fitted on some subjects and scored on others (grouped folds); the same probe on permuted targets
gives the level that chance and the protocol reach. Feature files: npz with ``clip_ids``, ``subjects`` and one
(N, D) array per expert.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deft_llm.errors import DeftError
from deft_llm.files import read_arrays

Kind = Literal["binary", "classes", "regression"]


def read_features(path: Path) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """(clip ids, subjects, {expert: (N, D)}) of a feature file. Raises: DeftError where they mismatch."""
    found = read_arrays(path, "export it again")
    if not {"clip_ids", "subjects"} <= set(found):
        raise DeftError(f"{path}: is no feature file (needs clip_ids and subjects); export it again.")
    clips, subjects = found.pop("clip_ids").tolist(), found.pop("subjects").tolist()
    arrays = {name: array.reshape(len(array), -1) for name, array in found.items()}
    wrong = [name for name, array in arrays.items() if len(array) != len(clips)]
    if wrong or len(subjects) != len(clips):
        raise DeftError(f"{path}: {wrong or 'subjects'} and clip_ids differ in length; export it again.")
    return clips, subjects, arrays


def probe(
    features: np.ndarray,
    target: np.ndarray,
    subjects: Sequence[str],
    kind: Kind,
    *,
    model: Literal["linear", "mlp"] = "linear",
    folds: int = 5,
    permutations: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Score on held-out subjects and the same with permuted targets.

    binary: AUROC; classes: balanced accuracy; regression: R2 (mean over target columns). ``baseline`` is the
    mean of the permuted scores, ``p`` the share of them (plus one) that reach the score, None where there is
    none. Targets are permuted by subject: what all clips of a person share stays so.
    """
    groups = np.asarray(subjects)
    distinct = len(set(subjects))
    if distinct < 2:
        raise DeftError("a probe needs clips of at least two subjects.")
    score = _cross_score(features, target, groups, kind, model, min(folds, distinct), seed)
    rng = np.random.default_rng(seed)
    chance = [
        _cross_score(
            features, _permuted(target, groups, rng), groups, kind, model, min(folds, distinct), seed
        )
        for _ in range(permutations)
    ]
    reached = sum(value >= score for value in chance)
    return {
        "score": score,
        "baseline": float(np.mean(chance)) if chance else None,
        "baseline_sd": float(np.std(chance)) if chance else None,
        "p": (1 + reached) / (1 + permutations) if np.isfinite(score) else None,
        "clips": len(target),
        "subjects": distinct,
    }


def _permuted(target: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Targets (N, ...) of the subjects ``groups`` (N,) in another order, laid along the clips by subject."""
    names = np.unique(groups)
    of = {name: np.flatnonzero(groups == name) for name in names}
    places = np.concatenate([of[name] for name in names])
    taken = np.concatenate([rng.permutation(of[name]) for name in rng.permutation(names)])
    found = np.empty_like(target)
    found[places] = target[taken]
    return found


def estimator(kind: Kind, model: str, seed: int, components: int | None = None) -> Any:
    """An unfitted probe on standardised features; ``components``: of as many principal components alone."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if model == "linear":
        head: Any = (
            RidgeCV(alphas=np.logspace(-2, 4, 7))
            if kind == "regression"
            else LogisticRegression(C=0.1, max_iter=500, class_weight="balanced")
        )
    else:
        network = MLPRegressor if kind == "regression" else MLPClassifier
        head = network(hidden_layer_sizes=(64,), alpha=1.0, max_iter=300, solver="lbfgs", random_state=seed)
    if components:
        return make_pipeline(StandardScaler(), PCA(components, random_state=seed), head)
    return make_pipeline(StandardScaler(), head)


def _cross_score(
    features: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
    kind: Kind,
    model: str,
    folds: int,
    seed: int,
) -> float:
    from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score
    from sklearn.model_selection import GroupKFold

    outcomes: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    for train, test in GroupKFold(folds).split(features, target, groups):
        if kind != "regression" and len(np.unique(target[train])) < 2:
            continue
        with warnings.catch_warnings():  # a probe stopped at its last step is still a probe
            warnings.filterwarnings("ignore", "lbfgs failed to converge")
            fitted = estimator(kind, model, seed).fit(features[train], target[train])
        outcomes.append(
            fitted.predict_proba(features[test])[:, 1] if kind == "binary" else fitted.predict(features[test])
        )
        truths.append(target[test])
    if not truths:
        raise DeftError("a probe's target has only one value in every fold.")
    truth, outcome = np.concatenate(truths), np.concatenate(outcomes)
    if kind == "binary":
        return float(roc_auc_score(truth, outcome)) if len(np.unique(truth)) == 2 else float("nan")
    if kind == "classes":
        return float(balanced_accuracy_score(truth, outcome))
    return float(r2_score(truth, outcome))


def verification_auc(
    features: np.ndarray, subjects: Sequence[str], *, pairs: int = 20000, seed: int = 0
) -> float:
    """AUROC of "same subject?" from the cosine similarity of clip pairs; .5 means identity cannot be read.

    All same-subject pairs, and as many different ones (at most ``pairs`` each), features centred first.
    """
    from sklearn.metrics import roc_auc_score

    names = np.asarray(subjects)
    first, second = np.triu_indices(len(names), 1)
    same = names[first] == names[second]
    rng = np.random.default_rng(seed)
    chosen = []
    for mask in (same, ~same):
        found = np.flatnonzero(mask)
        if not len(found):
            raise DeftError("verification needs pairs of the same and of different subjects.")
        count = min(pairs, len(found), int(same.sum()) if mask is not same else len(found))
        chosen.append(rng.choice(found, size=count, replace=False))
    index = np.concatenate(chosen)
    centred = features - features.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    similarity = np.einsum("nd,nd->n", unit[first[index]], unit[second[index]])
    return float(roc_auc_score(same[index], similarity))
