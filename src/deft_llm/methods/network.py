"""One training loop for the small networks of the baselines; the epoch is chosen on validation subjects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from deft_llm.errors import DeftError
from deft_llm.methods.decisions import (
    OPEN,
    best_threshold,
    centred_probability,
    class_rows,
    labelled,
    targets,
    unit_rows,
)
from deft_llm.methods.features import Extract, FeatureTable
from deft_llm.methods.options import Options
from deft_llm.methods.protocol import Sample, Task
from deft_llm.records import Prediction

if TYPE_CHECKING:
    from torch import Tensor, nn

Network = Callable[[tuple[int, ...], int], "nn.Module"]


class NetworkOptions(Options):
    """Training of a small network: Adam, class-balanced loss."""

    epochs: int = Field(default=100, ge=1, description="Epochs; the best on validation subjects is kept.")
    batch: int = Field(default=64, ge=2, description="Clips per step.")
    lr: float = Field(default=1e-3, gt=0, description="Rate of Adam.")
    weight_decay: float = Field(1e-4, description="Weight decay of Adam.")
    noise: float = Field(0.1, description="Standard deviation of noise added to inputs.")
    mirror: bool = Field(False, description="Half of the clips are mirrored.")
    shift: int = Field(default=0, ge=0, description="px by which a batch is moved at random.")
    limit: float = Field(default=0.0, ge=0, description="Inputs are clipped to it; 0: not.")


class NetworkMethod:
    """A network on features of ``extract``; ``network(input shape, outputs)`` makes a fresh one per fold.

    Trains on the training side, keeps the epoch of the best balanced accuracy (AUs: mean F1) on the
    validation side, ties by loss; AU thresholds come from the validation side. ``signs``: of each channel in
    a mirror (a flow's u turns round).
    """

    selection_only = False  # val never trains here, so the demonstration of a leak changes nothing in fit

    def __init__(
        self,
        name: str,
        needs: frozenset[str],
        task: Task,
        extract: Extract,
        network: Network,
        options: NetworkOptions,
        signs: Sequence[float] = (1.0,),
    ) -> None:
        self.name, self.needs, self.task, self.options = name, needs, task, options
        self.signs = np.array(signs, np.float32)
        self.table, self.network = FeatureTable(extract), network

    def prepare(self, samples: Sequence[Sample], workdir: Path) -> None:
        """Extract the inputs of all clips once."""
        self.table.prepare(samples, workdir, self.name)

    def features(self, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
        """What the method reads of each clip (N, D), for probes."""
        return {self.name: self.table.of(samples)}

    def fit(self, train: Sequence[Sample], val: Sequence[Sample], *, seed: int, workdir: Path) -> None:
        """Train for all epochs and keep the best one on ``val``. Raises: DeftError where nothing is known of
        its clips."""
        import torch

        torch.manual_seed(seed)
        train, val = labelled(train, self.task), labelled(val, self.task)
        if not val:
            raise DeftError(
                f"{self.name}: no clip of the fold's validation subjects has what is learned here "
                f"({'AUs' if self.task.name == 'au' else 'labels'}); give --folds whose validation subjects "
                "are coded, or take another method."
            )
        inputs, val_inputs = (self._inputs(side) for side in (train, val))
        truth, val_truth = (torch.from_numpy(targets(side, self.task)) for side in (train, val))
        outputs = len(self.task.aus if self.task.name == "au" else self.task.classes)
        model = self.network(tuple(inputs.shape[1:]), outputs)
        loss = _balanced_loss(truth, outputs, self.task.name == "au")
        optimiser = torch.optim.Adam(
            model.parameters(), self.options.lr, weight_decay=self.options.weight_decay
        )
        random = torch.Generator().manual_seed(seed)
        best: tuple[float, float] = (-1.0, 0.0)
        kept: dict[str, Tensor] = {}
        for _ in range(self.options.epochs):
            _train_epoch(model, optimiser, loss, inputs, truth, self.options, random, self.signs)
            scores = _forward(model, val_inputs)
            found = (_quality(scores, val_truth), -float(loss(scores, val_truth)))
            if found > best:
                best = found
                kept = copy.deepcopy(model.state_dict())
        model.load_state_dict(kept)
        self.model = model.eval()
        if self.task.name == "au":
            self._choose_thresholds(_forward(model, val_inputs).numpy(), val_truth.numpy())

    def _inputs(self, samples: Sequence[Sample]) -> Tensor:
        import torch

        inputs = torch.from_numpy(self.table.of(samples))
        limit = self.options.limit
        return inputs.clamp(-limit, limit) if limit else inputs

    def _choose_thresholds(self, scores: np.ndarray, truth: np.ndarray) -> None:
        """Thresholds on the validation side; an AU with at most one positive there keeps the loss's zero."""
        chosen = [
            best_threshold(truth[:, i], scores[:, i]) if (truth[:, i] > 0).sum() > 1 else 0.0
            for i in range(truth.shape[1])
        ]
        self.thresholds, self.scale = np.array(chosen), np.maximum(scores.std(0), 0.1)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Probabilities of classes or AUs."""
        import torch

        scores = _forward(self.model, self._inputs(samples))
        if self.task.name == "au":
            values = centred_probability(scores.numpy(), self.thresholds, self.scale)
            return unit_rows(samples, values, self.name, self.task)
        return class_rows(samples, torch.softmax(scores, -1).numpy(), self.name, self.task)


def _balanced_loss(truth: Tensor, outputs: int, units: bool) -> Callable[[Tensor, Tensor], Tensor]:
    import torch
    from torch.nn import functional as F

    if units:
        positives, negatives = (truth > 0).float().sum(0), (truth == 0).float().sum(0)
        weight = (negatives / positives.clamp(min=1)).clamp(max=20)
        return lambda scores, target: F.binary_cross_entropy_with_logits(
            scores, (target > 0).float(), weight=(target != OPEN).float(), pos_weight=weight
        )
    counts = torch.bincount(truth, minlength=outputs).float()
    weight = torch.where(counts > 0, len(truth) / (outputs * counts.clamp(min=1)), torch.zeros(()))
    return lambda scores, target: (F.cross_entropy(scores, target, reduction="none") * weight[target]).mean()


def _train_epoch(
    model: Any,
    optimiser: Any,
    loss: Any,
    inputs: Tensor,
    truth: Tensor,
    options: NetworkOptions,
    random: Any,
    signs: np.ndarray,
) -> None:
    import torch

    model.train()
    order = torch.randperm(len(inputs), generator=random)
    for start in range(0, len(order), options.batch):
        chosen = order[start : start + options.batch]
        if len(chosen) < 2:  # batch normalisation needs two
            continue
        batch = _moved(inputs[chosen], options, torch.from_numpy(signs), random)
        batch = batch + options.noise * torch.randn(batch.shape, generator=random)
        optimiser.zero_grad()
        loss(model(batch), truth[chosen]).backward()
        optimiser.step()


def _moved(batch: Tensor, options: NetworkOptions, signs: Tensor, random: Any) -> Tensor:
    """A batch whose clips are mirrored or not and moved a little, as ``options`` have it."""
    import torch

    if options.mirror:
        turned = torch.rand(len(batch), 1, 1, 1, generator=random) < 0.5
        batch = torch.where(turned, batch.flip(-1) * signs[:, None, None], batch)
    if options.shift:
        by = torch.randint(-options.shift, options.shift + 1, (2,), generator=random).tolist()
        batch = torch.roll(batch, by, (-2, -1))
    return batch


def _forward(model: Any, inputs: Tensor) -> Tensor:
    import torch

    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in inputs.split(256)])


def _quality(scores: Tensor, truth: Tensor) -> float:
    if truth.ndim == 2:
        decided, true = ((scores > 0) & (truth != OPEN)).numpy(), (truth > 0).numpy()
        there = true.any(0)
        f1 = 2 * (decided & true).sum(0) / np.maximum(decided.sum(0) + true.sum(0), 1)
        return round(float(f1[there].mean()) if there.any() else 0.0, 9)
    right = (scores.argmax(-1) == truth).numpy()
    return float(np.mean([right[(truth == c).numpy()].mean() for c in truth.unique()]))
