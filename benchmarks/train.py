"""Training cost: samples/s of the motion expert; the language part's step beside the bare backbone's.

    python -m benchmarks.train [--steps 5] [--batch 8] [--backbone embedded] [--threads 1]

The backbone's step runs the same LoRA, the same prompt length and the same answer positions on random soft
tokens; the ratio is what experts, projectors and delimiters cost. Steps of both alternate, and CPU
seconds are compared, which other programs disturb least. Peak memory is the process's own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np
import torch

from deft_llm.model.inputs import batch_of, maps_input
from deft_llm.model.language import ANSWER_QUESTION, EXPERTS
from deft_llm.model.packing import Turn
from deft_llm.model.units import EXPERT_AUS
from deft_llm.training.checkpoints import start_model
from deft_llm.training.flow_shards import FlowBatch
from deft_llm.training.language import LanguageConfig, LanguagePart
from deft_llm.training.loop import Part
from deft_llm.training.motion import MotionConfig, MotionPart
from deft_llm.training.objective import Targets, TrainBatch
from deft_llm.training.settings import TrainConfig


def motion_rate(steps: int, batch: int) -> float:
    """Samples per second of the motion expert on random maps, augmentation included."""

    class Random:
        def __len__(self) -> int:
            return 1000

        def take(self, rows: np.ndarray) -> FlowBatch:
            rng = np.random.default_rng(int(rows[0]))
            count = len(rows)
            return FlowBatch(rng.integers(0, 256, (count, 2, 3, 28, 28)).astype(np.uint8),
                             rng.normal(size=(count, 2, 14, 14)).astype(np.float16),
                             np.zeros((count, len(EXPERT_AUS), 2), np.uint8),
                             np.ones((count, len(EXPERT_AUS)), np.uint8), np.zeros(count, np.int8),
                             np.zeros(count, np.int8))  # fmt: skip

    deft = start_model(TrainConfig(), None, 0, experts={"motion"}, motion={}, faces={}, language=False)
    part = MotionPart(deft, MotionConfig(batch=batch, both_phases=0.0), Random())
    return batch / timed([lambda: step_of(part)], steps)[0]


def step_of(part: Part) -> None:
    """One step of the optimiser."""
    update(part, part.model(part.batch_of(part.step))[0])
    part.step += 1


def update(part: Part, loss: torch.Tensor) -> None:
    part.optimizer.zero_grad()
    loss.backward()
    part.optimizer.step()


def timed(calls, steps: int) -> list[float]:
    """Median CPU seconds of each of the calls, which take turns, after one warm-up each."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(steps + 1):
        for call, found in zip(calls, seconds):
            start = time.process_time()
            call()
            if number:
                found.append(time.process_time() - start)
    return [float(np.median(found)) for found in seconds]


def language_steps(steps: int, batch: int, backbone: str) -> tuple[float, float]:
    """CPU seconds of one step of DEFT and of the bare backbone."""
    rng = np.random.default_rng(0)
    clips = batch_of([maps_input(rng.normal(size=(1, 3, 28, 28))) for _ in range(batch)])
    answer = (
        "Class: surprise (surprise)\nEvidence: AU1 both, inner brow, up; AU2 both, outer brow, up\n"
        "Rationale: Both inner brows move up, which is AU1."
    )
    unknown = Targets(*(torch.zeros(batch, len(EXPERT_AUS), 2), torch.zeros(batch, len(EXPERT_AUS))),
                      *(torch.full((batch,), -1) for _ in range(2)))  # fmt: skip
    made = TrainBatch(clips, unknown, [[Turn(ANSWER_QUESTION, (answer,))] for _ in range(batch)])
    config = TrainConfig(backbone=backbone)
    model = start_model(config, None, 0, experts=EXPERTS, motion={}, faces={}, language=True,
                        conditioned_on=["motion"])  # fmt: skip
    part = LanguagePart(model, LanguageConfig(batch=batch), lambda *_: made)
    part.set_modes()
    read, prompts = model.read, model.prompts
    with torch.no_grad():
        out = model.read(clips)
        made_prompts = model.prompts(out)

    def deft() -> None:
        model.read, model.prompts = read, prompts  # type: ignore[method-assign]
        update(part, part.model(made)[0])

    def bare() -> None:
        # The same forward with experts and projectors replaced by their finished, constant output.
        model.read = lambda *_, **__: out  # type: ignore[method-assign,assignment]
        model.prompts = lambda *_: made_prompts  # type: ignore[method-assign,assignment]
        update(part, part.model(made)[0])

    first, second = timed([deft, bare], steps)
    return first, second


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rate = motion_rate(given.steps, 128)
    deft, bare = language_steps(given.steps, given.batch, given.backbone)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({
        "motion_samples_per_cpu_s": round(rate, 1), "language_cpu_s_per_step": round(deft, 3),
        "backbone_cpu_s_per_step": round(bare, 3), "ratio": round(deft / bare, 3), "peak_MB": round(peak),
        "threads": torch.get_num_threads(), "batch": given.batch, "load": os.getloadavg()[0],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
