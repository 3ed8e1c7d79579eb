"""Speed of flow-level synthesis and its statistics beside the real figures.

OMP_NUM_THREADS=1 python -m benchmarks.synth_flow [--samples 2000] [--identities 16]
"""

from __future__ import annotations

import argparse
import os
import time

import cv2
import numpy as np

from deft_llm.synth.flow.config import FlowConfig
from deft_llm.synth.flow.sampler import FlowSynth


def main() -> None:
    """Print samples a second (wall and CPU) for some sizes, then statistics in px of a 280-px crop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--identities", type=int, default=16)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    began = time.process_time()
    base = FlowSynth("train", FlowConfig(identities=args.identities))
    faces = [base.face(number) for number in range(base.pool_size)]
    spent = (time.process_time() - began) / len(faces)
    print(f"load {os.getloadavg()[0]:.1f}; a posed head: {1000 * spent:.0f} ms CPU; {base.pool_size} heads")
    for size, phases in ((28, 1), (28, 2), (56, 2)):
        synth = FlowSynth("train", FlowConfig(identities=args.identities, size=size, phases=phases))
        count = args.samples if size == 28 else args.samples // 4
        for number in range(synth.pool_size):
            synth.face(number)
        synth.batch(40, 0)
        wall, cpu = time.perf_counter(), time.process_time()
        synth.batch(count, 1)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{size} px, {phases} phase(s): {count / wall:.0f} samples/s, {count / cpu:.0f} a CPU second")
    synth = FlowSynth("train", FlowConfig(identities=args.identities, phases=1, stretch=False))
    batch = synth.batch(600, 3)
    flow = batch["maps"][:, 0, :2]
    length = np.hypot(flow[:, 0], flow[:, 1])
    rigid = np.hypot(*flow.mean((2, 3)).T)
    print(f"mean |flow| {length.mean():.2f} px (real CASME II 0.96); p99 "
          f"{np.percentile(length.reshape(len(length), -1), 99, axis=1).mean():.2f} (3.9); rigid share "
          f"{rigid.mean() / length.mean():.2f} (0.56-0.61); coded AUs {batch['aus'].sum(1).mean():.2f} "
          "(1.25-1.46)")  # fmt: skip


if __name__ == "__main__":
    main()
