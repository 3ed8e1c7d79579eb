"""Action Units of films by the motion expert alone, by all experts, and with what the flow supports.

    python -m benchmarks.film_aus CHECKPOINT STORE --calibrated STORE [STORE ...] [--json FILE]

STORE: key frames of films (``deft synth STORE --film keys``) of people whom the checkpoint has not met;
``--calibrated``: films of other people, on which each of the three is calibrated alike
(``training.calibration.calibrate_measured``), its thresholds too. Prints per AU that ``--least`` clips show
F1 and area under the ROC curve, and how far the others are ahead of the motion expert alone in F1, with 95 %
intervals over subjects; at last the sides of one-sided AUs, the share told rightly.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from deft_llm.evaluation.bootstrap import paired_test
from deft_llm.facs.units import entry
from deft_llm.files import read_object, write_json
from deft_llm.model.checkpoint import CONFIG
from deft_llm.model.deft import DeftModel
from deft_llm.model.heads import au_probabilities
from deft_llm.model.language import FACE_EXPERTS
from deft_llm.model.predictor import Predictor
from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.calibration import FEWEST, calibrate_measured
from deft_llm.training.store_data import StoreData


class Reader(NamedTuple):
    """What reads: whether what the flow supports counts, and face experts that are left out."""

    supported: bool
    drop: tuple[str, ...]


READERS = {
    "motion expert": Reader(False, FACE_EXPERTS),
    "all experts": Reader(False, ()),
    "and what the flow supports": Reader(True, ()),
}
ALONE = "motion expert"


def told(model: DeftModel, data: StoreData, held: StoreData, before: dict, reader: Reader) -> np.ndarray:
    """(N, A, 2) probabilities of the clips of ``data`` by what is calibrated on those of ``held``."""
    measured = calibrate_measured(model, held, before, supported=reader.supported, drop=reader.drop)
    readout = Predictor(model).read(data.inputs, data.faces, reader.drop)
    return au_probabilities(readout, {**before, "measured": measured})


def f1(counts: np.ndarray) -> np.ndarray:
    """(B,) F1 of counts (B, 3): hits, false ones, missed ones."""
    hits, false, missed = counts.T
    return 2 * hits / np.maximum(2 * hits + false + missed, 1)


def counts_of(said: np.ndarray, truth: np.ndarray, subject: np.ndarray, subjects: int) -> np.ndarray:
    """(subjects, 3) of ``f1`` per subject; said, truth and numbers of subjects (n,)."""
    found = np.zeros((subjects, 3))
    np.add.at(found, subject, np.stack([said & truth, said & ~truth, ~said & truth], 1).astype(float))
    return found


def main() -> None:
    """Calibrate and read, print the tables."""
    parser = argparse.ArgumentParser(description="Action Units of films, by what reads.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--calibrated", type=Path, nargs="+", required=True)
    parser.add_argument("--least", type=int, default=FEWEST, help="clips that show an AU of a row")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    model = DeftModel.from_pretrained(given.checkpoint, language=False)
    before = {**read_object(given.checkpoint / CONFIG)["calibration"], "measured": None}
    data, held = StoreData([given.store]), StoreData(given.calibrated)
    chances = {name: told(model, data, held, before, reader) for name, reader in READERS.items()}
    truth, known, table = data.side.max(-1) > 0, data.known > 0, {}
    counts: dict[str, list[np.ndarray]] = {name: [] for name in READERS}
    subjects = len(data.subject_names)
    print("| | clips | " + " | ".join(f"{name}: F1, AUC" for name in READERS) + " | gains in F1 |")
    print("|---" * (len(READERS) + 3) + "|")
    for place, number in enumerate(EXPERT_AUS):
        rows = known[:, place]
        shown = truth[rows, place]
        if not given.least <= shown.sum() < len(shown):
            continue
        cells = {}
        for name, found in chances.items():
            chance = found[rows, place].max(-1)
            counts[name].append(counts_of(chance >= 0.5, shown, data.subject[rows], subjects))
            cells[name] = {**_compared(counts, name, -1), "auc": float(roc_auc_score(shown, chance))}
        table[f"AU{number}"] = {"clips": int(shown.sum()), **cells}
    if not table:
        print(f"No AU is shown by {given.least} clips of {given.store}: make more films.")
        return
    for name in READERS:
        counts[name].append(np.sum(counts[name], 0))
    mean = lambda name: float(np.mean([row[name]["auc"] for row in table.values()]))  # noqa: E731
    whole = {name: {**_compared(counts, name, -1), "auc": mean(name)} for name in READERS}
    table["all"] = {"clips": sum(row["clips"] for row in table.values()), **whole}
    for label, row in table.items():
        cells = " | ".join(f"{row[name]['f1']:.2f}, {row[name]['auc']:.2f}" for name in READERS)
        gains = "; ".join("{difference:+.2f} ({low:+.2f} to {high:+.2f})".format(**row[name])
                          for name in READERS if name != ALONE)  # fmt: skip
        print(f"| {label} | {row['clips']} | {cells} | {gains} |")
    sides = {name: _sides(data, found) for name, found in chances.items()}
    print("\nsides of one-sided AUs: " + ", ".join(f"{name} {right:.2f} of {n}" for name, (right, n) in
                                                   sides.items()))  # fmt: skip
    if given.json is not None:
        write_json(given.json, {"aus": table, "sides": sides})


def _compared(counts: dict[str, list[np.ndarray]], name: str, place: int) -> dict[str, float]:
    """F1 by one reader, and how far it is ahead of the motion expert alone."""
    own = counts[name][place]
    return {"f1": float(f1(own.sum(0)[None])[0]), **paired_test(counts[ALONE][place], own, f1)}


def _sides(data: StoreData, chances: np.ndarray) -> tuple[float, int]:
    """(share told rightly, number) of AUs that FACS sides and that one side shows."""
    sided = np.array([entry(number).scoring == "sides" for number in EXPERT_AUS])
    one = (data.side.sum(-1) == 1) & (data.known > 0) & sided
    right = (chances[one][:, 0] > chances[one][:, 1]) == (data.side[one][:, 0] == 1)
    return float(right.mean()) if len(right) else 0.0, int(one.sum())


if __name__ == "__main__":
    main()
