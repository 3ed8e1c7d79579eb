"""What the structure expert tells of strangers: AUs that an onset holds, and releases, with their neutral and
without.

    python -m benchmarks.held CHECKPOINT STORE [STORE ...] [--json FILE]

STORE: key frames of films (``deft synth STORE --film keys``) of people whom the checkpoint has not met. Per
size of what is held (px of a face 280 px wide, the larger side) against AUs that are not held: AUC over all
AUs and clips, the share that is said to be there, and the share said of those that are not. Of a checkpoint
with a head for phases: AUC of releases against rises, and the mean over the three phases of the share told
right (chance: .33).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from deft_llm.files import write_json
from deft_llm.model.deft import DeftModel
from deft_llm.model.inputs import DeftBatch, batch_of
from deft_llm.model.readout import PHASES
from deft_llm.training.store_data import StoreData

SIZES = ((1.0, 3.0), (3.0, 5.0), (5.0, np.inf))
NOT_HELD = 0.5
"""px below which an AU counts as not held."""


@torch.inference_mode()
def told(model: DeftModel, batch: DeftBatch) -> np.ndarray:
    """(N, A) probability that an AU is held on either side."""
    assert model.structure is not None
    tokens = model.structure(batch.landmarks, batch.appearance, batch.space, batch.over).tokens
    return model.structure.au_logits(tokens).sigmoid().amax(-1).numpy()


def rows_of(chances: np.ndarray, held: np.ndarray) -> list[dict[str, float]]:
    """A row per size; chances (N, A), held (N, A) px."""
    absent = chances[held < NOT_HELD]
    rows = []
    for low, high in SIZES:
        there = chances[(held >= low) & (held < high)]
        if not len(there):
            continue
        truth = np.r_[np.ones(len(there)), np.zeros(len(absent))]
        rows.append({
            "from_px": low, "held": len(there), "auc": float(roc_auc_score(truth, np.r_[there, absent])),
            "said": float((there > 0.5).mean()), "said_of_absent": float((absent > 0.5).mean()),
        })  # fmt: skip
    return rows


@torch.inference_mode()
def phases_told(model: DeftModel, batch: DeftBatch, truth: np.ndarray) -> dict[str, float]:
    """AUC of releases against rises and mean recall of the phases, truth (N,); empty without a head for them,
    or without films of both."""
    rise, release = (PHASES.index(name) for name in ("rise", "release"))
    found = model.read(batch).phase
    if found is None or not {rise, release} <= set(truth):
        return {}
    chances = found.softmax(-1).numpy()
    two = np.isin(truth, (rise, release))
    score = chances[two, release] / (chances[two, release] + chances[two, rise])
    right = [(chances[truth == one].argmax(-1) == one).mean() for one in np.unique(truth[truth >= 0])]
    return {
        "clips": int((truth >= 0).sum()), "release_auc": float(roc_auc_score(truth[two] == release, score)),
        "recall": float(np.mean(right)),
    }  # fmt: skip


def main() -> None:
    """Read the films, print the tables."""
    parser = argparse.ArgumentParser(description="What the structure expert tells of strangers.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    model = DeftModel.from_pretrained(given.checkpoint, language=False)
    data = StoreData(given.stores)
    rows = data.with_faces
    held = np.nanmax(data.held[rows], -1)
    batch = batch_of([data.inputs[row] for row in rows], [data.faces[row] for row in rows])
    views = {"neutral": batch, "without": replace(batch, over=None, course=None)}
    table = {name: rows_of(told(model, view), held) for name, view in views.items()}
    print("| | held from | AUs | AUC | said | said of what is not held |\n|---|---|---|---|---|---|")
    for name, found in table.items():
        for row in found:
            figures = f"{row['auc']:.3f} | {row['said']:.2f} | {row['said_of_absent']:.3f}"
            print(f"| {name} | {row['from_px']:g} px | {row['held']:.0f} | {figures} |")
    phases = {name: phases_told(model, view, data.phase[rows]) for name, view in views.items()}
    if all(phases.values()):
        print("\n| | clips | AUC of releases | mean recall of the phases |\n|---|---|---|---|")
        for name, row in phases.items():
            print(f"| {name} | {row['clips']:.0f} | {row['release_auc']:.3f} | {row['recall']:.2f} |")
    if given.json is not None:
        write_json(given.json, {"held": table, "phases": phases})


if __name__ == "__main__":
    main()
