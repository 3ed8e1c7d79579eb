"""Training cost: samples/s of stage 1, and DEFT's stage-2 step beside the bare backbone's on the same tokens.

    python -m benchmarks.train [--steps 5] [--batch 8] [--backbone embedded] [--threads 1]

The backbone's step runs the same LoRA, the same prompt length and the same answer positions on random soft
tokens;
the ratio is what experts, projectors and delimiters cost. Steps of both alternate, and CPU
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


def stage1_rate(steps: int, batch: int) -> float:
    """Samples a second of stage 1 on random maps, augmentation included."""
    from deft_llm.model.units import EXPERT_AUS
    from deft_llm.training.flow_shards import FlowBatch
    from deft_llm.training.motion import Stage1, Stage1Config

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

    stage = Stage1(Stage1Config(batch=batch, both_phases=0.0), Random())  # type: ignore[arg-type]

    def step() -> None:
        total, _ = stage.model(stage.batch_of(stage.step))
        stage.optimizer.zero_grad()
        total.backward()
        stage.optimizer.step()
        stage.step += 1

    return batch / timed([step], steps)[0]


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


def stage2_steps(steps: int, batch: int, backbone: str) -> tuple[float, float]:
    """CPU seconds of one step of DEFT and of the bare backbone."""
    from deft_llm.model.inputs import batch_of, maps_input
    from deft_llm.training.language import Stage2, Stage2Batch, Stage2Config
    from deft_llm.training.start import TrainConfig, start_model

    rng = np.random.default_rng(0)
    clips = batch_of([maps_input(rng.normal(size=(1, 3, 28, 28))) for _ in range(batch)])
    answer = (
        "Class: surprise (surprise)\nEvidence: AU1 both, inner brow, up; AU2 both, outer brow, up\n"
        "Rationale: Both inner brows move up, which is AU1."
    )
    made = Stage2Batch(
        clips=clips, questions=["Give class, evidence and rationale."] * batch, answers=[answer] * batch
    )
    stage = Stage2(
        start_model(TrainConfig(backbone=backbone), None), Stage2Config(batch=batch), lambda *_: made
    )
    stage.set_modes()

    def update(loss: torch.Tensor) -> None:
        stage.optimizer.zero_grad()
        loss.backward()
        stage.optimizer.step()

    model = stage.model.deft
    read, soft_tokens = model.read, model.soft_tokens
    with torch.no_grad():
        out = model.read(clips)
        soft = model.soft_tokens(out)

    def deft() -> None:
        model.read, model.soft_tokens = read, soft_tokens  # type: ignore[method-assign]
        update(stage.model(made)[0])

    def bare() -> None:
        # The same forward with experts and projectors replaced by their finished, constant output.
        model.read = lambda _: out  # type: ignore[method-assign,assignment]
        model.soft_tokens = lambda *_: soft  # type: ignore[method-assign,assignment]
        update(stage.model(made)[0])

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
    rate = stage1_rate(given.steps, 128)
    deft, bare = stage2_steps(given.steps, given.batch, given.backbone)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({
        "stage1_samples_per_cpu_s": round(rate, 1), "stage2_cpu_s_per_step": round(deft, 3),
        "backbone_cpu_s_per_step": round(bare, 3), "ratio": round(deft / bare, 3), "peak_MB": round(peak),
        "threads": torch.get_num_threads(), "batch": given.batch, "load": os.getloadavg()[0],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
