"""Which expert knows what, on unseen subjects: linear probes with permutation baselines, and swaps.

    python benchmarks/disentangle.py CHECKPOINT STORE [--clips 400]

For each expert's pooled features: AUROC of AUs (mean over AUs with enough clips), accuracy of telling
subjects
apart within clips (same-subject verification AUC), R2 of landmark geometry. Swaps: the share of clips whose
predicted class changes when another clip's structure input, or another clip's motion input, is put in.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch


def features(model, data, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Pooled features (N, D) of every expert that the checkpoint and the clips have."""
    from deft_llm.model.deft import batch_of

    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            out = model.read(batch_of([data.inputs[r] for r in part], [data.faces[r] for r in part]))
            found.setdefault("motion", []).append(out.motion.pooled.numpy())
            for name, tokens in (("structure", out.structure), ("texture", out.texture)):
                if tokens is not None:
                    found.setdefault(name, []).append(tokens.mean(1).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def au_auroc(x: np.ndarray, labels: np.ndarray, subjects: np.ndarray, seed: int, shuffle: bool) -> float:
    """Mean AUROC of a linear probe over AUs, subjects held out five-fold; ``shuffle``: permuted labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng, areas = np.random.default_rng(seed), []
    for column in range(labels.shape[1]):
        y = rng.permutation(labels[:, column]) if shuffle else labels[:, column]
        if min(y.sum(), len(y) - y.sum()) < 15:
            continue
        scores = np.zeros(len(y))
        for train, test in GroupKFold(5).split(x, y, subjects):
            if 0 < y[train].sum() < len(train):
                probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
                scores[test] = probe.fit(x[train], y[train]).decision_function(x[test])
        areas.append(roc_auc_score(y, scores))
    return float(np.mean(areas)) if areas else float("nan")


def verification_auc(x: np.ndarray, subjects: np.ndarray) -> float:
    """AUC of cosine similarity for telling same-subject pairs from others."""
    from sklearn.metrics import roc_auc_score

    unit = (x - x.mean(0)) / (x.std(0) + 1e-6)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    first, second = np.triu_indices(len(x), 1)
    return float(roc_auc_score(subjects[first] == subjects[second], (unit @ unit.T)[first, second]))


def geometry_r2(x: np.ndarray, landmarks: np.ndarray, subjects: np.ndarray) -> float:
    """R2 of a ridge probe for the first ten components of the landmarks, subjects held out."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    target = PCA(10).fit_transform(landmarks.reshape(len(landmarks), -1))
    guess = cross_val_predict(Ridge(10.0), x, target, groups=subjects, cv=GroupKFold(5))
    return float(r2_score(target, guess, multioutput="variance_weighted"))


def swaps(model, data, rows: np.ndarray, seed: int) -> dict[str, float]:
    """Share of clips whose coarse class follows the donor after a swap of motion or of faces."""
    from deft_llm.model.deft import batch_of

    donor = np.random.default_rng(seed).permutation(rows)

    def classes(motion: np.ndarray, face: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            out = model.read(batch_of([data.inputs[r] for r in motion], [data.faces[r] for r in face]))
        return out.coarse.argmax(-1).numpy()

    own, other = classes(rows, rows), classes(donor, donor)
    differ = own != other
    return {
        "faces swapped, class changed": float((classes(rows, donor) != own).mean()),
        "motion swapped, class follows motion": float((classes(donor, rows) == other)[differ].mean())
        if differ.any() else float("nan"),
    }  # fmt: skip


def main() -> None:
    """Print one JSON object."""
    from deft_llm.model.deft import DeftModel
    from deft_llm.training.store_data import StoreData

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = DeftModel.from_pretrained(given.checkpoint, language=False)
    data = StoreData([given.store])
    rows = np.arange(min(given.clips, len(data)))
    labels, subjects = data.side[rows].max(-1), data.subject[rows]
    result: dict[str, dict[str, float]] = {}
    for name, x in features(model, data, rows).items():
        result[name] = {
            "AU AUROC": au_auroc(x, labels, subjects, given.seed, False),
            "AU AUROC, permuted": au_auroc(x, labels, subjects, given.seed, True),
            "same-subject AUC": verification_auc(x, subjects),
        }
        if all(data.faces[row] is not None for row in rows):
            landmarks = np.stack([data.faces[row].landmarks for row in rows])
            result[name]["landmark R2"] = geometry_r2(x, landmarks, subjects)
    print(
        json.dumps(
            {"clips": len(rows), "experts": result, "swaps": swaps(model, data, rows, given.seed)}, indent=1
        )
    )


if __name__ == "__main__":
    main()
