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

from deft_llm.evaluation.bootstrap import paired_test
from deft_llm.evaluation.units import auroc, binary_f1, unit_counts
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


def chances_of(model: DeftModel, data: StoreData, held: StoreData, before: dict) -> dict[str, np.ndarray]:
    """(N, A, 2) probabilities of the clips of ``data`` by each reader, calibrated on those of ``held``."""
    predictor, found = Predictor(model), {}
    read = {
        drop: [predictor.read(one.inputs, one.faces, drop) for one in (data, held)]
        for drop in {reader.drop for reader in READERS.values()}
    }
    for name, reader in READERS.items():
        own, others = read[reader.drop]
        measured = calibrate_measured(others, held, before, supported=reader.supported)
        found[name] = au_probabilities(own, {**before, "measured": measured})
    return found


def pooled_f1(counts: np.ndarray) -> np.ndarray:
    """(B,) F1 over all AUs of counts (B, A, 4)."""
    return binary_f1(counts.sum(-2))


def compared(counts: dict[str, np.ndarray], name: str, aus: list[int]) -> dict[str, float]:
    """F1 of some AUs by one reader, and how far it is ahead of the motion expert alone; counts (S, A, 4)."""
    own, alone = counts[name][:, aus], counts[ALONE][:, aus]
    return {"f1": float(pooled_f1(own.sum(0)[None])[0]), **paired_test(alone, own, pooled_f1)}


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
    chances = chances_of(model, data, held, before)
    known, subjects = data.known > 0, range(len(data.subject_names))
    truth = (data.side.max(-1) > 0) & known
    shown, all_known = truth.sum(0), known.sum(0)
    aus = [int(k) for k in np.flatnonzero((shown >= given.least) & (shown < all_known))]
    if not aus:
        print(f"No AU is shown by {given.least} clips of {given.store}: make more films.")
        return
    presence = {name: found.max(-1) for name, found in chances.items()}
    counts = {
        name: np.stack([
            unit_counts(*(values[data.subject == one] for values in (truth, found >= 0.5, known)))
            for one in subjects
        ]) for name, found in presence.items()
    }  # fmt: skip
    area = lambda name, k: auroc(truth[known[:, k], k], presence[name][known[:, k], k])  # noqa: E731
    table = {
        f"AU{EXPERT_AUS[k]}": {"clips": int(shown[k])} | {
            name: {**compared(counts, name, [k]), "auc": area(name, k)} for name in READERS
        } for k in aus
    }  # fmt: skip
    mean = {name: float(np.mean([row[name]["auc"] for row in table.values()])) for name in READERS}
    table["all"] = {"clips": int(shown[aus].sum())} | {
        name: {**compared(counts, name, aus), "auc": mean[name]} for name in READERS
    }
    print("| | clips | " + " | ".join(f"{name}: F1, AUC" for name in READERS) + " | gains in F1 |")
    print("|---" * (len(READERS) + 3) + "|")
    for label, row in table.items():
        cells = " | ".join(f"{row[name]['f1']:.2f}, {row[name]['auc']:.2f}" for name in READERS)
        gains = "; ".join("{difference:+.2f} ({low:+.2f} to {high:+.2f})".format(**row[name])
                          for name in READERS if name != ALONE)  # fmt: skip
        print(f"| {label} | {row['clips']} | {cells} | {gains} |")
    sides = {name: _sides(data, found) for name, found in chances.items()}
    told = ", ".join(f"{name} {right:.2f} of {count}" for name, (right, count) in sides.items())
    print(f"\nsides of one-sided AUs: {told}")
    if given.json is not None:
        write_json(given.json, {"aus": table, "sides": sides})


def _sides(data: StoreData, chances: np.ndarray) -> tuple[float, int]:
    """(share told rightly, number) of AUs that FACS sides and that one side shows."""
    sided = np.array([entry(number).scoring == "sides" for number in EXPERT_AUS])
    one = (data.side.sum(-1) == 1) & (data.known > 0) & sided
    right = (chances[one][:, 0] > chances[one][:, 1]) == (data.side[one][:, 0] == 1)
    return float(right.mean()) if len(right) else 0.0, int(one.sum())


if __name__ == "__main__":
    main()
