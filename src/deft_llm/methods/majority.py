"""The floor: the most frequent class of the training subjects, and AUs that most of them show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deft_llm.methods.decisions import class_rows, labelled, targets, unit_rows, unit_shares
from deft_llm.methods.options import Options, read_options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import Prediction


class Majority:
    """Training frequencies as probabilities, the same for every clip."""

    name = "majority"
    needs: frozenset[str] = frozenset()

    def __init__(self, task: Task) -> None:
        self.task = task
        self.shares = np.zeros(0)

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Count the training side."""
        truth = targets(labelled(train, self.task), self.task)
        if self.task.name == "au":
            self.shares = unit_shares(truth)
        else:
            self.shares = np.bincount(truth, minlength=len(self.task.classes)) / len(truth)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The same row for every clip."""
        rows = np.tile(self.shares, (len(samples), 1))
        make = unit_rows if self.task.name == "au" else class_rows
        return make(samples, rows, self.name, self.task)


def build(task: Task, **options: Any) -> Majority:
    """Build the baseline; it has no options."""
    read_options(Options, "majority", options)
    return Majority(task)
