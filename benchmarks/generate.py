"""Generation cost: DEFT's constrained answers beside the bare backbone's own
``generate`` on the same prompts.

    python -m benchmarks.generate [--batch 8] [--tokens 64] [--repeat 3] [--backbone embedded]

Both write exactly ``--tokens`` tokens after prompts of the same length; DEFT's time includes the experts, the
projectors and the grammar. The two take turns and CPU seconds are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np
import torch


def main() -> None:
    """Print one JSON line."""
    from deft_llm.model.inputs import batch_of, maps_input
    from deft_llm.model.language import EXPERTS
    from deft_llm.training.checkpoints import start_model
    from deft_llm.training.settings import TrainConfig

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(0)
    config = TrainConfig(backbone=given.backbone)
    model = start_model(config, None, 0, experts=EXPERTS, motion={}, faces={}, language=True,
                        conditioned_on=["motion"]).eval()  # fmt: skip
    clips = batch_of([maps_input(rng.normal(size=(1, 3, 28, 28))) for _ in range(given.batch)])
    asked = ["Give class, evidence and rationale."] * given.batch
    free = "start: /[ -~\\n]{400,800}/\n"

    def deft() -> None:
        with torch.inference_mode():
            readout = model.read(clips)
        model.answer(readout, asked, free, max_new_tokens=given.tokens)

    @torch.inference_mode()
    def bare() -> None:
        model.llm.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=given.tokens,
            min_new_tokens=given.tokens, do_sample=False,
        )  # fmt: skip

    with torch.inference_mode():
        embeds, mask = model.with_questions(model.prompts(model.read(clips)), asked)
    times: dict[str, list[float]] = {"deft": [], "bare": []}
    for number in range(given.repeat + 1):
        for name, call in (("deft", deft), ("bare", bare)):
            start = time.process_time()
            call()
            if number:
                times[name].append(time.process_time() - start)
    seconds = {name: float(np.median(found)) for name, found in times.items()}
    total = given.batch * given.tokens
    print(json.dumps({
        "deft_tokens_per_cpu_s": round(total / seconds["deft"], 1),
        "bare_tokens_per_cpu_s": round(total / seconds["bare"], 1),
        "ratio": round(seconds["deft"] / seconds["bare"], 3), "batch": given.batch,
        "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
